/* What the files of host/sample/ share: caches of features, layers taken as stacks over the blocks, and what a kind of
 * block must know to be decoded. */
#ifndef PIXELRNN_DECODE_DECODE_H
#define PIXELRNN_DECODE_DECODE_H

#include "host/sample/command_buffer.h"
#include "host/model/blocks.h"
#include "pixelrnn/decoder.h"

/* Features of `slots` pixels for each layer: (layers * slots * images, F), the images of a pixel side by side, so that
 * a run of pixels is a run of rows. slots is W (one row of pixels), a multiple of it, or 1: the pixel at work alone. */
typedef struct px_cache {
    px_tensor tensor;
    int slots;
} px_cache;

/* The same layer of all blocks, whose parameters lie `step` elements apart; or one layer, a stack of one. */
typedef struct px_stack {
    const px_linear *first;
    int layers;
    size_t step;
    int gates; /* the outputs are this many tensors, each grouped by colour on its own */
} px_stack;

/* Colour groups first .. end - 1: those of one channel, or all. */
typedef struct px_colours {
    int first, end;
} px_colours;

/* A kind of block, decoded. Its struct begins with the kind and lies in decoder->blocks. */
typedef struct px_decode_kind {
    size_t size; /* of its struct */
    void (*create)(px_decoder *decoder);
    void (*lay_out)(px_decoder *decoder, px_arena *arena);
    px_status (*begin)(px_decoder *decoder);
    /* For all blocks: what the rows above give this row; what the pixels before give this pixel. */
    px_status (*row)(px_decoder *decoder);
    px_status (*pixel)(px_decoder *decoder);
    /* u of `layer` + 1 from u of `layer`, in these colours. */
    px_status (*advance)(px_decoder *decoder, int layer, px_colours colours);
    /* After the last pixel of a row, but for the last row. */
    px_status (*row_done)(px_decoder *decoder);
} px_decode_kind;

extern const px_decode_kind px_decode_pixelcnn, px_decode_row_lstm, px_decode_diagonal_bilstm;

struct px_decoder {
    px_model *model;
    px_device *device;           /* where operations go: the model's, or the tape's */
    px_command_buffer *commands; /* NULL: direct */
    px_arena arena;
    size_t group_bytes;  /* of a group's memory; the tensors below are those of the first */
    int group, groups;   /* images that fit a group, and groups */
    int total;           /* images at work */
    int images, current; /* of them in a group, and the groups they fill */
    int row, column;     /* the pixel at work; column -1 before the first of a row */
    px_tensor levels;    /* (images of a group, H W C) PX_UINT8 */
    px_tensor nats;      /* (images, 1) PX_FLOAT64 */
    px_cache values;     /* the four rows that the stem reads */
    px_cache stem_sum;   /* (2h) the stem's products, as far as they are known; a row */
    px_tensor sum;       /* what the products of the layer at work give: px_decode_sum */
    px_cache u;          /* (2h) of layers + 1: the stem's, then each block's; a row */
    px_cache relu_out;   /* relu of u; the last layer's is what the head reads. The pixel at work */
    px_cache features;   /* with skips, their sum as reals */
    px_cache hidden[2];  /* the head's */
    px_cache logits;
    px_stack stem, skip, head[3];
    const px_decode_kind *kind;
    void *blocks; /* of kind */
};

/* --- cache.c ------------------------------------------------------------------------------------------------------ */

/* Activations, or reals: sums that several products add to, and cell states. */
px_cache px_cache_lay_out(const px_decoder *decoder, px_arena *arena, int layers, int slots, int features);
px_cache px_cache_lay_out_real(const px_decoder *decoder, px_arena *arena, int layers, int slots, int features);
/* One layer's rows from the pixel at (row, column) on, `pixels` pixels of the images at work. */
px_tensor px_cache_at(const px_decoder *decoder, const px_cache *cache, int layer, int row, int column, int pixels);
/* The pixel at work. */
px_tensor px_cache_here(const px_decoder *decoder, const px_cache *cache, int layer);
/* Rows between one layer and the next. */
size_t px_cache_step(const px_decoder *decoder, const px_cache *cache);
px_status px_cache_clear(const px_decoder *decoder, const px_cache *cache);

/* --- stack.c ------------------------------------------------------------------------------------------------------ */

/* The stack of a layer of which block 0 holds `first` and block 1, if there is one, `second`. */
px_stack px_stack_of(const px_decoder *decoder, const px_linear *first, const px_linear *second, int gates);
px_stack px_stack_alone(const px_linear *linear);
/* The same layer of any block, by where its struct lies in the block's. */
#define PX_STACK(decoder, type, member, gates)                                                                         \
    px_stack_of(decoder, &((const type *)(decoder)->model->blocks[0])->member,                                         \
                (decoder)->model->spec.layers > 1 ? &((const type *)(decoder)->model->blocks[1])->member : NULL,       \
                gates)

/* y += what the taps in rows above give each pixel of the row at work; for all layers. */
px_status px_stack_above(const px_decoder *decoder, const px_stack *stack, const px_cache *x, const px_cache *y);
/* y += what the taps beside give the pixel (row at work, column); for all layers. */
px_status px_stack_beside(const px_decoder *decoder, const px_stack *stack, int column, const px_cache *x,
                          const px_cache *y);
/* y += what the centre tap gives each pixel of the row at work, in all colours; for all layers. */
px_status px_stack_row(const px_decoder *decoder, const px_stack *stack, const px_cache *x, const px_cache *y);
/* y = beta y + what the centre tap gives the pixel at work in these colours; for one layer. */
px_status px_stack_centre(const px_decoder *decoder, const px_stack *stack, int layer, px_colours colours, px_tensor x,
                          px_tensor y, px_real beta);
/* sum += bias + add, y = sum, rectified = relu(sum), in these colours; all but sum may be absent. */
px_status px_stack_activate(const px_decoder *decoder, const px_stack *stack, int layer, px_colours colours,
                            px_tensor sum, px_tensor add, px_tensor y, px_tensor relu_out);
/* The bias of one layer. */
px_tensor px_stack_bias(const px_decoder *decoder, const px_stack *stack, int layer);

/* The features of a map of F that belong to these colours: group(f) = floor(f C / F). */
static inline int px_colour_first(const px_decoder *decoder, int features, int colour) {
    const int colours = decoder->model->spec.channels;
    return (colour * features + colours - 1) / colours;
}

/* --- decoder.c ---------------------------------------------------------------------------------------------------- */

/* (images, F) reals for a product that an activation follows at once. */
px_tensor px_decode_sum(const px_decoder *decoder, int features);

/* u of `layer` + 1 = residual + expand(x), in these colours. */
px_status px_decode_expand(px_decoder *decoder, const px_stack *expand, int layer, px_colours colours, px_tensor x);

#endif
