/* Sampling with decoders, and the naive sampler, which is its reference. */
#include "pixelrnn/sample.h"
#include "host/logging/logging.h"
#include "host/sample/decode.h"
#include <stdlib.h>

static bool is_given(const px_sample_request *request, int pixel) { return request->keep && request->keep[pixel]; }

size_t px_sample_values(const px_model_spec *s, const px_sample_request *request) {
    size_t pixels = 0;
    for (int pixel = 0; pixel < s->height * s->width; pixel++) pixels += !is_given(request, pixel);
    return pixels * (size_t)s->channels;
}

/* ---- Sampler ---- */

struct px_sampler {
    px_model *model;
    int group, groups; /* images of a group, and groups */
    px_decoder *decoder[];
};

/* With fewer images in a group, a thread spends more time on reading the weights than on multiplying. */
enum { MIN_GROUP = 8 };

/* The images of a group: an equal share of the images for each thread, but at least MIN_GROUP of them. */
static int group_images(const px_device *device, int images) {
    const int share = (images + device->workers - 1) / device->workers, min = images < MIN_GROUP ? images : MIN_GROUP;
    return share > min ? share : min;
}

static int group_count(int images, int group) { return group > 0 ? (images + group - 1) / group : 1; }

px_status px_sampler_plan(px_model *model, int images, size_t *bytes) {
    const int group = group_images(px_model_device(model), images);
    PX_TRY(px_decoder_plan(model, group, bytes));
    *bytes *= (size_t)group_count(images, group);
    return PX_OK;
}

px_status px_sampler_create(px_model *model, int images, px_sampler **out) {
    const int group = group_images(px_model_device(model), images), groups = group_count(images, group);
    const size_t bytes = sizeof(px_sampler) + (size_t)groups * sizeof(px_decoder *);
    px_sampler *sampler = calloc(1, bytes);
    *out = NULL;
    if (!sampler) return px_fail_memory(px_model_device(model)->ctx, "sampler", bytes);
    *sampler = (px_sampler){model, group, groups};
    px_status status = PX_OK;
    for (int g = 0; g < groups && status == PX_OK; g++) status = px_decoder_create(model, group, &sampler->decoder[g]);
    if (status == PX_OK)
        *out = sampler;
    else
        px_sampler_destroy(sampler);
    return status;
}

void px_sampler_destroy(px_sampler *sampler) {
    if (!sampler) return;
    for (int g = 0; g < sampler->groups; g++) px_decoder_destroy(sampler->decoder[g]);
    free(sampler);
}

int px_sampler_capacity(const px_sampler *sampler) { return sampler->group * sampler->groups; }

/* The images first .. first + images - 1 of a batch. */
typedef struct sample_group {
    int first, images;
} sample_group;

static sample_group group_at(const px_sampler *sampler, const px_sample_request *request, int g) {
    const int first = g * sampler->group, left = request->images - first;
    return (sample_group){first, left < sampler->group ? left : sampler->group};
}

/* Samples a row of pixels for one group. */
static px_status sample_row(const px_sampler *sampler, const px_sample_request *request, int g, int row) {
    const uint64_t first_image = request->first_image + (uint64_t)group_at(sampler, request, g).first;
    const uint8_t *given = request->keep ? request->keep + row * px_model_spec_of(sampler->model)->width : NULL;
    return px_decoder_sample_row(sampler->decoder[g], given, request->temperature, request->seed, first_image);
}

/* Polls for a stop, then issues a row of pixels for all groups. The device may not yet have finished the row before,
 * but all earlier ones, so that a stop or an update of the progress is not ahead of the device by more than that. */
static px_status sample_groups(const px_sampler *sampler, const px_sample_request *request, int groups, int row) {
    px_device *device = px_model_device(sampler->model);
    const px_status asked = px_stop_poll(request->stop);
    if (asked != PX_OK)
        return px_fail(device->ctx, asked, "sampling: stopped after %d of %d rows of pixels", row,
                       px_model_spec_of(sampler->model)->height);
    px_status worst = PX_OK;
#pragma omp parallel for schedule(static, 1) reduction(max : worst) if (groups > 1)
    for (int g = 0; g < groups; g++) {
        const px_status status = sample_row(sampler, request, g, row);
        if (status > worst) worst = status;
    }
    PX_TRY(worst);
    PX_TRY(device->ops->event_record(device, row % PX_DEVICE_EVENTS));
    return row > 0 ? device->ops->event_wait(device, (row - 1) % PX_DEVICE_EVENTS) : PX_OK;
}

px_status px_sample(px_sampler *sampler, const px_sample_request *request, uint8_t *levels, double *nats,
                    px_progress *progress) {
    const px_model_spec *s = px_model_spec_of(sampler->model);
    const size_t bytes = (size_t)s->height * (size_t)s->width * (size_t)s->channels;
    const size_t condition = px_condition_bytes(&s->condition, s->height, s->width, s->channels);
    const int groups = request->images > 0 ? group_count(request->images, sampler->group) : 0;
    const int64_t before = progress ? progress->done : 0;
    int pixels = s->height * s->width; /* up to the last that is sampled */
    while (pixels > 0 && is_given(request, pixels - 1)) pixels--;
    for (int g = 0; g < groups; g++) {
        const sample_group group = group_at(sampler, request, g);
        const uint8_t *given = request->given ? request->given + (size_t)group.first * bytes : NULL;
        const uint8_t *conditions = request->conditions ? request->conditions + (size_t)group.first * condition : NULL;
        PX_TRY(px_decoder_begin(sampler->decoder[g], group.images, given, conditions));
    }
    for (int row = 0; row * s->width < pixels; row++) {
        const int end = (row + 1) * s->width < pixels ? (row + 1) * s->width : pixels;
        PX_TRY(sample_groups(sampler, request, groups, row));
        if (progress) px_progress_update(progress, before + (int64_t)end * request->images, "");
    }
    for (int g = 0; g < groups; g++) {
        const size_t first = (size_t)group_at(sampler, request, g).first;
        PX_TRY(px_decoder_finish(sampler->decoder[g], levels + first * bytes, nats ? nats + first : NULL));
    }
    return PX_OK;
}

/* ---- Naive sampler ---- */

static px_status sample_pixel_naive(px_model *model, const px_sample_request *request, px_tensor image,
                                    px_tensor numbers, int pixel) {
    const px_model_spec *s = px_model_spec_of(model);
    const int row = pixel / s->width, column = pixel % s->width;
    PX_TRY(px_sample_upload_scalars(model->device, numbers, row, request->temperature, request->seed,
                                    request->first_image));
    for (int channel = 0; channel < s->channels; channel++) {
        px_tensor logits;
        PX_TRY(px_model_logits(model, request->images, &logits));
        logits = (px_tensor){logits.data, image.rows, image.columns * s->levels, logits.type};
        PX_TRY(px_run(model->device, sample, .logits = logits, .image = image, .numbers = numbers,
                      .offset = (size_t)(pixel * s->channels + channel) * (size_t)s->levels, .levels = s->levels,
                      .row_values = s->width * s->channels, .value = column * s->channels + channel,
                      .key = px_sample_key(column, channel)));
    }
    return PX_OK;
}

static px_status sample_naive(px_model *model, const px_sample_request *request, px_tensor numbers, uint8_t *levels) {
    px_device *device = model->device;
    const px_model_spec *s = px_model_spec_of(model);
    const px_tensor image = px_tensor_first_rows(px_model_images(model), (size_t)request->images);
    PX_TRY(request->given ? device->ops->upload(device, image.data, request->given, px_tensor_bytes(&image))
                          : device->ops->clear(device, image.data, px_tensor_bytes(&image)));
    PX_TRY(px_model_upload_conditions(model, request->conditions, request->images));
    for (int pixel = 0; pixel < s->height * s->width; pixel++)
        if (!is_given(request, pixel)) PX_TRY(sample_pixel_naive(model, request, image, numbers, pixel));
    return device->ops->download(device, levels, image.data, px_tensor_bytes(&image));
}

px_status px_sample_naive(px_model *model, const px_sample_request *request, uint8_t *levels) {
    px_arena arena;
    if (request->images == 0) return PX_OK;
    px_status status = px_arena_allocate(&arena, model->device, PX_TENSOR_ALIGN);
    if (status == PX_OK) {
        const px_tensor numbers = px_arena_tensor(&arena, 1, PX_SAMPLE_NUMBERS, PX_FLOAT64);
        status = sample_naive(model, request, numbers, levels);
    }
    px_arena_free(&arena);
    return status;
}
