/* One step of a recurrence: the addresses that the LSTM cell kernels of forward and backward share. */
#ifndef PIXELRNN_KERNELS_LSTM_STEP_H
#define PIXELRNN_KERNELS_LSTM_STEP_H

#include "kernels/lstm_cell.h"
#include "kernels/skew.h"

/* Rows of D values (gates: 4 D) of one position of one image. */
typedef struct px_step_row {
    px_store *gates, *h, *dh; /* of the pixel; dh is NULL without gradients */
    px_real *c;
    const px_real *c_prev; /* of the position's pixel at the previous step, or zeros if the position was not live */
    px_real *grad_c;
    ptrdiff_t tap[3]; /* elements of `operand` at which this row's h begins, one a tap */
} px_step_row;

static inline size_t px_step_rows(const px_lstm_cell_args *k) {
    return (size_t)k->recurrence.directions * (size_t)px_skew_live(&k->recurrence, k->step) *
           (size_t)k->recurrence.grid.images;
}

/* Fetches the rows of a pixel into the cache. The pixels of a step are far apart, so that hardware does not do it. */
PX_FUNCTION void px_step_prefetch(const px_recurrence_direction *d, size_t pixel, int hidden) {
#ifndef __CUDACC__
    enum { CACHE_LINE = 64 };
    px_store *gates = px_row(&d->gates, pixel), *dh = px_row_or(&d->dh, pixel, gates);
    for (int i = 0; i < PX_GATES * hidden; i += CACHE_LINE / (int)sizeof(px_store)) __builtin_prefetch(gates + i);
    for (int i = 0; i < hidden; i += CACHE_LINE / (int)sizeof(px_store)) __builtin_prefetch(dh + i);
    for (int i = 0; i < hidden; i += CACHE_LINE / (int)sizeof(px_real))
        __builtin_prefetch(px_row_real(&d->c, pixel) + i);
#endif
}

enum { PREFETCH_POSITIONS = 2 }; /* how far ahead pixels are fetched */

/* `operand` has a guard position before the first position and after the last. No product reads what forward writes
 * there, and backward finds zeros there. With two taps, tap[2] is tap[1] again. */
PX_FUNCTION px_step_row px_step_row_at(size_t row, const px_lstm_cell_args *k) {
    const px_recurrence_args *s = &k->recurrence;
    const int images = s->grid.images, live = px_skew_live(s, k->step), index = (int)row / images;
    const int image = (int)row % images, direction = index / live;
    const int position = px_skew_first(s, k->step) + index % live;
    const px_recurrence_direction *d = &s->direction[direction];
    const size_t pixel = (size_t)px_skew_pixel(s, direction, k->step, position, image);
    const bool is_first = k->step == s->skew * position;
    const ptrdiff_t operand = (ptrdiff_t)(direction * (s->positions + 2) + position + 1) * images + image;

    const int ahead = index % live + PREFETCH_POSITIONS < live ? PREFETCH_POSITIONS : 0;
    px_step_prefetch(d, pixel + (size_t)(ahead * d->stride_position), s->hidden);

    px_step_row at;
    at.gates = px_row(&d->gates, pixel);
    at.h = px_row_or(&d->h, pixel, NULL);
    at.dh = px_row_or(&d->dh, pixel, NULL);
    at.c = px_row_real(&d->c, pixel);
    at.c_prev = is_first ? px_row_real(&k->zeros, 0)
                         : px_row_real(&d->c, (size_t)px_skew_pixel(s, direction, k->step - 1, position, image));
    at.grad_c = NULL;
    if (k->grad_c.data)
        at.grad_c = px_row_real(&k->grad_c, (size_t)((direction * s->positions + position) * images + image));
    for (int i = 0; i < 3; i++) {
        const int tap = i < s->taps ? i : s->taps - 1;
        at.tap[i] = (operand - (s->first_tap + tap) * images) * k->operand.columns + tap * s->hidden;
    }
    return at;
}

#endif
