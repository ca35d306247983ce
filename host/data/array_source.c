/* A source over images that lie one after the other, mapped or in memory: every read is a copy. */
#include "host/data/formats.h"
#include <stdlib.h>
#include <string.h>

typedef struct px_array_source {
    px_source base;
    px_contents contents;
    px_array array;
} px_array_source;

void px_array_copy(const px_array *array, const uint8_t *image, uint8_t *pixels) {
    const px_extent *e = &array->extent;
    size_t plane = e->height * e->width;
    if (!array->planes) {
        memcpy(pixels, image, plane * e->channels);
        return;
    }
    for (size_t c = 0; c < e->channels; c++)
        for (size_t i = 0; i < plane; i++) pixels[i * e->channels + c] = image[c * plane + i];
}

static px_status read_image(px_source *source, px_context *ctx, size_t index, uint8_t *pixels) {
    const px_array_source *self = (const px_array_source *)source;
    const px_array *array = &self->array;
    PX_TRY(px_contents_check(ctx, source->name, &self->contents));
    px_array_copy(array, self->contents.bytes + array->offset + index * array->stride, pixels);
    return PX_OK;
}

static void close_source(px_source *source) {
    px_contents_free(&((px_array_source *)source)->contents);
    free(source);
}

px_array px_array_plain(int dimensions, const size_t *shape, size_t offset) {
    px_extent extent = {shape[0], shape[1], shape[2], dimensions == 4 ? shape[3] : 1};
    return (px_array){extent, offset, extent.height * extent.width * extent.channels, false};
}

px_status px_array_open(px_context *ctx, const char *path, px_contents contents, const px_array *array,
                        px_source **source) {
    px_status status = px_source_create(ctx, sizeof(px_array_source), path, array->extent, source);
    if (status != PX_OK) {
        px_contents_free(&contents);
        return status;
    }
    px_array_source *self = (px_array_source *)*source;
    self->contents = contents;
    self->array = *array;
    self->base.concurrent = true;
    self->base.read = read_image;
    self->base.close = close_source;
    return PX_OK;
}
