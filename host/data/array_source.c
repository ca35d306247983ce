/* A source over images that lie one after the other, in a file or in memory: every read is a copy. */
#include "host/data/formats.h"
#include <stdlib.h>

typedef struct px_array_source {
    px_source base;
    px_contents contents;
    px_array array;
} px_array_source;

void px_array_interleave(const px_extent *e, const uint8_t *planes, uint8_t *pixels) {
    size_t plane = e->height * e->width;
    for (size_t c = 0; c < e->channels; c++)
        for (size_t i = 0; i < plane; i++) pixels[i * e->channels + c] = planes[c * plane + i];
}

static px_status read_image(px_source *source, px_context *ctx, size_t index, uint8_t *pixels) {
    const px_array_source *self = (const px_array_source *)source;
    const px_array *array = &self->array;
    size_t bytes = px_source_image_bytes(source), offset = array->offset + index * array->stride;
    if (!array->planes) return px_contents_copy(ctx, source->name, &self->contents, offset, bytes, pixels);
    uint8_t *planes = malloc(bytes);
    if (!planes) return px_fail(ctx, PX_ERR_MEMORY, "%s: no memory for an image", source->name);
    px_status status = px_contents_copy(ctx, source->name, &self->contents, offset, bytes, planes);
    if (status == PX_OK) px_array_interleave(&array->extent, planes, pixels);
    free(planes);
    return status;
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
