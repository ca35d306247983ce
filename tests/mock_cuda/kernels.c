/* Kernels of the mock, run in stream order: those of the CPU backend, and the fused recurrences on emulated blocks and
 * clusters (tests/support). */
#include "host/device/cpu/cpu.h"
#include "kernels/portable/device_cuda.h"
#include "tests/mock_cuda/mock.h"
#include "tests/support/emulated_recurrence.h"
#include "tests/support/emulated_step.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const void *px_recurrence_forward_cluster_sm90(void);
const void *px_recurrence_backward_cluster_sm90(int blocks);

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
KERNEL(add_gradients)
KERNEL(sum_squares)
KERNEL(clip)
KERNEL(upload_scalars)
KERNEL(sgd)
KERNEL(rmsprop)
KERNEL(adam)
KERNEL(ema)

/* ---- Kernels that cudaLaunchKernelExC launches ---- */

/* A kernel of recurrences. */
typedef struct recurrence_kernel {
    const void *kernel;
    bool is_step, backward; /* the fused step, else on clusters */
    size_t shared;          /* bytes that cudaFuncSetAttribute has allowed */
} recurrence_kernel;

/* NULL for other kernels. */
static recurrence_kernel *find_kernel(const void *kernel) {
    static recurrence_kernel kernels[16];
    int count = 0;
    for (int backward = 0; backward < 2; backward++)
        for (int channels = 16; channels <= 32; channels += 16, count++)
            kernels[count].kernel = px_recurrence_step_sm80(channels, backward), kernels[count].is_step = true,
            kernels[count].backward = backward;
    kernels[count++].kernel = px_recurrence_forward_cluster_sm90();
    for (int blocks = 1; blocks <= 8; blocks *= 2, count++)
        kernels[count].kernel = px_recurrence_backward_cluster_sm90(blocks), kernels[count].backward = true;
    for (int i = 0; i < count; i++)
        if (kernels[i].kernel == kernel) return &kernels[i];
    return NULL;
}

cudaError_t cudaFuncSetAttribute(const void *kernel, enum cudaFuncAttribute attribute, int value) {
    recurrence_kernel *found = find_kernel(kernel);
    if (!found) return mock_error(cudaErrorNotSupported);
    if (attribute == cudaFuncAttributeMaxDynamicSharedMemorySize) found->shared = (size_t)value;
    return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *attributes, const void *kernel) {
    if (!find_kernel(kernel)) return mock_error(cudaErrorNotSupported);
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
    if (step_is("slow")) usleep(20000);
    const char *fault = px_step_emulated(work->kernel, &work->launch, &work->recurrence, work->step,
                                         (uint64_t)work->step);
    if (!fault && step_is("wrong") && work->step == 0)
        memset(work->recurrence.direction[0].gates.data, 0, 2 * sizeof(uint16_t));
    if (!fault) return;
    fprintf(stderr, "mock: the fused recurrence step fails: %s\n", fault);
    abort();
}

static cudaError_t launch_step(const cudaLaunchConfig_t *config, const void *kernel, void **args) {
    const dim3 grid = config->gridDim;
    if (step_is("fail")) return mock_error(cudaErrorLaunchOutOfResources);
    if (config->blockDim.x != PX_STEP_THREADS || !grid.x || !grid.y || !grid.z)
        return mock_error(cudaErrorInvalidConfiguration);
    const step_work work = {kernel,
                            {{grid.x, grid.y, grid.z}, config->dynamicSmemBytes},
                            *(const px_recurrence_args *)args[0],
                            *(const int *)args[1]};
    mock_counted(MOCK_steps);
    return mock_give(config->stream, run_step, &work, sizeof work);
}

typedef struct cluster_work {
    px_recurrence_args recurrence;
    px_cluster cluster;
    bool backward;
} cluster_work;

static void run_clusters(const void *args) {
    const cluster_work *work = args;
    const char *how = getenv("PX_MOCK_CLUSTERS");
    if (how && strcmp(how, "hang") == 0) sleep(1000);
    if (how && strcmp(how, "crash") == 0) abort();
    if (how && strcmp(how, "slow") == 0) usleep(50000);
    const char *fault = px_recurrence_emulated(&work->recurrence, &work->cluster, work->backward, 1);
    if (how && strcmp(how, "wrong") == 0) memset(work->recurrence.direction[0].gates.data, 0, 2 * sizeof(uint16_t));
    if (!fault) return;
    fprintf(stderr, "mock: the recurrence on clusters fails: %s\n", fault);
    abort();
}

static cudaError_t launch_clusters(const cudaLaunchConfig_t *config, bool backward, void **args) {
    const cluster_work work = {*(const px_recurrence_args *)args[0], *(const px_cluster *)args[1], backward};
    if (config->numAttrs != 1 || config->attrs[0].id != cudaLaunchAttributeClusterDimension)
        return mock_error(cudaErrorInvalidConfiguration);
    mock_counted(MOCK_clusters);
    return mock_give(config->stream, run_clusters, &work, sizeof work);
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *config, const void *kernel, void **args) {
    const recurrence_kernel *found = find_kernel(kernel);
    if (!found) return mock_error(cudaErrorNotSupported);
    if (config->dynamicSmemBytes > found->shared) return mock_error(cudaErrorInvalidConfiguration);
    return found->is_step ? launch_step(config, kernel, args) : launch_clusters(config, found->backward, args);
}
