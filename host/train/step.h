/* One training step. Training and the benches run the same function. */
#ifndef PIXELRNN_STEP_H
#define PIXELRNN_STEP_H

#include "host/device/graph.h"
#include "host/train/optimizer.h"
#include "pixelrnn/ranks.h"

/* Initialise the first three members; they belong to the caller. */
typedef struct px_step {
    px_model *model;         /* reserved for training */
    px_optimizer *optimizer; /* of that model */
    px_reduction *reduction; /* sums the model's gradients over the ranks; NULL in a single process */
    px_graph graph;          /* of the step; release it with px_graph_release */
} px_step;

/* Forward, backward, reduction over the ranks, and update number `update` (from 1) at learning rate `rate`.
 * levels: host memory, [images, H, W, C], at most as many images as the model is reserved for. It must not change until
 * the device has finished.
 * A device with graphs captures the whole step. With a reduction it captures the forward pass alone: the backward pass
 * calls px_reduction_ready on the host as soon as gradients are final, which a captured graph cannot do. */
px_status px_step_run(px_step *step, const uint8_t *levels, int images, int64_t update, double rate);

#endif
