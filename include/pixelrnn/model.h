/* PixelCNN, Row LSTM and Diagonal BiLSTM: likelihood, gradients and logits of batches of images.
 *
 *     stem -> block 0 -> ... -> block layers-1 -> head -> softmax over L levels of each value
 *
 * Images are [N, H, W, C] levels 0..L-1. Tensors between blocks carry 2 h features for each pixel. */
#ifndef PIXELRNN_MODEL_H
#define PIXELRNN_MODEL_H

#include "pixelrnn/config.h"
#include "pixelrnn/device.h"

typedef struct px_model_spec {
    px_model_kind kind;
    int layers, hidden, head; /* h, q */
    bool residual, skip;
    int height, width, channels, levels; /* H, W, C (1 or 3), L */
} px_model_spec;

typedef enum {
    PX_PURPOSE_EVALUATE, /* forward only: blocks share their memory */
    PX_PURPOSE_TRAIN,    /* forward and backward */
} px_purpose;

/* Bytes on the device, by what they are for. Weights are with the copy that products read, if there is one. */
typedef struct px_memory_plan {
    size_t weights, gradients, activations, workspace;
} px_memory_plan;

typedef struct px_model px_model;

/* A model without memory for activations. PX_ERR_CONFIG if the spec is impossible, PX_ERR_MEMORY as of a reservation.
 * Destroy with px_model_destroy (NULL
 * is allowed). */
px_status px_model_create(px_device *device, const px_model_spec *spec, px_model **model);
void px_model_destroy(px_model *model);

const px_model_spec *px_model_spec_of(const px_model *model);
px_device *px_model_device(const px_model *model);

/* The flat tensors on the device. Gradients exist after a reservation for training; their masked entries are 0.
 * Products read a copy of the weights where activations are bfloat16: whoever writes to the weights calls
 * px_model_cast_weights. */
px_tensor px_model_weights(const px_model *model);
px_tensor px_model_gradients(const px_model *model);
/* Initial weights of a seed (px_parameters_initialise). Tensors are listed in this order: the stem; for each block its
 * own tensors, then its skip; head.0, head.1, head.2; a bias behind its weight. A Diagonal BiLSTM block has left before
 * right, an LSTM input_to_state before state_to_state, and every block its expand last. The gain is 2 for head.0,
 * head.1 and the blocks of a PixelCNN, 0.1 for head.2, else 1. */
px_status px_model_initialise(px_model *model, uint64_t seed);

/* What a batch of `images` costs, found by a dry run of the carving. */
px_memory_plan px_model_plan(px_model *model, int images, px_purpose purpose);
/* Holds that memory, in place of what was held. PX_ERR_MEMORY, if it cannot be had or the plan is larger than the
 * device's memory, says what the plan was and which key shrinks it. */
px_status px_model_reserve(px_model *model, int images, px_purpose purpose);

/* Copies `images` images (host memory, [images, H, W, C], as px_device's upload reads it) to the device: the batch at
 * work from here on. */
px_status px_model_upload_batch(px_model *model, const uint8_t *levels, int images);
/* Runs the network on that batch up to the nats of each image. With gradient, also leaves the gradient of the loss
 * (mean over the batch of nats / (H W C)) with respect to the logits. */
px_status px_model_loss(px_model *model, bool gradient);
/* Both. */
px_status px_model_forward(px_model *model, const uint8_t *levels, int images, bool gradient);
/* Gradients of all parameters, for the batch of the last score with gradient. */
px_status px_model_backward(px_model *model);
/* nats of each image of the last forward, `images` doubles; waits for them. */
px_status px_model_nats(px_model *model, double *nats);

/* Runs the network on the `images` images now on the device (px_model_images) up to the logits, (P, C * L). */
px_status px_model_logits(px_model *model, int images, px_tensor *logits);
/* The batch on the device, PX_UINT8 (images reserved, H * W * C). */
px_tensor px_model_images(px_model *model);

/* Useful floating-point operations: two a live weight and pixel forward; backward as much again for the gradients of
 * the weights and, but for the stem, of the inputs. Masked weights, dead taps and pointwise work do not count. */
double px_model_flops(const px_model *model, px_purpose purpose);

/* Pixels that a logit can depend on, above, to the left and to the right of it; INT_MAX: all there are. */
typedef struct px_receptive_field {
    int above, left, right;
} px_receptive_field;
px_receptive_field px_model_receptive_field(const px_model_spec *spec);

#endif
