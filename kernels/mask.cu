/* Masks A and B by colour groups (van den Oord et al. 2016, section 3.4), on a weight or its gradient. */
#include "kernels/portable/portable.h"

PX_ROW void mask(size_t row, int column, const px_mask_args *k) {
    const int tap = column / k->inputs, input = column % k->inputs;
    const int from = input * k->colours / k->inputs; /* colour groups */
    const int to = (int)(row % (size_t)k->period) * k->colours / k->period;
    const bool kept = tap < k->centre || (tap == k->centre && (k->strict ? from < to : from <= to));
    if (!kept) px_row_real(&k->weight, row)[column] = 0;
}
PX_ROW_KERNEL(mask, k->weight.rows, k->weight.columns)
