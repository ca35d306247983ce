/* What a training run will cost: steps, floating-point operations, checkpoints, memory. Nothing is run or allocated. */
#ifndef PIXELRNN_COST_H
#define PIXELRNN_COST_H

#include "host/train/checkpoint.h"

/* Numbers of images. 0: there are none, or their number is not known. */
typedef struct px_run_images {
    int64_t train;
    int64_t evaluated; /* of the set that is evaluated during training */
    int64_t tested;    /* of data.test, if another set is evaluated during training */
} px_run_images;

typedef struct px_run_cost {
    int64_t images;                          /* that training processes: steps x batch size */
    double epochs;                           /* 0 if the number of training images is not known */
    int64_t evaluations;                     /* during training and after its last step */
    int64_t evaluated_images;                /* by all these evaluations together */
    int64_t tested_images;                   /* by the test of the best checkpoint */
    double training_flops, evaluation_flops; /* of the whole run, over all ranks; sampling is not counted */

    px_checkpoint_sizes checkpoint; /* of the last step */
    int64_t checkpoints;            /* the largest number that is kept */

    /* Of a rank, in bytes on its device. `sampler` is on rank 0 alone. */
    int rank_images; /* of a micro-batch, of which a step has train.accumulate */
    px_memory_plan plan;
    size_t optimizer, sampler, accumulation;
} px_run_cost;

/* Computes the cost of a run of this config, which the model was created for, on a number of ranks. PX_ERR_CONFIG if
 * the batch has fewer images than there are ranks, PX_ERR_MEMORY. */
px_status px_run_cost_of(px_model *model, const px_config *config, const px_run_images *images, int ranks,
                         px_run_cost *cost);

/* The largest bytes of the checkpoints that are kept, without their state.json. */
static inline double px_run_disk(const px_run_cost *cost) {
    return (double)cost->checkpoints * (double)(cost->checkpoint.model + cost->checkpoint.optimizer);
}

static inline size_t px_run_memory(const px_run_cost *cost) {
    const px_memory_plan *p = &cost->plan;
    return p->weights + p->gradients + p->activations + p->workspace + cost->optimizer + cost->sampler +
           cost->accumulation;
}

#endif
