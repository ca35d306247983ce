/* Training a model by a config, with checkpoints, metrics, evaluations and samples in a run folder.
 *
 *     RUN/config.yaml                  the config
 *     RUN/metrics.jsonl, events.out.*  metrics as JSON lines and for TensorBoard
 *     RUN/samples/STEP.png             samples; with condition class, a class a row; with condition image, each to the
 *                                      right of the smaller image
 *     RUN/checkpoints/STEP/            checkpoints; best and newest are links to two of them
 *
 * data.validation is evaluated during training, and data.test once, after the last step, with the checkpoint of the
 * best evaluation. Without data.validation, data.test takes its place, and nothing is evaluated after the last step.
 *
 * A step at which several actions are due first writes its line of metrics, then its checkpoint, and only then
 * evaluates and samples. Evaluation and sampling may take long; if they are interrupted, the checkpoint exists. It
 * records that they are due, and a resumed run begins with them. After the evaluation the checkpoint is updated with
 * its result, and the best step gets a checkpoint if it has none.
 *
 * A stop request (stop.h) is answered on all ranks after at most one more step, or before the next batch of an
 * evaluation, or before the next row of pixels of samples. An interrupted evaluation or sampling reports nothing and is
 * repeated after a resume. A resumed run therefore produces the same weights and metrics as an uninterrupted one. */
#ifndef PIXELRNN_TRAIN_H
#define PIXELRNN_TRAIN_H

#include "pixelrnn/config.h"
#include "pixelrnn/evaluate.h"
#include "pixelrnn/ranks.h"
#include "pixelrnn/stop.h"

/* All pointers belong to the caller and must stay valid during px_train. */
typedef struct px_train_options {
    const px_config *config;
    const char *run;    /* path of the run folder, which is created if it does not exist */
    bool resume;        /* continue from the newest complete checkpoint; without one, start at step 0 */
    bool accept_data;   /* resume even if the images differ from those of the checkpoint */
    const char *init;   /* model file with the initial weights; NULL: random weights. Ignored when resuming */
    px_stop *stop;      /* stop request; NULL: none */
    FILE *out;          /* progress, messages and warnings are printed here */
    px_ranks *ranks;    /* that train together, after px_ranks_check_device; rank 0 alone uses RUN; NULL: one process */
    int argument_count; /* the command line, recorded in metrics.jsonl; 0: none */
    char *const *arguments;
} px_train_options;

/* The results of evaluations, also those of earlier starts of the run. images is 0 where there is none. */
typedef struct px_train_figures {
    px_evaluation evaluation;   /* the last one during training */
    px_evaluation independent;  /* px_evaluate_independent on the same images; on rank 0 */
    px_evaluation test;         /* the best checkpoint on data.test, after training with data.validation */
    double best_nats_per_image; /* of the best evaluation during training; infinite: none yet */
    int64_t best_step;
} px_train_figures;

typedef struct px_train_result {
    int64_t step;      /* updates done, in earlier starts of the run, too */
    px_status stop;    /* PX_OK: finished; PX_STOPPED or PX_INTERRUPTED: a stop request ended it before that */
    bool config_saved; /* config.yaml of the run is this config: false if no step was done since a resume */
    double entropy;    /* exact nats per image of the training data if known, else 0 */
    px_train_figures figures;
} px_train_result;

/* Trains on `device` until config->train.steps updates are done. Each rank takes its share of every batch.
 * Returns PX_OK if training finished, or if a stop request ended it: then result->stop says so, and a checkpoint was
 * written. A stop request to one rank stops all of them. Errors, with a message in the device's context:
 * PX_STOPPED, PX_INTERRUPTED: a stop request came before the run folder was changed.
 * PX_ERR_USAGE: the run folder holds a run, and resume is false.
 * PX_ERR_CONFIG: invalid config; a batch with fewer images than ranks; ranks with different configs, images or
 * programs; or, unless accept_data, images that differ from those of the checkpoint. PX_ERR_NUMERIC: a loss or a
 * gradient is not finite. The message names the step and the last good checkpoint. Later checkpoints are renamed to
 * STEP.rejected, so --resume continues from the good one. PX_ERR_FILE: a file cannot be read or written, or another
 * process uses the run folder. PX_ERR_FORMAT: no checkpoint of the run to resume is complete. PX_ERR_MEMORY,
 * PX_ERR_DEVICE. */
px_status px_train(px_device *device, const px_train_options *options, px_train_result *result);

/* Learning rate of update s = `step` (from 0), with W = warmup_steps, T = steps, r = learning_rate, f = final_rate:
 *   s < W      r (s + 1) / W
 *   constant   r
 *   step       r decay_factor^floor((s - W) / decay_every)
 *   cosine     r (f + (1 - f) (1 + cos(pi (s - W) / (T - W))) / 2), which would reach r f at s = T
 * All are keys of config->train. */
double px_learning_rate(const px_config *config, int64_t step);

#endif
