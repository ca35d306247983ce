/* Drawing images value by value, in the order row, column, channel; completing images of which some pixels are given.
 *
 * The uniform number behind a value is a function of (seed, image, row, column, channel) alone (random.h), so image n
 * of a seed is the same picture whatever the batch. */
#ifndef PIXELRNN_SAMPLE_H
#define PIXELRNN_SAMPLE_H

#include "pixelrnn/model.h"
#include "pixelrnn/report.h"

typedef struct px_sample_request {
    uint64_t seed;
    uint64_t first_image; /* number of the first image: keys its randomness */
    int images;           /* at most what the model is reserved for */
    double temperature;   /* > 0; 1: the model's own distribution */
    const uint8_t *given; /* levels [images, H, W, C] of the given pixels; NULL when all are drawn */
    const uint8_t *keep;  /* [H, W], not 0: the pixel is given; NULL with given NULL */
} px_sample_request;

/* Draws the values that are not given, running the whole network for each: the plain way, which faster ones are held
 * to. levels [images, H, W, C] gets all of them, the given ones untouched. progress, if not NULL, counts pixels. */
px_status px_sample(px_model *model, const px_sample_request *request, uint8_t *levels, px_progress *progress);

#endif
