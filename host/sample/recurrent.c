/* Row LSTM and Diagonal BiLSTM blocks, pixel by pixel.
 *
 * A pixel of PX_LEFT, or of a Row LSTM, reads earlier pixels alone. A pixel of PX_RIGHT also reads the pixel to its
 * right, but only the next row of the block reads its state. Therefore PX_RIGHT runs over a row when the row is
 * complete, for all layers at once. */
#include "host/sample/decode.h"

typedef struct recurrent_decoder {
    int directions;
    px_stack input_to_state[PX_MAX_DIRECTIONS], state_to_state[PX_MAX_DIRECTIONS], expand;
    px_cache pre; /* (4h) real, partial sums of the pre-activations; a row, used for PX_LEFT, then for PX_RIGHT */
    px_cache c;   /* (h) real. Row LSTM: a row. Diagonal BiLSTM: the pixel that the current direction visited last */
    px_cache h[PX_MAX_DIRECTIONS]; /* (h) a row: that of the row above, which this row overwrites pixel by pixel */
    px_cache sum; /* (h) the input of expand. Row LSTM: h. Diagonal BiLSTM: the sum of both h at a pixel */
} recurrent_decoder;

static void recurrent_create(px_decoder *d) {
    recurrent_decoder *b = d->blocks;
    b->directions = ((const px_recurrent *)d->model->blocks[0])->directions;
    for (int i = 0; i < b->directions; i++) {
        b->input_to_state[i] = PX_CONDITIONAL_STACK(d, px_recurrent, lstm[i].input_to_state, PX_GATES);
        b->state_to_state[i] = PX_STACK(d, px_recurrent, lstm[i].state_to_state, PX_GATES);
    }
    b->expand = PX_STACK(d, px_recurrent, expand, 1);
}

static void recurrent_lay_out(px_decoder *d, px_arena *arena) {
    recurrent_decoder *b = d->blocks;
    const px_model_spec *s = &d->model->spec;
    const px_type type = d->model->device->activation;
    b->pre = px_cache_lay_out(d, arena, PX_REAL, s->layers, s->width, PX_GATES * s->hidden);
    b->c = px_cache_lay_out(d, arena, PX_REAL, s->layers, b->directions > 1 ? 1 : s->width, s->hidden);
    for (int i = 0; i < b->directions; i++) b->h[i] = px_cache_lay_out(d, arena, type, s->layers, s->width, s->hidden);
    b->sum = b->directions > 1 ? px_cache_lay_out(d, arena, type, s->layers, 1, s->hidden) : b->h[0];
    for (int i = 0; i < b->directions; i++) px_stack_lay_out(d, &b->input_to_state[i], arena);
}

static px_status recurrent_begin(px_decoder *d) {
    const recurrent_decoder *b = d->blocks;
    for (int i = 0; i < b->directions; i++) PX_TRY(px_stack_begin(d, &b->input_to_state[i]));
    return PX_OK;
}

static px_status begin_direction(px_decoder *d, int direction) {
    const recurrent_decoder *b = d->blocks;
    if (b->directions > 1) PX_TRY(px_cache_clear(d, &b->c));
    PX_TRY(px_stack_begin_row(d, &b->input_to_state[direction], &b->pre));
    return px_stack_above(d, &b->state_to_state[direction], &b->h[direction], &b->pre);
}

static px_status recurrent_begin_row(px_decoder *d) { return begin_direction(d, PX_LEFT); }

static px_status recurrent_begin_pixel(px_decoder *d) {
    const recurrent_decoder *b = d->blocks;
    PX_TRY(px_stack_beside(d, &b->input_to_state[PX_LEFT], d->column, &d->u, &b->pre));
    return px_stack_beside(d, &b->state_to_state[PX_LEFT], d->column, &b->h[PX_LEFT], &b->pre);
}

static px_status recurrent_forward(px_decoder *d, int layer, px_colours colours) {
    const recurrent_decoder *b = d->blocks;
    const px_stack *input = &b->input_to_state[PX_LEFT];
    const px_tensor none = {0}, pre = px_cache_current(d, &b->pre, layer), sum = px_cache_current(d, &b->sum, layer);
    const int first = px_decode_colour_first(d, sum.columns, colours.first);
    PX_TRY(px_stack_centre(d, input, layer, colours, px_cache_current(d, &d->u, layer), pre, 1));
    PX_TRY(px_run(d->device, lstm_update, .pre = pre, .bias = px_stack_bias(d, input, layer),
                  .c = px_cache_current(d, &b->c, layer), .h = px_cache_current(d, &b->h[PX_LEFT], layer),
                  .add = b->directions > 1 ? px_cache_current(d, &b->h[PX_RIGHT], layer) : none,
                  .sum = b->directions > 1 ? sum : none, .first = first,
                  .count = px_decode_colour_first(d, sum.columns, colours.end) - first, .layers = 1));
    return px_decode_expand(d, &b->expand, layer, colours, sum);
}

/* Runs PX_RIGHT of all layers over the complete row. */
static px_status recurrent_end_row(px_decoder *d) {
    const recurrent_decoder *b = d->blocks;
    if (b->directions == 1) return PX_OK;
    const px_stack *input = &b->input_to_state[PX_RIGHT];
    const px_cache *h = &b->h[PX_RIGHT];
    PX_TRY(begin_direction(d, PX_RIGHT));
    PX_TRY(px_stack_centre_row(d, input, &d->u, &b->pre));
    for (int column = d->model->spec.width - 1; column >= 0; column--) {
        PX_TRY(px_stack_beside(d, &b->state_to_state[PX_RIGHT], column, h, &b->pre));
        PX_TRY(px_run(d->device, lstm_update, .pre = px_cache_at(d, &b->pre, 0, 0, column, 1),
                      .bias = px_stack_bias(d, input, 0), .c = px_cache_at(d, &b->c, 0, 0, column, 1),
                      .h = px_cache_at(d, h, 0, 0, column, 1), .count = h->tensor.columns,
                      .layers = d->model->spec.layers, .stride_pre = px_cache_stride(d, &b->pre),
                      .stride_bias = px_stack_bias_stride(d, input), .stride_c = px_cache_stride(d, &b->c),
                      .stride_h = px_cache_stride(d, h)));
    }
    return PX_OK;
}

const px_decode_kind px_decode_recurrent = {.size = sizeof(recurrent_decoder),
                                            .create = recurrent_create,
                                            .lay_out = recurrent_lay_out,
                                            .begin = recurrent_begin,
                                            .begin_row = recurrent_begin_row,
                                            .begin_pixel = recurrent_begin_pixel,
                                            .forward = recurrent_forward,
                                            .end_row = recurrent_end_row};
