/* The built-in data sets: images are functions of seed, split and index; digits have plausible ink; the Ising lattice
 * has the entropy and correlations that px_ising_statistics computes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "host/data/ising.h"
#include "pixelrnn/source.h"
#include <math.h>

static px_source *open_source(const char *spec, px_split split, int size, uint64_t seed) {
    px_context ctx = {""};
    px_source *source;
    px_source_options options = {.split = split, .size = size, .seed = seed};
    px_status status = px_source_open(&ctx, spec, &options, &source);
    if (status != PX_OK) fail_msg("%s", ctx.message);
    return source;
}

static void read_image(px_source *source, size_t index, uint8_t *pixels) {
    px_context ctx = {""};
    px_status status = source->read(source, &ctx, index, pixels);
    if (status != PX_OK) fail_msg("%s", ctx.message);
}

static void images_are_functions_of_seed_split_and_index(void **state) {
    (void)state;
    const char *specs[] = {"builtin:digits", "builtin:ising"};
    for (int n = 0; n < 2; n++) {
        px_source *train = open_source(specs[n], PX_SPLIT_TRAIN, 12, 1),
                  *again = open_source(specs[n], PX_SPLIT_TRAIN, 12, 1);
        px_source *test = open_source(specs[n], PX_SPLIT_TEST, 12, 1),
                  *other = open_source(specs[n], PX_SPLIT_TRAIN, 12, 2);
        uint8_t a[144], b[144], next[144];
        assert_int_equal(train->count, n == 0 ? 60000 : 50000);
        assert_int_equal(test->count, n == 0 ? 1000 : 5000);
        for (size_t index = 0; index < 20; index++) {
            read_image(train, index, a);
            read_image(train, index + 1, next);
            assert_memory_not_equal(a, next, sizeof a);
            read_image(again, index, b);
            assert_memory_equal(a, b, sizeof a);
            read_image(test, index, b);
            assert_memory_not_equal(a, b, sizeof a);
            read_image(other, index, b);
            assert_memory_not_equal(a, b, sizeof a);
        }
        px_source_close(train);
        px_source_close(again);
        px_source_close(test);
        px_source_close(other);
    }
}

static void digits_have_plausible_ink_and_a_clean_border(void **state) {
    (void)state;
    for (int size = 8; size <= 64; size += 4) {
        px_source *source = open_source("builtin:digits", PX_SPLIT_TRAIN, size, 3);
        uint8_t pixels[64 * 64];
        for (size_t index = 0; index < 100; index++) {
            read_image(source, index, pixels);
            int ink = 0, edge = 0;
            for (int i = 0; i < size * size; i++) {
                ink += pixels[i] >= 128;
                if (i % size == 0 || i % size == size - 1) edge += pixels[i];
            }
            double share = (double)ink / (size * size);
            if (share < 0.04 || share > 0.4 || edge != 0)
                fail_msg("size %d, image %zu: found ink on %g of the pixels and %d at the border, expected 0.04 to 0.4 "
                         "and 0",
                         size, index, share, edge);
        }
        px_source_close(source);
    }
}

/* ---- Ising lattice ---- */

/* -ln p of a lattice under the rule of host/data/ising.h, implemented again. */
static double ising_nll(const int *spin, int size) {
    double nll = 0;
    for (int i = 0; i < size; i++)
        for (int j = 0; j < size; j++) {
            double field = 0;
            if (j > 0) field += 0.5 * spin[i * size + j - 1];
            if (i > 0) field += 0.5 * spin[(i - 1) * size + j];
            if (i > 0 && j + 1 < size) field += 0.25 * spin[(i - 1) * size + j + 1];
            nll += log1p(exp(-2 * field * spin[i * size + j]));
        }
    return nll;
}

static px_ising ising_of(const int *spin, int size) {
    px_ising s = {.entropy = ising_nll(spin, size)};
    for (int i = 0; i < size; i++)
        for (int j = 0; j < size; j++) {
            if (j + 1 < size) s.horizontal += spin[i * size + j] * spin[i * size + j + 1];
            if (i + 1 < size) s.vertical += spin[i * size + j] * spin[(i + 1) * size + j];
        }
    s.horizontal /= size * (size - 1);
    s.vertical /= size * (size - 1);
    return s;
}

static void ising_statistics_equal_the_sum_over_all_lattices(void **state) {
    (void)state;
    for (int size = 2; size <= 4; size++) {
        px_ising sum = {0};
        double total = 0;
        for (int lattice = 0; lattice < 1 << size * size; lattice++) {
            int spin[16];
            for (int k = 0; k < size * size; k++) spin[k] = (lattice >> k & 1) ? 1 : -1;
            px_ising s = ising_of(spin, size);
            double p = exp(-s.entropy);
            total += p;
            sum.entropy += p * s.entropy;
            sum.horizontal += p * s.horizontal;
            sum.vertical += p * s.vertical;
        }
        px_context ctx = {""};
        px_ising exact;
        assert_int_equal(px_ising_statistics(&ctx, size, &exact), PX_OK);
        const double rounding = 1e-11; /* of 65536 terms, about 1e-15 each */
        assert_true(fabs(total - 1) < rounding);
        assert_true(fabs(sum.entropy - exact.entropy) < rounding);
        assert_true(fabs(sum.horizontal - exact.horizontal) < rounding);
        assert_true(fabs(sum.vertical - exact.vertical) < rounding);
    }
}

/* The sums behind a mean and its standard error. */
typedef struct sample {
    double sum, square;
} sample;

static void add(sample *s, double x) {
    s->sum += x;
    s->square += x * x;
}

static void check_mean(const char *what, sample s, int count, double exact) {
    double mean = s.sum / count, error = sqrt((s.square / count - mean * mean) / count);
    if (fabs(mean - exact) > 4 * error)
        fail_msg("%s: mean %g of %d lattices, expected %g, standard error %g", what, mean, count, exact, error);
}

static void ising_lattices_have_the_computed_statistics(void **state) {
    (void)state;
    enum { SIZE = 10, COUNT = 2000 };
    px_context ctx = {""};
    px_ising exact;
    assert_int_equal(px_ising_statistics(&ctx, SIZE, &exact), PX_OK);
    px_source *source = open_source("builtin:ising", PX_SPLIT_TRAIN, SIZE, 5);
    assert_true(source->entropy == exact.entropy);
    assert_true(exact.entropy < 0.8 * SIZE * SIZE * log(2));
    px_source *colour; /* of a converted set the entropy is unknown, 0 */
    const px_source_options converted = {.size = SIZE, .channels = 3, .seed = 5};
    assert_int_equal(px_source_open(&ctx, "builtin:ising", &converted, &colour), PX_OK);
    assert_true(colour->entropy == 0);
    px_source_close(colour);
    sample entropy = {0}, horizontal = {0}, vertical = {0};
    for (size_t index = 0; index < COUNT; index++) {
        uint8_t pixels[SIZE * SIZE];
        int spin[SIZE * SIZE];
        read_image(source, index, pixels);
        for (int k = 0; k < SIZE * SIZE; k++) {
            assert_true(pixels[k] == 0 || pixels[k] == 255);
            spin[k] = pixels[k] ? 1 : -1;
        }
        px_ising s = ising_of(spin, SIZE);
        add(&entropy, s.entropy);
        add(&horizontal, s.horizontal);
        add(&vertical, s.vertical);
    }
    check_mean("entropy", entropy, COUNT, exact.entropy);
    check_mean("horizontal pairs", horizontal, COUNT, exact.horizontal);
    check_mean("vertical pairs", vertical, COUNT, exact.vertical);
    px_source_close(source);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_are_functions_of_seed_split_and_index),
        cmocka_unit_test(digits_have_plausible_ink_and_a_clean_border),
        cmocka_unit_test(ising_statistics_equal_the_sum_over_all_lattices),
        cmocka_unit_test(ising_lattices_have_the_computed_statistics),
    };
    return cmocka_run_group_tests_name("builtin", tests, NULL, NULL);
}
