/* Kernels of the mock, run in stream order: those of the CPU backend, and the fused recurrence step on an emulated
 * block (tests/support/emulated_step.h). */
#include "host/device/cpu/cpu.h"
#include "kernels/portable/device_cuda.h"
#include "tests/mock_cuda/mock.h"
#include "tests/support/emulated_step.h"
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

/* ---- Kernels that cudaLaunchKernelExC launches ---- */

static size_t step_shared[2][2]; /* bytes that cudaFuncSetAttribute allowed each of the fused kernels */

/* The entry of step_shared for a kernel, or NULL for kernels other than the fused step. */
static size_t *step_kernel(const void *kernel) {
    for (int i = 0; i < 4; i++)
        if (kernel == px_recurrence_step_sm80(i / 2 ? 32 : 16, i % 2)) return &step_shared[i / 2][i % 2];
    return NULL;
}

cudaError_t cudaFuncSetAttribute(const void *kernel, enum cudaFuncAttribute attribute, int value) {
    size_t *shared = step_kernel(kernel);
    if (!shared) return mock_error(cudaErrorNotSupported);
    if (attribute == cudaFuncAttributeMaxDynamicSharedMemorySize) *shared = (size_t)value;
    return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *attributes, const void *kernel) {
    if (!step_kernel(kernel)) return mock_error(cudaErrorNotSupported);
    *attributes = (struct cudaFuncAttributes){.binaryVersion = 90};
    return cudaSuccess;
}

typedef struct step_work {
    const void *kernel;
    px_step_launch launch;
    px_recurrence_args recurrence;
    int step;
} step_work;

static bool step_is(const char *value) {
    const char *found = getenv("PX_MOCK_STEP");
    return found && strcmp(found, value) == 0;
}

static void run_step(const void *args) {
    const step_work *work = args;
    const char *fault = px_step_emulated(work->kernel, &work->launch, &work->recurrence, work->step,
                                         (uint64_t)work->step);
    if (!fault && step_is("wrong") && work->step == 0)
        memset(work->recurrence.direction[0].gates.data, 0, 2 * sizeof(uint16_t));
    if (!fault) return;
    fprintf(stderr, "mock: the fused recurrence step fails: %s\n", fault);
    abort();
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *config, const void *kernel, void **args) {
    const dim3 grid = config->gridDim;
    const size_t *shared = step_kernel(kernel);
    if (!shared) return mock_error(cudaErrorNotSupported);
    if (step_is("fail")) return mock_error(cudaErrorLaunchOutOfResources);
    if (config->dynamicSmemBytes > *shared || config->blockDim.x != PX_STEP_THREADS || !grid.x || !grid.y || !grid.z)
        return mock_error(cudaErrorInvalidConfiguration);
    const step_work work = {kernel,
                            {{grid.x, grid.y, grid.z}, config->dynamicSmemBytes},
                            *(const px_recurrence_args *)args[0],
                            *(const int *)args[1]};
    mock_counted(MOCK_steps);
    return mock_give(config->stream, run_step, &work, sizeof work);
}
