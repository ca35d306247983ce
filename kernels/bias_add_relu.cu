/* The pointwise end of a linear layer: bias, residual, relu, and the gate of a rectified input's gradient. */
#include "kernels/portable/vector.h"

/* Rows; NULL: absent. */
typedef struct combined {
    const px_store *sum, *bias, *add, *relu_mask;
    px_store *to;
    px_real least; /* what smaller values become: 0 when rectifying */
} combined;

PX_FUNCTION const px_store *px_row_or_null(const px_tensor *tensor, size_t row) {
    return tensor->data ? px_row(tensor, row) : NULL;
}

PX_FUNCTION combined px_combined_at(size_t row, const px_bias_add_relu_args *k) {
    combined at;
    at.sum = px_row_or_null(&k->sum, row);
    at.bias = px_row_or_null(&k->bias, 0);
    at.add = px_row_or_null(&k->add, row);
    at.relu_mask = px_row_or_null(&k->relu_mask, row);
    at.to = px_row(&k->y, row);
    at.least = k->relu ? 0 : (px_real)-INFINITY;
    return at;
}

PX_WIDE_ROW void bias_add_relu(combined at, int column, const px_bias_add_relu_args *k) {
    (void)k;
    px_wide value = px_wide_read(at.sum, column, 0);
    const px_wide relu_mask = px_wide_read(at.relu_mask, column, 1), bias = px_wide_read(at.bias, column, 0);
    const px_wide add = px_wide_read(at.add, column, 0);
    PX_EACH(i) {
        const px_real sum = value.at[i], open = relu_mask.at[i];
        value.at[i] = px_at_minimum((open > 0 ? sum : 0) + bias.at[i] + add.at[i], at.least);
    }
    px_wide_write(at.to, column, value);
}
PX_WIDE_KERNEL(bias_add_relu, combined, px_combined_at, k->y.rows, k->y.columns,
               px_is_wide(&k->sum) && px_is_wide(&k->relu_mask) && px_is_wide(&k->bias) && px_is_wide(&k->add) &&
                   px_is_wide(&k->y))
