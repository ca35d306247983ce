/* Skewing: the map of a recurrence between pixels and (step, position, image).
 *
 * A recurrence visits the pixels of an image in the order of its steps. At step t, position p is the pixel
 *     origin + t * stride_step + p * stride_position
 * of its image. Position p is live from step skew * p on, for `length` steps; each pixel belongs to one (t, p).
 *
 *                             skew  stride_step  stride_position  origin  positions  length
 *   Row LSTM                    0        W              1            0        W         H
 *   Diagonal BiLSTM, left       1        1            W - 1          0        H         W
 *   Diagonal BiLSTM, right      1       -1            W + 1        W - 1      H         W
 *
 * Image order is the order of pixels in all tensors of a model. Step order has the rows of a direction by step, then
 * position, then image, so that a step is contiguous. One position of zeros lies on either side of each step: taps read
 * up to one position beyond the live ones.
 *
 * tests/unit/test_skew.c checks both orders for all three. */
#ifndef PIXELRNN_KERNELS_SKEW_H
#define PIXELRNN_KERNELS_SKEW_H

#include "host/device/backend.h"

/* The first live position of step t. The live positions of a step are consecutive. */
PX_HOST_DEVICE int px_skew_first(const px_recurrence_args *s, int t) {
    const int first = s->skew ? t - s->length + 1 : 0;
    return first > 0 ? first : 0;
}

/* The number of live positions of step t. */
PX_HOST_DEVICE int px_skew_live(const px_recurrence_args *s, int t) {
    const int last = s->skew && t < s->positions - 1 ? t : s->positions - 1;
    return last - px_skew_first(s, t) + 1;
}

/* The number of live positions of step t, from the first on, that were live at step t - 1 too. */
PX_HOST_DEVICE int px_skew_continued(const px_recurrence_args *s, int t) {
    const int live = px_skew_live(s, t), before = s->skew ? t - px_skew_first(s, t) : t > 0 ? live : 0;
    return before < live ? before : live;
}

/* The tensor row of the pixel at (step t, position p, image) in a direction. The position must be live at t. */
PX_HOST_DEVICE ptrdiff_t px_skew_pixel(const px_recurrence_args *s, int direction, int t, int p, int image) {
    const px_recurrence_direction *d = &s->direction[direction];
    return (ptrdiff_t)image * s->grid.height * s->grid.width + d->origin + t * d->stride_step + p * d->stride_position;
}

typedef struct px_skew_index {
    int step, position, image;
} px_skew_index;

/* The inverse of px_skew_pixel: the step, position and image of a tensor row.
 * With k = t - skew * p, a pixel is origin + k * stride_step + p * across. Either k or p selects the row of the image.
 */
PX_HOST_DEVICE px_skew_index px_unskew(const px_recurrence_args *s, int direction, ptrdiff_t pixel) {
    const px_recurrence_direction *d = &s->direction[direction];
    const ptrdiff_t pixels = (ptrdiff_t)s->grid.height * s->grid.width;
    const ptrdiff_t along = d->stride_step, across = d->stride_position + s->skew * along;
    const ptrdiff_t offset = pixel % pixels - d->origin;
    ptrdiff_t k, p;
    if (s->skew) { /* p is the row, along is 1 or -1 */
        p = (offset + (along < 0 ? s->length - 1 : 0)) / across;
        k = (offset - p * across) / along;
    } else { /* k is the row */
        k = offset / along;
        p = (offset - k * along) / across;
    }
    px_skew_index index;
    index.step = (int)(k + s->skew * p), index.position = (int)p, index.image = (int)(pixel / pixels);
    return index;
}

/* The sum of 0, 1, .., n - 1, or 0 if n is negative. */
PX_HOST_DEVICE ptrdiff_t px_skew_sum(ptrdiff_t n) { return n > 0 ? n * (n - 1) / 2 : 0; }

/* The row of (step t, position p, image) in step order. p may be one position before the first live one or behind the
 * last. With skew, the steps before t have sum(min(u + 1, positions)) - sum(max(0, u + 1 - length)) live positions. */
PX_HOST_DEVICE ptrdiff_t px_step_order_row(const px_recurrence_args *s, int t, int p, int image) {
    ptrdiff_t before = (ptrdiff_t)t * s->positions;
    if (s->skew)
        before += px_skew_sum(t + 1) - px_skew_sum(t + 1 - s->positions) - (ptrdiff_t)t * s->positions -
                  px_skew_sum(t + 1 - s->length);
    return (before + 2 * t + 1 + p - px_skew_first(s, t)) * s->grid.images + image;
}

/* The number of rows of a direction in step order. */
PX_HOST_DEVICE ptrdiff_t px_step_order_rows(const px_recurrence_args *s) {
    const int last = s->steps - 1;
    return s->steps > 0 ? px_step_order_row(s, last, px_skew_first(s, last) + px_skew_live(s, last) + 1, 0) : 0;
}

#endif
