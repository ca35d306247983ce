/* Diagonal BiLSTM blocks, decoded. From the left, a pixel's state needs the pixel beside it and the row above. From the
 * right it is read only by the row below, so it is computed once for each finished row, all layers side by side. */
#include "host/sample/decode.h"

typedef struct diagonal_decoder {
    px_stack input_to_state[PX_DIRECTIONS], state_to_state[PX_DIRECTIONS], expand;
    px_cache pre;              /* (4h) what the cells read, as far as it is known; a row, left and right in turn */
    px_cache c;                /* (h) of the pixel before; left and right in turn */
    px_cache h[PX_DIRECTIONS]; /* (h) of the row above, replaced by this row's */
    px_cache sum;              /* (h) left plus the right one of the row above; the pixel at work */
} diagonal_decoder;

static void diagonal_decode_create(px_decoder *d) {
    diagonal_decoder *b = d->blocks;
    for (int i = 0; i < PX_DIRECTIONS; i++) {
        b->input_to_state[i] = PX_STACK(d, px_diagonal, lstm[i].input_to_state, PX_GATES);
        b->state_to_state[i] = PX_STACK(d, px_diagonal, lstm[i].state_to_state, PX_GATES);
    }
    b->expand = PX_STACK(d, px_diagonal, expand, 1);
}

static void diagonal_decode_lay_out(px_decoder *d, px_arena *arena) {
    diagonal_decoder *b = d->blocks;
    const px_model_spec *s = &d->model->spec;
    b->pre = px_cache_lay_out_real(d, arena, s->layers, s->width, PX_GATES * s->hidden);
    b->c = px_cache_lay_out_real(d, arena, s->layers, 1, s->hidden);
    for (int i = 0; i < PX_DIRECTIONS; i++) b->h[i] = px_cache_lay_out(d, arena, s->layers, s->width, s->hidden);
    b->sum = px_cache_lay_out(d, arena, s->layers, 1, s->hidden);
}

static px_status diagonal_decode_begin(px_decoder *d) {
    (void)d;
    return PX_OK;
}

/* Before a line of cells in one direction: no state, and what the row above gives. */
static px_status diagonal_direction(px_decoder *d, int direction) {
    const diagonal_decoder *b = d->blocks;
    PX_TRY(px_cache_clear(d, &b->c));
    PX_TRY(px_cache_clear(d, &b->pre));
    return px_stack_above(d, &b->state_to_state[direction], &b->h[direction], &b->pre);
}

static px_status diagonal_decode_row(px_decoder *d) {
    return diagonal_direction(d, PX_LEFT);
}

static px_status diagonal_decode_pixel(px_decoder *d) {
    const diagonal_decoder *b = d->blocks;
    return px_stack_beside(d, &b->state_to_state[PX_LEFT], d->column, &b->h[PX_LEFT], &b->pre);
}

static px_status diagonal_decode_advance(px_decoder *d, int layer, px_colours colours) {
    const diagonal_decoder *b = d->blocks;
    const px_stack *input = &b->input_to_state[PX_LEFT];
    const px_tensor pre = px_cache_here(d, &b->pre, layer), sum = px_cache_here(d, &b->sum, layer);
    const int first = px_colour_first(d, sum.columns, colours.first);
    PX_TRY(px_stack_centre(d, input, layer, colours, px_cache_here(d, &d->u, layer), pre, 1));
    PX_TRY(px_run(d->device, lstm_update, .pre = pre, .bias = px_stack_bias(d, input, layer),
                  .c = px_cache_here(d, &b->c, layer), .h = px_cache_here(d, &b->h[PX_LEFT], layer),
                  .add = d->row > 0 ? px_cache_here(d, &b->h[PX_RIGHT], layer) : (px_tensor){0}, .sum = sum,
                  .first = first, .count = px_colour_first(d, sum.columns, colours.end) - first, .layers = 1));
    return px_decode_expand(d, &b->expand, layer, colours, sum);
}

/* The finished row from the right. */
static px_status diagonal_decode_row_done(px_decoder *d) {
    const diagonal_decoder *b = d->blocks;
    const px_stack *input = &b->input_to_state[PX_RIGHT];
    const px_cache *h = &b->h[PX_RIGHT];
    PX_TRY(diagonal_direction(d, PX_RIGHT));
    PX_TRY(px_stack_row(d, input, &d->u, &b->pre));
    for (int column = d->model->spec.width - 1; column >= 0; column--) {
        PX_TRY(px_stack_beside(d, &b->state_to_state[PX_RIGHT], column, h, &b->pre));
        PX_TRY(px_run(d->device, lstm_update, .pre = px_cache_at(d, &b->pre, 0, d->row, column, 1),
                      .bias = px_stack_bias(d, input, 0), .c = px_cache_at(d, &b->c, 0, d->row, column, 1),
                      .h = px_cache_at(d, h, 0, d->row, column, 1), .count = h->tensor.columns,
                      .layers = d->model->spec.layers, .stride_pre = px_cache_step(d, &b->pre),
                      .stride_bias = input->step, .stride_c = px_cache_step(d, &b->c),
                      .stride_h = px_cache_step(d, h)));
    }
    return PX_OK;
}

const px_decode_kind px_decode_diagonal_bilstm = {
    sizeof(diagonal_decoder), diagonal_decode_create, diagonal_decode_lay_out, diagonal_decode_begin,
    diagonal_decode_row,      diagonal_decode_pixel,  diagonal_decode_advance, diagonal_decode_row_done};
