/* The part of the model interface that training, sampling, the commands and the bench use, but not users of the
 * library.
 */
#ifndef PIXELRNN_MODEL_INTERNAL_H
#define PIXELRNN_MODEL_INTERNAL_H

#include "host/device/graph.h"
#include "host/model/parameters.h"
#include "pixelrnn/model.h"

const px_parameters *px_model_parameters(const px_model *model);

/* Makes the model read other weights of the same layout, e.g. their average. An absent tensor: its own again. The
 * caller owns the tensor. */
px_status px_model_use_weights(px_model *model, px_tensor weights);
/* Casts the weights in use to the compute weights. Does nothing if the model computes with the weights themselves. */
px_status px_model_refresh(px_model *model);

/* The recurrence of a block in training on `images` images; all blocks have the same. Its tensors have shapes and types
 * but no memory (a dry run). Returns false for a PixelCNN, which has none. */
bool px_model_recurrence(px_model *model, int images, px_recurrence_args *recurrence);
/* Makes the loss of the batches from here on a mean over `images` images, of which each batch is a part: ranks sum
 * their gradients. 0: the mean over the batch itself. */
void px_model_part_of(px_model *model, int images);
/* Sets a function that px_model_backward calls each time that the operations have been issued which make the gradients
 * final from element `first` of the flat tensor on. first falls to 0. NULL: none is called. */
typedef px_status (*px_gradients_ready)(void *context, size_t first);
void px_model_on_gradients(px_model *model, px_gradients_ready ready, void *context);
/* The operations of px_model_loss and px_model_backward, their addresses and their numbers depend on this key and on
 * nothing else but the contents of memory: the reservation, the weights in use, the batch size, and px_model_part_of.
 */
px_graph_key px_model_graph_key(const px_model *model);

#endif
