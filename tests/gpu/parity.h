/* The harness of tests that compare two devices ("sides"): the same tensors on both, and their comparison. */
#ifndef PIXELRNN_TESTS_GPU_PARITY_H
#define PIXELRNN_TESTS_GPU_PARITY_H

#include "tests/support/support.h"
#include "kernels/portable/bfloat16.h"
#include "kernels/portable/random.h"
#include "host/device/backend.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_SKIP = 77 };
/* Random numbers of a tensor repeat after PERIOD, a prime. Generating more would take most of the test's time. */
enum { SIDES = 2, POOL = 1 << 30, PERIOD = 1048573 };

/* The tolerance of float32 sums, relative to the largest result. Both sides sum in different orders, which for a few
 * thousand terms of similar size differs by about 1e-6. A wrong term, or TF32 with 1e-3, is far above. */
static const double of_sums = 1e-4;
/* The tolerance of one rounding to bfloat16, relative: at most 2^-8. */
static const double of_rounding = 1.0 / 256;

/* The same tensor on both sides. If the precisions differ, an activation has the same values in two types. */
typedef struct pair {
    px_tensor on[SIDES];
} pair;

typedef enum { POISONED, RANDOM, POSITIVE, ZERO } content;

#define INDEX(name) OP_##name,
enum { PX_DEVICE_OPS(INDEX) OPERATIONS };
#define NAME(name) #name,
static const char *const names[] = {PX_DEVICE_OPS(NAME)};

/* The number of successive roundings to bfloat16 in an operation. A recurrence rounds h and the gates at each of up to
 * 9 steps, and its weights damp these errors little. */
static const int roundings[OPERATIONS] = {[OP_gemm] = 1,
                                          [OP_convolve] = 1,
                                          [OP_convolve_input_gradient] = 1,
                                          [OP_recurrence_forward] = 18,
                                          [OP_recurrence_backward] = 18,
                                          [OP_lstm_cell_forward] = 1,
                                          [OP_lstm_cell_backward] = 1,
                                          [OP_lstm_update] = 1,
                                          [OP_bias_add_relu] = 1,
                                          [OP_cast] = 1,
                                          [OP_shift_rows] = 1,
                                          [OP_normalize] = 1,
                                          [OP_activate] = 1,
                                          [OP_softmax_nll] = 1};

/* A comparison: the precision of each side, and the tolerance in roundings to bfloat16 (share). bfloat16 differs from
 * float32 by one rounding. CPU and CUDA differ by up to twice that if their sums fall on two sides of a tie, and CUDA
 * rounds a convolution's sum once more before it adds. With TF32, CUDA rounds both operands to 2^-11, in every product.
 */
typedef struct mode {
    const char *name;
    px_type type[SIDES];
    double share;
    bool tf32; /* on the second side */
} mode;
static const mode modes[] = {{"float32", {PX_REAL, PX_REAL}, 0, false},
                             {"tf32", {PX_REAL, PX_REAL}, 1, true},
                             {"bfloat16", {PX_BF16, PX_BF16}, 4, false},
                             {"bfloat16 compared with float32", {PX_REAL, PX_BF16}, 1, false}};

static struct {
    px_context ctx;
    px_device *device[SIDES];
    char *pool[SIDES]; /* device memory for the tensors of a case */
    size_t used;
    char *host[SIDES]; /* host copies of a tensor */
    uint64_t seed;
    const mode *mode;
    bool cuda;
    int skewed; /* half of the cases run on tensors some of which only their elements align: a bit for every fourth
                   tensor */
    int made;   /* tensors of this case */
    int ran[OPERATIONS];
    double worst[OPERATIONS]; /* difference found */
    char note[160];           /* the case, for messages */
} the;

/* Begins a case and invalidates all tensors of the previous one. */
#define CASE(...)                                                                                                      \
    do {                                                                                                               \
        snprintf(the.note, sizeof the.note, __VA_ARGS__);                                                              \
        the.used = 0;                                                                                                  \
        the.skewed = the.seed % 2 ? (int)(the.seed / 2 % 15) + 1 : 0;                                                  \
        the.made = 0;                                                                                                  \
        the.seed++;                                                                                                    \
    } while (0)

/* Runs an operation on both sides; the arguments refer to tensors as NAME.on[side]. */
#define BOTH(op, ...)                                                                                                  \
    do {                                                                                                               \
        for (int side = 0; side < SIDES; side++)                                                                       \
            if (px_run(the.device[side], op, __VA_ARGS__) != PX_OK)                                                    \
                fail_msg("%s [%s]: %s", #op, the.note, the.ctx.message);                                               \
        the.ran[OP_##op]++;                                                                                            \
    } while (0)

static const pair absent;

static inline double uniform(uint64_t place) {
    const px_random4 word = px_random(1, PX_RANDOM_DATA, the.seed, place);
    return px_uniform(word.word[0], word.word[1]);
}

/* Fills the host copy of one side. Activations have values that bfloat16 represents exactly, on both sides. */
static inline void fill(int side, const pair *p, content what) {
    const px_tensor *tensor = &p->on[side];
    const bool narrow = p->on[0].type == PX_BF16 || p->on[1].type == PX_BF16;
    const size_t count = px_tensor_elements(tensor);
    const uint64_t offset = (uint64_t)the.used << 16;
    const size_t drawn = what != RANDOM && what != POSITIVE ? 0 : count < PERIOD ? count : PERIOD;
    const size_t size = px_type_size(tensor->type);
    char *host = the.host[side];
    memset(host, what == POISONED ? 0xff : 0, px_tensor_bytes(tensor));
    for (size_t i = 0; i < drawn; i++) {
        const double u = uniform(offset + i), value = what == POSITIVE ? u : 2 * u - 1;
        const uint16_t half = px_to_bfloat16((float)value);
        if (tensor->type == PX_REAL) ((px_real *)host)[i] = narrow ? px_from_bfloat16(half) : (px_real)value;
        if (tensor->type == PX_FLOAT64) ((double *)host)[i] = value;
        if (tensor->type == PX_BF16) ((uint16_t *)host)[i] = half;
    }
    for (size_t i = drawn, more; drawn > 0 && i < count; i += more) {
        more = count - i < drawn ? count - i : drawn;
        memcpy(host + i * size, host, more * size);
    }
}

static inline void upload(const pair *p) {
    for (int side = 0; side < SIDES; side++) {
        px_device *device = the.device[side];
        const px_tensor *tensor = &p->on[side];
        assert_ok(&the.ctx, device->ops->upload(device, tensor->data, the.host[side], px_tensor_bytes(tensor)));
        assert_ok(&the.ctx, device->ops->synchronize(device));
    }
}

static inline pair make(size_t rows, int columns, px_type first, px_type second, content what) {
    const px_type types[SIDES] = {first, second};
    const bool skewed = the.skewed >> the.made++ % 4 & 1;
    size_t room = 0;
    pair p;
    for (int side = 0; side < SIDES; side++) {
        const px_type type = types[side];
        const size_t skew = skewed && (type == PX_REAL || type == PX_BF16) ? px_type_size(type) : 0;
        p.on[side] = px_tensor_of(the.pool[side] + the.used + skew, rows, columns, type);
        if (px_tensor_padded_bytes(&p.on[side]) > room) room = px_tensor_padded_bytes(&p.on[side]);
    }
    the.used += room + PX_TENSOR_ALIGN;
    if (the.used > POOL) fail_msg("[%s]: the pool of %d bytes is too small", the.note, POOL);
    fill(0, &p, what);
    if (first == second)
        memcpy(the.host[1], the.host[0], px_tensor_bytes(&p.on[0]));
    else
        fill(1, &p, what);
    upload(&p);
    return p;
}

static inline pair activations(size_t rows, int columns, content what) {
    return make(rows, columns, the.mode->type[0], the.mode->type[1], what);
}

static inline pair reals(size_t rows, int columns, content what) { return make(rows, columns, PX_REAL, PX_REAL, what); }

static inline pair doubles(size_t rows, int columns, content what) {
    return make(rows, columns, PX_FLOAT64, PX_FLOAT64, what);
}

static inline pair levels(size_t rows, int columns, int count) {
    const pair p = make(rows, columns, PX_UINT8, PX_UINT8, ZERO);
    const uint64_t offset = (uint64_t)the.used << 16;
    for (int side = 0; side < SIDES; side++)
        for (size_t i = 0; i < px_tensor_elements(&p.on[0]); i++)
            ((uint8_t *)the.host[side])[i] = (uint8_t)(uniform(offset + i) * count);
    upload(&p);
    return p;
}

/* The relative difference. For convolutions in bfloat16 and TF32, the reference magnitude is at least 1, because the
 * terms of cases with few pixels can cancel. */
static inline double relative_to_sums(px_difference d, int operation) {
    const bool sums = operation == OP_convolve || operation == OP_convolve_input_gradient ||
                      (the.mode->tf32 && operation == OP_convolve_weight_gradient);
    const double largest = d.relative > 0 ? fabs(d.found - d.want) / d.relative : 1;
    return sums && the.mode->share > 0 && largest < 1 ? d.relative * largest : d.relative;
}

/* Fails if the sides differ by more than the tolerance. Each side is the reference once, so that NaN on either is
 * found. */
static inline void expect_equal(const pair *p, int operation, const char *what) {
    const int rounded = the.mode->tf32 && operation == OP_convolve_weight_gradient ? 1 : roundings[operation];
    const double tolerance = of_sums + the.mode->share * rounded * of_rounding;
    const size_t count = px_tensor_elements(&p->on[0]);
    for (int side = 0; side < SIDES; side++) {
        px_device *device = the.device[side];
        const px_tensor *tensor = &p->on[side];
        assert_ok(&the.ctx, device->ops->download(device, the.host[side], tensor->data, px_tensor_bytes(tensor)));
    }
    for (int reference = 0; reference < SIDES; reference++) {
        const int other = 1 - reference;
        px_difference d = px_compare(count, px_element_reader_of(p->on[other].type), the.host[other],
                                     px_element_reader_of(p->on[reference].type), the.host[reference]);
        d.relative = relative_to_sums(d, operation);
        if (d.relative > the.worst[operation]) the.worst[operation] = d.relative;
        if (d.relative > tolerance || isnan(d.relative))
            fail_msg(
                "%s, %s [%s]: element %zu of %zu is %.9g on %s, %.9g on %s; off by %.3g of the largest, at most %g "
                "(float32 sums, and %d roundings to bfloat16 times %g)",
                names[operation], what, the.note, d.index, count, d.want, the.device[reference]->kind, d.found,
                the.device[other]->kind, d.relative, tolerance, rounded, the.mode->share);
    }
}

#define EXPECT(op, tensor) expect_equal(&(tensor), OP_##op, #tensor)

/* A random weight whose taps that are not live are 0, as masked weights are. */
static inline pair live_weight(int out, int in, const px_taps *taps) {
    const pair p = activations((size_t)out, taps->stored * in, ZERO);
    const size_t wide = (size_t)p.on[0].columns, live = (size_t)taps->live * (size_t)in;
    for (int side = 0; side < SIDES; side++) {
        const size_t size = px_type_size(p.on[side].type);
        fill(side, &p, RANDOM);
        for (size_t row = 0; row < (size_t)out; row++)
            memset(the.host[side] + (row * wide + live) * size, 0, (wide - live) * size);
    }
    upload(&p);
    return p;
}

/* The tensors of a recurrence, and its descriptor on each side. */
typedef struct recurrence {
    px_recurrence_args on[SIDES];
    pair weight, gates[PX_MAX_DIRECTIONS], c[PX_MAX_DIRECTIONS], h[PX_MAX_DIRECTIONS], dh[PX_MAX_DIRECTIONS];
} recurrence;

/* The memory that the recurrence needs on either device. */
static size_t temporary_bytes(const px_recurrence_args *args) {
    const size_t a = the.device[0]->ops->recurrence_bytes(the.device[0], args);
    const size_t b = the.device[1]->ops->recurrence_bytes(the.device[1], args);
    return a > b ? a : b;
}

/* Sets the descriptors to these tensors. `reversed` stores the second direction's weights before the first's. */
static inline void recurrence_join(recurrence *s, px_recurrence_args args, bool reversed) {
    const size_t rows = (size_t)(PX_GATES * args.hidden);
    const pair temporary = make(temporary_bytes(&args), 1, PX_UINT8, PX_UINT8, POISONED);
    for (int side = 0; side < SIDES; side++) {
        s->on[side] = args;
        s->on[side].temporary = temporary.on[side];
        for (int d = 0; d < args.directions; d++) {
            px_recurrence_direction *line = &s->on[side].direction[d];
            const size_t first = (size_t)(reversed ? args.directions - 1 - d : d) * rows;
            line->weight = px_tensor_slice(s->weight.on[side], first, rows);
            line->gates = s->gates[d].on[side], line->dh = s->dh[d].on[side];
            line->c = s->c[d].on[side], line->h = s->h[d].on[side];
        }
    }
}

static inline px_status open_sides(const mode *of, bool cuda) {
    memset(&the, 0, sizeof the);
    the.mode = of;
    the.cuda = cuda;
    PX_TRY(px_cpu_open(&the.ctx, of->type[0], &the.device[0]));
    PX_TRY(cuda ? px_cuda_open(&the.ctx, of->type[1], -1, &the.device[1])
                : px_cpu_open(&the.ctx, of->type[1], &the.device[1]));
    px_device_use_plain_paths(the.device[0]);
    if (of->tf32) px_device_allow_tf32(the.device[1]);
    for (int side = 0; side < SIDES; side++) {
        PX_TRY(the.device[side]->ops->allocate(the.device[side], POOL, (void **)&the.pool[side]));
        the.host[side] = malloc(POOL);
        if (!the.host[side]) return px_fail_memory(&the.ctx, "parity", POOL);
    }
    return PX_OK;
}

static inline void close_sides(void) {
    for (int side = 0; side < SIDES; side++) {
        free(the.host[side]);
        if (the.pool[side]) the.device[side]->ops->free(the.device[side], the.pool[side]);
        px_device_close(the.device[side]);
    }
}

/* Whether there is no GPU to test, as opposed to one that fails. */
static inline bool has_no_device(void) {
    return strstr(the.ctx.message, "no CUDA device") || strstr(the.ctx.message, "is not built in");
}

/* Opens both sides and returns the exit status of `run`; EXIT_SKIP if there is no GPU. */
static inline int with_sides(const mode *of, bool cuda, int (*run)(void)) {
    int exit_status = EXIT_FAILURE;
    if (open_sides(of, cuda) == PX_OK)
        exit_status = run();
    else if (has_no_device())
        exit_status = EXIT_SKIP;
    if (the.ctx.message[0])
        fprintf(stderr, "%s parity, %s: %s\n", exit_status == EXIT_SKIP ? "SKIP" : "FAIL", of->name, the.ctx.message);
    close_sides();
    return exit_status;
}

#endif
