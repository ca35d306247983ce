/* The parts of a model's interface that training, sampling, the commands and the bench use, and library users do not.
 */
#ifndef PIXELRNN_MODEL_INTERNAL_H
#define PIXELRNN_MODEL_INTERNAL_H

#include "host/device/backend.h"
#include "host/model/parameters.h"
#include "pixelrnn/model.h"

const px_parameters *px_model_parameters(const px_model *model);

/* Lets the model read other weights of the same layout (an average of them); an absent tensor goes back to its own. */
px_status px_model_use_weights(px_model *model, px_tensor weights);
/* Makes the copy anew; without one there is nothing to do. */
px_status px_model_refresh(px_model *model);

/* The recurrence of its blocks, which are alike, in training on a batch of `images`, from the same dry run: activations
 * have types but no memory. false: there is none (PixelCNN). */
bool px_model_recurrence(px_model *model, int images, px_recurrence_args *recurrence);
/* The batches from here on are parts of ones of `images` images, over which the mean is taken; 0: they are whole. */
void px_model_part_of(px_model *model, int images);
/* Called during backward, each time that the gradients of the flat tensor's elements from `first` on have become final
 * and their work has been given to the device; first falls to 0. NULL: nobody listens. */
typedef px_status (*px_gradients_ready)(void *context, size_t first);
void px_model_on_gradients(px_model *model, px_gradients_ready ready, void *context);
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
