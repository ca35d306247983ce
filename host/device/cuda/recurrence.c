/* Recurrences on CUDA, by the strategy that recurrence_strategy.c chooses. */
#include "host/device/cuda/cuda.h"
#include "host/device/recurrence.h"

/* The __global__ functions of kernels/sm90/recurrence_*_cluster.cu. */
const void *px_recurrence_forward_cluster_sm90(void);
const void *px_recurrence_backward_cluster_sm90(int blocks);

static px_status cuda_recurrence_cluster(px_device *device, const px_recurrence_args *s,
                                         const px_recurrence_choice *choice, const void *kernel) {
    const px_cluster *cluster = &choice->cluster;
    const unsigned blocks = (unsigned)cluster->blocks;
    cudaLaunchAttribute attribute = {.id = cudaLaunchAttributeClusterDimension, .val.clusterDim = {blocks, 1, 1}};
    const cudaLaunchConfig_t config = {
        .gridDim = {blocks * (unsigned)px_cluster_count(s, cluster), 1, 1},
        .blockDim = {(unsigned)(cluster->warpgroups * PX_WARPGROUP_THREADS), 1, 1},
        .dynamicSmemBytes = choice->shared,
        .stream = px_cuda_stream(device),
        .attrs = &attribute,
        .numAttrs = 1,
    };
    void *args[] = {(void *)(uintptr_t)s, (void *)(uintptr_t)cluster};
    PX_TRY(px_cuda_check(device,
                         cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)choice->shared),
                         "set the shared memory of a recurrence"));
    return px_cuda_check(device, cudaLaunchKernelExC(&config, kernel, args), choice->words);
}

void px_cuda_count_clusters(px_cuda *cuda) {
    px_device *device = &cuda->base;
    const void *kernel = device->capability == 90 ? px_recurrence_forward_cluster_sm90() : NULL;
    cudaError_t error = kernel ? cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                      (int)device->shared)
                               : cudaErrorNotSupported;
    for (int i = 0; i < PX_CLUSTER_SIZES && error == cudaSuccess; i++) {
        const unsigned blocks = 1u << i;
        cudaLaunchAttribute attribute = {.id = cudaLaunchAttributeClusterDimension, .val.clusterDim = {blocks, 1, 1}};
        const cudaLaunchConfig_t config = {
            .gridDim = {blocks, 1, 1},
            .blockDim = {PX_CLUSTER_MAX_WARPGROUPS * PX_WARPGROUP_THREADS, 1, 1},
            .dynamicSmemBytes = device->shared,
            .attrs = &attribute,
            .numAttrs = 1,
        };
        error = cudaOccupancyMaxActiveClusters(&device->clusters[i], kernel, &config);
    }
    if (error != cudaSuccess) (void)cudaGetLastError(); /* the next launch would report it */
}

/* Whether the recurrence may run stepwise. Without a dh, it runs forward alone. */
size_t px_cuda_recurrence_bytes(const px_device *device, const px_recurrence_args *s) {
    const bool backward = s->direction[0].dh.columns > 0;
    const bool stepwise = px_recurrence_choose(device, s, false).strategy == PX_RECURRENCE_STEPWISE ||
                          (backward && px_recurrence_choose(device, s, true).strategy == PX_RECURRENCE_STEPWISE);
    return stepwise ? px_recurrence_bytes_stepwise(s) : 0;
}

px_status px_cuda_recurrence_forward(px_device *device, const px_recurrence_args *s) {
    const px_recurrence_choice choice = px_recurrence_choose(device, s, false);
    if (choice.strategy == PX_RECURRENCE_STEPWISE) return px_recurrence_forward_stepwise(device, s);
    return cuda_recurrence_cluster(device, s, &choice, px_recurrence_forward_cluster_sm90());
}

px_status px_cuda_recurrence_backward(px_device *device, const px_recurrence_args *s) {
    const px_recurrence_choice choice = px_recurrence_choose(device, s, true);
    if (choice.strategy == PX_RECURRENCE_STEPWISE) return px_recurrence_backward_stepwise(device, s);
    return cuda_recurrence_cluster(device, s, &choice, px_recurrence_backward_cluster_sm90(choice.cluster.blocks));
}
