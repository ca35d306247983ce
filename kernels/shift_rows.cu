/* The Diagonal BiLSTM's right tensor, moved down by a row before it joins the left one (and back up in backward). */
#include "kernels/portable/vector.h"

typedef struct px_shifted {
    const px_store *from, *add; /* NULL: counts as 0 */
    px_store *to;
} px_shifted;

PX_FUNCTION px_shifted px_shifted_at(size_t row, const px_shift_rows_args *k) {
    const ptrdiff_t from = px_neighbour(&k->grid, row, -k->down, 0);
    px_shifted shifted;
    shifted.from = from < 0 ? NULL : px_row(&k->x, (size_t)from);
    shifted.add = k->add.data ? px_row(&k->add, row) : NULL;
    shifted.to = px_row(&k->y, row);
    return shifted;
}

PX_WIDE_ROW void shift_rows(px_shifted at, int column, const px_shift_rows_args *k) {
    (void)k;
    px_wide value = px_wide_read(at.from, column, 0);
    const px_wide add = px_wide_read(at.add, column, 0);
    PX_EACH(i) value.at[i] += add.at[i];
    px_wide_write(at.to, column, value);
}
PX_WIDE_KERNEL(shift_rows, px_shifted, px_shifted_at, k->y.rows, k->y.columns,
               px_is_wide(&k->x) && px_is_wide(&k->add) && px_is_wide(&k->y))
