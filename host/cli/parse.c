/* The words of a command: options and plain words, in any order. */
#include "host/cli/cli.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static px_status px_usage(px_context *ctx, const px_command *command, const char *problem, const char *word) {
    return px_fail(ctx, PX_ERR_USAGE, "%s%s; usage: pixelrnn %s %s", problem, word, command->name, command->usage);
}

static const px_option *find_option(const px_option *options, int count, const char *word) {
    for (int i = 0; i < count; i++)
        if (strcmp(options[i].name, word) == 0) return &options[i];
    return NULL;
}

/* -5 and -0.5 are values, -o and --seed are options. */
static bool looks_like_option(const char *word) {
    return word[0] == '-' && word[1] != '\0' && !(word[1] >= '0' && word[1] <= '9') && word[1] != '.';
}

static px_status take_value(px_context *ctx, const px_option *option, const char *word) {
    char *end;
    errno = 0;
    if (option->text) {
        *option->text = word;
    } else if (option->integer) {
        const long long value = strtoll(word, &end, 10);
        if (end == word || *end || errno || value < option->least)
            return px_fail(ctx, PX_ERR_USAGE, "%s: found \"%.40s\", expected an integer of %lld or more", option->name,
                           word, (long long)option->least);
        *option->integer = value;
    } else {
        const double value = strtod(word, &end);
        if (end == word || *end || !isfinite(value) || value <= 0)
            return px_fail(ctx, PX_ERR_USAGE, "%s: found \"%.40s\", expected a number above 0", option->name, word);
        *option->number = value;
    }
    return PX_OK;
}

static px_status add_argument(px_context *ctx, px_arguments *words, const char *word) {
    if (words->count == PX_MAX_ARGUMENTS)
        return px_fail(ctx, PX_ERR_USAGE, "more than %d words of one kind", PX_MAX_ARGUMENTS);
    words->word[words->count++] = word;
    return PX_OK;
}

/* Takes option words[at] with what follows it; *next is the word after. */
static px_status take_option(px_context *ctx, const px_command *command, const px_option *option, int count,
                             char **words, int at, int *next) {
    *next = at + 1;
    if (option->flag) {
        *option->flag = true;
        return PX_OK;
    }
    if (at + 1 == count || looks_like_option(words[at + 1]))
        return px_usage(ctx, command, "found no value after ", words[at]);
    *next = at + 2;
    if (!option->each) return take_value(ctx, option, words[at + 1]);
    PX_TRY(add_argument(ctx, option->each, words[at + 1]));
    for (; option->list && *next < count && !looks_like_option(words[*next]); (*next)++)
        PX_TRY(add_argument(ctx, option->each, words[*next]));
    return PX_OK;
}

static px_status check_required(px_context *ctx, const px_command *command, const px_option *options, int count) {
    for (int i = 0; i < count; i++) {
        if (!options[i].required) continue;
        const bool given = options[i].text ? *options[i].text != NULL : options[i].each->count > 0;
        if (!given) return px_usage(ctx, command, "found no ", options[i].name);
    }
    return PX_OK;
}

px_status px_cli_parse(px_context *ctx, const px_command *command, int count, char **words, const px_option *options,
                       int option_count, px_arguments *plain, int least, int most) {
    plain->count = 0;
    for (int at = 1; at < count;) {
        if (!looks_like_option(words[at])) {
            PX_TRY(add_argument(ctx, plain, words[at++]));
            continue;
        }
        const px_option *option = find_option(options, option_count, words[at]);
        if (!option) return px_usage(ctx, command, "found unknown option ", words[at]);
        PX_TRY(take_option(ctx, command, option, count, words, at, &at));
    }
    if (plain->count < least) return px_usage(ctx, command, "found too few words", "");
    if (plain->count > most) return px_usage(ctx, command, "found one word too many: ", plain->word[most]);
    return check_required(ctx, command, options, option_count);
}
