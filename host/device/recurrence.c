/* The stepwise recurrence: each step is one GEMM, batched over the directions, and one cell kernel.
 *
 * The cell kernel stores each h where the GEMM of the next step reads it, once for each tap, so that no im2col is
 * needed. Rows are ordered by position, then image, so that the live positions of a step are contiguous. */
#include "host/device/recurrence.h"
#include "kernels/skew.h"

/* The temporary memory, divided into tensors. */
typedef struct recurrence_space {
    px_tensor operand; /* (directions * (positions + 2) * images, taps * D) */
    px_tensor product; /* (directions * positions * images, 4 D) */
    px_tensor grad_c;  /* (directions * positions * images, D) */
    px_tensor zeros;   /* (1, D) */
} recurrence_space;

/* Lays out the temporary tensors and returns their bytes. The GEMM reads activations and writes PX_REAL. Sizes are
 * those of PX_REAL, which suffice for either. */
static size_t recurrence_lay_out(const px_recurrence_args *s, bool backward, recurrence_space *space) {
    const size_t lines = (size_t)s->directions * (size_t)s->grid.images, positions = (size_t)s->positions;
    space->operand = (px_tensor){NULL, lines * (positions + 2), s->taps * s->hidden, PX_REAL};
    space->product = (px_tensor){NULL, lines * positions, PX_GATES * s->hidden, PX_REAL};
    space->grad_c = (px_tensor){NULL, lines * positions, s->hidden, PX_REAL};
    space->zeros = (px_tensor){NULL, 1, s->hidden, PX_REAL};
    px_tensor *tensors[] = {&space->operand, &space->product, &space->grad_c, &space->zeros};
    size_t used = 0;
    for (int i = 0; i < 4; i++) {
        if (s->temporary.data) tensors[i]->data = (char *)s->temporary.data + used;
        used += px_tensor_padded_bytes(tensors[i]);
    }
    *(backward ? &space->product.type : &space->operand.type) = s->direction[0].h.type;
    return used;
}

size_t px_recurrence_bytes_stepwise(const px_device *device, const px_recurrence_args *recurrence) {
    (void)device;
    recurrence_space space;
    return recurrence_lay_out(recurrence, false, &space);
}

/* The GEMM of a step. Forward multiplies the operand rows of the live positions by the weights; backward multiplies
 * their gate gradients by the transposed weights. The directions are the batch. */
static px_gemm_args recurrence_gemm(const px_recurrence_args *s, const recurrence_space *space, int step,
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
    PX_TRY(device->ops->clear(device, space.zeros.data, px_tensor_bytes(&space.zeros)));
    for (int step = 0; step < s->steps; step++) {
        const px_gemm_args gemm = recurrence_gemm(s, &space, step, false);
        const px_lstm_cell_args cell = {*s, step, space.product, space.operand, space.grad_c, space.zeros};
        PX_TRY(device->ops->gemm(device, &gemm));
        PX_TRY(device->ops->lstm_cell_forward(device, &cell));
    }
    return PX_OK;
}

px_status px_recurrence_backward_stepwise(px_device *device, const px_recurrence_args *s) {
    recurrence_space space;
    recurrence_lay_out(s, true, &space);
    PX_TRY(device->ops->clear(device, space.operand.data, px_tensor_bytes(&space.operand)));
    PX_TRY(device->ops->clear(device, space.zeros.data, px_tensor_bytes(&space.zeros)));
    PX_TRY(device->ops->clear(device, space.grad_c.data, px_tensor_bytes(&space.grad_c)));
    for (int step = s->steps - 1; step >= 0; step--) {
        const px_lstm_cell_args cell = {*s, step, space.product, space.operand, space.grad_c, space.zeros};
        const px_gemm_args gemm = recurrence_gemm(s, &space, step, true);
        PX_TRY(device->ops->lstm_cell_backward(device, &cell));
        if (step > 0) PX_TRY(device->ops->gemm(device, &gemm));
    }
    return PX_OK;
}
