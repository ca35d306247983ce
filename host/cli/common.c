/* Functions that several commands share. */
#include "host/cli/cli.h"
#include <string.h>

px_status px_cli_override(px_context *ctx, const char *where, const px_arguments *settings, px_config *config) {
    for (int i = 0; i < settings->count; i++) PX_TRY(px_config_set(ctx, settings->value[i], config));
    return px_config_check(ctx, where, config);
}

px_status px_cli_open_device(px_context *ctx, const px_config *config, const px_ranks *ranks, px_device **device) {
    const px_type activation = config->precision == PX_PRECISION_BFLOAT16 ? PX_BF16 : PX_REAL;
    const int ordinal = ranks ? px_ranks_local(ranks) : -1;
    PX_TRY(px_device_open_at(ctx, (px_device_kind)config->device, activation, ordinal, device));
    if (config->precision == PX_PRECISION_TF32) px_device_allow_tf32(*device);
    if (config->paths == PX_PATHS_PLAIN) px_device_use_plain_paths(*device);
    px_cli_print_warning(ranks, *device);
    return PX_OK;
}

void px_cli_print_warning(const px_ranks *ranks, px_device *device) {
    char line[PX_DEVICE_WARNING];
    if (device && px_ranks_rank(ranks) == 0 && px_device_warning(device, line)) fprintf(stderr, "%s\n", line);
}

px_status px_cli_lock_output(px_context *ctx, const char *out, px_lock *lock) {
    char path[PX_PATH];
    PX_TRY(px_file_path(ctx, path, "%s.lock", out));
    PX_TRY(px_lock_acquire(ctx, path, lock));
    if (lock->warning[0]) fprintf(stderr, "%s\n", lock->warning);
    return PX_OK;
}

bool px_cli_ends_with(const char *path, const char *ending) {
    const size_t length = strlen(path), tail = strlen(ending);
    return length > tail && strcmp(path + length - tail, ending) == 0;
}

bool px_cli_is_config(const char *path) { return px_cli_ends_with(path, ".yaml") || px_cli_ends_with(path, ".yml"); }

int px_cli_batch(const px_config *config) {
    return (int)(config->eval.batch_size > 0 ? config->eval.batch_size : config->train.batch_size);
}

int px_cli_sampling_batch(const px_config *config) {
    return config->eval.batch_size > 0 ? (int)config->eval.batch_size : 64;
}

px_status px_cli_open_data(px_context *ctx, const px_ranks *ranks, const px_arguments *specs, const char *list,
                           const px_source_options *options, int levels, px_source **source) {
    const bool given = specs && specs->count > 0;
    px_source_options with = *options;
    char line[PX_CONVERSION];
    if (given) with.label_files = NULL; /* those of the config are of its own sources */
    PX_TRY(given ? px_source_open_all(ctx, specs->count, specs->value, &with, source)
                 : px_source_open_list(ctx, list, &with, source));
    if (px_source_conversion(*source, levels, line)) fprintf(px_cli_talk(ranks), "%s\n", line);
    return PX_OK;
}

FILE *px_cli_talk(const px_ranks *ranks) {
    static FILE *discard;
    if (px_ranks_rank(ranks) == 0) return stderr;
    if (!discard) discard = fopen("/dev/null", "w");
    return discard ? discard : stderr;
}

/* ---- The image size of a config ---- */

enum { MAX_SIDE = 65535, MAX_CHANNELS = 3 }; /* limits of a model */

static void fill(px_image_size *size, int64_t height, int64_t width, int64_t channels) {
    if (size->height == 0) size->height = height;
    if (size->width == 0) size->width = width;
    if (size->channels == 0) size->channels = channels;
}

static bool is_filled(const px_image_size *size) { return size->height > 0 && size->width > 0 && size->channels > 0; }

static px_status fill_from_data(px_context *ctx, const px_config *c, px_image_size *size) {
    const px_source_options options = px_source_options_of(c, PX_SPLIT_TRAIN, PX_ACCESS_IN_ORDER);
    px_source *source;
    PX_TRY(px_cli_open_data(ctx, NULL, NULL, c->data.train, &options, (int)c->data.levels, &source));
    fill(size, source->height, source->width, source->channels);
    if (size->images == 0) size->images = (int64_t)source->count;
    px_source_close(source);
    return PX_OK;
}

/* Data that cannot be opened are not an error if options and config give the size. */
px_status px_cli_image_size(px_context *ctx, const char *where, const px_config *config, const char *options,
                            px_image_size *size) {
    px_context why = {"data.train is empty"};
    if (!is_filled(size) && config->data.train[0]) {
        const px_status status = fill_from_data(&why, config, size);
        if (status != PX_OK && status != PX_ERR_FILE) return px_fail(ctx, status, "%s", why.message);
    }
    fill(size, config->data.size, config->data.size, config->data.channels);
    if (!is_filled(size))
        return px_fail(ctx, PX_ERR_USAGE,
                       "%s: %s; give the images' size by %s, or by --set data.size=SIDE --set data.channels=1 (or 3)",
                       where, why.message, options);
    const int64_t side = size->height > size->width ? size->height : size->width;
    if (side <= MAX_SIDE && size->channels <= MAX_CHANNELS) return PX_OK;
    return px_fail(ctx, PX_ERR_USAGE,
                   "%s: found images of %lld x %lld x %lld, expected sides up to %d and 1 or %d channels", where,
                   (long long)size->height, (long long)size->width, (long long)size->channels, MAX_SIDE, MAX_CHANNELS);
}

void px_cli_print_word(FILE *out, const char *word) {
    const char *const safe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./=:,+%@";
    const bool quoted = !*word || word[strspn(word, safe)];
    fputs(quoted ? " '" : " ", out);
    for (; *word; word++)
        if (*word == '\'')
            fputs("'\\''", out);
        else
            fputc(*word, out);
    if (quoted) fputc('\'', out);
}
