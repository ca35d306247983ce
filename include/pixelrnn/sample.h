/* Drawing images value by value, in the order row, column, channel; completing images of which some pixels are given.
 *
 * A value is the least level at which the cumulative probability is above u = px_uniform(word 0, word 1) of
 * px_random(seed, PX_RANDOM_SAMPLE, image, row << 32 | column << 8 | channel); probabilities are softmax(logits /
 * temperature). So image n of a seed is the same picture whatever the batch. */
#ifndef PIXELRNN_SAMPLE_H
#define PIXELRNN_SAMPLE_H

#include "pixelrnn/decoder.h"
#include "pixelrnn/stop.h"

struct px_progress; /* host/logging/logging.h; NULL reports nothing */

typedef struct px_sample_request {
    uint64_t seed;
    uint64_t first_image; /* number of the first image: keys its randomness */
    int images;           /* at most what the decoder or the model is made for */
    double temperature;   /* > 0; 1: the model's own distribution */
    const uint8_t *given; /* levels [images, H, W, C] of the given pixels; NULL when all are drawn */
    const uint8_t *keep;  /* [H, W], not 0: the pixel is given; NULL with given NULL */
    px_stop *stop;        /* polled before each row of pixels; NULL: never */
} px_sample_request;

/* Draws the values that are not given. levels [images, H, W, C] gets all of them, the given ones untouched. nats, if
 * not NULL, gets for each image -ln p of what was drawn (at temperature 1, whatever the request's): for an image of
 * which nothing is given, its NLL. progress, if not NULL, counts pixels. PX_STOPPED or PX_INTERRUPTED leaves levels and
 * nats undefined, and the decoder ready to begin again. */
px_status px_sample(px_decoder *decoder, const px_sample_request *request, uint8_t *levels, double *nats,
                    struct px_progress *progress);

/* The same by running the whole network for every value, on a model reserved for the images: the plain way, which
 * px_sample is held to. */
px_status px_sample_naive(px_model *model, const px_sample_request *request, uint8_t *levels);

/* Values that the request draws of each image. */
size_t px_sample_values(const px_model_spec *spec, const px_sample_request *request);

#endif
