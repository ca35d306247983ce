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
                           .pixel_share = spec->pixel_share > 0 ? spec->pixel_share : 1,
                           .reads_input = spec->reads_input,
                           .count = (size_t)spec->outputs * (size_t)spec->taps.stored * (size_t)spec->inputs};
    /* The shape in model files: [out, in], [out, taps, in] or [out, rows, columns, in]. */
    weight.shape[weight.rank++] = spec->kernel
                                      ? (int)(weight.count / (size_t)(spec->kernel * spec->kernel * spec->inputs))
                                      : spec->outputs;
    for (int i = 0; i < 2 && spec->kernel; i++) weight.shape[weight.rank++] = spec->kernel;
    if (spec->taps.rows > 1) weight.shape[weight.rank++] = spec->taps.rows;
    if (spec->taps.stored > 1 && !spec->kernel)
        weight.shape[weight.rank++] = spec->taps.rows > 1 ? spec->taps.columns : spec->taps.stored;
    weight.shape[weight.rank++] = spec->inputs;
    snprintf(weight.name, sizeof weight.name, "%s.weight", spec->name);
    *conv = (px_conv){.bias = -1, .taps = spec->taps, .relu = spec->relu, .relu_y = spec->relu_y};
    PX_TRY(px_parameters_add(model->device->ctx, &model->parameters, &weight, &conv->weight));
    if (spec->no_bias) return PX_OK;
    const int outputs = weight.shape[0];
    px_parameter bias = {.rank = 1, .shape = {outputs}, .count = (size_t)outputs, .outputs = outputs};
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

px_tensor px_conv_bias(const px_model *model, const px_conv *conv) {
    return parameter_in(model, conv->bias, model->compute_weights);
}

px_tensor px_conv_bias_gradient(const px_model *model, const px_conv *conv) {
    return parameter_in(model, conv->bias, model->gradients);
}

px_status px_conv_forward_on(px_model *model, const px_conv *conv, px_grid grid, px_tensor x, px_tensor bias,
                             px_tensor add, px_tensor y) {
    const size_t pixels = px_grid_pixels(&grid);
    return px_run(model->device, convolve, .grid = grid, .taps = conv->taps, .colours = colours_of(model, conv),
                  .relu = conv->relu == PX_RELU_APPLY, .relu_y = conv->relu_y, .x = px_tensor_first_rows(x, pixels),
                  .weight = parameter_in(model, conv->weight, model->compute_weights), .bias = bias,
                  .add = px_tensor_first_rows(add, pixels), .y = px_tensor_first_rows(y, pixels));
}

px_status px_conv_forward(px_model *model, const px_conv *conv, px_tensor x, px_tensor add, px_tensor y) {
    return px_conv_forward_on(model, conv, model->grid, x, px_conv_bias(model, conv), add, y);
}

px_status px_conv_input_gradient_on(px_model *model, const px_conv *conv, px_grid grid, px_tensor dy, px_tensor x,
                                    px_tensor add, px_tensor dx) {
    const size_t pixels = px_grid_pixels(&grid);
    return px_run(
        model->device, convolve_input_gradient, .grid = grid, .taps = conv->taps, .colours = colours_of(model, conv),
        .relu = conv->relu != PX_RELU_NONE, .dy = px_tensor_first_rows(dy, pixels),
        .weight = parameter_in(model, conv->weight, model->compute_weights), .x = px_tensor_first_rows(x, pixels),
        .add = px_tensor_first_rows(add, pixels), .dx = px_tensor_first_rows(dx, pixels));
}

px_status px_conv_input_gradient(px_model *model, const px_conv *conv, px_tensor dy, px_tensor x, px_tensor add,
                                 px_tensor dx) {
    return px_conv_input_gradient_on(model, conv, model->grid, dy, x, add, dx);
}

px_status px_conv_weight_gradient_on(px_model *model, const px_conv *conv, px_grid grid, px_tensor x, px_tensor dy,
                                     px_tensor dbias) {
    const px_tensor dweight = parameter_in(model, conv->weight, model->gradients);
    const size_t pixels = px_grid_pixels(&grid);
    PX_TRY(px_run(model->device, convolve_weight_gradient, .grid = grid, .taps = conv->taps,
                  .colours = colours_of(model, conv), .relu = conv->relu == PX_RELU_APPLY,
                  .x = px_tensor_first_rows(x, pixels), .dy = px_tensor_first_rows(dy, pixels), .dweight = dweight,
                  .dbias = dbias));
    const px_parameter *p = &model->parameters.items[conv->weight];
    /* With one colour, mask B keeps all live taps; only stored taps that are not live are masked. */
    const bool keeps_all = p->mask == PX_MASK_B && model->spec.channels == 1 && p->taps == p->live;
    if (p->mask == PX_MASK_NONE || keeps_all) return PX_OK;
    return px_run(model->device, mask, .weight = dweight, .inputs = p->inputs, .centre = p->live - 1,
                  .colours = model->spec.channels, .period = p->period, .strict = p->mask == PX_MASK_A);
}

px_status px_conv_weight_gradient(px_model *model, const px_conv *conv, px_tensor x, px_tensor dy) {
    return px_conv_weight_gradient_on(model, conv, model->grid, x, dy, px_conv_bias_gradient(model, conv));
}
