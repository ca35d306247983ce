/* Repeated time measurements, and the rates of a large matrix product and a large copy. */
#include "host/bench/bench.h"
#include "host/io/clock.h"
#include <stdlib.h>

static int compare_seconds(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

px_status px_times_take(px_times *times, px_device *device, int min, double seconds, px_status (*pass)(void *context),
                        void *context) {
    times->count = 0;
    PX_TRY(device->ops->synchronize(device));
    const double begin = px_clock_seconds();
    for (double start = begin; times->count < min || start - begin < seconds;) {
        if (times->count == PX_MAX_TIMES) break;
        if (times->count > 0 && seconds > 0 && start - begin >= PX_MAX_OVERRUN * seconds) break;
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

enum { SIDE = 2048, COPY_BYTES = 64 << 20, MIN_PASSES = 7 };

typedef struct rate_buffers {
    px_device *device;
    char *memory; /* three square matrices, or source and destination of a copy */
} rate_buffers;

static px_status product_pass(void *context) {
    const rate_buffers *buffers = context;
    const px_type type = buffers->device->activation;
    const size_t bytes = (size_t)SIDE * SIDE * px_type_size(type);
    return px_run(buffers->device, gemm, .m = SIDE, .n = SIDE, .k = SIDE, .operands = type, .result = type,
                  .a = buffers->memory, .b = buffers->memory + bytes, .c = buffers->memory + 2 * bytes, .ld_a = SIDE,
                  .ld_b = SIDE, .ld_c = SIDE, .batch = 1);
}

static px_status copy_pass(void *context) {
    const rate_buffers *buffers = context;
    return buffers->device->ops->copy(buffers->device, buffers->memory + COPY_BYTES, buffers->memory, COPY_BYTES);
}

static px_status measure_rates(rate_buffers *buffers, double seconds, px_bench_rates *rates) {
    px_times times;
    PX_TRY(product_pass(buffers));
    PX_TRY(px_times_take(&times, buffers->device, MIN_PASSES, seconds, product_pass, buffers));
    rates->flops = 2.0 * SIDE * SIDE * SIDE / px_times_quantiles(&times).median;
    PX_TRY(copy_pass(buffers));
    PX_TRY(px_times_take(&times, buffers->device, MIN_PASSES, seconds, copy_pass, buffers));
    rates->bytes = 2.0 * COPY_BYTES / px_times_quantiles(&times).median;
    return PX_OK;
}

px_status px_bench_rates_take(px_device *device, double seconds, px_bench_rates *rates) {
    rate_buffers buffers = {.device = device};
    void *memory;
    PX_TRY(device->ops->allocate(device, (size_t)2 * COPY_BYTES, &memory));
    buffers.memory = memory;
    px_status status = device->ops->clear(device, memory, (size_t)2 * COPY_BYTES);
    if (status == PX_OK) status = measure_rates(&buffers, seconds, rates);
    const px_status freed = device->ops->free(device, memory);
    return status == PX_OK ? freed : status;
}
