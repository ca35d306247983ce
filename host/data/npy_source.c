/* .npy files. */
#include "host/data/npy_header.h"
#include <stdlib.h>

static px_status find_images(px_context *ctx, const char *path, const px_byte_source *input, px_array *array) {
    px_npy_header h;
    const size_t size = input->size < PX_NPY_HEADER_MAX ? input->size : PX_NPY_HEADER_MAX;
    uint8_t *head = malloc(size);
    if (!head) return px_fail_memory(ctx, path, size);
    px_status status = px_byte_source_copy(ctx, path, input, 0, size, head);
    if (status == PX_OK) status = px_npy_header_parse(ctx, path, head, size, &h);
    free(head);
    return status == PX_OK ? px_npy_images(ctx, path, &h, input->size, array) : status;
}

px_status px_npy_source_open(px_context *ctx, const char *path, px_byte_source *input, const px_source_options *options,
                             px_source **source) {
    (void)options;
    px_array array;
    PX_TRY(find_images(ctx, path, input, &array));
    return px_array_open(ctx, path, input, &array, source);
}
