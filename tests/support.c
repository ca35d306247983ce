/* What test programs share. */
#include "tests/support.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

px_device *px_test_device(px_context *ctx) {
    return px_test_device_of(ctx, PX_REAL);
}

px_device *px_test_device_of(px_context *ctx, px_type activation) {
    const char *kind = getenv("PX_TEST_DEVICE");
    px_device *device = NULL;
    assert_ok(ctx, px_device_open(ctx, kind && strcmp(kind, "cuda") == 0 ? PX_DEVICE_CUDA : PX_DEVICE_CPU, activation,
                                  &device));
    return device;
}

px_difference px_compare(size_t count, double (*found)(const void *, size_t), const void *found_data,
                         double (*want)(const void *, size_t), const void *want_data) {
    double most = 0, worst = -1;
    px_difference difference = {0};
    for (size_t i = 0; i < count; i++) {
        const double f = found(found_data, i), w = want(want_data, i);
        const double distance = isfinite(f) ? fabs(f - w) : INFINITY;
        if (fabs(w) > most) most = fabs(w);
        if (distance > worst) worst = distance, difference = (px_difference){0, i, f, w};
    }
    difference.relative = worst <= 0 ? 0 : most > 0 ? worst / most : worst;
    return difference;
}

double px_element_real(const void *data, size_t index) {
    return (double)((const px_real *)data)[index];
}

double px_element_double(const void *data, size_t index) {
    return ((const double *)data)[index];
}
