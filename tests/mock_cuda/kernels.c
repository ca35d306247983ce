/* Kernels of the mock: those of the CPU backend, run in stream order. */
#include "host/device/cpu/cpu.h"
#include "kernels/portable/device_cuda.h"
#include "tests/mock_cuda/mock.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void finished(px_status status, const char *kernel) {
    if (strcmp(kernel, "bias_add_relu") == 0) mock_counted(MOCK_epilogues);
    if (status == PX_OK) return;
    fprintf(stderr, "mock: kernel %s fails\n", kernel);
    abort();
}

/* Portable kernels read their arguments alone, and so get no device. */
#define KERNEL_AS(name, as)                                                                                            \
    static void run_##as(const void *args) { finished(px_cpu_##as(NULL, args), #name); }                               \
    px_status px_cuda_##as(px_device *device, const px_##name##_args *args);                                           \
    px_status px_cuda_##as(px_device *device, const px_##name##_args *args) {                                          \
        (void)mock_give(px_cuda_stream(device), run_##as, args, sizeof *args);                                         \
        return px_cuda_launched(device, #name);                                                                        \
    }
#define KERNEL(name)      KERNEL_AS(name, name)
#define KERNEL_BF16(name) KERNEL_AS(name, name##_bf16)
PX_ACTIVATION_OPS(KERNEL)
PX_ACTIVATION_OPS(KERNEL_BF16)
KERNEL(skew)
KERNEL(unskew)
KERNEL(mask)
KERNEL(sum_columns)
KERNEL(sum_squares)
KERNEL(clip)
KERNEL(upload_scalars)
KERNEL(sgd)
KERNEL(rmsprop)
KERNEL(adam)
KERNEL(ema)
