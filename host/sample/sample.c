/* Sampling: pixel by pixel over a decoder. */
#include "pixelrnn/sample.h"

/* Where a value stands, as its uniform number is keyed. */
static uint64_t px_sample_place(int row, int column, int channel) {
    return (uint64_t)row << 32 | (uint64_t)column << 8 | (uint64_t)channel;
}

static bool px_sample_given(const px_sample_request *request, int pixel) {
    return request->keep && request->keep[pixel];
}

size_t px_sample_values(const px_model_spec *s, const px_sample_request *request) {
    size_t pixels = 0;
    for (int pixel = 0; pixel < s->height * s->width; pixel++) pixels += !px_sample_given(request, pixel);
    return pixels * (size_t)s->channels;
}

/* Values that are neither given nor drawn yet hold level 0; the masks keep them from mattering. */
static px_status px_sample_begin(px_device *device, const px_sample_request *request, px_map image) {
    if (request->given) return device->ops->upload(device, image.data, request->given, px_map_bytes(&image));
    return device->ops->clear(device, image.data, px_map_bytes(&image));
}

/* Draws a value of each image from its L logits, which start at column `offset` of its row. */
static px_status px_sample_draw(px_device *device, const px_model_spec *s, const px_sample_request *request,
                                px_map logits, size_t offset, px_map image, px_map nats, int pixel, int channel) {
    return px_run(device, draw, .logits = logits, .image = image, .nats = nats, .offset = offset, .levels = s->levels,
                  .column = pixel * s->channels + channel, .temperature = (px_real)request->temperature,
                  .seed = request->seed, .first_image = request->first_image,
                  .place = px_sample_place(pixel / s->width, pixel % s->width, channel));
}

/* --- Incrementally ------------------------------------------------------------------------------------------------ */

static px_status px_sample_pixel(px_decoder *decoder, const px_sample_request *request, int pixel) {
    const px_model_spec *s = px_model_spec_of(px_decoder_model(decoder));
    const size_t images = (size_t)request->images;
    PX_TRY(px_decoder_next(decoder));
    if (px_sample_given(request, pixel)) return px_decoder_pass(decoder);
    for (int channel = 0; channel < s->channels; channel++) {
        px_map logits;
        PX_TRY(px_decoder_logits(decoder, channel, &logits));
        PX_TRY(px_sample_draw(px_model_device(px_decoder_model(decoder)), s, request, logits,
                              (size_t)channel * (size_t)s->levels, px_map_head(px_decoder_images(decoder), images),
                              px_map_head(px_decoder_nats(decoder), images), pixel, channel));
    }
    return PX_OK;
}

px_status px_sample(px_decoder *decoder, const px_sample_request *request, uint8_t *levels, double *nats,
                    px_progress *progress) {
    const px_model_spec *s = px_model_spec_of(px_decoder_model(decoder));
    px_device *device = px_model_device(px_decoder_model(decoder));
    const size_t images = (size_t)request->images;
    const px_map image = px_map_head(px_decoder_images(decoder), images);
    const px_map sums = px_map_head(px_decoder_nats(decoder), images);
    if (images == 0) return PX_OK;
    PX_TRY(px_sample_begin(device, request, image));
    PX_TRY(device->ops->clear(device, sums.data, px_map_bytes(&sums)));
    PX_TRY(px_decoder_begin(decoder, request->images));

    int pixels = s->height * s->width; /* up to the last that is drawn */
    while (pixels > 0 && px_sample_given(request, pixels - 1)) pixels--;
    const int64_t before = progress ? progress->done : 0;
    for (int pixel = 0; pixel < pixels; pixel++) {
        PX_TRY(px_sample_pixel(decoder, request, pixel));
        if (progress) px_progress_update(progress, before + pixel + 1, "");
    }
    if (nats) PX_TRY(device->ops->download(device, nats, sums.data, px_map_bytes(&sums)));
    return device->ops->download(device, levels, image.data, px_map_bytes(&image));
}

/* --- The plain way ------------------------------------------------------------------------------------------------ */

static px_status px_sample_pixel_plain(px_model *model, const px_sample_request *request, px_map image, int pixel) {
    const px_model_spec *s = px_model_spec_of(model);
    for (int channel = 0; channel < s->channels; channel++) {
        px_map logits;
        PX_TRY(px_model_logits(model, request->images, &logits));
        logits = (px_map){logits.data, image.rows, image.columns * s->levels, logits.type};
        PX_TRY(px_sample_draw(px_model_device(model), s, request, logits,
                              (size_t)(pixel * s->channels + channel) * (size_t)s->levels, image, (px_map){0}, pixel,
                              channel));
    }
    return PX_OK;
}

px_status px_sample_plain(px_model *model, const px_sample_request *request, uint8_t *levels) {
    px_device *device = px_model_device(model);
    const px_model_spec *s = px_model_spec_of(model);
    const px_map image = px_map_head(px_model_images(model), (size_t)request->images);
    if (request->images == 0) return PX_OK;
    PX_TRY(px_sample_begin(device, request, image));
    for (int pixel = 0; pixel < s->height * s->width; pixel++)
        if (!px_sample_given(request, pixel)) PX_TRY(px_sample_pixel_plain(model, request, image, pixel));
    return device->ops->download(device, levels, image.data, px_map_bytes(&image));
}
