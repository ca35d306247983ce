/* Gradient accumulation: a step runs its batch in several micro-batches of the same size, and sums their gradients
 * before the update. Activations are needed for one micro-batch alone.
 *
 * The model's global batch must be the whole batch (px_model_set_global_batch), so that the sum is the gradient of its
 * mean loss. All micro-batches but the last go through px_accumulation_add. The last one is run by the caller, whose
 * gradient hook calls px_accumulation_finish after px_accumulation_begin. */
#ifndef PIXELRNN_ACCUMULATION_H
#define PIXELRNN_ACCUMULATION_H

#include "host/model/internal.h"

typedef struct px_accumulation px_accumulation;

/* model: reserved for training. parts: micro-batches of a step, at least 2. images: of each of them. PX_ERR_MEMORY. */
px_status px_accumulation_create(px_model *model, int parts, int images, px_accumulation **accumulation);
void px_accumulation_destroy(px_accumulation *accumulation); /* NULL is allowed */

/* Bytes on the device that it needs. */
size_t px_accumulation_bytes(const px_model *model, int parts, int images);

/* Micro-batches of a step; 1 for NULL. */
int px_accumulation_parts(const px_accumulation *accumulation);

/* Forward and backward of micro-batch `part`, from 0 to parts - 2, whose gradients are added to a sum that part 0
 * starts at 0. levels, conditions: as for px_step_run. A device with graphs captures the pass. Removes the model's
 * gradient hook.
 */
px_status px_accumulation_add(px_accumulation *accumulation, int part, const uint8_t *levels,
                              const uint8_t *conditions);

/* Begins the backward pass of the last micro-batch. Does nothing for NULL. */
void px_accumulation_begin(px_accumulation *accumulation);

/* Adds the sum to the model's gradients of the last micro-batch, for all elements from `first` on that it has not been
 * added to in this pass. first: as for px_gradient_hook. Does nothing for NULL. */
px_status px_accumulation_finish(px_accumulation *accumulation, size_t first);

/* Copies the nats of the model's current micro-batch, number `part`, to px_accumulation_nats. Does nothing for NULL. */
px_status px_accumulation_keep_nats(px_accumulation *accumulation, int part);

/* (parts * images, 1) PX_FLOAT64 on the device: the nats of all images of the batch. */
px_tensor px_accumulation_nats(const px_accumulation *accumulation);

#endif
