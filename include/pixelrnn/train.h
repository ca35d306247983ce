/* Training: the loop, its schedule, and everything it leaves in its run folder (checkpoint.h). */
#ifndef PIXELRNN_TRAIN_H
#define PIXELRNN_TRAIN_H

#include "pixelrnn/config.h"
#include "pixelrnn/evaluate.h"
#include "pixelrnn/ranks.h"
#include <signal.h>

typedef struct px_train_options {
    const px_config *config;
    const char *run;                   /* run folder */
    bool resume;                       /* go on from the newest whole checkpoint; without one, begin */
    bool accept_data;                  /* resume although the images are not those of the checkpoint */
    const char *init;                  /* model file whose weights to begin from, or NULL */
    const volatile sig_atomic_t *stop; /* not 0: save and return after the step at work */
    FILE *out;                         /* where progress goes */
    px_ranks *ranks;                   /* who trains together; only rank 0 touches the run folder. NULL: alone */
    int argument_count;                /* the command line, for the record of this start; may be none */
    char *const *arguments;
} px_train_options;

typedef struct px_train_result {
    int64_t step;              /* updates done */
    bool stopped;              /* asked to stop before the last step */
    bool evaluated;            /* test holds the last evaluation */
    px_evaluation test;        /* of the weights at the end */
    px_evaluation independent; /* the same images under independent pixels */
    double entropy;            /* exact nats per image of the data, where known; else 0 */
} px_train_result;

/* Trains on device until config->train.steps. Every rank takes its share of each batch. PX_ERR_CONFIG if there are more
 * ranks than images in a batch, or if the ranks disagree in config, data or program; a stop asked of one stops all. PX_ERR_CONFIG also if the images are not those that the run to be resumed was
 * trained on, unless accept_data. PX_ERR_NUMERIC if a loss or gradient is not finite, naming the step and the last good
 * checkpoint; those after it are renamed (px_checkpoint_reject), so that the run can be resumed from there. */
px_status px_train(px_device *device, const px_train_options *options, px_train_result *result);

/* Learning rate of update `step` (from 0): linear warm-up over warmup_steps, then constant, or multiplied by decay_factor
 * every decay_every steps, or half a cosine from learning_rate to final_rate * learning_rate at the last step. */
double px_learning_rate(const px_config *config, int64_t step);

#endif
