/* Row LSTM block: u + expand(h), h swept row by row.
 * van den Oord et al. 2016, section 3.1 and eq. 3: input_to_state is 3 x 1 with mask B, state_to_state 3 x 1 unmasked.
 */
#include "host/model/blocks.h"
#include <stdio.h>
#include <stdlib.h>

static px_status row_lstm_create(px_model *model, int index, px_block **block) {
    px_row_lstm *b = calloc(1, sizeof *b);
    if (!b) return px_fail(model->device->ctx, PX_ERR_MEMORY, "model: cannot allocate block %d", index);
    b->block.kind = &px_block_row_lstm;
    *block = &b->block;
    const px_tap above[] = {{-1, -1}, {-1, 0}, {-1, 1}};
    char name[32];
    snprintf(name, sizeof name, "blocks.%d", index);
    PX_TRY(px_lstm_create(model, &b->lstm, name, px_taps_rectangle(1, 2, 1), px_taps_list(3, above)));
    return px_lstm_create_expand(model, &b->expand, index);
}

/* The recurrence: one step a row, one lane a column. */
static px_recurrence_args row_lstm_recurrence(const px_model *model, const px_block *block, px_grid grid) {
    const px_row_lstm *b = (const px_row_lstm *)block;
    return (px_recurrence_args){.grid = grid,
                                .steps = grid.height,
                                .positions = grid.width,
                                .length = grid.height,
                                .taps = 3,
                                .first_tap = -1,
                                .hidden = model->spec.hidden,
                                .directions = 1,
                                .direction = {px_lstm_direction(model, &b->lstm, 0, grid.width, 1)},
                                .temporary = b->temporary};
}

static void row_lstm_lay_out(px_model *model, px_block *block, int images, px_arena *saved, px_arena *temporary) {
    px_row_lstm *b = (px_row_lstm *)block;
    px_lstm_lay_out(model, &b->lstm, images, saved, temporary);
    b->temporary = (px_tensor){0};
    const px_recurrence_args recurrence = row_lstm_recurrence(model, block,
                                                              (px_grid){images, model->spec.height, model->spec.width});
    b->temporary = px_arena_tensor(temporary, px_recurrence_temporary_bytes(&recurrence), 1, PX_UINT8);
}

static px_status row_lstm_forward(px_model *model, px_block *block, px_tensor u, px_tensor add, px_tensor y) {
    px_row_lstm *b = (px_row_lstm *)block;
    const px_recurrence_args recurrence = row_lstm_recurrence(model, block, model->grid);
    PX_TRY(px_lstm_input_forward(model, &b->lstm, u));
    PX_TRY(model->device->ops->recurrence_forward(model->device, &recurrence));
    return px_linear_forward(model, &b->expand, b->lstm.h, add, y);
}

static px_status row_lstm_backward(px_model *model, px_block *block, px_tensor u, px_tensor add, px_tensor g) {
    px_row_lstm *b = (px_row_lstm *)block;
    const px_recurrence_args recurrence = row_lstm_recurrence(model, block, model->grid);
    PX_TRY(px_linear_weight_gradient(model, &b->expand, b->lstm.h, g));
    PX_TRY(px_linear_input_gradient(model, &b->expand, g, b->lstm.h, (px_tensor){0}, b->lstm.dh));
    PX_TRY(model->device->ops->recurrence_backward(model->device, &recurrence));
    return px_lstm_input_backward(model, &b->lstm, u, add, g);
}

const px_block_kind px_block_row_lstm = {row_lstm_create, row_lstm_lay_out, row_lstm_forward, row_lstm_backward,
                                         row_lstm_recurrence};
