/* Checks of recurrences, of their LSTM cells, and of the copies into step order. */
#include "host/check/cases.h"
#include "host/check/sides.h"
#include "kernels/skew.h"
#include <math.h>

static size_t temporary_bytes(const px_sides *sides, const px_recurrence_args *args) {
    const size_t a = sides->device[0]->ops->recurrence_bytes(sides->device[0], args);
    const size_t b = sides->device[1]->ops->recurrence_bytes(sides->device[1], args);
    return a > b ? a : b;
}

/* Sets the descriptors to the tensors. */
static void join(px_sides *sides, px_recurrence_pair *s, px_recurrence_args args, bool reversed) {
    const size_t rows = (size_t)(PX_GATES * args.hidden);
    for (int d = 0; d < args.directions; d++) args.direction[d].dh.columns = args.hidden; /* forward and backward */
    const px_pair temporary = px_sides_make(sides, temporary_bytes(sides, &args), 1, PX_UINT8, PX_UINT8, PX_POISONED);
    for (int side = 0; side < PX_SIDES; side++) {
        s->on[side] = args;
        s->on[side].temporary = temporary.on[side];
        for (int d = 0; d < args.directions; d++) {
            px_recurrence_direction *line = &s->on[side].direction[d];
            const size_t first = (size_t)(reversed ? args.directions - 1 - d : d) * rows;
            line->weight = px_tensor_slice(s->weight.on[side], first, rows);
            line->gates = s->gates[d].on[side], line->dh = s->dh[d].on[side];
            line->c = s->c[d].on[side], line->h = s->h[d].on[side];
        }
    }
}

void px_recurrence_pair_run(px_sides *sides, const px_recurrence_pair *s, bool backward) {
    for (int side = 0; side < PX_SIDES && !sides->failure[0]; side++) {
        px_device *device = sides->device[side];
        if (backward)
            px_sides_ok(sides, "recurrence_backward", device->ops->recurrence_backward(device, &s->on[side]));
        else
            px_sides_ok(sides, "recurrence_forward", device->ops->recurrence_forward(device, &s->on[side]));
    }
    sides->cases++;
}

px_recurrence_pair px_recurrence_pair_make(px_sides *sides, px_recurrence_args args, bool reversed,
                                           px_content of_outputs) {
    const size_t pixels = px_grid_pixels(&args.grid), rows = (size_t)(args.directions * PX_GATES * args.hidden);
    sides->scale = exp2(round(log2(3 / sqrt(args.taps * args.hidden))));
    px_recurrence_pair s = {.weight = px_sides_activations(sides, rows, args.taps * args.hidden, PX_RANDOM)};
    sides->scale = 1;
    for (int d = 0; d < args.directions; d++) {
        s.gates[d] = px_sides_activations(sides, pixels, PX_GATES * args.hidden, PX_RANDOM);
        s.dh[d] = px_sides_activations(sides, pixels, args.hidden, PX_RANDOM);
        s.c[d] = px_sides_reals(sides, pixels, args.hidden, of_outputs);
        s.h[d] = px_sides_activations(sides, pixels, args.hidden, of_outputs);
    }
    join(sides, &s, args, reversed);
    return s;
}

/* Runs check on rows, on diagonals, and on diagonals with reversed weights. */
static void each_recurrence(px_sides *sides,
                            void (*check)(px_sides *sides, const px_recurrence_args *, bool reversed, bool backward),
                            bool backward) {
    static const char *const kinds[] = {"rows", "diagonals", "diagonals, weights reversed"};
    for (size_t i = 0; i < PX_COUNT(px_recurrence_cases); i++)
        for (int kind = 0; kind < 3; kind++) {
            const px_recurrence_case *c = &px_recurrence_cases[i];
            const px_recurrence_args args = kind ? px_diagonal_recurrence(c->grid, c->hidden)
                                                 : px_row_recurrence(c->grid, c->hidden);
            px_sides_case(sides, "%s, %d images of %d x %d, D %d", kinds[kind], c->grid.images, c->grid.height,
                          c->grid.width, c->hidden);
            check(sides, &args, kind == 2, backward);
        }
}

static void check_recurrence(px_sides *sides, const px_recurrence_args *args, bool reversed, bool backward) {
    const int operation = backward ? PX_OP_recurrence_backward : PX_OP_recurrence_forward;
    const px_recurrence_pair s = px_recurrence_pair_make(sides, *args, reversed, backward ? PX_RANDOM : PX_POISONED);
    px_recurrence_pair_run(sides, &s, backward);
    for (int d = 0; d < args->directions; d++) {
        px_sides_expect(sides, &s.gates[d], operation, "gates");
        px_sides_expect(sides, &s.c[d], operation, "c");
        px_sides_expect(sides, &s.h[d], operation, "h");
    }
}

void px_check_recurrence_forward(px_sides *sides) { each_recurrence(sides, check_recurrence, false); }
void px_check_recurrence_backward(px_sides *sides) { each_recurrence(sides, check_recurrence, true); }

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
static void check_cells(px_sides *sides, const px_recurrence_args *s, bool step_order, bool backward) {
    const int steps[] = {0, s->steps / 2, s->steps - 1}, D = s->hidden;
    const int operation = backward ? PX_OP_lstm_cell_backward : PX_OP_lstm_cell_forward;
    const size_t rows = step_order ? (size_t)(s->directions * px_step_order_rows(s)) : px_grid_pixels(&s->grid);
    const size_t of_step = (size_t)(s->directions * s->positions * s->grid.images);
    px_pair (*const in)(px_sides *, size_t, int, px_content) = backward ? px_sides_activations : px_sides_reals;
    px_pair (*const out)(px_sides *, size_t, int, px_content) = backward ? px_sides_reals : px_sides_activations;
    for (size_t i = 0; i < PX_COUNT(steps); i++) {
        sides->used = 0;
        const px_pair gates = px_sides_activations(sides, rows, PX_GATES * D, PX_RANDOM),
                      c = px_sides_reals(sides, rows, D, PX_RANDOM);
        const px_pair h = px_sides_activations(sides, rows, D, PX_RANDOM),
                      grad_c = px_sides_reals(sides, of_step, D, PX_RANDOM),
                      zeros = px_sides_reals(sides, 1, D, PX_ZERO);
        const px_pair product = in(sides, of_step, PX_GATES * D, PX_RANDOM);
        px_pair tap[PX_MAX_STEP_TAPS];
        for (int k = 0; k < PX_MAX_STEP_TAPS; k++) tap[k] = out(sides, of_step, D + 3 * k, PX_RANDOM);
        for (int side = 0; side < PX_SIDES && !sides->failure[0]; side++) {
            const px_device_ops *ops = sides->device[side]->ops;
            px_lstm_cell_args cell = cell_of(s, step_order, steps[i]);
            cell.gates = gates.on[side], cell.c = c.on[side], cell.grad_c = grad_c.on[side];
            cell.zeros = zeros.on[side];
            if (!step_order || !backward) cell.product = product.on[side];
            for (int k = 0; k < (!step_order ? s->taps : backward ? 1 : 0); k++) cell.tap[k] = tap[k].on[side];
            *(backward ? &cell.dh : &cell.h) = h.on[side];
            px_sides_ok(sides, px_op_names[operation],
                        (backward ? ops->lstm_cell_backward : ops->lstm_cell_forward)(sides->device[side], &cell));
        }
        sides->cases++;
        const px_pair *written[] = {&gates, &c, &h, &grad_c, &product, &tap[0], &tap[1], &tap[2]};
        static const char *const what[] = {"gates", "c", "h", "grad_c", "product", "tap 0", "tap 1", "tap 2"};
        for (int t = 0; t < 8; t++) px_sides_expect(sides, written[t], operation, what[t]);
    }
}

void px_check_lstm_cell_forward(px_sides *sides) { each_recurrence(sides, check_cells, false); }

void px_check_lstm_cell_backward(px_sides *sides) { each_recurrence(sides, check_cells, true); }

/* Rows of activations or reals, in every direction. The rows of zeros between steps must not change. */
static void check_copies(px_sides *sides, const px_recurrence_args *s, bool reals_too, bool back) {
    const size_t pixels = px_grid_pixels(&s->grid), rows = (size_t)px_step_order_rows(s);
    const int operation = back ? PX_OP_unskew : PX_OP_skew;
    for (int d = 0; d < s->directions; d++) {
        sides->used = 0;
        px_pair (*const make_rows)(px_sides *, size_t, int, px_content) = reals_too ? px_sides_reals
                                                                                    : px_sides_activations;
        const px_pair image = make_rows(sides, pixels, s->hidden, PX_RANDOM),
                      steps = make_rows(sides, rows, s->hidden, PX_RANDOM);
        for (int side = 0; side < PX_SIDES && !sides->failure[0]; side++) {
            const px_device_ops *ops = sides->device[side]->ops;
            const px_skew_args args = {*s, d, px_tensor_as_bytes(image.on[side]), px_tensor_as_bytes(steps.on[side])};
            px_sides_ok(sides, px_op_names[operation], (back ? ops->unskew : ops->skew)(sides->device[side], &args));
        }
        sides->cases++;
        px_sides_expect(sides, &image, operation, "pixels");
        px_sides_expect(sides, &steps, operation, "steps");
    }
}

void px_check_skew(px_sides *sides) { each_recurrence(sides, check_copies, false); }

void px_check_unskew(px_sides *sides) { each_recurrence(sides, check_copies, true); }
