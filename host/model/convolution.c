/* Masked convolution layers: parameters, forward and backward. */
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

px_status px_conv_create(px_model *model, px_conv *conv, const px_conv_spec *spec) {
    px_parameter weight = {.outputs = spec->outputs,
                           .inputs = spec->inputs,
                           .taps = spec->taps.stored,
                           .live = spec->taps.live,
                           .mask = spec->mask,
                           .period = spec->outputs / spec->gates,
                           .gain = spec->gain,
                           .count = (size_t)spec->outputs * (size_t)spec->taps.stored * (size_t)spec->inputs};
    /* The shape in model files: [out, in], [out, taps, in] or [out, rows, columns, in]. */
    weight.shape[weight.rank++] = spec->outputs;
    if (spec->taps.rows > 1) weight.shape[weight.rank++] = spec->taps.rows;
    if (spec->taps.stored > 1)
        weight.shape[weight.rank++] = spec->taps.rows > 1 ? spec->taps.columns : spec->taps.stored;
    weight.shape[weight.rank++] = spec->inputs;
    snprintf(weight.name, sizeof weight.name, "%s.weight", spec->name);
    *conv = (px_conv){.bias = -1, .taps = spec->taps, .relu = spec->relu, .relu_y = spec->relu_y};
    PX_TRY(px_parameters_add(model->device->ctx, &model->parameters, &weight, &conv->weight));
    if (spec->no_bias) return PX_OK;
    px_parameter bias = {.rank = 1, .shape = {spec->outputs}, .count = (size_t)spec->outputs, .outputs = spec->outputs};
    if (spec->gates == PX_GATES) {
        bias.forget_first = PX_GATE_F * weight.period;
        bias.forget_count = weight.period;
    }
    snprintf(bias.name, sizeof bias.name, "%s.bias", spec->name);
    return px_parameters_add(model->device->ctx, &model->parameters, &bias, &conv->bias);
}

px_status px_conv_create_1x1(px_model *model, px_conv *conv, const char *name, int inputs, int outputs) {
    const px_conv_spec spec = {.name = name,
                               .inputs = inputs,
                               .outputs = outputs,
                               .taps = px_taps_rectangle(1, 1, 0),
                               .mask = PX_MASK_B,
                               .gates = 1,
                               .gain = 1};
    return px_conv_create(model, conv, &spec);
}

/* The parameter of this index within a flat tensor; absent for index -1. */
static px_tensor parameter_in(const px_model *model, int index, px_tensor flat) {
    return index < 0 ? (px_tensor){0} : px_parameter_tensor(&model->parameters.items[index], flat);
}

/* px_convolve_args.colours of a layer. */
static int colours_of(const px_model *model, const px_conv *conv) {
    const px_parameter *p = &model->parameters.items[conv->weight];
    const bool is_grouped = p->taps == 1 && p->mask == PX_MASK_B && p->period == p->outputs;
    return is_grouped ? model->spec.channels : 0;
}

px_status px_conv_forward(px_model *model, const px_conv *conv, px_tensor x, px_tensor add, px_tensor y) {
    return px_run(model->device, convolve, .grid = model->grid, .taps = conv->taps, .colours = colours_of(model, conv),
                  .relu = conv->relu == PX_RELU_APPLY, .relu_y = conv->relu_y, .x = px_current(model, x),
                  .weight = parameter_in(model, conv->weight, model->compute_weights),
                  .bias = parameter_in(model, conv->bias, model->compute_weights), .add = px_current(model, add),
                  .y = px_current(model, y));
}

px_status px_conv_input_gradient(px_model *model, const px_conv *conv, px_tensor dy, px_tensor x, px_tensor add,
                                 px_tensor dx) {
    return px_run(model->device, convolve_input_gradient, .grid = model->grid, .taps = conv->taps,
                  .colours = colours_of(model, conv), .relu = conv->relu != PX_RELU_NONE, .dy = px_current(model, dy),
                  .weight = parameter_in(model, conv->weight, model->compute_weights), .x = px_current(model, x),
                  .add = px_current(model, add), .dx = px_current(model, dx));
}

px_status px_conv_weight_gradient(px_model *model, const px_conv *conv, px_tensor x, px_tensor dy) {
    const px_tensor dweight = parameter_in(model, conv->weight, model->gradients);
    PX_TRY(px_run(model->device, convolve_weight_gradient, .grid = model->grid, .taps = conv->taps,
                  .colours = colours_of(model, conv), .relu = conv->relu == PX_RELU_APPLY, .x = px_current(model, x),
                  .dy = px_current(model, dy), .dweight = dweight,
                  .dbias = parameter_in(model, conv->bias, model->gradients)));
    const px_parameter *p = &model->parameters.items[conv->weight];
    /* With one colour, mask B keeps all live taps; only stored taps that are not live are masked. */
    const bool keeps_all = p->mask == PX_MASK_B && model->spec.channels == 1 && p->taps == p->live;
    if (p->mask == PX_MASK_NONE || keeps_all) return PX_OK;
    return px_run(model->device, mask, .weight = dweight, .inputs = p->inputs, .centre = p->live - 1,
                  .colours = model->spec.channels, .period = p->period, .strict = p->mask == PX_MASK_A);
}
