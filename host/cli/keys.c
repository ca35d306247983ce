/* pixelrnn keys: prints the table of config keys. */
#include "host/cli/cli.h"
#include "host/config/keys.h"
#include <string.h>

static const px_option options[] = {
    {"--names", NULL, PX_OPTION_FLAG, 0,
     .help = "print names alone, one a line, as \"KEY=\"; with the prefix \"KEY=\" its words, as \"KEY=WORD\""},
    {0},
};

/* Prints the assignments that begin with a prefix, for shell completion: "KEY=", or "KEY=WORD" if the prefix contains
 * the equals sign. */
static void print_names(const char *prefix) {
    static const char *const booleans[] = {"true", "false", NULL};
    const char *equals = strchr(prefix, '=');
    for (const px_key *key = px_keys; key->name; key++) {
        const size_t length = strlen(key->name);
        if (!equals && strncmp(key->name, prefix, strlen(prefix)) == 0) printf("%s=\n", key->name);
        if (!equals || (size_t)(equals - prefix) != length || strncmp(key->name, prefix, length) != 0) continue;
        const char *const *words = key->type == PX_KEY_BOOLEAN ? booleans : key->words;
        for (; words && *words; words++) printf("%s=%s\n", key->name, *words);
    }
}

static px_status keys_run(px_context *ctx, int count, char **arguments) {
    bool names = false;
    px_arguments positionals;
    PX_TRY(px_cli_parse(ctx, &px_command_keys, count, arguments, &names, &positionals));
    const char *prefix = positionals.count > 0 ? positionals.value[0] : "";
    if (!names) return px_config_print_keys(ctx, prefix, stdout);
    print_names(prefix);
    return PX_OK;
}

const px_command px_command_keys = {
    .name = "keys",
    .positionals = "[PREFIX]",
    .summary = "every config key, or those that begin with PREFIX: type, default, range, meaning",
    .options = options,
    .run = keys_run,
};
