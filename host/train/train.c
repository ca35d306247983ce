/* Training: the learning rate, one step, and the loop over steps. */
#include "host/train/trainer.h"
#include "host/io/clock.h"
#include "host/model/internal.h"
#include <math.h>

double px_learning_rate(const px_config *config, int64_t step) {
    const double rate = config->train.learning_rate;
    const int64_t warmup = config->train.warmup_steps;
    if (step < warmup) return rate * (double)(step + 1) / (double)warmup;
    if (config->train.schedule == PX_SCHEDULE_STEP)
        return rate * pow(config->train.decay_factor, (double)((step - warmup) / config->train.decay_every));
    if (config->train.schedule == PX_SCHEDULE_COSINE) {
        const double left = (double)(config->train.steps - warmup);
        const double progress = left > 0 ? (double)(step - warmup) / left : 1;
        const double wave = 0.5 * (1 + cos(3.141592653589793 * fmin(progress, 1)));
        return rate * (config->train.final_rate + (1 - config->train.final_rate) * wave);
    }
    return rate;
}

/* The model's gradient hook: adds the gradients of the other micro-batches, then starts to sum over the ranks. */
static px_status gradients_ready(void *step, size_t first) {
    px_step *s = step;
    PX_TRY(px_accumulation_finish(s->accumulation, first));
    return s->reduction ? px_reduction_ready(s->reduction, first) : PX_OK;
}

static px_status forward_backward_reduce_update(px_step *s) {
    px_accumulation_begin(s->accumulation);
    px_reduction_begin(s->reduction);
    PX_TRY(px_model_loss(s->model, true));     /* nats of each image, and the gradient of the logits */
    PX_TRY(px_model_backward(s->model));       /* calls gradients_ready for gradients that are final */
    PX_TRY(px_reduction_finish(s->reduction)); /* then the gradients are sums over all ranks */
    return px_optimizer_update(s->optimizer);  /* clips gradients, updates the weights and their average */
}

/* What a step changes, and its results. */
static px_proof_state state_of(const px_step *s) {
    px_optimizer_state states[PX_OPTIMIZER_STATES];
    const int count = px_optimizer_states(s->optimizer, states);
    px_proof_state state = {.tensor = {px_model_weights(s->model), px_model_compute_weights(s->model),
                                       px_model_nats_tensor(s->model), px_optimizer_norm(s->optimizer)}};
    for (state.count = 4; state.count < 4 + count; state.count++)
        state.tensor[state.count] = states[state.count - 4].tensor;
    if (s->reduction) state.tensor[state.count++] = px_reduction_norm(s->reduction);
    px_model_add_temporaries(s->model, &state);
    return state;
}

px_status px_step_run(px_step *s, const uint8_t *levels, const uint8_t *conditions, int images, int64_t update,
                      double rate) {
    px_device *device = px_model_device(s->model);
    const px_model_spec *spec = px_model_spec_of(s->model);
    const int last = px_accumulation_parts(s->accumulation) - 1, part_images = images / (last + 1);
    const size_t part = (size_t)part_images;
    const size_t part_bytes = part * (size_t)spec->height * (size_t)spec->width * (size_t)spec->channels;
    const size_t part_conditions = part *
                                   px_condition_bytes(&spec->condition, spec->height, spec->width, spec->channels);
    px_status status = PX_OK;
    for (int p = 0; p < last; p++) {
        PX_TRY(px_accumulation_add(s->accumulation, p, levels, conditions));
        levels += part_bytes;
        if (conditions) conditions += part_conditions;
    }
    px_model_set_gradient_hook(s->model, gradients_ready, s);
    PX_TRY(px_model_upload_batch(s->model, levels, conditions, part_images));
    PX_TRY(px_optimizer_upload_scalars(s->optimizer, update, rate));
    const px_graph_key key = px_model_graph_key(s->model);
    const px_proof_state state = state_of(s);
    while (px_graph_issue(&s->graph, device, &key, &state, &status)) status = forward_backward_reduce_update(s);
    return status == PX_OK ? px_accumulation_keep_nats(s->accumulation, last) : status;
}

px_tensor px_step_nats(const px_step *s) {
    return s->accumulation ? px_accumulation_nats(s->accumulation) : px_model_nats_tensor(s->model);
}

/* Whether an action that runs every `every` steps is due after `step` steps. After the last step all are; 0 means only
 * then. */
static bool is_due(const px_trainer *t, int64_t step, int64_t every) {
    return step == t->config->train.steps || (every > 0 && step % every == 0);
}

/* Collects the results of steps until those of step number `step`. */
static px_status collect_to(px_trainer *t, int64_t step) {
    while (t->state.step < step) {
        PX_TRY(px_trainer_collect(t));
        if (is_due(t, t->state.step, t->config->train.log_every)) PX_TRY(px_trainer_log(t));
    }
    return PX_OK;
}

/* The actions that need the weights of the step that was issued last. */
static px_status run_actions(px_trainer *t) {
    const px_config *c = t->config;
    const bool checkpoint = is_due(t, t->issued, c->train.checkpoint_every);
    const bool evaluation = px_trainer_evaluated(t) && is_due(t, t->issued, c->train.evaluate_every);
    const bool samples = c->train.samples > 0 && is_due(t, t->issued, c->train.sample_every);
    t->state.evaluation_due = evaluation;
    t->state.samples_due = samples;
    if (!checkpoint && !evaluation && !samples) return PX_OK;
    PX_TRY(collect_to(t, t->issued));
    if (checkpoint) PX_TRY(px_trainer_checkpoint(t));
    PX_TRY(px_trainer_evaluate_and_sample(t));
    t->step_began = px_clock_seconds();
    return PX_OK;
}

/* The host issues a step before it reads the results of the step before, so that the device need not wait for it. */
static px_status train_loop(px_trainer *t) {
    PX_TRY(px_trainer_evaluate_and_sample(t)); /* if a stop prevented it at the checkpoint's step */
    t->issued = t->state.step;
    t->step_began = px_clock_seconds();
    while (t->issued < t->config->train.steps && t->stop == PX_OK) {
        px_batch batch;
        PX_TRY(px_loader_next(t->loader, t->issued, &batch));
        PX_TRY(px_step_run(&t->step, batch.levels, batch.conditions, batch.images, t->issued + 1,
                           px_learning_rate(t->config, t->issued)));
        PX_TRY(px_trainer_issued(t));
        PX_TRY(collect_to(t, t->issued - 1)); /* loss and gradient norm of all ranks */
        PX_TRY(run_actions(t));
    }
    PX_TRY(collect_to(t, t->issued));
    PX_TRY(px_ranks_agree(t->ranks, px_trainer_save(t))); /* no rank leaves before rank 0 has saved */
    return px_trainer_test(t);
}

px_status px_train(px_device *device, const px_train_options *options, px_train_result *result) {
    px_trainer trainer = {.ctx = device->ctx,
                          .device = device,
                          .config = options->config,
                          .options = options,
                          .ranks = options->ranks,
                          .root = px_ranks_rank(options->ranks) == 0,
                          .result = result};
    *result = (px_train_result){0};
    px_status status = px_trainer_open(&trainer);
    if (status == PX_OK) {
        px_progress_begin(&trainer.progress, options->out, "train", trainer.state.step, options->config->train.steps);
        trainer.progress.images = (double)options->config->train.batch_size;
        status = train_loop(&trainer);
        px_progress_clear(&trainer.progress);
    }
    result->step = trainer.state.step;
    result->figures = trainer.state.figures;
    result->config_saved = trainer.config_written;
    if (!px_trainer_is_complete(&trainer)) result->stop = trainer.stop;
    px_trainer_close(&trainer);
    return status;
}
