/* Reading pictures through stb_image, and making them smaller. */
#include "pixelrnn/picture.h"
#include "host/data/contents.h"
#include "host/data/jpeg_tables.h"
#include <stdbool.h>
#include <stb/stb_image.h>

/* stb_image does not give one for everything. */
static const char *failure_reason(void) {
    const char *reason = stbi_failure_reason();
    return reason ? reason : "damaged content";
}

px_status px_picture_measure(px_context *ctx, const char *name, const uint8_t *bytes, size_t size, int *height,
                             int *width) {
    int stored;
    if (!px_jpeg_tables_fit(bytes, size))
        return px_fail(ctx, PX_ERR_FORMAT, "%s: found a Huffman table of more than 256 symbols, expected fewer", name);
    bool known = size > 0 && size <= PX_PICTURE_BYTES &&
                 stbi_info_from_memory(bytes, (int)size, width, height, &stored);
    if (!known)
        return px_fail(ctx, PX_ERR_FORMAT, "%s: found %s, expected a PNG or JPEG picture", name,
                       size == 0                  ? "no bytes"
                       : size <= PX_PICTURE_BYTES ? failure_reason()
                                                  : "more than 256 MiB");
    if (*height < 1 || *width < 1 || (int64_t)*height * *width > PX_PICTURE_PIXELS)
        return px_fail(ctx, PX_ERR_FORMAT, "%s: found a picture of %d x %d pixels, expected at most %d in all", name,
                       *height, *width, PX_PICTURE_PIXELS);
    return PX_OK;
}

px_status px_picture_decode(px_context *ctx, const char *name, const uint8_t *bytes, size_t size, int channels,
                            uint8_t **pixels, int *height, int *width) {
    int stored;
    PX_TRY(px_picture_measure(ctx, name, bytes, size, height, width));
    *pixels = stbi_load_from_memory(bytes, (int)size, width, height, &stored, channels);
    if (*pixels) return PX_OK;
    return px_fail(ctx, PX_ERR_FORMAT, "%s: found %s, expected a PNG or JPEG picture", name, failure_reason());
}

px_status px_picture_read(px_context *ctx, const char *path, int channels, uint8_t **pixels, int *height, int *width) {
    px_contents file;
    PX_TRY(px_contents_read(ctx, path, PX_PICTURE_BYTES, &file));
    px_status status = px_picture_decode(ctx, path, file.bytes, file.size, channels, pixels, height, width);
    px_contents_free(&file);
    return status;
}

/* In units of 1 / side of a pixel, the output's pixel i covers from i * square to (i + 1) * square, and pixel k of the
 * square from k * side to (k + 1) * side: all weights are whole, and their sum is square. */
static uint64_t overlap(size_t i, size_t k, size_t square, size_t side) {
    size_t from = i * square > k * side ? i * square : k * side;
    size_t to = (i + 1) * square < (k + 1) * side ? (i + 1) * square : (k + 1) * side;
    return to - from;
}

/* The means over the output's pixel (y, x); pixels begin at the square's corner, `stride` bytes a row. */
static void area_mean(const uint8_t *pixels, size_t stride, size_t channels, size_t square, size_t side, size_t y,
                      size_t x, uint8_t *mean) {
    uint64_t sum[3] = {0}, all = (uint64_t)square * square;
    for (size_t j = y * square / side; j * side < (y + 1) * square; j++) {
        uint64_t weight = overlap(y, j, square, side);
        for (size_t k = x * square / side; k * side < (x + 1) * square; k++) {
            uint64_t area = weight * overlap(x, k, square, side);
            for (size_t c = 0; c < channels; c++) sum[c] += area * pixels[j * stride + k * channels + c];
        }
    }
    for (size_t c = 0; c < channels; c++) mean[c] = (uint8_t)((sum[c] + all / 2) / all);
}

void px_picture_shrink(const uint8_t *pixels, int height, int width, int channels, int side, uint8_t *shrunk) {
    size_t square = (size_t)(height < width ? height : width), out = (size_t)side, depth = (size_t)channels;
    size_t stride = (size_t)width * depth;
    const uint8_t *corner = pixels + ((size_t)height - square) / 2 * stride + ((size_t)width - square) / 2 * depth;
    for (size_t y = 0; y < out; y++)
        for (size_t x = 0; x < out; x++)
            area_mean(corner, stride, depth, square, out, y, x, shrunk + (y * out + x) * depth);
}
