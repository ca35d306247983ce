/* The statistics of a training step: gathered from all ranks, checked, and added to the state. */
#include "host/train/trainer.h"
#include "host/io/clock.h"
#include "host/model/internal.h"
#include <math.h>
#include <stdlib.h>

/* Each rank sends one of these to all others after a step. */
typedef struct step_statistics {
    double nats;     /* sum over the rank's share of the batch */
    double norm;     /* of the summed gradients; must be the same on all ranks */
    double own_norm; /* of the rank's own gradients, before they were summed */
    double stop;     /* px_status: PX_OK, or the stop request that the rank has received */
} step_statistics;

/* The results of a step: the norm, the norm of this rank's own gradients, and the nats of each image. */
enum { NORM, OWN_NORM, NATS };

/* The images of a batch that this rank trains on. */
static int64_t own_images(const px_trainer *t) { return (int64_t)t->share.count * t->config->train.accumulate; }

static double *results_of(const px_trainer *t, int64_t step) {
    return t->results + (step % PX_DEVICE_EVENTS) * (NATS + own_images(t));
}

px_status px_trainer_allocate_results(px_trainer *t) {
    const size_t count = (size_t)(PX_DEVICE_EVENTS * (NATS + own_images(t)));
    void *memory;
    PX_TRY(t->device->ops->allocate_host(t->device, count * sizeof *t->results, &memory));
    t->results = memory;
    return PX_OK;
}

static px_status copy_result(px_trainer *t, double *to, px_tensor from) {
    return t->device->ops->download_async(t->device, to, from.data, px_tensor_bytes(&from));
}

px_status px_trainer_issued(px_trainer *t) {
    double *to = results_of(t, t->issued);
    const px_tensor norm = px_optimizer_norm(t->optimizer);
    PX_TRY(copy_result(t, &to[NORM], norm));
    PX_TRY(copy_result(t, &to[OWN_NORM], t->reduction ? px_reduction_norm(t->reduction) : norm));
    PX_TRY(copy_result(t, &to[NATS], px_step_nats(&t->step)));
    PX_TRY(t->device->ops->event_record(t->device, (int)(t->issued % PX_DEVICE_EVENTS)));
    t->issued++;
    return PX_OK;
}

static px_status own_statistics(px_trainer *t, step_statistics *mine) {
    const double *results = results_of(t, t->state.step);
    PX_TRY(t->device->ops->event_wait(t->device, (int)(t->state.step % PX_DEVICE_EVENTS)));
    *mine =
        (step_statistics){.norm = results[NORM], .own_norm = results[OWN_NORM], .stop = px_stop_poll(t->options->stop)};
    for (int64_t i = 0; i < own_images(t); i++) mine->nats += results[NATS + i];
    return PX_OK;
}

px_status px_trainer_fail_not_finite(px_trainer *t, int64_t step, int64_t bad, const char *what) {
    const char *run = t->options->run;
    const int64_t good = px_checkpoint_newest(run, bad);
    char good_path[PX_PATH] = "none";
    /* A failure to rename is ignored: a resumed run reaches the same step and fails there again. */
    if (t->root) (void)px_trainer_reject(t, bad);
    const px_status status = good >= 0 ? px_checkpoint_path(t->ctx, run, good, "", good_path) : PX_OK;
    if (good >= 0 && t->root) (void)px_checkpoint_mark(t->ctx, run, "newest", good); /* the link is never read */
    if (status == PX_OK)
        px_fail(t->ctx, PX_ERR_NUMERIC, "step %lld: the %s is not finite; last good checkpoint: %s", (long long)step,
                what, good_path);
    return px_ranks_agree(t->ranks, status == PX_OK ? PX_ERR_NUMERIC : status);
}

/* The same for the step after the state's, naming the rank. */
static px_status fail_on_rank(px_trainer *t, int64_t bad, const char *what, int rank) {
    char text[2 * PX_RANK_NAME], name[PX_RANK_NAME];
    px_ranks_name(t->ranks, rank, name);
    snprintf(text, sizeof text, "%s%s%s", what, t->ranks ? " of " : "", t->ranks ? name : "");
    return px_trainer_fail_not_finite(t, t->state.step + 1, bad, text);
}

/* PX_ERR_NUMERIC unless all losses and norms are finite and all ranks have the same summed gradients.
 * A loss that is not finite comes from the weights before this step, so their checkpoint is rejected, too. A gradient
 * that is not finite leaves the weights as they were. */
static px_status check_statistics(px_trainer *t, const step_statistics *all) {
    const int count = px_ranks_count(t->ranks);
    const int64_t step = t->state.step;
    for (int r = 0; r < count; r++)
        if (!isfinite(all[r].nats)) return fail_on_rank(t, step, "loss", r);
    for (int r = 0; r < count; r++)
        if (!isfinite(all[r].own_norm)) return fail_on_rank(t, step + 1, "norm of the gradients", r);
    if (!isfinite(all[0].norm)) return px_trainer_fail_not_finite(t, step + 1, step + 1, "norm of the gradients");
    for (int r = 1; r < count; r++) {
        if (all[r].norm == all[0].norm) continue;
        char name[PX_RANK_NAME];
        px_ranks_name(t->ranks, r, name);
        return px_ranks_agree(t->ranks, px_fail(t->ctx, PX_ERR_NUMERIC,
                                                "step %lld: %s has gradients of norm %.17g, expected %.17g as rank 0",
                                                (long long)step + 1, name, all[r].norm, all[0].norm));
    }
    return PX_OK;
}

/* Gathers and checks the statistics. *mean: NLL per image of the whole batch. */
static px_status gather_statistics(px_trainer *t, double *mean) {
    const size_t count = (size_t)px_ranks_count(t->ranks);
    step_statistics *all = calloc(count, sizeof *all);
    if (!all) return px_fail_memory(t->ctx, "train", count * sizeof *all);
    px_status status = own_statistics(t, &all[px_ranks_rank(t->ranks)]);
    if (status == PX_OK) status = px_ranks_gather(t->ranks, all, count, 1, sizeof *all);
    if (status == PX_OK) status = check_statistics(t, all);
    t->norm = all[0].norm;
    for (size_t r = 0; r < count && status == PX_OK; r++) {
        *mean += all[r].nats;
        if ((px_status)all[r].stop > t->stop) t->stop = (px_status)all[r].stop;
    }
    *mean /= (double)t->config->train.batch_size;
    free(all);
    return status;
}

px_status px_trainer_collect(px_trainer *t) {
    double mean = 0;
    char detail[PX_NLL_TEXT];
    PX_TRY(gather_statistics(t, &mean));
    t->state.step++;
    t->state.window_nats += mean;
    t->state.window_steps++;
    const double now = px_clock_seconds();
    t->step_seconds += now - t->step_began;
    t->step_began = now;
    if (t->root) PX_TRY(px_trainer_write_config(t));
    px_nll_text(px_model_spec_of(t->model), t->state.window_nats / (double)t->state.window_steps, detail);
    t->progress.busy = t->step_seconds;
    px_progress_update(&t->progress, t->state.step, detail);
    return PX_OK;
}
