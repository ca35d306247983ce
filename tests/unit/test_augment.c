/* Augmentation: flips and binarisation are functions of seed, epoch and image, and have the right frequencies. */
#include "pixelrnn/loader.h"
#include "tests/support/support.h"
#include <math.h>
#include <string.h>

enum { IMAGES = 4000, VALUES = 24 };

static void a_flip_mirrors_half_of_the_images(void **state) {
    (void)state;
    const uint8_t image[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19};
    const uint8_t mirrored[] = {7, 8, 9, 4, 5, 6, 1, 2, 3, 17, 18, 19, 14, 15, 16, 11, 12, 13};
    int flipped = 0;
    for (size_t n = 0; n < IMAGES; n++) {
        uint8_t pixels[sizeof image];
        memcpy(pixels, image, sizeof image);
        px_augment_flip(pixels, 2, 3, 3, 5, 1, n);
        const bool is_mirrored = memcmp(pixels, mirrored, sizeof image) == 0;
        assert_true(is_mirrored || memcmp(pixels, image, sizeof image) == 0);
        flipped += is_mirrored;
    }
    /* A fair coin: 5 standard deviations of a binomial. */
    assert_true(fabs(flipped - IMAGES / 2.0) < 5 * sqrt(IMAGES / 4.0));
}

static void an_odd_width_keeps_its_middle_column(void **state) {
    (void)state;
    for (size_t n = 0; n < 20; n++) {
        uint8_t one = 9, three[] = {1, 2, 3};
        px_augment_flip(&one, 1, 1, 1, 5, 0, n);
        px_augment_flip(three, 1, 3, 1, 5, 0, n);
        assert_int_equal(one, 9);
        assert_int_equal(three[1], 2);
    }
}

static void binarized_values_have_their_frequency(void **state) {
    (void)state;
    const uint8_t values[] = {0, 255, 128, 3, 250};
    int ones[sizeof values] = {0};
    for (size_t n = 0; n < IMAGES; n++) {
        uint8_t pixels[sizeof values];
        memcpy(pixels, values, sizeof values);
        px_augment_binarize(pixels, sizeof values, 7, 2, n);
        for (size_t i = 0; i < sizeof values; i++) {
            assert_true(pixels[i] <= 1);
            ones[i] += pixels[i];
        }
    }
    assert_int_equal(ones[0], 0);
    assert_int_equal(ones[1], IMAGES);
    for (size_t i = 2; i < sizeof values; i++) {
        const double p = values[i] / 255.0;
        if (!(fabs(ones[i] - IMAGES * p) < 5 * sqrt(IMAGES * p * (1 - p))))
            fail_msg("value %d: %d ones of %d, expected %.1f within 5 standard deviations", values[i], ones[i], IMAGES,
                     IMAGES * p);
    }
}

static void epochs_and_seeds_differ_and_repeat(void **state) {
    (void)state;
    uint8_t drawn[4][VALUES];
    const uint64_t seeds[] = {1, 1, 1, 2}, epochs[] = {0, 0, 1, 0};
    for (int i = 0; i < 4; i++) {
        memset(drawn[i], 128, VALUES);
        px_augment_binarize(drawn[i], VALUES, seeds[i], epochs[i], 3);
    }
    assert_memory_equal(drawn[0], drawn[1], VALUES);
    assert_memory_not_equal(drawn[0], drawn[2], VALUES);
    assert_memory_not_equal(drawn[0], drawn[3], VALUES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flip_mirrors_half_of_the_images),
        cmocka_unit_test(an_odd_width_keeps_its_middle_column),
        cmocka_unit_test(binarized_values_have_their_frequency),
        cmocka_unit_test(epochs_and_seeds_differ_and_repeat),
    };
    return cmocka_run_group_tests_name("augment", tests, NULL, NULL);
}
