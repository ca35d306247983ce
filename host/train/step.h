/* A training step: what a device does between a batch of images and its loss. Training and the bench take the same.
 *
 *     forward -> backward -> reduction over the ranks -> update -> average of the weights
 *
 * On a device with graphs a step is recorded when it runs for the second time, and launched as one from then on; the
 * same is done anew where the batch has another size, or the model other memory or weights. Other ranks are told of
 * gradients while the backward pass runs, which a graph cannot: with a reduction it is the forward pass that is
 * recorded. */
#ifndef PIXELRNN_STEP_H
#define PIXELRNN_STEP_H

#include "host/train/optimizer.h"
#include "pixelrnn/ranks.h"

typedef struct px_step px_step;

/* Steps of this model with this optimiser. From here on the reduction, which may be NULL, hears of the model's
 * gradients (px_model_set_gradient_hook). All three are the caller's and outlive the step. PX_ERR_MEMORY. NULL may be
 * destroyed. */
px_status px_step_create(px_model *model, px_optimizer *optimizer, px_reduction *reduction, px_step **step);
void px_step_destroy(px_step *step);

/* Update number `update` (from 1) at this learning rate, by `images` images ([images, H, W, C]): no more than the model
 * has reserved for training. levels must not change until the device has been waited for (px_model_nats does). */
px_status px_step_run(px_step *step, const uint8_t *levels, int images, int64_t update, double rate);

#endif
