/* Conditions of a model p(x | s): every block is biased by s. van den Oord et al. 2016, section "Multi-Scale PixelRNN".
 *
 * The features of a condition are, for a class, the label as a one-hot row (N, K); for an image, the conditioning map
 * (P, 2h), which an upsampling network makes of the image at 1 / f of the size:
 *     s = relu(stem(values)); for k = 0 .. log2(f) - 1: t = relu(deconvolution_k(s)), s = relu(convolution_k(t))
 * The stem and the convolutions are 3 x 3, without a mask; deconvolutions have kernel and stride 2.
 *
 * A conditional layer computes y = layer(x) + W s, where W has neither mask nor bias:
 *     class    bias = bias of the layer + W s, a row for each image, in the epilogue of the layer
 *     image    y = W s, then y += layer(x)
 *
 * Shapes: N images, P pixels of the batch, h = spec.hidden, K classes, A outputs of a layer. */
#ifndef PIXELRNN_MODEL_CONDITION_H
#define PIXELRNN_MODEL_CONDITION_H

#include "host/model/network.h"

/* Adds the parameters of the upsampling network, named upsample.<...>, if the condition is an image. */
px_status px_condition_create(px_model *model);
/* Assign the tensors of a network for `images` images, first the uploaded conditions, then all that is computed.
 * network: the model's own, or a copy of it, which a sampler has. */
void px_condition_lay_out_batch(const px_model *model, px_condition_network *network, int images, px_arena *saved);
void px_condition_lay_out(const px_model *model, px_condition_network *network, int images, bool train,
                          px_arena *saved);

/* Uploads the conditions of `images` images. They must not change before the device is synchronized. */
px_status px_condition_upload(const px_model *model, const px_condition_network *network, int images,
                              const uint8_t *conditions);
/* Computes the features of the uploaded conditions. */
px_status px_condition_forward(px_model *model, const px_condition_network *network, int images);
/* To be called before, and after, the backward passes of all blocks. The second computes the gradients of the
 * upsampling network. Both do nothing without one. */
px_status px_condition_begin_backward(px_model *model);
px_status px_condition_backward(px_model *model);

/* A layer that the condition biases; without a condition, a convolution. */
typedef struct px_conditional {
    px_conv layer;
    px_conv condition;              /* W, 1 x 1 */
    px_tensor bias;                 /* class: (N, A) */
    px_tensor grad_sums, grad_bias; /* class: (N, A), temporary: the gradient of bias, PX_REAL and as activation */
} px_conditional;

/* Adds the parameters of the layer, then <prefix>.condition.weight (A, K) or (A, 2h), which begins as 0. */
px_status px_conditional_create(px_model *model, px_conditional *conditional, const px_conv_spec *spec,
                                const char *prefix);
void px_conditional_lay_out(px_model *model, px_conditional *conditional, int images, int outputs, px_arena *saved,
                            px_arena *temporary);
/* y = layer(x) + W s, then relu if the layer has relu_y. x is (P, inputs), y (P, A). */
px_status px_conditional_forward(px_model *model, const px_conditional *conditional, px_tensor x, px_tensor y);
/* Writes the gradients of the layer and of W, and adds that of the conditioning map to the model's. */
px_status px_conditional_weight_gradient(px_model *model, const px_conditional *conditional, px_tensor x, px_tensor dy);

#endif
