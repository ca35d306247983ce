/* Evaluates and samples a trained model through the library.
 *
 *     example MODEL.safetensors DATA
 *
 * Prints the negative log-likelihood of a few images of DATA, then samples new images and prints theirs. */
#include "pixelrnn/pixelrnn.h"
#include <stdio.h>
#include <stdlib.h>

enum { IMAGES = 4 };

static void print_nats(const char *what, const double *nats) {
    for (int n = 0; n < IMAGES; n++) printf("%s %d: %.3f nats\n", what, n, nats[n]);
}

/* Reads images chosen by the config's seed, converted to the model's size, channels and levels. */
static px_status evaluate(px_context *ctx, px_model *model, const px_model_info *info, const char *data) {
    const px_source_options read = px_source_options_of(&info->config, PX_SPLIT_TEST, PX_ACCESS_ANY);
    const px_evaluate_options options = {.batch = IMAGES,
                                         .limit = IMAGES,
                                         .binarize = info->config.data.binarize,
                                         .seed = (uint64_t)info->config.seed,
                                         .levels = info->spec.levels};
    double nats[IMAGES] = {0};
    px_evaluation mean;
    px_source *source = NULL;
    px_status status = px_source_open_all(ctx, 1, &data, &read, &source);
    if (status == PX_OK) status = px_evaluate_check(ctx, &info->spec, source);
    if (status == PX_OK && source->count < IMAGES)
        status = px_fail(ctx, PX_ERR_CONFIG, "%s: found %zu images, expected at least %d", data, source->count, IMAGES);
    if (status == PX_OK) status = px_model_reserve(model, IMAGES, PX_PURPOSE_EVALUATE);
    if (status == PX_OK) status = px_evaluate(model, source, &options, nats, NULL, &mean);
    if (status == PX_OK) print_nats("image", nats);
    if (status == PX_OK) printf("mean: %.3f nats/image, %.4f bits/dim\n", mean.nats_per_image, mean.bits_per_dim);
    px_source_close(source);
    return status;
}

/* levels receives [IMAGES, H, W, C] values of 0 to L - 1. */
static px_status sample(px_context *ctx, px_model *model, const px_model_spec *spec) {
    const px_sample_request request = {.seed = 1, .images = IMAGES, .temperature = 1};
    const size_t values = (size_t)IMAGES * (size_t)spec->height * (size_t)spec->width * (size_t)spec->channels;
    double nats[IMAGES];
    px_sampler *sampler = NULL;
    uint8_t *levels = malloc(values);
    px_status status = levels ? PX_OK : px_fail_memory(ctx, "samples", values);
    if (status == PX_OK) status = px_sampler_create(model, IMAGES, &sampler);
    if (status == PX_OK) status = px_sample(sampler, &request, levels, nats, NULL);
    if (status == PX_OK) print_nats("sample", nats);
    px_sampler_destroy(sampler);
    free(levels);
    return status;
}

int main(int count, char **arguments) {
    px_context ctx = {""};
    px_device *device = NULL;
    px_model *model = NULL;
    px_model_info info;
    if (count != 3) {
        fprintf(stderr, "usage: %s MODEL.safetensors DATA\n", arguments[0]);
        return 2;
    }
    px_status status = px_device_open(&ctx, PX_DEVICE_CPU, PX_REAL, &device);
    if (status == PX_OK) status = px_model_file_load(device, arguments[1], &info, &model);
    if (status == PX_OK) status = evaluate(&ctx, model, &info, arguments[2]);
    if (status == PX_OK) status = sample(&ctx, model, &info.spec);
    if (status != PX_OK) fprintf(stderr, "%s\n", ctx.message);
    px_model_destroy(model);
    px_device_close(device);
    return px_exit_status(status);
}
