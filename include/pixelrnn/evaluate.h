/* Negative log-likelihood of a set of images, and what it is held against. */
#ifndef PIXELRNN_EVALUATE_H
#define PIXELRNN_EVALUATE_H

#include "pixelrnn/model.h"
#include "pixelrnn/report.h"
#include "pixelrnn/source.h"

typedef struct px_evaluation {
    size_t images;
    double nats_per_image; /* mean */
    double standard_error; /* of that mean, over images */
    double bits_per_dim;   /* nats / (H W C ln 2) */
} px_evaluation;

/* Evaluates the first `limit` images of source (0: all) in file order, `batch` at a time; the model must be reserved
 * for that many. per_image, if not NULL, gets the nats of each; progress, if not NULL, is told. PX_ERR_NUMERIC names
 * the first image whose NLL is not finite; PX_ERR_SHAPE if the images are not of the model's size. */
px_status px_evaluate(px_model *model, px_source *source, int batch, size_t limit, double *per_image,
                      px_progress *progress, px_evaluation *evaluation);

/* NLL under independent pixels: each value (i, j, c) has the frequencies of its levels in the first images of `train`
 * (at most 10,000; one count added to each level). What a model must beat. */
px_status px_evaluate_independent(px_context *ctx, px_source *train, px_source *test, int levels, size_t limit,
                                  px_evaluation *evaluation);

/* PX_ERR_CONFIG, naming both, unless source's images are of the model's size. */
px_status px_evaluate_check(px_context *ctx, const px_model_spec *spec, const px_source *source);

#endif
