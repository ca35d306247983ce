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

/* What is done with each batch of a pass. */
typedef px_status (*px_batch_visitor)(void *visitor, const px_batch *batch);

/* How many images a pass over source takes. */
static size_t px_visited(const px_source *source, size_t limit) {
    return limit > 0 && limit < source->count ? limit : source->count;
}

/* Asked before a batch, `left` of the images from the last. */
static px_status px_visit_stopped(px_context *ctx, const px_source *source, px_stop *stop, px_share part, size_t left) {
    const px_status asked = px_stop_poll(stop);
    if (asked == PX_OK) return PX_OK;
    return px_fail(ctx, asked, "%s: stopped after %zu of %zu images, without a result", source->name, part.count - left,
                   part.count);
}

/* Hands images part.first .. part.first + part.count - 1 of source to visit, batch by batch, in file order. */
static px_status px_visit(px_device *device, px_source *source, const px_evaluate_options *o, px_share part,
                          px_batch_visitor visit, void *visitor) {
    const px_loader_options options = {
        .levels = o->levels, .batch_size = o->batch, .order = PX_LOADER_PASS, .seed = o->seed, .binarize = o->binarize};
    size_t left = part.count;
    px_loader *loader;
    PX_TRY(px_loader_open(device->ctx, device, source, &options, &loader));
    px_status status = PX_OK;
    for (int64_t step = (int64_t)(part.first / (size_t)o->batch); left > 0 && status == PX_OK; step++) {
        px_batch batch;
        status = px_visit_stopped(device->ctx, source, o->stop, part, left);
        if (status == PX_OK) status = px_loader_next(loader, step, &batch);
        if (status != PX_OK || batch.images == 0) break;
        if ((size_t)batch.images > left) batch.images = (int)left;
        status = visit(visitor, &batch);
        left -= (size_t)batch.images;
    }
    px_loader_close(loader);
    return status;
}

/* --- A model ------------------------------------------------------------------------------------------------------ */

typedef struct px_model_visitor {
    px_model *model;
    const px_source *source;
    double *nats; /* of each image of the source */
    px_progress *progress;
    size_t done;
    double sum; /* of nats, for the progress line */
} px_model_visitor;

static px_status px_visit_model(void *visitor, const px_batch *batch) {
    px_model_visitor *v = visitor;
    double *nats = v->nats + batch->first;
    PX_TRY(px_model_forward(v->model, batch->levels, batch->images, false));
    PX_TRY(px_model_nats(v->model, nats));
    for (int i = 0; i < batch->images; i++) {
        if (!isfinite(nats[i]))
            return px_fail(px_model_device(v->model)->ctx, PX_ERR_NUMERIC, "%s: NLL of image %zu is not finite (%g)",
                           v->source->name, batch->first + (size_t)i, nats[i]);
        v->sum += nats[i];
    }
    v->done += (size_t)batch->images;
    char detail[64];
    snprintf(detail, sizeof detail, "%.3f nats/image", v->sum / (double)v->done);
    if (v->progress) px_progress_update(v->progress, (int64_t)v->done, detail);
    return PX_OK;
}

/* nats of all `images` images, this rank's by its model, the others' by theirs. */
static px_status px_evaluate_images(px_model *model, px_source *source, const px_evaluate_options *o, size_t images,
                                    double *nats, px_progress *progress) {
    px_device *device = px_model_device(model);
    const size_t unit = (size_t)o->batch;
    px_model_visitor visitor = {.model = model, .source = source, .nats = nats, .progress = progress};
    const px_share part = px_ranks_share(o->ranks, images, unit);
    PX_TRY(px_ranks_agree(o->ranks, px_visit(device, source, o, part, px_visit_model, &visitor)));
    return px_ranks_gather(o->ranks, nats, images, unit, sizeof *nats);
}

px_status px_evaluate(px_model *model, px_source *source, const px_evaluate_options *options, double *per_image,
                      px_progress *progress, px_evaluation *evaluation) {
    px_device *device = px_model_device(model);
    const px_model_spec *spec = px_model_spec_of(model);
    const size_t images = px_visited(source, options->limit);
    PX_TRY(px_evaluate_check(device->ctx, spec, source));
    double *nats = per_image ? per_image : malloc(images * sizeof *nats);
    if (!nats) return px_fail(device->ctx, PX_ERR_MEMORY, "evaluate: cannot allocate %zu figures", images);
    const px_status status = px_evaluate_images(model, source, options, images, nats, progress);
    px_moments moments = {0};
    for (size_t i = 0; i < images && status == PX_OK; i++) px_moments_add(&moments, nats[i]);
    if (!per_image) free(nats);
    *evaluation = px_moments_evaluation(&moments, (size_t)spec->height * (size_t)spec->width * (size_t)spec->channels);
    return status;
}

/* --- Independent pixels ------------------------------------------------------------------------------------------- */

enum { PX_INDEPENDENT_IMAGES = 10000 };

typedef struct px_independent_visitor {
    size_t values, levels;
    uint32_t *counts; /* (values, levels) */
    size_t counted;   /* images behind counts */
    px_moments moments;
} px_independent_visitor;

static px_status px_count_batch(void *visitor, const px_batch *batch) {
    px_independent_visitor *v = visitor;
    for (int n = 0; n < batch->images; n++)
        for (size_t i = 0; i < v->values; i++) v->counts[i * v->levels + batch->levels[(size_t)n * v->values + i]]++;
    v->counted += (size_t)batch->images;
    return PX_OK;
}

static px_status px_score_batch(void *visitor, const px_batch *batch) {
    px_independent_visitor *v = visitor;
    for (int n = 0; n < batch->images; n++) {
        double nats = 0;
        for (size_t i = 0; i < v->values; i++) {
            const double count = v->counts[i * v->levels + batch->levels[(size_t)n * v->values + i]] + 1.0;
            nats -= log(count / (double)(v->counted + v->levels));
        }
        px_moments_add(&v->moments, nats);
    }
    return PX_OK;
}

px_status px_evaluate_independent(px_device *device, px_source *train, px_source *test,
                                  const px_evaluate_options *options, px_evaluation *evaluation) {
    px_independent_visitor visitor = {.levels = (size_t)options->levels};
    visitor.values = (size_t)train->height * (size_t)train->width * (size_t)train->channels;
    visitor.counts = calloc(visitor.values * visitor.levels, sizeof *visitor.counts);
    if (!visitor.counts) return px_fail(device->ctx, PX_ERR_MEMORY, "evaluate: cannot allocate counts of levels");
    const px_share counted = {0, px_visited(train, PX_INDEPENDENT_IMAGES)},
                   scored = {0, px_visited(test, options->limit)};
    px_status status = px_visit(device, train, options, counted, px_count_batch, &visitor);
    if (status == PX_OK) status = px_visit(device, test, options, scored, px_score_batch, &visitor);
    free(visitor.counts);
    *evaluation = px_moments_evaluation(&visitor.moments, visitor.values);
    return status;
}
