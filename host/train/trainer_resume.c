/* Resuming a run from its newest complete checkpoint. */
#include "host/train/trainer.h"
#include <math.h>

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

/* Compares the images with those of the checkpoint, whose config is `saved`, and makes them those of the run. The best
 * NLL belongs to the checkpoint's test images, so it is forgotten if they differ. */
static px_status compare_data(px_trainer *t, const px_config *saved) {
    const px_config *c = t->config;
    px_train_state *s = &t->state;
    const px_status train = check_data(t->ctx, "data.train", c->data.train, &t->train_digest, saved->data.train,
                                       &s->train);
    if (train != PX_OK && !t->options->accept_data) return train;
    const px_status test = check_data(t->ctx, "data.test", c->data.test, &t->test_digest, saved->data.test, &s->test);
    if (test != PX_OK && !t->options->accept_data) return test;
    if (test != PX_OK) s->best_nats_per_image = INFINITY;
    s->train = t->train_digest;
    if (t->test) s->test = t->test_digest;
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
    px_train_state *s = &t->state;
    PX_TRY(px_checkpoint_mark(t->ctx, run, "newest", s->step));
    if (!isfinite(s->best_nats_per_image)) return PX_OK;
    if (px_checkpoint_exists(run, s->best_step)) return px_checkpoint_mark(t->ctx, run, "best", s->best_step);
    fprintf(t->options->out, "warning: the best checkpoint, of step %lld, is gone; the next evaluation is the best\n",
            (long long)s->best_step);
    s->best_nats_per_image = INFINITY;
    return PX_OK;
}

static void print_change(void *out, const char *key, const char *before, const char *now) {
    fprintf(out, "changed: %s: %s, was %s\n", key, now[0] ? now : "\"\"", before[0] ? before : "\"\"");
}

px_status px_trainer_resume(px_trainer *t) {
    FILE *out = t->options->out;
    px_config saved;
    t->state.best_nats_per_image = INFINITY;
    t->state.train = t->train_digest;
    t->state.test = t->test_digest;
    if (px_checkpoint_newest(t->options->run, INT64_MAX) < 0) {
        if (t->options->resume) fprintf(out, "found no checkpoint to resume from; starting at step 0\n");
        return PX_OK;
    }
    PX_TRY(load_newest(t, &saved));
    PX_TRY(compare_data(t, &saved));
    PX_TRY(px_trainer_reject(t, t->state.step + 1));
    PX_TRY(restore_links(t));
    t->resumed = true;
    fprintf(out, "resuming after step %lld\n", (long long)t->state.step);
    px_config_changes(&t->previous_config, t->config, print_change, out);
    return PX_OK;
}
