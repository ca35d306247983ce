/* Sampling with a decoder, and the naive sampler, which is its reference. */
#include "pixelrnn/sample.h"
#include "host/device/backend.h"
#include "host/logging/logging.h"

static bool is_given(const px_sample_request *request, int pixel) { return request->keep && request->keep[pixel]; }

size_t px_sample_values(const px_model_spec *s, const px_sample_request *request) {
    size_t pixels = 0;
    for (int pixel = 0; pixel < s->height * s->width; pixel++) pixels += !is_given(request, pixel);
    return pixels * (size_t)s->channels;
}

static px_status poll_stop(px_decoder *decoder, const px_sample_request *request, int row) {
    const px_status asked = px_stop_poll(request->stop);
    if (asked == PX_OK) return PX_OK;
    return px_fail(px_decoder_context(decoder), asked, "sampling: stopped after %d of %d rows of pixels", row,
                   px_decoder_spec(decoder)->height);
}

px_status px_sample(px_decoder *decoder, const px_sample_request *request, uint8_t *levels, double *nats,
                    px_progress *progress) {
    const px_model_spec *s = px_decoder_spec(decoder);
    int pixels = s->height * s->width; /* up to the last that is sampled */
    while (pixels > 0 && is_given(request, pixels - 1)) pixels--;
    const int64_t before = progress ? progress->done : 0;
    PX_TRY(px_decoder_begin(decoder, request->images, request->given));
    for (int pixel = 0; pixel < pixels; pixel++) {
        const bool given = is_given(request, pixel);
        if (pixel % s->width == 0) PX_TRY(poll_stop(decoder, request, pixel / s->width));
        PX_TRY(px_decoder_next(decoder));
        if (given) PX_TRY(px_decoder_skip(decoder));
        for (int channel = 0; channel < s->channels && !given; channel++)
            PX_TRY(px_decoder_sample(decoder, channel, request->temperature, request->seed, request->first_image));
        if (progress) px_progress_update(progress, before + pixel + 1, "");
    }
    return px_decoder_finish(decoder, levels, nats);
}

/* ---- Naive sampler ---- */

static px_status sample_pixel_naive(px_model *model, const px_sample_request *request, px_tensor image, int pixel) {
    const px_model_spec *s = px_model_spec_of(model);
    for (int channel = 0; channel < s->channels; channel++) {
        px_tensor logits;
        PX_TRY(px_model_logits(model, request->images, &logits));
        logits = (px_tensor){logits.data, image.rows, image.columns * s->levels, logits.type};
        const int value = pixel * s->channels + channel;
        PX_TRY(px_run(px_model_device(model), sample, .logits = logits, .image = image,
                      .offset = (size_t)value * (size_t)s->levels, .levels = s->levels, .column = value,
                      .temperature = (px_real)request->temperature, .seed = request->seed,
                      .first_image = request->first_image,
                      .place = px_sample_key(pixel / s->width, pixel % s->width, channel)));
    }
    return PX_OK;
}

px_status px_sample_naive(px_model *model, const px_sample_request *request, uint8_t *levels) {
    px_device *device = px_model_device(model);
    const px_model_spec *s = px_model_spec_of(model);
    const px_tensor image = px_tensor_first_rows(px_model_images(model), (size_t)request->images);
    if (request->images == 0) return PX_OK;
    PX_TRY(request->given ? device->ops->upload(device, image.data, request->given, px_tensor_bytes(&image))
                          : device->ops->clear(device, image.data, px_tensor_bytes(&image)));
    for (int pixel = 0; pixel < s->height * s->width; pixel++)
        if (!is_given(request, pixel)) PX_TRY(sample_pixel_naive(model, request, image, pixel));
    return device->ops->download(device, levels, image.data, px_tensor_bytes(&image));
}
