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
KERNEL(mask)
KERNEL(sum_columns)
KERNEL(sum_squares)
KERNEL(clip)
KERNEL(upload_scalars)
KERNEL(sgd)
KERNEL(rmsprop)
KERNEL(adam)
KERNEL(ema)

/* The GEMMs of a command buffer need workspaces, and so a CPU device. */
static void run_execute_as(const px_execute_args *commands, px_type activation) {
    px_context ctx = {0};
    px_device *cpu;
    finished(px_cpu_open(&ctx, activation, &cpu), "execute");
    finished(px_cpu_execute(cpu, commands), "execute");
    px_device_close(cpu);
    mock_counted(MOCK_executed);
}
static void run_execute(const void *args) { run_execute_as(args, PX_REAL); }
static void run_execute_bf16(const void *args) { run_execute_as(args, PX_BF16); }

px_status px_cuda_execute_cluster(px_device *device, const px_execute_args *commands) {
    (void)mock_give(px_cuda_stream(device), run_execute, commands, sizeof *commands);
    return px_cuda_launched(device, "execute");
}

px_status px_cuda_execute_cluster_bf16(px_device *device, const px_execute_args *commands) {
    (void)mock_give(px_cuda_stream(device), run_execute_bf16, commands, sizeof *commands);
    return px_cuda_launched(device, "execute");
}
