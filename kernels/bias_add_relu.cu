/* The pointwise epilogue of a linear layer: y = relu(relu_mask(sum) + bias + add). Every input may be absent. relu_mask
 * keeps sum where the mask is positive: the gradient of relu. */
#include "kernels/portable/vector.h"

typedef struct fused_row {
    const px_store *sum, *bias, *add, *relu_mask; /* y where absent */
    px_store *to;
    px_real min; /* 0 for relu, else -infinity */
} fused_row;

PX_FUNCTION fused_row fused_row_at(size_t row, const px_bias_add_relu_args *k) {
    fused_row at;
    at.to = px_row(&k->y, row);
    at.sum = px_row_or(&k->sum, row, at.to);
    at.bias = px_row_or(&k->bias, k->bias.rows > 1 ? row * k->bias.rows / k->y.rows : 0, at.to);
    at.add = px_row_or(&k->add, row, at.to);
    at.relu_mask = px_row_or(&k->relu_mask, row, at.to);
    at.min = k->relu ? 0 : (px_real)-INFINITY;
    return at;
}

PX_VECTOR_ROW void bias_add_relu(fused_row at, int column, const px_bias_add_relu_args *k) {
    px_vector value = px_vector_read(at.sum, column, k->sum.data != NULL, 0);
    const px_vector relu_mask = px_vector_read(at.relu_mask, column, k->relu_mask.data != NULL, 1);
    const px_vector bias = px_vector_read(at.bias, column, k->bias.data != NULL, 0);
    const px_vector add = px_vector_read(at.add, column, k->add.data != NULL, 0);
    PX_EACH(i) {
        const px_real sum = value.at[i], open = relu_mask.at[i];
        value.at[i] = px_clamp_min((open > 0 ? sum : 0) + bias.at[i] + add.at[i], at.min);
    }
    px_vector_write(at.to, column, value);
}
PX_VECTOR_KERNEL(bias_add_relu, fused_row, fused_row_at, k->y.rows, k->y.columns,
                 px_is_aligned(&k->sum) && px_is_aligned(&k->relu_mask) && px_is_aligned(&k->bias) &&
                     px_is_aligned(&k->add) && px_is_aligned(&k->y))
