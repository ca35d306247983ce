/* Time by operation: the device's table of operations is replaced by one that measures each call and forwards it.
 *
 * The device is synchronized after each measured call, so a profiled pass on CUDA is slower than a normal one. */
#ifndef PIXELRNN_BENCH_PROFILE_H
#define PIXELRNN_BENCH_PROFILE_H

#include "host/bench/work.h"

typedef enum {
    PX_PROFILE_OWN,   /* every call is measured; the time of a nested call counts for the nested operation */
    PX_PROFILE_WHOLE, /* only the calls of the model are measured; nested calls count for their caller */
    PX_PROFILES
} px_profile_kind;

typedef struct px_profile {
    px_device_ops table; /* must be first: an operation finds its profile through device->ops */
    const px_device_ops *real;
    px_profile_kind kind;
    bool graphs;   /* the device's setting; graphs are disabled while profiling, because they hide operations */
    double nested; /* seconds spent in nested calls of the current operation */
    double seconds[PX_OPS];
    long calls[PX_OPS];
    px_work work[PX_OPS]; /* of calls without nested calls */
} px_profile;

/* Clears the profile and installs its table; end restores the device's own table. */
void px_profile_begin(px_profile *profile, px_device *device, px_profile_kind kind);
void px_profile_end(px_profile *profile, px_device *device);

#endif
