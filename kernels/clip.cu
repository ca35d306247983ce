/* The global norm of the gradients and the scale that clips it. The optimiser reads both on the device. */
#include "kernels/portable/portable.h"

PX_LANES void clip(size_t row, px_lane lane, const px_clip_args *k) {
    const double *squares = px_row_double(&k->squares, 0);
    double sum = 0;
    for (size_t r = (size_t)lane.index; r < k->squares.rows; r += (size_t)lane.count) sum += squares[r];
    sum = px_lanes_sum_double(sum);
    if (lane.index != 0) return;
    const double norm = sqrt(sum);
    double *scale = px_row_double(&k->scale, row);
    scale[0] = k->clip > 0 && norm > k->clip ? k->clip / norm : 1;
    scale[1] = norm;
}
PX_LANES_KERNEL(clip, k->scale.rows)
