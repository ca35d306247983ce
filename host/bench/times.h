/* Repeated measurements of one thing. */
#ifndef PIXELRNN_BENCH_TIMES_H
#define PIXELRNN_BENCH_TIMES_H

#include "host/bench/bench.h"

enum { PX_MAX_TIMES = 1000, PX_TIMEOUTS = 10 };

typedef struct px_times {
    int count;
    double seconds[PX_MAX_TIMES];
} px_times;

/* Takes the time of pass(context) at least `least` times and until `seconds` are spent, which may be 0; the device is
 * waited for. A pass so slow that `least` of them would take more than PX_TIMEOUTS times the seconds is taken less
 * often, but once. */
px_status px_times_take(px_times *times, px_device *device, int least, double seconds, px_status (*pass)(void *context),
                        void *context);

/* Sorts, and picks. */
px_quantiles px_times_quantiles(px_times *times);

/* What the device reaches on a large product and a large copy, `seconds` or more spent on each. */
px_status px_bench_rates_take(px_device *device, double seconds, px_bench_rates *rates);

#endif
