/* Sampling, the plain way: the whole network for every value. */
#include "pixelrnn/sample.h"
#include <stdlib.h>

/* Values that are neither given nor drawn yet hold level 0; the masks keep them from mattering. */
static px_status px_sample_begin(px_model *model, const px_sample_request *request, size_t bytes) {
    px_device *device = px_model_device(model);
    const px_map image = px_model_images(model);
    if (request->given) return device->ops->upload(device, image.data, request->given, bytes);
    return device->ops->clear(device, image.data, bytes);
}

static px_status px_sample_pixel(px_model *model, const px_sample_request *request, int row, int column) {
    px_device *device = px_model_device(model);
    const px_model_spec *s = px_model_spec_of(model);
    const int pixel = row * s->width + column;
    for (int channel = 0; channel < s->channels; channel++) {
        px_map logits;
        PX_TRY(px_model_logits(model, request->images, &logits));
        logits = (px_map){logits.data, (size_t)request->images, s->height * s->width * s->channels * s->levels,
                          PX_REAL};
        const int value = pixel * s->channels + channel;
        PX_TRY(px_run(device, draw, .logits = logits, .image = px_map_head(px_model_images(model), logits.rows),
                      .offset = (size_t)value * (size_t)s->levels, .levels = s->levels, .column = value,
                      .temperature = (px_real)request->temperature, .seed = request->seed,
                      .first_image = request->first_image,
                      .place = (uint64_t)row << 32 | (uint64_t)column << 8 | (uint64_t)channel));
    }
    return PX_OK;
}

px_status px_sample(px_model *model, const px_sample_request *request, uint8_t *levels, px_progress *progress) {
    px_device *device = px_model_device(model);
    const px_model_spec *s = px_model_spec_of(model);
    const size_t bytes = (size_t)request->images * (size_t)s->height * (size_t)s->width * (size_t)s->channels;
    if (request->images == 0) return PX_OK;
    PX_TRY(px_sample_begin(model, request, bytes));
    const int64_t before = progress ? progress->done : 0;
    for (int pixel = 0; pixel < s->height * s->width; pixel++) {
        if (request->keep && request->keep[pixel]) continue;
        PX_TRY(px_sample_pixel(model, request, pixel / s->width, pixel % s->width));
        if (progress) px_progress_update(progress, before + pixel + 1, "");
    }
    return device->ops->download(device, levels, px_model_images(model).data, bytes);
}
