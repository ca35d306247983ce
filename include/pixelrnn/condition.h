/* Conditions: what a conditional model p(x | s) knows of an image besides its earlier values.
 *
 *     PX_CONDITION_CLASS   s is the label of the image, 0 .. classes - 1
 *     PX_CONDITION_IMAGE   s is the image at 1 / scale of its height and width
 *
 * A condition is px_condition_bytes bytes, and the conditions of N images are adjacent in host memory:
 *     class    2 bytes: the label as a 16-bit integer, low byte first (px_condition_set_label)
 *     image    levels [H / scale, W / scale, C] of the smaller image (px_condition_from_image)
 * Functions that take images take their conditions beside them; NULL for models without one. */
#ifndef PIXELRNN_CONDITION_H
#define PIXELRNN_CONDITION_H

#include <stddef.h>
#include <stdint.h>

typedef enum { PX_CONDITION_NONE, PX_CONDITION_CLASS, PX_CONDITION_IMAGE } px_condition_kind;

enum { PX_LABEL_BYTES = 2, PX_MAX_CLASSES = 65536 };

typedef struct px_condition {
    px_condition_kind kind;
    int classes; /* K, of a class condition: 1 to PX_MAX_CLASSES */
    int scale;   /* f, of an image condition: a power of two, at least 2, that divides height and width */
} px_condition;

/* The bytes of the condition of one image of height x width x channels; 0 without a condition. */
static inline size_t px_condition_bytes(const px_condition *condition, int height, int width, int channels) {
    if (condition->kind == PX_CONDITION_NONE) return 0;
    if (condition->kind == PX_CONDITION_CLASS) return PX_LABEL_BYTES;
    return (size_t)(height / condition->scale) * (size_t)(width / condition->scale) * (size_t)channels;
}

static inline void px_condition_set_label(uint8_t condition[PX_LABEL_BYTES], int label) {
    condition[0] = (uint8_t)(label & 255);
    condition[1] = (uint8_t)(label >> 8);
}
static inline int px_condition_label(const uint8_t condition[PX_LABEL_BYTES]) {
    return condition[0] | condition[1] << 8;
}

/* Makes the condition of an image: each 8-bit value of the smaller image is the mean of scale x scale values, rounded
 * half up, then quantised to a level (px_quantise). pixels: 8-bit intensities [height, width, channels]. smaller:
 * [height / scale, width / scale, channels] levels. */
void px_condition_from_image(const uint8_t *pixels, int height, int width, int channels, int scale, int levels,
                             uint8_t *smaller);

#endif
