/* The stepwise recurrence, the reference for all others (van den Oord et al. 2016, section 3.3).
 *
 * The rows of a layer are skewed into step order, so that the live positions of a step are contiguous. A step is one
 * GEMM for each tap and one cell kernel, for both directions at once. The results are then unskewed into image order.
 */
#include "host/device/recurrence.h"
#include "kernels/skew.h"

/* The temporary memory, divided into tensors. A direction has px_step_order_rows rows in step order. */
typedef struct stepwise {
    px_tensor gates;   /* (directions * rows, 4 D), in step order */
    px_tensor c;       /* (directions * rows, D), in step order */
    px_tensor h;       /* (directions * rows, D), in step order; backward: dh */
    px_tensor product; /* (directions * positions * images, 4 D) PX_REAL; backward: (.., D) */
    px_tensor grad_c;  /* (directions * positions * images, D) */
    px_tensor zeros;   /* (1, D) */
} stepwise;

/* Lays out the temporary tensors and returns their bytes. */
static size_t stepwise_lay_out(const px_recurrence_args *s, bool backward, stepwise *space) {
    const size_t directions = (size_t)s->directions, rows = directions * (size_t)px_step_order_rows(s);
    const size_t of_step = directions * (size_t)s->positions * (size_t)s->grid.images;
    const px_type activation = s->direction[0].h.type;
    space->gates = (px_tensor){NULL, rows, PX_GATES * s->hidden, activation};
    space->c = (px_tensor){NULL, rows, s->hidden, PX_REAL};
    space->h = (px_tensor){NULL, rows, s->hidden, activation};
    space->product = (px_tensor){NULL, of_step, backward ? s->hidden : PX_GATES * s->hidden, PX_REAL};
    space->grad_c = (px_tensor){NULL, backward ? of_step : 0, s->hidden, PX_REAL};
    space->zeros = (px_tensor){NULL, 1, s->hidden, PX_REAL};
    px_tensor *tensors[] = {&space->gates, &space->c, &space->h, &space->product, &space->grad_c, &space->zeros};
    size_t used = 0;
    for (int i = 0; i < 6; i++) {
        if (s->temporary.data) tensors[i]->data = (char *)s->temporary.data + used;
        used += px_tensor_padded_bytes(tensors[i]);
    }
    return used;
}

size_t px_recurrence_bytes_stepwise(const px_recurrence_args *s) {
    stepwise space;
    const size_t forward = stepwise_lay_out(s, false, &space), backward = stepwise_lay_out(s, true, &space);
    return forward > backward ? forward : backward;
}

/* Skews or unskews the rows of direction d. */
static px_status copy_rows(px_device *device, px_status (*copy)(px_device *device, const px_skew_args *args),
                           const px_recurrence_args *s, int d, px_tensor pixels, px_tensor steps) {
    const size_t rows = (size_t)px_step_order_rows(s);
    const px_skew_args args = {*s, d, px_tensor_as_bytes(px_tensor_first_rows(pixels, px_grid_pixels(&s->grid))),
                               px_tensor_as_bytes(px_tensor_slice(steps, (size_t)d * rows, rows))};
    return copy(device, &args);
}

/* The sum over taps k of A_k B_k, for all live positions of a step, in `product`. Forward, A_k has the rows of h at the
 * step before that tap k reads, and B_k is W_k^T. Backward, A_k has the gate gradients of the step after whose tap k
 * reads h, and B_k is W_k. The directions are the batch. */
static px_status multiply(px_device *device, const px_recurrence_args *s, const stepwise *space, int step,
                          bool backward) {
    const px_tensor *from = backward ? &space->gates : &space->h, *weight = &s->direction[0].weight;
    const size_t rows = (size_t)px_skew_live(s, step) * (size_t)s->grid.images;
    px_gemm_args gemm = {.transpose_b = !backward,
                         .m = rows,
                         .n = (size_t)space->product.columns,
                         .k = (size_t)from->columns,
                         .operands = weight->type,
                         .c = space->product.data,
                         .ld_a = (size_t)from->columns,
                         .ld_b = (size_t)weight->columns,
                         .ld_c = (size_t)space->product.columns,
                         .batch = s->directions,
                         .stride_a = px_step_order_rows(s) * from->columns,
                         .stride_c = (ptrdiff_t)rows * space->product.columns};
    if (s->directions > 1)
        gemm.stride_b = ((char *)s->direction[1].weight.data - (char *)weight->data) /
                        (ptrdiff_t)px_type_size(weight->type);
    for (int k = 0; k < s->taps; k++) {
        const int other = backward ? step + 1 : step - 1, tap = backward ? -(s->first_tap + k) : s->first_tap + k;
        const ptrdiff_t row = px_step_order_row(s, other, px_skew_first(s, step) + tap, 0);
        gemm.a = px_element(from->data, from->type, row * from->columns);
        gemm.b = px_element(weight->data, weight->type, (ptrdiff_t)k * s->hidden);
        gemm.beta = k > 0;
        PX_TRY(device->ops->gemm(device, &gemm));
    }
    return PX_OK;
}

static px_lstm_cell_args cell_of(const px_recurrence_args *s, const stepwise *space, int step) {
    const int images = s->grid.images, first = px_skew_first(s, step);
    const ptrdiff_t direction = px_step_order_rows(s);
    px_lstm_cell_args cell = {.directions = s->directions,
                              .positions = px_skew_live(s, step),
                              .images = images,
                              .hidden = s->hidden,
                              .continued = px_skew_continued(s, step),
                              .rows = {px_step_order_row(s, step, first, 0), direction, images, 1},
                              .carried = {(ptrdiff_t)first * images, (ptrdiff_t)s->positions * images, images, 1},
                              .gates = space->gates,
                              .c = space->c,
                              .zeros = space->zeros};
    cell.before = cell.rows;
    if (step > 0) cell.before.first = px_step_order_row(s, step - 1, first, 0);
    return cell;
}

px_status px_recurrence_forward_stepwise(px_device *device, const px_recurrence_args *s) {
    const px_device_ops *ops = device->ops;
    stepwise space;
    if (s->grid.images == 0) return PX_OK;
    stepwise_lay_out(s, false, &space);
    PX_TRY(ops->clear(device, space.h.data, px_tensor_bytes(&space.h)));
    PX_TRY(ops->clear(device, space.product.data, px_tensor_bytes(&space.product)));
    PX_TRY(ops->clear(device, space.zeros.data, px_tensor_bytes(&space.zeros)));
    for (int d = 0; d < s->directions; d++)
        PX_TRY(copy_rows(device, ops->skew, s, d, s->direction[d].gates, space.gates));
    for (int step = 0; step < s->steps; step++) {
        px_lstm_cell_args cell = cell_of(s, &space, step);
        cell.h = space.h, cell.product = space.product;
        if (step > 0) PX_TRY(multiply(device, s, &space, step, false));
        PX_TRY(ops->lstm_cell_forward(device, &cell));
    }
    for (int d = 0; d < s->directions; d++) {
        PX_TRY(copy_rows(device, ops->unskew, s, d, s->direction[d].gates, space.gates));
        PX_TRY(copy_rows(device, ops->unskew, s, d, s->direction[d].c, space.c));
        PX_TRY(copy_rows(device, ops->unskew, s, d, s->direction[d].h, space.h));
    }
    return PX_OK;
}

px_status px_recurrence_backward_stepwise(px_device *device, const px_recurrence_args *s) {
    const px_device_ops *ops = device->ops;
    stepwise space;
    if (s->grid.images == 0) return PX_OK;
    stepwise_lay_out(s, true, &space);
    PX_TRY(ops->clear(device, space.gates.data, px_tensor_bytes(&space.gates)));
    PX_TRY(ops->clear(device, space.product.data, px_tensor_bytes(&space.product)));
    PX_TRY(ops->clear(device, space.grad_c.data, px_tensor_bytes(&space.grad_c)));
    PX_TRY(ops->clear(device, space.zeros.data, px_tensor_bytes(&space.zeros)));
    for (int d = 0; d < s->directions; d++) {
        PX_TRY(copy_rows(device, ops->skew, s, d, s->direction[d].gates, space.gates));
        PX_TRY(copy_rows(device, ops->skew, s, d, s->direction[d].c, space.c));
        PX_TRY(copy_rows(device, ops->skew, s, d, s->direction[d].dh, space.h));
    }
    for (int step = s->steps - 1; step >= 0; step--) {
        px_lstm_cell_args cell = cell_of(s, &space, step);
        cell.dh = space.h, cell.grad_c = space.grad_c, cell.tap[0] = space.product;
        if (step < s->steps - 1) PX_TRY(multiply(device, s, &space, step, true));
        PX_TRY(ops->lstm_cell_backward(device, &cell));
    }
    for (int d = 0; d < s->directions; d++)
        PX_TRY(copy_rows(device, ops->unskew, s, d, s->direction[d].gates, space.gates));
    return PX_OK;
}
