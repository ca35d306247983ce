/* Diagonal BiLSTM block: u + expand(h_left(i, j) + h_right(i - 1, j)), both swept diagonal by diagonal, from the left
 * and from the right edge. van den Oord et al. 2016, section 3.2. */
#include "host/model/network.h"
#include <stdio.h>
#include <stdlib.h>

typedef struct px_direction {
    px_linear input_to_state, state_to_state;
    px_map gates, c, h; /* (P, 4h), (P, h), (P, h) */
    px_map dh;          /* (P, h) */
} px_direction;

enum { PX_LEFT, PX_RIGHT, PX_DIRECTIONS };

typedef struct px_diagonal {
    px_block block;
    px_direction direction[PX_DIRECTIONS];
    px_linear expand;
    px_map h; /* (P, h): left plus right moved down by a row */
    px_map scratch;
} px_diagonal;

static px_status px_direction_create(px_model *model, px_direction *direction, int index, const char *side,
                                     int beside) {
    const int h = model->spec.hidden;
    const px_tap taps[] = {{-1, 0}, {0, beside}};
    char input[48], state[48];
    snprintf(input, sizeof input, "blocks.%d.%s.input_to_state", index, side);
    snprintf(state, sizeof state, "blocks.%d.%s.state_to_state", index, side);
    PX_TRY(px_linear_create(model, &direction->input_to_state,
                            &(px_linear_spec){.name = input,
                                              .inputs = 2 * h,
                                              .outputs = PX_GATES * h,
                                              .gates = PX_GATES,
                                              .taps = px_taps_rectangle(1, 1, 0),
                                              .mask = PX_MASK_B,
                                              .gain = 1}));
    return px_linear_create(model, &direction->state_to_state,
                            &(px_linear_spec){.name = state,
                                              .inputs = h,
                                              .outputs = PX_GATES * h,
                                              .gates = PX_GATES,
                                              .taps = px_taps_list(2, taps),
                                              .gain = 1,
                                              .no_bias = true});
}

static px_status px_diagonal_create(px_model *model, int index, px_block **block) {
    px_diagonal *b = calloc(1, sizeof *b);
    if (!b) return px_fail(model->device->ctx, PX_ERR_MEMORY, "model: cannot allocate block %d", index);
    b->block.kind = &px_block_diagonal_bilstm;
    *block = &b->block;
    PX_TRY(px_direction_create(model, &b->direction[PX_LEFT], index, "left", -1));
    PX_TRY(px_direction_create(model, &b->direction[PX_RIGHT], index, "right", 1));
    char expand[48];
    snprintf(expand, sizeof expand, "blocks.%d.expand", index);
    const int h = model->spec.hidden;
    return px_linear_create(model, &b->expand,
                            &(px_linear_spec){.name = expand,
                                              .inputs = h,
                                              .outputs = 2 * h,
                                              .gates = 1,
                                              .taps = px_taps_rectangle(1, 1, 0),
                                              .mask = PX_MASK_B,
                                              .gain = 1});
}

/* The sweep: one step a diagonal, one lane a row, which enters a step after the row above it. From the left, lane i
 * stands on column t - i at step t; from the right, on its mirror image. */
static px_sweep_args px_diagonal_sweep(const px_model *model, const px_diagonal *b, px_grid grid) {
    px_sweep_args sweep = {.grid = grid,
                           .steps = grid.height + grid.width - 1,
                           .lanes = grid.height,
                           .delay = 1,
                           .life = grid.width,
                           .taps = 2,
                           .first_tap = -1,
                           .hidden = model->spec.hidden,
                           .directions = PX_DIRECTIONS,
                           .scratch = b->scratch};
    for (int d = 0; d < PX_DIRECTIONS; d++) {
        const px_direction *direction = &b->direction[d];
        sweep.line[d] = (px_sweep_line){
            .origin = d == PX_LEFT ? 0 : grid.width - 1,
            .step = d == PX_LEFT ? 1 : -1,
            .lane = d == PX_LEFT ? grid.width - 1 : grid.width + 1,
            .weight = px_parameter_map(&model->parameters.items[direction->state_to_state.weight], model->weights),
            .gates = direction->gates,
            .c = direction->c,
            .h = direction->h,
            .dh = direction->dh};
    }
    return sweep;
}

static void px_diagonal_carve(px_model *model, px_block *block, int images, px_arena *keep, px_arena *scratch) {
    px_diagonal *b = (px_diagonal *)block;
    const int h = model->spec.hidden;
    for (int d = 0; d < PX_DIRECTIONS; d++) {
        px_direction *direction = &b->direction[d];
        direction->gates = px_pixel_map(model, keep, images, PX_GATES * h);
        direction->c = px_pixel_map(model, keep, images, h);
        direction->h = px_pixel_map(model, keep, images, h);
        if (model->purpose == PX_PURPOSE_TRAIN) direction->dh = px_pixel_map(model, scratch, images, h);
    }
    b->h = px_pixel_map(model, keep, images, h);
    b->scratch = (px_map){0};
    const px_sweep_args sweep = px_diagonal_sweep(model, b, (px_grid){images, model->spec.height, model->spec.width});
    b->scratch = px_arena_map(scratch, px_sweep_scratch(&sweep), 1, PX_UINT8);
}

static px_status px_diagonal_forward(px_model *model, px_block *block, px_map u, px_map add, px_map y) {
    px_diagonal *b = (px_diagonal *)block;
    const px_sweep_args sweep = px_diagonal_sweep(model, b, model->grid);
    for (int d = 0; d < PX_DIRECTIONS; d++)
        PX_TRY(px_linear_forward(model, &b->direction[d].input_to_state, u, (px_map){0}, b->direction[d].gates));
    PX_TRY(model->device->ops->sweep_forward(model->device, &sweep));
    PX_TRY(px_run(model->device, shift_rows, .grid = model->grid, .down = 1,
                  .x = px_at_work(model, b->direction[PX_RIGHT].h), .add = px_at_work(model, b->direction[PX_LEFT].h),
                  .y = px_at_work(model, b->h)));
    return px_linear_forward(model, &b->expand, b->h, add, y);
}

static px_status px_diagonal_backward(px_model *model, px_block *block, px_map u, px_map add, px_map g) {
    px_diagonal *b = (px_diagonal *)block;
    const px_sweep_args sweep = px_diagonal_sweep(model, b, model->grid);
    px_direction *left = &b->direction[PX_LEFT], *right = &b->direction[PX_RIGHT];
    PX_TRY(px_linear_weight_gradient(model, &b->expand, b->h, g));
    PX_TRY(px_linear_input_gradient(model, &b->expand, g, b->h, (px_map){0}, left->dh));
    PX_TRY(px_run(model->device, shift_rows, .grid = model->grid, .down = -1, .x = px_at_work(model, left->dh),
                  .y = px_at_work(model, right->dh)));
    PX_TRY(model->device->ops->sweep_backward(model->device, &sweep)); /* gates: now their gradients */
    for (int d = 0; d < PX_DIRECTIONS; d++) {
        px_direction *direction = &b->direction[d];
        PX_TRY(px_linear_weight_gradient(model, &direction->state_to_state, direction->h, direction->gates));
        PX_TRY(px_linear_weight_gradient(model, &direction->input_to_state, u, direction->gates));
        PX_TRY(px_linear_input_gradient(model, &direction->input_to_state, direction->gates, u, d == 0 ? add : g, g));
    }
    return PX_OK;
}

const px_block_kind px_block_diagonal_bilstm = {px_diagonal_create, px_diagonal_carve, px_diagonal_forward,
                                                px_diagonal_backward};
