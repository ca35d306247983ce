/* Sweeps on CUDA: by the strategy that sweep_strategy.c chooses. */
#include "host/device/cuda/cuda.h"
#include "host/device/recurrence.h"

/* The kernels, as the runtime names them: kernels/sm90/recurrence_*_cluster.cu. */
const void *px_sweep_forward_cluster_sm90(void);
const void *px_sweep_backward_cluster_sm90(int blocks);

static px_status px_cuda_sweep_cluster(px_device *device, const px_sweep_args *s, const px_sweep_choice *choice,
                                       const void *kernel) {
    const px_cluster *cluster = &choice->cluster;
    const unsigned blocks = (unsigned)cluster->blocks;
    cudaLaunchAttribute attribute = {.id = cudaLaunchAttributeClusterDimension, .val.clusterDim = {blocks, 1, 1}};
    const cudaLaunchConfig_t config = {
        .gridDim = {blocks * (unsigned)px_cluster_count(s, cluster), 1, 1},
        .blockDim = {(unsigned)(cluster->groups * PX_CLUSTER_GROUP), 1, 1},
        .dynamicSmemBytes = choice->shared,
        .stream = px_cuda_stream(device),
        .attrs = &attribute,
        .numAttrs = 1,
    };
    void *args[] = {(void *)(uintptr_t)s, (void *)(uintptr_t)cluster};
    PX_TRY(px_cuda_check(device,
                         cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)choice->shared),
                         "give a sweep its shared memory"));
    return px_cuda_check(device, cudaLaunchKernelExC(&config, kernel, args), choice->words);
}

px_status px_cuda_sweep_forward(px_device *device, const px_sweep_args *s) {
    const px_sweep_choice choice = px_sweep_choose(device, s, false);
    if (choice.strategy == PX_SWEEP_LAUNCHED) return px_sweep_forward_launched(device, s);
    return px_cuda_sweep_cluster(device, s, &choice, px_sweep_forward_cluster_sm90());
}

px_status px_cuda_sweep_backward(px_device *device, const px_sweep_args *s) {
    const px_sweep_choice choice = px_sweep_choose(device, s, true);
    if (choice.strategy == PX_SWEEP_LAUNCHED) return px_sweep_backward_launched(device, s);
    return px_cuda_sweep_cluster(device, s, &choice, px_sweep_backward_cluster_sm90(choice.cluster.blocks));
}
