/* Columns of a convolution: each live tap's pixel, copied (or rectified) to its place beside the others.
 * Bytes: 2 * live * F * pixels reals. */
#include "kernels/portable/vector.h"

typedef struct px_taken {
    const px_store *from; /* the row that a tap reads, NULL outside the image */
    px_store *to;
    px_real least; /* what smaller values become: 0 when rectifying */
} px_taken;

PX_FUNCTION px_taken px_taken_at(size_t row, const px_im2col_args *k) {
    const size_t live = (size_t)k->taps.live;
    const px_tap tap = k->taps.at[row % live];
    const int sign = k->mirror ? -1 : 1;
    const ptrdiff_t from = px_neighbour(&k->grid, k->first + row / live, sign * tap.row, sign * tap.column);
    px_taken taken;
    taken.from = from < 0 ? NULL : px_row(&k->x, (size_t)from);
    taken.to = px_row(&k->y, row);
    taken.least = k->relu ? 0 : (px_real)-INFINITY;
    return taken;
}

PX_WIDE_ROW void im2col(px_taken at, int column, const px_im2col_args *k) {
    (void)k;
    px_wide value = px_wide_read(at.from, column, 0);
    PX_EACH(i) value.at[i] = px_at_minimum(value.at[i], at.least);
    px_wide_write(at.to, column, value);
}
PX_WIDE_KERNEL(im2col, px_taken, px_taken_at, k->y.rows, k->y.columns, px_is_wide(&k->x) && px_is_wide(&k->y))
