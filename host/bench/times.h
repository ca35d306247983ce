/* Repeated measurements of one thing. */
#ifndef PIXELRNN_BENCH_TIMES_H
#define PIXELRNN_BENCH_TIMES_H

#include "pixelrnn/bench.h"

enum { PX_MOST_TIMES = 1000 };

typedef struct px_times {
    int count;
    double seconds[PX_MOST_TIMES];
} px_times;

/* Takes the time of pass(context) at least `least` times and until `seconds` are spent; the device is waited for. */
px_status px_times_take(px_times *times, px_device *device, int least, double seconds, px_status (*pass)(void *context),
                        void *context);

/* Sorts, and picks. */
px_quantiles px_times_quantiles(px_times *times);

/* What the device reaches on a large product and a large copy. */
px_status px_bench_rates_take(px_device *device, px_bench_rates *rates);

#endif
