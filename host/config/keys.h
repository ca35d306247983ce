/* The table of keys, private to host/config: parsing, --set, dumping and the documentation all read it. */
#ifndef PIXELRNN_CONFIG_KEYS_H
#define PIXELRNN_CONFIG_KEYS_H

#include "pixelrnn/config.h"
#include <stddef.h>

typedef enum {
    PX_KEY_STRING,  /* char[PX_CONFIG_STRING]; a list has tabs between its values, which no value can hold */
    PX_KEY_INTEGER, /* int64_t */
    PX_KEY_REAL,    /* double */
    PX_KEY_BOOLEAN, /* bool */
    PX_KEY_WORD,    /* int, an index into words */
} px_key_type;

/* One key. What a value may be lies between min and max: of an integer or real the value, of a string its bytes. */
typedef struct px_key {
    const char *name; /* section.key, or key at the top; NULL ends the table */
    px_key_type type;
    size_t offset;            /* of the field in px_config */
    const char *initial;      /* the default, spelt as in a config */
    double min, max;          /* max INFINITY: no upper end */
    bool above, below;        /* min, max themselves are not allowed */
    const char *const *words; /* of a PX_KEY_WORD, by value; NULL ends them */
    bool list;                /* of a PX_KEY_STRING: several values are allowed, min and max are of all together */
    bool fixed;               /* cannot change when a run is resumed */
    const char *unit;         /* NULL without one */
    const char *help;         /* one line */
} px_key;

enum { PX_MAX_KEYS = 64 };

/* All keys in the order of the file, those of a section side by side. */
extern const px_key px_keys[];

/* The key of that name, or NULL. */
const px_key *px_key_find(const char *name);

/* The first key of section `name`, or NULL if there is no such section. */
const px_key *px_key_section(const char *name);

/* The key whose name is nearest to one that does not exist: misspelt, or in the wrong section; of a misspelt section
 * the first key. */
const px_key *px_key_nearest(const char *name);

/* The part of the name after its section. */
const char *px_key_leaf(const char *name);

/* Reads text, spelt as in a config, into the key's field; a list has tabs between its values. PX_ERR_CONFIG as "PLACE:
 * KEY: found ..., expected ...". */
px_status px_key_read(px_context *ctx, const char *place, const px_key *key, const char *text, px_config *config);

/* Spells the field's value so that px_key_read gives the same value back. `text` holds PX_CONFIG_STRING bytes. */
void px_key_write(const px_key *key, const px_config *config, char *text);

/* What a key's value may be, as an error says it ("an integer from 1 to 1000"), and the range alone ("from 1 to 1000").
 */
enum { PX_KEY_PHRASE = 160 };
void px_key_expected(const px_key *key, char phrase[PX_KEY_PHRASE]);
void px_key_range(const px_key *key, char phrase[PX_KEY_PHRASE]);

/* Whether text is one of the words for true and false, and which. */
bool px_read_boolean(const char *text, bool *value);

/* Text as a message shows what was found: in quotes, on one line, cut to fit; "nothing" if it is empty. */
enum { PX_QUOTE = 80 };
void px_quote(const char *text, char quote[PX_QUOTE]);

#endif
