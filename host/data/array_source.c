/* A source of images that lie at equal distances in a file or in memory. */
#include "host/data/formats.h"
#include <stdlib.h>
#include <string.h>

typedef struct array_source {
    px_source base;
    px_byte_source input;
    px_array array;
} array_source;

void px_array_decode(const px_array *array, const uint8_t *stored, uint8_t *pixels) {
    const px_extent *e = &array->extent;
    const size_t plane = e->height * e->width, bytes = plane * e->channels;
    if (array->planes) {
        for (size_t c = 0; c < e->channels; c++)
            for (size_t i = 0; i < plane; i++) pixels[i * e->channels + c] = stored[c * plane + i];
    } else if (stored != pixels) {
        memcpy(pixels, stored, bytes);
    }
    if (array->binary)
        for (size_t i = 0; i < bytes; i++) pixels[i] = pixels[i] ? 255 : 0;
}

static px_status read_image(px_source *source, px_context *ctx, size_t index, uint8_t *pixels) {
    const array_source *self = (const array_source *)source;
    const px_array *array = &self->array;
    size_t bytes = px_source_image_bytes(source), offset = array->offset + index * array->stride;
    uint8_t *stored = array->planes ? malloc(bytes) : pixels;
    if (!stored) return px_fail_memory(ctx, source->name, bytes);
    px_status status = px_byte_source_copy(ctx, source->name, &self->input, offset, bytes, stored);
    if (status == PX_OK) px_array_decode(array, stored, pixels);
    if (stored != pixels) free(stored);
    return status;
}

static void close_source(px_source *source) {
    px_byte_source_free(&((array_source *)source)->input);
    free(source);
}

/* ---- Arrays in Fortran order ---- */

/* Writes one column, which has one byte of each image, to its positions in C order. */
static void scatter(const px_array *array, const uint8_t *bytes, size_t column, uint8_t *ordered) {
    const size_t *inner = array->inner;
    const size_t i = column % inner[0], j = column / inner[0] % inner[1], k = column / inner[0] / inner[1];
    uint8_t *to = ordered + (i * inner[1] + j) * inner[2] + k;
    for (size_t n = 0; n < array->extent.count; n++) to[n * array->stride] = bytes[n];
}

/* Reads the array into `ordered` in C order, a window of about 1 MiB of columns at a time. */
static px_status reorder(px_context *ctx, const char *path, const px_byte_source *input, const px_array *array,
                         uint8_t *ordered) {
    const size_t images = array->extent.count, columns = array->stride, window = (size_t)1 << 20;
    const size_t max_columns = images < window ? window / images : 1;
    uint8_t *bytes = malloc(max_columns * images);
    if (!bytes) return px_fail_memory(ctx, path, max_columns * images);
    px_status status = PX_OK;
    for (size_t first = 0, count; first < columns && status == PX_OK; first += count) {
        count = columns - first < max_columns ? columns - first : max_columns;
        status = px_byte_source_copy(ctx, path, input, array->offset + first * images, count * images, bytes);
        for (size_t c = 0; c < count && status == PX_OK; c++) scatter(array, bytes + c * images, first + c, ordered);
    }
    free(bytes);
    return status;
}

/* Replaces input by the images in C order, which are in memory. */
static px_status to_c_order(px_context *ctx, const char *path, px_byte_source *input, px_array *array) {
    const size_t bytes = array->extent.count * array->stride;
    if (bytes > px_memory_limit)
        return px_fail(ctx, PX_ERR_FORMAT,
                       "%s: found %zu bytes in Fortran order, expected at most %zu; save the array in C order "
                       "(numpy.ascontiguousarray)",
                       path, bytes, px_memory_limit);
    px_byte_source ordered = {.bytes = malloc(bytes), .size = bytes};
    if (!ordered.bytes) return px_fail_memory(ctx, path, bytes);
    px_status status = reorder(ctx, path, input, array, ordered.bytes);
    px_byte_source_free(status == PX_OK ? input : &ordered);
    if (status != PX_OK) return status;
    *input = ordered;
    array->offset = 0;
    return PX_OK;
}

px_status px_array_open(px_context *ctx, const char *path, px_byte_source *input, const px_array *array,
                        px_source **source) {
    px_source *created;
    PX_TRY(px_source_create(ctx, sizeof(array_source), path, array->extent, &created));
    array_source *self = (array_source *)created;
    self->array = *array;
    self->base.intensities = array->binary;
    if (array->binary) self->base.stored.levels = 2;
    self->base.concurrent = true;
    self->base.read = read_image;
    self->base.close = close_source;
    px_status status = array->fortran ? to_c_order(ctx, path, input, &self->array) : PX_OK;
    if (status == PX_OK) self->input = px_byte_source_take(input);
    return px_source_finish(status, created, source);
}
