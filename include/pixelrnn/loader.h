/* The loader: batches of quantised images, prepared by a thread before they are needed.
 *
 * A byte v is quantised to level floor(v * L / 256). A training loader is endless: batch s holds the images at
 * positions s * B to s * B + B - 1 of the sequence of epochs. An epoch's order is a function of seed and epoch,
 * computed for each index (px_permute), so a run can start at any step and no order is stored. Unshuffled, every epoch
 * is in file order. A pass loader reads the source once, in file order; its last batch may be smaller. */
#ifndef PIXELRNN_LOADER_H
#define PIXELRNN_LOADER_H

#include "pixelrnn/condition.h"
#include "pixelrnn/device.h"
#include "pixelrnn/source.h"
#include <stdbool.h>

typedef enum {
    PX_LOADER_PASS,     /* once, in file order */
    PX_LOADER_ORDERED,  /* endless, in file order, wrapping around */
    PX_LOADER_SHUFFLED, /* endless, each epoch in its own order */
} px_loader_order;

typedef struct px_loader_options {
    int levels, batch_size;
    int parts;        /* micro-batches of a batch, which they divide evenly; 0 is 1 */
    int first, share; /* a rank reads only images first to first + share - 1 of each micro-batch; share 0: all */
    px_loader_order order;
    uint64_t seed; /* of the order and the augmentation */
    bool flip;     /* mirror each image left to right with probability 1/2, chosen anew in each epoch */
    bool binarize; /* two levels: level 1 with probability value / 255, chosen anew in each epoch; a pass is epoch 0 */
    /* Batches hold the condition of each image, as px_source_condition writes it for the image after flip and binarize
     * (which gives intensities 0 and 255). The source must pass px_source_check_condition. */
    px_condition condition;
    /* For a pass: read only these images of the source, in this order; borrowed. NULL: all images. */
    const size_t *subset;
    size_t subset_count;
} px_loader_options;

typedef struct px_batch {
    int images; /* 0: the pass is over */
    /* [images, H, W, C], in memory from which the device copies fast. The second next call of px_loader_next lets the
     * thread overwrite them, so an upload must be complete by then. */
    const uint8_t *levels;
    const uint8_t *conditions; /* the condition of each image (condition.h), in the same memory; NULL without one */
    size_t first;              /* position of the first image in the endless order */
} px_batch;

typedef struct px_loader px_loader;

/* Opens a loader, whose thread prepares the batch after the current one. source is borrowed; until the loader is closed
 * nobody else may read it. PX_ERR_MEMORY if the three batches or the thread cannot be allocated. */
px_status px_loader_open(px_context *ctx, px_device *device, px_source *source, const px_loader_options *options,
                         px_loader **loader);

/* Returns batch `step` (from 0). Ascending steps are prepared ahead; for any other step the call waits until the thread
 * has prepared it. Errors of reading the source are returned at the step they belong to; another call tries again. */
px_status px_loader_next(px_loader *loader, int64_t step, px_batch *batch);

/* Stops the thread and frees the batches; the source stays open. NULL is allowed. */
void px_loader_close(px_loader *loader);

/* Maps position `index` < count of an epoch to the index of an image: a keyed permutation of 0 to count - 1.
 *
 * A Feistel network permutes the numbers below 4^b, the smallest power of four that is at least count. It is applied to
 * the index, then to its own result until that is below count. The network has 8 rounds on halves of b bits, (left,
 * right) -> (right, left ^ f), where f is the low b bits of word 0 of px_random(seed, PX_RANDOM_ORDER, epoch,
 * round << 32 | right). */
size_t px_permute(uint64_t seed, uint64_t epoch, size_t count, size_t index);

/* Chooses `chosen` <= count of the indices 0 to count - 1 by the seed, and writes them in ascending order. They are the
 * first `chosen` values of px_permute's permutation of epoch 0 with PX_RANDOM_SUBSET instead of PX_RANDOM_ORDER. */
void px_choose(uint64_t seed, size_t count, size_t chosen, size_t *indices);

/* Mirrors an image left to right if word 0 of px_random(seed, PX_RANDOM_AUGMENT, index, epoch << 32) is even. index is
 * the image's index in its source. */
void px_augment_flip(uint8_t *pixels, int height, int width, int channels, uint64_t seed, uint64_t epoch, size_t index);

/* Replaces each value by level 1 with probability value / 255, else by level 0. Value i becomes 1 if
 * floor(255 w / 2^32) < value, where w is word i mod 4 of px_random(seed, PX_RANDOM_AUGMENT, index, epoch << 32 |
 * (1 + i / 4)). */
void px_augment_binarize(uint8_t *values, size_t count, uint64_t seed, uint64_t epoch, size_t index);

/* Prepares image `index` of a source as the loader's batches hold it: flips and binarises its pixels as the options
 * say, writes its condition (px_condition_bytes bytes), and replaces the pixels by levels. */
void px_loader_prepare(const px_source *source, const px_loader_options *options, uint64_t epoch, size_t index,
                       uint8_t *pixels, uint8_t *condition);

/* The level of an 8-bit value: floor(value * levels / 256). */
static inline uint8_t px_quantise(uint8_t value, int levels) { return (uint8_t)(value * levels / 256); }

/* The 8-bit value of a level: of all values that quantise to it, the nearest to 255 * level / (levels - 1). Of two
 * equally near values it is the larger. */
uint8_t px_dequantise(uint8_t level, int levels);

#endif
