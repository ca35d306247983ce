/* pixelrnn sample: draws images from a model. */
#include "host/cli/cli.h"
#include "host/cli/drawing.h"
#include <stdio.h>
#include <stdlib.h>

enum { PX_SAMPLE_BATCH = 64 };

static px_status px_sample_to_file(px_context *ctx, px_model *model, const px_sample_request *request, int count,
                                   const char *out) {
    const px_model_spec *spec = px_model_spec_of(model);
    const int batch = count < PX_SAMPLE_BATCH ? count : PX_SAMPLE_BATCH;
    const size_t bytes = (size_t)count * px_image_bytes(spec);
    uint8_t *pixels = malloc(bytes);
    if (!pixels)
        return px_fail(ctx, PX_ERR_MEMORY, "out of memory: %d images need %.2f GiB; lower -n", count,
                       (double)bytes / (1 << 30));
    px_progress progress;
    const int passes = (count + batch - 1) / batch;
    px_progress_begin(&progress, stderr, "sample", 0, (int64_t)passes * spec->height * spec->width);
    px_status status = px_model_reserve(model, batch, PX_PURPOSE_EVALUATE);
    if (status == PX_OK) status = px_draw_images(model, request, count, batch, pixels, &progress);
    px_progress_clear(&progress);
    if (status == PX_OK) status = px_write_images(ctx, out, spec, pixels, count, 0);
    free(pixels);
    return status;
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
    PX_TRY(px_check_image_path(ctx, out));
    if (images > INT32_MAX / 2) return px_fail(ctx, PX_ERR_USAGE, "-n: found %lld, expected fewer", (long long)images);
    PX_TRY(px_cli_load_model(ctx, plain.word[0], &settings, &info, &device, &model));
    const px_sample_request request = {.seed = (uint64_t)(seed >= 0 ? seed : info.config.seed),
                                       .temperature = temperature};
    const px_status status = px_sample_to_file(ctx, model, &request, (int)images, out);
    px_model_destroy(model);
    px_device_close(device);
    PX_TRY(status);
    printf("%lld images in %s\n", (long long)images, out);
    return PX_OK;
}

const px_command px_command_sample = {
    "sample", "MODEL [-n IMAGES] [--seed S] [--temperature T] -o OUT.png|OUT.npy [--set key=value]...",
    "draws images; image n of a seed is always the same picture", px_sample_run};
