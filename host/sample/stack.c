/* Masked convolutions in parts: the taps in rows above, the taps beside, and the centre tap. Each part is a matrix
 * product on adjacent rows of a cache, so no im2col is needed. */
#include "host/sample/decode.h"

static const px_parameter *weight_of(const px_decoder *d, const px_conv *conv) {
    return &d->model->parameters.items[conv->weight];
}

px_stack px_stack_of(const px_decoder *d, const px_conv *first, const px_conv *second, int gates) {
    px_stack stack = {.first = first, .layers = d->model->spec.layers, .gates = gates};
    if (second) stack.stride = weight_of(d, second)->offset - weight_of(d, first)->offset;
    return stack;
}

px_tensor px_stack_bias(const px_decoder *d, const px_stack *s, int layer) {
    px_tensor bias = px_parameter_tensor(&d->model->parameters.items[s->first->bias], d->model->compute_weights);
    bias.data = px_element(bias.data, bias.type, (ptrdiff_t)((size_t)layer * s->stride));
    return bias;
}

/* Adds the product of one tap to y, for all layers and the pixels column .. column + columns - 1 of the current row of
 * which the tap reads a pixel between the left and right borders. */
static px_status stack_tap(const px_decoder *d, const px_stack *s, int tap, int column, int columns, const px_cache *x,
                           const px_cache *y) {
    const int width = d->model->spec.width, down = s->first->taps.at[tap].row, right = s->first->taps.at[tap].column;
    int end = column + columns;
    if (column + right < 0) column = -right;
    if (end + right > width) end = width - right;
    if (!px_decode_has_row(d, d->row + down) || column >= end) return PX_OK;
    const px_tensor from = px_cache_at(d, x, 0, down, column + right, end - column);
    const px_tensor to = px_cache_at(d, y, 0, 0, column, end - column);
    const px_tensor weight = px_parameter_tensor(weight_of(d, s->first), d->model->compute_weights);
    const size_t in = (size_t)from.columns, out = (size_t)to.columns;
    return px_run(d->device, gemm, .transpose_b = true, .m = from.rows, .n = out, .k = in, .operands = from.type,
                  .result = to.type, .a = from.data, .ld_a = in,
                  .b = px_element(weight.data, weight.type, (ptrdiff_t)((size_t)tap * in)),
                  .ld_b = (size_t)weight.columns, .c = to.data, .ld_c = out, .beta = 1, .batch = s->layers,
                  .stride_a = (ptrdiff_t)(px_cache_stride(d, x) * in), .stride_b = (ptrdiff_t)s->stride,
                  .stride_c = (ptrdiff_t)(px_cache_stride(d, y) * out));
}

px_status px_stack_above(const px_decoder *d, const px_stack *s, const px_cache *x, const px_cache *y) {
    for (int t = 0; t < s->first->taps.live; t++)
        if (s->first->taps.at[t].row < 0) PX_TRY(stack_tap(d, s, t, 0, d->model->spec.width, x, y));
    return PX_OK;
}

px_status px_stack_beside(const px_decoder *d, const px_stack *s, int column, const px_cache *x, const px_cache *y) {
    for (int t = 0; t < s->first->taps.live; t++) {
        const px_tap at = s->first->taps.at[t];
        if (at.row == 0 && at.column != 0) PX_TRY(stack_tap(d, s, t, column, 1, x, y));
    }
    return PX_OK;
}

px_status px_stack_centre_row(const px_decoder *d, const px_stack *s, const px_cache *x, const px_cache *y) {
    return stack_tap(d, s, s->first->taps.live - 1, 0, d->model->spec.width, x, y);
}

/* The mask keeps the inputs of this colour group and the groups before it, which are a prefix of the features. */
px_status px_stack_centre(const px_decoder *d, const px_stack *s, int layer, px_colours colours, px_tensor x,
                          px_tensor y, px_real beta) {
    const px_parameter *p = weight_of(d, s->first);
    const px_tensor weight = px_parameter_tensor(p, d->model->compute_weights);
    const int centre = s->first->taps.live - 1, period = y.columns / s->gates;
    const int first = px_decode_colour_first(d, period, colours.first),
              end = px_decode_colour_first(d, period, colours.end);
    const int kept = px_decode_colour_first(d, x.columns, p->mask == PX_MASK_A ? colours.end - 1 : colours.end);
    if (first == end || kept == 0) return PX_OK;
    const size_t in = (size_t)x.columns, row = (size_t)weight.columns;
    const size_t offset = (size_t)layer * s->stride + (size_t)first * row + (size_t)centre * in;
    return px_run(d->device, gemm, .transpose_b = true, .m = x.rows, .n = (size_t)(end - first), .k = (size_t)kept,
                  .operands = x.type, .result = y.type, .a = x.data, .ld_a = in,
                  .b = px_element(weight.data, weight.type, (ptrdiff_t)offset), .ld_b = row,
                  .c = px_element(y.data, y.type, first), .ld_c = (size_t)y.columns, .beta = beta, .batch = s->gates,
                  .stride_b = (ptrdiff_t)((size_t)period * row), .stride_c = period);
}

px_status px_stack_activate(const px_decoder *d, const px_stack *s, int layer, px_colours colours, px_tensor sum,
                            px_tensor add, px_tensor y, px_tensor relu_out) {
    const int first = px_decode_colour_first(d, sum.columns, colours.first);
    return px_run(d->device, activate, .sum = sum, .bias = px_stack_bias(d, s, layer), .add = add, .y = y,
                  .relu_out = relu_out, .first = first,
                  .count = px_decode_colour_first(d, sum.columns, colours.end) - first);
}
