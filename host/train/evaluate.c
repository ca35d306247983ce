/* Negative log-likelihood of a set of images. */
#include "pixelrnn/evaluate.h"
#include "pixelrnn/loader.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Running mean and variance (Welford). */
typedef struct px_moments {
    size_t count;
    double mean, squares;
} px_moments;

static void px_moments_add(px_moments *moments, double value) {
    const double distance = value - moments->mean;
    moments->count++;
    moments->mean += distance / (double)moments->count;
    moments->squares += distance * (value - moments->mean);
}

static px_evaluation px_moments_evaluation(const px_moments *m, size_t values) {
    const double count = (double)m->count;
    return (px_evaluation){.images = m->count,
                           .nats_per_image = m->mean,
                           .standard_error = m->count > 1 ? sqrt(m->squares / (count - 1) / count) : 0,
                           .bits_per_dim = m->mean / ((double)values * log(2))};
}

px_status px_evaluate_check(px_context *ctx, const px_model_spec *spec, const px_source *source) {
    if (source->height == spec->height && source->width == spec->width && source->channels == spec->channels)
        return PX_OK;
    return px_fail(ctx, PX_ERR_CONFIG, "%s: found images of %d x %d x %d, expected %d x %d x %d as the model's",
                   source->name, source->height, source->width, source->channels, spec->height, spec->width,
                   spec->channels);
}

static px_status px_evaluate_batch(px_model *model, const px_source *source, const px_batch *batch, double *nats,
                                   px_moments *moments) {
    PX_TRY(px_model_forward(model, batch->levels, batch->images, false));
    PX_TRY(px_model_nats(model, nats));
    for (int i = 0; i < batch->images; i++) {
        if (!isfinite(nats[i]))
            return px_fail(px_model_device(model)->ctx, PX_ERR_NUMERIC, "%s: NLL of image %zu is not finite (%g)",
                           source->name, moments->count, nats[i]);
        px_moments_add(moments, nats[i]);
    }
    return PX_OK;
}

static px_status px_evaluate_batches(px_model *model, px_source *source, px_loader *loader, size_t limit, double *nats,
                                     double *per_image, px_progress *progress, px_moments *moments) {
    for (int64_t step = 0; moments->count < limit; step++) {
        px_batch batch;
        PX_TRY(px_loader_next(loader, step, &batch));
        if (batch.images == 0) break;
        if ((size_t)batch.images > limit - moments->count) batch.images = (int)(limit - moments->count);
        const size_t first = moments->count;
        PX_TRY(px_evaluate_batch(model, source, &batch, nats, moments));
        for (int i = 0; per_image && i < batch.images; i++) per_image[first + (size_t)i] = nats[i];
        char detail[64];
        snprintf(detail, sizeof detail, "%.3f nats/image", moments->mean);
        if (progress) px_progress_update(progress, (int64_t)moments->count, detail);
    }
    return PX_OK;
}

px_status px_evaluate(px_model *model, px_source *source, int batch, size_t limit, double *per_image,
                      px_progress *progress, px_evaluation *evaluation) {
    px_device *device = px_model_device(model);
    const px_model_spec *spec = px_model_spec_of(model);
    PX_TRY(px_evaluate_check(device->ctx, spec, source));
    px_loader *loader = NULL;
    px_moments moments = {0};
    double *nats = malloc((size_t)batch * sizeof *nats);
    px_status status = nats ? PX_OK
                            : px_fail(device->ctx, PX_ERR_MEMORY, "evaluate: cannot allocate %d figures", batch);
    if (status == PX_OK)
        status = px_loader_open(device->ctx, device, source, spec->levels, batch, PX_LOADER_PASS, 0, &loader);
    if (status == PX_OK)
        status = px_evaluate_batches(model, source, loader, limit ? limit : source->count, nats, per_image, progress,
                                     &moments);
    px_loader_close(loader);
    free(nats);
    *evaluation = px_moments_evaluation(&moments, (size_t)spec->height * (size_t)spec->width * (size_t)spec->channels);
    return status;
}

/* --- Independent pixels ----------------------------------------------------------------------------------------------
 */

enum { PX_INDEPENDENT_IMAGES = 10000 };

static px_status px_count_levels(px_context *ctx, px_source *train, int levels, uint8_t *image, size_t values,
                                 uint32_t *counts, size_t images) {
    for (size_t n = 0; n < images; n++) {
        PX_TRY(train->read(train, ctx, n, image));
        for (size_t v = 0; v < values; v++) counts[v * (size_t)levels + px_quantise(image[v], levels)]++;
    }
    return PX_OK;
}

static px_status px_score_independent(px_context *ctx, px_source *test, int levels, uint8_t *image, size_t values,
                                      const uint32_t *counts, size_t counted, size_t images, px_moments *moments) {
    for (size_t n = 0; n < images; n++) {
        double nats = 0;
        PX_TRY(test->read(test, ctx, n, image));
        for (size_t v = 0; v < values; v++)
            nats -= log((counts[v * (size_t)levels + px_quantise(image[v], levels)] + 1.0) /
                        (double)(counted + (size_t)levels));
        px_moments_add(moments, nats);
    }
    return PX_OK;
}

px_status px_evaluate_independent(px_context *ctx, px_source *train, px_source *test, int levels, size_t limit,
                                  px_evaluation *evaluation) {
    const size_t values = (size_t)train->height * (size_t)train->width * (size_t)train->channels;
    const size_t counted = train->count < PX_INDEPENDENT_IMAGES ? train->count : PX_INDEPENDENT_IMAGES;
    const size_t scored = limit && limit < test->count ? limit : test->count;
    uint8_t *image = malloc(values);
    uint32_t *counts = calloc(values * (size_t)levels, sizeof *counts);
    px_moments moments = {0};
    px_status status = image && counts ? PX_OK : px_fail(ctx, PX_ERR_MEMORY, "evaluate: cannot allocate level counts");
    if (status == PX_OK) status = px_count_levels(ctx, train, levels, image, values, counts, counted);
    if (status == PX_OK)
        status = px_score_independent(ctx, test, levels, image, values, counts, counted, scored, &moments);
    free(image);
    free(counts);
    *evaluation = px_moments_evaluation(&moments, values);
    return status;
}
