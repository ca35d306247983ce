/* A few numbers, which travel in the descriptor. */
#include "kernels/portable/portable.h"

PX_ROW void set(size_t row, int column, const px_set_args *k) {
    px_row_double(&k->y, row)[column] = k->value[column];
}
PX_ROW_KERNEL(set, k->y.rows, k->y.columns)
