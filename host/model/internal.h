/* The part of a model's interface for training, sampling, commands and benches. It is not public. */
#ifndef PIXELRNN_MODEL_INTERNAL_H
#define PIXELRNN_MODEL_INTERNAL_H

#include "host/device/backend.h"
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

/* What score and backward depend on beside the contents of memory: where it is the same, they are the same operations,
 * addresses and numbers, and what was recorded of them holds (px_device's graphs). */
typedef struct px_work_shape {
    uint64_t reservation; /* which of the reservations so far holds the tensors */
    const void *weights;  /* those in use */
    int images, part_of;  /* of the batch at work */
} px_work_shape;
px_work_shape px_model_shape(const px_model *model);
bool px_work_shape_same(const px_work_shape *a, const px_work_shape *b);

#endif
