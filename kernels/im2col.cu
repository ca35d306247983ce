/* im2col: the pixels that the live taps of a convolution read, side by side: one row a (pixel, tap), with relu on the
 * way. Moves 2 * live * F values a pixel. */
#include "kernels/portable/vector.h"

typedef struct im2col_row {
    const px_store *from; /* the pixel that a tap reads */
    px_store *to;
    bool is_inside; /* of the image */
    px_real min;    /* 0 for relu, else -infinity */
} im2col_row;

PX_FUNCTION im2col_row im2col_row_at(size_t row, const px_im2col_args *k) {
    const size_t live = (size_t)k->taps.live;
    const px_tap tap = k->taps.at[row % live];
    const int sign = k->mirror ? -1 : 1;
    const ptrdiff_t from = px_neighbour(&k->grid, k->first + row / live, sign * tap.row, sign * tap.column);
    im2col_row at;
    at.to = px_row(&k->y, row);
    at.is_inside = from >= 0;
    at.from = at.is_inside ? px_row(&k->x, (size_t)from) : at.to;
    at.min = k->relu ? 0 : (px_real)-INFINITY;
    return at;
}

PX_VECTOR_ROW void im2col(im2col_row at, int column, const px_im2col_args *k) {
    (void)k;
    px_vector value = px_vector_read(at.from, column, at.is_inside, 0);
    PX_EACH(i) value.at[i] = px_clamp_min(value.at[i], at.min);
    px_vector_write(at.to, column, value);
}
PX_VECTOR_KERNEL(im2col, im2col_row, im2col_row_at, k->y.rows, k->y.columns,
                 px_is_aligned(&k->x) && px_is_aligned(&k->y))
