/* Time by operation. */
#include "host/bench/bench.h"
#include "host/io/clock.h"
#include <omp.h>
#include <string.h>

/* Ends a call that began at `start`. outer: the nested seconds of the calling operation so far; profile->nested counts
 * those of this call. */
static px_status profile_leave(px_profile *profile, px_device *device, int op, const void *args, double start,
                               double outer, px_status status) {
    if (status == PX_OK) status = profile->real->synchronize(device);
    const double elapsed = px_clock_seconds() - start;
    profile->seconds[op] += elapsed - profile->nested;
    profile->calls[op]++;
    if (profile->nested == 0) {
        const px_work work = px_work_of(op, args);
        profile->work[op].flops += work.flops;
        profile->work[op].bytes += work.bytes;
    }
    profile->nested = outer + elapsed;
    device->ops = &profile->table;
    return status;
}

/* Operations that an operation runs on several threads count as that operation. */
#define PX_TIME_OP(name)                                                                                               \
    static px_status px_timed_##name(px_device *device, const px_##name##_args *args) {                                \
        px_profile *profile = (px_profile *)(uintptr_t)device->ops;                                                    \
        if (omp_in_parallel()) return profile->real->name(device, args);                                               \
        const double outer = profile->nested, start = px_clock_seconds();                                              \
        if (profile->kind == PX_PROFILE_WHOLE) device->ops = profile->real;                                            \
        profile->nested = 0;                                                                                           \
        const px_status status = profile->real->name(device, args);                                                    \
        return profile_leave(profile, device, PX_OP_##name, args, start, outer, status);                               \
    }
PX_DEVICE_OPS(PX_TIME_OP)

void px_profile_begin(px_profile *profile, px_device *device, px_profile_kind kind) {
    memset(profile, 0, sizeof *profile);
    profile->kind = kind;
    profile->real = device->ops;
    profile->table = *device->ops;
#define PX_PLACE_OP(name) profile->table.name = px_timed_##name;
    PX_DEVICE_OPS(PX_PLACE_OP)
    device->ops = &profile->table;
    profile->paths = device->paths;
    device->paths &= ~(unsigned)PX_PATH_GRAPHS;
}

void px_profile_end(px_profile *profile, px_device *device) {
    device->ops = profile->real;
    device->paths = profile->paths;
}
