/* im2col: the pixels that the live taps of a convolution read, side by side, with relu on the way. Moves 2 * live * C
 * values a pixel.
 *
 * A row of this kernel is a run: the taps of one row of a rectangular filter, whose pixels are neighbours in memory.
 * Other filters have runs of one tap. */
#include "kernels/portable/vector.h"

typedef struct im2col_run {
    const px_store *from; /* the pixel that the run's first tap reads */
    px_store *to;
    int begin, end; /* the columns of the run that lie inside the image */
    int columns;    /* of the run */
    px_real min;    /* 0 for relu, else -infinity */
} im2col_run;

/* A mirrored filter is read tap by tap, because its runs are in the reverse order. */
PX_HOST_DEVICE bool im2col_is_rectangle(const px_im2col_args *k) { return k->taps.rows > 0 && !k->mirror; }
PX_HOST_DEVICE int im2col_runs(const px_im2col_args *k) { return im2col_is_rectangle(k) ? k->taps.rows : k->taps.live; }
PX_HOST_DEVICE int im2col_columns(const px_im2col_args *k) {
    return (im2col_is_rectangle(k) ? k->taps.columns : 1) * k->x.columns;
}

PX_FUNCTION im2col_run im2col_run_at(size_t row, const px_im2col_args *k) {
    const int runs = im2col_runs(k), run = (int)(row % (size_t)runs), channels = k->x.columns;
    const int first = im2col_is_rectangle(k) ? run * k->taps.columns : run;
    const int taps = !im2col_is_rectangle(k) ? 1 : run + 1 < runs ? k->taps.columns : k->taps.live - first;
    const size_t index = row / (size_t)runs, pixel = k->first + index;
    const int sign = k->mirror ? -1 : 1, down = sign * k->taps.at[first].row, right = sign * k->taps.at[first].column;
    const int column = (int)(pixel % (size_t)k->grid.width) + right; /* of the first tap's pixel */
    const int before = column < 0 ? -column : 0, after = column + taps - k->grid.width;
    const bool is_inside = px_neighbour(&k->grid, pixel, down, 0) >= 0 && before < taps && after < taps;
    im2col_run at;
    at.to = px_row(&k->y, index * (size_t)k->taps.live + (size_t)first);
    at.from = at.to;
    if (is_inside) at.from = px_row(&k->x, 0) + ((ptrdiff_t)pixel + (ptrdiff_t)down * k->grid.width + right) * channels;
    at.begin = is_inside ? before * channels : 0;
    at.end = is_inside ? (after > 0 ? taps - after : taps) * channels : 0;
    at.columns = taps * channels;
    at.min = k->relu ? 0 : (px_real)-INFINITY;
    return at;
}

PX_VECTOR_ROW void im2col(im2col_run at, int column, const px_im2col_args *k) {
    (void)k;
    px_vector value = px_vector_read(at.from, column, column >= at.begin && column < at.end, 0);
    PX_EACH(i) value.at[i] = px_clamp_min(value.at[i], at.min);
    if (column < at.columns) px_vector_write(at.to, column, value);
}
/* No vector may contain columns of two taps, of which one is outside the image. */
PX_VECTOR_KERNEL(im2col, im2col_run, im2col_run_at, k->y.rows / (size_t)k->taps.live * (size_t)im2col_runs(k),
                 im2col_columns(k), k->x.columns % PX_VECTOR_MAX == 0 && px_is_aligned(&k->x) && px_is_aligned(&k->y))
