/* The recurrence, stepwise: each step is one product onto the step before, for all directions at once, and one cell
 * kernel.
 *
 * The cell writes each h to the places where the next step's lanes look for it, so the product's operand is always laid
 * out and a tap costs no copy. Lanes come before images, so the lanes that live at a step are neighbours. */
#include "host/device/recurrence.h"
#include "kernels/skew.h"

/* scratch, carved: sizes in elements. */
typedef struct recurrence_space {
    px_tensor operand; /* (directions * (lanes + 2) * images, taps * D) */
    px_tensor product; /* (directions * lanes * images, 4 D) */
    px_tensor grad_c;  /* (directions * lanes * images, D) */
} recurrence_space;

/* What a product reads is of the activations' type, what it gives are reals, which have room for either. */
static size_t recurrence_lay_out(const px_recurrence_args *s, bool backward, recurrence_space *space) {
    const size_t lines = (size_t)s->directions * (size_t)s->grid.images, lanes = (size_t)s->positions;
    space->operand = (px_tensor){NULL, lines * (lanes + 2), s->taps * s->hidden, PX_REAL};
    space->product = (px_tensor){NULL, lines * lanes, PX_GATES * s->hidden, PX_REAL};
    space->grad_c = (px_tensor){NULL, lines * lanes, s->hidden, PX_REAL};
    px_tensor *tensors[] = {&space->operand, &space->product, &space->grad_c};
    size_t used = 0;
    for (int i = 0; i < 3; i++) {
        if (s->temporary.data) tensors[i]->data = (char *)s->temporary.data + used;
        used += px_tensor_padded_bytes(tensors[i]);
    }
    *(backward ? &space->product.type : &space->operand.type) = s->direction[0].h.type;
    return used;
}

size_t px_recurrence_temporary_bytes(const px_recurrence_args *recurrence) {
    recurrence_space space;
    return recurrence_lay_out(recurrence, false, &space);
}

/* The product of a step, whichever way: operand rows of the lanes that live at `step` on one side, their gates on the
 * other, the directions as a batch. */
static px_gemm_args recurrence_product(const px_recurrence_args *s, const recurrence_space *space, int step,
                                       bool backward) {
    const size_t images = (size_t)s->grid.images, rows = (size_t)px_skew_live(s, step) * images;
    const size_t wide = (size_t)space->operand.columns, gates = (size_t)space->product.columns;
    const size_t first = (size_t)(px_skew_first(s, step) + 1) * images;
    const px_tensor weight = s->direction[0].weight;
    void *operand = px_tensor_slice(space->operand, first, rows).data, *product = space->product.data;
    const ptrdiff_t operand_step = (ptrdiff_t)((size_t)(s->positions + 2) * images * wide);
    const ptrdiff_t product_step = (ptrdiff_t)(rows * gates);
    px_gemm_args gemm = {.m = rows, .operands = weight.type, .b = weight.data, .ld_b = wide, .batch = s->directions};
    if (s->directions > 1)
        gemm.stride_b = ((char *)s->direction[1].weight.data - (char *)weight.data) /
                        (ptrdiff_t)px_type_size(weight.type);
    if (backward) {
        gemm.n = wide, gemm.k = gates;
        gemm.a = product, gemm.ld_a = gates, gemm.stride_a = product_step;
        gemm.c = operand, gemm.ld_c = wide, gemm.stride_c = operand_step;
    } else {
        gemm.transpose_b = true, gemm.n = gates, gemm.k = wide;
        gemm.a = operand, gemm.ld_a = wide, gemm.stride_a = operand_step;
        gemm.c = product, gemm.ld_c = gates, gemm.stride_c = product_step;
    }
    return gemm;
}

px_status px_recurrence_forward_stepwise(px_device *device, const px_recurrence_args *s) {
    recurrence_space space;
    recurrence_lay_out(s, false, &space);
    PX_TRY(device->ops->clear(device, space.operand.data, px_tensor_bytes(&space.operand)));
    for (int step = 0; step < s->steps; step++) {
        const px_gemm_args gemm = recurrence_product(s, &space, step, false);
        const px_lstm_cell_args cell = {*s, step, space.product, space.operand, space.grad_c};
        PX_TRY(device->ops->gemm(device, &gemm));
        PX_TRY(device->ops->lstm_cell_forward(device, &cell));
    }
    return PX_OK;
}

px_status px_recurrence_backward_stepwise(px_device *device, const px_recurrence_args *s) {
    recurrence_space space;
    recurrence_lay_out(s, true, &space);
    PX_TRY(device->ops->clear(device, space.operand.data, px_tensor_bytes(&space.operand)));
    PX_TRY(device->ops->clear(device, space.grad_c.data, px_tensor_bytes(&space.grad_c)));
    for (int step = s->steps - 1; step >= 0; step--) {
        const px_lstm_cell_args cell = {*s, step, space.product, space.operand, space.grad_c};
        const px_gemm_args gemm = recurrence_product(s, &space, step, true);
        PX_TRY(device->ops->lstm_cell_backward(device, &cell));
        if (step > 0) PX_TRY(device->ops->gemm(device, &gemm));
    }
    return PX_OK;
}
