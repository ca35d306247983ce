/* Launches the kernels of recurrences, on clusters and step by step. */
#include "host/device/cuda/cuda.h"
#include "host/device/recurrence.h"

/* The __global__ functions of kernels/sm90/recurrence_*_cluster.cu and kernels/sm80/recurrence_step.cu. */
const void *px_recurrence_forward_cluster_sm90(void);
const void *px_recurrence_backward_cluster_sm90(int blocks);
const void *px_recurrence_step_sm80(int channels, bool backward);

/* Allows a kernel this much dynamic shared memory a block. */
static px_status allow_shared(px_device *device, const void *kernel, size_t bytes) {
    return px_cuda_check(device, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes),
                         "set the shared memory of a recurrence");
}

static px_status launch_clusters(px_device *device, const px_recurrence_args *s, const px_recurrence_choice *choice,
                                 const void *kernel) {
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
    PX_TRY(allow_shared(device, kernel, choice->shared));
    return px_cuda_check(device, cudaLaunchKernelExC(&config, kernel, args), choice->words);
}

/* Sets *overlap: whether a step may start before the step before it has ended. Code for compute capability 9.0 or later
 * waits by itself where it must (px_wait_for_previous_launch). Graphs can contain such launches since CUDA 12.3. */
static px_status find_overlap(px_device *device, const void *kernel, bool *overlap) {
    struct cudaFuncAttributes attributes;
    PX_TRY(px_cuda_check(device, cudaFuncGetAttributes(&attributes, kernel), "get the attributes of a recurrence"));
    *overlap = device->capability >= 90 && attributes.binaryVersion >= 90 && CUDART_VERSION >= 12030;
    return PX_OK;
}

static px_status launch_steps(px_device *device, const px_recurrence_args *s, const px_recurrence_choice *choice,
                              bool backward) {
    const void *kernel = px_recurrence_step_sm80(px_step_channels(s), backward);
    bool overlap;
    PX_TRY(find_overlap(device, kernel, &overlap));
    PX_TRY(allow_shared(device, kernel, px_step_launch_of(s, 0, backward).shared));
    cudaLaunchAttribute attribute = {.id = cudaLaunchAttributeProgrammaticStreamSerialization,
                                     .val.programmaticStreamSerializationAllowed = 1};
    for (int i = 0; i < s->steps; i++) {
        int step = backward ? s->steps - 1 - i : i;
        const px_step_launch launch = px_step_launch_of(s, step, backward);
        const cudaLaunchConfig_t config = {
            .gridDim = {launch.blocks[0], launch.blocks[1], launch.blocks[2]},
            .blockDim = {PX_STEP_THREADS, 1, 1},
            .dynamicSmemBytes = launch.shared,
            .stream = px_cuda_stream(device),
            .attrs = &attribute,
            .numAttrs = overlap && i > 0, /* the first waits for all earlier work */
        };
        void *args[] = {(void *)(uintptr_t)s, &step};
        PX_TRY(px_cuda_check(device, cudaLaunchKernelExC(&config, kernel, args), choice->words));
    }
    return PX_OK;
}

px_status px_cuda_recurrence_launch(px_device *device, const px_recurrence_args *s, const px_recurrence_choice *choice,
                                    bool backward) {
    if (choice->strategy == PX_RECURRENCE_FUSED) return launch_steps(device, s, choice, backward);
    return launch_clusters(device, s, choice,
                           backward ? px_recurrence_backward_cluster_sm90(choice->cluster.blocks)
                                    : px_recurrence_forward_cluster_sm90());
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
