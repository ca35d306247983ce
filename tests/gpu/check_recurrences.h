/* Parity checks of recurrences and of their LSTM cells. Only test_parity.c includes this file. */
#ifndef PIXELRNN_TESTS_GPU_CHECK_RECURRENCES_H
#define PIXELRNN_TESTS_GPU_CHECK_RECURRENCES_H

#include "tests/gpu/parity.h"
#include "tests/support/cases.h"

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

/* Single steps: the first, a middle one, the last. Elements that a step does not write must not change. */
static void check_cells(const px_recurrence_args *args, bool reversed, bool backward) {
    const int steps[] = {0, args->steps / 2, args->steps - 1};
    const size_t lines = (size_t)args->directions * (size_t)args->grid.images, lanes = (size_t)args->positions;
    const int operation = backward ? OP_lstm_cell_backward : OP_lstm_cell_forward;
    for (size_t i = 0; i < PX_COUNT(steps); i++) {
        the.used = 0;
        const recurrence s = recurrence_over(*args, reversed, RANDOM);
        const pair product = (backward ? activations : reals)(lines * lanes, PX_GATES * args->hidden, RANDOM);
        const pair operand = (backward ? reals : activations)(lines * (lanes + 2), args->taps * args->hidden, RANDOM);
        const pair grad_c = reals(lines * lanes, args->hidden, RANDOM), zeros = reals(1, args->hidden, ZERO);
        for (int side = 0; side < SIDES; side++) {
            const px_device_ops *ops = the.device[side]->ops;
            const px_lstm_cell_args cell = {.recurrence = s.on[side],
                                            .step = steps[i],
                                            .product = product.on[side],
                                            .operand = operand.on[side],
                                            .grad_c = grad_c.on[side],
                                            .zeros = zeros.on[side]};
            assert_ok(&the.ctx, (backward ? ops->lstm_cell_backward : ops->lstm_cell_forward)(the.device[side], &cell));
        }
        the.ran[backward ? OP_lstm_cell_backward : OP_lstm_cell_forward]++;
        expect_equal(&product, operation, "product");
        expect_equal(&operand, operation, "operand");
        expect_equal(&grad_c, operation, "grad_c");
        expect_recurrence(&s, args->directions, operation);
    }
}

static void check_lstm_cell_forward(void) { each_recurrence(check_cells, false); }

static void check_lstm_cell_backward(void) { each_recurrence(check_cells, true); }

#endif
