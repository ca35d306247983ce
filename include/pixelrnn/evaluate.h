/* Negative log-likelihood of a set of images, and what it is held against. */
#ifndef PIXELRNN_EVALUATE_H
#define PIXELRNN_EVALUATE_H

#include "pixelrnn/model.h"
#include "pixelrnn/ranks.h"
#include "pixelrnn/source.h"
#include "pixelrnn/stop.h"

struct px_progress; /* host/logging/logging.h; NULL reports nothing */

typedef struct px_evaluation {
    size_t images;
    double nats_per_image; /* mean */
    double standard_error; /* of that mean: sqrt(sum of (nats - mean)^2 / (n (n - 1))) over n images; 0 of one */
    double bits_per_dim;   /* nats / (H W C ln 2) */
} px_evaluation;

typedef struct px_evaluate_options {
    int batch;     /* images at a time; a model must be reserved for as many */
    size_t limit;  /* evaluate so many images, chosen by the seed: the same ones each time; 0: all */
    bool binarize; /* see px_loader_options */
    uint64_t seed; /* of the choice and of the binarisation */
    int levels;    /* L */
    /* Batches are dealt out whole, so every image is in the batch that it is in on one rank. NULL: alone. */
    px_ranks *ranks;
    px_stop *stop; /* polled before each batch; NULL: never */
} px_evaluate_options;

/* Evaluates all images of source, or those that are chosen, in file order. per_image, if not NULL, gets the nats of
 * each; progress, if not NULL, is told of this rank's. Every rank has the figures of all images afterwards.
 * PX_ERR_NUMERIC names the first image whose NLL is not finite; PX_ERR_CONFIG if the images are not of the model's
 * size; PX_STOPPED or PX_INTERRUPTED, on all ranks if on one, says how far it came. */
px_status px_evaluate(px_model *model, px_source *source, const px_evaluate_options *options, double *per_image,
                      struct px_progress *progress, px_evaluation *evaluation);

/* NLL under independent pixels: a value (i, j, c) has level l with probability (n + 1) / (N + L), where n of N images
 * of `train`, at most 10,000, chosen by the seed, have level l there. It takes the images of `test` that px_evaluate
 * takes. What a model must beat. */
px_status px_evaluate_independent(px_device *device, px_source *train, px_source *test,
                                  const px_evaluate_options *options, px_evaluation *evaluation);

/* PX_ERR_CONFIG, naming both, unless source's images are of the model's size. */
px_status px_evaluate_check(px_context *ctx, const px_model_spec *spec, const px_source *source);

#endif
