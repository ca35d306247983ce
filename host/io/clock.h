/* Seconds of the monotonic clock. Used for rates, estimates and timeouts; results never depend on it. */
#ifndef PIXELRNN_CLOCK_H
#define PIXELRNN_CLOCK_H

#include <time.h>

static inline double px_clock_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

#endif
