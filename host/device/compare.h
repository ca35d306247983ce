/* Compares vectors of numbers on the host. */
#ifndef PIXELRNN_DEVICE_COMPARE_H
#define PIXELRNN_DEVICE_COMPARE_H

#include "pixelrnn/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Reads element `index` of an array. */
typedef double (*px_element_reader)(const void *data, size_t index);
double px_element_real(const void *data, size_t index);
double px_element_double(const void *data, size_t index);
/* The reader for arrays of this type. */
px_element_reader px_element_reader_of(px_type type);

/* The largest difference between two vectors, relative to the largest magnitude in `want`, and its index. It is
 * infinite if an element of `found` is not finite. */
typedef struct px_difference {
    double relative;
    size_t index;
    double found, want;
} px_difference;
px_difference px_compare(size_t count, px_element_reader found, const void *found_data, px_element_reader want,
                         const void *want_data);

#ifdef __cplusplus
}
#endif
#endif
