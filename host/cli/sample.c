/* pixelrnn sample: draws images from a model. */
#include "host/cli/cli.h"
#include "host/cli/sampling.h"
#include <stdio.h>
#include <stdlib.h>

static px_grid_layout sample_layout(const px_sampling *d) {
    const px_model_spec *s = px_model_spec_of(d->model);
    return (px_grid_layout){.images = d->count, .height = s->height, .width = s->width, .channels = s->channels};
}

static px_status sample_write_png(px_sampling *d) {
    const px_grid_layout layout = sample_layout(d);
    uint8_t *pixels = malloc((size_t)d->count * px_image_bytes(px_model_spec_of(d->model)));
    if (!pixels) return px_fail(d->ctx, PX_ERR_MEMORY, "sample: no memory for a picture of %d images", d->count);
    px_status status = px_sampling_read(d, 0, d->count, pixels);
    if (status == PX_OK) status = px_png_grid_write(d->ctx, d->out, pixels, &layout);
    free(pixels);
    return status;
}

static px_status sample_write(px_sampling *d) {
    char what[64];
    snprintf(what, sizeof what, "%d images", d->count);
    PX_TRY(px_cli_ends_with(d->out, ".npy") ? px_sampling_write_npy(d) : sample_write_png(d));
    return px_sampling_finish(d, what);
}

static px_status sample_to_file(px_sampling *d) {
    const px_grid_layout layout = sample_layout(d);
    if (!px_cli_ends_with(d->out, ".npy")) PX_TRY(px_png_grid_check(d->ctx, &layout));
    PX_TRY(px_sampling_run(d));
    return px_ranks_agree(d->ranks, d->journal ? sample_write(d) : PX_OK);
}

typedef struct sample_arguments {
    px_arguments settings, plain;
    int64_t images, seed;
    double temperature;
    const char *out;
} sample_arguments;

static px_status sample_parse(px_context *ctx, sample_arguments *w, int count, char **words) {
    const px_option options[] = {{.name = "-n", .integer = &w->images, .least = 1},
                                 {.name = "--seed", .integer = &w->seed},
                                 {.name = "--temperature", .number = &w->temperature},
                                 {.name = "-o", .text = &w->out, .required = true},
                                 {.name = "--set", .each = &w->settings}};
    PX_TRY(px_cli_parse(ctx, &px_command_sample, count, words, options, 5, &w->plain, 1, 1));
    PX_TRY(px_sampling_check_path(ctx, w->out));
    if (w->images <= INT32_MAX / 2) return PX_OK;
    return px_fail(ctx, PX_ERR_USAGE, "-n: found %lld, expected fewer", (long long)w->images);
}

static px_status sample_distributed(px_context *ctx, px_ranks *ranks, int count, char **words) {
    sample_arguments w = {.images = 16, .seed = -1, .temperature = 1};
    px_model_info info;
    px_device *device;
    px_model *model;
    const px_status parsed = sample_parse(ctx, &w, count, words);
    PX_TRY(px_cli_check_output(ctx, ranks, parsed, w.out));
    PX_TRY(px_cli_load_model_on(ctx, ranks, w.plain.word[0], &w.settings, &info, &device, &model));
    px_ranks_set_timeouts(ranks, info.config.parallel.silence_s, info.config.parallel.stall_s);
    px_sampling drawing = {.ctx = ctx,
                           .model = model,
                           .ranks = ranks,
                           .command = "sample",
                           .out = w.out,
                           .count = (int)w.images,
                           .batch = px_cli_sampling_batch(&info.config),
                           .seed = (uint64_t)(w.seed >= 0 ? w.seed : info.config.seed),
                           .temperature = w.temperature};
    const px_status status = sample_to_file(&drawing);
    px_sampling_close(&drawing);
    px_model_destroy(model);
    px_device_close(device);
    return status;
}

const px_command px_command_sample = {
    "sample", "MODEL [-n IMAGES] [--seed S] [--temperature T] -o OUT.png|OUT.npy [--set key=value]...",
    "draws images; image n of a seed is always the same picture", .together = sample_distributed};
