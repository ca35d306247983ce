/* MNIST's idx files. The header has two zero bytes, the element type, the number of dimensions, and each dimension as a
 * big-endian 32-bit word; the elements follow. Images are type 8 (unsigned byte) in 3 dimensions: count, rows, columns.
 */
#include "host/data/formats.h"

enum { TYPE_UINT8 = 0x08, DIMENSIONS = 3, HEADER = 4 + 4 * DIMENSIONS };

/* Accepts any type and number of dimensions, so that opening a file of labels can name the problem. */
bool px_idx_recognise(const uint8_t *bytes, size_t size) {
    return size >= 4 && bytes[0] == 0 && bytes[1] == 0 && bytes[2] >= 0x08 && bytes[2] <= 0x0e && bytes[3] >= 1;
}

static px_status read_header(px_context *ctx, const char *path, const px_byte_source *input, size_t *shape) {
    uint8_t bytes[HEADER] = {0};
    PX_TRY(px_byte_source_copy(ctx, path, input, 0, input->size < HEADER ? input->size : HEADER, bytes));
    if (bytes[2] != TYPE_UINT8 || bytes[3] != DIMENSIONS)
        return px_fail(ctx, PX_ERR_FORMAT,
                       "%s: idx: found type 0x%02x in %d dimension%s%s, expected images: type 0x08 in 3 dimensions",
                       path, bytes[2], bytes[3], bytes[3] == 1 ? "" : "s", bytes[3] == 1 ? ", as labels have it" : "");
    if (input->size < HEADER)
        return px_fail(ctx, PX_ERR_FORMAT, "%s: idx: found %zu bytes, expected a header of %d", path, input->size,
                       HEADER);
    for (int d = 0; d < DIMENSIONS; d++) shape[d] = px_big_endian(bytes + 4 + 4 * d);
    return px_shape_check(ctx, path, "idx", DIMENSIONS, shape, input->size - HEADER);
}

px_status px_idx_open(px_context *ctx, const char *path, px_byte_source *input, const px_source_options *options,
                      px_source **source) {
    (void)options;
    size_t shape[DIMENSIONS];
    PX_TRY(read_header(ctx, path, input, shape));
    px_array array = px_array_plain(DIMENSIONS, shape, HEADER);
    return px_array_open(ctx, path, input, &array, source);
}
