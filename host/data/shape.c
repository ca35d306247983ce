/* Do sizes fit each other? */
#include "host/data/formats.h"
#include <stdio.h>

/* "10 x 28 x 28" */
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
