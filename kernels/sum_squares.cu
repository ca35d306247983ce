/* The sum of squares of each row, in double: the first half of the global norm of the gradients. */
#include "kernels/portable/portable.h"

PX_LANES void sum_squares(size_t row, px_lane lane, const px_sum_squares_args *k) {
    const px_real *x = px_row_real(&k->x, row);
    double sum = 0;
    PX_LANE_LOOP(column, k->x.columns, reduction(+ : sum)) sum += (double)x[column] * (double)x[column];
    sum = px_lanes_sum_double(sum);
    if (lane.index == 0) px_row_double(&k->sum, row)[0] = sum;
}
PX_LANES_KERNEL(sum_squares, k->x.rows)
