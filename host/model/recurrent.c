/* Row LSTM and Diagonal BiLSTM blocks: add + expand(h), where h is the state of one recurrence over the pixels.
 *
 * van den Oord et al. 2016, section 3. Both blocks run the same recurrence (px_recurrence_args). They differ in which
 * pixels form a step, and in the taps of their convolutions. input_to_state runs over the whole image before the
 * recurrence, and the weight gradients run after it. */
#include "host/model/blocks.h"
#include <stdio.h>
#include <stdlib.h>

static px_status lstm_create(px_model *model, px_lstm *lstm, const char *name, px_taps input, px_taps state) {
    const int h = model->spec.hidden;
    char full[PX_PARAMETER_NAME];
    px_conv_spec spec = {.name = full, .outputs = PX_GATES * h, .gates = PX_GATES, .gain = 1};
    snprintf(full, sizeof full, "%s.input_to_state", name);
    spec.inputs = 2 * h, spec.taps = input, spec.mask = PX_MASK_B;
    PX_TRY(px_conditional_create(model, &lstm->input_to_state, &spec, name));
    snprintf(full, sizeof full, "%s.state_to_state", name);
    spec.inputs = h, spec.taps = state, spec.mask = PX_MASK_NONE, spec.no_bias = true;
    return px_conv_create(model, &lstm->state_to_state, &spec);
}

/* Row LSTM, equation 3: input_to_state is a masked 3 x 1 convolution, stored without its masked right tap;
 * state_to_state is 3 x 1 in the row above. Diagonal BiLSTM, section 3.2: input_to_state is 1 x 1; state_to_state reads
 * the pixel above and the pixel beside, to the left or to the right. */
static px_status recurrent_create(px_model *model, int index, px_block **block) {
    static const px_tap row_above[] = {{-1, -1}, {-1, 0}, {-1, 1}};
    static const px_tap above_and_beside[][2] = {[PX_LEFT] = {{-1, 0}, {0, -1}}, [PX_RIGHT] = {{-1, 0}, {0, 1}}};
    const bool diagonal = model->spec.kind == PX_MODEL_DIAGONAL_BILSTM;
    char name[32];
    px_recurrent *b = calloc(1, sizeof *b);
    if (!b) return px_fail_memory(model->device->ctx, "model", sizeof *b);
    *block = &b->block;
    b->directions = diagonal ? 2 : 1;
    for (int d = 0; d < b->directions; d++) {
        snprintf(name, sizeof name, "blocks.%d%s", index, !diagonal ? "" : d == PX_LEFT ? ".left" : ".right");
        PX_TRY(lstm_create(model, &b->lstm[d], name, diagonal ? px_taps_rectangle(1, 1, 0) : px_taps_rectangle(1, 2, 1),
                           diagonal ? px_taps_list(2, above_and_beside[d]) : px_taps_list(3, row_above)));
    }
    snprintf(name, sizeof name, "blocks.%d.expand", index);
    return px_conv_create_1x1(model, &b->expand, name, model->spec.hidden, 2 * model->spec.hidden);
}

/* One direction of the recurrence over the tensors of an LSTM: pixel = origin + t * stride_step + position *
 * stride_position. */
static px_recurrence_direction direction_of(const px_model *model, const px_lstm *lstm, int origin, int stride_step,
                                            int stride_position) {
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

/* A step is a row, and its positions are the columns. */
static px_recurrence_args row_lstm_recurrence(const px_model *model, const px_block *block, px_grid grid) {
    const px_recurrent *b = (const px_recurrent *)block;
    return (px_recurrence_args){.grid = grid,
                                .steps = grid.height,
                                .positions = grid.width,
                                .length = grid.height,
                                .taps = 3,
                                .first_tap = -1,
                                .hidden = model->spec.hidden,
                                .directions = 1,
                                .direction = {direction_of(model, &b->lstm[0], 0, grid.width, 1)},
                                .temporary = b->temporary};
}

/* A step is a diagonal, and its positions are the rows; row i begins at step i (skew 1). At step t, PX_LEFT is at
 * column t - i, and PX_RIGHT at the column that mirrors it. */
static px_recurrence_args diagonal_recurrence(const px_model *model, const px_block *block, px_grid grid) {
    const px_recurrent *b = (const px_recurrent *)block;
    const int last = grid.width - 1;
    return (px_recurrence_args){
        .grid = grid,
        .steps = grid.height + grid.width - 1,
        .positions = grid.height,
        .skew = 1,
        .length = grid.width,
        .taps = 2,
        .first_tap = -1,
        .hidden = model->spec.hidden,
        .directions = 2,
        .direction = {[PX_LEFT] = direction_of(model, &b->lstm[PX_LEFT], 0, 1, last),
                      [PX_RIGHT] = direction_of(model, &b->lstm[PX_RIGHT], last, -1, grid.width + 1)},
        .temporary = b->temporary};
}

static void recurrent_lay_out(px_model *model, px_block *block, int images, px_arena *saved, px_arena *temporary) {
    px_recurrent *b = (px_recurrent *)block;
    const int h = model->spec.hidden;
    for (int d = 0; d < b->directions; d++) {
        px_lstm *lstm = &b->lstm[d];
        lstm->gates = px_pixel_tensor(model, saved, images, PX_GATES * h);
        px_conditional_lay_out(model, &lstm->input_to_state, images, PX_GATES * h, saved, temporary);
        lstm->h = px_pixel_tensor(model, saved, images, h);
        lstm->c = px_arena_tensor(saved, lstm->h.rows, h, PX_REAL);
        if (model->purpose == PX_PURPOSE_TRAIN) lstm->dh = px_pixel_tensor(model, temporary, images, h);
    }
    b->h = b->directions > 1 ? px_pixel_tensor(model, saved, images, h) : b->lstm[0].h;
    b->temporary = (px_tensor){0};
    const px_recurrence_args recurrence =
        block->kind->recurrence(model, block, (px_grid){images, model->spec.height, model->spec.width});
    b->temporary = px_arena_tensor(temporary, model->device->ops->recurrence_bytes(model->device, &recurrence), 1,
                                   PX_UINT8);
}

/* A Diagonal BiLSTM adds the states of both directions, those of PX_RIGHT moved down by one row, so that a pixel does
 * not read the pixels to its right: h(i, j) = h_left(i, j) + h_right(i - 1, j). */
static px_status recurrent_forward(px_model *model, px_block *block, px_tensor u, px_tensor add, px_tensor y) {
    px_recurrent *b = (px_recurrent *)block;
    const px_recurrence_args recurrence = block->kind->recurrence(model, block, model->grid);
    for (int d = 0; d < b->directions; d++)
        PX_TRY(px_conditional_forward(model, &b->lstm[d].input_to_state, u, b->lstm[d].gates));
    PX_TRY(model->device->ops->recurrence_forward(model->device, &recurrence));
    if (b->directions > 1)
        PX_TRY(px_run(model->device, shift_rows, .grid = model->grid, .down = 1,
                      .x = px_current(model, b->lstm[PX_RIGHT].h), .add = px_current(model, b->lstm[PX_LEFT].h),
                      .y = px_current(model, b->h)));
    return px_conv_forward(model, &b->expand, b->h, add, y);
}

/* After the recurrence, `gates` hold the gradients of the pre-activations. */
static px_status recurrent_backward(px_model *model, px_block *block, px_tensor u, px_tensor add, px_tensor grad) {
    px_recurrent *b = (px_recurrent *)block;
    const px_recurrence_args recurrence = block->kind->recurrence(model, block, model->grid);
    PX_TRY(px_conv_weight_gradient(model, &b->expand, b->h, grad));
    PX_TRY(px_conv_input_gradient(model, &b->expand, grad, b->h, (px_tensor){0}, b->lstm[0].dh));
    if (b->directions > 1)
        PX_TRY(px_run(model->device, shift_rows, .grid = model->grid, .down = -1,
                      .x = px_current(model, b->lstm[PX_LEFT].dh), .y = px_current(model, b->lstm[PX_RIGHT].dh)));
    PX_TRY(model->device->ops->recurrence_backward(model->device, &recurrence));
    for (int d = 0; d < b->directions; d++) {
        const px_lstm *lstm = &b->lstm[d];
        PX_TRY(px_conv_weight_gradient(model, &lstm->state_to_state, lstm->h, lstm->gates));
        PX_TRY(px_conditional_weight_gradient(model, &lstm->input_to_state, u, lstm->gates));
        PX_TRY(px_conv_input_gradient(model, &lstm->input_to_state.layer, lstm->gates, u, d == 0 ? add : grad, grad));
    }
    return PX_OK;
}

const px_block_kind px_block_row_lstm = {recurrent_create, recurrent_lay_out, recurrent_forward, recurrent_backward,
                                         row_lstm_recurrence};
const px_block_kind px_block_diagonal_bilstm = {recurrent_create, recurrent_lay_out, recurrent_forward,
                                                recurrent_backward, diagonal_recurrence};
