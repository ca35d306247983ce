/* .npy files as a source. */
#include "host/data/npy_header.h"

px_status px_npy_source_open(px_context *ctx, const char *path, px_contents contents, const px_source_options *options,
                             px_source **source) {
    (void)options;
    px_npy_header h;
    px_status status = px_npy_header_parse(ctx, path, contents.bytes, contents.size, &h);
    if (status == PX_OK) status = px_npy_header_images(ctx, path, &h, contents.size);
    if (status != PX_OK) {
        px_contents_free(&contents);
        return status;
    }
    px_array array = px_array_plain(h.dimensions, h.shape, h.elements);
    return px_array_open(ctx, path, contents, &array, source);
}
