/* .npy files as a source. */
#include "host/data/npy_header.h"
#include <stdlib.h>

static px_status read_header(px_context *ctx, const char *path, const px_contents *contents, px_npy_header *h) {
    const size_t size = contents->size < PX_NPY_HEADER_MOST ? contents->size : PX_NPY_HEADER_MOST;
    uint8_t *head = malloc(size);
    if (!head) return px_fail(ctx, PX_ERR_MEMORY, "%s: not enough memory to read it", path);
    px_status status = px_contents_copy(ctx, path, contents, 0, size, head);
    if (status == PX_OK) status = px_npy_header_parse(ctx, path, head, size, h);
    free(head);
    return status == PX_OK ? px_npy_header_images(ctx, path, h, contents->size) : status;
}

px_status px_npy_source_open(px_context *ctx, const char *path, px_contents contents, const px_source_options *options,
                             px_source **source) {
    (void)options;
    px_npy_header h;
    px_status status = read_header(ctx, path, &contents, &h);
    if (status != PX_OK) {
        px_contents_free(&contents);
        return status;
    }
    px_array array = px_array_plain(h.dimensions, h.shape, h.elements);
    return px_array_open(ctx, path, contents, &array, source);
}
