/* The pixels of one row of all images, in the order of samplers: the images of a pixel are adjacent. */
#include "kernels/portable/portable.h"

typedef struct gathered_row {
    const px_store *from;
    px_store *to;
} gathered_row;

PX_FUNCTION gathered_row gathered_row_at(size_t row, const px_gather_row_args *k) {
    const size_t images = (size_t)k->grid.images, image = row % images, column = row / images;
    const size_t image_row = (size_t)px_row_double(&k->numbers, 0)[PX_SAMPLE_ROW];
    gathered_row at;
    at.from = px_row(&k->x, (image * (size_t)k->grid.height + image_row) * (size_t)k->grid.width + column);
    at.to = px_row(&k->y, row);
    return at;
}

PX_ROW void gather_row(gathered_row at, int column, const px_gather_row_args *k) {
    (void)k;
    at.to[column] = at.from[column];
}
PX_ADDRESSED_KERNEL(gather_row, gathered_row, gathered_row_at, k->y.rows, k->y.columns)
