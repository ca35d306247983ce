#include "host/device/compare.h"
#include "kernels/portable/bfloat16.h"
#include <math.h>

double px_element_real(const void *data, size_t index) { return (double)((const px_real *)data)[index]; }
double px_element_double(const void *data, size_t index) { return ((const double *)data)[index]; }
static double element_byte(const void *data, size_t index) { return ((const uint8_t *)data)[index]; }
static double element_bf16(const void *data, size_t index) { return px_from_bfloat16(((const uint16_t *)data)[index]); }

px_element_reader px_element_reader_of(px_type type) {
    static const px_element_reader readers[] = {[PX_REAL] = px_element_real,
                                                [PX_UINT8] = element_byte,
                                                [PX_FLOAT64] = px_element_double,
                                                [PX_BF16] = element_bf16};
    return readers[type];
}

px_difference px_compare(size_t count, px_element_reader found, const void *found_data, px_element_reader want,
                         const void *want_data) {
    double max = 0, worst = -1;
    px_difference difference = {0};
    for (size_t i = 0; i < count; i++) {
        const double f = found(found_data, i), w = want(want_data, i);
        const double distance = isfinite(f) ? fabs(f - w) : INFINITY;
        if (fabs(w) > max) max = fabs(w);
        if (distance > worst) worst = distance, difference = (px_difference){0, i, f, w};
    }
    difference.relative = worst <= 0 ? 0 : max > 0 ? worst / max : worst;
    return difference;
}
