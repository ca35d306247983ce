/* A training run at work: what the loop, its set-up and its reports share. */
#ifndef PIXELRNN_TRAIN_TRAINER_H
#define PIXELRNN_TRAIN_TRAINER_H

#include "host/io/lock.h"
#include "host/train/checkpoint.h"
#include "pixelrnn/decoder.h"
#include "pixelrnn/loader.h"
#include "host/train/step.h"
#include "pixelrnn/train.h"
#include "host/logging/logging.h"

typedef struct px_trainer {
    px_context *ctx;
    px_device *device;
    const px_config *config;
    const px_train_options *options;
    px_source *train, *test; /* test: NULL without data.test */
    px_loader *loader;
    px_model *model;
    px_optimizer *optimizer;
    px_decoder *decoder; /* of rank 0, draws samples; NULL without train.samples */
    px_ranks *ranks;
    bool root;                                  /* rank 0, which alone touches the run folder */
    px_source_digest train_digest, test_digest; /* of train and test */
    px_config before;         /* when resuming: of the start that last took a step, from config.yaml */
    bool resumed, configured; /* went on from a checkpoint; config.yaml is this start's */
    px_share share;           /* images of each batch that are this rank's */
    px_reduction *reduction;  /* NULL alone */
    px_step *step;            /* of the model by the optimiser, over all ranks */
    px_metrics *metrics;      /* NULL on all ranks but 0 */
    px_status stop;           /* not PX_OK: asked of any rank, and all have agreed to end here */
    px_lock lock;             /* rank 0's, of the run folder */
    px_progress progress;
    px_train_state state;
    px_train_result *result;
    int most;            /* images that the model has room for: the largest share of any rank */
    double *nats;        /* of the share at work */
    double step_started; /* seconds of the clock when the step at work began */
    double busy;         /* seconds in training steps so far */
    double window_busy;  /* busy, and the step, when the window began that the next line of metrics is of */
    int64_t window_step;
} px_trainer;

/* How this run evaluates. */
static inline px_evaluate_options px_trainer_evaluation(const px_trainer *t) {
    return (px_evaluate_options){.batch = t->most,
                                 .limit = (size_t)t->config->train.evaluate_images,
                                 .binarize = t->config->data.binarize,
                                 .seed = (uint64_t)t->config->seed,
                                 .levels = (int)t->config->data.levels,
                                 .ranks = t->ranks,
                                 .stop = t->options->stop};
}

/* Opens data, model, optimiser, run folder and, when resuming, the newest whole checkpoint. */
px_status px_trainer_open(px_trainer *trainer);

/* Loads the newest whole checkpoint, if there is one, and says what differs from the start before. */
px_status px_trainer_resume(px_trainer *trainer);
/* Sets aside the checkpoints from step `from` on, and says so. */
px_status px_trainer_reject(px_trainer *trainer, int64_t from);
/* Writes the record of this start into metrics.jsonl. */
px_status px_trainer_record(px_trainer *trainer);
/* Writes config.yaml, unless this start has done so. */
px_status px_trainer_write_config(px_trainer *trainer);

/* Sees to it that all ranks train one model on one set of images: config and program, then data. */
px_status px_trainer_same_work(px_trainer *trainer);
px_status px_trainer_same_data(px_trainer *trainer);
/* Gives every rank what rank 0 begins with: weights, the optimiser's state, the step. */
px_status px_trainer_broadcast(px_trainer *trainer);
void px_trainer_close(px_trainer *trainer);

/* After an update: takes in the loss (waits for it) and what the other ranks have to say, then whatever is due at this
 * step: a line of metrics, a checkpoint, an evaluation, samples. */
px_status px_trainer_collect(px_trainer *trainer);
px_status px_trainer_report(px_trainer *trainer);
/* The evaluation and the samples that the state says are still due at its step. */
px_status px_trainer_report_due(px_trainer *trainer);

/* On rank 0: a checkpoint of this step as its state is now, and the pruning of older ones. */
px_status px_trainer_save(px_trainer *trainer);

/* Adds an object named data, with what identifies the images of a run. */
struct cJSON;
void px_state_add_data(struct cJSON *json, const px_train_state *state);

#endif
