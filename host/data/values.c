/* px_values: checking whether bytes are intensities, and converting levels to intensities. */
#include "host/data/formats.h"
#include "pixelrnn/loader.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint8_t px_dequantise(uint8_t level, int levels) {
    int nearest = (2 * 255 * level + (levels - 1)) / (2 * (levels - 1));
    /* The values that quantise to `level` are ceil(256 * level / levels) to ceil(256 * (level + 1) / levels) - 1. */
    int first = (256 * level + levels - 1) / levels;
    int last = (256 * (level + 1) + levels - 1) / levels - 1;
    return (uint8_t)(nearest < first ? first : nearest > last ? last : nearest);
}

static bool reaches_level_1(int value, int levels) { return value * levels >= 256; }

/* Reads images, *seen of them, until a byte reaches level 1, or to the end. Skips damaged images; reading them later
 * reports them. */
static px_status scan_images(px_context *ctx, px_source *source, int levels, uint8_t *pixels, size_t *seen,
                             int *largest) {
    const size_t bytes = px_source_image_bytes(source);
    while (*seen < source->count && !reaches_level_1(*largest, levels)) {
        px_status status = source->read(source, ctx, (*seen)++, pixels);
        if (status == PX_ERR_FORMAT) continue;
        PX_TRY(status);
        for (size_t i = 0; i < bytes; i++)
            if (pixels[i] > *largest) *largest = pixels[i];
    }
    return PX_OK;
}

/* Writes the message for bytes that are too small to be intensities, with advice. */
static px_status fail_small_values(px_context *ctx, const px_source *source, int levels, int largest) {
    char remedy[160];
    const char *const accept = "data.values: intensity takes them as they are";
    if (largest < levels)
        snprintf(remedy, sizeof remedy, "data.values: levels takes the bytes as levels, %s", accept);
    else
        snprintf(remedy, sizeof remedy, "data.levels: %d and data.values: levels take the bytes as levels, %s",
                 largest + 1, accept);
    return px_fail(ctx, PX_ERR_CONFIG,
                   "%s: found no byte above %d in %zu images, which is level 0 of %d everywhere, expected intensities "
                   "up to 255; %s",
                   source->name, largest, source->count, levels, remedy);
}

px_status px_values_check(px_context *ctx, px_source *source, const px_source_options *options, size_t *seen) {
    const int levels = options->levels;
    int largest = 0;
    *seen = 0;
    /* With 256 levels every non-zero byte reaches level 1. */
    if (levels == 0 || levels == 256 || source->intensities || options->values != PX_VALUES_AUTO) return PX_OK;
    uint8_t *pixels = malloc(px_source_image_bytes(source));
    if (!pixels) return px_fail_memory(ctx, source->name, px_source_image_bytes(source));
    px_status status = scan_images(ctx, source, levels, pixels, seen, &largest);
    free(pixels);
    PX_TRY(status);
    return largest == 0 || reaches_level_1(largest, levels) ? PX_OK : fail_small_values(ctx, source, levels, largest);
}

/* A source that converts the levels of another source to intensities. */
typedef struct level_source {
    px_source base;
    px_source *from;
    int levels;
    uint8_t intensity[256]; /* the intensity of each level */
} level_source;

static px_status read_image(px_source *source, px_context *ctx, size_t index, uint8_t *pixels) {
    const level_source *self = (const level_source *)source;
    PX_TRY(self->from->read(self->from, ctx, index, pixels));
    for (size_t i = 0, bytes = px_source_image_bytes(source); i < bytes; i++) {
        if (pixels[i] >= self->levels)
            return px_fail(ctx, PX_ERR_CONFIG,
                           "%s: found value %d in image %zu, expected levels 0 to %d; data.values: intensity reads "
                           "bytes up to 255 as intensities",
                           source->name, pixels[i], index, self->levels - 1);
        pixels[i] = self->intensity[pixels[i]];
    }
    return PX_OK;
}

static void close_source(px_source *source) {
    px_source_close(((level_source *)source)->from);
    free(source);
}

static px_status open_levels(px_context *ctx, int levels, px_source **source) {
    level_source *created = malloc(sizeof *created);
    if (!created) return px_fail_memory(ctx, (*source)->name, sizeof *created);
    *created = (level_source){.base = **source, .from = *source, .levels = levels};
    for (int level = 0; level < levels; level++) created->intensity[level] = px_dequantise((uint8_t)level, levels);
    created->base.stored.levels = levels;
    created->base.read = read_image;
    created->base.close = close_source;
    (*source)->labels = NULL; /* they are the new source's */
    *source = &created->base;
    return PX_OK;
}

px_status px_values_apply(px_context *ctx, const px_source_options *options, px_source **source) {
    if (options->levels == 0 || (*source)->intensities) return PX_OK;
    if (options->values == PX_VALUES_LEVELS) PX_TRY(open_levels(ctx, options->levels, source));
    (*source)->intensities = true;
    return PX_OK;
}
