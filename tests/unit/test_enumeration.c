/* Models are distributions: p(x), and p(x | s) for every condition s, sum to 1 over all images of a small size.
 *
 * This shows that factors are normalised, that each depends on earlier values alone, and that all factors of an image
 * see the same condition. The distributions of some conditions must differ. */
#include "tests/support/model.h"
#include <float.h>
#include <math.h>
#include <omp.h>

enum { MAX_IMAGES = 4096, MAX_CONDITION = 8 };

/* Logits are up to a few tens here, so that each factor is off by as many roundings near 1, and an image by those of
 * its V factors. */
static double tolerance_of(const px_model_spec *s) {
    return 32 * (double)px_test_values(s) * (sizeof(px_real) == sizeof(float) ? FLT_EPSILON : DBL_EPSILON);
}

/* The number of sequences of `count` digits that are 0 to base - 1. */
static int sequences(size_t count, int base) {
    int product = 1;
    for (size_t i = 0; i < count; i++) product *= base;
    return product;
}

/* Writes the digits of `number`, the first one least. */
static void write_digits(uint8_t *digits, size_t count, int base, int number) {
    for (size_t i = 0; i < count; i++, number /= base) digits[i] = (uint8_t)(number % base);
}

static int conditions_of(const px_model_spec *s) {
    if (s->condition.kind == PX_CONDITION_CLASS) return s->condition.classes;
    return sequences(px_test_condition_bytes(s), s->levels);
}

static void write_condition(const px_model_spec *s, int number, uint8_t condition[MAX_CONDITION]) {
    if (s->condition.kind == PX_CONDITION_CLASS)
        px_condition_set_label(condition, number);
    else
        write_digits(condition, px_test_condition_bytes(s), s->levels, number);
}

/* Computes p(x | s) of all images x, with condition number s for all. */
static void compute_distribution(px_model *model, int condition, const uint8_t *levels, int images, double *p) {
    const px_model_spec *s = px_model_spec_of(model);
    px_context *ctx = px_model_device(model)->ctx;
    const size_t bytes = px_test_condition_bytes(s);
    uint8_t *conditions = calloc((size_t)images, bytes + 1);
    assert_non_null(conditions);
    assert_true(bytes <= MAX_CONDITION);
    for (size_t n = 0; n < (size_t)images && bytes > 0; n++) write_condition(s, condition, conditions + n * bytes);
    assert_ok(ctx, px_model_forward(model, levels, conditions, images, false));
    assert_ok(ctx, px_model_nats(model, p));
    for (int n = 0; n < images; n++) p[n] = exp(-p[n]);
    free(conditions);
}

static void test_case(void **state) {
    const px_model_spec *s = *state;
    static double p[2][MAX_IMAGES]; /* for the condition before, and for this one */
    const size_t values = px_test_values(s);
    const int images = sequences(values, s->levels);
    double worst = 0, farthest = 0;
    px_context ctx = {0};
    px_device *device = px_test_device(&ctx);
    px_model *model = px_test_model(device, s, 4);
    uint8_t *levels = malloc(values * (size_t)images);
    assert_true(levels && images <= MAX_IMAGES);
    for (int n = 0; n < images; n++) write_digits(levels + (size_t)n * values, values, s->levels, n);
    assert_ok(&ctx, px_model_reserve(model, images, PX_PURPOSE_EVALUATE));
    for (int condition = 0; condition < conditions_of(s); condition++) {
        double sum = 0, distance = 0, *now = p[condition % 2], *before = p[(condition + 1) % 2];
        compute_distribution(model, condition, levels, images, now);
        for (int n = 0; n < images; n++) {
            sum += now[n];
            distance += fabs(now[n] - before[n]);
        }
        if (!(fabs(sum - 1) <= tolerance_of(s)))
            fail_msg("%s, condition %d: the probabilities of all %d images sum to 1 %+.3g, tolerance %.3g for "
                     "roundings of %zu factors",
                     px_test_name(s), condition, images, sum - 1, tolerance_of(s), values);
        worst = fmax(worst, fabs(sum - 1));
        if (condition > 0) farthest = fmax(farthest, distance);
    }
    if (conditions_of(s) > 1 && farthest == 0)
        fail_msg("%s: all conditions have the same distribution, expected others", px_test_name(s));
    print_message("  %d conditions, %d images: sums off by %.2g; distributions differ by up to %.3g\n",
                  conditions_of(s), images, worst, farthest);
    free(levels);
    px_model_destroy(model);
    px_device_close(device);
}

int main(void) {
    static const struct {
        int height, width, channels, levels;
        px_condition condition;
    } cases[] = {{2, 3, 1, 3, {0}},
                 {2, 2, 3, 2, {0}},
                 {3, 2, 1, 3, PX_TEST_CLASS(5)},
                 {2, 2, 3, 2, PX_TEST_CLASS(3)},
                 {2, 4, 1, 2, PX_TEST_IMAGE(2)},
                 {2, 2, 1, 5, PX_TEST_IMAGE(2)},
                 {2, 2, 3, 2, PX_TEST_IMAGE(2)}};
    enum { SHAPES = sizeof cases / sizeof *cases, COUNT = 3 * SHAPES };
    static px_model_spec specs[COUNT];
    static char names[COUNT][192];
    static struct CMUnitTest tests[COUNT];
    omp_set_num_threads(1); /* these models take less time than starting threads */
    for (int i = 0; i < COUNT; i++) {
        specs[i] = (px_model_spec){.kind = (px_model_kind)(i / SHAPES),
                                   .layers = 2,
                                   .hidden = 8,
                                   .head = 12,
                                   .residual = true,
                                   .skip = i % 2,
                                   .height = cases[i % SHAPES].height,
                                   .width = cases[i % SHAPES].width,
                                   .channels = cases[i % SHAPES].channels,
                                   .levels = cases[i % SHAPES].levels,
                                   .condition = cases[i % SHAPES].condition};
        snprintf(names[i], sizeof names[i], "%s", px_test_name(&specs[i]));
        tests[i] = (struct CMUnitTest){names[i], test_case, NULL, NULL, &specs[i]};
    }
    return _cmocka_run_group_tests("enumeration", tests, COUNT, NULL, NULL);
}
