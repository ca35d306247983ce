/* Negative log-likelihood of a set of images. */
#include "pixelrnn/evaluate.h"
#include "pixelrnn/loader.h"
#include "host/device/backend.h"
#include "host/logging/logging.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Running mean and variance (Welford). */
typedef struct running_moments {
    size_t count;
    double mean, squares;
} running_moments;

static void moments_add(running_moments *moments, double value) {
    const double distance = value - moments->mean;
    moments->count++;
    moments->mean += distance / (double)moments->count;
    moments->squares += distance * (value - moments->mean);
}

static px_evaluation moments_evaluation(const running_moments *m, size_t values) {
    const double count = (double)m->count;
    return (px_evaluation){.images = m->count,
                           .nats_per_image = m->mean,
                           .standard_error = m->count > 1 ? sqrt(m->squares / (count - 1) / count) : 0,
                           .bits_per_dim = m->mean / ((double)values * log(2))};
}

void px_nll_text(const px_model_spec *spec, double nats, char text[PX_NLL_TEXT]) {
    const double bits = nats / ((double)spec->height * spec->width * spec->channels * log(2));
    const int length = snprintf(text, PX_NLL_TEXT, "%.3f nats/image", nats);
    if (spec->channels > 1) snprintf(text + length, PX_NLL_TEXT - (size_t)length, "  %.4f bits/dim", bits);
}

px_status px_evaluate_check(px_context *ctx, const px_model_spec *spec, const px_source *source) {
    if (source->height == spec->height && source->width == spec->width && source->channels == spec->channels)
        return px_source_check_condition(ctx, source, &spec->condition);
    return px_fail(ctx, PX_ERR_CONFIG, "%s: found images of %d x %d x %d, expected %d x %d x %d as the model's",
                   source->name, source->height, source->width, source->channels, spec->height, spec->width,
                   spec->channels);
}

/* Called for each batch of a pass. */
typedef px_status (*batch_visitor)(void *visitor, const px_batch *batch);

/* The images of a source that a pass visits. */
typedef struct image_selection {
    size_t count;
    size_t *indices; /* ascending; NULL: all images */
} image_selection;

/* Chooses `limit` images by the seed; 0 or too large: all. */
static px_status select_images(px_context *ctx, const px_source *source, size_t limit, uint64_t seed,
                               image_selection *s) {
    *s = (image_selection){.count = source->count};
    if (limit == 0 || limit >= source->count) return PX_OK;
    s->count = limit;
    s->indices = malloc(limit * sizeof *s->indices);
    if (!s->indices) return px_fail_memory(ctx, source->name, limit * sizeof *s->indices);
    px_choose(seed, source->count, limit, s->indices);
    return PX_OK;
}

/* Calls visit for each batch of images part.first .. part.first + part.count - 1 of the selection, in file order. */
static px_status visit_batches(px_device *device, px_source *source, const image_selection *selection,
                               const px_evaluate_options *o, px_condition condition, px_share part, batch_visitor visit,
                               void *visitor) {
    const px_loader_options options = {.levels = o->levels,
                                       .batch_size = o->batch,
                                       .order = PX_LOADER_PASS,
                                       .seed = o->seed,
                                       .binarize = o->binarize,
                                       .condition = condition,
                                       .subset = selection->indices,
                                       .subset_count = selection->count};
    size_t left = part.count;
    px_loader *loader;
    PX_TRY(px_loader_open(device->ctx, device, source, &options, &loader));
    px_status status = PX_OK;
    for (int64_t step = (int64_t)(part.first / (size_t)o->batch); left > 0 && status == PX_OK; step++) {
        px_batch batch;
        status = px_stop_poll(o->stop);
        if (status != PX_OK)
            px_fail(device->ctx, status, "%s: stopped after %zu of %zu images, without a result", source->name,
                    part.count - left, part.count);
        if (status == PX_OK) status = px_loader_next(loader, step, &batch);
        if (status != PX_OK || batch.images == 0) break;
        if ((size_t)batch.images > left) batch.images = (int)left;
        status = visit(visitor, &batch);
        left -= (size_t)batch.images;
    }
    px_loader_close(loader);
    return status;
}

/* ---- A model ---- */

typedef struct model_visitor {
    px_model *model;
    const px_source *source;
    const image_selection *selection;
    double *results; /* of each image of the selection: nats, or 1 if it is classified correctly and 0 if not */
    px_progress *progress;
    size_t done;
    double sum; /* of results, for the progress line */
    int batch;  /* images of a forward pass */
} model_visitor;

/* PX_ERR_NUMERIC, with the index of the image in its source, unless its NLL is finite. */
static px_status check_finite(const model_visitor *v, size_t at, double nats) {
    if (isfinite(nats)) return PX_OK;
    return px_fail(px_model_device(v->model)->ctx, PX_ERR_NUMERIC, "%s: NLL of image %zu is not finite (%g)",
                   v->source->name, v->selection->indices ? v->selection->indices[at] : at, nats);
}

/* Adds the results of a batch to the progress line. */
static void show_progress(model_visitor *v, const px_batch *batch) {
    char detail[PX_NLL_TEXT];
    for (int i = 0; i < batch->images; i++) v->sum += v->results[batch->first + (size_t)i];
    v->done += (size_t)batch->images;
    const double mean = v->sum / (double)v->done;
    if (v->batch > 0)
        snprintf(detail, sizeof detail, "accuracy %.4f", mean);
    else
        px_nll_text(px_model_spec_of(v->model), mean, detail);
    if (v->progress) px_progress_update(v->progress, (int64_t)v->done, detail);
}

static px_status visit_model(void *visitor, const px_batch *batch) {
    model_visitor *v = visitor;
    double *nats = v->results + batch->first;
    PX_TRY(px_model_forward(v->model, batch->levels, batch->conditions, batch->images, false));
    PX_TRY(px_model_nats(v->model, nats));
    for (int i = 0; i < batch->images; i++) PX_TRY(check_finite(v, batch->first + (size_t)i, nats[i]));
    show_progress(v, batch);
    return PX_OK;
}

/* Calls visit for the images of `source` that options choose, and adds the results to *moments. per_image: gets the
 * results, too, unless NULL. */
static px_status visit_images(model_visitor *v, px_source *source, const px_evaluate_options *options,
                              batch_visitor visit, double *per_image, running_moments *moments) {
    px_device *device = px_model_device(v->model);
    const px_model_spec *spec = px_model_spec_of(v->model);
    const size_t unit = (size_t)options->batch;
    image_selection selection;
    PX_TRY(px_evaluate_check(device->ctx, spec, source));
    px_status status = select_images(device->ctx, source, options->limit, options->seed, &selection);
    double *results = per_image ? per_image : malloc(selection.count * sizeof *results);
    if (!results) status = px_fail_memory(device->ctx, "evaluate", selection.count * sizeof *results);
    /* Each rank evaluates its part, then all gather the results. */
    const px_share part = px_ranks_share(options->ranks, selection.count, unit);
    v->source = source;
    v->selection = &selection;
    v->results = results;
    if (status == PX_OK) {
        status = visit_batches(device, source, &selection, options, spec->condition, part, visit, v);
        status = px_ranks_agree(options->ranks, status);
    }
    if (status == PX_OK) status = px_ranks_gather(options->ranks, results, selection.count, unit, sizeof *results);
    for (size_t i = 0; i < selection.count && status == PX_OK; i++) moments_add(moments, results[i]);
    if (!per_image) free(results);
    free(selection.indices);
    return status;
}

px_status px_evaluate(px_model *model, px_source *source, const px_evaluate_options *options, double *per_image,
                      px_progress *progress, px_evaluation *evaluation) {
    const px_model_spec *spec = px_model_spec_of(model);
    model_visitor visitor = {.model = model, .progress = progress};
    running_moments moments = {0};
    const px_status status = visit_images(&visitor, source, options, visit_model, per_image, &moments);
    *evaluation = moments_evaluation(&moments, (size_t)spec->height * (size_t)spec->width * (size_t)spec->channels);
    return status;
}

/* ---- Classification ---- */

/* Computes the nats of every image of a batch given every class, [images, classes], options->batch of them at a time.
 * Pair p is image p / classes given class p mod classes. */
static px_status nats_of_classes(const model_visitor *v, const px_batch *batch, double *nats) {
    const px_model_spec *spec = px_model_spec_of(v->model);
    const size_t bytes = (size_t)spec->height * (size_t)spec->width * (size_t)spec->channels;
    const size_t classes = (size_t)spec->condition.classes, pairs = (size_t)batch->images * classes;
    const size_t pass = (size_t)v->batch;
    uint8_t *levels = malloc(pass * (bytes + PX_LABEL_BYTES)), *labels = levels + pass * bytes;
    if (!levels) return px_fail_memory(px_model_device(v->model)->ctx, "classify", pass * (bytes + PX_LABEL_BYTES));
    px_status status = PX_OK;
    for (size_t first = 0; first < pairs && status == PX_OK; first += pass) {
        const size_t count = pairs - first < pass ? pairs - first : pass;
        for (size_t i = 0; i < count; i++) {
            memcpy(levels + i * bytes, batch->levels + (first + i) / classes * bytes, bytes);
            px_condition_set_label(labels + i * PX_LABEL_BYTES, (int)((first + i) % classes));
        }
        status = px_model_forward(v->model, levels, labels, (int)count, false);
        if (status == PX_OK) status = px_model_nats(v->model, nats + first);
    }
    free(levels);
    return status;
}

static px_status visit_classes(void *visitor, const px_batch *batch) {
    model_visitor *v = visitor;
    const size_t images = (size_t)batch->images, classes = (size_t)px_model_spec_of(v->model)->condition.classes;
    double *nats = malloc(images * classes * sizeof *nats);
    if (!nats) return px_fail_memory(px_model_device(v->model)->ctx, "classify", images * classes * sizeof *nats);
    px_status status = nats_of_classes(v, batch, nats);
    for (size_t n = 0; n < images && status == PX_OK; n++) {
        const double *of_class = nats + n * classes;
        size_t best = 0;
        for (size_t k = 0; k < classes && status == PX_OK; k++) {
            status = check_finite(v, batch->first + n, of_class[k]);
            if (of_class[k] < of_class[best]) best = k;
        }
        const int label = px_condition_label(batch->conditions + n * PX_LABEL_BYTES);
        v->results[batch->first + n] = (int)best == label;
    }
    free(nats);
    if (status == PX_OK) show_progress(v, batch);
    return status;
}

px_status px_classify(px_model *model, px_source *source, const px_evaluate_options *options, px_progress *progress,
                      px_classification *classification) {
    model_visitor visitor = {.model = model, .progress = progress, .batch = options->batch};
    running_moments moments = {0};
    const px_status status = visit_images(&visitor, source, options, visit_classes, NULL, &moments);
    const px_evaluation e = moments_evaluation(&moments, 1);
    *classification = (px_classification){e.images, e.nats_per_image, e.standard_error};
    return status;
}

/* ---- Independent pixels ---- */

enum { PX_INDEPENDENT_IMAGES = 10000 };

typedef struct independent_visitor {
    size_t values, levels;
    uint32_t *counts; /* (values, levels) */
    size_t counted;   /* images in counts */
    running_moments moments;
} independent_visitor;

static px_status count_batch(void *visitor, const px_batch *batch) {
    independent_visitor *v = visitor;
    for (int n = 0; n < batch->images; n++)
        for (size_t i = 0; i < v->values; i++) v->counts[i * v->levels + batch->levels[(size_t)n * v->values + i]]++;
    v->counted += (size_t)batch->images;
    return PX_OK;
}

static px_status evaluate_batch(void *visitor, const px_batch *batch) {
    independent_visitor *v = visitor;
    for (int n = 0; n < batch->images; n++) {
        double nats = 0;
        for (size_t i = 0; i < v->values; i++) {
            const double count = v->counts[i * v->levels + batch->levels[(size_t)n * v->values + i]] + 1.0;
            nats -= log(count / (double)(v->counted + v->levels));
        }
        moments_add(&v->moments, nats);
    }
    return PX_OK;
}

/* One pass over `limit` images, on this rank alone. */
static px_status visit_single_process(px_device *device, px_source *source, size_t limit,
                                      const px_evaluate_options *options, batch_visitor visit, void *visitor) {
    image_selection selection;
    PX_TRY(select_images(device->ctx, source, limit, options->seed, &selection));
    const px_status status = visit_batches(device, source, &selection, options, (px_condition){0},
                                           (px_share){0, selection.count}, visit, visitor);
    free(selection.indices);
    return status;
}

px_status px_evaluate_independent(px_device *device, px_source *train, px_source *test,
                                  const px_evaluate_options *options, px_evaluation *evaluation) {
    independent_visitor visitor = {.levels = (size_t)options->levels};
    visitor.values = (size_t)train->height * (size_t)train->width * (size_t)train->channels;
    visitor.counts = calloc(visitor.values * visitor.levels, sizeof *visitor.counts);
    if (!visitor.counts)
        return px_fail_memory(device->ctx, "evaluate", visitor.values * visitor.levels * sizeof *visitor.counts);
    px_status status = visit_single_process(device, train, PX_INDEPENDENT_IMAGES, options, count_batch, &visitor);
    if (status == PX_OK) status = visit_single_process(device, test, options->limit, options, evaluate_batch, &visitor);
    free(visitor.counts);
    *evaluation = moments_evaluation(&visitor.moments, visitor.values);
    return status;
}
