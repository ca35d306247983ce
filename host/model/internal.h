/* The part of a model's interface for training, sampling, commands and benches. It is not public. */
#ifndef PIXELRNN_MODEL_INTERNAL_H
#define PIXELRNN_MODEL_INTERNAL_H

#include "host/device/graph.h"
#include "host/model/parameters.h"
#include "pixelrnn/model.h"

const px_parameters *px_model_parameters(const px_model *model);

/* Makes the model read these weights, a flat tensor of the same layout such as the moving average. They are borrowed.
 * An absent tensor selects the model's own weights again. */
px_status px_model_use_weights(px_model *model, px_tensor weights);

/* Gives the recurrence of a block in training on `images` images, from a dry run: the tensors have shapes and types but
 * no memory. All blocks have the same. Returns false for a PixelCNN, which has none. */
bool px_model_recurrence(px_model *model, int images, px_recurrence_args *recurrence);

/* Sets the number of images of the global batch, of which the batches from now on are parts: the loss and its gradient
 * are means over that many images. 0: every batch is whole. */
void px_model_set_global_batch(px_model *model, int images);

/* A hook that px_model_backward calls each time that more gradients are final. At that time all work on the elements
 * from `first` on of the flat tensor has been enqueued on the device. `first` falls to 0. */
typedef px_status (*px_gradient_hook)(void *context, size_t first);
/* NULL removes the hook. */
void px_model_set_gradient_hook(px_model *model, px_gradient_hook hook, void *context);

/* The weights that operations read, (R, F) activation: a copy of the weights in use, or these themselves. */
px_tensor px_model_compute_weights(const px_model *model);

/* (images of the batch, 1) PX_FLOAT64 on the device: the nats that px_model_nats downloads. */
px_tensor px_model_nats_tensor(const px_model *model);

/* Adds the activations but the images, and the gradients, to the temporaries of a proof of px_model_loss and
 * px_model_backward. */
void px_model_add_temporaries(const px_model *model, px_proof_state *state);

/* The operations of px_model_loss and px_model_backward, their addresses and their numbers depend on this key and on
 * nothing else but the contents of memory: the reservation, the weights in use, the batch size, and the global batch.
 */
px_graph_key px_model_graph_key(const px_model *model);

#endif
