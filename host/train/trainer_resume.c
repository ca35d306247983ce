/* Resuming a run from its newest complete checkpoint. */
#include "host/train/trainer.h"
#include <math.h>
#include <string.h>

/* PX_ERR_CONFIG unless the images of a split are those of the checkpoint. An unknown digest matches any. */
static px_status check_data(px_context *ctx, const char *key, const char *name, const px_source_digest *mine,
                            const char *saved_name, const px_source_digest *saved) {
    char found[PX_DIGEST_TEXT], expected[PX_DIGEST_TEXT];
    if (mine->images == 0 || saved->images == 0 || px_source_digest_same(mine, saved)) return PX_OK;
    px_source_digest_text(mine, found);
    px_source_digest_text(saved, expected);
    return px_fail(
        ctx, PX_ERR_CONFIG,
        "%s: found %.200s with %s; expected %s, as the run had in %.200s; --accept-data resumes nevertheless", key,
        name, found, expected, saved_name);
}

/* Forgets the results that do not belong to these images: the best NLL is that of the split that was evaluated during
 * training, and may be of the other split from now on. */
static void forget_results(px_trainer *t, px_split evaluated_before, const bool same[PX_SPLITS]) {
    px_train_figures *f = &t->state.figures;
    if (t->evaluated != evaluated_before || !same[t->evaluated]) {
        f->best_nats_per_image = INFINITY;
        f->evaluation = (px_evaluation){0};
    }
    if (!same[PX_SPLIT_TEST] || t->state.step < t->config->train.steps) f->test = (px_evaluation){0};
}

/* Compares the images with those of the checkpoint, whose config is `saved`, and makes them those of the run. */
static px_status compare_data(px_trainer *t, const px_config *saved) {
    static const px_split order[PX_SPLITS] = {PX_SPLIT_TRAIN, PX_SPLIT_VALID, PX_SPLIT_TEST};
    static const char *const keys[PX_SPLITS] = {"data.train", "data.validation", "data.test"};
    px_source_digest *digest = t->state.data;
    bool same[PX_SPLITS];
    for (int i = 0; i < PX_SPLITS; i++) {
        const px_split split = order[i];
        const px_status status = check_data(t->ctx, keys[i], px_source_list_of(t->config, split), &t->digest[split],
                                            px_source_list_of(saved, split), &digest[split]);
        if (status != PX_OK && !t->options->accept_data) return status;
        same[split] = status == PX_OK;
        if (t->data[split]) digest[split] = t->digest[split];
    }
    forget_results(t, saved->data.validation[0] ? PX_SPLIT_VALID : PX_SPLIT_TEST, same);
    return PX_OK;
}

/* Loads the newest complete checkpoint and its config. If none is complete, the message is that of the newest. */
static px_status load_newest(px_trainer *t, px_config *saved) {
    const char *run = t->options->run;
    const int64_t newest = px_checkpoint_newest(run, INT64_MAX);
    px_context first_failure = {0};
    for (int64_t step = newest; step >= 0; step = px_checkpoint_newest(run, step)) {
        const px_status status = px_checkpoint_load(run, step, t->model, t->optimizer, &t->state, saved);
        if (status != PX_ERR_FILE && status != PX_ERR_FORMAT) return status;
        if (step == newest) first_failure = *t->ctx;
        fprintf(t->options->out, "warning: checkpoint of step %lld is damaged: %s\n", (long long)step, t->ctx->message);
    }
    return px_fail(t->ctx, PX_ERR_FORMAT, "%.700s; found no whole checkpoint before it", first_failure.message);
}

px_status px_trainer_reject(px_trainer *t, int64_t from) {
    const char *run = t->options->run;
    for (int64_t step; (step = px_checkpoint_newest(run, INT64_MAX)) >= from;) {
        char name[PX_PATH];
        PX_TRY(px_checkpoint_reject(t->ctx, run, step, name));
        px_progress_clear(&t->progress);
        fprintf(t->options->out, "warning: checkpoint of step %lld is now %s\n", (long long)step, name);
    }
    return PX_OK;
}

/* Points newest and best at the steps of the state. The best checkpoint may have been removed or rejected. */
static px_status restore_links(px_trainer *t) {
    const char *run = t->options->run;
    px_train_figures *f = &t->state.figures;
    PX_TRY(px_checkpoint_mark(t->ctx, run, "newest", t->state.step));
    if (!isfinite(f->best_nats_per_image)) return PX_OK;
    if (px_checkpoint_exists(run, f->best_step)) return px_checkpoint_mark(t->ctx, run, "best", f->best_step);
    fprintf(t->options->out, "warning: the best checkpoint, of step %lld, is gone; the next evaluation is the best\n",
            (long long)f->best_step);
    f->best_nats_per_image = INFINITY;
    return PX_OK;
}

static void print_change(void *out, const char *key, const char *before, const char *now) {
    fprintf(out, "; %s %s, now %s", key, before[0] ? before : "\"\"", now[0] ? now : "\"\"");
}

/* Prints one line: the step, and the keys that have changed since the run last took a step. */
static void print_resume(const px_trainer *t) {
    FILE *out = t->options->out;
    const bool complete = px_trainer_is_complete(t);
    fprintf(out, complete ? "complete at step %lld" : "resumed from step %lld", (long long)t->state.step);
    px_config_changes(&t->previous_config, t->config, print_change, out);
    fputc('\n', out);
}

/* Prints a warning if another train.steps moves the schedule, so that the learning rate jumps. */
static void warn_of_jump(const px_trainer *t) {
    const int64_t step = t->state.step, steps = t->config->train.steps;
    px_config before = *t->config;
    before.train.steps = t->previous_config.train.steps;
    const double rate = px_learning_rate(t->config, step), expected = px_learning_rate(&before, step);
    if (step >= steps || fabs(rate - expected) <= 0.01 * expected) return;
    fprintf(t->options->out,
            "warning: train.steps %lld, now %lld, moves the schedule: the learning rate jumps from %.3g to %.3g\n",
            (long long)before.train.steps, (long long)steps, expected, rate);
}

px_status px_trainer_load(px_trainer *t) {
    px_config saved;
    t->state.figures.best_nats_per_image = INFINITY;
    memcpy(t->state.data, t->digest, sizeof t->digest);
    if (px_checkpoint_newest(t->options->run, INT64_MAX) < 0) return PX_OK;
    PX_TRY(load_newest(t, &saved));
    PX_TRY(compare_data(t, &saved));
    t->resumed = true;
    return PX_OK;
}

px_status px_trainer_resume(px_trainer *t) {
    FILE *out = t->options->out;
    if (!t->resumed) PX_TRY(px_trainer_load(t)); /* another process may have trained until now */
    if (!t->resumed) {
        if (t->options->resume) fprintf(out, "found no checkpoint to resume from; starting at step 0\n");
        return PX_OK;
    }
    PX_TRY(px_trainer_reject(t, t->state.step + 1));
    PX_TRY(restore_links(t));
    print_resume(t);
    warn_of_jump(t);
    return PX_OK;
}
