/* The work that the bench counts. The work of single operations is compared with values computed by hand. The FLOPs of
 * a training step, summed over the calls of the model, are compared with px_model_flops, which counts weights. */
#include "tests/support/model.h"
#include "host/model/network.h"
#include "host/bench/bench.h"
#include "host/io/clock.h"
#include <math.h>

static void expect_work(const char *what, px_work found, double flops, double bytes) {
    if (found.flops != flops || found.bytes != bytes)
        fail_msg("%s: found %.17g operations and %.17g bytes, expected %.17g and %.17g", what, found.flops, found.bytes,
                 flops, bytes);
}

static px_tensor tensor_of(size_t rows, int columns, px_type type) {
    static char some; /* the data are never read */
    return px_tensor_of(&some, rows, columns, type);
}

static void test_operations(void **state) {
    (void)state;
    const double real = sizeof(px_real);
    const px_gemm_args gemm = {.m = 3, .n = 5, .k = 7, .operands = PX_BF16, .result = PX_REAL, .beta = 1, .batch = 2};
    expect_work("gemm", px_work_of(PX_OP_gemm, &gemm), 2. * 2 * 3 * 5 * 7,
                2 * ((3 * 7 + 7 * 5) * 2 + 2 * 3 * 5 * real));
    /* 6 pixels of 4 channels, 5 live taps of 6, 8 output channels */
    px_convolve_args convolve = {.grid = {1, 2, 3},
                                 .taps = px_taps_rectangle(2, 3, 1),
                                 .x = tensor_of(6, 4, PX_BF16),
                                 .weight = tensor_of(8, 6 * 4, PX_BF16),
                                 .bias = tensor_of(1, 8, PX_BF16),
                                 .y = tensor_of(6, 8, PX_BF16)};
    expect_work("convolve", px_work_of(PX_OP_convolve, &convolve), 2. * 6 * 5 * 4 * 8,
                2. * (6 * 4 + 5 * 4 * 8 + 8 + 6 * 8));
    convolve.add = convolve.y;
    expect_work("convolve, added to itself", px_work_of(PX_OP_convolve, &convolve), 2. * 6 * 5 * 4 * 8,
                2. * (6 * 4 + 5 * 4 * 8 + 8 + 2 * 6 * 8));
    /* the gradient of 6 pixels' biases, without that of a weight */
    const px_convolve_weight_gradient_args bias = {.grid = {1, 2, 3},
                                                   .taps = px_taps_rectangle(1, 1, 0),
                                                   .x = tensor_of(6, 8, PX_BF16),
                                                   .dy = tensor_of(6, 8, PX_BF16),
                                                   .dbias = tensor_of(1, 8, PX_REAL)};
    expect_work("convolve_weight_gradient of a bias", px_work_of(PX_OP_convolve_weight_gradient, &bias), 0,
                2. * 6 * 8 + 8 * real);
    const px_softmax_nll_args softmax = {.logits = tensor_of(6, 9, PX_REAL),
                                         .target = tensor_of(6, 1, PX_UINT8),
                                         .nll = tensor_of(6, 1, PX_REAL),
                                         .gradient = true};
    expect_work("softmax_nll", px_work_of(PX_OP_softmax_nll, &softmax), 0, 2 * 6 * 9 * real + 6 + 6 * real);
    const px_bias_add_relu_args bias_add_relu = {
        .sum = tensor_of(6, 4, PX_BF16), .relu_mask = tensor_of(6, 4, PX_BF16), .y = tensor_of(6, 4, PX_BF16)};
    expect_work("bias_add_relu", px_work_of(PX_OP_bias_add_relu, &bias_add_relu), 0, 3. * 6 * 4 * 2);
}

/* With one channel, a mask keeps the whole centre tap, or in the stem none of it. */
static void check_step(px_context *ctx, const px_model_spec *spec) {
    enum { IMAGES = 2 };
    px_device *device = px_test_device(ctx);
    px_model *model = px_test_model(device, spec, 1);
    uint8_t *levels = px_test_images(spec, IMAGES, 2), *conditions = px_test_conditions(spec, IMAGES, 2);
    static px_profile profile;
    assert_ok(ctx, px_model_reserve(model, IMAGES, PX_PURPOSE_TRAIN));
    double found[PX_PROFILES];
    for (int kind = 0; kind < PX_PROFILES; kind++) {
        px_profile_begin(&profile, device, (px_profile_kind)kind);
        assert_ok(ctx, px_model_forward(model, levels, conditions, IMAGES, true));
        assert_ok(ctx, px_model_backward(model));
        px_profile_end(&profile, device);
        found[kind] = 0;
        for (int op = 0; op < PX_OPS; op++) found[kind] += profile.work[op].flops;
    }
    const double pixels = (double)IMAGES * spec->height * spec->width;
    const double masked = 2 * 2 * pixels * 2 *
                          spec->hidden; /* the centre tap of the stem, forward and weight gradient */
    const double want = px_model_flops(model, PX_PURPOSE_TRAIN) * IMAGES + masked;
    if (!(fabs(found[PX_PROFILE_WHOLE] - want) <= 1e-12 * want)) /* a class weighs 1 / (H W) in the sum over weights */
        fail_msg("%s: found %.17g FLOPs in the model's calls, expected %.17g from its weights", px_test_name(spec),
                 found[PX_PROFILE_WHOLE], want);
    /* The nested calls of a recurrence multiply active positions only, and the last backward step passes no gradient
     * on. */
    if (found[PX_PROFILE_OWN] > want || found[PX_PROFILE_OWN] < 0.7 * want)
        fail_msg("%s: found %.17g FLOPs in all calls, expected 0.7 to 1 times %.17g", px_test_name(spec),
                 found[PX_PROFILE_OWN], want);
    free(levels);
    free(conditions);
    px_model_destroy(model);
    px_device_close(device);
}

static void test_steps(void **state) {
    (void)state;
    static const px_condition conditions[] = {{0}, PX_TEST_CLASS(7), PX_TEST_IMAGE(2), PX_TEST_IMAGE(4)};
    px_context ctx = {""};
    for (int i = 0; i < 24; i++)
        check_step(&ctx, &(px_model_spec){.kind = (px_model_kind)(i / 8),
                                          .layers = 2,
                                          .hidden = 6,
                                          .head = 5,
                                          .residual = true,
                                          .skip = i % 2,
                                          .height = 8,
                                          .width = 4,
                                          .channels = 1,
                                          .levels = 4,
                                          .condition = conditions[i / 2 % 4]});
}

/* A GEMM that takes 20 ms, and a recurrence that calls it once. */
static px_status slow_gemm(px_device *device, const px_gemm_args *args) {
    (void)device, (void)args;
    for (const double end = px_clock_seconds() + 0.02; px_clock_seconds() < end;) continue;
    return PX_OK;
}
static px_status recurrence_of_gemm(px_device *device, const px_recurrence_args *args) {
    (void)args;
    return device->ops->gemm(device, &(px_gemm_args){0});
}

/* The time of a nested operation counts once. */
static void test_own_time(void **state) {
    (void)state;
    px_context ctx = {""};
    px_device *device = px_test_device(&ctx);
    const px_device_ops *real = device->ops;
    px_device_ops table = *real;
    px_profile profile;
    table.gemm = slow_gemm;
    table.recurrence_forward = recurrence_of_gemm;
    device->ops = &table;
    px_profile_begin(&profile, device, PX_PROFILE_OWN);
    assert_ok(&ctx, device->ops->recurrence_forward(device, &(px_recurrence_args){0}));
    px_profile_end(&profile, device);
    device->ops = real;
    const double product = profile.seconds[PX_OP_gemm], recurrence = profile.seconds[PX_OP_recurrence_forward];
    if (product < 0.02 || recurrence > product / 2)
        fail_msg("found %g s of GEMM and %g s of recurrence, expected at least 0.02 s and less than half of it",
                 product, recurrence);
    px_device_close(device);
}

/* Quantiles of 0 .. 20 in another order. */
static void test_quantiles(void **state) {
    (void)state;
    px_times times = {.count = 21};
    for (int i = 0; i < times.count; i++) times.seconds[i] = i * 8 % 21;
    const px_quantiles found = px_times_quantiles(&times);
    if (found.p10 != 2 || found.median != 10 || found.p90 != 18)
        fail_msg("found %g, %g, %g, expected 2, 10, 18", found.p10, found.median, found.p90);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_operations), cmocka_unit_test(test_steps),
                                       cmocka_unit_test(test_own_time), cmocka_unit_test(test_quantiles)};
    return cmocka_run_group_tests_name("work", tests, NULL, NULL);
}
