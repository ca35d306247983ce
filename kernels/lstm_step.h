/* One step of a recurrence: the addresses that the LSTM cell kernels of forward and backward share. */
#ifndef PIXELRNN_KERNELS_LSTM_STEP_H
#define PIXELRNN_KERNELS_LSTM_STEP_H

#include "kernels/lstm_cell.h"

/* Rows of D values (gates: 4 D) of one position of one image. */
typedef struct px_step_row {
    px_store *gates;
    px_real *c;
    const px_real *c_prev; /* of the position at the step before, or zeros */
} px_step_row;

static inline size_t px_step_count(const px_lstm_cell_args *k) {
    return (size_t)k->directions * (size_t)k->positions * (size_t)k->images;
}

typedef struct px_step_index {
    int direction, position, image;
} px_step_index;

PX_FUNCTION px_step_index px_step_index_of(size_t row, const px_lstm_cell_args *k) {
    const int line = (int)row / k->images;
    px_step_index at;
    at.direction = line / k->positions, at.position = line % k->positions, at.image = (int)row % k->images;
    return at;
}

PX_FUNCTION size_t px_step_row_of(px_step_index at, const px_step_rows *rows) {
    return (size_t)(rows->first + at.direction * rows->stride_direction + at.position * rows->stride_position +
                    at.image * rows->stride_image);
}

/* Fetches rows of a later position into the cache. In image order, the pixels of a step are so far apart that hardware
 * does not do it. */
PX_FUNCTION void px_step_prefetch(px_step_index at, const px_lstm_cell_args *k) {
#ifndef __CUDACC__
    enum { CACHE_LINE = 64, POSITIONS_AHEAD = 2 };
    at.position += at.position + POSITIONS_AHEAD < k->positions ? POSITIONS_AHEAD : 0;
    const size_t row = px_step_row_of(at, &k->rows);
    px_store *gates = px_row(&k->gates, row), *dh = px_row_or(&k->dh, row, gates);
    for (int i = 0; i < PX_GATES * k->hidden; i += CACHE_LINE / (int)sizeof(px_store)) __builtin_prefetch(gates + i);
    for (int i = 0; i < k->hidden; i += CACHE_LINE / (int)sizeof(px_store)) __builtin_prefetch(dh + i);
    for (int i = 0; i < k->hidden; i += CACHE_LINE / (int)sizeof(px_real))
        __builtin_prefetch(px_row_real(&k->c, row) + i);
#endif
}

PX_FUNCTION px_step_row px_step_row_at(px_step_index at, const px_lstm_cell_args *k) {
    const size_t row = px_step_row_of(at, &k->rows);
    px_step_prefetch(at, k);
    px_step_row step;
    step.gates = px_row(&k->gates, row);
    step.c = px_row_real(&k->c, row);
    step.c_prev = at.position < k->continued ? px_row_real(&k->c, px_step_row_of(at, &k->before))
                                             : px_row_real(&k->zeros, 0);
    return step;
}

#endif
