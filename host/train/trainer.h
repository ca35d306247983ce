/* The state of a training run, shared by the loop (train.c), its set-up (trainer_setup.c, trainer_resume.c), the
 * statistics of a step (trainer_statistics.c) and the actions between steps (trainer_actions.c). */
#ifndef PIXELRNN_TRAIN_TRAINER_H
#define PIXELRNN_TRAIN_TRAINER_H

#include "host/io/lock.h"
#include "host/train/checkpoint.h"
#include "pixelrnn/sample.h"
#include "pixelrnn/loader.h"
#include "host/train/step.h"
#include "pixelrnn/train.h"
#include "host/logging/logging.h"

typedef struct px_trainer {
    px_context *ctx;
    px_device *device;
    const px_config *config;
    const px_train_options *options;
    px_ranks *ranks;
    bool root; /* this is rank 0, the only one that reads and writes the run folder */
    px_train_result *result;

    px_source *data[PX_SPLITS]; /* NULL where the config has no source of this split */
    px_source_digest digest[PX_SPLITS];
    px_split evaluated; /* during training: PX_SPLIT_VALID, or PX_SPLIT_TEST without data.validation */
    px_share share;     /* the images of each micro-batch that this rank trains on */
    int max_images;     /* the largest share of any rank; the model is reserved for as many images */
    px_loader *loader;
    px_model *model;
    px_optimizer *optimizer;
    px_reduction *reduction;       /* NULL in a single process */
    px_accumulation *accumulation; /* NULL without train.accumulate */
    px_step step;                  /* of model, optimizer, reduction and accumulation */
    px_sampler *sampler;           /* draws samples on rank 0; else, or without train.samples, NULL */
    uint8_t *sample_conditions;    /* of these samples (condition.h); NULL without a condition or a sampler */
    double *results;               /* of the last two steps: trainer_statistics.c; page-locked */
    double norm;                   /* of the gradients of the step that was collected last */

    px_lock lock;              /* on rank 0, of the run folder */
    px_config previous_config; /* when resuming, the run folder's config.yaml */
    bool resumed;              /* continues from a checkpoint */
    bool config_written;       /* config.yaml holds this start's config */
    px_metrics *metrics;       /* NULL on all ranks but 0 */
    px_progress progress;

    /* state.step counts the steps whose results have been collected. The device is up to one step ahead of it. */
    int64_t issued;
    px_train_state state;
    px_status stop;      /* not PX_OK once any rank was asked to stop and all have agreed to end here */
    double step_seconds; /* spent in training steps so far */
    double step_began;   /* px_clock_seconds when the last step was collected, or the last action ended */
    /* step_seconds and state.step after the last line of training metrics; the next line has the means since then. */
    double window_step_seconds;
    int64_t window_step;
} px_trainer;

/* The images that are sampled during training: train.samples; with condition class, at least as many of each class. */
static inline int px_trainer_samples(const px_config *config) {
    const int64_t classes = config->model.condition == PX_CONDITION_CLASS ? config->model.classes : 1;
    return (int)((config->train.samples + classes - 1) / classes * classes);
}

/* The images that are sampled at a time; 0: none. */
static inline int px_trainer_samples_at_once(const px_config *config) {
    enum { MAX = 64 };
    const int samples = px_trainer_samples(config);
    return samples < MAX ? samples : MAX;
}

/* The options of this run's evaluations. limit: px_evaluate_options.limit. */
static inline px_evaluate_options px_trainer_evaluation(const px_trainer *t, int64_t limit) {
    return (px_evaluate_options){.batch = t->max_images,
                                 .limit = (size_t)limit,
                                 .binarize = t->config->data.binarize,
                                 .seed = (uint64_t)t->config->seed,
                                 .levels = (int)t->config->data.levels,
                                 .ranks = t->ranks,
                                 .stop = t->options->stop};
}

/* The source that is evaluated during training; NULL: none. */
static inline px_source *px_trainer_evaluated(const px_trainer *t) { return t->data[t->evaluated]; }

/* Whether data.test must be evaluated after the last step, and has not been yet. */
static inline bool px_trainer_test_is_due(const px_trainer *t) {
    return t->evaluated == PX_SPLIT_VALID && t->data[PX_SPLIT_TEST] && t->state.figures.test.images == 0;
}

/* Whether all steps, evaluations and samples of the run are done. */
static inline bool px_trainer_is_complete(const px_trainer *t) {
    return t->state.step >= t->config->train.steps && !t->state.evaluation_due && !t->state.samples_due &&
           !px_trainer_test_is_due(t);
}

/* Opens data, model, optimiser, run folder and, when resuming, the newest complete checkpoint. After a failure, too,
 * the caller must call px_trainer_close. */
px_status px_trainer_open(px_trainer *trainer);
void px_trainer_close(px_trainer *trainer);

/* ---- Parts of the set-up ---- */

/* Gives the largest number of images of a micro-batch that one of `ranks` ranks trains on. PX_ERR_CONFIG if a rank
 * would have none. */
px_status px_trainer_max_images(px_context *ctx, const px_config *config, int ranks, int *images);

/* Loads the newest complete checkpoint, if there is one, and otherwise sets the state of step 0. Changes no file. */
px_status px_trainer_load(px_trainer *trainer);
/* If a checkpoint was loaded, rejects those after it and prints the config keys that have changed since. */
px_status px_trainer_resume(px_trainer *trainer);
/* Renames the checkpoints from step `from` on to STEP.rejected, with a warning for each. */
px_status px_trainer_reject(px_trainer *trainer, int64_t from);
/* Writes config.yaml, unless this start has written it already. */
px_status px_trainer_write_config(px_trainer *trainer);

/* ---- After each step ---- */

/* Allocates the memory for results. */
px_status px_trainer_allocate_results(px_trainer *trainer);
/* Counts the step that was issued on the device just now, and starts to copy its results to the host. At most two steps
 * may be issued and not collected. */
px_status px_trainer_issued(px_trainer *trainer);
/* Waits for the results of the step after the state's, gathers the loss, the gradient norm and the stop requests of all
 * ranks, and adds the step to the state. PX_ERR_NUMERIC if a loss or norm is not finite, or if the ranks have different
 * gradients. */
px_status px_trainer_collect(px_trainer *trainer);
/* Fails with PX_ERR_NUMERIC: WHAT of step `step` is not finite. Rejects the checkpoints from step `bad` on, and names
 * the newest one before it in the message. All ranks call it. */
px_status px_trainer_fail_not_finite(px_trainer *trainer, int64_t step, int64_t bad, const char *what);

/* ---- Actions between steps, called on all ranks ---- */

/* Writes a line of training metrics: means since the previous line. */
px_status px_trainer_log(px_trainer *trainer);
/* On rank 0: saves the checkpoint of this step, or only its state if it exists, and prunes older ones. */
px_status px_trainer_save(px_trainer *trainer);
/* px_trainer_save, and logs the seconds that it took. */
px_status px_trainer_checkpoint(px_trainer *trainer);
/* Runs the evaluation and draws the samples that state.evaluation_due and state.samples_due request, then brings the
 * checkpoint of this step up to date. If a stop request ends one of them, it remains due and trainer->stop is set. */
px_status px_trainer_evaluate_and_sample(px_trainer *trainer);
/* If data.test is due, evaluates the best checkpoint on it, whose weights become the model's. Call it after the last
 * step, when its checkpoint is saved. If a stop request ends it, it remains due and trainer->stop is set. */
px_status px_trainer_test(px_trainer *trainer);
/* The name of a metric of a split: "validation/nats_per_image". */
enum { PX_METRIC_NAME = 48 };
static inline void px_trainer_metric_name(px_split split, const char *metric, char name[PX_METRIC_NAME]) {
    snprintf(name, PX_METRIC_NAME, "%s/%s", px_split_name(split), metric);
}
/* Broadcasts rank 0's weights. All ranks call it. */
px_status px_trainer_broadcast_weights(px_trainer *trainer);

/* Adds an object named "data" that identifies the images of a run (checkpoint.c). */
struct cJSON;
void px_state_add_data(struct cJSON *json, const px_train_state *state);

#endif
