/* Columns of a convolution: each live tap's pixel, copied (or rectified) to its place beside the others.
 * Bytes: 2 * live * F * pixels reals. */
#include "kernels/portable.h"

typedef struct px_taken {
    const px_store *from; /* the row that a tap reads, NULL outside the image */
    px_store *to;
    px_real least; /* what smaller values become: 0 when rectifying */
} px_taken;

PX_FUNCTION px_taken px_taken_at(size_t row, const px_gather_args *k) {
    const size_t live = (size_t)k->taps.live;
    const px_tap tap = k->taps.at[row % live];
    const int sign = k->mirror ? -1 : 1;
    const ptrdiff_t from = px_neighbour(&k->grid, k->first + row / live, sign * tap.row, sign * tap.column);
    px_taken taken;
    taken.from = from < 0 ? NULL : px_row(&k->x, (size_t)from);
    taken.to = px_row(&k->y, row);
    taken.least = k->rectify ? 0 : (px_real)-INFINITY;
    return taken;
}

PX_ROW void gather(px_taken at, int column, const px_gather_args *k) {
    (void)k;
    px_real value = at.from ? (px_real)at.from[column] : 0;
    at.to[column] = value < at.least ? at.least : value;
}
PX_PLACED_KERNEL(gather, px_taken, px_taken_at, k->y.rows, k->y.columns)
