/* Setting a training run up: data, model, optimiser, run folder, resuming. */
#include "host/train/trainer.h"
#include "pixelrnn/model_file.h"
#include "host/model/internal.h"
#include <stdlib.h>
#include <string.h>

/* What the images lose on their way to the model, in one line. */
static void trainer_say_conversion(const px_trainer *t, const px_source *source) {
    char line[PX_CONVERSION];
    if (px_source_conversion(source, (int)t->config->data.levels, line)) fprintf(t->options->out, "%s\n", line);
}

static px_status trainer_open_data(px_trainer *t) {
    const px_config *c = t->config;
    if (!c->data.train[0])
        return px_fail(t->ctx, PX_ERR_CONFIG, "data.train: found nothing, expected images to train on");
    px_source_options options = px_source_options_of(c, PX_SPLIT_TRAIN, PX_ACCESS_ANY);
    PX_TRY(px_source_open_list(t->ctx, c->data.train, &options, &t->train));
    trainer_say_conversion(t, t->train);
    t->result->entropy = t->train->entropy;
    if (!c->data.test[0]) return PX_OK;
    options.split = PX_SPLIT_TEST;
    PX_TRY(px_source_open_list(t->ctx, c->data.test, &options, &t->test));
    if (strcmp(c->data.train, c->data.test) != 0) trainer_say_conversion(t, t->test);
    return PX_OK;
}

enum { PX_SAMPLES_AT_ONCE = 64 };

static px_status trainer_open_model(px_trainer *t) {
    const px_config *c = t->config;
    const px_model_spec spec = px_model_spec_from(c, t->train->height, t->train->width, t->train->channels);
    const px_optimizer_spec rule = {.kind = (px_optimizer_kind)c->train.optimizer,
                                    .rho = c->train.rho,
                                    .beta1 = c->train.beta1,
                                    .beta2 = c->train.beta2,
                                    .epsilon = c->train.epsilon,
                                    .clip_norm = c->train.clip_norm,
                                    .ema_decay = c->train.ema_decay};
    PX_TRY(px_model_create(t->device, &spec, &t->model));
    PX_TRY(px_model_reserve(t->model, t->most, PX_PURPOSE_TRAIN));
    PX_TRY(px_model_initialise(t->model, (uint64_t)c->seed));
    if (t->options->init && t->root) PX_TRY(px_model_file_load_weights(t->options->init, t->model));
    PX_TRY(px_optimizer_create(t->model, &rule, &t->optimizer));
    const int samples = c->train.samples < PX_SAMPLES_AT_ONCE ? (int)c->train.samples : PX_SAMPLES_AT_ONCE;
    if (samples > 0 && t->root) PX_TRY(px_decoder_create(t->model, samples, PX_DECODER_RECORDED, &t->decoder));
    t->nats = malloc((size_t)t->most * sizeof *t->nats);
    if (!t->nats) return px_fail(t->ctx, PX_ERR_MEMORY, "train: cannot allocate the batch's figures");
    const px_loader_options order = {.levels = spec.levels,
                                     .batch_size = (int)c->train.batch_size,
                                     .first = (int)t->share.first,
                                     .share = (int)t->share.count,
                                     .order = c->data.shuffle ? PX_LOADER_SHUFFLED : PX_LOADER_ORDERED,
                                     .seed = (uint64_t)c->seed,
                                     .flip = c->data.flip,
                                     .binarize = c->data.binarize};
    return px_loader_open(t->ctx, t->device, t->train, &order, &t->loader);
}

px_status px_trainer_write_config(px_trainer *t) {
    char path[PX_PATH];
    if (t->configured) return PX_OK;
    PX_TRY(px_file_path(t->ctx, path, "%s/config.yaml", t->options->run));
    char *text = px_config_text(t->config);
    if (!text) return px_fail(t->ctx, PX_ERR_MEMORY, "%s: no memory", path);
    const px_status status = px_file_write_text(t->ctx, path, text);
    free(text);
    t->configured = status == PX_OK;
    return status;
}

/* The config of the run to be resumed must agree with the one given. */
static px_status trainer_check_config(px_trainer *t) {
    char path[PX_PATH];
    PX_TRY(px_file_path(t->ctx, path, "%s/config.yaml", t->options->run));
    px_config_default(&t->before);
    PX_TRY(px_config_load(t->ctx, path, &t->before));
    return px_config_check_resume(t->ctx, path, &t->before, t->config);
}

/* Locks the run folder, once there is one. */
static px_status trainer_lock(px_trainer *t) {
    char path[PX_PATH];
    if (t->lock.path[0] || !px_file_is_folder(t->options->run)) return PX_OK;
    PX_TRY(px_file_path(t->ctx, path, "%s/lock", t->options->run));
    PX_TRY(px_lock_acquire(t->ctx, path, &t->lock));
    if (t->lock.warning[0]) fprintf(t->options->out, "%s\n", t->lock.warning);
    return PX_OK;
}

/* Refuses to begin where another process is at work or where a run lies, and to resume with another config than it was
 * begun with. */
static px_status trainer_check_run(px_trainer *t) {
    const char *run = t->options->run;
    PX_TRY(trainer_lock(t));
    PX_TRY(px_file_check_folder(t->ctx, run));
    const int64_t newest = px_checkpoint_newest(run);
    if (newest < 0) return PX_OK;
    if (t->options->resume) return trainer_check_config(t);
    return px_fail(
        t->ctx, PX_ERR_USAGE,
        "%s: already holds a run, trained to step %lld; --resume goes on with it, another -o begins a new one", run,
        (long long)newest);
}

/* A fresh run, or the newest whole checkpoint of an old one. */
static px_status trainer_open_run(px_trainer *t) {
    const char *run = t->options->run;
    char folder[PX_PATH];
    PX_TRY(px_file_make_folder(t->ctx, run));
    PX_TRY(trainer_check_run(t)); /* again: another process may have begun meanwhile */
    PX_TRY(px_trainer_resume(t));
    PX_TRY(px_file_path(t->ctx, folder, "%s/checkpoints", run));
    PX_TRY(px_file_make_folder(t->ctx, folder));
    PX_TRY(px_file_path(t->ctx, folder, "%s/samples", run));
    PX_TRY(px_file_make_folder(t->ctx, folder));
    PX_TRY(px_checkpoint_prune(t->ctx, run, 0, 0));
    if (px_checkpoint_try_link(t->ctx, run) != PX_OK)
        fprintf(t->options->out, "warning: %s: best and newest are text files there\n", t->ctx->message);
    if (!t->resumed) PX_TRY(px_trainer_write_config(t)); /* else the first step does */
    if (t->state.evaluation_due) PX_TRY(px_metrics_forget(t->ctx, run, t->state.step, "test/nats_per_image"));
    PX_TRY(px_metrics_open(t->ctx, run, t->state.step, &t->metrics));
    return px_trainer_record(t);
}

/* Test images must be of the training images' size. */
static px_status trainer_same_size(px_trainer *t) {
    const px_model_spec spec = px_model_spec_from(t->config, t->train->height, t->train->width, t->train->channels);
    return px_evaluate_check(t->ctx, &spec, t->test);
}

/* What is known of the data before a step is taken. */
static px_status trainer_baseline(px_trainer *t) {
    if (!t->test || !t->root) return PX_OK;
    const px_evaluate_options options = px_trainer_evaluation(t);
    if (options.limit > 0 && options.limit < t->test->count)
        fprintf(t->options->out, "evaluating %zu of the %zu images of %s, chosen by the seed\n", options.limit,
                t->test->count, t->test->name);
    return px_evaluate_independent(t->device, t->train, t->test, &options, &t->result->independent);
}

/* This rank's share of a batch, and that of the rank that has most. */
static px_status trainer_divide(px_trainer *t) {
    const int images = (int)t->config->train.batch_size, ranks = px_ranks_count(t->ranks);
    if (images < ranks)
        return px_fail(t->ctx, PX_ERR_CONFIG,
                       "train.batch_size: found %d, expected at least one image for each of %d ranks", images, ranks);
    t->share = px_ranks_share(t->ranks, (size_t)images, 1);
    t->most = (images + ranks - 1) / ranks;
    return PX_OK;
}

/* A step sums the gradients of all ranks over the whole batch. */
static px_status trainer_open_step(px_trainer *t) {
    const double bucket = t->config->parallel.bucket_mib * (1 << 20);
    PX_TRY(px_reduction_create(t->ranks, t->device, px_model_gradients(t->model), (size_t)bucket, &t->reduction));
    px_model_set_global_batch(t->model, (int)t->config->train.batch_size);
    return px_step_create(t->model, t->optimizer, t->reduction, &t->step);
}

static px_status trainer_open_images(px_trainer *t) {
    PX_TRY(trainer_divide(t));
    PX_TRY(trainer_open_data(t));
    return t->test ? trainer_same_size(t) : PX_OK;
}

/* A stop asked for during the set-up, before anything was changed. */
static px_status trainer_stopped(px_trainer *t) {
    const px_status asked = px_stop_poll(t->options->stop);
    return asked == PX_OK ? PX_OK : px_fail(t->ctx, asked, "train: stopped before its first step");
}

/* What may fail on one rank alone is agreed on, so that none waits for it. */
px_status px_trainer_open(px_trainer *t) {
    PX_TRY(px_trainer_same_work(t));
    PX_TRY(px_ranks_agree(t->ranks, t->root ? trainer_check_run(t) : PX_OK));
    PX_TRY(px_ranks_agree(t->ranks, trainer_open_images(t)));
    PX_TRY(px_trainer_same_data(t));
    PX_TRY(px_ranks_agree(t->ranks, trainer_baseline(t)));
    PX_TRY(px_ranks_agree(t->ranks, trainer_open_model(t)));
    PX_TRY(trainer_open_step(t));
    PX_TRY(px_ranks_agree(t->ranks, trainer_stopped(t)));
    PX_TRY(px_ranks_agree(t->ranks, t->root ? trainer_open_run(t) : PX_OK));
    return px_trainer_broadcast(t);
}

void px_trainer_close(px_trainer *t) {
    px_metrics_close(t->metrics);
    px_step_destroy(t->step);
    px_reduction_destroy(t->reduction);
    px_loader_close(t->loader);
    px_decoder_destroy(t->decoder);
    px_optimizer_destroy(t->optimizer);
    px_model_destroy(t->model);
    px_source_close(t->test);
    px_source_close(t->train);
    px_lock_release(&t->lock);
    free(t->nats);
}
