/* The order of an epoch, and the choice of images: permutations keyed by the seed. */
#include "pixelrnn/loader.h"
#include "tests/support/support.h"
#include <stdlib.h>
#include <string.h>

/* ---- The order of an epoch ---- */

static void every_epoch_is_a_permutation(void **state) {
    (void)state;
    static const size_t counts[] = {1, 2, 3, 4, 5, 15, 16, 17, 63, 64, 65, 255, 256, 257, 1000, 4097, 60000};
    for (size_t n = 0; n < sizeof counts / sizeof *counts; n++)
        for (uint64_t epoch = 0; epoch < 3; epoch++) {
            uint8_t *seen = calloc(counts[n], 1);
            assert_non_null(seen);
            for (size_t i = 0; i < counts[n]; i++) {
                size_t place = px_permute(7, epoch, counts[n], i);
                if (place >= counts[n] || seen[place]++)
                    fail_msg("count %zu, epoch %llu: index %zu goes to %zu, taken or outside", counts[n],
                             (unsigned long long)epoch, i, place);
            }
            free(seen);
        }
}

/* The number of 1000 indices that have the same position in two orders. Random orders share 1 on average, and more than
 * 8 with a probability of one in a million. */
static int agreement(uint64_t seed_a, uint64_t epoch_a, uint64_t seed_b, uint64_t epoch_b) {
    int same = 0;
    for (size_t i = 0; i < 1000; i++)
        same += px_permute(seed_a, epoch_a, 1000, i) == px_permute(seed_b, epoch_b, 1000, i);
    return same;
}

static void orders_differ_by_epoch_and_seed(void **state) {
    (void)state;
    assert_int_equal(agreement(1, 0, 1, 0), 1000);
    for (uint64_t k = 0; k < 10; k++) {
        assert_in_range(agreement(1, k, 1, k + 1), 0, 8);
        assert_in_range(agreement(k, 0, k + 1, 0), 0, 8);
    }
}

/* Each of 16 images is first equally often. Chi-squared with 15 degrees of freedom is above 44.3 once in 10^4. */
static void every_image_is_first_equally_often(void **state) {
    (void)state;
    enum { COUNT = 16, EPOCHS = 16000 };
    int first[COUNT] = {0};
    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) first[px_permute(3, epoch, COUNT, 0)]++;
    double chi_squared = 0, expected = (double)EPOCHS / COUNT;
    for (int i = 0; i < COUNT; i++) chi_squared += (first[i] - expected) * (first[i] - expected) / expected;
    if (chi_squared > 44.3) fail_msg("chi-squared %g, at most 44.3", chi_squared);
}

/* ---- Choosing images ---- */

static void a_choice_is_ascending_and_of_distinct_images(void **state) {
    (void)state;
    static const size_t counts[] = {1, 2, 5, 16, 17, 1000, 60000};
    for (size_t n = 0; n < sizeof counts / sizeof *counts; n++) {
        const size_t count = counts[n];
        size_t *indices = malloc(count * sizeof *indices);
        assert_non_null(indices);
        for (size_t chosen = 1; chosen <= count; chosen = chosen == count ? count + 1 : chosen + (count + 2) / 3) {
            if (chosen > count) chosen = count;
            px_choose(7, count, chosen, indices);
            for (size_t i = 0; i < chosen; i++)
                if (indices[i] >= count || (i > 0 && indices[i] <= indices[i - 1]))
                    fail_msg("%zu of %zu: index %zu is %zu", chosen, count, i, indices[i]);
        }
        free(indices);
    }
}

/* Two seeds share 10 of 100 images chosen from 1000 on average, and more than 30 with a probability of 10^-8. */
static void a_choice_depends_on_the_seed(void **state) {
    (void)state;
    size_t a[100], b[100];
    for (uint64_t seed = 0; seed < 10; seed++) {
        int shared = 0;
        px_choose(seed, 1000, 100, a);
        px_choose(seed, 1000, 100, b);
        assert_memory_equal(a, b, sizeof a);
        px_choose(seed + 1, 1000, 100, b);
        for (int i = 0; i < 100; i++)
            for (int j = 0; j < 100; j++) shared += a[i] == b[j];
        assert_in_range(shared, 0, 30);
    }
}

/* Each of 16 images is among 4 chosen ones equally often. Chi-squared with at most 15 degrees of freedom is above 44.3
 * once in 10^4. */
static void every_image_is_chosen_equally_often(void **state) {
    (void)state;
    enum { COUNT = 16, CHOSEN = 4, SEEDS = 4000 };
    int times[COUNT] = {0};
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        size_t indices[CHOSEN];
        px_choose(seed, COUNT, CHOSEN, indices);
        for (int i = 0; i < CHOSEN; i++) times[indices[i]]++;
    }
    double chi_squared = 0, expected = (double)SEEDS * CHOSEN / COUNT;
    for (int i = 0; i < COUNT; i++) chi_squared += (times[i] - expected) * (times[i] - expected) / expected;
    if (chi_squared > 44.3) fail_msg("chi-squared %g, at most 44.3", chi_squared);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_epoch_is_a_permutation),
        cmocka_unit_test(orders_differ_by_epoch_and_seed),
        cmocka_unit_test(every_image_is_first_equally_often),
        cmocka_unit_test(a_choice_is_ascending_and_of_distinct_images),
        cmocka_unit_test(a_choice_depends_on_the_seed),
        cmocka_unit_test(every_image_is_chosen_equally_often),
    };
    return cmocka_run_group_tests_name("permute", tests, NULL, NULL);
}
