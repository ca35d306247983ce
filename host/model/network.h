/* Declarations that the files of host/model share: convolution layers, blocks, the head, and the state of a model.
 *
 * Shapes in comments: N images, P = N * H * W pixels, C channels, L levels, h = spec.hidden, q = spec.head. */
#ifndef PIXELRNN_MODEL_NETWORK_H
#define PIXELRNN_MODEL_NETWORK_H

#include "pixelrnn/model.h"
#include "host/device/backend.h"
#include "host/io/arena.h"
#include "host/model/parameters.h"
#include "host/model/internal.h"

/* ---- Masked convolutions ---- */

/* The relu between a layer's input tensor and its weights. */
typedef enum {
    PX_RELU_NONE,
    PX_RELU_APPLY,  /* the layer applies relu as it reads x */
    PX_RELU_STORED, /* x was stored after its relu, by the relu_y of the layer before */
} px_input_relu;

/* A masked convolution and its parameters; most have one tap. */
typedef struct px_conv {
    int weight, bias; /* indices of parameters; -1: no bias */
    px_taps taps;
    px_input_relu relu;
    bool relu_y; /* y is stored after a relu, because no layer reads it otherwise */
} px_conv;

typedef struct px_conv_spec {
    const char *name; /* "blocks.3.expand": the parameters are NAME.weight and NAME.bias */
    int inputs, outputs;
    px_taps taps;
    px_mask_kind mask;
    int gates;          /* PX_GATES for an LSTM, whose gates are grouped by colour each on its own; else 1 */
    int kernel;         /* if not 0, the weight is [out, kernel, kernel, in], and the bias [out], in model files */
    double gain;        /* of the initial weights, see px_parameter */
    double pixel_share; /* px_parameter.pixel_share; 0: 1 */
    bool reads_input;   /* x is data, which needs no gradient */
    px_input_relu relu;
    bool relu_y;
    bool no_bias;
} px_conv_spec;

/* The upper part of a convolution kernel: `rows` rows of `columns` taps. The pixel itself is at column `centre` of the
 * last row, and the taps to its right are stored but masked. */
px_taps px_taps_rectangle(int rows, int columns, int centre);
/* `count` taps at these offsets, at most PX_MAX_TAPS. */
px_taps px_taps_list(int count, const px_tap *at);

/* Adds the layer's parameters to the model's list. */
px_status px_conv_create(px_model *model, px_conv *conv, const px_conv_spec *spec);
/* The same for a 1 x 1 convolution of mask B, with gain 1 and without relu. */
px_status px_conv_create_1x1(px_model *model, px_conv *conv, const char *name, int inputs, int outputs);

/* y = add + layer(x), then relu with relu_y. x is (P, inputs), add and y (P, outputs). add may be absent or y. */
px_status px_conv_forward(px_model *model, const px_conv *conv, px_tensor x, px_tensor add, px_tensor y);
/* dx = add + gradient of x before its relu. x is read only by layers with a relu. add may be absent or dx. */
px_status px_conv_input_gradient(px_model *model, const px_conv *conv, px_tensor dy, px_tensor x, px_tensor add,
                                 px_tensor dx);
/* Writes the gradients of the weight, masked, and of the bias into model->gradients. */
px_status px_conv_weight_gradient(px_model *model, const px_conv *conv, px_tensor x, px_tensor dy);

/* The same for tensors of this grid, and with another bias, (1, outputs) or (N, outputs), or none. The functions above
 * use the grid of the current batch and the layer's own bias. */
px_status px_conv_forward_on(px_model *model, const px_conv *conv, px_grid grid, px_tensor x, px_tensor bias,
                             px_tensor add, px_tensor y);
px_status px_conv_input_gradient_on(px_model *model, const px_conv *conv, px_grid grid, px_tensor dy, px_tensor x,
                                    px_tensor add, px_tensor dx);
px_status px_conv_weight_gradient_on(px_model *model, const px_conv *conv, px_grid grid, px_tensor x, px_tensor dy,
                                     px_tensor dbias);
/* The layer's bias as products read it, and its gradient; absent if it has none. */
px_tensor px_conv_bias(const px_model *model, const px_conv *conv);
px_tensor px_conv_bias_gradient(const px_model *model, const px_conv *conv);

/* ---- Blocks ---- */

/* A block maps (P, 2h) to (P, 2h). The structure of each kind begins with a px_block (host/model/blocks.h). */
typedef struct px_block px_block;
typedef struct px_block_kind {
    /* Allocates the block, to be freed with free, and adds its parameters, named blocks.<index>.<...>. */
    px_status (*create)(px_model *model, int index, px_block **block);
    /* Assigns the block's tensors: those that backward reads from `saved`, others from `temporary`, whose contents last
     * for one call of forward or backward. */
    void (*lay_out)(px_model *model, px_block *block, int images, px_arena *saved, px_arena *temporary);
    /* y = add + block(u). add may be absent or u; y may be u. */
    px_status (*forward)(px_model *model, px_block *block, px_tensor u, px_tensor add, px_tensor y);
    /* grad: on entry the gradient of block(u), on return add + gradient of u. add may be absent or grad. */
    px_status (*backward)(px_model *model, px_block *block, px_tensor u, px_tensor add, px_tensor grad);
    /* The block's recurrence over its tensors. NULL: the block has none. */
    px_recurrence_args (*recurrence)(const px_model *model, const px_block *block, px_grid grid);
} px_block_kind;

struct px_block {
    const px_block_kind *kind;
    int first; /* index of the block's first parameter */
};

extern const px_block_kind px_block_pixelcnn, px_block_row_lstm, px_block_diagonal_bilstm;

/* ---- Head ---- */

/* head.2(relu(head.1(relu(head.0(relu(u)))))), from (P, 2h) to (P, C * L). */
typedef struct px_head {
    px_conv layer[3];
    px_tensor hidden[2];      /* (P, q): outputs of layers 0 and 1, stored after their relu */
    px_tensor grad_hidden[2]; /* (P, q) */
    px_tensor logits;         /* (P, C * L); after px_model_loss with gradient, their gradient */
} px_head;

px_status px_head_create(px_model *model, px_head *head);
void px_head_lay_out(px_model *model, px_head *head, int images, px_purpose purpose, px_arena *saved);
px_status px_head_forward(px_model *model, px_head *head, px_tensor u);
/* grad = gradient of u. */
px_status px_head_backward(px_model *model, px_head *head, px_tensor u, px_tensor grad);

/* ---- Condition: host/model/condition.h ---- */

enum { PX_MAX_STAGES = 6 }; /* of upsampling: log2 of the largest model.scale */

/* A stage of upsampling, to twice the height and width. */
typedef struct px_upsampling {
    px_conv deconvolution, convolution;
    px_tensor t; /* (pixels, 2h): relu of the deconvolution */
} px_upsampling;

typedef struct px_condition_network {
    px_tensor conditions; /* (N, px_condition_bytes) PX_UINT8 */
    px_tensor features;   /* class: (N, K). Image: (P, 2h), the last s */
    /* Of an image condition: */
    px_conv stem;
    int stages;
    px_upsampling stage[PX_MAX_STAGES];
    px_tensor values;                  /* (pixels of the smaller image, C) */
    px_tensor s[PX_MAX_STAGES + 1];    /* (pixels after k stages, 2h), stored after relu */
    px_tensor grad[PX_MAX_STAGES + 1]; /* the gradient of s before its relu */
    px_tensor parts, grad_t;           /* (pixels before the stage, 8h) and (pixels after it, 2h): temporary */
} px_condition_network;

/* ---- Model ---- */

struct px_model {
    px_device *device;
    px_model_spec spec;
    px_parameters parameters;
    px_arena weight_arena, gradient_arena, saved, temporary;
    px_tensor own_weights;     /* flat tensor of the model's weights */
    px_tensor weights;         /* the weights in use: own_weights, or those of px_model_use_weights */
    px_tensor compute_weights; /* the weights as products read them: a copy in the activations' type, or `weights` */
    px_tensor gradients;

    px_condition_network condition;
    px_conv stem;
    px_block **blocks;
    px_conv *skips; /* one for each block, with spec.skip */
    px_head head;

    px_purpose purpose;
    int reserved;         /* the maximum number of images in a batch */
    uint64_t reservation; /* counts releases of the activations, after which tensors move */
    px_grid grid;         /* of the current batch */
    px_tensor images;     /* (N, H W C) PX_UINT8 */
    px_tensor values;     /* (P, C) */
    px_tensor *u;         /* layers + 1 tensors (P, 2h): outputs of the stem and the blocks. One in evaluation */
    px_tensor features;   /* (P, 2h): the input of the head; the last u without skips */
    px_tensor nll;        /* (P C, 1) */
    px_tensor nats;       /* (N, 1) PX_FLOAT64 */
    px_tensor grad, grad_features; /* (P, 2h): gradients of the current u and of features */

    int global_batch; /* px_model_set_global_batch */
    px_gradient_hook hook;
    void *hook_context;
};

/* The rows of the current batch, of a tensor laid out for the reserved batch. */
static inline px_tensor px_current(const px_model *model, px_tensor tensor) {
    return px_tensor_first_rows(tensor, px_grid_pixels(&model->grid));
}

/* An activation for each pixel of `images` images. */
static inline px_tensor px_pixel_tensor(const px_model *model, px_arena *arena, int images, int columns) {
    const size_t pixels = (size_t)images * (size_t)model->spec.height * (size_t)model->spec.width;
    return px_arena_tensor(arena, pixels, columns, model->device->activation);
}

#endif
