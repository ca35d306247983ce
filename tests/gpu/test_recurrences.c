/* Fused recurrences, step by step and on clusters, in bfloat16, against the stepwise recurrence on the CPU, in reals.
 */
#include "tests/gpu/parity.h"
#include "tests/support/cases.h"
#include "host/device/recurrence.h"

/* bfloat16 keeps 8 bits: states are rounded by 2^-9 at every step, and so is what is compared; errors of several steps
 * add up. A wrong unit, lane, tap or step is off by the order of the largest value. */
static const double narrow_tolerance = 0.02;

/* The strategy under test. */
static const struct tested {
    const char *name;
    px_recurrence_strategy strategy;
} fused = {"fused", PX_RECURRENCE_FUSED}, cluster = {"cluster", PX_RECURRENCE_CLUSTER};

/* Numbers that bfloat16 holds exactly, scaled: reals on the CPU, bfloat16 on the GPU. */
static pair narrow(size_t rows, int columns, double scale, content what) {
    pair p = reals(rows, columns, what);
    p.on[1].type = PX_BF16;
    float *wide = (float *)the.host[0];
    uint16_t *half = (uint16_t *)the.host[1];
    for (size_t i = 0; i < px_tensor_elements(&p.on[0]); i++) {
        half[i] = what == POISONED ? 0xffff : px_to_bfloat16(wide[i] * (float)scale);
        wide[i] = px_from_bfloat16(half[i]);
    }
    for (int side = 0; side < SIDES; side++) {
        px_device *device = the.device[side];
        assert_ok(&the.ctx, device->ops->upload(device, p.on[side].data, the.host[side], px_tensor_bytes(&p.on[side])));
        assert_ok(&the.ctx, device->ops->synchronize(device));
    }
    return p;
}

static void expect_near(const pair *p, const struct tested *tested, const char *what) {
    double (*const element)(const void *, size_t) = p->on[1].type == PX_BF16 ? element_bfloat16 : px_element_real;
    for (int side = 0; side < SIDES; side++)
        assert_ok(&the.ctx, the.device[side]->ops->download(the.device[side], the.host[side], p->on[side].data,
                                                            px_tensor_bytes(&p->on[side])));
    const px_difference d = px_compare(px_tensor_elements(&p->on[0]), element, the.host[1], px_element_real,
                                       the.host[0]);
    if (!(d.relative <= narrow_tolerance))
        fail_msg("%s recurrence, %s [%s]: element %zu is %.6g, on the CPU %.6g; off by %.3g of the largest, at most "
                 "%g (bfloat16)",
                 tested->name, what, the.note, d.index, d.found, d.want, d.relative, narrow_tolerance);
}

/* The tensors of a recurrence in both types. */
static recurrence narrow_recurrence(px_recurrence_args args) {
    const size_t pixels = px_grid_pixels(&args.grid), rows = (size_t)(args.directions * PX_GATES * args.hidden);
    the.skewed = false; /* both strategies require 16 bytes */
    recurrence s = {.weight = narrow(rows, args.taps * args.hidden, 3 / sqrt(args.taps * args.hidden), RANDOM)};
    for (int d = 0; d < args.directions; d++) {
        s.gates[d] = narrow(pixels, PX_GATES * args.hidden, 1, RANDOM);
        s.dh[d] = narrow(pixels, args.hidden, 1, RANDOM);
        s.c[d] = reals(pixels, args.hidden, POISONED);
        s.h[d] = narrow(pixels, args.hidden, 1, POISONED);
    }
    recurrence_join(&s, args, false);
    return s;
}

/* The same inputs once more give the same bits: the first direction's, since the other's are not put back. */
static void expect_repeated(const recurrence *s, const struct tested *tested, const void *inputs, size_t bytes) {
    px_device *device = the.device[1];
    const px_tensor *gates = &s->gates[0].on[1];
    void *first = malloc(bytes);
    assert_non_null(first);
    assert_ok(&the.ctx, device->ops->download(device, first, gates->data, bytes));
    for (int run = 0; run < 2; run++) {
        assert_ok(&the.ctx, device->ops->upload(device, gates->data, inputs, bytes));
        assert_ok(&the.ctx, device->ops->recurrence_forward(device, &s->on[1]));
        assert_ok(&the.ctx, device->ops->recurrence_backward(device, &s->on[1]));
        assert_ok(&the.ctx, device->ops->download(device, the.host[1], gates->data, bytes));
        if (memcmp(first, the.host[1], bytes) != 0)
            fail_msg("%s recurrence [%s]: other bits in run %d", tested->name, the.note, run);
    }
    free(first);
}

/* several: more than one image a cluster. */
static void check_recurrence(px_recurrence_args args, const struct tested *tested, bool several) {
    const recurrence s = narrow_recurrence(args);
    for (int backward = 0; backward < 2; backward++) {
        const px_recurrence_choice choice = px_recurrence_choose(the.device[1], &s.on[1], backward);
        if (choice.strategy != tested->strategy)
            fail_msg("[%s] is no %s recurrence: %s", the.note, tested->name, choice.words);
        if (several && choice.cluster.images < 2)
            fail_msg("[%s] is not several images each: %s", the.note, choice.words);
    }
    const size_t bytes = px_tensor_bytes(&s.gates[0].on[1]);
    void *inputs = malloc(bytes);
    assert_non_null(inputs);
    assert_ok(&the.ctx, the.device[1]->ops->download(the.device[1], inputs, s.gates[0].on[1].data, bytes));
    for (int side = 0; side < SIDES; side++)
        assert_ok(&the.ctx, the.device[side]->ops->recurrence_forward(the.device[side], &s.on[side]));
    for (int d = 0; d < args.directions; d++) {
        expect_near(&s.gates[d], tested, "gates");
        expect_near(&s.c[d], tested, "c");
        expect_near(&s.h[d], tested, "h");
    }
    for (int side = 0; side < SIDES; side++)
        assert_ok(&the.ctx, the.device[side]->ops->recurrence_backward(the.device[side], &s.on[side]));
    for (int d = 0; d < args.directions; d++) expect_near(&s.gates[d], tested, "gradient of gates");
    expect_repeated(&s, tested, inputs, bytes);
    free(inputs);
}

/* With PX_TEST_SHORT, cases of few pixels and features run, which a simulator of a GPU executes in minutes. */
static bool is_skipped(px_grid grid, int hidden) {
    enum { SHORT = 20000 };
    return getenv("PX_TEST_SHORT") && px_grid_pixels(&grid) * (size_t)hidden > SHORT;
}

/* Every size of cluster with every number of slots that it can have; one lane, 64 lanes, H != W, one step; one image
 * and several a cluster, with one or some left over for the last. Row LSTM's weights do not fit where only diagonals
 * are named. */
static void clusters(void **state) {
    (void)state;
    enum { ROWS = 1, DIAGONALS = 2, BOTH_KINDS = ROWS | DIAGONALS };
    static const struct {
        px_grid grid;
        int hidden, kinds;
        bool several; /* images a cluster, on any device of sm_90 */
    } cases[] = {
        {{1, 1, 1}, 16, BOTH_KINDS, false},   {{3, 5, 3}, 16, BOTH_KINDS, false},
        {{1, 64, 3}, 32, BOTH_KINDS, false},  {{1, 3, 64}, 80, BOTH_KINDS, false},
        {{1, 7, 4}, 48, BOTH_KINDS, false},   {{70, 4, 5}, 48, BOTH_KINDS, false},
        {{3, 4, 9}, 64, BOTH_KINDS, false},   {{1, 9, 4}, 128, BOTH_KINDS, false},
        {{20, 6, 9}, 128, DIAGONALS, false},  {{3, 64, 64}, 128, BOTH_KINDS, false},
        {{40, 5, 9}, 128, BOTH_KINDS, false}, {{3, 8, 5}, 144, DIAGONALS, false},
        {{1, 5, 8}, 256, DIAGONALS, false},   {{151, 4, 5}, 16, BOTH_KINDS, true},
        {{151, 5, 1}, 48, BOTH_KINDS, true},  {{307, 1, 6}, 64, BOTH_KINDS, true},
        {{83, 64, 2}, 96, BOTH_KINDS, true},  {{97, 7, 4}, 128, BOTH_KINDS, true},
        {{43, 4, 3}, 256, DIAGONALS, true},
    };
    if (the.device[1]->capability != 90) {
        print_message("SKIP recurrences on clusters: %s is not of compute capability 9.0\n",
                      the.device[1]->description);
        skip();
    }
    for (size_t i = 0; i < 2 * PX_COUNT(cases); i++) {
        const px_grid grid = cases[i / 2].grid;
        if (!(cases[i / 2].kinds & (i % 2 ? DIAGONALS : ROWS)) || is_skipped(grid, cases[i / 2].hidden)) continue;
        CASE("%s, %d images of %d x %d, D %d", i % 2 ? "diagonals" : "rows", grid.images, grid.height, grid.width,
             cases[i / 2].hidden);
        check_recurrence(i % 2 ? px_diagonal_recurrence(grid, cases[i / 2].hidden)
                               : px_row_recurrence(grid, cases[i / 2].hidden),
                         &cluster, cases[i / 2].several);
    }
}

/* One pixel, one row, one column, H != W; fewer rows than one block of 64 has, exactly 64, one more, and several
 * blocks; 16 and 32 channels a block; K that ends within a stage, and taps that begin within one. */
static void steps(void **state) {
    (void)state;
    static const px_recurrence_case cases[] = {
        {{1, 1, 1}, 16},  {{3, 5, 3}, 16},   {{70, 4, 1}, 16}, {{1, 1, 9}, 32},  {{13, 5, 5}, 32},
        {{1, 7, 4}, 48},  {{40, 1, 3}, 48},  {{8, 8, 9}, 64},  {{9, 9, 8}, 80},  {{1, 6, 66}, 128},
        {{5, 9, 1}, 128}, {{33, 4, 5}, 128}, {{2, 3, 7}, 144}, {{1, 5, 8}, 256}, {{3, 2, 40}, 272},
    };
    for (size_t i = 0; i < 2 * PX_COUNT(cases); i++) {
        const px_recurrence_case *c = &cases[i / 2];
        CASE("%s, %d images of %d x %d, D %d", i % 2 ? "diagonals" : "rows", c->grid.images, c->grid.height,
             c->grid.width, c->hidden);
        check_recurrence(i % 2 ? px_diagonal_recurrence(c->grid, c->hidden) : px_row_recurrence(c->grid, c->hidden),
                         &fused, false);
    }
}

static int run_fused(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(steps)};
    return cmocka_run_group_tests_name("fused recurrences", tests, NULL, NULL);
}

static int run_clusters(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(clusters)};
    return cmocka_run_group_tests_name("recurrences on clusters", tests, NULL, NULL);
}

int main(void) {
    setenv("PX_RECURRENCE", fused.name, 1);
    const int status = with_sides(&modes[0], true, run_fused);
    if (status != 0) return status;
    setenv("PX_RECURRENCE", cluster.name, 1);
    return with_sides(&modes[0], true, run_clusters);
}
