/* Learning rate schedules, and the NLL of independent pixels. */
#include "pixelrnn/evaluate.h"
#include "pixelrnn/train.h"
#include "tests/support/support.h"
#include "host/device/backend.h"
#include <math.h>

static px_config config_with(px_schedule_kind kind) {
    px_config config;
    px_config_default(&config);
    config.train.schedule = (int)kind;
    config.train.learning_rate = 0.5;
    config.train.steps = 110;
    config.train.warmup_steps = 10;
    return config;
}

static void expect_rate(const px_config *config, int64_t step, double want) {
    const double found = px_learning_rate(config, step);
    if (!(fabs(found - want) < 1e-12)) /* a few roundings in double */
        fail_msg("step %d: rate is %.17g, expected %.17g within 1e-12", (int)step, found, want);
}

static void warm_up_is_linear(void **state) {
    (void)state;
    for (int kind = PX_SCHEDULE_CONSTANT; kind <= PX_SCHEDULE_COSINE; kind++) {
        const px_config config = config_with((px_schedule_kind)kind);
        for (int64_t step = 0; step < 10; step++) expect_rate(&config, step, 0.05 * (double)(step + 1));
        expect_rate(&config, 10, 0.5);
    }
}

static void a_constant_rate_stays_the_same(void **state) {
    (void)state;
    const px_config config = config_with(PX_SCHEDULE_CONSTANT);
    expect_rate(&config, 109, 0.5);
}

static void a_stepped_rate_drops(void **state) {
    (void)state;
    px_config config = config_with(PX_SCHEDULE_STEP);
    config.train.decay_every = 30;
    config.train.decay_factor = 0.1;
    expect_rate(&config, 39, 0.5);
    expect_rate(&config, 40, 0.05);
    expect_rate(&config, 70, 0.005);
}

static void a_cosine_decreases_to_its_final_rate(void **state) {
    (void)state;
    px_config config = config_with(PX_SCHEDULE_COSINE);
    config.train.final_rate = 0.2;
    expect_rate(&config, 60, 0.5 * 0.6); /* half way, the factor is the mean of 1 and 0.2 */
    expect_rate(&config, 110, 0.1);
    for (int64_t step = 11; step <= 110; step++)
        assert_true(px_learning_rate(&config, step) < px_learning_rate(&config, step - 1));
}

/* Images of two values. The first is 255 in three of four images, the second is always 0. */
static px_status read_pair(px_source *source, px_context *ctx, size_t index, uint8_t *pixels) {
    (void)source, (void)ctx;
    pixels[0] = index % 4 == 0 ? 0 : 255;
    pixels[1] = 0;
    return PX_OK;
}

static void independent_pixels_have_the_expected_nll(void **state) {
    (void)state;
    px_context ctx = {0};
    px_device *device;
    px_source source = {.name = "pairs", .count = 4000, .height = 1, .width = 2, .channels = 1, .read = read_pair};
    px_evaluation evaluation;
    assert_ok(&ctx, px_cpu_open(&ctx, PX_REAL, &device));
    assert_ok(&ctx, px_evaluate_independent(device, &source, &source, &(px_evaluate_options){.batch = 7, .levels = 2},
                                            &evaluation));
    const double n = 4002, ones = 3001 / n, zeros = 1001 / n; /* each of the two levels has one added count */
    const double want = -0.75 * log(ones) - 0.25 * log(zeros) - log(4001 / n);
    assert_int_equal(evaluation.images, 4000);
    if (!(fabs(evaluation.nats_per_image - want) < 1e-9)) /* a mean of 4000 numbers in double */
        fail_msg("NLL is %.12g, expected %.12g within 1e-9", evaluation.nats_per_image, want);
    px_device_close(device);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(warm_up_is_linear),
        cmocka_unit_test(a_constant_rate_stays_the_same),
        cmocka_unit_test(a_stepped_rate_drops),
        cmocka_unit_test(a_cosine_decreases_to_its_final_rate),
        cmocka_unit_test(independent_pixels_have_the_expected_nll),
    };
    return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
