/* The harness of the parity test: two devices, the same maps on both, and their comparison. Included by test_parity.c.
 */
#ifndef PIXELRNN_TESTS_GPU_PARITY_H
#define PIXELRNN_TESTS_GPU_PARITY_H

#include "tests/support.h"
#include "pixelrnn/random.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDES = 2, POOL = 1 << 30 };

/* Both sides sum in float32, in different orders: over a few thousand terms of like size that is some 1e-6 of the
 * largest result. A wrong term, or TF32's 1e-3, is far above. */
static const double tolerance = 1e-4;

/* The same map on both sides. */
typedef struct pair {
    px_map on[SIDES];
} pair;

typedef enum { POISONED, RANDOM, POSITIVE, ZERO } content;

#define INDEX(name) OP_##name,
enum { PX_DEVICE_OPS(INDEX) OPERATIONS };

static struct {
    px_context ctx;
    px_device *device[SIDES];
    char *pool[SIDES]; /* device memory that the maps of a case are cut from */
    size_t used;
    char *host[SIDES]; /* for filling and comparing */
    uint64_t seed;
    size_t skew; /* bytes, 0 or one real: half of the cases run on maps that only their elements align */
    int ran[OPERATIONS];
    char note[160]; /* the case, for messages */
} the;

/* Starts a case: every map of the case before is gone. */
#define CASE(...)                                                                                                      \
    do {                                                                                                               \
        snprintf(the.note, sizeof the.note, __VA_ARGS__);                                                              \
        the.used = 0;                                                                                                  \
        the.skew = the.seed++ % 2 * sizeof(px_real);                                                                   \
    } while (0)

/* Runs an operation on both sides; its arguments say .on[side]. */
#define BOTH(op, ...)                                                                                                  \
    do {                                                                                                               \
        for (int side = 0; side < SIDES; side++)                                                                       \
            if (px_run(the.device[side], op, __VA_ARGS__) != PX_OK)                                                    \
                fail_msg("%s [%s]: %s", #op, the.note, the.ctx.message);                                               \
        the.ran[OP_##op]++;                                                                                            \
    } while (0)

static const pair absent;

static double uniform(uint64_t place) {
    const px_random4 word = px_random(1, PX_RANDOM_DATA, the.seed, place);
    return px_uniform(word.word[0], word.word[1]);
}

static void fill(void *host, const px_map *map, content what) {
    const size_t count = px_map_elements(map);
    const uint64_t offset = (uint64_t)the.used << 16;
    memset(host, what == POISONED ? 0xff : 0, px_map_bytes(map));
    for (size_t i = 0; (what == RANDOM || what == POSITIVE) && i < count; i++) {
        const double u = uniform(offset + i), value = what == POSITIVE ? u : 2 * u - 1;
        if (map->type == PX_REAL) ((px_real *)host)[i] = (px_real)value;
        if (map->type == PX_FLOAT64) ((double *)host)[i] = value;
    }
}

static void upload(pair *p) {
    const size_t bytes = px_map_bytes(&p->on[0]);
    for (int side = 0; side < SIDES; side++) {
        px_device *device = the.device[side];
        assert_ok(&the.ctx, device->ops->upload(device, p->on[side].data, the.host[0], bytes));
        assert_ok(&the.ctx, device->ops->synchronize(device));
    }
}

static pair make(size_t rows, int columns, px_type type, content what) {
    pair p;
    for (int side = 0; side < SIDES; side++) {
        p.on[side] = (px_map){the.pool[side] + the.used + (type == PX_REAL ? the.skew : 0), rows, columns, type};
    }
    the.used += (px_map_bytes(&p.on[0]) + 511) / 256 * 256;
    if (the.used > POOL) fail_msg("[%s]: the pool of %d bytes is too small", the.note, POOL);
    fill(the.host[0], &p.on[0], what);
    upload(&p);
    return p;
}

static pair reals(size_t rows, int columns, content what) {
    return make(rows, columns, PX_REAL, what);
}

static pair doubles(size_t rows, int columns, content what) {
    return make(rows, columns, PX_FLOAT64, what);
}

static pair levels(size_t rows, int columns, int count) {
    pair p = make(rows, columns, PX_UINT8, ZERO);
    const uint64_t offset = (uint64_t)the.used << 16;
    for (size_t i = 0; i < px_map_elements(&p.on[0]); i++)
        ((uint8_t *)the.host[0])[i] = (uint8_t)(uniform(offset + i) * count);
    upload(&p);
    return p;
}

static double element_byte(const void *data, size_t index) {
    return ((const uint8_t *)data)[index];
}

/* The largest difference between the sides, whichever is taken as the truth: NaN on either side is infinitely far. */
static void expect_equal(const pair *p, const char *operation, const char *what) {
    double (*const element)(const void *, size_t) = p->on[0].type == PX_REAL    ? px_element_real
                                                    : p->on[0].type == PX_UINT8 ? element_byte
                                                                                : px_element_double;
    const size_t count = px_map_elements(&p->on[0]);
    for (int side = 0; side < SIDES; side++) {
        px_device *device = the.device[side];
        assert_ok(&the.ctx, device->ops->download(device, the.host[side], p->on[side].data, px_map_bytes(&p->on[0])));
    }
    for (int truth = 0; truth < SIDES; truth++) {
        const px_difference d = px_compare(count, element, the.host[1 - truth], element, the.host[truth]);
        if (d.relative > tolerance || isnan(d.relative))
            fail_msg(
                "%s, %s [%s]: element %zu of %zu is %.9g on %s, %.9g on %s; off by %.3g of the largest, at most %g "
                "(rounding of float32 sums)",
                operation, what, the.note, d.index, count, d.want, the.device[truth]->kind, d.found,
                the.device[1 - truth]->kind, d.relative, tolerance);
    }
}

#define EXPECT(op, map) expect_equal(&(map), #op, #map)

/* Random values, with 0 where the taps are not live: what masks guarantee of every weight. */
static pair live_weight(int out, int in, const px_taps *taps) {
    pair p = reals((size_t)out, taps->stored * in, ZERO);
    fill(the.host[0], &p.on[0], RANDOM);
    const size_t wide = (size_t)p.on[0].columns, live = (size_t)taps->live * (size_t)in;
    for (size_t row = 0; row < (size_t)out; row++)
        memset(the.host[0] + (row * wide + live) * sizeof(px_real), 0, (wide - live) * sizeof(px_real));
    upload(&p);
    return p;
}

static px_status open_sides(void) {
    const char *parity = getenv("PX_PARITY");
    PX_TRY(px_cpu_open(&the.ctx, &the.device[0]));
    PX_TRY(parity && strcmp(parity, "cpu") == 0 ? px_cpu_open(&the.ctx, &the.device[1])
                                                : px_cuda_open(&the.ctx, -1, &the.device[1]));
    for (int side = 0; side < SIDES; side++) {
        PX_TRY(the.device[side]->ops->allocate(the.device[side], POOL, (void **)&the.pool[side]));
        the.host[side] = malloc(POOL);
        if (!the.host[side]) return px_fail(&the.ctx, PX_ERR_MEMORY, "cannot allocate %d bytes", POOL);
    }
    return PX_OK;
}

static void close_sides(void) {
    for (int side = 0; side < SIDES; side++) {
        free(the.host[side]);
        if (the.pool[side]) the.device[side]->ops->release(the.device[side], the.pool[side]);
        px_device_close(the.device[side]);
    }
}

#endif
