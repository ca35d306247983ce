/* The input of the network: levels 0 .. L - 1 as values -1 .. 1. */
#include "kernels/portable/portable.h"

PX_ROW void normalize(size_t row, int column, const px_normalize_args *k) {
    const px_real level = (px_real)px_row_bytes(&k->image, row)[k->first + column];
    px_row(&k->values, row)[column] = 2 * level / (px_real)(k->levels - 1) - 1;
}
PX_ROW_KERNEL(normalize, k->values.rows, k->values.columns)
