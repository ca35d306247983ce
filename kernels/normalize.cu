/* The input of the network: levels 0 .. L - 1 as values -1 .. 1. */
#include "kernels/portable/portable.h"

typedef struct normalize_row {
    const uint8_t *level;
    px_store *value;
} normalize_row;

PX_FUNCTION normalize_row normalize_row_at(size_t row, const px_normalize_args *k) {
    const size_t image_row = k->numbers.data ? (size_t)px_row_double(&k->numbers, 0)[PX_SAMPLE_ROW] : 0;
    normalize_row at;
    at.level = px_row_bytes(&k->image, row) + image_row * (size_t)k->row_values + k->first;
    at.value = px_row(&k->values, row);
    return at;
}

PX_ROW void normalize(normalize_row at, int column, const px_normalize_args *k) {
    at.value[column] = 2 * (px_real)at.level[column] / (px_real)(k->levels - 1) - 1;
}
PX_ADDRESSED_KERNEL(normalize, normalize_row, normalize_row_at, k->values.rows, k->values.columns)
