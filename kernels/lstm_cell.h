/* Where a cell of a recurrence finds its things: the addresses that forward and backward share. */
#ifndef PIXELRNN_KERNELS_LSTM_CELL_H
#define PIXELRNN_KERNELS_LSTM_CELL_H

#include "kernels/portable/portable.h"
#include "host/device/backend.h"

/* Rows of D values, or 4 D. */
typedef struct px_cell {
    px_store *gates, *h, *dh; /* of this step's pixel */
    px_real *c;
    const px_real *c_prev; /* of the lane's pixel a step ago; NULL if the lane did not live then: its state was 0 */
    px_real *grad_c;
    ptrdiff_t tap[3]; /* elements of operand where this cell's h begins, one a tap */
} px_cell;

static inline size_t px_cell_rows(const px_lstm_cell_args *k) {
    return (size_t)k->recurrence.directions * (size_t)px_recurrence_live(&k->recurrence, k->step) *
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
    const ptrdiff_t images = s->grid.images;
    const int first = px_recurrence_first(s, k->step);
    const ptrdiff_t live = px_recurrence_live(s, k->step), image = (ptrdiff_t)row % images,
                    place = (ptrdiff_t)row / images;
    const ptrdiff_t direction = place / live, lane = first + place % live;
    const px_recurrence_direction *line = &s->line[direction];
    const ptrdiff_t pixel = image * s->grid.height * s->grid.width + line->origin + k->step * line->step +
                            lane * line->lane;
    const bool newborn = k->step == s->skew * lane;
    const ptrdiff_t operand = (direction * (s->lanes + 2) + lane + 1) * images + image;

    px_cell cell;
    cell.gates = px_cell_row(&line->gates, pixel);
    cell.h = px_cell_row(&line->h, pixel);
    cell.dh = px_cell_row(&line->dh, pixel);
    cell.c = px_cell_row_real(&line->c, pixel);
    cell.c_prev = newborn ? NULL : px_cell_row_real(&line->c, pixel - line->step);
    cell.grad_c = px_cell_row_real(&k->grad_c, (direction * s->lanes + lane) * images + image);
    for (int i = 0; i < 3; i++) {
        const int tap = i < s->taps ? i : s->taps - 1;
        cell.tap[i] = (operand - (s->first_tap + tap) * images) * k->operand.columns + tap * s->hidden;
    }
    return cell;
}

#endif
