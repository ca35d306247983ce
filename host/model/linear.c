/* Masked convolution layers: parameters, forward, gradients. */
#include "host/model/network.h"
#include <stdio.h>
#include <string.h>

px_taps px_taps_rectangle(int rows, int columns, int centre) {
    px_taps taps = {.stored = rows * columns, .rows = rows, .columns = columns, .centre = centre};
    taps.live = (rows - 1) * columns + centre + 1;
    for (int t = 0; t < taps.stored; t++) taps.at[t] = (px_tap){t / columns - (rows - 1), t % columns - centre};
    return taps;
}

px_taps px_taps_list(int count, const px_tap *at) {
    px_taps taps = {.stored = count, .live = count};
    memcpy(taps.at, at, (size_t)count * sizeof *at);
    return taps;
}

/* [out, in], [out, taps, in] or [out, rows, columns, in]: as model files spell it. */
static void weight_shape(px_parameter *p, const px_linear_spec *spec) {
    p->shape[p->rank++] = spec->outputs;
    if (spec->taps.rows > 1) p->shape[p->rank++] = spec->taps.rows;
    if (spec->taps.stored > 1) p->shape[p->rank++] = spec->taps.rows > 1 ? spec->taps.columns : spec->taps.stored;
    p->shape[p->rank++] = spec->inputs;
}

px_status px_linear_create(px_model *model, px_linear *linear, const px_linear_spec *spec) {
    px_parameter weight = {.outputs = spec->outputs,
                           .inputs = spec->inputs,
                           .taps = spec->taps.stored,
                           .live = spec->taps.live,
                           .mask = spec->mask,
                           .period = spec->outputs / spec->gates,
                           .gain = spec->gain,
                           .count = (size_t)spec->outputs * (size_t)spec->taps.stored * (size_t)spec->inputs};
    weight_shape(&weight, spec);
    snprintf(weight.name, sizeof weight.name, "%s.weight", spec->name);
    *linear = (px_linear){.bias = -1, .taps = spec->taps, .reads = spec->reads, .gives_relu = spec->gives_relu};
    PX_TRY(px_parameters_add(model->device->ctx, &model->parameters, &weight, &linear->weight));
    if (spec->no_bias) return PX_OK;
    px_parameter bias = {.rank = 1, .shape = {spec->outputs}, .count = (size_t)spec->outputs, .outputs = spec->outputs};
    if (spec->gates == PX_GATES) {
        bias.forget_first = PX_GATE_F * weight.period;
        bias.forget_count = weight.period;
    }
    snprintf(bias.name, sizeof bias.name, "%s.bias", spec->name);
    return px_parameters_add(model->device->ctx, &model->parameters, &bias, &linear->bias);
}

/* A parameter within one of the flat tensors; absent for index -1. */
static px_tensor stored_tensor_of(const px_model *model, int index, px_tensor flat) {
    return index < 0 ? (px_tensor){0} : px_parameter_tensor(&model->parameters.items[index], flat);
}

px_status px_linear_forward(px_model *model, const px_linear *linear, px_tensor x, px_tensor add, px_tensor y) {
    return px_run(model->device, convolve, .grid = model->grid, .taps = linear->taps,
                  .relu = linear->reads == PX_READS_RELU, .relu_y = linear->gives_relu, .x = px_current(model, x),
                  .weight = stored_tensor_of(model, linear->weight, model->compute_weights),
                  .bias = stored_tensor_of(model, linear->bias, model->compute_weights), .add = px_current(model, add),
                  .y = px_current(model, y));
}

px_status px_linear_input_gradient(px_model *model, const px_linear *linear, px_tensor dy, px_tensor x, px_tensor add,
                                   px_tensor dx) {
    return px_run(model->device, convolve_input_gradient, .grid = model->grid, .taps = linear->taps,
                  .relu = linear->reads != PX_READS_PLAIN, .dy = px_current(model, dy),
                  .weight = stored_tensor_of(model, linear->weight, model->compute_weights), .x = px_current(model, x),
                  .add = px_current(model, add), .dx = px_current(model, dx));
}

px_status px_linear_weight_gradient(px_model *model, const px_linear *linear, px_tensor x, px_tensor dy) {
    const px_tensor dweight = stored_tensor_of(model, linear->weight, model->gradients);
    PX_TRY(px_run(model->device, convolve_weight_gradient, .grid = model->grid, .taps = linear->taps,
                  .relu = linear->reads == PX_READS_RELU, .x = px_current(model, x), .dy = px_current(model, dy),
                  .dweight = dweight, .dbias = stored_tensor_of(model, linear->bias, model->gradients)));
    const px_parameter *p = &model->parameters.items[linear->weight];
    if (p->mask == PX_MASK_NONE) return PX_OK;
    return px_run(model->device, mask, .weight = dweight, .inputs = p->inputs, .centre = p->live - 1,
                  .colours = model->spec.channels, .period = p->period, .strict = p->mask == PX_MASK_A);
}
