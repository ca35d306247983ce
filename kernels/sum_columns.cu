/* The sum of the columns of each row, in double: the nats of an image from the nll of its values. */
#include "kernels/portable/portable.h"

PX_LANES void sum_columns(size_t row, px_lane lane, const px_sum_columns_args *k) {
    const px_real *x = px_row_real(&k->x, row);
    double sum = 0;
    PX_LANE_LOOP(column, k->x.columns, reduction(+ : sum)) sum += (double)x[column];
    sum = px_lanes_sum_double(sum);
    if (lane.index == 0) px_row_double(&k->sum, row)[0] = sum;
}
PX_LANES_KERNEL(sum_columns, k->x.rows)
