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

/* A parameter of layer 0, moved to another layer. */
static px_tensor parameter_of(const px_decoder *d, const px_stack *s, int index, int layer) {
    px_tensor tensor = px_parameter_tensor(&d->model->parameters.items[index], d->model->compute_weights);
    tensor.data = px_element(tensor.data, tensor.type, (ptrdiff_t)((size_t)layer * s->stride));
    return tensor;
}

px_tensor px_stack_bias(const px_decoder *d, const px_stack *s, int layer) {
    return s->bias.tensor.data ? px_cache_at(d, &s->bias, layer, 0, 0, 1) : parameter_of(d, s, s->first->bias, layer);
}

size_t px_stack_bias_stride(const px_decoder *d, const px_stack *s) {
    return s->bias.tensor.data ? px_cache_stride(d, &s->bias) * (size_t)s->bias.tensor.columns : s->stride;
}

/* ---- Conditions ---- */

static px_condition_kind condition_of(const px_decoder *d, const px_stack *s) {
    return s->condition ? d->model->spec.condition.kind : PX_CONDITION_NONE;
}

px_stack px_stack_conditional(const px_decoder *d, px_stack layers, const px_conditional *first) {
    if (d->model->spec.condition.kind != PX_CONDITION_NONE) layers.condition = &first->condition;
    return layers;
}

void px_stack_lay_out(const px_decoder *d, px_stack *s, px_arena *arena) {
    if (condition_of(d, s) == PX_CONDITION_CLASS)
        s->bias = px_cache_lay_out(d, arena, d->device->activation, s->layers, 1, weight_of(d, s->first)->outputs);
}

px_status px_stack_begin(const px_decoder *d, const px_stack *s) {
    for (int layer = 0; layer < s->layers && condition_of(d, s) == PX_CONDITION_CLASS; layer++)
        PX_TRY(px_run(d->device, convolve, .grid = {d->images, 1, 1}, .taps = s->condition->taps,
                      .x = px_tensor_first_rows(d->condition.features, (size_t)d->images),
                      .weight = parameter_of(d, s, s->condition->weight, layer),
                      .bias = parameter_of(d, s, s->first->bias, layer), .y = px_stack_bias(d, s, layer)));
    return PX_OK;
}

px_status px_stack_begin_row(const px_decoder *d, const px_stack *s, const px_cache *y) {
    if (condition_of(d, s) != PX_CONDITION_IMAGE) return px_cache_clear(d, y);
    const int width = d->model->spec.width;
    const px_tensor map = px_cache_at(d, &d->map, 0, 0, 0, width), sum = px_cache_at(d, y, 0, 0, 0, width);
    const px_tensor weight = parameter_of(d, s, s->condition->weight, 0);
    const size_t in = (size_t)map.columns, out = (size_t)sum.columns;
    return px_run(d->device, gemm, .transpose_b = true, .m = map.rows, .n = out, .k = in, .operands = map.type,
                  .result = sum.type, .a = map.data, .ld_a = in, .b = weight.data, .ld_b = in, .c = sum.data,
                  .ld_c = out, .batch = s->layers, .stride_b = (ptrdiff_t)s->stride,
                  .stride_c = (ptrdiff_t)(px_cache_stride(d, y) * out));
}

/* ---- Products ---- */

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
