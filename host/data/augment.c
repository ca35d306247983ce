/* Augmentation: mirroring, and sampling of binary pixels. Random numbers are a function of seed, epoch and image. */
#include "pixelrnn/loader.h"
#include "kernels/portable/random.h"

enum { FLIP_COUNTER = 0, BINARIZE_COUNTER = 1 }; /* value i uses counter BINARIZE_COUNTER + i / 4 */

static px_random4 random_words(uint64_t seed, uint64_t epoch, size_t index, uint64_t counter) {
    return px_random(seed, PX_RANDOM_AUGMENT, index, epoch << 32 | counter);
}

void px_augment_flip(uint8_t *pixels, int height, int width, int channels, uint64_t seed, uint64_t epoch,
                     size_t index) {
    if (random_words(seed, epoch, index, FLIP_COUNTER).word[0] & 1) return;
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
        const px_random4 random = random_words(seed, epoch, index, BINARIZE_COUNTER + i / 4);
        for (size_t k = 0; k < 4 && i + k < count; k++)
            values[i + k] = (uint64_t)random.word[k] * 255 >> 32 < values[i + k];
    }
}
