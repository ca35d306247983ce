/* Parity checks of recurrences and of their LSTM cells. Only test_parity.c includes this file. */
#ifndef PIXELRNN_TESTS_GPU_CHECK_RECURRENCES_H
#define PIXELRNN_TESTS_GPU_CHECK_RECURRENCES_H

#include "tests/gpu/parity.h"
#include "tests/support/cases.h"
#include "kernels/skew.h"

/* Allocates a recurrence. Both directions' weights share one allocation; `reversed` stores the second one first. */
static recurrence recurrence_over(px_recurrence_args args, bool reversed, content of_outputs) {
    const size_t pixels = px_grid_pixels(&args.grid);
    recurrence s = {
        .weight = activations((size_t)(args.directions * PX_GATES * args.hidden), args.taps * args.hidden, RANDOM)};
    for (int d = 0; d < args.directions; d++) {
        s.gates[d] = activations(pixels, PX_GATES * args.hidden, RANDOM);
        s.dh[d] = activations(pixels, args.hidden, RANDOM);
        s.c[d] = reals(pixels, args.hidden, of_outputs);
        s.h[d] = activations(pixels, args.hidden, of_outputs);
    }
    recurrence_join(&s, args, reversed);
    return s;
}

/* Runs check on rows, on diagonals, and on diagonals with reversed weights. */
static void each_recurrence(void (*check)(const px_recurrence_args *, bool reversed, bool backward), bool backward) {
    static const char *const kinds[] = {"rows", "diagonals", "diagonals, weights reversed"};
    for (size_t i = 0; i < PX_COUNT(px_recurrence_cases); i++)
        for (int kind = 0; kind < 3; kind++) {
            const px_recurrence_case *c = &px_recurrence_cases[i];
            const px_recurrence_args args = kind ? px_diagonal_recurrence(c->grid, c->hidden)
                                                 : px_row_recurrence(c->grid, c->hidden);
            CASE("%s, %d images of %d x %d, D %d", kinds[kind], c->grid.images, c->grid.height, c->grid.width,
                 c->hidden);
            check(&args, kind == 2, backward);
        }
}

static void expect_recurrence(const recurrence *s, int directions, int operation) {
    for (int d = 0; d < directions; d++) {
        expect_equal(&s->gates[d], operation, "gates");
        expect_equal(&s->c[d], operation, "c");
        expect_equal(&s->h[d], operation, "h");
    }
}

static void check_one_recurrence(const px_recurrence_args *args, bool reversed, bool backward) {
    const recurrence s = recurrence_over(*args, reversed, backward ? RANDOM : POISONED);
    for (int side = 0; side < SIDES; side++) {
        const px_device_ops *ops = the.device[side]->ops;
        assert_ok(&the.ctx,
                  (backward ? ops->recurrence_backward : ops->recurrence_forward)(the.device[side], &s.on[side]));
    }
    the.ran[backward ? OP_recurrence_backward : OP_recurrence_forward]++;
    expect_recurrence(&s, args->directions, backward ? OP_recurrence_backward : OP_recurrence_forward);
}

static void check_recurrence_forward(void) { each_recurrence(check_one_recurrence, false); }

static void check_recurrence_backward(void) { each_recurrence(check_one_recurrence, true); }

/* A step of direction 0 in image order, or of all directions in step order. Sets all but the tensors. */
static px_lstm_cell_args cell_of(const px_recurrence_args *s, bool step_order, int step) {
    const int images = s->grid.images, first = px_skew_first(s, step);
    const ptrdiff_t pixels = (ptrdiff_t)s->grid.height * s->grid.width, across = s->direction[0].stride_position;
    px_lstm_cell_args cell = {.directions = step_order ? s->directions : 1,
                              .positions = px_skew_live(s, step),
                              .images = images,
                              .hidden = s->hidden,
                              .continued = px_skew_continued(s, step),
                              .rows = {px_skew_pixel(s, 0, step, first, 0), 0, across, pixels},
                              .before = {px_skew_pixel(s, 0, step - 1, first, 0), 0, across, pixels},
                              .carried = {(ptrdiff_t)first * images, (ptrdiff_t)s->positions * images, images, 1}};
    if (step_order) {
        cell.rows = (px_step_rows){px_step_order_row(s, step, first, 0), px_step_order_rows(s), images, 1};
        cell.before = cell.rows;
        if (step > 0) cell.before.first = px_step_order_row(s, step - 1, first, 0);
    }
    return cell;
}

/* Single steps: the first, a middle one, the last, in either order. With step order, backward has one tap and writes no
 * product, and forward writes no tap. Elements that a step does not write must not change. */
static void check_cells(const px_recurrence_args *s, bool step_order, bool backward) {
    const int steps[] = {0, s->steps / 2, s->steps - 1}, D = s->hidden;
    const int operation = backward ? OP_lstm_cell_backward : OP_lstm_cell_forward;
    const size_t rows = step_order ? (size_t)(s->directions * px_step_order_rows(s)) : px_grid_pixels(&s->grid);
    const size_t of_step = (size_t)(s->directions * s->positions * s->grid.images);
    pair (*const in)(size_t, int, content) = reals, (*const out)(size_t, int, content) = activations;
    for (size_t i = 0; i < PX_COUNT(steps); i++) {
        the.used = 0;
        const pair gates = activations(rows, PX_GATES * D, RANDOM), c = reals(rows, D, RANDOM);
        const pair h = activations(rows, D, RANDOM), grad_c = reals(of_step, D, RANDOM), zeros = reals(1, D, ZERO);
        const pair product = (backward ? out : in)(of_step, PX_GATES * D, RANDOM);
        pair tap[PX_MAX_STEP_TAPS];
        for (int k = 0; k < PX_MAX_STEP_TAPS; k++) tap[k] = (backward ? in : out)(of_step, D + 3 * k, RANDOM);
        for (int side = 0; side < SIDES; side++) {
            const px_device_ops *ops = the.device[side]->ops;
            px_lstm_cell_args cell = cell_of(s, step_order, steps[i]);
            cell.gates = gates.on[side], cell.c = c.on[side], cell.grad_c = grad_c.on[side];
            cell.zeros = zeros.on[side];
            if (!step_order || !backward) cell.product = product.on[side];
            for (int k = 0; k < (!step_order ? s->taps : backward ? 1 : 0); k++) cell.tap[k] = tap[k].on[side];
            *(backward ? &cell.dh : &cell.h) = h.on[side];
            assert_ok(&the.ctx, (backward ? ops->lstm_cell_backward : ops->lstm_cell_forward)(the.device[side], &cell));
        }
        the.ran[operation]++;
        const pair *written[] = {&gates, &c, &h, &grad_c, &product, &tap[0], &tap[1], &tap[2]};
        static const char *const what[] = {"gates", "c", "h", "grad_c", "product", "tap 0", "tap 1", "tap 2"};
        for (int t = 0; t < 8; t++) expect_equal(written[t], operation, what[t]);
    }
}

static void check_lstm_cell_forward(void) { each_recurrence(check_cells, false); }

static void check_lstm_cell_backward(void) { each_recurrence(check_cells, true); }

/* Rows of activations or reals, in every direction. The rows of zeros between steps must not change. */
static void check_copies(const px_recurrence_args *s, bool reals_too, bool back) {
    const size_t pixels = px_grid_pixels(&s->grid), rows = (size_t)px_step_order_rows(s);
    const int operation = back ? OP_unskew : OP_skew;
    for (int d = 0; d < s->directions; d++) {
        the.used = 0;
        pair (*const make_rows)(size_t, int, content) = reals_too ? reals : activations;
        const pair image = make_rows(pixels, s->hidden, RANDOM), steps = make_rows(rows, s->hidden, RANDOM);
        for (int side = 0; side < SIDES; side++) {
            const px_device_ops *ops = the.device[side]->ops;
            const px_skew_args args = {*s, d, px_tensor_as_bytes(image.on[side]), px_tensor_as_bytes(steps.on[side])};
            assert_ok(&the.ctx, (back ? ops->unskew : ops->skew)(the.device[side], &args));
        }
        the.ran[operation]++;
        expect_equal(&image, operation, "pixels");
        expect_equal(&steps, operation, "steps");
    }
}

static void check_skew(void) { each_recurrence(check_copies, false); }

static void check_unskew(void) { each_recurrence(check_copies, true); }

#endif
