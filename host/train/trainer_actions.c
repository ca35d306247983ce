/* Actions between training steps: metrics, checkpoints, evaluations, samples. */
#include "host/train/trainer.h"
#include "host/io/clock.h"
#include "pixelrnn/model_file.h"
#include "pixelrnn/sample.h"
#include "host/model/internal.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Runs an action and logs the seconds that it took. They do not count as training steps. */
static px_status timed(px_trainer *t, const char *metric, px_status (*action)(px_trainer *t)) {
    const double started = px_clock_seconds();
    PX_TRY(action(t));
    const px_metric seconds = {metric, px_clock_seconds() - started};
    return t->metrics ? px_metrics_write(t->metrics, t->state.step, &seconds, 1) : PX_OK;
}

/* ---- Metrics ---- */

px_status px_trainer_log(px_trainer *t) {
    const px_model_spec *s = px_model_spec_of(t->model);
    const double nats = t->state.window_nats / (double)t->state.window_steps;
    const double seconds = t->step_seconds - t->window_step_seconds;
    const double steps = (double)(t->state.step - t->window_step);
    const px_reduction_times times = px_reduction_read_times(t->reduction);
    const px_metric metrics[] = {
        {"train/nats_per_image", nats},
        {"train/bits_per_dim", nats / ((double)s->height * s->width * s->channels * log(2))},
        {"learning_rate", px_learning_rate(t->config, t->state.step - 1)},
        {"gradient_norm", t->norm},
        {"step_ms", 1e3 * seconds / steps},
        {"images_per_second", steps * (double)t->config->train.batch_size / seconds},
        {"reduce_ms", 1e3 * times.reduce / steps}, /* the last two only if there are several ranks */
        {"reduce_exposed_ms", 1e3 * times.exposed / steps},
    };
    const int count = (int)(sizeof metrics / sizeof *metrics) - (t->reduction ? 0 : 2);
    if (t->metrics) PX_TRY(px_metrics_write(t->metrics, t->state.step, metrics, count));
    char warning[PX_DEVICE_WARNING];
    if (px_device_warning(t->device, warning)) px_progress_line(&t->progress, "%s", warning);
    t->state.window_nats = 0;
    t->state.window_steps = 0;
    t->window_step_seconds = t->step_seconds;
    t->window_step = t->state.step;
    return PX_OK;
}

/* ---- Checkpoints ---- */

static bool is_best(const px_trainer *t) {
    const px_train_figures *f = &t->state.figures;
    return f->best_step == t->state.step && isfinite(f->best_nats_per_image);
}

static px_status save(px_trainer *t) {
    const char *run = t->options->run;
    PX_TRY(px_checkpoint_save(run, t->model, t->optimizer, t->config, &t->state));
    if (is_best(t)) PX_TRY(px_checkpoint_mark(t->ctx, run, "best", t->state.step));
    /* Until the evaluation is done, the best checkpoint is not known, so none is pruned. */
    if (t->config->train.keep_checkpoints == 0 || t->state.evaluation_due) return PX_OK;
    return px_checkpoint_prune(t->ctx, run, t->config->train.keep_checkpoints, t->state.figures.best_step);
}

px_status px_trainer_save(px_trainer *t) {
    if (!t->root) return PX_OK;
    px_stop_hold(t->options->stop); /* a checkpoint is completed however long it takes */
    const px_status status = save(t);
    px_stop_release(t->options->stop);
    return status;
}

px_status px_trainer_checkpoint(px_trainer *t) { return timed(t, "checkpoint_s", px_trainer_save); }

/* Updates the checkpoint of this step after an action, if there is one. The best step gets one in any case. */
static px_status update_checkpoint(px_trainer *t) {
    if (t->root && px_checkpoint_newest(t->options->run, INT64_MAX) == t->state.step) return px_trainer_save(t);
    return is_best(t) ? px_trainer_checkpoint(t) : PX_OK;
}

/* ---- Evaluation ---- */

/* Writes the result of evaluating a split, and prints it with a sentence about the weights, or "". */
static px_status log_evaluation(px_trainer *t, px_split split, const px_evaluation *e, const char *weights) {
    const double values[] = {e->nats_per_image, e->bits_per_dim, e->standard_error};
    static const char *const suffixes[] = {"nats_per_image", "bits_per_dim", "standard_error"};
    char names[3][PX_METRIC_NAME];
    px_metric metrics[3];
    for (int i = 0; i < 3; i++) {
        px_trainer_metric_name(split, suffixes[i], names[i]);
        metrics[i] = (px_metric){names[i], values[i]};
    }
    if (t->metrics) PX_TRY(px_metrics_write(t->metrics, t->state.step, metrics, 3));
    px_progress_line(&t->progress, "step %lld: %s %.3f nats/image, %.4f bits/dim%s", (long long)t->state.step,
                     px_split_name(split), e->nats_per_image, e->bits_per_dim, weights);
    return PX_OK;
}

static px_status evaluate(px_trainer *t) {
    px_train_figures *f = &t->state.figures;
    const px_evaluate_options options = px_trainer_evaluation(t, t->config->train.evaluate_images);
    char what[48], independent[64];
    px_evaluation e;
    PX_TRY(px_model_use_weights(t->model, px_optimizer_average(t->optimizer)));
    const px_status status = px_evaluate(t->model, px_trainer_evaluated(t), &options, NULL, NULL, &e);
    PX_TRY(px_model_use_weights(t->model, (px_tensor){0}));
    snprintf(what, sizeof what, "NLL of the %s set", px_split_name(t->evaluated));
    if (status == PX_ERR_NUMERIC) return px_trainer_fail_not_finite(t, t->state.step, t->state.step, what);
    PX_TRY(status);
    snprintf(independent, sizeof independent, " (independent pixels %.3f)", f->independent.nats_per_image);
    PX_TRY(log_evaluation(t, t->evaluated, &e, independent));
    t->state.evaluation_due = false;
    f->evaluation = e;
    if (e.nats_per_image < f->best_nats_per_image) {
        f->best_nats_per_image = e.nats_per_image;
        f->best_step = t->state.step;
    }
    return PX_OK;
}

/* The step of the best checkpoint, or of the last one if no evaluation has chosen one. */
static int64_t best_step(const px_trainer *t) {
    const px_train_figures *f = &t->state.figures;
    return isfinite(f->best_nats_per_image) ? f->best_step : t->state.step;
}

/* Reads the weights of the best checkpoint into the model, on all ranks. */
static px_status load_best(px_trainer *t) {
    char path[PX_PATH];
    px_status status = px_checkpoint_path(t->ctx, t->options->run, best_step(t), "/model.safetensors", path);
    if (status == PX_OK && t->root) status = px_model_file_load_weights(path, t->model);
    PX_TRY(px_ranks_agree(t->ranks, status));
    return px_trainer_broadcast_weights(t);
}

static px_status test(px_trainer *t) {
    const px_evaluate_options options = px_trainer_evaluation(t, 0);
    px_evaluation e;
    char weights[64];
    PX_TRY(load_best(t));
    PX_TRY(px_evaluate(t->model, t->data[PX_SPLIT_TEST], &options, NULL, NULL, &e));
    snprintf(weights, sizeof weights, " (checkpoint of step %lld)", (long long)best_step(t));
    PX_TRY(log_evaluation(t, PX_SPLIT_TEST, &e, weights));
    t->state.figures.test = e;
    return px_trainer_save(t);
}

/* ---- Samples ---- */

/* The bytes of an image, and of its condition. */
static size_t image_bytes_of(const px_model_spec *s) {
    return (size_t)s->height * (size_t)s->width * (size_t)s->channels;
}
static size_t condition_bytes_of(const px_model_spec *s) {
    return px_condition_bytes(&s->condition, s->height, s->width, s->channels);
}

/* Samples all images, as many at a time as the sampler can. pixels: [samples, H, W, C], 8-bit. */
static px_status draw_samples(px_trainer *t, uint8_t *pixels) {
    const px_model_spec *s = px_model_spec_of(t->model);
    const size_t image_bytes = image_bytes_of(s), condition_bytes = condition_bytes_of(s);
    const uint8_t *conditions = t->sample_conditions;
    const int capacity = px_sampler_capacity(t->sampler), count = px_trainer_samples(t->config);
    for (int first = 0; first < count; first += capacity) {
        const px_sample_request request = {.seed = px_sample_seed(s, (uint64_t)t->config->seed),
                                           .first_image = (uint64_t)first,
                                           .images = count - first < capacity ? count - first : capacity,
                                           .temperature = 1,
                                           .conditions = conditions ? conditions + (size_t)first * condition_bytes
                                                                    : NULL,
                                           .stop = t->options->stop};
        PX_TRY(px_sample(t->sampler, &request, pixels + (size_t)first * image_bytes, NULL, NULL));
    }
    for (size_t i = 0; i < (size_t)count * image_bytes; i++)
        pixels[i] = px_dequantise(pixels[i], (int)t->config->data.levels);
    return PX_OK;
}

/* Enlarges the smaller image of a condition to H x W, as 8-bit pixels. */
static void enlarge(const px_model_spec *s, const uint8_t *smaller, uint8_t *pixels) {
    const int scale = s->condition.scale, width = s->width / scale;
    for (int i = 0; i < s->height; i++)
        for (int j = 0; j < s->width; j++)
            for (int c = 0; c < s->channels; c++)
                *pixels++ = px_dequantise(smaller[(i / scale * width + j / scale) * s->channels + c], s->levels);
}

/* Writes samples/STEP.png and the TensorBoard image. pixels: [samples, H, W, C], of which those of a condition image
 * come in pairs: the smaller image, then the sample. */
static px_status write_samples(px_trainer *t, const uint8_t *pixels) {
    const px_model_spec *s = px_model_spec_of(t->model);
    px_grid_layout layout = {
        .images = px_trainer_samples(t->config), .height = s->height, .width = s->width, .channels = s->channels};
    char path[PX_PATH];
    void *png;
    size_t bytes;
    int height, width;
    if (s->condition.kind == PX_CONDITION_CLASS) layout.rows = s->condition.classes;
    if (s->condition.kind == PX_CONDITION_IMAGE) {
        layout.columns = 2 * (int)ceil(sqrt(layout.images / 2.0)); /* about as many rows */
        layout.images *= 2;
    }
    PX_TRY(px_file_path(t->ctx, path, "%s/samples/%09lld.png", t->options->run, (long long)t->state.step));
    PX_TRY(px_png_grid(t->ctx, pixels, &layout, &png, &bytes, &height, &width));
    px_status status = px_file_write_whole(t->ctx, path, png, bytes);
    if (status == PX_OK)
        status = px_metrics_image(t->metrics, t->state.step, "samples", png, bytes, height, width, s->channels);
    free(png);
    return status;
}

/* Makes pairs of smaller images and samples, in the memory of the samples, which has room for them. */
static void pair_with_smaller(const px_trainer *t, uint8_t *pixels) {
    const px_model_spec *s = px_model_spec_of(t->model);
    const size_t bytes = image_bytes_of(s);
    for (size_t n = (size_t)px_trainer_samples(t->config); n-- > 0;) {
        memmove(pixels + (2 * n + 1) * bytes, pixels + n * bytes, bytes);
        enlarge(s, t->sample_conditions + n * condition_bytes_of(s), pixels + 2 * n * bytes);
    }
}

static px_status sample_on_root(px_trainer *t) {
    const px_model_spec *s = px_model_spec_of(t->model);
    const bool pairs = s->condition.kind == PX_CONDITION_IMAGE;
    const size_t bytes = (size_t)px_trainer_samples(t->config) * image_bytes_of(s) * (pairs ? 2 : 1);
    uint8_t *pixels = malloc(bytes);
    if (!pixels) return px_fail_memory(t->ctx, "samples", bytes);
    px_status status = px_model_use_weights(t->model, px_optimizer_average(t->optimizer));
    if (status == PX_OK) status = draw_samples(t, pixels);
    if (status == PX_OK && pairs) pair_with_smaller(t, pixels);
    const px_status restored = px_model_use_weights(t->model, (px_tensor){0}); /* after a stop, too */
    if (status == PX_OK) status = restored;
    px_stop_hold(t->options->stop); /* a large image takes long to write, and this step may have no checkpoint yet */
    if (status == PX_OK) status = write_samples(t, pixels);
    px_stop_release(t->options->stop);
    free(pixels);
    return status;
}

static px_status sample(px_trainer *t) { return px_ranks_agree(t->ranks, t->root ? sample_on_root(t) : PX_OK); }

/* ---- Both ---- */

/* The status of an action on all ranks. A stop request is no failure: the loop ends and saves. */
static px_status accept_stop(px_trainer *t, px_status status) {
    if (!px_status_is_stop(status)) return status;
    t->stop = status;
    px_stop_request(t->options->stop, status); /* the request may have been made on another rank only */
    px_stop_poll(t->options->stop);
    return PX_OK;
}

px_status px_trainer_evaluate_and_sample(px_trainer *t) {
    px_train_state *s = &t->state;
    if (s->evaluation_due && px_trainer_evaluated(t) && t->stop == PX_OK) {
        PX_TRY(accept_stop(t, timed(t, "evaluate_s", evaluate)));
        if (!s->evaluation_due) PX_TRY(update_checkpoint(t));
    }
    if (s->samples_due && t->config->train.samples > 0 && t->stop == PX_OK) {
        PX_TRY(accept_stop(t, timed(t, "sample_s", sample)));
        s->samples_due = t->stop != PX_OK;
        if (!s->samples_due) PX_TRY(update_checkpoint(t));
    }
    return PX_OK;
}

px_status px_trainer_test(px_trainer *t) {
    if (t->stop != PX_OK || t->state.step < t->config->train.steps || !px_trainer_test_is_due(t)) return PX_OK;
    return accept_stop(t, timed(t, "test_s", test));
}
