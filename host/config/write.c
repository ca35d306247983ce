/* Writes a px_config as YAML that reads back to the same values. */
#include "host/config/keys.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

/* Whether a YAML reader could take the unquoted text for null, a boolean, a number or a date. */
static bool looks_typed(const char *text) {
    bool boolean;
    if (strchr("+-0123456789", text[0])) return true;                    /* or empty: strchr finds the 0 */
    if (text[0] == '.' && text[1] != '.' && text[1] != '/') return true; /* .5, .inf, .nan; not ./ and ../ */
    return px_read_boolean(text, &boolean) || strcasecmp(text, "null") == 0 || strcmp(text, "~") == 0;
}

/* Adds a scalar, which libyaml quotes where necessary. 0 if out of memory. */
static int add_scalar(yaml_document_t *document, const char *text, bool quoted) {
    yaml_scalar_style_t style = quoted ? YAML_DOUBLE_QUOTED_SCALAR_STYLE : YAML_PLAIN_SCALAR_STYLE;
    return yaml_document_add_scalar(document, NULL, (const yaml_char_t *)text, (int)strlen(text), style);
}

static bool add_pair(yaml_document_t *document, int mapping, int name, int value) {
    return mapping && name && value && yaml_document_append_mapping_pair(document, mapping, name, value);
}

/* Adds a sequence of tab-separated values. 0 if out of memory. */
static int add_list(yaml_document_t *document, char *text) {
    const int sequence = yaml_document_add_sequence(document, NULL, YAML_BLOCK_SEQUENCE_STYLE);
    for (char *rest = text, *value; sequence && (value = strsep(&rest, "\t"));) {
        const int item = add_scalar(document, value, looks_typed(value));
        if (!item || !yaml_document_append_sequence_item(document, sequence, item)) return 0;
    }
    return sequence;
}

/* Adds all keys to an empty document. */
static bool add_keys(yaml_document_t *document, const px_config *config) {
    int root = yaml_document_add_mapping(document, NULL, YAML_BLOCK_MAPPING_STYLE);
    int section = root;
    for (const px_key *key = px_keys; key->name; key++) {
        const char *leaf = px_key_leaf(key->name);
        char name[PX_KEY_PHRASE], text[PX_CONFIG_STRING];
        snprintf(name, sizeof name, "%.*s", leaf > key->name ? (int)(leaf - key->name - 1) : 0, key->name);
        if (px_key_section(name) == key) { /* its first key */
            section = yaml_document_add_mapping(document, NULL, YAML_BLOCK_MAPPING_STYLE);
            if (!add_pair(document, root, add_scalar(document, name, false), section)) return false;
        }
        px_key_write(key, config, text);
        int value = key->list && strchr(text, '\t')
                        ? add_list(document, text)
                        : add_scalar(document, text, key->type == PX_KEY_STRING && looks_typed(text));
        if (!add_pair(document, section, add_scalar(document, leaf, false), value)) return false;
    }
    return true;
}

static bool emit(yaml_document_t *document, FILE *out) {
    yaml_emitter_t emitter;
    if (!yaml_emitter_initialize(&emitter)) {
        yaml_document_delete(document);
        return false;
    }
    yaml_emitter_set_output_file(&emitter, out);
    yaml_emitter_set_unicode(&emitter, 1);
    yaml_emitter_set_width(&emitter, -1);                      /* no line breaks within a value */
    bool written = yaml_emitter_dump(&emitter, document) != 0; /* which frees the document */
    written = written && yaml_emitter_close(&emitter);
    yaml_emitter_delete(&emitter);
    return written;
}

char *px_config_text(const px_config *config) {
    char *text = NULL;
    size_t bytes;
    yaml_document_t document;
    FILE *out = open_memstream(&text, &bytes);
    if (!out) return NULL;
    bool written = yaml_document_initialize(&document, NULL, NULL, NULL, 1, 1) != 0;
    if (written && !add_keys(&document, config)) {
        yaml_document_delete(&document);
        written = false;
    }
    written = written && emit(&document, out);
    if (fclose(out) != 0) written = false;
    if (written) return text;
    free(text);
    return NULL;
}
