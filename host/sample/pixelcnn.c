/* PixelCNN blocks, pixel by pixel: the 3 x 3 convolution reads a cached row of its input. */
#include "host/sample/decode.h"

typedef struct pixelcnn_decoder {
    px_stack reduce, conv, expand;
    px_cache reduced;   /* (h) relu(reduce(relu(u))); a row */
    px_cache convolved; /* (h) real, partial sums of conv; a row */
    px_cache relu_out;  /* (h) relu of convolved; a pixel */
} pixelcnn_decoder;

static void pixelcnn_create(px_decoder *d) {
    pixelcnn_decoder *b = d->blocks;
    b->reduce = PX_STACK(d, px_pixelcnn, reduce, 1);
    b->conv = PX_CONDITIONAL_STACK(d, px_pixelcnn, conv, 1);
    b->expand = PX_STACK(d, px_pixelcnn, expand, 1);
}

static void pixelcnn_lay_out(px_decoder *d, px_arena *arena) {
    pixelcnn_decoder *b = d->blocks;
    const px_model_spec *s = &d->model->spec;
    const px_type type = d->model->device->activation;
    b->reduced = px_cache_lay_out(d, arena, type, s->layers, s->width, s->hidden);
    b->convolved = px_cache_lay_out(d, arena, PX_REAL, s->layers, s->width, s->hidden);
    b->relu_out = px_cache_lay_out(d, arena, type, s->layers, 1, s->hidden);
    px_stack_lay_out(d, &b->conv, arena);
}

static px_status pixelcnn_begin(px_decoder *d) { return px_stack_begin(d, &((pixelcnn_decoder *)d->blocks)->conv); }

static px_status pixelcnn_begin_row(px_decoder *d) {
    const pixelcnn_decoder *b = d->blocks;
    PX_TRY(px_stack_begin_row(d, &b->conv, &b->convolved));
    return px_stack_above(d, &b->conv, &b->reduced, &b->convolved);
}

static px_status pixelcnn_begin_pixel(px_decoder *d) {
    const pixelcnn_decoder *b = d->blocks;
    return px_stack_beside(d, &b->conv, d->column, &b->reduced, &b->convolved);
}

static px_status pixelcnn_forward(px_decoder *d, int layer, px_colours colours) {
    const pixelcnn_decoder *b = d->blocks;
    const px_tensor none = {0}, u = px_cache_current(d, &d->relu_out, layer);
    const px_tensor reduced = px_cache_current(d, &b->reduced, layer);
    const px_tensor convolved = px_cache_current(d, &b->convolved, layer);
    const px_tensor relu_out = px_cache_current(d, &b->relu_out, layer), sum = px_decode_sum(d, reduced.columns);
    PX_TRY(px_stack_centre(d, &b->reduce, layer, colours, u, sum, 0));
    PX_TRY(px_stack_activate(d, &b->reduce, layer, colours, sum, none, none, reduced));
    PX_TRY(px_stack_centre(d, &b->conv, layer, colours, reduced, convolved, 1));
    PX_TRY(px_stack_activate(d, &b->conv, layer, colours, convolved, none, none, relu_out));
    return px_decode_expand(d, &b->expand, layer, colours, relu_out);
}

const px_decode_kind px_decode_pixelcnn = {.size = sizeof(pixelcnn_decoder),
                                           .create = pixelcnn_create,
                                           .lay_out = pixelcnn_lay_out,
                                           .begin = pixelcnn_begin,
                                           .begin_row = pixelcnn_begin_row,
                                           .begin_pixel = pixelcnn_begin_pixel,
                                           .forward = pixelcnn_forward};
