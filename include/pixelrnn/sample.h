/* Sampling images value by value, in the order row, column, channel, and completing images of which some pixels are
 * given.
 *
 * The sampled level is the smallest one whose cumulative probability under softmax(logits / temperature) exceeds
 *     u = px_uniform(word 0, word 1) of px_random(seed, PX_RANDOM_SAMPLE, image, row << 32 | column << 8 | channel)
 * (Philox 4x32-10). Image n of a seed is therefore the same, whatever the batch size. */
#ifndef PIXELRNN_SAMPLE_H
#define PIXELRNN_SAMPLE_H

#include "pixelrnn/decoder.h"
#include "pixelrnn/stop.h"

struct px_progress; /* host/logging/logging.h */

/* Decoders of one model: one for each group of images. On the CPU, groups run in parallel, one thread each. A GPU has
 * one group. */
typedef struct px_sampler px_sampler;

/* Creates a sampler for batches of up to `images` images. The model is borrowed; it needs no reservation. PX_ERR_MEMORY
 * as px_decoder_create. Destroy with px_sampler_destroy, which accepts NULL. */
px_status px_sampler_create(px_model *model, int images, px_sampler **sampler);
void px_sampler_destroy(px_sampler *sampler);

/* Gives the bytes on the device that a sampler of this capacity needs. PX_ERR_MEMORY. */
px_status px_sampler_plan(px_model *model, int images, size_t *bytes);

/* The maximum number of images in a batch: those of px_sampler_create, or a few more. */
int px_sampler_capacity(const px_sampler *sampler);

/* Pointers are borrowed for the call. */
typedef struct px_sample_request {
    uint64_t seed;
    uint64_t first_image;      /* index of image 0 of the batch, as `image` above; below 2^53 */
    int images;                /* at most the capacity of the sampler or the reservation of the model */
    double temperature;        /* > 0; 1 is the distribution of the model */
    const uint8_t *given;      /* levels [images, H, W, C], read at given pixels; NULL: no pixel is given */
    const uint8_t *keep;       /* mask [H, W] for all images: nonzero where the pixel is given; NULL if `given` is */
    const uint8_t *conditions; /* of the images (condition.h); NULL for a model without a condition */
    px_stop *stop;             /* polled before each row; NULL: never stops early */
} px_sample_request;

/* The seed of a request that samples for the user's `seed`. A model of smaller images has random numbers of its own,
 * different for each height: it must not see those by which the smaller images were sampled with the same seed. */
static inline uint64_t px_sample_seed(const px_model_spec *spec, uint64_t seed) {
    return spec->condition.kind == PX_CONDITION_IMAGE ? seed ^ (uint64_t)spec->height << 32 : seed;
}

/* Samples the values that are not given. levels: [images, H, W, C], receives all values. nats: if not NULL, receives
 * for each image -ln p of its sampled values under the model, at temperature 1; if no pixel is given, that is the
 * image's negative log-likelihood. progress: if not NULL, counts the pixels of all images, row by row. Waits for the
 * device. Returns PX_STOPPED or PX_INTERRUPTED if the request asks to stop: levels and nats are then undefined, and the
 * sampler can be used again. */
px_status px_sample(px_sampler *sampler, const px_sample_request *request, uint8_t *levels, double *nats,
                    struct px_progress *progress);

/* The reference for px_sample: computes the whole network again for each value. The model must be reserved for the
 * images. It does not poll request->stop. */
px_status px_sample_naive(px_model *model, const px_sample_request *request, uint8_t *levels);

/* The number of values of each image that the request samples. Reads request->keep alone. */
size_t px_sample_values(const px_model_spec *spec, const px_sample_request *request);

#endif
