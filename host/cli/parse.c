/* Parsing of command lines by the tables of options. */
#include "host/cli/cli.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Reports "PROBLEM ARGUMENT HINT; usage: ...", with the usage line of the command. */
static px_status fail_usage(px_context *ctx, const px_command *command, const char *problem, const char *argument,
                            const char *hint) {
    char usage[PX_USAGE_TEXT];
    px_cli_usage(command, usage);
    return px_fail(ctx, PX_ERR_USAGE, "%s%.200s%s; usage: pixelrnn %s %s", problem, argument, hint, command->name,
                   usage);
}

/* -5 and -0.5 are values, -o and --seed are options. */
static bool looks_like_option(const char *argument) {
    return argument[0] == '-' && argument[1] != '\0' && !(argument[1] >= '0' && argument[1] <= '9') &&
           argument[1] != '.';
}

static px_status append(px_context *ctx, px_arguments *list, const char *argument) {
    if (list->count == PX_MAX_ARGUMENTS)
        return px_fail(ctx, PX_ERR_USAGE, "%.200s: found more than %d arguments of one kind", argument,
                       PX_MAX_ARGUMENTS);
    list->value[list->count++] = argument;
    return PX_OK;
}

static px_status parse_word(px_context *ctx, const px_option *option, const char *text, int *index) {
    *index = 0;
    for (const char *word = option->argument;; word++, (*index)++) {
        const size_t length = strcspn(word, "|");
        if (strlen(text) == length && strncmp(word, text, length) == 0) return PX_OK;
        word += length;
        if (!*word) break;
    }
    return px_fail(ctx, PX_ERR_USAGE, "%s: found \"%.40s\", expected one of %s", option->name, text, option->argument);
}

/* An integer that must be one of the words of `argument`, or in min .. max. */
static px_status parse_integer(px_context *ctx, const px_option *option, const char *text, int64_t *value) {
    char *end;
    int index;
    if (strchr(option->argument, '|')) PX_TRY(parse_word(ctx, option, text, &index));
    errno = 0;
    *value = strtoll(text, &end, 10);
    const bool valid = end != text && !*end && !errno;
    if (valid && *value >= option->min && (option->max == 0 || *value <= option->max)) return PX_OK;
    if (option->max == 0)
        return px_fail(ctx, PX_ERR_USAGE, "%s: found \"%.40s\", expected an integer of %lld or more", option->name,
                       text, (long long)option->min);
    return px_fail(ctx, PX_ERR_USAGE, "%s: found \"%.40s\", expected an integer from %lld to %lld", option->name, text,
                   (long long)option->min, (long long)option->max);
}

/* Parses the argument of an option that is not a flag into its field. */
static px_status parse_value(px_context *ctx, const px_option *option, const char *text, void *field) {
    double *number = field;
    char *end;
    switch (option->type) {
    case PX_OPTION_WORD: return parse_word(ctx, option, text, field);
    case PX_OPTION_INTEGER: return parse_integer(ctx, option, text, field);
    case PX_OPTION_NUMBER:
        *number = strtod(text, &end);
        if (end != text && !*end && isfinite(*number) && *number > 0) return PX_OK;
        return px_fail(ctx, PX_ERR_USAGE, "%s: found \"%.40s\", expected a number above 0", option->name, text);
    case PX_OPTION_PATHS:
    case PX_OPTION_SETTINGS: return append(ctx, field, text);
    default: *(const char **)field = text; return PX_OK;
    }
}

/* Parses the option arguments[*at] with its values, and advances *at past them. */
static px_status parse_option(px_context *ctx, const px_command *command, int count, char **arguments, int *at,
                              void *values) {
    const char *name = arguments[(*at)++];
    const px_option *option = command->options;
    while (option->name && strcmp(option->name, name) != 0) option++;
    if (!option->name) return fail_usage(ctx, command, "found unknown option ", name, "");
    void *field = (char *)values + option->offset;
    if (option->type == PX_OPTION_FLAG) {
        *(bool *)field = true;
        return PX_OK;
    }
    if (*at == count || looks_like_option(arguments[*at]))
        return fail_usage(ctx, command, "found no value after ", name, "");
    do PX_TRY(parse_value(ctx, option, arguments[(*at)++], field));
    while (option->type == PX_OPTION_PATHS && *at < count && !looks_like_option(arguments[*at]));
    return PX_OK;
}

/* Required options are texts, paths or lists. */
static px_status check_required(px_context *ctx, const px_command *command, const void *values) {
    for (const px_option *option = command->options; option->name; option++) {
        if (!option->required) continue;
        const void *field = (const char *)values + option->offset;
        const bool given = option->type == PX_OPTION_PATHS ? ((const px_arguments *)field)->count > 0
                                                           : *(const char *const *)field != NULL;
        if (!given) return fail_usage(ctx, command, "found no ", option->name, "");
    }
    return PX_OK;
}

static px_status store_defaults(px_context *ctx, const px_command *command, void *values) {
    for (const px_option *option = command->options; option->name; option++)
        if (option->initial) PX_TRY(parse_value(ctx, option, option->initial, (char *)values + option->offset));
    return PX_OK;
}

/* Reports an argument after `wanted` ones. A second argument of a command that reads --data is often one of its files.
 */
static px_status fail_surplus(px_context *ctx, const px_command *command, const px_arguments *positionals, int wanted) {
    const px_option *data = command->options;
    char problem[PX_USAGE_TEXT] = "found one argument too many: ";
    while (data->name && strcmp(data->name, "--data") != 0) data++;
    if (wanted > 0)
        snprintf(problem, sizeof problem, "found one argument too many after %.150s: ", positionals->value[0]);
    return fail_usage(ctx, command, problem, positionals->value[wanted],
                      data->name ? " (files of images follow --data)" : "");
}

px_status px_cli_parse(px_context *ctx, const px_command *command, int count, char **arguments, void *values,
                       px_arguments *positionals) {
    positionals->count = 0;
    PX_TRY(store_defaults(ctx, command, values));
    for (int at = 1; at < count;) {
        if (looks_like_option(arguments[at]))
            PX_TRY(parse_option(ctx, command, count, arguments, &at, values));
        else
            PX_TRY(append(ctx, positionals, arguments[at++]));
    }
    const int wanted = command->positionals[0] != '\0'; /* or none, or several */
    if (positionals->count < wanted && command->positionals[0] != '[')
        return fail_usage(ctx, command, "found no ", command->positionals, "");
    if (positionals->count > wanted && !px_cli_ends_with(command->positionals, "..."))
        return fail_surplus(ctx, command, positionals, wanted);
    return check_required(ctx, command, values);
}
