/* Row LSTM block: u + expand(h), h swept row by row.
 * van den Oord et al. 2016, section 3.1 and eq. 3: input_to_state is 3 x 1 with mask B, state_to_state 3 x 1 unmasked.
 */
#include "host/model/network.h"
#include <stdio.h>
#include <stdlib.h>

typedef struct px_row_lstm {
    px_block block;
    px_linear input_to_state, state_to_state, expand;
    px_map gates, c, h; /* (P, 4h), (P, h), (P, h) */
    px_map dh;          /* (P, h) */
    px_map scratch;
} px_row_lstm;

static px_status px_row_lstm_create(px_model *model, int index, px_block **block) {
    px_row_lstm *b = calloc(1, sizeof *b);
    if (!b) return px_fail(model->device->ctx, PX_ERR_MEMORY, "model: cannot allocate block %d", index);
    b->block.kind = &px_block_row_lstm;
    *block = &b->block;
    const int h = model->spec.hidden;
    const px_tap above[] = {{-1, -1}, {-1, 0}, {-1, 1}};
    char input[48], state[48], expand[48];
    snprintf(input, sizeof input, "blocks.%d.input_to_state", index);
    snprintf(state, sizeof state, "blocks.%d.state_to_state", index);
    snprintf(expand, sizeof expand, "blocks.%d.expand", index);
    PX_TRY(px_linear_create(model, &b->input_to_state,
                            &(px_linear_spec){.name = input,
                                              .inputs = 2 * h,
                                              .outputs = PX_GATES * h,
                                              .gates = PX_GATES,
                                              .taps = px_taps_rectangle(1, 2, 1),
                                              .mask = PX_MASK_B,
                                              .gain = 1}));
    PX_TRY(px_linear_create(model, &b->state_to_state,
                            &(px_linear_spec){.name = state,
                                              .inputs = h,
                                              .outputs = PX_GATES * h,
                                              .gates = PX_GATES,
                                              .taps = px_taps_list(3, above),
                                              .gain = 1,
                                              .no_bias = true}));
    return px_linear_create(model, &b->expand,
                            &(px_linear_spec){.name = expand,
                                              .inputs = h,
                                              .outputs = 2 * h,
                                              .gates = 1,
                                              .taps = px_taps_rectangle(1, 1, 0),
                                              .mask = PX_MASK_B,
                                              .gain = 1});
}

/* The sweep: one step a row, one lane a column. */
static px_sweep_args px_row_lstm_sweep(const px_model *model, const px_row_lstm *b, px_grid grid) {
    px_sweep_args sweep = {.grid = grid,
                           .steps = grid.height,
                           .lanes = grid.width,
                           .life = grid.height,
                           .taps = 3,
                           .first_tap = -1,
                           .hidden = model->spec.hidden,
                           .directions = 1,
                           .scratch = b->scratch};
    sweep.line[0] =
        (px_sweep_line){.step = grid.width,
                        .lane = 1,
                        .weight = px_parameter_map(&model->parameters.items[b->state_to_state.weight], model->weights),
                        .gates = b->gates,
                        .c = b->c,
                        .h = b->h,
                        .dh = b->dh};
    return sweep;
}

static void px_row_lstm_carve(px_model *model, px_block *block, int images, px_arena *keep, px_arena *scratch) {
    px_row_lstm *b = (px_row_lstm *)block;
    const int h = model->spec.hidden;
    b->gates = px_pixel_map(model, keep, images, PX_GATES * h);
    b->c = px_pixel_map(model, keep, images, h);
    b->h = px_pixel_map(model, keep, images, h);
    if (model->purpose == PX_PURPOSE_TRAIN) b->dh = px_pixel_map(model, scratch, images, h);
    b->scratch = (px_map){0};
    const px_sweep_args sweep = px_row_lstm_sweep(model, b, (px_grid){images, model->spec.height, model->spec.width});
    b->scratch = px_arena_map(scratch, px_sweep_scratch(&sweep), 1, PX_UINT8);
}

static px_status px_row_lstm_forward(px_model *model, px_block *block, px_map u, px_map add, px_map y) {
    px_row_lstm *b = (px_row_lstm *)block;
    const px_sweep_args sweep = px_row_lstm_sweep(model, b, model->grid);
    PX_TRY(px_linear_forward(model, &b->input_to_state, u, (px_map){0}, b->gates));
    PX_TRY(model->device->ops->sweep_forward(model->device, &sweep));
    return px_linear_forward(model, &b->expand, b->h, add, y);
}

static px_status px_row_lstm_backward(px_model *model, px_block *block, px_map u, px_map add, px_map g) {
    px_row_lstm *b = (px_row_lstm *)block;
    const px_sweep_args sweep = px_row_lstm_sweep(model, b, model->grid);
    PX_TRY(px_linear_weight_gradient(model, &b->expand, b->h, g));
    PX_TRY(px_linear_input_gradient(model, &b->expand, g, b->h, (px_map){0}, b->dh));
    PX_TRY(model->device->ops->sweep_backward(model->device, &sweep)); /* gates: now their gradients */
    PX_TRY(px_linear_weight_gradient(model, &b->state_to_state, b->h, b->gates));
    PX_TRY(px_linear_weight_gradient(model, &b->input_to_state, u, b->gates));
    return px_linear_input_gradient(model, &b->input_to_state, b->gates, u, add, g);
}

const px_block_kind px_block_row_lstm = {px_row_lstm_create, px_row_lstm_carve, px_row_lstm_forward,
                                         px_row_lstm_backward};
