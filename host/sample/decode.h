/* Declarations that the files of host/sample share: caches of features, layers of all blocks as one batch of products,
 * and the functions that decode one kind of block.
 *
 * The decoder goes over the pixels in raster order. The current pixel is (decoder->row, decoder->column), the current
 * row the row of that pixel. h = hidden features; "real" tensors are PX_REAL, others have the type of the activations.
 */
#ifndef PIXELRNN_SAMPLE_DECODE_H
#define PIXELRNN_SAMPLE_DECODE_H

#include "host/device/graph.h"
#include "host/model/blocks.h"
#include "pixelrnn/decoder.h"

/* The features of some pixels, for each layer: (layers * pixels * images, F). The images of a pixel are adjacent rows,
 * so that the pixels of a row of the image are one matrix. `pixels` is a multiple of W: the current row, and the rows
 * above it if they are more than one. Or it is 1 for the current pixel alone. */
typedef struct px_cache {
    px_tensor tensor;
    int pixels;
} px_cache;

/* The same layer of all blocks, whose parameters lie `stride` elements apart. A layer that exists once has layers = 1.
 */
typedef struct px_stack {
    const px_conv *first;
    int layers;
    size_t stride;
    int gates; /* PX_GATES for the layers of an LSTM, whose gates are grouped by colour each on its own; else 1 */
    const px_conv *condition; /* of layer 0, if a condition biases the layers; else NULL */
    px_cache bias;            /* class condition: (outputs) for each layer and image, the bias with the condition's */
} px_stack;

/* The colour groups first .. end - 1: one channel, or all. */
typedef struct px_colours {
    int first, end;
} px_colours;

/* How to decode one kind of block. All functions but `create` and `lay_out` run operations on decoder->device. */
typedef struct px_decode_kind {
    size_t size; /* of the structure at decoder->blocks */
    void (*create)(px_decoder *decoder);
    void (*lay_out)(px_decoder *decoder, px_arena *arena);
    px_status (*begin)(px_decoder *decoder); /* px_stack_begin of conditional layers */
    /* Computes the part of the current row, or of the current pixel, that earlier rows, or earlier pixels of the row,
     * contribute to it. Both work on all blocks at once. */
    px_status (*begin_row)(px_decoder *decoder);
    px_status (*begin_pixel)(px_decoder *decoder);
    /* Computes the output of block `layer` at the current pixel in these colours. */
    px_status (*forward)(px_decoder *decoder, int layer, px_colours colours);
    px_status (*end_row)(px_decoder *decoder); /* after each row that has a next one; may be NULL */
} px_decode_kind;

extern const px_decode_kind px_decode_pixelcnn, px_decode_recurrent;

/* Rows that are captured as a graph: all pixels are sampled, or all are given. */
typedef enum { PX_ROW_SAMPLED, PX_ROW_GIVEN, PX_ROW_GRAPHS } px_row_graph;

struct px_decoder {
    px_model *model;
    px_device *device; /* of the model */
    px_arena arena;
    int capacity, images;           /* the most images of a batch, and those of the current batch */
    int row, column;                /* the current pixel; column -1 before the first of a row */
    px_tensor levels;               /* (images, H W C) PX_UINT8 */
    px_tensor nats;                 /* (images, 1) PX_FLOAT64 */
    px_condition_network condition; /* of the model, with tensors of the decoder's */
    px_cache map;                   /* (2h) image condition: the conditioning map; a row */
    px_tensor numbers;              /* (1, PX_SAMPLE_NUMBERS) PX_FLOAT64: the current row, and how it is sampled */
    px_cache values;                /* (C) the four rows that the stem reads */
    px_cache stem_sum;              /* (2h) real, the partial sums of the stem; a row */
    px_tensor sum;                  /* real, see px_decode_sum */
    px_cache u;                     /* (2h) layers + 1: outputs of the stem and of each block; a row */
    px_cache relu_out;              /* (2h) relu of u; a pixel. The last layer's is the input of the head */
    px_cache features;              /* (2h) real, with skips: the sum of the skip terms; a pixel */
    px_cache hidden[2];             /* (q) of the head; a pixel */
    px_cache logits;                /* (C * L); a pixel */
    px_stack stem, skip, head[3];
    px_graph graph[PX_ROW_GRAPHS];
    const px_decode_kind *kind;
    void *blocks; /* the structure of that kind */
};

/* ---- Caches: cache.c ---- */

px_cache px_cache_lay_out(const px_decoder *decoder, px_arena *arena, px_type type, int layers, int pixels,
                          int features);
/* The features of `layer` from this column on, for `pixels` pixels of the row `down` rows below the current one, where
 * down is 0 or negative: (pixels * images, F). The address does not depend on the current row. */
px_tensor px_cache_at(const px_decoder *decoder, const px_cache *cache, int layer, int down, int column, int pixels);
px_tensor px_cache_current(const px_decoder *decoder, const px_cache *cache, int layer);
/* The number of rows between a layer and the next. */
size_t px_cache_stride(const px_decoder *decoder, const px_cache *cache);
px_status px_cache_clear(const px_decoder *decoder, const px_cache *cache);

/* ---- Products: stack.c ---- */

/* The stack of a layer: `first` belongs to block 0, and `second` to block 1, or is NULL if there is one block. */
px_stack px_stack_of(const px_decoder *decoder, const px_conv *first, const px_conv *second, int gates);
/* The stack of the layer that lies at `member` of `type`, the structure of the blocks. */
#define PX_STACK(decoder, type, member, gates)                                                                         \
    px_stack_of(decoder, &((const type *)(decoder)->model->blocks[0])->member,                                         \
                (decoder)->model->spec.layers > 1 ? &((const type *)(decoder)->model->blocks[1])->member : NULL,       \
                gates)

/* The stack of a px_conditional at `member`. */
#define PX_CONDITIONAL_STACK(decoder, type, member, gates)                                                             \
    px_stack_conditional(decoder, PX_STACK(decoder, type, member.layer, gates),                                        \
                         &((const type *)(decoder)->model->blocks[0])->member)
px_stack px_stack_conditional(const px_decoder *decoder, px_stack layers, const px_conditional *first);
void px_stack_lay_out(const px_decoder *decoder, px_stack *stack, px_arena *arena);

/* Computes the biases of a class condition, for the batch. Does nothing without one. */
px_status px_stack_begin(const px_decoder *decoder, const px_stack *stack);
/* Begins the sums of all layers, for each pixel of the current row: the product of an image condition, or 0. */
px_status px_stack_begin_row(const px_decoder *decoder, const px_stack *stack, const px_cache *y);
/* Adds the products of all taps in earlier rows to y, for each pixel of the current row and for all layers. */
px_status px_stack_above(const px_decoder *decoder, const px_stack *stack, const px_cache *x, const px_cache *y);
/* Adds the products of the taps beside the centre to y, at this column of the current row and for all layers. */
px_status px_stack_beside(const px_decoder *decoder, const px_stack *stack, int column, const px_cache *x,
                          const px_cache *y);
/* Adds the product of the centre tap to y, for each pixel of the current row, all colours and all layers. */
px_status px_stack_centre_row(const px_decoder *decoder, const px_stack *stack, const px_cache *x, const px_cache *y);
/* y = beta * y + product of the centre tap and x, the current pixel of one layer, in these colours. */
px_status px_stack_centre(const px_decoder *decoder, const px_stack *stack, int layer, px_colours colours, px_tensor x,
                          px_tensor y, px_real beta);
/* sum += bias + add, y = sum, relu_out = relu(sum), in these colours of one layer. add, y and relu_out may be absent.
 */
px_status px_stack_activate(const px_decoder *decoder, const px_stack *stack, int layer, px_colours colours,
                            px_tensor sum, px_tensor add, px_tensor y, px_tensor relu_out);
/* (1, outputs), or (images, outputs) with a class condition; and the elements between the biases of two layers. */
px_tensor px_stack_bias(const px_decoder *decoder, const px_stack *stack, int layer);
size_t px_stack_bias_stride(const px_decoder *decoder, const px_stack *stack);

/* Whether operations are issued that read or write features of this row. Rows above the image are 0 in the caches, and
 * the row below it is never read, so that a row outside of the image needs none. A device with graphs issues them
 * nevertheless: all rows then have the same operations, and are one graph. */
static inline bool px_decode_has_row(const px_decoder *decoder, int row) {
    return (decoder->device->paths & PX_PATH_GRAPHS) || (row >= 0 && row < decoder->model->spec.height);
}

/* px_colour_first for this model. */
static inline int px_decode_colour_first(const px_decoder *decoder, int features, int colour) {
    return (int)px_colour_first((size_t)features, decoder->model->spec.channels, colour);
}

/* ---- Parts of a pixel: decoder.c ---- */

/* Writes the row and how it is sampled to `numbers`, (1, PX_SAMPLE_NUMBERS) PX_FLOAT64 on the device. */
px_status px_sample_upload_scalars(px_device *device, px_tensor numbers, int row, double temperature, uint64_t seed,
                                   uint64_t first_image);

/* An uninitialised real (images, F) for the sum of a layer. The next call returns the same memory. */
px_tensor px_decode_sum(const px_decoder *decoder, int features);

/* Output of block `layer` = expand(x), plus its input if the model is residual, in these colours. */
px_status px_decode_expand(px_decoder *decoder, const px_stack *expand, int layer, px_colours colours, px_tensor x);

#endif
