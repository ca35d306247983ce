/* Shifts an image down by rows and adds a tensor. The Diagonal BiLSTM shifts the output of its right direction down by
 * one row before it adds the left one, and the gradient up again in backward. */
#include "kernels/portable/vector.h"

typedef struct shifted_row {
    const px_store *from, *add;
    px_store *to;
    bool is_inside; /* of the image */
} shifted_row;

PX_FUNCTION shifted_row shifted_row_at(size_t row, const px_shift_rows_args *k) {
    const ptrdiff_t from = px_neighbour(&k->grid, row, -k->down, 0);
    shifted_row at;
    at.to = px_row(&k->y, row);
    at.is_inside = from >= 0;
    at.from = at.is_inside ? px_row(&k->x, (size_t)from) : at.to;
    at.add = px_row_or(&k->add, row, at.to);
    return at;
}

PX_VECTOR_ROW void shift_rows(shifted_row at, int column, const px_shift_rows_args *k) {
    px_vector value = px_vector_read(at.from, column, at.is_inside, 0);
    const px_vector add = px_vector_read(at.add, column, k->add.data != NULL, 0);
    PX_EACH(i) value.at[i] += add.at[i];
    px_vector_write(at.to, column, value);
}
PX_VECTOR_KERNEL(shift_rows, shifted_row, shifted_row_at, k->y.rows, k->y.columns,
                 px_is_aligned(&k->x) && px_is_aligned(&k->add) && px_is_aligned(&k->y))
