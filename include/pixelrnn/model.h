/* PixelCNN, Row LSTM and Diagonal BiLSTM: likelihood, gradients and logits of batches of images.
 * van den Oord, Kalchbrenner, Kavukcuoglu 2016, arXiv:1601.06759.
 *
 *     u = stem(values)                         masked 7 x 7 convolution, mask A
 *     u = u + block(u), for each block         PixelCNN, Row LSTM or Diagonal BiLSTM; "u +" with `residual`
 *     logits = head(u + sum of skip(u))        three 1 x 1 layers; one skip for each block with `skip`
 *     p(level) = softmax(logits)               of each value, given all values before it
 *
 * A conditional model, p(image | condition), adds to a layer of each block a product with the features of the condition
 * (spec.condition, condition.h, host/model/condition.h).
 *
 * Notation: N images of H x W pixels with C channels (1 or 3) and L levels; P = N * H * W pixels; h = hidden, q = head.
 * Images are levels 0 .. L - 1, [N, H, W, C]. The order of values is row, column, channel. The network reads
 * value = 2 * level / (L - 1) - 1. Between blocks there are 2 h features for each pixel, tensors (P, 2 h).
 *
 * A training step on a device and a model reserved for `images` images:
 *
 *     px_model_forward(model, levels, conditions, images, true);   uploads the batch, computes loss and gradient
 *     px_model_backward(model);                                    computes the gradients of all parameters
 *     px_model_nats(model, nats);                                  waits for the device
 *
 * Functions that run operations enqueue them on the device, and return before they end unless they say otherwise. They
 * return PX_ERR_DEVICE if a library or a launch fails. Callers must pass valid sizes and levels; they are not checked.
 */
#ifndef PIXELRNN_MODEL_H
#define PIXELRNN_MODEL_H

#include "pixelrnn/condition.h"
#include "pixelrnn/config.h"
#include "pixelrnn/device.h"

typedef struct px_model_spec {
    px_model_kind kind;
    int layers;       /* number of blocks */
    int hidden, head; /* h, q */
    bool residual, skip;
    int height, width, channels, levels; /* H, W, C, L */
    px_condition condition;
} px_model_spec;

typedef enum {
    PX_PURPOSE_EVALUATE, /* forward only; blocks share their memory */
    PX_PURPOSE_TRAIN,    /* forward and backward */
} px_purpose;

typedef struct px_model px_model;

/* ---- Models and their weights ---- */

/* Creates a model on the device, which is borrowed. Its weights are uninitialised, and no batch is reserved.
 * PX_ERR_CONFIG if the spec is out of range, PX_ERR_MEMORY with the bytes needed and the config keys to lower.
 * Destroy with px_model_destroy, which accepts NULL. */
px_status px_model_create(px_device *device, const px_model_spec *spec, px_model **model);
void px_model_destroy(px_model *model);

const px_model_spec *px_model_spec_of(const px_model *model);
px_device *px_model_device(const px_model *model);

/* The flat tensors of all weights and of all gradients, in device memory that the model owns. Both are PX_REAL and have
 * the same layout. Masked elements are 0. Gradients are absent before a reservation for training. */
px_tensor px_model_weights(const px_model *model);
px_tensor px_model_gradients(const px_model *model);
/* To be called after writing to the weights. With bfloat16 activations, products read a copy of the weights in
 * bfloat16, which this function updates. With float32 it does nothing. */
px_status px_model_cast_weights(px_model *model);

/* Initialises the weights: z * sqrt(gain / unmasked fan-in), z being standard normal, a function of the seed, the index
 * of the tensor and the index of the element (px_parameters_initialise). Biases are 0, those of forget gates 1. The
 * gain is 2 for head.0, head.1, the blocks of a PixelCNN and upsample.*, 0.1 for head.2, 0 for conditions, so that a
 * conditional model begins as an unconditional one, and 1 for all others. Order of the tensors: upsample.*; stem; for
 * each block its layers, then its skip; head.0, head.1, head.2. A bias follows its weight. Layers of
 * blocks are, PixelCNN: reduce, conv, expand. Row LSTM: input_to_state, state_to_state, expand. Diagonal BiLSTM: these
 * two for left, then for right; expand. Waits for the device. */
px_status px_model_initialise(px_model *model, uint64_t seed);

/* ---- Memory ---- */

/* Bytes on the device. `weights` includes the copy of the weights in bfloat16, if there is one. */
typedef struct px_memory_plan {
    size_t weights, gradients, activations, workspace;
} px_memory_plan;

/* The memory for batches of `images` images, counted by a dry run of the code that assigns buffers. */
px_memory_plan px_model_plan(px_model *model, int images, px_purpose purpose);
/* Allocates that memory, for batches of up to `images` images, and frees that of the reservation before. It does
 * nothing if the model has room for as many images, for the same purpose. PX_ERR_MEMORY with the bytes needed and the
 * config keys to lower; nothing is then reserved. */
px_status px_model_reserve(px_model *model, int images, px_purpose purpose);

/* ---- Forward and backward ---- */

/* Uploads a batch of `images` images, at most as many as are reserved; 0 is allowed. levels: host memory
 * [images, H, W, C]. conditions: px_condition_bytes for each image; NULL without a condition. Both must not change
 * before the device is synchronized (px_model_nats does that). */
px_status px_model_upload_batch(px_model *model, const uint8_t *levels, const uint8_t *conditions, int images);
/* The conditions alone, for px_model_logits. */
px_status px_model_upload_conditions(px_model *model, const uint8_t *conditions, int images);
/* Computes -ln p of each image of the uploaded batch, for px_model_nats. With gradient, also the gradient with respect
 * to the logits of the loss: the mean over the batch of nats / (H * W * C). */
px_status px_model_loss(px_model *model, bool gradient);
/* px_model_upload_batch, then px_model_loss. */
px_status px_model_forward(px_model *model, const uint8_t *levels, const uint8_t *conditions, int images,
                           bool gradient);
/* Computes the gradients of all parameters for the last px_model_loss with gradient. They replace those before. Needs a
 * reservation for training. */
px_status px_model_backward(px_model *model);
/* Waits for the device and copies the nats of each image of the last px_model_loss to `nats`, one for each image. */
px_status px_model_nats(px_model *model, double *nats);

/* The reserved batch on the device, PX_UINT8 (reserved images, H * W * C). The model owns it. */
px_tensor px_model_images(px_model *model);
/* Computes the logits of the first `images` images of px_model_images, on the conditions uploaded last. logits: (P, C *
 * L), column c * L + l for level l of channel c, in the type of the activations. The model owns them; its next forward
 * call overwrites them. */
px_status px_model_logits(px_model *model, int images, px_tensor *logits);

/* ---- Properties ---- */

/* Floating-point operations per image: 2 for each unmasked weight and pixel that it is applied to in the forward pass.
 * The backward pass takes as many for the gradients of the weights, and for those of the inputs, except of data: the
 * image and its condition. Pointwise operations do not count. */
double px_model_flops(const px_model *model, px_purpose purpose);

/* The distances in pixels, above, to the left and to the right, at which a logit can depend on a value. INT_MAX: no
 * limit. */
typedef struct px_receptive_field {
    int above, left, right;
} px_receptive_field;
px_receptive_field px_model_receptive_field(const px_model_spec *spec);

#endif
