/* One swept LSTM: its layers, its tensors, and all of its arithmetic that is not sequential. */
#include "host/model/lstm.h"
#include <stdio.h>

px_status px_lstm_create(px_model *model, px_lstm *lstm, const char *name, px_taps input, px_taps state) {
    const int h = model->spec.hidden;
    char full[PX_PARAMETER_NAME];
    px_linear_spec spec = {.name = full, .outputs = PX_GATES * h, .gates = PX_GATES, .gain = 1};
    snprintf(full, sizeof full, "%s.input_to_state", name);
    spec.inputs = 2 * h, spec.taps = input, spec.mask = PX_MASK_B;
    PX_TRY(px_linear_create(model, &lstm->input_to_state, &spec));
    snprintf(full, sizeof full, "%s.state_to_state", name);
    spec.inputs = h, spec.taps = state, spec.mask = PX_MASK_NONE, spec.no_bias = true;
    return px_linear_create(model, &lstm->state_to_state, &spec);
}

px_status px_lstm_create_expand(px_model *model, px_linear *expand, int index) {
    const int h = model->spec.hidden;
    char name[32];
    snprintf(name, sizeof name, "blocks.%d.expand", index);
    return px_linear_create(model, expand,
                            &(px_linear_spec){.name = name,
                                              .inputs = h,
                                              .outputs = 2 * h,
                                              .gates = 1,
                                              .taps = px_taps_rectangle(1, 1, 0),
                                              .mask = PX_MASK_B,
                                              .gain = 1});
}

void px_lstm_lay_out(px_model *model, px_lstm *lstm, int images, px_arena *saved, px_arena *temporary) {
    const int h = model->spec.hidden;
    lstm->gates = px_pixel_tensor(model, saved, images, PX_GATES * h);
    lstm->h = px_pixel_tensor(model, saved, images, h);
    lstm->c = px_arena_tensor(saved, lstm->h.rows, h, PX_REAL);
    if (model->purpose == PX_PURPOSE_TRAIN) lstm->dh = px_pixel_tensor(model, temporary, images, h);
}

px_recurrence_direction px_lstm_direction(const px_model *model, const px_lstm *lstm, ptrdiff_t origin,
                                          ptrdiff_t stride_step, ptrdiff_t stride_position) {
    const px_parameter *weight = &model->parameters.items[lstm->state_to_state.weight];
    return (px_recurrence_direction){.origin = origin,
                                     .stride_step = stride_step,
                                     .stride_position = stride_position,
                                     .weight = px_parameter_tensor(weight, model->compute_weights),
                                     .gates = lstm->gates,
                                     .c = lstm->c,
                                     .h = lstm->h,
                                     .dh = lstm->dh};
}

px_status px_lstm_input_forward(px_model *model, px_lstm *lstm, px_tensor u) {
    return px_linear_forward(model, &lstm->input_to_state, u, (px_tensor){0}, lstm->gates);
}

px_status px_lstm_input_backward(px_model *model, px_lstm *lstm, px_tensor u, px_tensor add, px_tensor g) {
    PX_TRY(px_linear_weight_gradient(model, &lstm->state_to_state, lstm->h, lstm->gates));
    PX_TRY(px_linear_weight_gradient(model, &lstm->input_to_state, u, lstm->gates));
    return px_linear_input_gradient(model, &lstm->input_to_state, lstm->gates, u, add, g);
}
