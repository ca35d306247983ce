/* The image size of a config, for commands that need no data. */
#include "host/cli/cli.h"

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
    PX_TRY(px_cli_open_list(ctx, NULL, c->data.train, &options, (int)c->data.levels, &source));
    fill(size, source->height, source->width, source->channels);
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
        return px_fail(ctx, PX_ERR_USAGE, "%s: %s; for the size of images give %s, or data.size and data.channels",
                       where, why.message, options);
    const int64_t side = size->height > size->width ? size->height : size->width;
    if (side <= MAX_SIDE && size->channels <= MAX_CHANNELS) return PX_OK;
    return px_fail(ctx, PX_ERR_USAGE,
                   "%s: found images of %lld x %lld x %lld, expected sides up to %d and 1 or %d channels", where,
                   (long long)size->height, (long long)size->width, (long long)size->channels, MAX_SIDE, MAX_CHANNELS);
}
