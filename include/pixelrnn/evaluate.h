/* Negative log-likelihood (NLL) of a set of images under a model, and under independent pixels for comparison. */
#ifndef PIXELRNN_EVALUATE_H
#define PIXELRNN_EVALUATE_H

#include "pixelrnn/model.h"
#include "pixelrnn/ranks.h"
#include "pixelrnn/source.h"
#include "pixelrnn/stop.h"

struct px_progress; /* the progress line of host/logging/logging.h */

typedef struct px_evaluation {
    size_t images;         /* images evaluated */
    double nats_per_image; /* mean NLL */
    double standard_error; /* of the mean: sqrt(sum of (nats - mean)^2 / (n (n - 1))) over n images; 0 if n is 1 */
    double bits_per_dim;   /* nats_per_image / (H W C ln 2) */
} px_evaluation;

/* Writes an NLL for a progress line: "79.312 nats/image", for colour images also "3.1412 bits/dim". */
enum { PX_NLL_TEXT = 64 };
void px_nll_text(const px_model_spec *spec, double nats_per_image, char text[PX_NLL_TEXT]);

typedef struct px_evaluate_options {
    int batch;     /* images at a time, at most those that the model is reserved for */
    size_t limit;  /* evaluate this many images, chosen from the whole source by the seed; 0: all */
    bool binarize; /* sample binary pixels from the intensities, see px_loader_options */
    uint64_t seed; /* of the choice of images and of binarize */
    int levels;    /* L, levels of a value */
    /* Ranks that share the images; NULL: one process. Each rank takes whole batches, so that every image is in the same
     * batch for any number of ranks. */
    px_ranks *ranks;
    px_stop *stop; /* stop request, polled before each batch; NULL: none */
} px_evaluate_options;

/* Evaluates the images of `source`, or those that options->limit chooses, in the order of the source. All ranks must
 * call it, and all get the result for all images.
 * model: reserved for at least options->batch images. per_image: gets the nats of each image; may be NULL. progress:
 * shows the images of this rank that are done; may be NULL.
 * PX_ERR_NUMERIC: the NLL of an image is not finite; the message names the image. PX_ERR_CONFIG: px_evaluate_check
 * fails. PX_STOPPED, PX_INTERRUPTED: a stop request to any rank ended it on all, without a result.
 * PX_ERR_FILE, PX_ERR_FORMAT: the source cannot be read. PX_ERR_MEMORY, PX_ERR_DEVICE. */
px_status px_evaluate(px_model *model, px_source *source, const px_evaluate_options *options, double *per_image,
                      struct px_progress *progress, px_evaluation *evaluation);

/* Classification by Bayes' rule with equal priors: the class of an image is the one with the largest p(image | class),
 * and the smallest of equally good ones. */
typedef struct px_classification {
    size_t images;
    double accuracy;       /* fraction of the images whose class is their label */
    double standard_error; /* of the accuracy, as that of the mean in px_evaluation */
} px_classification;

/* Classifies the images of `source` by a model of condition class. As px_evaluate in all else. A forward pass is over
 * options->batch pairs of an image and a class. */
px_status px_classify(px_model *model, px_source *source, const px_evaluate_options *options,
                      struct px_progress *progress, px_classification *classification);

/* NLL under independent pixels, which a model should improve on. Value (i, j, c) has level l with probability
 * (n + 1) / (N + L), where n of N images of `train` have level l there. N is the number of training images, or 10,000
 * of them chosen by the seed if there are more. Evaluates the same images of `test` as px_evaluate, on the calling rank
 * alone; `device` provides host memory for loading. Errors as for px_evaluate, without PX_ERR_NUMERIC. */
px_status px_evaluate_independent(px_device *device, px_source *train, px_source *test,
                                  const px_evaluate_options *options, px_evaluation *evaluation);

/* PX_ERR_CONFIG, with both sizes, unless the images of `source` have the height, width and channels of `spec`. Fails as
 * px_source_check_condition does if they have not what its condition needs. */
px_status px_evaluate_check(px_context *ctx, const px_model_spec *spec, const px_source *source);

#endif
