/* Converting levels to 8-bit values. */
#include "pixelrnn/loader.h"

uint8_t px_dequantise(uint8_t level, int levels) {
    int nearest = (2 * 255 * level + (levels - 1)) / (2 * (levels - 1));
    /* The values that quantise to `level` are ceil(256 * level / levels) to ceil(256 * (level + 1) / levels) - 1. */
    int first = (256 * level + levels - 1) / levels;
    int last = (256 * (level + 1) + levels - 1) / levels - 1;
    return (uint8_t)(nearest < first ? first : nearest > last ? last : nearest);
}
