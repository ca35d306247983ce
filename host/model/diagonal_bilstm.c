/* Diagonal BiLSTM block: u + expand(h_left(i, j) + h_right(i - 1, j)), both swept diagonal by diagonal, from the left
 * and from the right edge. van den Oord et al. 2016, section 3.2. */
#include "host/model/blocks.h"
#include <stdio.h>
#include <stdlib.h>

static px_status diagonal_create(px_model *model, int index, px_block **block) {
    px_diagonal *b = calloc(1, sizeof *b);
    if (!b) return px_fail(model->device->ctx, PX_ERR_MEMORY, "model: cannot allocate block %d", index);
    b->block.kind = &px_block_diagonal_bilstm;
    *block = &b->block;
    for (int d = 0; d < PX_DIRECTIONS; d++) {
        const px_tap above_and_beside[] = {{-1, 0}, {0, d == PX_LEFT ? -1 : 1}};
        char name[32];
        snprintf(name, sizeof name, "blocks.%d.%s", index, d == PX_LEFT ? "left" : "right");
        PX_TRY(px_lstm_create(model, &b->lstm[d], name, px_taps_rectangle(1, 1, 0), px_taps_list(2, above_and_beside)));
    }
    return px_lstm_create_expand(model, &b->expand, index);
}

/* The recurrence: one step a diagonal, one lane a row, which enters a step after the row above it. From the left, lane
 * i stands on column t - i at step t; from the right, on its mirror image. */
static px_recurrence_args px_diagonal_recurrence(const px_model *model, const px_block *block, px_grid grid) {
    const px_diagonal *b = (const px_diagonal *)block;
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
        .directions = PX_DIRECTIONS,
        .direction = {[PX_LEFT] = px_lstm_direction(model, &b->lstm[PX_LEFT], 0, 1, last),
                      [PX_RIGHT] = px_lstm_direction(model, &b->lstm[PX_RIGHT], last, -1, grid.width + 1)},
        .temporary = b->temporary};
}

static void diagonal_lay_out(px_model *model, px_block *block, int images, px_arena *saved, px_arena *temporary) {
    px_diagonal *b = (px_diagonal *)block;
    for (int d = 0; d < PX_DIRECTIONS; d++) px_lstm_lay_out(model, &b->lstm[d], images, saved, temporary);
    b->h = px_pixel_tensor(model, saved, images, model->spec.hidden);
    b->temporary = (px_tensor){0};
    const px_recurrence_args recurrence =
        px_diagonal_recurrence(model, block, (px_grid){images, model->spec.height, model->spec.width});
    b->temporary = px_arena_tensor(temporary, px_recurrence_temporary_bytes(&recurrence), 1, PX_UINT8);
}

static px_status diagonal_forward(px_model *model, px_block *block, px_tensor u, px_tensor add, px_tensor y) {
    px_diagonal *b = (px_diagonal *)block;
    const px_recurrence_args recurrence = px_diagonal_recurrence(model, block, model->grid);
    for (int d = 0; d < PX_DIRECTIONS; d++) PX_TRY(px_lstm_input_forward(model, &b->lstm[d], u));
    PX_TRY(model->device->ops->recurrence_forward(model->device, &recurrence));
    PX_TRY(px_run(model->device, shift_rows, .grid = model->grid, .down = 1,
                  .x = px_current(model, b->lstm[PX_RIGHT].h), .add = px_current(model, b->lstm[PX_LEFT].h),
                  .y = px_current(model, b->h)));
    return px_linear_forward(model, &b->expand, b->h, add, y);
}

static px_status diagonal_backward(px_model *model, px_block *block, px_tensor u, px_tensor add, px_tensor g) {
    px_diagonal *b = (px_diagonal *)block;
    const px_recurrence_args recurrence = px_diagonal_recurrence(model, block, model->grid);
    px_lstm *left = &b->lstm[PX_LEFT], *right = &b->lstm[PX_RIGHT];
    PX_TRY(px_linear_weight_gradient(model, &b->expand, b->h, g));
    PX_TRY(px_linear_input_gradient(model, &b->expand, g, b->h, (px_tensor){0}, left->dh));
    PX_TRY(px_run(model->device, shift_rows, .grid = model->grid, .down = -1, .x = px_current(model, left->dh),
                  .y = px_current(model, right->dh)));
    PX_TRY(model->device->ops->recurrence_backward(model->device, &recurrence));
    PX_TRY(px_lstm_input_backward(model, left, u, add, g));
    return px_lstm_input_backward(model, right, u, g, g);
}

const px_block_kind px_block_diagonal_bilstm = {diagonal_create, diagonal_lay_out, diagonal_forward, diagonal_backward,
                                                px_diagonal_recurrence};
