/* Samples two images from a model file through the installed library, and prints their values and NLL. */
#include <pixelrnn/pixelrnn.h>
#include <stdio.h>
#include <stdlib.h>

enum { IMAGES = 2 };

static px_status sample(px_context *ctx, px_model *model) {
    const px_model_spec *spec = px_model_spec_of(model);
    const size_t values = (size_t)IMAGES * (size_t)spec->height * (size_t)spec->width * (size_t)spec->channels;
    const px_sample_request request = {.seed = 1, .images = IMAGES, .temperature = 1};
    double nats[IMAGES] = {0};
    px_decoder *decoder = NULL;
    uint8_t *levels = malloc(values);
    px_status status = levels ? PX_OK : px_fail_memory(ctx, "sample", values);
    if (status == PX_OK) status = px_decoder_create(model, IMAGES, PX_DECODER_RECORDED, &decoder);
    if (status == PX_OK) status = px_sample(decoder, &request, levels, nats, NULL);
    for (size_t i = 0; i < values && status == PX_OK; i++) printf("%d ", levels[i]);
    if (status == PX_OK) printf("\nnats %.3f %.3f\n", nats[0], nats[1]);
    px_decoder_destroy(decoder);
    free(levels);
    return status;
}

int main(int count, char **arguments) {
    px_context ctx = {""};
    px_device *device = NULL;
    px_model *model = NULL;
    px_model_info info;
    if (count != 2) return 2;
    px_status status = px_device_open(&ctx, PX_DEVICE_CPU, PX_REAL, &device);
    if (status == PX_OK) status = px_model_file_load(device, arguments[1], &info, &model);
    if (status == PX_OK) status = sample(&ctx, model);
    if (status != PX_OK) fprintf(stderr, "%s\n", ctx.message);
    px_model_destroy(model);
    px_device_close(device);
    return px_exit_status(status);
}
