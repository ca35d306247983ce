#include "host/check/sides.h"
#include "kernels/portable/bfloat16.h"
#include "kernels/portable/random.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Tolerances ---- */

/* The tolerance of float32 sums, relative to the largest result. Both sides sum in different orders, which for a few
 * thousand terms of similar size differs by about 1e-6. A wrong term, or TF32 with 1e-3, is far above. */
static const double of_sums = 1e-4;
/* The tolerance of one rounding to bfloat16, relative: at most 2^-8. */
static const double of_rounding = 1.0 / 256;

/* The number of successive roundings to bfloat16 in an operation. A recurrence rounds h and the gates at each step;
 * its errors stay below those of 5 roundings, because the weights of the cases damp old ones. */
static const int roundings[PX_OPS] = {[PX_OP_gemm] = 1,
                                      [PX_OP_convolve] = 1,
                                      [PX_OP_convolve_input_gradient] = 1,
                                      [PX_OP_recurrence_forward] = 5,
                                      [PX_OP_recurrence_backward] = 5,
                                      [PX_OP_lstm_cell_forward] = 1,
                                      [PX_OP_lstm_cell_backward] = 1,
                                      [PX_OP_lstm_update] = 1,
                                      [PX_OP_bias_add_relu] = 1,
                                      [PX_OP_cast] = 1,
                                      [PX_OP_shift_rows] = 1,
                                      [PX_OP_normalize] = 1,
                                      [PX_OP_pixel_shuffle] = 1,
                                      [PX_OP_activate] = 1,
                                      [PX_OP_softmax_nll] = 1};

const px_check_mode px_check_modes[PX_CHECK_MODES] = {
    [PX_CHECK_FLOAT32] = {"float32", {PX_REAL, PX_REAL}, 0, false},
    [PX_CHECK_TF32] = {"tf32", {PX_REAL, PX_REAL}, 1, true},
    [PX_CHECK_BFLOAT16] = {"bfloat16", {PX_BF16, PX_BF16}, 4, false},
    [PX_CHECK_BFLOAT16_FLOAT32] = {"bfloat16 compared with float32", {PX_REAL, PX_BF16}, 1, false},
};

/* The smallest reference magnitude of a relative difference. For convolutions in bfloat16 and TF32 it is 1, because the
 * terms of cases with few pixels can cancel. */
static double least_magnitude(const px_check_mode *mode, int operation) {
    const bool sums = operation == PX_OP_convolve || operation == PX_OP_convolve_input_gradient ||
                      (mode->tf32 && operation == PX_OP_convolve_weight_gradient);
    return sums && mode->share > 0 ? 1 : 0;
}

/* ---- Failures and cases ---- */

void px_sides_fail(px_sides *sides, const char *operation, const char *format, ...) {
    if (sides->failure[0]) return;
    char reason[320];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    snprintf(sides->failure, sizeof sides->failure, "%s [%s]: %s", operation, sides->note, reason);
}

bool px_sides_ok(px_sides *sides, const char *operation, px_status status) {
    if (status != PX_OK) px_sides_fail(sides, operation, "%s", sides->ctx.message);
    return status == PX_OK;
}

void px_sides_case(px_sides *sides, const char *format, ...) {
    if (sides->failure[0]) return; /* keep the case that failed */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sides->note, sizeof sides->note, format, arguments);
    va_end(arguments);
    sides->used = 0;
    sides->skewed = sides->seed % 2 ? (int)(sides->seed / 2 % 15) + 1 : 0;
    sides->made = 0;
    sides->seed++;
}

/* ---- Tensors ---- */

/* Random numbers of a tensor repeat after PERIOD, a prime. Generating more would take most of the time. */
enum { PERIOD = 1048573 };

static double uniform(const px_sides *sides, uint64_t place) {
    const px_random4 word = px_random(1, PX_RANDOM_DATA, sides->seed, place);
    return px_uniform(word.word[0], word.word[1]);
}

/* Fills the host copy of one side. */
static void fill(px_sides *sides, int side, const px_pair *p, px_content what) {
    const px_tensor *tensor = &p->on[side];
    const bool narrow = p->on[0].type == PX_BF16 || p->on[1].type == PX_BF16;
    const size_t count = px_tensor_elements(tensor);
    const uint64_t offset = (uint64_t)sides->used << 16;
    const size_t drawn = what != PX_RANDOM && what != PX_POSITIVE ? 0 : count < PERIOD ? count : PERIOD;
    const size_t size = px_type_size(tensor->type);
    char *host = sides->host[side];
    memset(host, what == PX_POISONED ? 0xff : 0, px_tensor_bytes(tensor));
    for (size_t i = 0; i < drawn; i++) {
        const double u = uniform(sides, offset + i), value = sides->scale * (what == PX_POSITIVE ? u : 2 * u - 1);
        const uint16_t half = px_to_bfloat16((float)value);
        if (tensor->type == PX_REAL) ((px_real *)host)[i] = narrow ? (px_real)px_from_bfloat16(half) : (px_real)value;
        if (tensor->type == PX_FLOAT64) ((double *)host)[i] = value;
        if (tensor->type == PX_BF16) ((uint16_t *)host)[i] = half;
    }
    for (size_t i = drawn, more; drawn > 0 && i < count; i += more) {
        more = count - i < drawn ? count - i : drawn;
        memcpy(host + i * size, host, more * size);
    }
}

static void upload(px_sides *sides, const px_pair *p) {
    for (int side = 0; side < PX_SIDES; side++) {
        px_device *device = sides->device[side];
        const px_tensor *tensor = &p->on[side];
        if (px_sides_ok(sides, "upload",
                        device->ops->upload(device, tensor->data, sides->host[side], px_tensor_bytes(tensor))))
            px_sides_ok(sides, "synchronize", device->ops->synchronize(device));
    }
}

/* The tensors of a pair, without contents. */
static px_pair place(px_sides *sides, size_t rows, int columns, const px_type types[PX_SIDES]) {
    const bool skewed = sides->skewed >> sides->made++ % 4 & 1;
    size_t room = 0;
    px_pair p;
    for (int side = 0; side < PX_SIDES; side++) {
        const px_type type = types[side];
        const size_t skew = skewed && (type == PX_REAL || type == PX_BF16) ? px_type_size(type) : 0;
        p.on[side] = px_tensor_of(sides->pool[side] + sides->used + skew, rows, columns, type);
        if (px_tensor_padded_bytes(&p.on[side]) > room) room = px_tensor_padded_bytes(&p.on[side]);
    }
    sides->used += room + PX_TENSOR_ALIGN;
    return p;
}

px_pair px_sides_make(px_sides *sides, size_t rows, int columns, px_type first, px_type second, px_content what) {
    if (sides->failure[0]) return px_pair_absent;
    const px_pair p = place(sides, rows, columns, (const px_type[]){first, second});
    if (sides->used > PX_SIDES_POOL) {
        px_sides_fail(sides, "allocate", "the pool of %d bytes is too small", PX_SIDES_POOL);
        return px_pair_absent;
    }
    fill(sides, 0, &p, what);
    if (first == second)
        memcpy(sides->host[1], sides->host[0], px_tensor_bytes(&p.on[0]));
    else
        fill(sides, 1, &p, what);
    upload(sides, &p);
    return p;
}

px_pair px_sides_activations(px_sides *sides, size_t rows, int columns, px_content what) {
    return px_sides_make(sides, rows, columns, sides->mode->type[0], sides->mode->type[1], what);
}

px_pair px_sides_reals(px_sides *sides, size_t rows, int columns, px_content what) {
    return px_sides_make(sides, rows, columns, PX_REAL, PX_REAL, what);
}

px_pair px_sides_doubles(px_sides *sides, size_t rows, int columns, px_content what) {
    return px_sides_make(sides, rows, columns, PX_FLOAT64, PX_FLOAT64, what);
}

px_pair px_sides_levels(px_sides *sides, size_t rows, int columns, int count) {
    const px_pair p = px_sides_make(sides, rows, columns, PX_UINT8, PX_UINT8, PX_ZERO);
    const uint64_t offset = (uint64_t)sides->used << 16;
    for (int side = 0; side < PX_SIDES; side++)
        for (size_t i = 0; i < px_tensor_elements(&p.on[0]); i++)
            ((uint8_t *)sides->host[side])[i] = (uint8_t)(uniform(sides, offset + i) * count);
    upload(sides, &p);
    return p;
}

px_pair px_sides_weight(px_sides *sides, int out, int in, const px_taps *taps) {
    const px_pair p = px_sides_activations(sides, (size_t)out, taps->stored * in, PX_ZERO);
    const size_t wide = (size_t)p.on[0].columns, live = (size_t)taps->live * (size_t)in;
    if (sides->failure[0]) return p;
    for (int side = 0; side < PX_SIDES; side++) {
        const size_t size = px_type_size(p.on[side].type);
        fill(sides, side, &p, PX_RANDOM);
        for (size_t row = 0; row < (size_t)out; row++)
            memset(sides->host[side] + (row * wide + live) * size, 0, (wide - live) * size);
    }
    upload(sides, &p);
    return p;
}

/* ---- Comparison ---- */

static bool download(px_sides *sides, const px_pair *p) {
    for (int side = 0; side < PX_SIDES && !sides->failure[0]; side++) {
        px_device *device = sides->device[side];
        const px_tensor *tensor = &p->on[side];
        px_sides_ok(sides, "download",
                    device->ops->download(device, sides->host[side], tensor->data, px_tensor_bytes(tensor)));
    }
    return !sides->failure[0];
}

/* The difference of side `other` from side `reference`, relative to the largest value or to `least`. */
static px_difference difference_of(const px_sides *sides, const px_pair *p, int reference, double least) {
    const int other = 1 - reference;
    px_difference d = px_compare(px_tensor_elements(&p->on[0]), px_element_reader_of(p->on[other].type),
                                 sides->host[other], px_element_reader_of(p->on[reference].type),
                                 sides->host[reference]);
    const double largest = d.relative > 0 ? fabs(d.found - d.want) / d.relative : 1;
    if (largest < least) d.relative *= largest / least;
    return d;
}

static void compare(px_sides *sides, const px_pair *p, double tolerance, double least, const char *name,
                    const char *what) {
    sides->tolerance = tolerance;
    if (!download(sides, p)) return;
    for (int reference = 0; reference < PX_SIDES; reference++) {
        const px_difference d = difference_of(sides, p, reference, least);
        if (!(d.relative <= sides->worst)) sides->worst = d.relative;
        if (d.relative <= tolerance) continue;
        px_sides_fail(sides, name,
                      "%s: element %zu of %zu is %.9g on %s, %.9g on %s; off by %.3g of the largest, at most %g", what,
                      d.index, px_tensor_elements(&p->on[0]), d.want, sides->device[reference]->kind, d.found,
                      sides->device[1 - reference]->kind, d.relative, tolerance);
    }
}

void px_sides_within(px_sides *sides, const px_pair *p, double tolerance, const char *name, const char *what) {
    compare(sides, p, tolerance, 0, name, what);
}

void px_sides_expect(px_sides *sides, const px_pair *p, int operation, const char *what) {
    const int rounded = sides->mode->tf32 && operation == PX_OP_convolve_weight_gradient ? 1 : roundings[operation];
    const double tolerance = of_sums + sides->mode->share * rounded * of_rounding;
    compare(sides, p, tolerance, least_magnitude(sides->mode, operation), px_op_names[operation], what);
}

/* ---- Both sides ---- */

static px_status open_devices(px_sides *sides, const px_check_mode *mode, px_device_kind kind) {
    PX_TRY(px_cpu_open(&sides->ctx, mode->type[0], &sides->device[0]));
    PX_TRY(px_device_open(&sides->ctx, kind, mode->type[1], &sides->device[1]));
    px_device_use_plain_paths(sides->device[0]);
    if (mode->tf32) px_device_allow_tf32(sides->device[1]);
    return PX_OK;
}

px_status px_sides_open(px_sides *sides, const px_check_mode *mode, px_device_kind kind, bool brief) {
    *sides = (px_sides){.mode = mode, .brief = brief, .scale = 1};
    PX_TRY(open_devices(sides, mode, kind));
    for (int side = 0; side < PX_SIDES; side++) {
        px_device *device = sides->device[side];
        PX_TRY(device->ops->allocate(device, PX_SIDES_POOL, (void **)&sides->pool[side]));
        sides->host[side] = malloc(PX_SIDES_POOL);
        if (!sides->host[side]) return px_fail_memory(&sides->ctx, "check", PX_SIDES_POOL);
    }
    return PX_OK;
}

void px_sides_close(px_sides *sides) {
    for (int side = 0; side < PX_SIDES; side++) {
        free(sides->host[side]);
        if (sides->pool[side]) sides->device[side]->ops->free(sides->device[side], sides->pool[side]);
        px_device_close(sides->device[side]);
        sides->device[side] = NULL, sides->pool[side] = sides->host[side] = NULL;
    }
}
