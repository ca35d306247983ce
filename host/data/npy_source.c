/* .npy files as a source: every read is a copy out of the mapping. */
#include "host/data/formats.h"
#include "pixelrnn/npy.h"
#include <stdlib.h>
#include <string.h>

typedef struct px_npy_source {
    px_source base;
    px_npy npy;
} px_npy_source;

static px_status read_image(px_source *source, px_context *ctx, size_t index, uint8_t *pixels) {
    const px_npy_source *self = (const px_npy_source *)source;
    PX_TRY(px_npy_check(ctx, source->name, &self->npy));
    size_t bytes = px_source_image_bytes(source);
    memcpy(pixels, self->npy.data + index * bytes, bytes);
    return PX_OK;
}

static void close_source(px_source *source) {
    px_npy_close(&((px_npy_source *)source)->npy);
    free(source);
}

px_status px_npy_source_open(px_context *ctx, const char *path, px_source **source) {
    px_npy npy;
    PX_TRY(px_npy_open(ctx, path, &npy));
    px_extent extent = {npy.shape[0], npy.shape[1], npy.shape[2], npy.dimensions == 4 ? npy.shape[3] : 1};
    px_status status = px_source_create(ctx, sizeof(px_npy_source), path, extent, source);
    if (status != PX_OK) {
        px_npy_close(&npy);
        return status;
    }
    ((px_npy_source *)*source)->npy = npy;
    (*source)->read = read_image;
    (*source)->close = close_source;
    return PX_OK;
}
