/* Binarised MNIST's .amat files: text, one square image a row, its pixels zeros and ones separated by spaces. */
#include "host/data/formats.h"
#include <stdlib.h>

bool px_amat_recognise(const uint8_t *bytes, size_t size) {
    return size >= 2 && (bytes[0] == '0' || bytes[0] == '1') &&
           (bytes[1] == ' ' || bytes[1] == '\n' || bytes[1] == '\r');
}

/* Parses one row of digits at *text into pixels of 0 and 255 at *pixels. Advances both past the row. */
static px_status parse_row(px_context *ctx, const char *path, size_t row, const uint8_t **text, const uint8_t *end,
                           uint8_t **pixels) {
    const uint8_t *from = *text;
    uint8_t *to = *pixels;
    bool separated = true; /* from the previous digit */
    for (; from < end && *from != '\n'; from++) {
        uint8_t byte = *from;
        if ((byte == '0' || byte == '1') && separated) {
            *to++ = byte == '1' ? 255 : 0;
            separated = false;
        } else if (byte == ' ' || byte == '\t' || byte == '\r') {
            separated = true;
        } else {
            return px_fail(ctx, PX_ERR_FORMAT,
                           "%s: amat: found '%c' after %td pixels of row %zu, expected 0 or 1, separated by spaces",
                           path, byte >= 0x20 && byte < 0x7f ? byte : '?', to - *pixels, row);
        }
    }
    *text = from < end ? from + 1 : end;
    *pixels = to;
    return PX_OK;
}

/* Parses the whole text into pixels, and finds the shape of the set. */
static px_status parse(px_context *ctx, const char *path, const px_byte_source *input, uint8_t *pixels,
                       px_extent *extent) {
    const uint8_t *text = input->bytes, *end = input->bytes + input->size;
    size_t rows = 0, expected = 0;
    while (text < end) {
        const uint8_t *first = pixels;
        PX_TRY(parse_row(ctx, path, rows + 1, &text, end, &pixels));
        size_t found = (size_t)(pixels - first);
        if (found == 0 && text == end) break; /* only blanks follow the last row */
        if (rows == 0) expected = found;
        if (found != expected)
            return px_fail(ctx, PX_ERR_FORMAT, "%s: amat: found %zu pixels in row %zu, expected %zu as in row 1", path,
                           found, rows + 1, expected);
        rows++;
    }
    size_t side = px_square_side(expected);
    if (side == 0)
        return px_fail(ctx, PX_ERR_FORMAT, "%s: amat: found %zu pixels a row, expected a square number", path,
                       expected);
    *extent = (px_extent){rows, side, side, 1};
    return PX_OK;
}

px_status px_amat_open(px_context *ctx, const char *path, px_byte_source *input, const px_source_options *options,
                       px_source **source) {
    (void)options;
    px_extent extent = {0};
    const size_t capacity = input->size / 2 + 1; /* at least one separator follows each digit */
    px_byte_source pixels = {.bytes = malloc(capacity)};
    px_status status = px_byte_source_load(ctx, path, px_memory_limit, input);
    if (status == PX_OK && !pixels.bytes) status = px_fail_memory(ctx, path, capacity);
    if (status == PX_OK) status = parse(ctx, path, input, pixels.bytes, &extent);
    const px_array array = {.extent = extent, .stride = extent.height * extent.width, .binary = true};
    if (status == PX_OK) status = px_array_open(ctx, path, &pixels, &array, source);
    px_byte_source_free(&pixels);
    return status;
}
