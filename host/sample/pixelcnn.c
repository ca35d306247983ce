/* PixelCNN blocks, decoded: the 3 x 3 convolution keeps a row of what it reads. */
#include "host/sample/decode.h"

typedef struct pixelcnn_decoder {
    px_stack reduce, conv, expand;
    px_cache reduced;   /* (h) relu(reduce(relu(u))); a row */
    px_cache convolved; /* (h) what conv has so far; a row */
    px_cache relu_out;  /* (h) its relu; the pixel at work */
} pixelcnn_decoder;

static void pixelcnn_decode_create(px_decoder *d) {
    pixelcnn_decoder *b = d->blocks;
    b->reduce = PX_STACK(d, px_pixelcnn, reduce, 1);
    b->conv = PX_STACK(d, px_pixelcnn, conv, 1);
    b->expand = PX_STACK(d, px_pixelcnn, expand, 1);
}

static void pixelcnn_decode_lay_out(px_decoder *d, px_arena *arena) {
    pixelcnn_decoder *b = d->blocks;
    const px_model_spec *s = &d->model->spec;
    b->reduced = px_cache_lay_out(d, arena, s->layers, s->width, s->hidden);
    b->convolved = px_cache_lay_out_real(d, arena, s->layers, s->width, s->hidden);
    b->relu_out = px_cache_lay_out(d, arena, s->layers, 1, s->hidden);
}

static px_status pixelcnn_decode_begin(px_decoder *d) {
    (void)d;
    return PX_OK;
}

static px_status pixelcnn_decode_row(px_decoder *d) {
    pixelcnn_decoder *b = d->blocks;
    PX_TRY(px_cache_clear(d, &b->convolved));
    return px_stack_above(d, &b->conv, &b->reduced, &b->convolved);
}

static px_status pixelcnn_decode_pixel(px_decoder *d) {
    pixelcnn_decoder *b = d->blocks;
    return px_stack_beside(d, &b->conv, d->column, &b->reduced, &b->convolved);
}

static px_status pixelcnn_decode_advance(px_decoder *d, int layer, px_colours colours) {
    pixelcnn_decoder *b = d->blocks;
    const px_tensor none = {0}, u = px_cache_here(d, &d->relu_out, layer);
    const px_tensor reduced = px_cache_here(d, &b->reduced, layer), convolved = px_cache_here(d, &b->convolved, layer);
    const px_tensor relu_out = px_cache_here(d, &b->relu_out, layer), sum = px_decode_sum(d, reduced.columns);
    PX_TRY(px_stack_centre(d, &b->reduce, layer, colours, u, sum, 0));
    PX_TRY(px_stack_activate(d, &b->reduce, layer, colours, sum, none, none, reduced));
    PX_TRY(px_stack_centre(d, &b->conv, layer, colours, reduced, convolved, 1));
    PX_TRY(px_stack_activate(d, &b->conv, layer, colours, convolved, none, none, relu_out));
    return px_decode_expand(d, &b->expand, layer, colours, relu_out);
}

static px_status pixelcnn_decode_row_done(px_decoder *d) {
    (void)d;
    return PX_OK;
}

const px_decode_kind px_decode_pixelcnn = {sizeof(pixelcnn_decoder), pixelcnn_decode_create,  pixelcnn_decode_lay_out,
                                           pixelcnn_decode_begin,    pixelcnn_decode_row,     pixelcnn_decode_pixel,
                                           pixelcnn_decode_advance,  pixelcnn_decode_row_done};
