/* Augmentation that respects likelihoods, keyed as all randomness is. */
#include "pixelrnn/loader.h"
#include "kernels/portable/random.h"

enum { PX_FLIP_PLACE = 0, PX_BINARIZE_PLACE = 1 }; /* of a value: PX_BINARIZE_PLACE + value / 4 */

static px_random4 sample(uint64_t seed, uint64_t epoch, size_t index, uint64_t place) {
    return px_random(seed, PX_RANDOM_AUGMENT, index, epoch << 32 | place);
}

void px_augment_flip(uint8_t *pixels, int height, int width, int channels, uint64_t seed, uint64_t epoch,
                     size_t index) {
    if (sample(seed, epoch, index, PX_FLIP_PLACE).word[0] & 1) return;
    const size_t step = (size_t)channels, row_bytes = (size_t)width * step;
    for (int i = 0; i < height; i++) {
        uint8_t *left = pixels + (size_t)i * row_bytes, *right = left + row_bytes - step;
        for (; left < right; left += step, right -= step)
            for (size_t c = 0; c < step; c++) {
                const uint8_t value = left[c];
                left[c] = right[c];
                right[c] = value;
            }
    }
}

void px_augment_binarize(uint8_t *values, size_t count, uint64_t seed, uint64_t epoch, size_t index) {
    for (size_t i = 0; i < count; i += 4) {
        const px_random4 random = sample(seed, epoch, index, PX_BINARIZE_PLACE + i / 4);
        for (size_t k = 0; k < 4 && i + k < count; k++)
            values[i + k] = (uint64_t)random.word[k] * 255 >> 32 < values[i + k];
    }
}
