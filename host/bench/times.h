/* Repeated time measurements, and the rates of a large matrix product and a large copy. */
#ifndef PIXELRNN_BENCH_TIMES_H
#define PIXELRNN_BENCH_TIMES_H

#include "host/device/backend.h"

/* PX_MAX_OVERRUN: the factor by which px_times_take may exceed its seconds to reach `min` passes. */
enum { PX_MAX_TIMES = 1000, PX_MAX_OVERRUN = 10 };

typedef struct px_times {
    int count;
    double seconds[PX_MAX_TIMES];
} px_times;

typedef struct px_quantiles {
    double p10, median, p90;
} px_quantiles;

/* One matrix product of 2048 x 2048 x 2048. One copy of 64 MiB counts 128 MiB: read and written. */
typedef struct px_bench_rates {
    double flops, bytes; /* per second */
} px_bench_rates;

/* Measures pass(context) at least `min` times and until `seconds` (which may be 0) are spent. The device is
 * synchronized after each pass. Slow passes are measured fewer than `min` times, but at least once, if more would take
 * longer than PX_MAX_OVERRUN times the seconds. */
px_status px_times_take(px_times *times, px_device *device, int min, double seconds, px_status (*pass)(void *context),
                        void *context);

/* Sorts the times, and returns their quantiles. */
px_quantiles px_times_quantiles(px_times *times);

/* Measures a large product and a large copy on the device, each for at least `seconds`. */
px_status px_bench_rates_take(px_device *device, double seconds, px_bench_rates *rates);

#endif
