/* The minimum work of each operation, computed from its descriptor: the FLOPs of its matrix products, and the bytes of
 * its tensors. Additional traffic of an implementation (im2col columns, partial sums) and pointwise arithmetic are not
 * counted. */
#include "host/bench/bench.h"
#include "kernels/skew.h"

static double tensor_bytes(const px_tensor *tensor) { return tensor->data ? (double)px_tensor_bytes(tensor) : 0; }

/* The sum of the bytes of some tensors; a tensor without data has none. */
#define PX_BYTES(...)                                                                                                  \
    bytes_of((const px_tensor *const[]){__VA_ARGS__},                                                                  \
             sizeof((const px_tensor *const[]){__VA_ARGS__}) / sizeof(px_tensor *))
static double bytes_of(const px_tensor *const *tensors, size_t count) {
    double bytes = 0;
    for (size_t i = 0; i < count; i++) bytes += tensor_bytes(tensors[i]);
    return bytes;
}

/* The work of an operation without matrix products. */
static px_work moves(double bytes) { return (px_work){.bytes = bytes}; }

static px_work work_gemm(const px_gemm_args *k) {
    const double m = (double)k->m, n = (double)k->n, depth = (double)k->k, batch = k->batch;
    const double operands = (double)px_type_size(k->operands), result = (double)px_type_size(k->result);
    return (px_work){.flops = 2 * m * n * depth * batch,
                     .bytes = batch * ((m + n) * depth * operands + m * n * result * (k->beta != 0 ? 2 : 1))};
}

/* The FLOPs of a convolution, and the bytes of its live weights. */
static px_work work_taps(const px_taps *taps, size_t pixels, int in, int out, px_type type) {
    const double weights = (double)taps->live * in * out;
    return (px_work){.flops = 2 * weights * (double)pixels, .bytes = weights * (double)px_type_size(type)};
}

static px_work work_convolve(const px_convolve_args *k) {
    px_work work = work_taps(&k->taps, k->y.rows, k->x.columns, k->y.columns, k->weight.type);
    work.bytes += PX_BYTES(&k->x, &k->bias, &k->add, &k->y);
    return work;
}
static px_work work_convolve_input_gradient(const px_convolve_input_gradient_args *k) {
    px_work work = work_taps(&k->taps, k->dy.rows, k->dx.columns, k->dy.columns, k->weight.type);
    work.bytes += PX_BYTES(&k->dy, &k->add, &k->dx) + (k->relu ? tensor_bytes(&k->x) : 0);
    return work;
}
static px_work work_convolve_weight_gradient(const px_convolve_weight_gradient_args *k) {
    if (!k->dweight.data) return moves(PX_BYTES(&k->dy, &k->dbias));
    px_work work = work_taps(&k->taps, k->dy.rows, k->x.columns, k->dy.columns, k->dweight.type);
    work.bytes += PX_BYTES(&k->x, &k->dy, &k->dbias);
    return work;
}

/* Every pixel of each direction is read and written once. */
static px_work work_recurrence(const px_recurrence_args *k, bool backward) {
    px_work work = {0};
    for (int d = 0; d < k->directions; d++) {
        const px_recurrence_direction *direction = &k->direction[d];
        work.flops += 2 * (double)px_tensor_elements(&direction->weight) * (double)px_grid_pixels(&k->grid);
        work.bytes += PX_BYTES(&direction->weight, &direction->gates, &direction->gates, &direction->c,
                               backward ? &direction->dh : &direction->h);
    }
    return work;
}
static px_work work_recurrence_forward(const px_recurrence_args *k) { return work_recurrence(k, false); }
static px_work work_recurrence_backward(const px_recurrence_args *k) { return work_recurrence(k, true); }

/* The pixels are read and written once, but the tensor in step order has rows of zeros, which are not. */
static px_work work_skew(const px_skew_args *k) { return moves(2 * tensor_bytes(&k->pixels)); }
static px_work work_unskew(const px_unskew_args *k) { return moves(2 * tensor_bytes(&k->pixels)); }

/* For each row: the gates twice and the product; c and the c before; h or dh, and the taps; backward also grad_c twice.
 */
static px_work work_cell(const px_lstm_cell_args *k, bool backward) {
    const double rows = (double)k->directions * k->positions * k->images, real = sizeof(px_real);
    const double store = (double)px_type_size(k->gates.type);
    double product = k->product.data ? (double)px_type_size(k->product.type) : 0, taps = 0;
    for (int i = 0; i < PX_MAX_STEP_TAPS; i++) taps += k->tap[i].data ? (double)px_type_size(k->tap[i].type) : 0;
    return moves(rows * k->hidden * (PX_GATES * (2 * store + product) + taps + store + (backward ? 4 : 2) * real));
}
static px_work work_lstm_cell_forward(const px_lstm_cell_args *k) { return work_cell(k, false); }
static px_work work_lstm_cell_backward(const px_lstm_cell_args *k) { return work_cell(k, true); }

/* `count` of the columns of each row are updated. */
static px_work work_lstm_update(const px_lstm_update_args *k) {
    const double share = (double)k->count / k->h.columns * k->layers;
    return moves(share * PX_BYTES(&k->pre, &k->c, &k->c, &k->h, &k->add, &k->sum) + tensor_bytes(&k->bias));
}
static px_work work_activate(const px_activate_args *k) {
    const double share = (double)k->count / k->sum.columns;
    return moves(share * PX_BYTES(&k->sum, &k->sum, &k->bias, &k->add, &k->y, &k->relu_out));
}
static px_work work_normalize(const px_normalize_args *k) {
    return moves((double)k->values.rows * k->values.columns + tensor_bytes(&k->values));
}
static px_work work_sample(const px_sample_args *k) {
    return moves((double)k->logits.rows * k->levels * (double)px_type_size(k->logits.type));
}
static px_work work_softmax_nll(const px_softmax_nll_args *k) {
    return moves(PX_BYTES(&k->logits, &k->target, &k->nll) + (k->gradient ? tensor_bytes(&k->logits) : 0));
}

/* Operations that read or write each of these tensors once. */
#define PX_MOVES(name, ...)                                                                                            \
    static px_work work_##name(const px_##name##_args *k) { return moves(PX_BYTES(__VA_ARGS__)); }
PX_MOVES(im2col, &k->x, &k->y)
PX_MOVES(bias_add_relu, &k->sum, &k->bias, &k->add, &k->relu_mask, &k->y)
PX_MOVES(cast, &k->x, &k->y)
PX_MOVES(sum_rows, &k->x, &k->y)
PX_MOVES(shift_rows, &k->x, &k->add, &k->y)
PX_MOVES(gather_row, &k->y, &k->y)
PX_MOVES(one_hot, &k->labels, &k->y)
PX_MOVES(pixel_shuffle, &k->x, &k->bias, &k->y)
PX_MOVES(pixel_unshuffle, &k->y, &k->x)
PX_MOVES(mask, &k->weight, &k->weight)
PX_MOVES(sum_columns, &k->x, &k->sum)
PX_MOVES(add_gradients, &k->x, &k->sum, &k->sum)
PX_MOVES(sum_squares, &k->x, &k->sum)
PX_MOVES(clip, &k->squares, &k->scale)
PX_MOVES(upload_scalars, &k->y)
PX_MOVES(sgd, &k->weights, &k->weights, &k->gradients)
PX_MOVES(rmsprop, &k->weights, &k->weights, &k->gradients, &k->second, &k->second)
PX_MOVES(adam, &k->weights, &k->weights, &k->gradients, &k->first, &k->first, &k->second, &k->second)
PX_MOVES(ema, &k->weights, &k->average, &k->average)

px_work px_work_of(int op, const void *args) {
    switch (op) {
#define PX_WORK_CASE(name)                                                                                             \
    case PX_OP_##name: return work_##name(args);
        PX_DEVICE_OPS(PX_WORK_CASE)
#undef PX_WORK_CASE
    }
    return (px_work){0};
}
