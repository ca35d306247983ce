/* What the files of host/model/ share: the model's inside, its linear layers, and what a block is. */
#ifndef PIXELRNN_MODEL_NETWORK_H
#define PIXELRNN_MODEL_NETWORK_H

#include "pixelrnn/model.h"
#include "host/device/backend.h"
#include "host/io/arena.h"
#include "host/model/parameters.h"
#include "host/model/internal.h"

/* What a layer reads of its input x: x; relu(x), which it makes as it reads; or x, which its maker has rectified. */
typedef enum { PX_READS_PLAIN, PX_READS_RELU, PX_READS_STORED_RELU } px_reads;

/* A masked convolution with its parameters; most have one tap. */
typedef struct px_linear {
    int weight, bias; /* indices of parameters; no bias: -1 */
    px_taps taps;
    px_reads reads;
    bool gives_relu; /* what it gives, as it is stored: nobody needs it otherwise */
} px_linear;

typedef struct px_linear_spec {
    const char *name; /* "blocks.3.expand": parameters are name.weight and name.bias */
    int inputs, outputs;
    px_taps taps;
    px_mask_kind mask;
    int gates;   /* outputs are this many tensors, each grouped by colour on its own; forget gates' bias starts at 1 */
    double gain; /* see px_parameter */
    px_reads reads;
    bool gives_relu;
    bool no_bias;
} px_linear_spec;

/* The top half of a rows x columns rectangle whose last row holds the pixel, at column `centre`. */
px_taps px_taps_rectangle(int rows, int columns, int centre);
/* Any few taps. */
px_taps px_taps_list(int count, const px_tap *at);

/* Adds the layer's parameters to the model. */
px_status px_linear_create(px_model *model, px_linear *linear, const px_linear_spec *spec);

/* y = add + layer(x), rectified where the layer does that. add may be absent or y. */
px_status px_linear_forward(px_model *model, const px_linear *linear, px_tensor x, px_tensor add, px_tensor y);
/* dx = add + (gradient of x from that of y), of x as it was before any relu. add may be absent or dx. x is not looked
 * at by a layer that reads it plain. */
px_status px_linear_input_gradient(px_model *model, const px_linear *linear, px_tensor dy, px_tensor x, px_tensor add,
                                   px_tensor dx);
/* Gradients of weight (masked) and bias, into the model's. */
px_status px_linear_weight_gradient(px_model *model, const px_linear *linear, px_tensor x, px_tensor dy);

/* A block: tensors (P, 2h) to (P, 2h). Each kind keeps its own struct behind this head. */
typedef struct px_block px_block;
typedef struct px_block_kind {
    /* Allocates the block and adds its parameters, named blocks.<index>.<...>. */
    px_status (*create)(px_model *model, int index, px_block **block);
    /* Takes tensors from keep (what backward needs of forward) and from scratch (what lives within one call). */
    void (*lay_out)(px_model *model, px_block *block, int images, px_arena *saved, px_arena *temporary);
    /* y = add + block(u). add may be absent or u; y may be u. */
    px_status (*forward)(px_model *model, px_block *block, px_tensor u, px_tensor add, px_tensor y);
    /* g: gradient of block(u) in, add + gradient of u out. add may be absent or g. */
    px_status (*backward)(px_model *model, px_block *block, px_tensor u, px_tensor add, px_tensor g);
    /* The block's recurrence over its tensors. NULL: it has none. */
    px_recurrence_args (*recurrence)(const px_model *model, const px_block *block, px_grid grid);
} px_block_kind;

struct px_block {
    const px_block_kind *kind;
    int first; /* index of its first parameter */
};

extern const px_block_kind px_block_pixelcnn, px_block_row_lstm, px_block_diagonal_bilstm;

/* The head: head.2(relu(head.1(relu(head.0(relu(u)))))), (P, 2h) to (P, C * L). */
typedef struct px_head {
    px_linear layer[3];
    px_tensor hidden[2];          /* (P, q): what layers 0 and 1 give, rectified */
    px_tensor hidden_gradient[2]; /* (P, q) */
    px_tensor logits;             /* (P, C * L); their gradient after a forward with gradient */
} px_head;

px_status px_head_create(px_model *model, px_head *head);
void px_head_lay_out(px_model *model, px_head *head, int images, px_purpose purpose, px_arena *saved);
px_status px_head_forward(px_model *model, px_head *head, px_tensor u);
/* g = gradient of u. */
px_status px_head_backward(px_model *model, px_head *head, px_tensor u, px_tensor g);

struct px_model {
    px_device *device;
    px_model_spec spec;
    px_parameters parameters;
    px_arena weight_arena, gradient_arena, saved, temporary;
    px_tensor weights, own_weights, gradients;
    px_tensor compute_weights; /* the weights as products read them: a copy of the activations' type, or the weights
                                  themselves */

    px_linear stem;
    px_block **blocks;
    px_linear *skips; /* one a block, with spec.skip */
    px_head head;

    px_purpose purpose;
    int reserved;         /* images that fit */
    uint64_t reservation; /* counts what was let go: tensors lie elsewhere since */
    px_grid grid;         /* of the batch at work */
    px_tensor images;     /* (N, H W C) PX_UINT8 */
    px_tensor values;     /* (P, C) */
    px_tensor *u; /* layers + 1 tensors (P, 2h): the stem's, then each block's; one and the same when evaluating */
    px_tensor features;      /* (P, 2h): what the head reads; u's last without skips */
    px_tensor nll;           /* (P C, 1) */
    px_tensor nats;          /* (N, 1) PX_FLOAT64 */
    px_tensor g, g_features; /* (P, 2h): gradients of u and of features */

    int part_of;              /* images of the batch that those at work are a part of; 0: they are all */
    px_gradients_ready ready; /* NULL: nobody waits for gradients */
    void *waiting;
};

/* The first rows of a tensor made for the reserved batch: those of the batch at work. */
static inline px_tensor px_current(const px_model *model, px_tensor tensor) {
    return px_tensor_first_rows(tensor, px_grid_pixels(&model->grid));
}

/* An activation for each of the reserved batch's pixels. */
static inline px_tensor px_pixel_tensor(const px_model *model, px_arena *arena, int images, int columns) {
    const size_t pixels = (size_t)images * (size_t)model->spec.height * (size_t)model->spec.width;
    return px_arena_tensor(arena, pixels, columns, model->device->activation);
}

#endif
