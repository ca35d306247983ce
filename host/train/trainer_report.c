/* What a training step leaves behind: metrics, evaluations, samples, checkpoints. */
#include "host/train/trainer.h"
#include "host/io/clock.h"
#include "pixelrnn/sample.h"
#include "host/model/internal.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A thing due every so many steps, and always after the last; 0: only then. */
static bool px_due(const px_trainer *t, int64_t every) {
    return t->state.step == t->config->train.steps || (every > 0 && t->state.step % every == 0);
}

static double px_bits_per_dim(const px_trainer *t, double nats) {
    const px_model_spec *s = px_model_spec_of(t->model);
    return nats / ((double)s->height * s->width * s->channels * log(2));
}

/* What a rank tells the others after a step. */
typedef struct step_statistics {
    double nats;     /* sum over its share of the batch */
    double norm;     /* of the summed gradients: the same on all ranks, or they train different models */
    double own_norm; /* of its own gradients */
    double stop;     /* a px_status: how it was asked to stop, or PX_OK */
} step_statistics;

static px_status add_step_statistics(px_trainer *t, step_statistics *mine) {
    PX_TRY(px_model_nats(t->model, t->nats));
    *mine = (step_statistics){.stop = px_stop_poll(t->options->stop)};
    PX_TRY(px_optimizer_norm(t->optimizer, &mine->norm));
    mine->own_norm = mine->norm;
    if (t->reduction) PX_TRY(px_reduction_norm(t->reduction, &mine->own_norm));
    for (size_t i = 0; i < t->share.count; i++) mine->nats += t->nats[i];
    return PX_OK;
}

/* The failure of step `step`; checkpoints from `bad` on hold weights that are not good, and are set aside. */
static px_status not_finite(px_trainer *t, int64_t step, int64_t bad, const char *what) {
    const int64_t good = px_checkpoint_newest_before(t->options->run, bad);
    char where[PX_PATH] = "none";
    if (t->root) (void)px_trainer_reject(t, bad); /* what cannot be renamed, a resumed run comes to again */
    if (good >= 0) PX_TRY(px_checkpoint_path(t->ctx, t->options->run, good, where));
    if (good >= 0 && t->root) (void)px_checkpoint_mark_newest(t->ctx, t->options->run, good); /* links are for people */
    return px_fail(t->ctx, PX_ERR_NUMERIC, "step %lld: the %s is not finite; last good checkpoint: %s", (long long)step,
                   what, where);
}

/* "loss", or of which rank. */
static px_status not_finite_on(px_trainer *t, int64_t bad, const char *what, int rank) {
    char whose[2 * PX_RANK_NAME], name[PX_RANK_NAME];
    px_ranks_name(t->ranks, rank, name);
    snprintf(whose, sizeof whose, "%s%s%s", what, t->ranks ? " of " : "", t->ranks ? name : "");
    return px_ranks_agree(t->ranks, not_finite(t, t->state.step + 1, bad, whose));
}

/* What all ranks say together; *nats becomes the batch's. */
static px_status collect_step_statistics(px_trainer *t, const step_statistics *accounts, double *nats) {
    const int count = px_ranks_count(t->ranks);
    const int64_t step = t->state.step;
    *nats = 0;
    for (int r = 0; r < count; r++) {
        if (!isfinite(accounts[r].nats)) return not_finite_on(t, step, "loss", r);
        *nats += accounts[r].nats;
        if ((px_status)accounts[r].stop > t->stop) t->stop = (px_status)accounts[r].stop;
    }
    for (int r = 0; r < count; r++)
        if (!isfinite(accounts[r].own_norm)) return not_finite_on(t, step + 1, "norm of the gradients", r);
    if (!isfinite(accounts[0].norm))
        return px_ranks_agree(t->ranks, not_finite(t, step + 1, step + 1, "norm of the gradients"));
    for (int r = 1; r < count; r++) {
        if (accounts[r].norm == accounts[0].norm) continue;
        char name[PX_RANK_NAME];
        px_ranks_name(t->ranks, r, name);
        return px_ranks_agree(t->ranks, px_fail(t->ctx, PX_ERR_NUMERIC,
                                                "step %lld: %s has gradients of norm %.17g, expected %.17g as rank 0",
                                                (long long)step + 1, name, accounts[r].norm, accounts[0].norm));
    }
    return PX_OK;
}

/* Everyone's account, and the mean NLL of the batch. */
static px_status gather_step_statistics(px_trainer *t, double *mean) {
    const size_t count = (size_t)px_ranks_count(t->ranks);
    step_statistics *accounts = calloc(count, sizeof *accounts);
    if (!accounts) return px_fail(t->ctx, PX_ERR_MEMORY, "train: no memory for %zu accounts", count);
    px_status status = add_step_statistics(t, &accounts[px_ranks_rank(t->ranks)]);
    if (status == PX_OK) status = px_ranks_gather(t->ranks, accounts, count, 1, sizeof *accounts);
    if (status == PX_OK) status = collect_step_statistics(t, accounts, mean);
    *mean /= (double)t->config->train.batch_size;
    free(accounts);
    return status;
}

px_status px_trainer_collect(px_trainer *t) {
    double mean = 0;
    PX_TRY(gather_step_statistics(t, &mean));
    t->state.step++;
    t->state.window_nats += mean;
    t->state.window_steps++;
    t->busy += px_clock_seconds() - t->step_started;
    if (t->root) PX_TRY(px_trainer_write_config(t));
    char detail[96];
    const int64_t images = t->config->train.batch_size;
    const double seconds = t->busy - t->window_busy;
    const double rate = (double)((t->state.step - t->window_step) * images) / (seconds > 0 ? seconds : 1);
    snprintf(detail, sizeof detail, "%.3f nats/image  %.0f images/s",
             t->state.window_nats / (double)t->state.window_steps, rate);
    t->progress.busy = t->busy;
    px_progress_update(&t->progress, t->state.step, detail);
    return PX_OK;
}

static px_status report_metrics(px_trainer *t) {
    double norm;
    PX_TRY(px_optimizer_norm(t->optimizer, &norm));
    const double nats = t->state.window_nats / (double)t->state.window_steps;
    const double seconds = t->busy - t->window_busy;
    const double steps = (double)(t->state.step - t->window_step);
    const px_reduction_times times = px_reduction_read_times(t->reduction);
    const px_metric metrics[] = {
        {"train/nats_per_image", nats},
        {"train/bits_per_dim", px_bits_per_dim(t, nats)},
        {"learning_rate", px_learning_rate(t->config, t->state.step - 1)},
        {"gradient_norm", norm},
        {"step_ms", 1e3 * seconds / steps},
        {"images_per_second", steps * (double)t->config->train.batch_size / seconds},
        {"reduce_ms", 1e3 * times.reduce / steps}, /* these two with several ranks only */
        {"reduce_exposed_ms", 1e3 * times.exposed / steps},
    };
    const int count = (int)(sizeof metrics / sizeof *metrics) - (t->reduction ? 0 : 2);
    if (t->metrics) PX_TRY(px_metrics_write(t->metrics, t->state.step, metrics, count));
    t->state.window_nats = 0;
    t->state.window_steps = 0;
    t->window_busy = t->busy;
    t->window_step = t->state.step;
    return PX_OK;
}

static px_status report_evaluation(px_trainer *t) {
    px_evaluation *e = &t->result->test;
    const px_evaluate_options options = px_trainer_evaluation(t);
    PX_TRY(px_model_use_weights(t->model, px_optimizer_average(t->optimizer)));
    const px_status status = px_evaluate(t->model, t->test, &options, NULL, NULL, e);
    PX_TRY(px_model_use_weights(t->model, (px_tensor){0}));
    if (status == PX_ERR_NUMERIC)
        return px_ranks_agree(t->ranks, not_finite(t, t->state.step, t->state.step, "NLL of the test set"));
    PX_TRY(status);
    t->result->evaluated = true;
    const px_metric metrics[] = {{"test/nats_per_image", e->nats_per_image}, {"test/bits_per_dim", e->bits_per_dim}};
    if (t->metrics) PX_TRY(px_metrics_write(t->metrics, t->state.step, metrics, 2));
    px_progress_line(&t->progress, "step %lld: test %.3f nats/image, %.4f bits/dim (independent pixels %.3f)",
                     (long long)t->state.step, e->nats_per_image, e->bits_per_dim,
                     t->result->independent.nats_per_image);
    t->state.evaluation_due = false;
    if (e->nats_per_image < t->state.best_nats_per_image) {
        t->state.best_nats_per_image = e->nats_per_image;
        t->state.best_step = t->state.step;
    }
    return PX_OK;
}

/* Draws train.samples images into levels, as many at a time as the decoder holds, and makes them 8-bit. */
static px_status make_samples(px_trainer *t, uint8_t *pixels, size_t image_bytes) {
    const int most = px_decoder_capacity(t->decoder), count = (int)t->config->train.samples;
    for (int first = 0; first < count; first += most) {
        const px_sample_request request = {.seed = (uint64_t)t->config->seed,
                                           .first_image = (uint64_t)first,
                                           .images = count - first < most ? count - first : most,
                                           .temperature = 1,
                                           .stop = t->options->stop};
        PX_TRY(px_sample(t->decoder, &request, pixels + (size_t)first * image_bytes, NULL, NULL));
    }
    for (size_t i = 0; i < (size_t)count * image_bytes; i++)
        pixels[i] = px_dequantise(pixels[i], (int)t->config->data.levels);
    return PX_OK;
}

static px_status write_samples(px_trainer *t, const uint8_t *pixels) {
    const px_model_spec *s = px_model_spec_of(t->model);
    const px_grid_layout layout = {
        .images = (int)t->config->train.samples, .height = s->height, .width = s->width, .channels = s->channels};
    char path[PX_PATH];
    void *png;
    size_t bytes;
    int height, width;
    PX_TRY(px_file_path(t->ctx, path, "%s/samples/%09lld.png", t->options->run, (long long)t->state.step));
    PX_TRY(px_png_grid_write(t->ctx, path, pixels, &layout));
    PX_TRY(px_png_grid(t->ctx, pixels, &layout, &png, &bytes, &height, &width));
    const px_status status = px_metrics_image(t->metrics, t->state.step, "samples", png, bytes, height, width,
                                              s->channels);
    free(png);
    return status;
}

static px_status report_samples(px_trainer *t) {
    const px_model_spec *s = px_model_spec_of(t->model);
    const size_t image_bytes = (size_t)s->height * (size_t)s->width * (size_t)s->channels;
    uint8_t *pixels = malloc((size_t)t->config->train.samples * image_bytes);
    if (!pixels)
        return px_fail(t->ctx, PX_ERR_MEMORY, "samples: no memory for %lld images",
                       (long long)t->config->train.samples);
    px_status status = px_model_use_weights(t->model, px_optimizer_average(t->optimizer));
    if (status == PX_OK) status = make_samples(t, pixels, image_bytes);
    const px_status back = px_model_use_weights(t->model, (px_tensor){0}); /* stopped, too: they are to be saved */
    if (status == PX_OK) status = back;
    px_stop_hold(t->options->stop); /* a picture of many images takes long, and this step may have no checkpoint yet */
    if (status == PX_OK) status = write_samples(t, pixels);
    px_stop_release(t->options->stop);
    free(pixels);
    return status;
}

static bool trainer_is_best(const px_trainer *t) {
    return t->state.best_step == t->state.step && isfinite(t->state.best_nats_per_image);
}

static px_status trainer_save_now(px_trainer *t) {
    const char *run = t->options->run;
    PX_TRY(px_checkpoint_save(run, t->model, t->optimizer, t->config, &t->state));
    if (trainer_is_best(t)) PX_TRY(px_checkpoint_mark_best(t->ctx, run, t->state.step));
    /* Before the evaluation it is not known which older one may go. */
    if (t->config->train.keep_checkpoints == 0 || t->state.evaluation_due) return PX_OK;
    return px_checkpoint_prune(t->ctx, run, t->config->train.keep_checkpoints, t->state.best_step);
}

px_status px_trainer_save(px_trainer *t) {
    if (!t->root) return PX_OK;
    px_stop_hold(t->options->stop); /* a checkpoint is not given up for taking long */
    const px_status status = trainer_save_now(t);
    px_stop_release(t->options->stop);
    return status;
}

/* Part of a step's report has ended with `status`, on all ranks. A stop is no failure: the loop ends, and saves. */
static px_status trainer_heed(px_trainer *t, px_status status) {
    if (!px_status_is_stop(status)) return status;
    t->stop = status;
    px_stop_request(t->options->stop, status); /* on this rank, too, and answered here */
    px_stop_poll(t->options->stop);
    return PX_OK;
}

/* Does what is due, and logs the seconds that it took, which no training step holds. */
static px_status trainer_timed(px_trainer *t, const char *name, px_status (*due)(px_trainer *t)) {
    const double begun = px_clock_seconds();
    PX_TRY(due(t));
    const px_metric seconds = {name, px_clock_seconds() - begun};
    return t->metrics ? px_metrics_write(t->metrics, t->state.step, &seconds, 1) : PX_OK;
}

/* Brings what was found at this step into its checkpoint, if it has one; the best step gets one. */
static px_status trainer_update(px_trainer *t) {
    const bool saved = t->root && px_checkpoint_newest(t->options->run) == t->state.step;
    if (saved) return px_trainer_save(t);
    return trainer_is_best(t) ? trainer_timed(t, "checkpoint_s", px_trainer_save) : PX_OK;
}

static px_status report_samples_on_root(px_trainer *t) {
    return px_ranks_agree(t->ranks, t->root ? report_samples(t) : PX_OK);
}

px_status px_trainer_report_due(px_trainer *t) {
    px_train_state *s = &t->state;
    if (s->evaluation_due && t->test && t->stop == PX_OK) {
        PX_TRY(trainer_heed(t, trainer_timed(t, "evaluate_s", report_evaluation)));
        if (!s->evaluation_due) PX_TRY(trainer_update(t));
    }
    if (s->samples_due && t->config->train.samples > 0 && t->stop == PX_OK) {
        PX_TRY(trainer_heed(t, trainer_timed(t, "sample_s", report_samples_on_root)));
        s->samples_due = t->stop != PX_OK;
        if (!s->samples_due) PX_TRY(trainer_update(t));
    }
    return PX_OK;
}

px_status px_trainer_report(px_trainer *t) {
    const px_config *c = t->config;
    if (px_due(t, c->train.log_every)) PX_TRY(report_metrics(t));
    t->state.evaluation_due = t->test && px_due(t, c->train.evaluate_every);
    t->state.samples_due = c->train.samples > 0 && px_due(t, c->train.sample_every);
    if (px_due(t, c->train.checkpoint_every)) PX_TRY(trainer_timed(t, "checkpoint_s", px_trainer_save));
    return px_trainer_report_due(t);
}
