/* Repeated measurements; the rates of a large product and a large copy. */
#include "host/bench/times.h"
#include "host/io/clock.h"
#include <stdlib.h>

static int compare_seconds(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

px_status px_times_take(px_times *times, px_device *device, int least, double seconds, px_status (*pass)(void *context),
                        void *context) {
    times->count = 0;
    PX_TRY(device->ops->synchronize(device));
    const double begin = px_clock_seconds();
    for (double start = begin; times->count < least || start - begin < seconds;) {
        if (times->count == PX_MAX_TIMES) break;
        if (times->count > 0 && seconds > 0 && start - begin >= PX_TIMEOUTS * seconds) break;
        PX_TRY(pass(context));
        PX_TRY(device->ops->synchronize(device));
        const double end = px_clock_seconds();
        times->seconds[times->count++] = end - start;
        start = end;
    }
    return PX_OK;
}

px_quantiles px_times_quantiles(px_times *times) {
    const int last = times->count - 1;
    qsort(times->seconds, (size_t)times->count, sizeof *times->seconds, compare_seconds);
    return (px_quantiles){times->seconds[last / 10], times->seconds[(last + 1) / 2], times->seconds[last - last / 10]};
}

enum { PX_SIDE = 2048, PX_COPY = 64 << 20, PX_RATE_REPEATS = 7 };

typedef struct rate_work {
    px_device *device;
    char *memory; /* three square matrices, or source and destination of a copy */
} rate_work;

static px_status product_pass(void *context) {
    const rate_work *work = context;
    const px_type type = work->device->activation;
    const size_t bytes = (size_t)PX_SIDE * PX_SIDE * px_type_size(type);
    return px_run(work->device, gemm, .m = PX_SIDE, .n = PX_SIDE, .k = PX_SIDE, .operands = type, .result = type,
                  .a = work->memory, .b = work->memory + bytes, .c = work->memory + 2 * bytes, .ld_a = PX_SIDE,
                  .ld_b = PX_SIDE, .ld_c = PX_SIDE, .batch = 1);
}

static px_status copy_pass(void *context) {
    const rate_work *work = context;
    return work->device->ops->copy(work->device, work->memory + PX_COPY, work->memory, PX_COPY);
}

static px_status rates_of(rate_work *work, double seconds, px_bench_rates *rates) {
    px_times times;
    PX_TRY(product_pass(work));
    PX_TRY(px_times_take(&times, work->device, PX_RATE_REPEATS, seconds, product_pass, work));
    rates->flops = 2.0 * PX_SIDE * PX_SIDE * PX_SIDE / px_times_quantiles(&times).median;
    PX_TRY(copy_pass(work));
    PX_TRY(px_times_take(&times, work->device, PX_RATE_REPEATS, seconds, copy_pass, work));
    rates->bytes = 2.0 * PX_COPY / px_times_quantiles(&times).median;
    return PX_OK;
}

px_status px_bench_rates_take(px_device *device, double seconds, px_bench_rates *rates) {
    rate_work work = {.device = device};
    void *memory;
    PX_TRY(device->ops->allocate(device, (size_t)2 * PX_COPY, &memory));
    work.memory = memory;
    px_status status = device->ops->clear(device, memory, (size_t)2 * PX_COPY);
    if (status == PX_OK) status = rates_of(&work, seconds, rates);
    const px_status released = device->ops->free(device, memory);
    return status == PX_OK ? released : status;
}
