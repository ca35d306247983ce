/* Training runs: images, batches, updates, moving averages, evaluations and samples, and the steps at which they are
 * due. */
#include "tests/oracle/oracle.h"
#include "pixelrnn/source.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *allocate(size_t count, size_t size) {
    void *memory = calloc(count + 1, size);
    if (!memory) abort();
    return memory;
}

static size_t values_of(const oracle_images *images) {
    return (size_t)(images->height * images->width * images->channels);
}

/* ---- Images ---- */

/* Crops the largest square around the centre and reduces it to size x size pixels. The pixels of a block must be equal:
 * test_data tests averages. Grey images get `channels` equal channels. */
static oracle_images convert(oracle_images from, int size, int channels) {
    oracle_images to = {from.count, size ? size : from.height, size ? size : from.width,
                        channels ? channels : from.channels, NULL};
    const int side = from.height < from.width ? from.height : from.width, scale = size ? side / size : 1;
    const int top = size ? (from.height - side) / 2 : 0, left = size ? (from.width - side) / 2 : 0;
    to.pixels = allocate(to.count, values_of(&to));
    uint8_t *pixel = to.pixels;
    for (size_t n = 0; n < to.count; n++)
        for (int i = 0; i < to.height; i++)
            for (int j = 0; j < to.width; j++)
                for (int c = 0; c < to.channels; c++) {
                    const int place = (top + i * scale) * from.width + left + j * scale;
                    *pixel++ = from.pixels[n * values_of(&from) + (size_t)(place * from.channels + c % from.channels)];
                }
    free(from.pixels);
    return to;
}

static oracle_images open_images(const px_config *config, const char *path) {
    if (!path[0]) return (oracle_images){0};
    return convert(oracle_read_images(path), (int)config->data.size, (int)config->data.channels);
}

static void flip(const oracle_images *images, uint8_t *pixels) {
    const int w = images->width, c = images->channels;
    for (int i = 0; i < images->height; i++)
        for (int j = 0; j < w / 2; j++)
            for (int k = 0; k < c; k++) {
                uint8_t *a = &pixels[(i * w + j) * c + k], *b = &pixels[(i * w + w - 1 - j) * c + k];
                const uint8_t value = *a;
                *a = *b, *b = value;
            }
}

/* Writes the levels of an image in an epoch. */
static void to_levels(const px_config *config, const oracle_images *images, size_t index, uint64_t epoch, bool flips,
                      uint8_t *levels) {
    const uint64_t seed = (uint64_t)config->seed;
    const size_t values = values_of(images);
    uint32_t word[4];
    memcpy(levels, images->pixels + index * values, values);
    oracle_random(seed, ORACLE_AUGMENT, index, epoch << 32, word);
    if (flips && word[0] % 2 == 0) flip(images, levels);
    for (size_t i = 0; i < values; i++) {
        oracle_random(seed, ORACLE_AUGMENT, index, epoch << 32 | (1 + i / 4), word);
        const uint64_t threshold = ((uint64_t)word[i % 4] * 255) >> 32;
        if (config->data.binarize)
            levels[i] = threshold < levels[i];
        else if (config->data.values != PX_VALUES_LEVELS)
            levels[i] = (uint8_t)(levels[i] * config->data.levels / 256);
    }
}

void oracle_levels(const px_config *config, const oracle_images *images, size_t index, uint8_t *levels) {
    to_levels(config, images, index, 0, false, levels);
}

int oracle_intensity(int level, int levels) {
    int nearest = -1;
    for (int v = 0; v < 256; v++) {
        if (v * levels / 256 != level) continue;
        const double ideal = 255.0 * level / (levels - 1);
        if (nearest < 0 || fabs(v - ideal) <= fabs(nearest - ideal)) nearest = v;
    }
    return nearest;
}

/* ---- Updates ---- */

double oracle_learning_rate(const px_config *config, int64_t step) {
    const double rate = config->train.learning_rate, final = config->train.final_rate;
    const int64_t warmup = config->train.warmup_steps, after = step - warmup;
    if (after < 0) return rate * (double)(step + 1) / (double)warmup;
    if (config->train.schedule == PX_SCHEDULE_STEP)
        return rate * pow(config->train.decay_factor, (double)(after / config->train.decay_every));
    if (config->train.schedule == PX_SCHEDULE_COSINE)
        return rate *
               (final + (1 - final) * (1 + cos(acos(-1) * (double)after / (double)(config->train.steps - warmup))) / 2);
    return rate;
}

oracle_run oracle_run_create(const px_config *config, const char *init) {
    oracle_run run = {.config = config};
    run.train = open_images(config, config->data.train);
    run.validation = open_images(config, config->data.validation);
    run.test = open_images(config, config->data.test);
    run.model = oracle_model_create(config, &run.train);
    if (init) oracle_model_load(&run.model, init);
    double **vectors[] = {&run.gradient, &run.first, &run.second, &run.average};
    for (int i = 0; i < 4; i++) *vectors[i] = allocate(run.model.elements, sizeof(double));
    memcpy(run.average, run.model.weights, run.model.elements * sizeof(double));
    return run;
}

void oracle_run_destroy(oracle_run *run) {
    free(run->train.pixels);
    free(run->validation.pixels);
    free(run->test.pixels);
    free(run->model.weights);
    free(run->gradient);
    free(run->first);
    free(run->second);
    free(run->average);
}

const double *oracle_run_weights(const oracle_run *run) {
    return run->config->train.ema_decay > 0 ? run->average : run->model.weights;
}

/* Returns the batch of the next update, which the caller frees. */
static uint8_t *batch(const oracle_run *run) {
    const px_config *c = run->config;
    const size_t values = values_of(&run->train), size = (size_t)c->train.batch_size;
    uint8_t *levels = allocate(size, values);
    for (size_t n = 0; n < size; n++) {
        const size_t position = (size_t)run->step * size + n, count = run->train.count;
        const size_t epoch = position / count, index = position % count;
        to_levels(c, &run->train, c->data.shuffle ? oracle_permute((uint64_t)c->seed, epoch, count, index) : index,
                  epoch, c->data.flip, levels + n * values);
    }
    return levels;
}

/* Updates one weight and its average by the clipped gradient g. */
static void update(oracle_run *run, size_t e, double g) {
    const px_config *c = run->config;
    double *w = &run->model.weights[e], *first = &run->first[e], *second = &run->second[e];
    const double number = (double)(run->step + 1);
    if (c->train.optimizer == PX_OPTIMIZER_SGD) {
        *w -= run->rate * g;
    } else if (c->train.optimizer == PX_OPTIMIZER_RMSPROP) {
        *second = c->train.rho * *second + (1 - c->train.rho) * g * g;
        *w -= run->rate * g / (sqrt(*second) + c->train.epsilon);
    } else {
        *first = c->train.beta1 * *first + (1 - c->train.beta1) * g;
        *second = c->train.beta2 * *second + (1 - c->train.beta2) * g * g;
        *w -= run->rate * (*first / (1 - pow(c->train.beta1, number))) /
              (sqrt(*second / (1 - pow(c->train.beta2, number))) + c->train.epsilon);
    }
    run->average[e] = c->train.ema_decay * run->average[e] + (1 - c->train.ema_decay) * *w;
}

void oracle_run_step(oracle_run *run) {
    const px_config *c = run->config;
    uint8_t *levels = batch(run);
    double squares = 0;
    run->nats = oracle_gradient(&run->model, run->model.weights, levels, (int)c->train.batch_size, run->gradient);
    for (size_t e = 0; e < run->model.elements; e++) squares += run->gradient[e] * run->gradient[e];
    run->norm = sqrt(squares);
    run->rate = oracle_learning_rate(c, run->step);
    const double scale = c->train.clip_norm > 0 ? fmin(1, c->train.clip_norm / run->norm) : 1;
    for (size_t e = 0; e < run->model.elements; e++) update(run, e, scale * run->gradient[e]);
    run->step++;
    free(levels);
}

/* ---- Figures ---- */

oracle_evaluation oracle_summary(const double *nats, size_t images, size_t values) {
    const double n = (double)images;
    double sum = 0, squares = 0;
    for (size_t i = 0; i < images; i++) sum += nats[i];
    for (size_t i = 0; i < images; i++) squares += (nats[i] - sum / n) * (nats[i] - sum / n);
    return (oracle_evaluation){.images = images,
                               .nats = sum / n,
                               .standard_error = images > 1 ? sqrt(squares / (n - 1) / n) : 0,
                               .bits = sum / n / (double)values / log(2)};
}

void oracle_evaluate(const px_config *config, const oracle_model *model, const double *weights,
                     const oracle_images *images, double *nats) {
    uint8_t *levels = allocate(1, values_of(images));
    for (size_t n = 0; n < images->count; n++) {
        oracle_levels(config, images, n, levels);
        nats[n] = oracle_nats(model, weights, levels, NULL);
    }
    free(levels);
}

/* The images that are evaluated during training. */
static const oracle_images *evaluated(const oracle_run *run) {
    return run->validation.count > 0 ? &run->validation : &run->test;
}

/* Writes the NLL of each evaluated image under independent pixels. Level l of value i has probability (n + 1) / (N +
 * L): n of N training images, at most 10,000 that the seed chooses, have this level there. */
static void evaluate_independent(const oracle_run *run, double *nats) {
    const int levels = run->model.levels;
    const size_t values = values_of(&run->train), all = run->train.count;
    int *counts = allocate(values * (size_t)levels, sizeof *counts);
    uint8_t *image = allocate(1, values);
    size_t *indices = allocate(all, sizeof *indices);
    const size_t counted = oracle_choose((uint64_t)run->config->seed, all, 10000, indices);
    for (size_t n = 0; n < counted; n++) {
        oracle_levels(run->config, &run->train, indices[n], image);
        for (size_t i = 0; i < values; i++) counts[i * (size_t)levels + image[i]]++;
    }
    for (size_t n = 0; n < evaluated(run)->count; n++) {
        nats[n] = 0;
        oracle_levels(run->config, evaluated(run), n, image);
        for (size_t i = 0; i < values; i++)
            nats[n] -= log((counts[i * (size_t)levels + image[i]] + 1.0) / ((double)counted + levels));
    }
    free(indices);
    free(image);
    free(counts);
}

/* ---- Reports of whole runs ---- */

enum { STEPS = 64 };

/* Relative tolerances. The program's network computes in px_real, its files hold float32 weights in any build, and some
 * of its results are computed in double. */
static const double network_tolerance = sizeof(px_real) == sizeof(float) ? 3e-5 : 1e-11;
static const double weight_tolerance = sizeof(px_real) == sizeof(float) ? 3e-5 : 1e-7;
static const double double_tolerance = 1e-12;
/* Of results that are computed in px_real from the float32 weights of a file. */
static const double file_tolerance = sizeof(px_real) == sizeof(float) ? 3e-5 : 1e-6;

/* The state of a run between two steps. */
typedef struct history {
    oracle_run run;
    figures *report;
    double window_nats; /* sum since the last line of metrics */
    int window_steps;
    double best;
    int64_t best_step;
    double *best_weights;
    bool kept[STEPS]; /* whether the checkpoint of a step exists */
    figures checkpoint[STEPS];
    double *nats; /* of the images of an evaluation */
} history;

static bool due(const history *h, int64_t every) {
    return h->run.step == h->run.config->train.steps || (every > 0 && h->run.step % every == 0);
}

static void report_line(history *h) {
    const int step = (int)h->run.step;
    const double nats = h->window_nats / h->window_steps;
    figures_add(h->report, nats, nats * network_tolerance, "metrics %d: train/nats_per_image", step);
    const double bits = nats / (double)values_of(&h->run.train) / log(2);
    const double product = 1e3 * (double)h->run.config->train.batch_size;
    figures_add(h->report, bits, bits * network_tolerance, "metrics %d: train/bits_per_dim", step);
    figures_add(h->report, h->run.rate, h->run.rate * double_tolerance, "metrics %d: learning_rate", step);
    figures_add(h->report, h->run.norm, h->run.norm * network_tolerance, "metrics %d: gradient_norm", step);
    figures_add(h->report, product, product * double_tolerance, "metrics %d: step_ms x images_per_second", step);
    h->window_nats = 0;
    h->window_steps = 0;
}

/* Summarises h->nats over the evaluated images that train.evaluate_images selects. */
static oracle_evaluation summary_of_chosen(history *h) {
    const oracle_run *run = &h->run;
    const px_config *c = run->config;
    const size_t count = evaluated(run)->count;
    size_t *indices = allocate(count, sizeof *indices);
    const size_t chosen = oracle_choose((uint64_t)c->seed, count, (size_t)c->train.evaluate_images, indices);
    for (size_t i = 0; i < chosen; i++) h->nats[i] = h->nats[indices[i]];
    free(indices);
    return oracle_summary(h->nats, chosen, values_of(&run->train));
}

/* The metrics of an evaluation of a split and, after the last step, its result. relative: their tolerance. */
static void report_result(history *h, const char *split, const oracle_evaluation *e, double relative) {
    const int step = (int)h->run.step;
    const double tolerance = e->nats * relative;
    figures_add(h->report, e->nats, tolerance, "metrics %d: %s/nats_per_image", step, split);
    figures_add(h->report, e->bits, e->bits * relative, "metrics %d: %s/bits_per_dim", step, split);
    figures_add(h->report, e->standard_error, tolerance, "metrics %d: %s/standard_error", step, split);
    if (step != h->run.config->train.steps) return;
    figures_add(h->report, (double)e->images, 0, "result: %s images", split);
    figures_add(h->report, e->nats, tolerance, "result: %s nats", split);
    figures_add(h->report, e->bits, e->bits * relative, "result: %s bits/dim", split);
    figures_add(h->report, e->standard_error, tolerance, "result: %s standard error", split);
}

static void report_evaluation(history *h) {
    const oracle_run *run = &h->run;
    const char *split = run->validation.count > 0 ? "validation" : "test";
    oracle_evaluate(run->config, &run->model, oracle_run_weights(run), evaluated(run), h->nats);
    const oracle_evaluation e = summary_of_chosen(h);
    report_result(h, split, &e, network_tolerance);
    if (e.nats >= h->best) return;
    h->best = e.nats;
    h->best_step = run->step;
    memcpy(h->best_weights, oracle_run_weights(run), run->model.elements * sizeof(double));
}

/* With validation images, all test images are evaluated at the end, with the best weights. */
static void report_test(history *h) {
    const oracle_run *run = &h->run;
    if (run->validation.count == 0 || run->test.count == 0 || run->config->train.steps == 0) return;
    oracle_evaluate(run->config, &run->model, h->best_weights, &run->test, h->nats);
    const oracle_evaluation e = oracle_summary(h->nats, run->test.count, values_of(&run->test));
    report_result(h, "test", &e, file_tolerance);
}

static void report_independent(history *h) {
    evaluate_independent(&h->run, h->nats);
    const oracle_evaluation e = summary_of_chosen(h);
    figures_add(h->report, e.nats, e.nats * double_tolerance, "result: independent nats");
    figures_add(h->report, e.bits, e.bits * double_tolerance, "result: independent bits/dim");
}

static void report_samples(history *h) {
    const oracle_run *run = &h->run;
    const size_t values = values_of(&run->train);
    uint8_t *levels = allocate(1, values);
    for (int64_t n = 0; n < run->config->train.samples; n++) {
        oracle_sample(&run->model, oracle_run_weights(run), (uint64_t)run->config->seed, (uint64_t)n, 1, NULL, levels);
        for (size_t i = 0; i < values; i++)
            figures_add(h->report, oracle_intensity(levels[i], run->model.levels), 0, "samples %d: image %d value %zu",
                        (int)run->step, (int)n, i);
    }
    free(levels);
}

static void report_vector(history *h, figures *report, const char *file, const char *prefix, const double *vector) {
    const oracle_model *m = &h->run.model;
    for (int i = 0; i < m->count; i++) {
        const oracle_tensor *t = &m->tensor[i];
        double largest = 0;
        for (size_t e = 0; e < t->count; e++) largest = fmax(largest, fabs(vector[t->offset + e]));
        for (size_t e = 0; e < t->count; e++)
            figures_add(report, vector[t->offset + e], largest * weight_tolerance, "checkpoint %d: %s %s%s[%zu]",
                        (int)h->run.step, file, prefix, t->name, e);
    }
}

static void save(history *h) {
    const oracle_run *run = &h->run;
    const px_config *c = run->config;
    const int step = (int)run->step;
    if (h->kept[step]) return;
    figures *r = &h->checkpoint[step];
    h->kept[step] = true;
    report_vector(h, r, "model", "", oracle_run_weights(run));
    if (c->train.optimizer == PX_OPTIMIZER_ADAM) report_vector(h, r, "optimizer", "first.", run->first);
    if (c->train.optimizer != PX_OPTIMIZER_SGD) report_vector(h, r, "optimizer", "second.", run->second);
    if (c->train.ema_decay > 0) report_vector(h, r, "optimizer", "weights.", run->model.weights);
    const int numbers[] = {run->model.height, run->model.width, run->model.channels, run->model.levels, step};
    static const char *const names[] = {"height", "width", "channels", "levels", "step"};
    for (int i = 0; i < 5; i++) figures_add(r, numbers[i], 0, "checkpoint %d: metadata %s", step, names[i]);
}

/* Deletes checkpoints other than the newest ones and the best. */
static void prune(history *h) {
    int newer = 0;
    for (int64_t step = STEPS - 1; step >= 0 && h->run.config->train.keep_checkpoints > 0; step--) {
        if (!h->kept[step]) continue;
        if (newer++ < h->run.config->train.keep_checkpoints || step == h->best_step) continue;
        h->kept[step] = false;
        figures_free(&h->checkpoint[step]);
    }
}

static void step(history *h) {
    const px_config *c = h->run.config;
    oracle_run_step(&h->run);
    h->window_nats += h->run.nats;
    h->window_steps++;
    if (due(h, c->train.log_every)) report_line(h);
    if (evaluated(&h->run)->count > 0 && due(h, c->train.evaluate_every)) report_evaluation(h);
    if (c->train.samples > 0 && due(h, c->train.sample_every)) report_samples(h);
    if (h->best_step != h->run.step && !due(h, c->train.checkpoint_every)) return;
    save(h);
    prune(h);
}

void oracle_report(const px_config *config, const char *init, figures *report) {
    history h = {.run = oracle_run_create(config, init), .report = report, .best = INFINITY};
    if (config->train.steps >= STEPS) abort();
    h.nats = allocate(h.run.validation.count + h.run.test.count, sizeof *h.nats);
    h.best_weights = allocate(h.run.model.elements, sizeof *h.best_weights);
    if (evaluated(&h.run)->count > 0) report_independent(&h);
    while (h.run.step < config->train.steps) step(&h);
    report_test(&h);
    save(&h);
    prune(&h);
    for (int step = 0; step < STEPS; step++) {
        for (size_t i = 0; i < h.checkpoint[step].count; i++) {
            const figure *e = &h.checkpoint[step].entries[i];
            figures_add(report, e->value, e->tolerance, "%s", e->name);
        }
        figures_free(&h.checkpoint[step]);
    }
    free(h.best_weights);
    free(h.nats);
    oracle_run_destroy(&h.run);
    figures_sort(report);
}
