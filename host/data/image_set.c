/* Sets of image files as images of one size. */
#include "host/data/image_set.h"
#include "host/data/image.h"
#include <stdlib.h>
#include <string.h>

void px_encoded_free(px_encoded *encoded) {
    free(encoded->owned);
    encoded->owned = NULL;
}

px_status px_encoded_measure(px_context *ctx, const px_encoded *encoded, int *height, int *width) {
    uint8_t *pixels;
    PX_TRY(px_image_decode(ctx, encoded->name, encoded->bytes, encoded->size, 1, &pixels, height, width));
    free(pixels);
    return PX_OK;
}

px_status px_fail_none_readable(px_context *ctx, const char *path, size_t count, const px_context *first) {
    return px_fail(ctx, PX_ERR_FORMAT, "%.256s: found no image that can be read among %zu; the first: %s", path, count,
                   first->message);
}

/* Writes the message for a set without images. Tars are mentioned because ImageNet's training archive is a tar of tars,
 * one for each class. */
static px_status fail_empty(px_context *ctx, const px_source *set) {
    char text[PX_LEFT_OUT_TEXT];
    const size_t tars = set->left_out[PX_IMAGE_TAR - PX_IMAGE_GIF];
    px_source_left_out(set->left_out, text);
    if (tars > 0)
        return px_fail(ctx, PX_ERR_FORMAT,
                       "%s: found %zu tars in it and no images, expected files that end in .png, .jpg or .jpeg: unpack "
                       "it, then pixelrnn pack the tars that were in it, or unpack each into a folder of its own",
                       set->name, tars);
    return px_fail(ctx, PX_ERR_FORMAT, "%s: found no images%s%s%s, expected files that end in .png, .jpg or .jpeg",
                   set->name, text[0] ? " but " : "", text, text[0] ? ", which are not read" : "");
}

px_status px_image_set_create(px_context *ctx, size_t bytes, const char *path, const px_source_options *options,
                              px_image_set **set) {
    size_t side = (size_t)options->size;
    px_extent extent = {0, side, side, options->channels ? (size_t)options->channels : 3};
    px_source *source;
    PX_TRY(px_source_create(ctx, bytes, path, extent, &source));
    *set = (px_image_set *)source;
    (*set)->resize = side > 0;
    source->stored.varies = side > 0;
    source->stored.height = source->stored.width = 0;
    return PX_OK;
}

static px_status read_image(px_source *source, px_context *ctx, size_t index, uint8_t *pixels) {
    px_image_set *set = (px_image_set *)source;
    px_encoded encoded = {0};
    px_status status = set->load(set, ctx, index, &encoded);
    if (status == PX_OK) status = px_image_set_decode(ctx, set, &encoded, pixels);
    px_encoded_free(&encoded);
    return status;
}

/* Records the stored size of the first image, if it can be read. */
static void measure_first(px_image_set *set) {
    px_context ignored;
    px_encoded encoded = {0};
    int height, width;
    if (set->load(set, &ignored, 0, &encoded) == PX_OK &&
        px_image_measure(&ignored, encoded.name, encoded.bytes, encoded.size, &height, &width) == PX_OK) {
        set->base.stored.height = height;
        set->base.stored.width = width;
    }
    px_encoded_free(&encoded);
}

px_status px_image_set_measure(px_context *ctx, px_image_set *set) {
    if (set->base.count == 0) return fail_empty(ctx, &set->base);
    set->base.concurrent = true;
    set->base.read = read_image;
    if (set->resize) measure_first(set);
    px_status status = set->resize ? PX_OK : PX_ERR_FORMAT;
    px_context first = {""};
    for (size_t i = 0; status == PX_ERR_FORMAT && i < set->base.count; i++) {
        px_encoded encoded = {0};
        status = set->load(set, ctx, i, &encoded);
        if (status == PX_OK) status = px_encoded_measure(ctx, &encoded, &set->base.height, &set->base.width);
        px_encoded_free(&encoded);
        if (i == 0 && status != PX_OK) first = *ctx;
    }
    return status == PX_ERR_FORMAT ? px_fail_none_readable(ctx, set->base.name, set->base.count, &first) : status;
}

px_status px_image_set_decode(px_context *ctx, const px_image_set *set, const px_encoded *encoded, uint8_t *pixels) {
    const px_source *base = &set->base;
    uint8_t *decoded;
    int height, width;
    PX_TRY(px_image_measure(ctx, encoded->name, encoded->bytes, encoded->size, &height, &width));
    bool fits = height == base->height && width == base->width;
    if (!fits && !set->resize)
        return px_fail(ctx, PX_ERR_SHAPE,
                       "%s: found %d x %d pixels, expected %d x %d as of the first image; data.size (pack: --size) "
                       "brings all to one size",
                       encoded->name, height, width, base->height, base->width);
    if (!fits && (height < base->height || width < base->width))
        return px_fail(ctx, PX_ERR_FORMAT, "%s: found %d x %d pixels, expected at least %d x %d", encoded->name, height,
                       width, base->height, base->width);
    PX_TRY(
        px_image_decode(ctx, encoded->name, encoded->bytes, encoded->size, base->channels, &decoded, &height, &width));
    if (fits)
        memcpy(pixels, decoded, px_source_image_bytes(base));
    else
        px_image_downsample(decoded, height, width, base->channels, base->height, pixels);
    free(decoded);
    return PX_OK;
}
