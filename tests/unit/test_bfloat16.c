/* bfloat16: rounding of every bit pattern, the compute weights, and forward and backward passes of whole models beside
 * float32. tests/commands/precision.sh compares the operations with float32 one by one. */
#include "host/model/network.h"
#include "host/train/optimizer.h"
#include "tests/support/model.h"
#include <math.h>
#include <string.h>

enum { PATTERNS = 1 << 16 };

static float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Of the float whose upper half is `upper` and whose lower half is `lower`: the nearest bfloat16, from the definition.
 */
static uint16_t nearest(uint32_t upper, uint32_t lower) {
    if ((upper & 0x7f80) == 0x7f80 && ((upper & 0x7f) | lower)) return 0x7fff; /* NaN */
    const bool up = lower > 0x8000 || (lower == 0x8000 && upper % 2 == 1);
    return (uint16_t)(upper + up);
}

/* Each bfloat16, and the floats at and beside the tie between it and the next, by the header's function and by the
 * device's kernel. */
static void test_rounding(void **state) {
    (void)state;
    static const uint32_t lower[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};
    px_context ctx = {0};
    px_device *device = px_test_device_of(&ctx, PX_BF16);
    px_arena arena = {0};
    assert_ok(&ctx, px_arena_allocate(&arena, device, 1 << 20));
    const px_tensor x = px_arena_tensor(&arena, PATTERNS / 256, 256, PX_REAL),
                    y = px_arena_tensor(&arena, x.rows, 256, PX_BF16);
    px_real *from = malloc(PATTERNS * sizeof *from);
    uint16_t *to = malloc(PATTERNS * sizeof *to);
    assert_true(from && to);
    for (size_t i = 0; i < sizeof lower / sizeof *lower; i++) {
        for (uint32_t p = 0; p < PATTERNS; p++) from[p] = (px_real)float_of(p << 16 | lower[i]);
        assert_ok(&ctx, device->ops->upload(device, x.data, from, px_tensor_bytes(&x)));
        assert_ok(&ctx, px_run(device, cast, .x = x, .y = y));
        assert_ok(&ctx, device->ops->download(device, to, y.data, px_tensor_bytes(&y)));
        for (uint32_t p = 0; p < PATTERNS; p++) {
            const uint16_t want = nearest(p, lower[i]), found = px_to_bfloat16((float)from[p]);
            if (found != want || to[p] != want)
                fail_msg("float %04x%04x becomes %04x, by the device %04x, expected %04x", p, lower[i], found, to[p],
                         want);
        }
    }
    for (uint32_t p = 0; p < PATTERNS; p++) {
        const float value = px_from_bfloat16((uint16_t)p), want = float_of(p << 16);
        if (memcmp(&value, &want, sizeof value) != 0) fail_msg("bfloat16 %04x is %g, expected %g", p, value, want);
    }
    free(from);
    free(to);
    px_arena_free(&arena);
    px_device_close(device);
}

/* --- Models ------------------------------------------------------------------------------------------------------- */

static const px_model_spec specs[] = {
    PX_SPEC(PIXELCNN, 3, 16, 24, true, false, 9, 8, 1, 2),
    PX_SPEC(PIXELCNN, 2, 15, 20, true, true, 5, 7, 3, 256),
    PX_SPEC(ROW_LSTM, 3, 16, 24, true, false, 9, 8, 1, 2),
    PX_SPEC(ROW_LSTM, 2, 15, 20, true, true, 5, 7, 3, 256),
    PX_SPEC(DIAGONAL_BILSTM, 3, 16, 24, true, false, 9, 8, 1, 2),
    PX_SPEC(DIAGONAL_BILSTM, 2, 15, 20, true, true, 5, 7, 3, 256),
    PX_SPEC(PIXELCNN, 2, 16, 24, true, false, 8, 8, 1, 2, PX_SCALE(4)),
    PX_SPEC(ROW_LSTM, 2, 15, 20, true, false, 6, 4, 3, 256, PX_SCALE(2)),
    PX_SPEC(DIAGONAL_BILSTM, 2, 16, 24, true, false, 9, 8, 1, 2, PX_CLASSES(3)),
};
enum { SPECS = sizeof specs / sizeof *specs, IMAGES = 4 };

/* A model on a device of its own, after a forward and a backward pass. */
typedef struct bench {
    px_context ctx;
    px_device *device;
    px_model *model;
    double nats[IMAGES];
    px_real *gradients;
} bench;

/* Replaces the initial weights of conditions, which are 0. */
static void set_condition_weights(px_model *model) {
    const px_parameters *parameters = px_model_parameters(model);
    px_real *host = px_test_download(px_model_device(model), px_model_weights(model));
    for (int i = 0; i < parameters->count; i++) {
        const px_parameter *p = &parameters->items[i];
        if (p->rank == 1 || p->gain > 0) continue;
        for (size_t e = p->offset; e < p->offset + p->count; e++)
            host[e] = (px_real)(px_test_number(4, e) / sqrt(p->inputs));
    }
    px_test_upload_weights(model, host);
}

static void open_bench(bench *b, const px_model_spec *spec, px_type activation) {
    uint8_t *levels = px_test_images(spec, IMAGES, 5), *conditions = px_test_conditions(spec, IMAGES, 5);
    *b = (bench){0};
    b->device = px_test_device_of(&b->ctx, activation);
    assert_ok(&b->ctx, px_model_create(b->device, spec, &b->model));
    assert_ok(&b->ctx, px_model_initialise(b->model, 3));
    set_condition_weights(b->model);
    assert_ok(&b->ctx, px_model_reserve(b->model, IMAGES, PX_PURPOSE_TRAIN));
    assert_ok(&b->ctx, px_model_forward(b->model, levels, conditions, IMAGES, true));
    assert_ok(&b->ctx, px_model_nats(b->model, b->nats));
    assert_ok(&b->ctx, px_model_backward(b->model));
    b->gradients = px_test_download(b->device, px_model_gradients(b->model));
    free(levels);
    free(conditions);
}

static void close_bench(bench *b) {
    free(b->gradients);
    px_model_destroy(b->model);
    px_device_close(b->device);
}

static double cosine(const px_real *a, const px_real *b, size_t count) {
    double ab = 0, aa = 0, bb = 0;
    for (size_t e = 0; e < count; e++) {
        ab += (double)a[e] * (double)b[e];
        aa += (double)a[e] * (double)a[e];
        bb += (double)b[e] * (double)b[e];
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : aa == bb;
}

/* The loss is off by less than a rounding, since a mean over values leaves little of theirs. The terms of a gradient
 * went through some 20 roundings, of 2^-8 / sqrt(3) each in the mean: noise of 1 % of their length. On random images
 * they nearly cancel, which leaves a sum a tenth as long as theirs at most: an angle of 0.1, cosine 0.995, for all
 * tensors together; a tensor alone may have three times that angle. */
static const double of_all = 0.995, of_tensor = 0.955;

static void test_gradients(void **state) {
    (void)state;
    for (int i = 0; i < SPECS; i++) {
        bench full, half;
        open_bench(&full, &specs[i], PX_REAL);
        open_bench(&half, &specs[i], PX_BF16);
        const px_parameters *parameters = px_model_parameters(full.model);
        for (int n = 0; n < IMAGES; n++)
            if (!(fabs(half.nats[n] - full.nats[n]) <= full.nats[n] / 256))
                fail_msg("%s: image %d has %.9g nats in bfloat16, %.9g in float32; tolerance 2^-8 of them",
                         px_test_name(&specs[i]), n, half.nats[n], full.nats[n]);
        if (half.nats[0] == full.nats[0]) fail_msg("%s: bfloat16 changes nothing", px_test_name(&specs[i]));
        const double all = cosine(full.gradients, half.gradients, parameters->elements);
        if (!(all >= of_all))
            fail_msg("%s: cosine between the gradients in bfloat16 and float32 is %.6f, expected %g",
                     px_test_name(&specs[i]), all, of_all);
        for (int p = 0; p < parameters->count; p++) {
            const px_parameter *item = &parameters->items[p];
            const double found = cosine(full.gradients + item->offset, half.gradients + item->offset, item->count);
            if (!(found >= of_tensor))
                fail_msg("%s: gradient of %s: cosine between bfloat16 and float32 is %.6f, expected %g",
                         px_test_name(&specs[i]), item->name, found, of_tensor);
        }
        close_bench(&half);
        close_bench(&full);
    }
}

static void expect_copy(bench *b, px_tensor of, const char *when) {
    px_real *weights = px_test_download(b->device, of), *found = px_test_download(b->device, b->model->compute_weights);
    for (size_t e = 0; e < px_tensor_elements(&of); e++) {
        const px_real want = px_from_bfloat16(px_to_bfloat16((float)weights[e]));
        if (found[e] != want)
            fail_msg("%s: products read %.9g for weight %zu, which is %.9g", when, (double)found[e], e,
                     (double)weights[e]);
    }
    free(weights);
    free(found);
}

/* Whatever changes the weights changes what products read. */
static void test_copy(void **state) {
    (void)state;
    const px_optimizer_spec rule = {
        .kind = PX_OPTIMIZER_ADAM, .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-8, .ema_decay = 0.5};
    px_optimizer *optimizer;
    bench b;
    open_bench(&b, &specs[2], PX_BF16);
    const px_tensor weights = px_model_weights(b.model);
    assert_int_equal(weights.type, PX_REAL);
    expect_copy(&b, weights, "after initial values");
    assert_ok(&b.ctx, px_optimizer_create(b.model, &rule, &optimizer));
    assert_ok(&b.ctx, px_optimizer_upload_scalars(optimizer, 1, 0.01));
    assert_ok(&b.ctx, px_optimizer_update(optimizer));
    expect_copy(&b, weights, "after an update");
    assert_ok(&b.ctx, px_model_use_weights(b.model, px_optimizer_average(optimizer)));
    expect_copy(&b, px_optimizer_average(optimizer), "with the average");
    assert_ok(&b.ctx, px_model_use_weights(b.model, (px_tensor){0}));
    expect_copy(&b, weights, "with its own again");
    px_optimizer_destroy(optimizer);
    close_bench(&b);
}

/* Activations halve, but for cell states and losses; weights are there one and a half times; gradients stay. */
static void test_plan(void **state) {
    (void)state;
    for (int i = 0; i < SPECS; i++) {
        bench full, half;
        open_bench(&full, &specs[i], PX_REAL);
        open_bench(&half, &specs[i], PX_BF16);
        const px_memory_plan a = px_model_plan(full.model, 64, PX_PURPOSE_TRAIN);
        const px_memory_plan b = px_model_plan(half.model, 64, PX_PURPOSE_TRAIN);
        assert_int_equal(2 * b.weights, 3 * a.weights);
        assert_int_equal(b.gradients, a.gradients);
        const double share = (double)b.activations / (double)a.activations;
        if (!(share > 0.45 && share < 0.7))
            fail_msg("%s: %zu bytes of activations in bfloat16, %zu in float32", px_test_name(&specs[i]), b.activations,
                     a.activations);
        close_bench(&half);
        close_bench(&full);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
