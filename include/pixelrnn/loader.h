/* Batches: quantised images in an order that is a function of seed and epoch, ready before the device wants them.
 *
 * Eight-bit data v is quantised to floor(v * L / 256). A training loader is endless: batch s holds the images at
 * positions s * B .. s * B + B - 1 of the epochs laid end to end, each epoch in its own order (a keyed permutation,
 * computed per index, so nothing is stored and any step can be the first) or, unshuffled, in file order. A pass loader
 * goes over the source once, in file order, its last batch as small as need be. */
#ifndef PIXELRNN_LOADER_H
#define PIXELRNN_LOADER_H

#include "pixelrnn/device.h"
#include "pixelrnn/source.h"
#include <stdbool.h>

typedef enum {
    PX_LOADER_PASS,     /* once, in file order */
    PX_LOADER_ORDERED,  /* endless, in file order, wrapping around */
    PX_LOADER_SHUFFLED, /* endless, each epoch in an order of its own */
} px_loader_order;

/* The next call lets the thread write over levels: an upload from them must be over by then, not just begun. */
typedef struct px_loader_options {
    int levels, batch_size;
    int first, share; /* of each batch only the `share` images from number `first` on are read and handed out; 0: all */
    px_loader_order order;
    uint64_t seed; /* of the order and of what follows */
    bool flip;     /* mirrors each image left to right, or not, anew each epoch, before it becomes levels */
    bool binarize; /* two levels: level 1 with probability value / 255, anew each epoch; a pass is epoch 0 */
    /* A pass over these images of the source alone, in this order; borrowed. NULL: over all. */
    const size_t *subset;
    size_t subset_count;
} px_loader_options;

typedef struct px_batch {
    int images;            /* 0: a pass is over */
    const uint8_t *levels; /* [images, H, W, C], in memory the device copies from fast; valid until the next call */
    size_t first;          /* position of the first image in the endless order */
} px_batch;

typedef struct px_loader px_loader;

/* source is borrowed, and read only by the loader from here on. A thread prepares the batch after the one handed out.
 * PX_ERR_MEMORY if the two batches cannot be held. */
px_status px_loader_open(px_context *ctx, px_device *device, px_source *source, const px_loader_options *options,
                         px_loader **loader);

/* Batch `step` (from 0). Steps asked for in order are ready at once; any other is prepared on the spot. What the thread
 * finds wrong with the source comes out here, at the step it belongs to; asking again tries again. */
px_status px_loader_next(px_loader *loader, int64_t step, px_batch *batch);

/* Stops the thread, frees the batches; the source stays open. NULL is allowed. */
void px_loader_close(px_loader *loader);

/* The place in the source of position `index` < count of an epoch: a keyed permutation of 0..count-1. A Feistel network
 * permutes the numbers below the smallest power of four, 4^b, that is at least count; it is applied to the index, and
 * again to its own result until that is below count. It has 8 rounds on halves of b bits, (left, right) ->
 * (right, left ^ f), where f is the low b bits of word 0 of px_random(seed, PX_RANDOM_ORDER, epoch, round << 32 |
 * right). */
size_t px_permute(uint64_t seed, uint64_t epoch, size_t count, size_t index);

/* Chooses `chosen` <= count of the indices 0..count-1 by the seed, and writes them in ascending order: the images at
 * positions 0..chosen-1 of a permutation like px_permute's of epoch 0, of PX_RANDOM_SUBSET instead of PX_RANDOM_ORDER.
 */
void px_choose(uint64_t seed, size_t count, size_t chosen, size_t *indices);

/* Mirrors an image left to right where word 0 of px_random(seed, PX_RANDOM_AUGMENT, index, epoch << 32) is even.
 * index is the image's in its source. */
void px_augment_flip(uint8_t *pixels, int height, int width, int channels, uint64_t seed, uint64_t epoch, size_t index);

/* Makes values levels 0 and 1, 1 with probability value / 255: value i becomes 1 where floor(255 w / 2^32) < value.
 * w is word i mod 4 of px_random(seed, PX_RANDOM_AUGMENT, index, epoch << 32 | (1 + i / 4)). */
void px_augment_binarize(uint8_t *values, size_t count, uint64_t seed, uint64_t epoch, size_t index);

/* floor(value * levels / 256). */
static inline uint8_t px_quantise(uint8_t value, int levels) {
    return (uint8_t)(value * levels / 256);
}

/* Of the 8-bit values that quantise back to level, the nearest to 255 * level / (levels - 1); of two, the larger. */
uint8_t px_dequantise(uint8_t level, int levels);

#endif
