/* The image condition: an image made smaller by averages. */
#include "pixelrnn/condition.h"
#include "pixelrnn/loader.h"

/* The mean of scale x scale values, rounded half up. first: the value of the upper left pixel; step and row are the
 * distances to the next pixel and the next row. */
static uint8_t mean(const uint8_t *first, int scale, size_t step, size_t row) {
    const unsigned area = (unsigned)(scale * scale);
    unsigned sum = 0;
    for (int i = 0; i < scale; i++)
        for (int j = 0; j < scale; j++) sum += first[(size_t)i * row + (size_t)j * step];
    return (uint8_t)((2 * sum + area) / (2 * area));
}

void px_condition_from_image(const uint8_t *pixels, int height, int width, int channels, int scale, int levels,
                             uint8_t *smaller) {
    const size_t step = (size_t)channels, row = (size_t)width * step;
    for (int i = 0; i < height / scale; i++)
        for (int j = 0; j < width / scale; j++) {
            const uint8_t *first = pixels + ((size_t)i * row + (size_t)j * step) * (size_t)scale;
            for (int c = 0; c < channels; c++) *smaller++ = px_quantise(mean(first + c, scale, step, row), levels);
        }
}
