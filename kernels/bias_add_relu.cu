/* The pointwise end of a linear layer: bias, residual, relu, and the gate of a rectified input's gradient. */
#include "kernels/portable/vector.h"

/* Rows; NULL: absent. */
typedef struct px_combined {
    const px_store *sum, *bias, *add, *gate;
    px_store *to;
    px_real least; /* what smaller values become: 0 when rectifying */
} px_combined;

PX_FUNCTION const px_store *px_row_or_null(const px_tensor *tensor, size_t row) {
    return tensor->data ? px_row(tensor, row) : NULL;
}

PX_FUNCTION px_combined px_combined_at(size_t row, const px_combine_args *k) {
    px_combined at;
    at.sum = px_row_or_null(&k->sum, row);
    at.bias = px_row_or_null(&k->bias, 0);
    at.add = px_row_or_null(&k->add, row);
    at.gate = px_row_or_null(&k->gate, row);
    at.to = px_row(&k->y, row);
    at.least = k->rectify ? 0 : (px_real)-INFINITY;
    return at;
}

PX_WIDE_ROW void combine(px_combined at, int column, const px_combine_args *k) {
    (void)k;
    px_wide value = px_wide_read(at.sum, column, 0);
    const px_wide gate = px_wide_read(at.gate, column, 1), bias = px_wide_read(at.bias, column, 0);
    const px_wide add = px_wide_read(at.add, column, 0);
    PX_EACH(i) {
        const px_real sum = value.at[i], open = gate.at[i];
        value.at[i] = px_at_least((open > 0 ? sum : 0) + bias.at[i] + add.at[i], at.least);
    }
    px_wide_write(at.to, column, value);
}
PX_WIDE_KERNEL(combine, px_combined, px_combined_at, k->y.rows, k->y.columns,
               px_is_wide(&k->sum) && px_is_wide(&k->gate) && px_is_wide(&k->bias) && px_is_wide(&k->add) &&
                   px_is_wide(&k->y))
