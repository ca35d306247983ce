/* The C target of portable.h: kernels are OpenMP loops over rows with vectorised columns. */
#ifndef PIXELRNN_KERNELS_PORTABLE_CPU_H
#define PIXELRNN_KERNELS_PORTABLE_CPU_H

#include "host/device/backend.h"
#include <string.h>

#ifdef __cplusplus
#define PX_EXTERN extern "C"
#else
#define PX_EXTERN extern
#endif
#define PX_FUNCTION        static inline
#define PX_MEMBER          inline __attribute__((always_inline))
#define PX_ROW             static inline __attribute__((always_inline))
#define PX_LANES           static inline __attribute__((always_inline))
#define PX_PRAGMA(x)       _Pragma(#x)
#define PX_SIMD(...)       PX_PRAGMA(omp simd __VA_ARGS__)
#define PX_SERIAL_ROWS     16    /* the same, in rows of PX_LANES_KERNEL */
#define PX_SERIAL_ELEMENTS 16384 /* elements up to which one thread is faster than waking the others */

#define PX_ADDRESSED_KERNEL(name, ADDRESSES, AT, ROWS, COLUMNS)                                                        \
    PX_EXTERN px_status PX_OP(cpu, name)(px_device * device, const px_##name##_args *k);                               \
    px_status PX_OP(cpu, name)(px_device * device, const px_##name##_args *k) {                                        \
        (void)device;                                                                                                  \
        const size_t rows = (ROWS);                                                                                    \
        const int columns = (COLUMNS);                                                                                 \
        PX_PRAGMA(omp parallel for schedule(static) if (rows * (size_t)columns > PX_SERIAL_ELEMENTS))                  \
        for (size_t row = 0; row < rows; row++) {                                                                      \
            const ADDRESSES at = AT(row, k);                                                                           \
            PX_SIMD()                                                                                                  \
            for (int column = 0; column < columns; column++) name(at, column, k);                                      \
        }                                                                                                              \
        return PX_OK;                                                                                                  \
    }

#define PX_LANES_KERNEL(name, ROWS)                                                                                    \
    PX_EXTERN px_status PX_OP(cpu, name)(px_device * device, const px_##name##_args *k);                               \
    px_status PX_OP(cpu, name)(px_device * device, const px_##name##_args *k) {                                        \
        (void)device;                                                                                                  \
        const size_t rows = (ROWS);                                                                                    \
        const px_lane lane = {0, 1};                                                                                   \
        PX_PRAGMA(omp parallel for schedule(static) if (rows > PX_SERIAL_ROWS))                                        \
        for (size_t row = 0; row < rows; row++) name(row, lane, k);                                                    \
        return PX_OK;                                                                                                  \
    }

/* A lane's part of 0 .. ALL - 1. The increment is a literal 1, because gcc 12 does not vectorise a variable one. */
#define PX_LANE_LOOP(i, ALL, ...) PX_SIMD(__VA_ARGS__) for (int i = 0; i < (ALL); i++)

/* Sums, maxima and minima over the lanes of a row. */
PX_FUNCTION px_real px_lanes_sum(px_real x) { return x; }
PX_FUNCTION double px_lanes_sum_double(double x) { return x; }
PX_FUNCTION px_real px_lanes_max(px_real x) { return x; }
PX_FUNCTION int px_lanes_min(int x) { return x; }
/* The sum over the lanes before this one: an exclusive prefix sum. */
PX_FUNCTION double px_lanes_exclusive_sum_double(double x) {
    (void)x;
    return 0;
}

PX_FUNCTION px_real px_sqrt(px_real x) { return (px_real)sqrt((double)x); }
PX_FUNCTION px_real px_log(px_real x) { return (px_real)log((double)x); }

#ifdef PX_DOUBLE
PX_FUNCTION double px_exp(double x) { return exp(x); }
#else
/* exp without branches or calls, so that loops over it vectorise: x = n ln 2 + r with |r| <= ln 2 / 2. exp(r) is its
 * Taylor polynomial of degree 7. 2^n is made of its exponent bits, the low bits of n + 1.5 * 2^23. The relative error
 * is at most 1.1e-7 (measured for every float). Saturates at exp(-87.3) = 1.2e-38 and exp(88) = 1.7e38; a NaN is kept.
 */
PX_FUNCTION float px_exp(float x) {
    x = x < -87.3f ? -87.3f : x;
    x = x > 88.0f ? 88.0f : x;
    const float shift = 12582912.0f; /* 1.5 * 2^23: adding it rounds to the nearest integer */
    const float shifted = x * 1.44269504f + shift, n = shifted - shift;
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f; /* ln 2 in two parts */
    float p = 1.98412698e-4f;
    p = p * r + 1.38888889e-3f;
    p = p * r + 8.33333333e-3f;
    p = p * r + 4.16666667e-2f;
    p = p * r + 1.66666667e-1f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    uint32_t bits;
    float power;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127) << 23;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}
#endif

#endif
