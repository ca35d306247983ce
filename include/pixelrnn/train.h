/* Training: the loop, its schedule, and everything it leaves in its run folder (checkpoint.h).
 *
 * A step at which several things are due writes its line of metrics first, then its checkpoint, and only then evaluates
 * and samples, which may take long. So whatever ends these two, the checkpoint is there. Its state says that they are
 * still due, and a resume from it begins with them. After the evaluation the checkpoint's state holds its result, and
 * the best step gets a checkpoint if it has none.
 *
 * A stop is answered after the step under way, before the next batch of an evaluation, or before the next row of pixels
 * of samples, on all ranks. What it cuts short is not reported, but made anew by the resume, which thus ends with the
 * bits and the metrics of an uninterrupted run. */
#ifndef PIXELRNN_TRAIN_H
#define PIXELRNN_TRAIN_H

#include "pixelrnn/config.h"
#include "pixelrnn/evaluate.h"
#include "pixelrnn/ranks.h"
#include "pixelrnn/stop.h"

typedef struct px_train_options {
    const px_config *config;
    const char *run;    /* run folder */
    bool resume;        /* go on from the newest whole checkpoint; without one, begin */
    bool accept_data;   /* resume although the images are not those of the checkpoint */
    const char *init;   /* model file whose weights to begin from, or NULL */
    px_stop *stop;      /* once it is asked: save and return as soon as possible; NULL: never */
    FILE *out;          /* where progress goes */
    px_ranks *ranks;    /* who trains together; only rank 0 touches the run folder. NULL: alone */
    int argument_count; /* the command line, for the record of this start; may be none */
    char *const *arguments;
} px_train_options;

typedef struct px_train_result {
    int64_t step;              /* updates done */
    px_status stop;            /* PX_OK: all is done; else how it was asked to stop before that */
    bool evaluated;            /* test holds the last evaluation */
    px_evaluation test;        /* of the weights at the end */
    px_evaluation independent; /* the same images under independent pixels */
    double entropy;            /* exact nats per image of the data, where known; else 0 */
} px_train_result;

/* Trains on device until config->train.steps. Every rank takes its share of each batch. PX_ERR_CONFIG if there are more
 * ranks than images in a batch, if the ranks disagree in config, data or program, or if the images are not those that
 * the run to be resumed was trained on, unless accept_data. PX_ERR_NUMERIC if a loss or gradient is not finite, naming
 * the step and the last good checkpoint; those after it are renamed (px_checkpoint_reject), so that the run can be
 * resumed from there. PX_ERR_FILE if another process is at work in the run folder. A stop asked of one rank stops all:
 * PX_OK with result->stop, and the checkpoint is written; or PX_STOPPED or PX_INTERRUPTED before the run folder was
 * changed. */
px_status px_train(px_device *device, const px_train_options *options, px_train_result *result);

/* Learning rate of update s = `step` (from 0), with W = warmup_steps, T = steps, r = learning_rate, f = final_rate:
 *   s < W      r (s + 1) / W
 *   constant   r
 *   step       r decay_factor^floor((s - W) / decay_every)
 *   cosine     r (f + (1 - f) (1 + cos(pi (s - W) / (T - W))) / 2), which would be r f at s = T */
double px_learning_rate(const px_config *config, int64_t step);

#endif
