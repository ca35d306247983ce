/* Where a cell of a recurrence finds its things: the addresses that forward and backward share. */
#ifndef PIXELRNN_KERNELS_LSTM_CELL_H
#define PIXELRNN_KERNELS_LSTM_CELL_H

#include "kernels/portable/portable.h"
#include "kernels/skew.h"

/* Rows of D values, or 4 D. */
typedef struct px_cell {
    px_store *gates, *h, *dh; /* of this step's pixel */
    px_real *c;
    const px_real *c_prev; /* of the lane's pixel a step ago; NULL if the lane did not live then: its state was 0 */
    px_real *grad_c;
    ptrdiff_t tap[3]; /* elements of operand where this cell's h begins, one a tap */
} px_cell;

static inline size_t px_cell_rows(const px_lstm_cell_args *k) {
    return (size_t)k->recurrence.directions * (size_t)px_skew_live(&k->recurrence, k->step) *
           (size_t)k->recurrence.grid.images;
}

/* Row of `tensor`, or NULL where the tensor is absent. */
PX_FUNCTION px_store *px_cell_row(const px_tensor *tensor, ptrdiff_t row) {
    return tensor->data ? px_row(tensor, (size_t)row) : NULL;
}
PX_FUNCTION px_real *px_cell_row_real(const px_tensor *tensor, ptrdiff_t row) {
    return tensor->data ? px_row_real(tensor, (size_t)row) : NULL;
}

/* operand has a guard lane before the first lane and after the last: forward leaves there what nobody reads, backward
 * finds 0 there. With two taps the last is the second again. */
PX_FUNCTION px_cell px_cell_at(size_t row, const px_lstm_cell_args *k) {
    const px_recurrence_args *s = &k->recurrence;
    const int images = s->grid.images, live = px_skew_live(s, k->step), image = (int)(row % (size_t)images);
    const int index = (int)(row / (size_t)images), direction = index / live;
    const int position = px_skew_first(s, k->step) + index % live;
    const px_recurrence_direction *d = &s->direction[direction];
    const ptrdiff_t pixel = px_skew_pixel(s, direction, k->step, position, image);
    const bool is_first = k->step == s->skew * position;
    const ptrdiff_t operand = (ptrdiff_t)(direction * (s->positions + 2) + position + 1) * images + image;

    px_cell cell;
    cell.gates = px_cell_row(&d->gates, pixel);
    cell.h = px_cell_row(&d->h, pixel);
    cell.dh = px_cell_row(&d->dh, pixel);
    cell.c = px_cell_row_real(&d->c, pixel);
    cell.c_prev = is_first ? NULL : px_cell_row_real(&d->c, pixel - d->stride_step);
    cell.grad_c = px_cell_row_real(&k->grad_c, (ptrdiff_t)(direction * s->positions + position) * images + image);
    for (int i = 0; i < 3; i++) {
        const int tap = i < s->taps ? i : s->taps - 1;
        cell.tap[i] = (operand - (s->first_tap + tap) * images) * k->operand.columns + tap * s->hidden;
    }
    return cell;
}

#endif
