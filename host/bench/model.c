/* The bench of a model: check, warm-up, measurement. */
#include "host/bench/bench.h"
#include "kernels/portable/random.h"
#include "host/train/step.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct bench_state {
    const px_bench_spec *spec;
    px_device *device;
    px_model *model;
    px_optimizer *optimizer;
    px_step step;
    px_sampler *sampler;
    uint8_t *levels;     /* (images, H * W * C), random */
    uint8_t *conditions; /* of the images, random (condition.h); NULL without a condition */
    uint8_t *sampled;    /* (images, H * W * C) */
    uint8_t *keep;       /* (H * W): all but the last pixel */
    double *nats;        /* (images) */
    int64_t updates;
} bench_state;

static px_status pass_train(void *context) {
    bench_state *bench = context;
    return px_step_run(&bench->step, bench->levels, bench->conditions, bench->spec->images, ++bench->updates, 1e-3);
}

static px_status pass_evaluate(void *context) {
    bench_state *bench = context;
    PX_TRY(px_model_forward(bench->model, bench->levels, bench->conditions, bench->spec->images, false));
    return px_model_nats(bench->model, bench->nats);
}

static px_status pass_sample(void *context) {
    bench_state *bench = context;
    const px_sample_request request = {
        .seed = bench->spec->seed, .images = bench->spec->images, .temperature = 1, .conditions = bench->conditions};
    return px_sample(bench->sampler, &request, bench->sampled, bench->nats, NULL);
}

static px_status pass_sample_naive(void *context) {
    bench_state *bench = context;
    const px_sample_request request = {.seed = bench->spec->seed,
                                       .images = bench->spec->images,
                                       .temperature = 1,
                                       .given = bench->levels,
                                       .keep = bench->keep,
                                       .conditions = bench->conditions};
    return px_sample_naive(bench->model, &request, bench->sampled);
}

static const struct {
    px_purpose purpose;
    px_status (*pass)(void *context);
} phases[PX_BENCH_PHASES] = {
    [PX_BENCH_TRAIN] = {PX_PURPOSE_TRAIN, pass_train},
    [PX_BENCH_EVALUATE] = {PX_PURPOSE_EVALUATE, pass_evaluate},
    [PX_BENCH_SAMPLE] = {PX_PURPOSE_EVALUATE, pass_sample},
    [PX_BENCH_SAMPLE_NAIVE] = {PX_PURPOSE_EVALUATE, pass_sample_naive},
};
const char *const px_bench_phase_names[PX_BENCH_PHASES] = {"train", "evaluate", "sample", "sample_plain"};

enum { WARM_UP = 2, MIN_PASSES = 5, PROFILED_STEPS = 3 };

/* Returns a field of /proc/self/status in bytes ("VmRSS:": resident memory, "VmHWM:": its peak); 0 if there is none. */
static size_t resident(const char *field) {
    char line[256];
    size_t kibibytes = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status)) {
        const size_t length = strlen(field);
        if (strncmp(line, field, length) == 0) kibibytes = strtoul(line + length + 1, NULL, 10);
    }
    if (status) fclose(status);
    return kibibytes * 1024;
}

/* Fills the conditions of the images with random labels or levels. */
static px_status bench_conditions(bench_state *bench) {
    const px_model_spec *m = &bench->spec->model;
    const px_condition *c = &m->condition;
    const size_t each = px_condition_bytes(c, m->height, m->width, m->channels),
                 all = each * (size_t)bench->spec->images;
    if (all == 0) return PX_OK;
    bench->conditions = malloc(all);
    if (!bench->conditions) return px_fail_memory(bench->device->ctx, "bench", all);
    for (size_t i = 0; i < all; i++) {
        const uint32_t random = px_random(bench->spec->seed, PX_RANDOM_DATA, i / each, i % each).word[1];
        if (c->kind == PX_CONDITION_IMAGE) bench->conditions[i] = (uint8_t)(random % (uint32_t)m->levels);
        if (c->kind == PX_CONDITION_CLASS && i % each == 0)
            px_condition_set_label(bench->conditions + i, (int)(random % (uint32_t)c->classes));
    }
    return PX_OK;
}

/* Allocates the buffers and fills the images with random levels, on which the work does not depend. */
static px_status bench_images(bench_state *bench) {
    const px_model_spec *m = &bench->spec->model;
    const size_t pixels = (size_t)m->height * (size_t)m->width, values = pixels * (size_t)m->channels;
    const size_t all = values * (size_t)bench->spec->images;
    bench->levels = malloc(all);
    bench->sampled = malloc(all);
    bench->keep = malloc(pixels);
    bench->nats = calloc((size_t)bench->spec->images, sizeof *bench->nats);
    if (!bench->levels || !bench->sampled || !bench->keep || !bench->nats)
        return px_fail_memory(bench->device->ctx, "bench", 2 * all);
    for (size_t i = 0; i < pixels; i++) bench->keep[i] = i + 1 < pixels;
    for (size_t i = 0; i < all; i++) {
        const px_random4 random = px_random(bench->spec->seed, PX_RANDOM_DATA, i / values, i % values);
        bench->levels[i] = (uint8_t)(random.word[0] % (uint32_t)m->levels);
    }
    return bench_conditions(bench);
}

/* Checks that two forward passes give the same finite nats. */
static px_status bench_check(bench_state *bench) {
    const size_t images = (size_t)bench->spec->images;
    PX_TRY(pass_evaluate(bench));
    double *first = malloc(images * sizeof *first);
    if (!first) return px_fail_memory(bench->device->ctx, "bench", images * sizeof *first);
    memcpy(first, bench->nats, images * sizeof *first);
    px_status status = pass_evaluate(bench);
    for (size_t n = 0; n < images && status == PX_OK; n++)
        if (!isfinite(first[n]) || first[n] != bench->nats[n])
            status = px_fail(bench->device->ctx, PX_ERR_NUMERIC,
                             "bench: image %zu has %.17g nats in one pass and %.17g in the next", n, first[n],
                             bench->nats[n]);
    free(first);
    return status;
}

static px_status bench_phase_take(bench_state *bench, px_bench_phase phase, px_bench_passes *passes) {
    px_times times;
    const px_purpose purpose = phases[phase].purpose;
    PX_TRY(px_model_reserve(bench->model, bench->spec->images, purpose));
    if (phase == PX_BENCH_SAMPLE) PX_TRY(px_sampler_create(bench->model, bench->spec->images, &bench->sampler));
    for (int i = 0; i < WARM_UP; i++) PX_TRY(phases[phase].pass(bench));
    PX_TRY(px_times_take(&times, bench->device, MIN_PASSES, bench->spec->seconds, phases[phase].pass, bench));
    passes->count = times.count;
    passes->seconds = px_times_quantiles(&times);
    passes->images = bench->spec->images;
    if (phase == PX_BENCH_SAMPLE_NAIVE) passes->images /= (double)bench->spec->model.height * bench->spec->model.width;
    passes->flops = px_model_flops(bench->model, purpose) * passes->images;
    return PX_OK;
}

static px_status bench_profile(bench_state *bench, px_bench_result *result) {
    PX_TRY(px_model_reserve(bench->model, bench->spec->images, PX_PURPOSE_TRAIN));
    PX_TRY(pass_train(bench));
    px_status status = PX_OK;
    for (int kind = 0; kind < PX_PROFILES; kind++) {
        px_profile_begin(&result->profile[kind], bench->device, (px_profile_kind)kind);
        for (int i = 0; i < PROFILED_STEPS && status == PX_OK; i++) status = pass_train(bench);
        px_profile_end(&result->profile[kind], bench->device);
    }
    result->profiled = PROFILED_STEPS;
    return status;
}

/* Prepares the model and checks it. Measures peak memory first, while nothing but training has run. Each phase is then
 * measured between two measurements of the device's rates. */
static px_status bench_measure(bench_state *bench, px_bench_result *result) {
    const px_bench_spec *spec = bench->spec;
    const double rates_s = spec->seconds / 10;
    PX_TRY(bench_images(bench));
    result->program = resident("VmRSS:");
    PX_TRY(px_model_create(bench->device, &spec->model, &bench->model));
    PX_TRY(px_model_initialise(bench->model, spec->seed));
    PX_TRY(px_model_reserve(bench->model, spec->images, PX_PURPOSE_TRAIN));
    PX_TRY(px_optimizer_create(bench->model, &spec->optimizer, &bench->optimizer));
    bench->step = (px_step){.model = bench->model, .optimizer = bench->optimizer};
    result->plan = px_model_plan(bench->model, spec->images, PX_PURPOSE_TRAIN);
    result->optimizer = px_optimizer_bytes(bench->model, &spec->optimizer);
    PX_TRY(bench_check(bench));
    for (int i = 0; i < WARM_UP; i++) PX_TRY(pass_train(bench));
    if (strcmp(bench->device->kind, "cpu") == 0) result->peak = resident("VmHWM:");
    PX_TRY(px_bench_rates_take(bench->device, rates_s, &result->rates[result->rate_count++]));
    for (int phase = 0; phase < PX_BENCH_PHASES; phase++) {
        if (!spec->phase[phase]) continue;
        PX_TRY(bench_phase_take(bench, (px_bench_phase)phase, &result->phase[phase]));
        PX_TRY(px_bench_rates_take(bench->device, rates_s, &result->rates[result->rate_count++]));
    }
    return spec->phase[PX_BENCH_TRAIN] ? bench_profile(bench, result) : PX_OK;
}

px_status px_bench_run(px_device *device, const px_bench_spec *spec, px_bench_result *result) {
    bench_state bench = {.spec = spec, .device = device};
    memset(result, 0, sizeof *result);
    const px_status status = bench_measure(&bench, result);
    px_sampler_destroy(bench.sampler);
    px_graph_release(&bench.step.graph, device);
    px_optimizer_destroy(bench.optimizer);
    px_model_destroy(bench.model);
    free(bench.levels);
    free(bench.conditions);
    free(bench.sampled);
    free(bench.keep);
    free(bench.nats);
    return status;
}

size_t px_bench_planned(const px_bench_result *result) {
    const px_memory_plan *plan = &result->plan;
    return result->program + plan->weights + plan->gradients + plan->activations + plan->workspace + result->optimizer;
}

double px_bench_images_per_second(const px_bench_result *result, px_bench_phase phase) {
    return result->phase[phase].images / result->phase[phase].seconds.median;
}

px_bench_rates px_bench_fastest(const px_bench_result *result) {
    px_bench_rates fastest = {0};
    for (int i = 0; i < result->rate_count; i++) {
        if (result->rates[i].flops > fastest.flops) fastest.flops = result->rates[i].flops;
        if (result->rates[i].bytes > fastest.bytes) fastest.bytes = result->rates[i].bytes;
    }
    return fastest;
}

double px_bench_share(const px_bench_result *result, px_bench_phase phase) {
    const px_bench_passes *passes = &result->phase[phase];
    return passes->flops / passes->seconds.median / px_bench_fastest(result).flops;
}

double px_bench_bytes(const px_bench_result *result) {
    double bytes = 0;
    for (int op = 0; op < PX_OPS; op++) bytes += result->profile[PX_PROFILE_WHOLE].work[op].bytes;
    return result->profiled ? bytes / result->profiled : 0;
}
