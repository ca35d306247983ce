/* The table of config keys, from which parsing, --set, writing and documentation are derived. */
#ifndef PIXELRNN_CONFIG_KEYS_H
#define PIXELRNN_CONFIG_KEYS_H

#include "pixelrnn/config.h"
#include <stddef.h>

typedef enum {
    PX_KEY_STRING,  /* char[PX_CONFIG_STRING]; tabs, which a value cannot contain, separate the values of a list */
    PX_KEY_INTEGER, /* int64_t */
    PX_KEY_REAL,    /* double */
    PX_KEY_BOOLEAN, /* bool */
    PX_KEY_WORD,    /* int, an index into words */
} px_key_type;

/* One key. min and max bound the value of an integer or real, and the length of a string in bytes. */
typedef struct px_key {
    const char *name; /* "section.key", or "key" at the top level; NULL ends the table */
    px_key_type type;
    size_t offset;            /* of the field in px_config */
    const char *initial;      /* the default, as text */
    double min, max;          /* max INFINITY: no upper bound */
    bool above, below;        /* the bound itself is excluded */
    const char *const *words; /* PX_KEY_WORD: the words, indexed by value; NULL ends them */
    bool list;                /* PX_KEY_STRING: several values are allowed; min and max bound their total length */
    bool fixed;               /* a resumed run must not change it */
    const char *unit;         /* or NULL */
    const char *help;         /* one line */
} px_key;

enum { PX_MAX_KEYS = 64 };

/* All keys in the order of a written config; the keys of a section are adjacent. */
extern const px_key px_keys[];

/* The key of this name, or NULL. */
const px_key *px_key_find(const char *name);

/* The first key of section `name`, or NULL if there is no such section. */
const px_key *px_key_section(const char *name);

/* The part of the name after its section. */
const char *px_key_leaf(const char *name);

/* Reads text, spelt as in a config, into the key's field; a list has tabs between its values. PX_ERR_CONFIG as "PLACE:
 * KEY: found ..., expected ...". */
px_status px_key_read(px_context *ctx, const char *place, const px_key *key, const char *text, px_config *config);

/* Spells the field's value so that px_key_read gives the same value back. `text` holds PX_CONFIG_STRING bytes. */
void px_key_write(const px_key *key, const px_config *config, char *text);

/* What a key's value may be, as in errors: "an integer from 1 to 1000"; and the range alone: "from 1 to 1000". */
enum { PX_KEY_PHRASE = 160 };
void px_key_expected(const px_key *key, char phrase[PX_KEY_PHRASE]);
void px_key_range(const px_key *key, char phrase[PX_KEY_PHRASE]);

/* What to write in place of a name that is no key: "nearest: train.steps", or that `pixelrnn keys` lists the keys. It
 * knows misspellings, keys in the wrong section, and names that other programs use, such as lr. */
void px_key_suggest(const char *name, char phrase[PX_KEY_PHRASE]);

/* Reads true, yes, on, false, no, off in any case. Returns false for other text. */
bool px_read_boolean(const char *text, bool *value);

/* Quotes text for the "found" part of a message: on one line, shortened to fit; "nothing" if it is empty. */
enum { PX_QUOTE = 80 };
void px_quote(const char *text, char quote[PX_QUOTE]);

#endif
