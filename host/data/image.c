/* Decoding images with stb_image, applying EXIF orientations, and downsampling. */
#include "host/data/image.h"
#include "host/data/byte_source.h"
#include "host/data/image_format.h"
#include <stdlib.h>
#include <string.h>
#include <stb/stb_image.h>

/* ---- Messages ---- */

/* Keywords of stb_image's failure reasons, and their meaning. Any other reason is damage. */
static const struct {
    const char *reason, *meaning;
} failures[] = {
    {"outofmem", "pixels that take more than 1 GiB, or more than the memory left, expected fewer"},
    {"too large", "a side of more than 32768 pixels, expected at most that"},
    {"only 8-bit", "a JPEG of more than 8 bits a value, expected 8"},
    {"no header height", "a JPEG whose header leaves its height open, expected a height"},
    {"0-pixel", "an image without pixels, expected one"},
    {"0 width", "an image without pixels, expected one"},
    {"not enough pixels", "fewer pixels than its header says, expected all"},
    {"outofdata", "fewer bytes than its header says, expected all"},
};

/* Writes the message for a decoder failure. stb_image also fails for intact JPEGs of unsupported kinds: with arithmetic
 * coding, or lossless. */
static px_status fail_decoder(px_context *ctx, const char *name, px_image_format format) {
    const char *reason = stbi_failure_reason();
    for (size_t i = 0; reason && i < sizeof failures / sizeof *failures; i++)
        if (strstr(reason, failures[i].reason))
            return px_fail(ctx, PX_ERR_FORMAT, "%s: found %s", name, failures[i].meaning);
    return px_fail(ctx, PX_ERR_FORMAT, "%s: found a damaged %s, or one of an unusual kind, expected one that is whole",
                   name, px_image_format_name(format));
}

/* Writes the message for content that is neither PNG nor JPEG: its format if known, else its first bytes. */
static px_status fail_format(px_context *ctx, const char *name, const uint8_t *bytes, size_t size) {
    const char *format = px_image_format_name(px_image_format_of_bytes(bytes, size));
    char head[3 * 8 + 1] = "";
    for (size_t i = 0; i < size && i < 8; i++) snprintf(head + 3 * i, 4, " %02x", bytes[i]);
    return px_fail(ctx, PX_ERR_FORMAT, "%s: found %s%s, expected a PNG or JPEG image", name,
                   format     ? "content of the format "
                   : size > 0 ? "the first bytes"
                              : "no bytes",
                   format ? format : head);
}

/* ---- Orientation ---- */

/* How the shown image is found in the stored one (EXIF 2.32, 4.6.4, tag 274). swap: its rows are the stored columns.
 * from_bottom, from_right: stored rows or columns are counted from the end. */
typedef struct orientation {
    bool swap, from_bottom, from_right;
} orientation;

static const orientation orientations[] = {[1] = {0, 0, 0}, [2] = {0, 0, 1}, [3] = {0, 1, 1}, [4] = {0, 1, 0},
                                           [5] = {1, 0, 0}, [6] = {1, 1, 0}, [7] = {1, 1, 1}, [8] = {1, 0, 1}};

/* Reorders stored pixels [height, width, channels] to oriented ones, which are [width, height, channels] with swap. */
static void orient_pixels(const uint8_t *pixels, size_t height, size_t width, size_t channels, orientation how,
                          uint8_t *oriented) {
    const size_t rows = how.swap ? width : height, columns = how.swap ? height : width;
    for (size_t y = 0; y < rows; y++)
        for (size_t x = 0; x < columns; x++, oriented += channels) {
            const size_t row = how.swap ? x : y, column = how.swap ? y : x;
            const size_t from_row = how.from_bottom ? height - 1 - row : row;
            const size_t from_column = how.from_right ? width - 1 - column : column;
            memcpy(oriented, pixels + (from_row * width + from_column) * channels, channels);
        }
}

/* Replaces stored *pixels by oriented ones. exif is the orientation, 1 to 8. Frees *pixels if it fails. */
static px_status apply_orientation(px_context *ctx, const char *name, int exif, int height, int width, int channels,
                                   uint8_t **pixels) {
    if (exif == 1) return PX_OK;
    const size_t bytes = (size_t)height * (size_t)width * (size_t)channels;
    uint8_t *oriented = malloc(bytes), *stored = *pixels;
    if (oriented) orient_pixels(stored, (size_t)height, (size_t)width, (size_t)channels, orientations[exif], oriented);
    free(stored);
    *pixels = oriented;
    return oriented ? PX_OK : px_fail_memory(ctx, name, bytes);
}

/* ---- Decoding ---- */

/* The properties of an image that are read before it is decoded. */
typedef struct image_header {
    px_image_format format;
    px_jpeg jpeg;
    int height, width; /* as stored */
} image_header;

static px_status inspect(px_context *ctx, const char *name, const uint8_t *bytes, size_t size, image_header *h) {
    int channels;
    *h = (image_header){.format = px_image_format_of_bytes(bytes, size)};
    if (size > PX_IMAGE_BYTES)
        return px_fail(ctx, PX_ERR_FORMAT, "%s: found a file of more than %d bytes, expected at most that", name,
                       PX_IMAGE_BYTES);
    if (!px_image_is_read(h->format)) return fail_format(ctx, name, bytes, size);
    h->jpeg = px_jpeg_inspect(bytes, size);
    if (!h->jpeg.tables_fit)
        return px_fail(ctx, PX_ERR_FORMAT, "%s: found a Huffman table of more than 256 symbols, expected fewer", name);
    if (!stbi_info_from_memory(bytes, (int)size, &h->width, &h->height, &channels)) {
        /* stbi_info leaves no failure reason; decoding fails at the same header and leaves one. */
        stbi_image_free(stbi_load_from_memory(bytes, (int)size, &h->width, &h->height, &channels, 1));
        return fail_decoder(ctx, name, h->format);
    }
    if (h->height < 1 || h->width < 1 || (int64_t)h->height * h->width > PX_IMAGE_PIXELS)
        return px_fail(ctx, PX_ERR_FORMAT, "%s: found an image of %d x %d pixels, expected at most %d in all", name,
                       h->height, h->width, PX_IMAGE_PIXELS);
    return PX_OK;
}

static void shown_size(const image_header *h, int *height, int *width) {
    const bool swap = orientations[h->jpeg.orientation].swap;
    *height = swap ? h->width : h->height;
    *width = swap ? h->height : h->width;
}

px_status px_image_measure(px_context *ctx, const char *name, const uint8_t *bytes, size_t size, int *height,
                           int *width) {
    image_header h;
    PX_TRY(inspect(ctx, name, bytes, size, &h));
    shown_size(&h, height, width);
    return PX_OK;
}

px_status px_image_decode(px_context *ctx, const char *name, const uint8_t *bytes, size_t size, int channels,
                          uint8_t **pixels, int *height, int *width) {
    image_header h;
    int stored;
    PX_TRY(inspect(ctx, name, bytes, size, &h));
    if (h.format == PX_IMAGE_PNG) PX_TRY(px_png_check(ctx, name, bytes, size));
    if (!h.jpeg.ended)
        return px_fail(ctx, PX_ERR_FORMAT, "%s: found a JPEG that ends after %zu bytes, expected an end marker", name,
                       size);
    *pixels = stbi_load_from_memory(bytes, (int)size, &h.width, &h.height, &stored, channels);
    if (!*pixels) return fail_decoder(ctx, name, h.format);
    shown_size(&h, height, width);
    return apply_orientation(ctx, name, h.jpeg.orientation, h.height, h.width, channels, pixels);
}

px_status px_image_read(px_context *ctx, const char *path, int channels, uint8_t **pixels, int *height, int *width) {
    px_byte_source file;
    PX_TRY(px_byte_source_read(ctx, path, PX_IMAGE_BYTES, &file));
    px_status status = px_image_decode(ctx, path, file.bytes, file.size, channels, pixels, height, width);
    px_byte_source_free(&file);
    return status;
}

/* ---- Downsampling ---- */

/* The overlap of output pixel i and input pixel k along one axis, in units of 1 / side of an input pixel. Output pixel
 * i covers i * square to (i + 1) * square, input pixel k covers k * side to (k + 1) * side. So all weights are
 * integers, and those of an output pixel add up to square. */
static uint64_t overlap(size_t i, size_t k, size_t square, size_t side) {
    size_t from = i * square > k * side ? i * square : k * side;
    size_t to = (i + 1) * square < (k + 1) * side ? (i + 1) * square : (k + 1) * side;
    return to - from;
}

/* Computes the mean of each channel over output pixel (y, x). pixels begins at the corner of the square; a row has
 * `stride` bytes. */
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

void px_image_downsample(const uint8_t *pixels, int height, int width, int channels, int side, uint8_t *output) {
    size_t square = (size_t)(height < width ? height : width), out = (size_t)side, depth = (size_t)channels;
    size_t stride = (size_t)width * depth;
    const uint8_t *corner = pixels + ((size_t)height - square) / 2 * stride + ((size_t)width - square) / 2 * depth;
    for (size_t y = 0; y < out; y++)
        for (size_t x = 0; x < out; x++)
            area_mean(corner, stride, depth, square, out, y, x, output + (y * out + x) * depth);
}
