/* Functions that formats share: creating and closing a source, checking shapes, lists of names. */
#include "host/data/formats.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void close_plain(px_source *source) { free(source); }

px_status px_source_create(px_context *ctx, size_t bytes, const char *name, px_extent extent, px_source **source) {
    if (extent.height > PX_MAX_SIDE || extent.width > PX_MAX_SIDE || (extent.channels != 1 && extent.channels != 3))
        return px_fail(ctx, PX_ERR_FORMAT,
                       "%s: found images of %zu x %zu x %zu, expected sides up to %d and 1 or 3 channels", name,
                       extent.height, extent.width, extent.channels, PX_MAX_SIDE);
    px_source *made = calloc(1, bytes);
    if (!made) return px_fail_memory(ctx, name, bytes);
    snprintf(made->name, sizeof made->name, "%s", name);
    made->count = extent.count;
    made->height = (int)extent.height;
    made->width = (int)extent.width;
    made->channels = (int)extent.channels;
    made->stored.height = made->height;
    made->stored.width = made->width;
    made->stored.channels = made->channels;
    made->stored.levels = 256;
    made->close = close_plain;
    *source = made;
    return PX_OK;
}

void px_source_close(px_source *source) {
    if (!source) return;
    uint16_t *labels = source->labels;
    source->close(source);
    free(labels);
}

const char *px_split_name(px_split split) {
    static const char *const names[PX_SPLITS] = {
        [PX_SPLIT_TRAIN] = "train", [PX_SPLIT_VALID] = "validation", [PX_SPLIT_TEST] = "test"};
    return names[split];
}

px_status px_source_finish(px_status status, px_source *created, px_source **source) {
    if (status == PX_OK)
        *source = created;
    else
        px_source_close(created);
    return status;
}

/* Writes "10 x 28 x 28", truncated to fit. Returns text. */
static const char *describe(int dimensions, const size_t *shape, char *text, size_t size) {
    size_t used = 0;
    text[0] = 0;
    for (int d = 0; d < dimensions && used < size; d++)
        used += (size_t)snprintf(text + used, size - used, d ? " x %zu" : "%zu", shape[d]);
    return text;
}

px_status px_shape_check(px_context *ctx, const char *path, const char *format, int dimensions, const size_t *shape,
                         size_t found) {
    char text[128];
    describe(dimensions, shape, text, sizeof text);
    size_t expected = 1;
    bool overflow = false;
    for (int d = 0; d < dimensions; d++) {
        if (shape[d] == 0)
            return px_fail(ctx, PX_ERR_FORMAT, "%s: %s: found a shape of %s, expected at least 1 of each", path, format,
                           text);
        overflow |= __builtin_mul_overflow(expected, shape[d], &expected);
    }
    if (overflow)
        return px_fail(ctx, PX_ERR_FORMAT, "%s: %s: found %zu bytes of pixels, expected %s", path, format, found, text);
    if (found != expected)
        return px_fail(ctx, PX_ERR_FORMAT, "%s: %s: found %zu bytes of pixels, expected %s = %zu", path, format, found,
                       text, expected);
    return PX_OK;
}

size_t px_square_side(size_t pixels) {
    size_t side = 0;
    while (side < PX_MAX_SIDE && side * side < pixels) side++;
    return side * side == pixels ? side : 0;
}

px_array px_array_plain(int dimensions, const size_t *shape, size_t offset) {
    px_extent extent = {shape[0], shape[1], shape[2], dimensions == 4 ? shape[3] : 1};
    return (px_array){.extent = extent, .offset = offset, .stride = extent.height * extent.width * extent.channels};
}

px_status px_name_list_add(px_context *ctx, const char *owner, const char *name, px_name_list *names) {
    const size_t length = strlen(name) + 1;
    PX_TRY(px_grow(ctx, owner, names->used + length, 1, &names->text_capacity, &names->text));
    PX_TRY(px_grow(ctx, owner, names->count + 1, sizeof *names->start, &names->capacity, &names->start));
    memcpy(names->text + names->used, name, length);
    names->start[names->count++] = names->used;
    names->used += length;
    return PX_OK;
}

void px_name_list_free(px_name_list *names) {
    free(names->text);
    free(names->start);
    *names = (px_name_list){0};
}
