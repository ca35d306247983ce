/* What the network reads: levels 0..L-1 as values -1..1. */
#include "kernels/portable/portable.h"

PX_ROW void levels_to_values(size_t row, int column, const px_levels_to_values_args *k) {
    const px_real level = (px_real)px_row_bytes(&k->image, row)[k->first + column];
    px_row(&k->values, row)[column] = 2 * level / (px_real)(k->levels - 1) - 1;
}
PX_ROW_KERNEL(levels_to_values, k->values.rows, k->values.columns)
