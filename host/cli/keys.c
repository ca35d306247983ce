/* pixelrnn keys: prints the table of config keys as text, as a config, or as JSON. */
#include "host/cli/cli.h"
#include "host/config/keys.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

typedef struct keys_values {
    bool names, yaml, json;
} keys_values;

static const px_option options[] = {
    {"--yaml", NULL, PX_OPTION_FLAG, offsetof(keys_values, yaml),
     .help = "print a config with every key at its default and its meaning as a comment"},
    {"--json", NULL, PX_OPTION_FLAG, offsetof(keys_values, json), .help = "print an array of JSON objects"},
    {"--names", NULL, PX_OPTION_FLAG, offsetof(keys_values, names),
     .help = "print names alone, one a line, as \"KEY=\"; with the prefix \"KEY=\" its words, as \"KEY=WORD\""},
    {0},
};

static const char *const type_names[] = {[PX_KEY_STRING] = "text",
                                         [PX_KEY_INTEGER] = "integer",
                                         [PX_KEY_REAL] = "number",
                                         [PX_KEY_BOOLEAN] = "boolean",
                                         [PX_KEY_WORD] = "word"};

static bool begins_with(const char *text, const char *prefix) { return strncmp(text, prefix, strlen(prefix)) == 0; }

static const char *initial_text(const px_key *key) { return *key->initial ? key->initial : "\"\""; }

/* Describes a key: "length of the run (integer, from 0 to 999999999 steps)". */
enum { MEANING = 512 };
static void describe(const px_key *key, char meaning[MEANING]) {
    char range[PX_KEY_PHRASE];
    const bool listed = key->type == PX_KEY_WORD || key->type == PX_KEY_BOOLEAN; /* the range lists all values */
    px_key_range(key, range);
    if (key->type == PX_KEY_STRING)
        snprintf(meaning, MEANING, "%s (text)", key->help);
    else
        snprintf(meaning, MEANING, "%s (%s%s%s%s%s)", key->help, listed ? "" : type_names[key->type],
                 listed ? "" : ", ", range, key->unit ? " " : "", key->unit ? key->unit : "");
}

/* ---- Text ---- */

enum { WIDE = 80 }; /* columns from which on meanings stand beside keys, and not below or above them */

static void print_text(const char *prefix) {
    const int columns = px_cli_columns(stdout, PX_FULL_LINES);
    int name_width = 0, initial_width = (int)strlen("default");
    for (const px_key *key = px_keys; key->name; key++) {
        if (!begins_with(key->name, prefix)) continue;
        const int name = (int)strlen(key->name), initial = (int)strlen(initial_text(key));
        if (name > name_width) name_width = name;
        if (initial > initial_width) initial_width = initial;
    }
    const px_cli_margin margin = {.columns = columns, .indent = columns >= WIDE ? name_width + initial_width + 4 : 4};
    if (columns >= WIDE) printf("%-*s  %-*s  meaning\n", name_width, "key", initial_width, "default");
    for (const px_key *key = px_keys; key->name; key++) {
        char meaning[MEANING];
        if (!begins_with(key->name, prefix)) continue;
        describe(key, meaning);
        if (columns >= WIDE)
            printf("%-*s  %-*s  ", name_width, key->name, initial_width, initial_text(key));
        else
            printf("%s: %s\n%*s", key->name, initial_text(key), margin.indent, "");
        px_cli_wrap(stdout, &margin, margin.indent, meaning);
    }
}

/* ---- YAML ---- */

enum { COMMENT_COLUMN = 28 };

/* Prints the line of a key, with its meaning as a comment beside it, or above it on a narrow terminal. */
static void print_yaml_key(const px_config *defaults, const px_key *key, int columns) {
    const int indent = px_key_leaf(key->name) == key->name ? 0 : 2;
    const bool beside = columns >= WIDE;
    const px_cli_margin margin = {.columns = columns, .indent = beside ? COMMENT_COLUMN : indent, .prefix = "# "};
    char meaning[MEANING], value[PX_CONFIG_STRING], line[MEANING];
    describe(key, meaning);
    px_key_write(key, defaults, value); /* 1e-8 would be text for other readers of YAML, 1.0e-08 is a number */
    snprintf(line, sizeof line, "%*s%s: %.200s", indent, "", px_key_leaf(key->name), value[0] ? value : "\"\"");
    printf("%-*s# ", margin.indent, beside ? line : "");
    px_cli_wrap(stdout, &margin, margin.indent + 2, meaning);
    if (!beside) puts(line);
}

static void print_yaml(const char *prefix) {
    const int columns = px_cli_columns(stdout, PX_PIPED_COLUMNS);
    const px_cli_margin margin = {.columns = columns, .prefix = "# "};
    fputs("# ", stdout);
    px_cli_wrap(
        stdout, &margin, 2,
        "Config keys of pixelrnn at their defaults. Training needs data.train; any other line may be left out.");
    const char *section = "";
    px_config defaults;
    px_config_default(&defaults);
    for (const px_key *key = px_keys; key->name; key++) {
        const size_t length = (size_t)(px_key_leaf(key->name) - key->name);
        if (!begins_with(key->name, prefix)) continue;
        if (length > 0 && strncmp(section, key->name, length) != 0) printf("\n%.*s:\n", (int)length - 1, key->name);
        section = key->name;
        print_yaml_key(&defaults, key, columns);
    }
}

/* ---- JSON ---- */

/* The default as a JSON value of the key's type. */
static cJSON *initial_json(const px_key *key) {
    const bool text = key->type == PX_KEY_STRING || key->type == PX_KEY_WORD;
    return text ? cJSON_CreateString(key->initial) : cJSON_CreateRaw(key->initial);
}

static cJSON *key_json(const px_key *key) {
    char range[PX_KEY_PHRASE];
    px_key_range(key, range);
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "key", key->name);
    cJSON_AddStringToObject(json, "type", type_names[key->type]);
    cJSON_AddItemToObject(json, "default", initial_json(key));
    cJSON_AddStringToObject(json, "range", range);
    cJSON *words = key->words ? cJSON_AddArrayToObject(json, "words") : NULL;
    for (int i = 0; words && key->words[i]; i++) cJSON_AddItemToArray(words, cJSON_CreateString(key->words[i]));
    if (key->unit) cJSON_AddStringToObject(json, "unit", key->unit);
    cJSON_AddBoolToObject(json, "list", key->list);
    cJSON_AddBoolToObject(json, "fixed_on_resume", key->fixed);
    cJSON_AddStringToObject(json, "meaning", key->help);
    return json;
}

static px_status print_json(px_context *ctx, const char *prefix) {
    cJSON *json = cJSON_CreateArray();
    for (const px_key *key = px_keys; key->name; key++)
        if (begins_with(key->name, prefix)) cJSON_AddItemToArray(json, key_json(key));
    char *text = cJSON_Print(json);
    cJSON_Delete(json);
    if (!text) return px_fail_memory(ctx, "keys", 0);
    puts(text);
    free(text);
    return PX_OK;
}

/* ---- Names for shell completion ---- */

/* Prints the assignments that begin with a prefix: "KEY=", or "KEY=WORD" if the prefix contains the equals sign. */
static void print_names(const char *prefix) {
    static const char *const booleans[] = {"true", "false", NULL};
    const char *equals = strchr(prefix, '=');
    for (const px_key *key = px_keys; key->name; key++) {
        const size_t length = strlen(key->name);
        if (!equals && begins_with(key->name, prefix)) printf("%s=\n", key->name);
        if (!equals || (size_t)(equals - prefix) != length || strncmp(key->name, prefix, length) != 0) continue;
        const char *const *words = key->type == PX_KEY_BOOLEAN ? booleans : key->words;
        for (; words && *words; words++) printf("%s=%s\n", key->name, *words);
    }
}

/* ---- The command ---- */

static px_status check_prefix(px_context *ctx, const char *prefix) {
    char quote[PX_QUOTE], suggestion[PX_KEY_PHRASE];
    for (const px_key *key = px_keys; key->name; key++)
        if (begins_with(key->name, prefix)) return PX_OK;
    px_quote(prefix, quote);
    px_key_suggest(prefix, suggestion);
    return px_fail(ctx, PX_ERR_USAGE, "keys: found %s, expected the beginning of a key (%s)", quote, suggestion);
}

static px_status keys_run(px_context *ctx, int count, char **arguments) {
    keys_values v = {0};
    px_arguments positionals;
    PX_TRY(px_cli_parse(ctx, &px_command_keys, count, arguments, &v, &positionals));
    const char *prefix = positionals.count > 0 ? positionals.value[0] : "";
    if (v.names + v.yaml + v.json > 1)
        return px_fail(ctx, PX_ERR_USAGE, "keys: found several of --yaml, --json and --names, expected at most one");
    if (v.names) {
        print_names(prefix);
        return PX_OK;
    }
    PX_TRY(check_prefix(ctx, prefix));
    if (v.json) return print_json(ctx, prefix);
    (v.yaml ? print_yaml : print_text)(prefix);
    return PX_OK;
}

const px_command px_command_keys = {
    .name = "keys",
    .positionals = "[PREFIX]",
    .summary = "every config key, or those that begin with PREFIX: default, meaning, type, range",
    .details =
        "Lines are as long as the terminal is wide, or as the variable COLUMNS says. A pipe gets one line for each "
        "key.",
    .example = "keys --yaml >config.yaml",
    .options = options,
    .run = keys_run,
};
