/* A source over images that were read into memory as a whole. */
#include "host/data/formats.h"
#include <stdlib.h>
#include <string.h>

typedef struct px_memory_source {
    px_source base;
    uint8_t *memory;
    const uint8_t *pixels; /* of image 0, inside memory */
} px_memory_source;

static px_status read_image(px_source *source, px_context *ctx, size_t index, uint8_t *pixels) {
    (void)ctx;
    const px_memory_source *self = (const px_memory_source *)source;
    size_t bytes = px_source_image_bytes(source);
    memcpy(pixels, self->pixels + index * bytes, bytes);
    return PX_OK;
}

static void close_source(px_source *source) {
    free(((px_memory_source *)source)->memory);
    free(source);
}

px_status px_memory_source_open(px_context *ctx, const char *path, px_contents contents, size_t offset,
                                px_extent extent, px_source **source) {
    px_status status = px_source_create(ctx, sizeof(px_memory_source), path, extent, source);
    if (status != PX_OK) {
        free(contents.bytes);
        return status;
    }
    px_memory_source *self = (px_memory_source *)*source;
    self->memory = contents.bytes;
    self->pixels = contents.bytes + offset;
    self->base.read = read_image;
    self->base.close = close_source;
    return PX_OK;
}
