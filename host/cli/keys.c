/* pixelrnn keys: the table of config keys. */
#include "host/cli/cli.h"

static px_status run(px_context *ctx, int count, char **arguments) {
    px_arguments prefix;
    PX_TRY(px_cli_parse(ctx, &px_command_keys, count, arguments, NULL, 0, &prefix, 0, 1));
    return px_config_print_keys(ctx, prefix.count > 0 ? prefix.word[0] : "", stdout);
}

const px_command px_command_keys = {
    "keys", "[PREFIX]", "every config key, or those that begin with PREFIX: type, default, range, meaning", .run = run};
