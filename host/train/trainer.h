/* A training run at work: what the loop, its set-up and its reports share. */
#ifndef PIXELRNN_TRAIN_TRAINER_H
#define PIXELRNN_TRAIN_TRAINER_H

#include "pixelrnn/checkpoint.h"
#include "pixelrnn/decoder.h"
#include "pixelrnn/loader.h"
#include "pixelrnn/train.h"

typedef struct px_trainer {
    px_context *ctx;
    px_device *device;
    const px_config *config;
    const px_train_options *options;
    px_source *train, *test; /* test: NULL without data.test */
    px_loader *loader;
    px_model *model;
    px_optimizer *optimizer;
    px_decoder *decoder; /* draws samples; NULL without train.samples */
    px_metrics *metrics;
    px_progress progress;
    px_train_state state;
    px_train_result *result;
    double *nats;          /* of the batch at work */
    double window_started; /* seconds, and the step at which this window's clock started: for rates */
    int64_t window_step;
} px_trainer;

/* How this run evaluates. */
static inline px_evaluate_options px_trainer_evaluation(const px_config *config) {
    return (px_evaluate_options){.batch = (int)config->train.batch_size,
                                 .limit = (size_t)config->train.evaluate_images,
                                 .binarize = config->data.binarize,
                                 .seed = (uint64_t)config->seed,
                                 .levels = (int)config->data.levels};
}

/* Opens data, model, optimiser, run folder and, when resuming, the newest checkpoint. */
px_status px_trainer_open(px_trainer *trainer);
void px_trainer_close(px_trainer *trainer);

/* After an update: takes in the loss (waits for it), then whatever is due at this step: a line of metrics, an evaluation,
 * samples, a checkpoint. */
px_status px_trainer_observe(px_trainer *trainer, int images);
px_status px_trainer_report(px_trainer *trainer);

/* A checkpoint of this step, and the pruning of older ones. */
px_status px_trainer_save(px_trainer *trainer);

#endif
