/* A source whose images are downsampled or converted to other channels as they are read. */
#include "host/data/formats.h"
#include "host/data/image.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIZES = 64 }; /* bytes of a text such as "28 x 28 x 1" */

typedef struct converted_source {
    px_source base;
    px_source *from;
} converted_source;

/* Converts count pixels of `from` channels to `to` channels, each 1 or 3. */
static void change_channels(const uint8_t *pixels, size_t count, int from, int to, uint8_t *changed) {
    if (from == to) {
        memcpy(changed, pixels, count * (size_t)from);
    } else if (to == 1) {
        for (size_t i = 0; i < count; i++) changed[i] = px_image_luma(pixels + 3 * i);
    } else {
        for (size_t i = 0; i < count; i++) memset(changed + 3 * i, pixels[i], 3);
    }
}

static px_status read_image(px_source *source, px_context *ctx, size_t index, uint8_t *pixels) {
    px_source *from = ((converted_source *)source)->from;
    size_t stored = px_source_image_bytes(from), area = (size_t)source->height * (size_t)source->width;
    uint8_t *image = malloc(stored + area * 3), *resized = image + stored;
    if (!image) return px_fail_memory(ctx, source->name, stored + area * 3);
    px_status status = from->read(from, ctx, index, image);
    bool same = from->height == source->height && from->width == source->width;
    if (status == PX_OK && !same)
        px_image_downsample(image, from->height, from->width, from->channels, source->height, resized);
    if (status == PX_OK) change_channels(same ? image : resized, area, from->channels, source->channels, pixels);
    free(image);
    return status;
}

static void close_source(px_source *source) {
    px_source_close(((converted_source *)source)->from);
    free(source);
}

px_status px_source_convert(px_context *ctx, px_source *source, int size, int channels, px_source **converted) {
    int height = size ? size : source->height, width = size ? size : source->width;
    if (!channels) channels = source->channels;
    *converted = source;
    if (height == source->height && width == source->width && channels == source->channels) return PX_OK;
    *converted = NULL;
    if (height > source->height || width > source->width)
        return px_fail(ctx, PX_ERR_CONFIG, "%s: found images of %d x %d, expected at least %d x %d, the size asked for",
                       source->name, source->height, source->width, height, width);
    converted_source *result = malloc(sizeof *result);
    if (!result) return px_fail_memory(ctx, source->name, sizeof *result);
    *result = (converted_source){*source, source};
    result->base.entropy = 0; /* known only for unconverted images */
    result->base.height = height;
    result->base.width = width;
    result->base.channels = channels;
    result->base.read = read_image;
    result->base.close = close_source;
    source->labels = NULL; /* they are the new source's */
    *converted = &result->base;
    return PX_OK;
}

bool px_source_conversion(const px_source *source, int levels, char line[PX_CONVERSION]) {
    const bool known = source->stored.height > 0 || source->stored.varies;
    const bool recolored = known && source->stored.channels != source->channels;
    const bool scaled = known && (source->stored.height != source->height || source->stored.width != source->width);
    const bool quantized = levels < source->stored.levels;
    char from[SIZES] = "various sizes", to[SIZES] = "", sizes[3 * SIZES] = "", values[SIZES] = "";
    line[0] = 0;
    if (!recolored && !scaled && !quantized) return false;
    if (source->stored.height > 0)
        snprintf(from, sizeof from, "%d x %d x %d%s", source->stored.height, source->stored.width,
                 source->stored.channels, source->stored.varies ? " (the first image)" : "");
    if (recolored) snprintf(to, sizeof to, " x %d", source->channels);
    if (recolored || scaled) snprintf(sizes, sizeof sizes, "%s to %d x %d%s", from, source->height, source->width, to);
    if (quantized) snprintf(values, sizeof values, "%d to %d levels", source->stored.levels, levels);
    snprintf(line, PX_CONVERSION, "%s: %s%s%s", source->name, sizes, *sizes && *values ? ", " : "", values);
    return true;
}
