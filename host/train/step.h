/* One training step. Training and the benches run the same function. */
#ifndef PIXELRNN_STEP_H
#define PIXELRNN_STEP_H

#include "host/device/graph.h"
#include "host/train/accumulation.h"
#include "host/train/optimizer.h"
#include "pixelrnn/ranks.h"

/* Initialise all members but the graph; they belong to the caller. */
typedef struct px_step {
    px_model *model;               /* reserved for training */
    px_optimizer *optimizer;       /* of that model */
    px_reduction *reduction;       /* sums the model's gradients over the ranks; NULL in a single process */
    px_accumulation *accumulation; /* NULL: the step has one batch */
    px_graph graph;                /* of the last micro-batch and the update; release it with px_graph_release */
} px_step;

/* Forward, backward, reduction over the ranks, and update number `update` (from 1) at learning rate `rate`.
 * levels: host memory, [images, H, W, C], at most as many images as the model is reserved for; with an accumulation,
 * its micro-batches, one after the other. conditions: of each image, px_condition_bytes, or NULL without a condition.
 * Both must not change until the device has finished.
 * A device with graphs captures the whole step, from its last micro-batch on. With a reduction it captures the parts
 * between the sums of buckets, one graph each, and starts these sums on the host. */
px_status px_step_run(px_step *step, const uint8_t *levels, const uint8_t *conditions, int images, int64_t update,
                      double rate);

/* (images, 1) PX_FLOAT64 on the device: the nats of each image of the last step. */
px_tensor px_step_nats(const px_step *step);

#endif
