/* Reads YAML into px_config: one document, a mapping of sections to mappings of scalars, as libyaml events. The first
 * key of a file may be its base, another file that is read first. */
#include "host/config/keys.h"
#include "host/io/file.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <yaml.h>

enum {
    LONGEST_FILE = 1 << 20, /* bytes */
    LOCATION = 1100,        /* bytes of "file:line" */
    NAME = 96,              /* bytes of "section.key"; longer names are cut, because no key is that long */
    MAX_BASES = 16,         /* in a chain of files */
};

/* A file that is being read, and the file that names it as its base. */
typedef struct config_file {
    const char *path;
    const struct config_file *derived; /* NULL: the first file */
} config_file;

typedef struct reader {
    px_context *ctx;
    const char *where, *text;
    const config_file *file; /* NULL: a text in memory, which can have no base */
    px_config config;        /* read so far; copied to the caller's after success */
    yaml_parser_t parser;
    yaml_event_t event;               /* the current event */
    char name[NAME];                  /* the current key, or "" */
    size_t line;                      /* of the current key */
    size_t key_line[PX_MAX_KEYS];     /* the line of each key of the table; 0: not seen */
    size_t section_line[PX_MAX_KEYS]; /* the line of each section, indexed by its first key */
} reader;

static px_status fail(reader *r, const char *found, const char *expected) {
    const char *colon = *r->name ? ": " : "";
    return px_fail(r->ctx, PX_ERR_CONFIG, "%s:%zu: %s%sfound %s, expected %s", r->where, r->line, r->name, colon, found,
                   expected);
}

/* Reports a libyaml error. Its reader gives a byte offset; its scanner and parser give line and column. */
static px_status fail_syntax(reader *r) {
    const yaml_parser_t *p = &r->parser;
    char found[200];
    r->name[0] = 0;
    switch (p->error) {
    case YAML_MEMORY_ERROR: return px_fail_memory(r->ctx, r->where, 0);
    case YAML_READER_ERROR:
        r->line = 1;
        for (size_t i = 0; i < p->problem_offset; i++) r->line += r->text[i] == '\n';
        snprintf(found, sizeof found, "bytes that are not text (%s)", p->problem);
        return fail(r, found, "YAML in UTF-8");
    default:
        r->line = p->problem_mark.line + 1;
        snprintf(found, sizeof found, "broken syntax at column %zu (%s)", p->problem_mark.column + 1, p->problem);
        return fail(r, found, "YAML");
    }
}

/* Names the current event for a message if it is YAML that configs do not use; else NULL. */
static const char *forbidden(const yaml_event_t *event) {
    const yaml_char_t *anchor = NULL, *tag = NULL;
    switch (event->type) {
    case YAML_ALIAS_EVENT: return "an alias";
    case YAML_SEQUENCE_START_EVENT: return "a list";
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        break;
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        if (memchr(event->data.scalar.value, 0, event->data.scalar.length)) return "a zero byte";
        break;
    default: break;
    }
    return anchor ? "an anchor" : tag ? "a tag" : NULL;
}

/* PX_ERR_CONFIG unless the current event has this type. */
static px_status expect_event(reader *r, yaml_event_type_t type, const char *expected) {
    char quote[PX_QUOTE];
    const char *found = forbidden(&r->event);
    if (found) return fail(r, found, expected);
    if (r->event.type == type) return PX_OK;
    if (r->event.type != YAML_SCALAR_EVENT) return fail(r, "a mapping", expected);
    px_quote((const char *)r->event.data.scalar.value, quote);
    return fail(r, quote, expected);
}

/* Reads the next event into r->event. */
static px_status next(reader *r) {
    yaml_event_delete(&r->event);
    return yaml_parser_parse(&r->parser, &r->event) ? PX_OK : fail_syntax(r);
}

/* The text of a scalar. A plain null, in any spelling, is the empty text. */
static const char *scalar_text(const yaml_event_t *event) {
    const char *text = (const char *)event->data.scalar.value;
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return plain && (strcmp(text, "~") == 0 || strcasecmp(text, "null") == 0) ? "" : text;
}

/* Records the line of a key or section. A second occurrence is an error. */
static px_status record_line(reader *r, size_t *line) {
    if (*line) {
        char found[64];
        snprintf(found, sizeof found, "it again after line %zu", *line);
        return fail(r, found, "each key once");
    }
    *line = r->line;
    return PX_OK;
}

/* Reads the scalars of a sequence into `list`, separated by tabs. The current event is the start of the sequence. */
static px_status read_list(reader *r, const char *expected, char list[PX_CONFIG_STRING]) {
    size_t used = 0;
    list[0] = 0;
    for (int values = 0;; values++) {
        PX_TRY(next(r));
        if (r->event.type == YAML_SEQUENCE_END_EVENT) return PX_OK;
        PX_TRY(expect_event(r, YAML_SCALAR_EVENT, expected));
        const char *text = scalar_text(&r->event);
        if (!*text || strchr(text, '\t'))
            return fail(r, *text ? "a tab in a list" : "an empty value in a list", expected);
        const int more = snprintf(list + used, PX_CONFIG_STRING - used, "%s%s", values ? "\t" : "", text);
        used += (size_t)more;
        if (used >= PX_CONFIG_STRING) return fail(r, "a longer list", expected);
    }
}

static px_status read_value(reader *r, const px_key *key) {
    char expected[PX_KEY_PHRASE], location[LOCATION], list[PX_CONFIG_STRING];
    px_key_expected(key, expected);
    PX_TRY(record_line(r, &r->key_line[key - px_keys]));
    snprintf(location, LOCATION, "%s:%zu", r->where, r->line);
    const bool sequence = r->event.type == YAML_SEQUENCE_START_EVENT;
    if (key->list && sequence && !r->event.data.sequence_start.anchor && !r->event.data.sequence_start.tag) {
        PX_TRY(read_list(r, expected, list));
        return px_key_read(r->ctx, location, key, list, &r->config);
    }
    PX_TRY(expect_event(r, YAML_SCALAR_EVENT, expected));
    const char *text = scalar_text(&r->event);
    if (key->list && strchr(text, '\t')) return fail(r, "a tab", expected);
    return px_key_read(r->ctx, location, key, text, &r->config);
}

/* Reads a key, the current event, into r->name and r->line. */
static px_status read_name(reader *r, const char *section) {
    r->line = r->event.start_mark.line + 1;
    snprintf(r->name, NAME, "%s", section);
    PX_TRY(expect_event(r, YAML_SCALAR_EVENT, "a key"));
    snprintf(r->name, NAME, "%s%s%s", section, *section ? "." : "", (const char *)r->event.data.scalar.value);
    return PX_OK;
}

static px_status fail_unknown(reader *r) {
    char quote[PX_QUOTE], found[PX_QUOTE + 16], suggestion[PX_KEY_PHRASE], expected[PX_KEY_PHRASE + 32];
    px_quote(r->name, quote);
    snprintf(found, sizeof found, "unknown key %s", quote);
    px_key_suggest(r->name, suggestion);
    snprintf(expected, sizeof expected, "a known one (%s)", suggestion);
    r->name[0] = 0;
    return fail(r, found, expected);
}

/* ---- Bases ---- */

static bool same_file(const char *a, const char *b) {
    struct stat of_a, of_b;
    return stat(a, &of_a) == 0 && stat(b, &of_b) == 0 && of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
}

/* Writes the paths of the files from the first one to `file`, with commas between them. */
static void chain_text(const config_file *file, char *text, size_t size) {
    text[0] = '\0';
    if (file->derived) chain_text(file->derived, text, size);
    const size_t length = strlen(text);
    snprintf(text + length, size - length, "%s%s", length ? ", " : "", file->path);
}

/* PX_ERR_CONFIG if a file of the chain would be read again, or if the chain is too long. */
static px_status check_chain(reader *r, const config_file *base) {
    char chain[sizeof r->ctx->message / 2], found[sizeof chain + 16];
    int bases = 0;
    for (const config_file *file = base->derived; file; file = file->derived, bases++) {
        if (!same_file(file->path, base->path)) continue;
        chain_text(base, chain, sizeof chain);
        snprintf(found, sizeof found, "a cycle: %s", chain);
        return fail(r, found, "a base that does not need this file");
    }
    snprintf(found, sizeof found, "more than %d bases in a chain", MAX_BASES);
    return bases <= MAX_BASES ? PX_OK : fail(r, found, "fewer");
}

static px_status parse(px_context *ctx, const char *where, const char *text, const config_file *file,
                       px_config *config);

/* Reads the keys of the base. A message about its own content names the base; one of a base that cannot be opened, the
 * line that asks for it. */
static px_status load_base(reader *r, const config_file *base) {
    char *text, reason[sizeof r->ctx->message];
    PX_TRY(check_chain(r, base));
    if (px_file_read_text(r->ctx, base->path, LONGEST_FILE, &text) != PX_OK) {
        strcpy(reason, r->ctx->message);
        return px_fail(r->ctx, PX_ERR_CONFIG, "%s:%zu: base: %s", r->where, r->line, reason);
    }
    const px_status status = parse(r->ctx, base->path, text, base, &r->config);
    free(text);
    return status;
}

/* Reads the value of the key base, which is relative to the folder of this file. */
static px_status read_base(reader *r, bool first) {
    static const char expected[] = "the path of a config, relative to this one";
    char path[PX_PATH];
    if (!r->file) return fail(r, "a base", "no base in a config that is not a file of its own");
    if (!first) return fail(r, "it in another place", "it as the first key of the file");
    PX_TRY(next(r));
    PX_TRY(expect_event(r, YAML_SCALAR_EVENT, expected));
    const char *name = scalar_text(&r->event), *slash = strrchr(r->where, '/');
    if (!*name) return fail(r, "nothing", expected);
    const int folder = slash && *name != '/' ? (int)(slash + 1 - r->where) : 0;
    PX_TRY(px_file_path(r->ctx, path, "%.*s%s", folder, r->where, name));
    return load_base(r, &(config_file){path, r->file});
}

/* ---- Sections ---- */

/* Reads the keys of a section, or of the top level (""), up to the end of the mapping. */
static px_status read_section(reader *r, const char *section) {
    for (bool at_start = true;; at_start = false) {
        PX_TRY(next(r));
        if (r->event.type == YAML_MAPPING_END_EVENT) return PX_OK;
        PX_TRY(read_name(r, section));
        if (strcmp(px_key_leaf(r->name), "base") == 0) {
            PX_TRY(read_base(r, at_start && !*section));
            continue;
        }
        const px_key *key = px_key_find(r->name), *first = px_key_section(r->name);
        if (!key && !first) return fail_unknown(r);
        PX_TRY(next(r));
        if (key) {
            PX_TRY(read_value(r, key));
        } else {
            char name[NAME];
            strcpy(name, r->name);
            PX_TRY(record_line(r, &r->section_line[first - px_keys]));
            PX_TRY(expect_event(r, YAML_MAPPING_START_EVENT, "a mapping of its keys"));
            PX_TRY(read_section(r, name)); /* at most one level deep, because sections do not nest */
        }
    }
}

static px_status read_stream(reader *r) {
    PX_TRY(next(r)); /* the stream's start */
    PX_TRY(next(r));
    if (r->event.type == YAML_STREAM_END_EVENT) return PX_OK; /* nothing but comments */
    PX_TRY(next(r));
    r->line = r->event.start_mark.line + 1;
    PX_TRY(expect_event(r, YAML_MAPPING_START_EVENT, "a mapping of keys"));
    PX_TRY(read_section(r, ""));
    PX_TRY(next(r)); /* the document's end */
    PX_TRY(next(r));
    if (r->event.type == YAML_STREAM_END_EVENT) return PX_OK;
    r->name[0] = 0;
    r->line = r->event.start_mark.line + 1;
    return fail(r, "a second document", "one");
}

static px_status parse(px_context *ctx, const char *where, const char *text, const config_file *file,
                       px_config *config) {
    reader *r = calloc(1, sizeof *r);
    if (!r || !yaml_parser_initialize(&r->parser)) {
        free(r);
        return px_fail_memory(ctx, where, sizeof *r);
    }
    r->ctx = ctx;
    r->where = where;
    r->text = text;
    r->file = file;
    r->config = *config;
    yaml_parser_set_input_string(&r->parser, (const unsigned char *)text, strlen(text));
    px_status status = read_stream(r);
    if (status == PX_OK) *config = r->config;
    yaml_event_delete(&r->event);
    yaml_parser_delete(&r->parser);
    free(r);
    return status;
}

px_status px_config_parse(px_context *ctx, const char *where, const char *text, px_config *config) {
    return parse(ctx, where, text, NULL, config);
}

px_status px_config_load(px_context *ctx, const char *path, px_config *config) {
    char *text;
    px_status status = px_file_read_text(ctx, path, LONGEST_FILE, &text);
    if (status == PX_ERR_FORMAT) return PX_ERR_CONFIG; /* too long or not text; ctx->message says so */
    PX_TRY(status);
    status = parse(ctx, path, text, &(config_file){path, NULL}, config);
    free(text);
    return status;
}

/* Sets a list, whose values are separated by commas. A tab in a value becomes a line feed, so that it is refused. */
static px_status set_list(px_context *ctx, const px_key *key, const char *text, px_config *config) {
    char *list = strdup(text), found[PX_QUOTE], expected[PX_KEY_PHRASE];
    if (!list) return px_fail_memory(ctx, "--set", strlen(text) + 1);
    for (char *c = list; *c; c++) *c = *c == ',' ? '\t' : *c == '\t' ? '\n' : *c;
    px_status status = px_key_read(ctx, "--set", key, list, config);
    free(list);
    if (status == PX_OK) return PX_OK;
    px_quote(text, found); /* the original text, with commas */
    px_key_expected(key, expected);
    return px_fail(ctx, status, "--set: %s: found %s, expected %s", key->name, found, expected);
}

px_status px_config_set(px_context *ctx, const char *assignment, px_config *config) {
    const char *equals = strchr(assignment, '=');
    char name[NAME], quote[PX_QUOTE], suggestion[PX_KEY_PHRASE];
    if (!equals) {
        px_quote(assignment, quote);
        return px_fail(ctx, PX_ERR_USAGE, "--set: found %s, expected key=value", quote);
    }
    snprintf(name, sizeof name, "%.*s", (int)(equals - assignment), assignment);
    const px_key *key = px_key_find(name);
    if (key && key->list) return set_list(ctx, key, equals + 1, config);
    if (key) return px_key_read(ctx, "--set", key, equals + 1, config);
    px_quote(name, quote);
    px_key_suggest(name, suggestion);
    return px_fail(ctx, PX_ERR_CONFIG, "--set: found unknown key %s, expected a known one (%s)", quote, suggestion);
}
