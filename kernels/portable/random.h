/* Counter-based random numbers: Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
 *
 * A random number is a function of the seed and of its purpose. There is no generator state, so that batch size, rank
 * count and resuming cannot change it. The same source is compiled for the host and for the device. */
#ifndef PIXELRNN_RANDOM_H
#define PIXELRNN_RANDOM_H

#include "kernels/portable/inline.h"
#include <stdint.h>

/* The purpose of a random number separates the streams of one seed. The table gives the meaning of item and index. */
enum {
    PX_RANDOM_WEIGHTS = 1, /* initial weights:       item = tensor,  index = element */
    PX_RANDOM_ORDER,       /* order of an epoch:     item = epoch,   index = image or round */
    PX_RANDOM_SAMPLE,      /* a sampled value:       item = image,   index = row << 32 | column << 8 | channel */
    PX_RANDOM_DATA,        /* procedural images:     item = image,   index = chosen by the source */
    PX_RANDOM_AUGMENT,     /* augmentation:          item = image in its source, index = epoch << 32 | kind */
    PX_RANDOM_SUBSET,      /* a subset of images:    item = 0,       index = round << 32 | half of an index */
};

typedef struct px_random4 {
    uint32_t word[4];
} px_random4;

PX_HOST_DEVICE px_random4 px_philox(uint64_t key, uint64_t counter_low, uint64_t counter_high) {
    uint32_t x0 = (uint32_t)counter_low, x1 = (uint32_t)(counter_low >> 32);
    uint32_t x2 = (uint32_t)counter_high, x3 = (uint32_t)(counter_high >> 32);
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * x0, p1 = (uint64_t)0xCD9E8D57u * x2;
        uint32_t y0 = (uint32_t)(p1 >> 32) ^ x1 ^ k0, y2 = (uint32_t)(p0 >> 32) ^ x3 ^ k1;
        x0 = y0, x1 = (uint32_t)p1, x2 = y2, x3 = (uint32_t)p0;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    px_random4 r = {{x0, x1, x2, x3}};
    return r;
}

/* Four random words for (seed, purpose, item, index). item < 2^56. */
PX_HOST_DEVICE px_random4 px_random(uint64_t seed, int purpose, uint64_t item, uint64_t index) {
    return px_philox(seed, index, item | (uint64_t)purpose << 56);
}

/* Uniform in (0, 1), 53 bits, from two words; never exactly 0 or 1. */
PX_HOST_DEVICE double px_uniform(uint32_t high, uint32_t low) {
    uint64_t bits = ((uint64_t)high << 32 | low) >> 12;
    return ((double)bits + 0.5) * (1.0 / 4503599627370496.0);
}

#endif
