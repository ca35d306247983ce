/* Skews and unskews the rows of one direction of a recurrence: copies them between image order and step order. */
#include "kernels/skew.h"
#include "kernels/portable/portable.h"
#include <stdalign.h>

typedef struct copied_row {
    uint8_t *pixel, *step;
} copied_row;

PX_FUNCTION copied_row copied_row_at(size_t pixel, const px_skew_args *k) {
    const px_skew_index at = px_unskew(&k->recurrence, k->direction, (ptrdiff_t)pixel);
    copied_row row;
    row.pixel = px_row_bytes(&k->pixels, pixel);
    row.step = px_row_bytes(&k->steps, (size_t)px_step_order_row(&k->recurrence, at.step, at.position, at.image));
    return row;
}

/* Rows are copied by 16 bytes if they are aligned, otherwise by 2. */
typedef struct chunk {
    alignas(16) uint32_t word[4];
} chunk;

PX_HOST_DEVICE bool is_by_chunks(const px_skew_args *k) {
    return ((uintptr_t)k->pixels.data | (uintptr_t)k->steps.data | (uintptr_t)k->pixels.columns) % sizeof(chunk) == 0;
}

static inline int copies(const px_skew_args *k) { return k->pixels.columns / (is_by_chunks(k) ? 16 : 2); }

PX_ROW void copy_one(uint8_t *to, const uint8_t *from, int index, const px_skew_args *k) {
    if (is_by_chunks(k))
        ((chunk *)to)[index] = ((const chunk *)from)[index];
    else
        ((uint16_t *)to)[index] = ((const uint16_t *)from)[index];
}

PX_ROW void skew(copied_row at, int index, const px_skew_args *k) { copy_one(at.step, at.pixel, index, k); }
PX_ADDRESSED_KERNEL(skew, copied_row, copied_row_at, k->pixels.rows, copies(k))

PX_ROW void unskew(copied_row at, int index, const px_skew_args *k) { copy_one(at.pixel, at.step, index, k); }
PX_ADDRESSED_KERNEL(unskew, copied_row, copied_row_at, k->pixels.rows, copies(k))
