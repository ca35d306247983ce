/* Row LSTM blocks, decoded: the state-to-state part of a whole row is known before the row starts. */
#include "host/sample/decode.h"

typedef struct row_lstm_decoder {
    px_stack input_to_state, state_to_state, expand;
    px_cache pre;  /* (4h) what the cell reads, as far as it is known; a row */
    px_cache c, h; /* (h) of the row above, replaced from the left by this row's */
} row_lstm_decoder;

static void row_lstm_decode_create(px_decoder *d) {
    row_lstm_decoder *b = d->blocks;
    b->input_to_state = PX_STACK(d, px_row_lstm, lstm.input_to_state, PX_GATES);
    b->state_to_state = PX_STACK(d, px_row_lstm, lstm.state_to_state, PX_GATES);
    b->expand = PX_STACK(d, px_row_lstm, expand, 1);
}

static void row_lstm_decode_lay_out(px_decoder *d, px_arena *arena) {
    row_lstm_decoder *b = d->blocks;
    const px_model_spec *s = &d->model->spec;
    b->pre = px_cache_lay_out_real(d, arena, s->layers, s->width, PX_GATES * s->hidden);
    b->c = px_cache_lay_out_real(d, arena, s->layers, s->width, s->hidden);
    b->h = px_cache_lay_out(d, arena, s->layers, s->width, s->hidden);
}

static px_status row_lstm_decode_begin(px_decoder *d) {
    const row_lstm_decoder *b = d->blocks;
    return px_cache_clear(d, &b->c);
}

static px_status row_lstm_decode_row(px_decoder *d) {
    const row_lstm_decoder *b = d->blocks;
    PX_TRY(px_cache_clear(d, &b->pre));
    return px_stack_above(d, &b->state_to_state, &b->h, &b->pre);
}

static px_status row_lstm_decode_pixel(px_decoder *d) {
    const row_lstm_decoder *b = d->blocks;
    return px_stack_beside(d, &b->input_to_state, d->column, &d->u, &b->pre);
}

static px_status row_lstm_decode_advance(px_decoder *d, int layer, px_colours colours) {
    const row_lstm_decoder *b = d->blocks;
    const px_tensor pre = px_cache_here(d, &b->pre, layer), h = px_cache_here(d, &b->h, layer);
    const int first = px_colour_first(d, h.columns, colours.first);
    PX_TRY(px_stack_centre(d, &b->input_to_state, layer, colours, px_cache_here(d, &d->u, layer), pre, 1));
    PX_TRY(px_run(d->device, lstm_update, .pre = pre, .bias = px_stack_bias(d, &b->input_to_state, layer),
                  .c = px_cache_here(d, &b->c, layer), .h = h, .first = first,
                  .count = px_colour_first(d, h.columns, colours.end) - first, .layers = 1));
    return px_decode_expand(d, &b->expand, layer, colours, h);
}

static px_status row_lstm_decode_row_done(px_decoder *d) {
    (void)d;
    return PX_OK;
}

const px_decode_kind px_decode_row_lstm = {sizeof(row_lstm_decoder), row_lstm_decode_create,  row_lstm_decode_lay_out,
                                           row_lstm_decode_begin,    row_lstm_decode_row,     row_lstm_decode_pixel,
                                           row_lstm_decode_advance,  row_lstm_decode_row_done};
