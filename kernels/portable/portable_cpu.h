/* The C side of portable.h: kernels as OpenMP loops over rows with vectorised columns. */
#ifndef PIXELRNN_KERNELS_PORTABLE_CPU_H
#define PIXELRNN_KERNELS_PORTABLE_CPU_H

#include "host/device/backend.h"
#include <string.h>

#ifdef __cplusplus
#define PX_EXTERN extern "C"
#else
#define PX_EXTERN extern
#endif
#define PX_FUNCTION   static inline
#define PX_MEMBER     inline __attribute__((always_inline))
#define PX_ROW        static inline __attribute__((always_inline))
#define PX_LANES      static inline __attribute__((always_inline))
#define PX_PRAGMA(x)  _Pragma(#x)
#define PX_SIMD(...)  PX_PRAGMA(omp simd __VA_ARGS__)
#define PX_FEW_ROWS   16    /* the same for rows that a lane goes through alone */
#define PX_SMALL_WORK 16384 /* elements below which waking the threads costs more than it brings */

#define PX_PLACED_KERNEL(name, PLACE, AT, ROWS, COLUMNS)                                                               \
    PX_EXTERN px_status PX_OP(cpu, name)(px_device * device, const px_##name##_args *k);                               \
    px_status PX_OP(cpu, name)(px_device * device, const px_##name##_args *k) {                                        \
        (void)device;                                                                                                  \
        const size_t rows = (ROWS);                                                                                    \
        const int columns = (COLUMNS);                                                                                 \
        PX_PRAGMA(omp parallel for schedule(static) if (rows * (size_t)columns > PX_SMALL_WORK))                       \
        for (size_t row = 0; row < rows; row++) {                                                                      \
            const PLACE place = AT(row, k);                                                                            \
            PX_SIMD()                                                                                                  \
            for (int column = 0; column < columns; column++) name(place, column, k);                                   \
        }                                                                                                              \
        return PX_OK;                                                                                                  \
    }

#define PX_LANES_KERNEL(name, ROWS)                                                                                    \
    PX_EXTERN px_status PX_OP(cpu, name)(px_device * device, const px_##name##_args *k);                               \
    px_status PX_OP(cpu, name)(px_device * device, const px_##name##_args *k) {                                        \
        (void)device;                                                                                                  \
        const size_t rows = (ROWS);                                                                                    \
        const px_lane lane = {0, 1};                                                                                   \
        PX_PRAGMA(omp parallel for schedule(static) if (rows > PX_FEW_ROWS))                                           \
        for (size_t row = 0; row < rows; row++) name(row, lane, k);                                                    \
        return PX_OK;                                                                                                  \
    }

/* A lane's share of 0 .. ALL - 1. Its step must be a plain 1 here: gcc 12 does not vectorise one that it finds out. */
#define PX_LANE_LOOP(i, ALL, ...) PX_SIMD(__VA_ARGS__) for (int i = 0; i < (ALL); i++)

/* Sums, maxima and minima over the lanes of a row. */
PX_FUNCTION px_real px_lanes_sum(px_real x) {
    return x;
}
PX_FUNCTION double px_lanes_sum_double(double x) {
    return x;
}
PX_FUNCTION px_real px_lanes_max(px_real x) {
    return x;
}
PX_FUNCTION int px_lanes_min(int x) {
    return x;
}
/* The sum over the lanes before this one. */
PX_FUNCTION double px_lanes_before_double(double x) {
    (void)x;
    return 0;
}

PX_FUNCTION px_real px_sqrt(px_real x) {
    return (px_real)sqrt((double)x);
}
PX_FUNCTION px_real px_log(px_real x) {
    return (px_real)log((double)x);
}

#ifdef PX_DOUBLE
PX_FUNCTION double px_exp(double x) {
    return exp(x);
}
#else
/* exp without branches or calls, so that loops over it vectorise: x = n ln 2 + r, |r| <= ln 2 / 2; exp(r) by its Taylor
 * polynomial of degree 7; 2^n by its exponent bits, which are the low bits of n + 1.5 * 2^23. Off by 1.1e-7 of its
 * value at most (measured, every float). Saturates: exp(-87.3) = 1.2e-38 below, exp(88) = 1.7e38 above; NaN stays. */
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
