/* kernels/skew.h: the map from (step, position, image) to pixels, its inverse, and step order, for Row LSTM and both
 * directions of the Diagonal BiLSTM. */
#include "host/check/cases.h"
#include "tests/support/support.h"
#include "kernels/skew.h"
#include <stdlib.h>

static const px_grid grids[] = {{1, 1, 1}, {3, 1, 7}, {2, 7, 1}, {2, 5, 3}, {3, 3, 5}, {1, 4, 4}, {2, 2, 64}};

/* The pixel by its definition: a row of the Row LSTM is a step, a row of the Diagonal BiLSTM is a position. */
static ptrdiff_t pixel_of(const px_recurrence_args *s, int direction, int t, int p, int image) {
    const int row = s->skew ? p : t, from_start = s->skew ? t - p : p;
    const int column = direction == 1 ? s->grid.width - 1 - from_start : from_start;
    return ((ptrdiff_t)image * s->grid.height + row) * s->grid.width + column;
}

/* Every pixel of every image is reached once, from the (step, position, image) that px_unskew finds. */
static void check_map(const px_recurrence_args *s, int direction) {
    const size_t pixels = px_grid_pixels(&s->grid);
    int *reached = calloc(pixels, sizeof *reached);
    assert_non_null(reached);
    for (int image = 0; image < s->grid.images; image++)
        for (int t = 0; t < s->steps; t++)
            for (int p = px_skew_first(s, t); p < px_skew_first(s, t) + px_skew_live(s, t); p++) {
                const ptrdiff_t pixel = px_skew_pixel(s, direction, t, p, image);
                if (pixel != pixel_of(s, direction, t, p, image))
                    fail_msg("direction %d, step %d, position %d, image %d: pixel %td, expected %td", direction, t, p,
                             image, pixel, pixel_of(s, direction, t, p, image));
                const px_skew_index index = px_unskew(s, direction, pixel);
                if (index.step != t || index.position != p || index.image != image)
                    fail_msg("direction %d, pixel %td: (step, position, image) = (%d, %d, %d), expected (%d, %d, %d)",
                             direction, pixel, index.step, index.position, index.image, t, p, image);
                reached[pixel]++;
            }
    for (size_t i = 0; i < pixels; i++)
        if (reached[i] != 1)
            fail_msg("%d x %d x %d, direction %d: pixel %zu reached %d times, expected 1", s->grid.images,
                     s->grid.height, s->grid.width, direction, i, reached[i]);
    free(reached);
}

static void test_row_lstm(void **state) {
    (void)state;
    for (size_t i = 0; i < PX_COUNT(grids); i++) {
        const px_recurrence_args s = px_row_recurrence(grids[i], 16);
        check_map(&s, 0);
    }
}

static void test_diagonal_bilstm(void **state) {
    (void)state;
    for (size_t i = 0; i < PX_COUNT(grids); i++) {
        const px_recurrence_args s = px_diagonal_recurrence(grids[i], 16);
        for (int direction = 0; direction < s.directions; direction++) check_map(&s, direction);
    }
}

/* Position p is live at step t if and only if skew * p <= t < skew * p + length. */
static void test_live_positions(void **state) {
    (void)state;
    for (size_t i = 0; i < 2 * PX_COUNT(grids); i++) {
        const px_recurrence_args s = i % 2 ? px_diagonal_recurrence(grids[i / 2], 16)
                                           : px_row_recurrence(grids[i / 2], 16);
        for (int t = 0; t < s.steps; t++)
            for (int p = 0; p < s.positions; p++) {
                const bool live = p >= px_skew_first(&s, t) && p < px_skew_first(&s, t) + px_skew_live(&s, t);
                const bool expected = t >= s.skew * p && t < s.skew * p + s.length;
                if (live != expected)
                    fail_msg("skew %d, step %d, position %d: live is %d, expected %d", s.skew, t, p, live, expected);
            }
    }
}

/* The positions that were live at the step before are the first ones. */
static void test_continued_positions(void **state) {
    (void)state;
    for (size_t i = 0; i < 2 * PX_COUNT(grids); i++) {
        const px_recurrence_args s = i % 2 ? px_diagonal_recurrence(grids[i / 2], 16)
                                           : px_row_recurrence(grids[i / 2], 16);
        for (int t = 0; t < s.steps; t++)
            for (int l = 0; l < px_skew_live(&s, t); l++) {
                const int p = px_skew_first(&s, t) + l, before = t - 1;
                const bool expected = before >= s.skew * p && before < s.skew * p + s.length;
                if ((l < px_skew_continued(&s, t)) != expected)
                    fail_msg("skew %d, step %d, position %d: continued is %d, expected %d", s.skew, t, p,
                             l < px_skew_continued(&s, t), expected);
            }
    }
}

/* Step order is: for each step, a position before the live ones, the live ones, a position behind; images innermost. */
static void test_step_order(void **state) {
    (void)state;
    for (size_t i = 0; i < 2 * PX_COUNT(grids); i++) {
        const px_recurrence_args s = i % 2 ? px_diagonal_recurrence(grids[i / 2], 16)
                                           : px_row_recurrence(grids[i / 2], 16);
        ptrdiff_t expected = 0;
        for (int t = 0; t < s.steps; t++)
            for (int p = px_skew_first(&s, t) - 1; p <= px_skew_first(&s, t) + px_skew_live(&s, t); p++)
                for (int image = 0; image < s.grid.images; image++, expected++)
                    if (px_step_order_row(&s, t, p, image) != expected)
                        fail_msg("skew %d, step %d, position %d, image %d: row %td, expected %td", s.skew, t, p, image,
                                 px_step_order_row(&s, t, p, image), expected);
        EXPECT_EQUAL(px_step_order_rows(&s), expected, "case %zu", i);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_row_lstm),       cmocka_unit_test(test_diagonal_bilstm),
        cmocka_unit_test(test_live_positions), cmocka_unit_test(test_continued_positions),
        cmocka_unit_test(test_step_order),
    };
    return cmocka_run_group_tests_name("skew", tests, NULL, NULL);
}
