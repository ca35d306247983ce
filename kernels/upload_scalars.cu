/* Writes a few numbers to device memory. They are kernel arguments, so no host memory must outlive the launch. */
#include "kernels/portable/portable.h"

PX_ROW void upload_scalars(size_t row, int column, const px_upload_scalars_args *k) {
    px_row_double(&k->y, row)[column] = k->value[column];
}
PX_ROW_KERNEL(upload_scalars, k->y.rows, k->y.columns)
