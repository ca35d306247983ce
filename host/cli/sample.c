/* pixelrnn sample: draws images from a model. */
#include "host/cli/cli.h"
#include "host/cli/drawing.h"
#include <stdio.h>
#include <stdlib.h>

static px_grid_layout px_sample_layout(const px_drawing *d) {
    const px_model_spec *s = px_model_spec_of(d->model);
    return (px_grid_layout){.images = d->count, .height = s->height, .width = s->width, .channels = s->channels};
}

static px_status px_sample_write_png(px_drawing *d) {
    const px_grid_layout layout = px_sample_layout(d);
    uint8_t *pixels = malloc((size_t)d->count * px_image_bytes(px_model_spec_of(d->model)));
    if (!pixels) return px_fail(d->ctx, PX_ERR_MEMORY, "sample: no memory for a picture of %d images", d->count);
    px_status status = px_drawing_read(d, 0, d->count, pixels);
    if (status == PX_OK) status = px_png_grid_write(d->ctx, d->out, pixels, &layout);
    free(pixels);
    return status;
}

static px_status px_sample_to_file(px_drawing *d) {
    const bool npy = px_cli_ends_with(d->out, ".npy");
    const px_grid_layout layout = px_sample_layout(d);
    char what[64];
    snprintf(what, sizeof what, "%d images", d->count);
    if (!npy) PX_TRY(px_png_grid_check(d->ctx, &layout));
    PX_TRY(px_drawing_run(d));
    PX_TRY(npy ? px_drawing_write_npy(d) : px_sample_write_png(d));
    return px_drawing_finish(d, what);
}

static px_status px_sample_run(px_context *ctx, int count, char **words) {
    px_words settings = {0}, plain;
    int64_t images = 16, seed = -1;
    double temperature = 1;
    const char *out = NULL;
    const px_option options[] = {{.name = "-n", .integer = &images, .least = 1},
                                 {.name = "--seed", .integer = &seed},
                                 {.name = "--temperature", .number = &temperature},
                                 {.name = "-o", .text = &out, .required = true},
                                 {.name = "--set", .each = &settings}};
    px_model_info info;
    px_device *device;
    px_model *model;
    PX_TRY(px_cli_parse(ctx, &px_command_sample, count, words, options, 5, &plain, 1, 1));
    PX_TRY(px_drawing_check_path(ctx, out));
    if (images > INT32_MAX / 2) return px_fail(ctx, PX_ERR_USAGE, "-n: found %lld, expected fewer", (long long)images);
    PX_TRY(px_cli_load_model(ctx, plain.word[0], &settings, &info, &device, &model));
    px_drawing drawing = {.ctx = ctx,
                          .model = model,
                          .command = "sample",
                          .out = out,
                          .count = (int)images,
                          .batch = px_cli_drawing_batch(&info.config),
                          .seed = (uint64_t)(seed >= 0 ? seed : info.config.seed),
                          .temperature = temperature};
    const px_status status = px_sample_to_file(&drawing);
    px_drawing_close(&drawing);
    px_model_destroy(model);
    px_device_close(device);
    return status;
}

const px_command px_command_sample = {
    "sample", "MODEL [-n IMAGES] [--seed S] [--temperature T] -o OUT.png|OUT.npy [--set key=value]...",
    "draws images; image n of a seed is always the same picture", px_sample_run};
