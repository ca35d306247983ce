/* Opens and closes the CUDA backend; memory and copies. Opening changes none of the GPU's settings. */
#include "host/device/cuda/cuda.h"
#include "host/device/recurrence.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PX_CUDA_MIN_MAJOR = 8 }; /* kernels are built for compute capability 8.0 and later */

px_status px_cuda_check(px_device *device, cudaError_t error, const char *doing) {
    if (error == cudaSuccess) return PX_OK;
    (void)cudaGetLastError(); /* clears the error, which the next launch would report again */
    return px_fail(device->ctx, error == cudaErrorMemoryAllocation ? PX_ERR_MEMORY : PX_ERR_DEVICE, "cuda: %s: %s",
                   doing, cudaGetErrorString(error));
}

cudaStream_t px_cuda_stream(px_device *device) { return ((px_cuda *)device)->stream; }

px_status px_cuda_launched(px_device *device, const char *kernel) {
    const cudaError_t error = cudaGetLastError();
    if (error == cudaSuccess) return PX_OK;
    return px_fail(device->ctx, PX_ERR_DEVICE, "cuda: kernel %s: %s", kernel, cudaGetErrorString(error));
}

static px_status px_cuda_allocate(px_device *device, size_t bytes, void **memory) {
    char doing[64];
    snprintf(doing, sizeof doing, "allocate %zu bytes on the device", bytes);
    *memory = NULL;
    if (bytes == 0) return PX_OK; /* CUDA does not document what cudaMalloc does then */
    return px_cuda_check(device, cudaMalloc(memory, bytes), doing);
}

static px_status px_cuda_free(px_device *device, void *memory) {
    return px_cuda_check(device, cudaFree(memory), "free device memory");
}

static px_status px_cuda_allocate_host(px_device *device, size_t bytes, void **memory) {
    char doing[64];
    snprintf(doing, sizeof doing, "allocate %zu bytes of page-locked memory", bytes);
    *memory = NULL;
    return px_cuda_check(device, cudaMallocHost(memory, bytes), doing);
}

static px_status px_cuda_free_host(px_device *device, void *memory) {
    return px_cuda_check(device, cudaFreeHost(memory), "free page-locked memory");
}

static px_status copy_async(px_device *device, void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            const char *doing) {
    if (bytes == 0) return PX_OK;
    return px_cuda_check(device, cudaMemcpyAsync(to, from, bytes, kind, px_cuda_stream(device)), doing);
}

static px_status px_cuda_upload(px_device *device, void *to, const void *from_host, size_t bytes) {
    return copy_async(device, to, from_host, bytes, cudaMemcpyHostToDevice, "upload");
}

static px_status px_cuda_synchronize(px_device *device) {
    return px_cuda_check(device, cudaStreamSynchronize(px_cuda_stream(device)), "synchronize");
}

static px_status px_cuda_download_async(px_device *device, void *to_host, const void *from, size_t bytes) {
    return copy_async(device, to_host, from, bytes, cudaMemcpyDeviceToHost, "download");
}

static px_status px_cuda_download(px_device *device, void *to_host, const void *from, size_t bytes) {
    PX_TRY(px_cuda_download_async(device, to_host, from, bytes));
    return px_cuda_synchronize(device);
}

static px_status px_cuda_event_record(px_device *device, int event) {
    return px_cuda_check(device, cudaEventRecord(((px_cuda *)device)->event[event], px_cuda_stream(device)),
                         "record an event");
}

static px_status px_cuda_event_wait(px_device *device, int event) {
    return px_cuda_check(device, cudaEventSynchronize(((px_cuda *)device)->event[event]), "wait for an event");
}

static px_status px_cuda_copy(px_device *device, void *to, const void *from, size_t bytes) {
    return copy_async(device, to, from, bytes, cudaMemcpyDeviceToDevice, "copy");
}

static px_status px_cuda_clear(px_device *device, void *memory, size_t bytes) {
    if (bytes == 0) return PX_OK;
    return px_cuda_check(device, cudaMemsetAsync(memory, 0, bytes, px_cuda_stream(device)), "clear");
}

static px_status px_cuda_close(px_device *device) {
    px_cuda *cuda = (px_cuda *)device;
    px_status status = cuda->stream ? px_cuda_synchronize(device) : PX_OK;
    px_cuda_cache_clear(&cuda->convolutions);
    px_cuda_cache_clear(&cuda->recurrences);
    px_cuda_cache_clear(&cuda->gemms);
    if (cuda->dnn) cudnnDestroy(cuda->dnn);
    if (cuda->blas) cublasLtDestroy(cuda->blas);
    cudaFree(cuda->workspace);
    cudaFree(cuda->library_workspace);
    for (int i = 0; i < PX_DEVICE_EVENTS; i++)
        if (cuda->event[i]) cudaEventDestroy(cuda->event[i]);
    if (cuda->stream) cudaStreamDestroy(cuda->stream);
    free(cuda);
    return status;
}

#define OP_ENTRY_OP(name)                .name = px_cuda_##name,
#define OP_ENTRY_BF16(name)              .name = px_cuda_##name##_bf16,
#define OP_ENTRY_MEMORY(name, signature) .name = px_cuda_##name,
static const px_device_ops cuda_real = {
    PX_DEVICE_OPS(OP_ENTRY_OP) PX_DEVICE_MEMORY(OP_ENTRY_MEMORY) PX_DEVICE_GRAPHS(OP_ENTRY_MEMORY).recurrence_bytes =
        px_cuda_recurrence_bytes};
static const px_device_ops cuda_bf16 = {PX_ACTIVATION_OPS(OP_ENTRY_BF16) PX_COMMON_OPS(OP_ENTRY_OP)
                                            PX_DEVICE_MEMORY(OP_ENTRY_MEMORY) PX_DEVICE_GRAPHS(OP_ENTRY_MEMORY)
                                                .recurrence_bytes = px_cuda_recurrence_bytes};

const px_device_ops *px_cuda_ops(px_type activation) { return activation == PX_BF16 ? &cuda_bf16 : &cuda_real; }

/* Selects the GPU with this ordinal and fills in its properties; fails if the kernels do not run on it. */
static px_status select_gpu(px_cuda *cuda, int ordinal) {
    px_context *ctx = cuda->base.ctx;
    struct cudaDeviceProp gpu;
    int count = 0, device = 0;
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaSuccess && count == 0) error = cudaErrorNoDevice;
    if (error != cudaSuccess) return px_fail(ctx, PX_ERR_DEVICE, "no CUDA device: %s", cudaGetErrorString(error));
    if (ordinal >= count && count > 1)
        return px_fail(ctx, PX_ERR_DEVICE,
                       "no CUDA device: found %d on this host, expected one for each rank on it, %d or more", count,
                       ordinal + 1);
    if (ordinal >= 0)
        PX_TRY(px_cuda_check(&cuda->base, cudaSetDevice(ordinal < count ? ordinal : 0), "set the device"));
    PX_TRY(px_cuda_check(&cuda->base, cudaGetDevice(&device), "get the current device"));
    PX_TRY(px_cuda_check(&cuda->base, cudaGetDeviceProperties(&gpu, device), "get the device's properties"));
    if (gpu.major < PX_CUDA_MIN_MAJOR)
        return px_fail(ctx, PX_ERR_DEVICE, "no CUDA device: %s has compute capability %d.%d, want %d.0 or later",
                       gpu.name, gpu.major, gpu.minor, PX_CUDA_MIN_MAJOR);
    snprintf(cuda->base.description, sizeof cuda->base.description, "%.80s, %d multiprocessors, %.1f GiB", gpu.name,
             gpu.multiProcessorCount, (double)gpu.totalGlobalMem / (1 << 30));
    cuda->base.memory = gpu.totalGlobalMem;
    for (size_t i = 0; i < sizeof gpu.uuid.bytes; i++)
        snprintf(cuda->base.identity + 2 * i, 3, "%02x", (unsigned char)gpu.uuid.bytes[i]);
    cuda->base.capability = 10 * gpu.major + gpu.minor;
    cuda->base.multiprocessors = gpu.multiProcessorCount;
    cuda->base.shared = gpu.sharedMemPerBlockOptin;
    return PX_OK;
}

/* Creates the stream, workspaces and library handles. If this fails, px_cuda_close frees those that exist. */
static px_status create_resources(px_cuda *cuda) {
    px_device *device = &cuda->base;
    PX_TRY(px_cuda_check(device, cudaStreamCreateWithFlags(&cuda->stream, cudaStreamNonBlocking), "create a stream"));
    for (int i = 0; i < PX_DEVICE_EVENTS; i++)
        PX_TRY(px_cuda_check(device, cudaEventCreateWithFlags(&cuda->event[i], cudaEventDisableTiming),
                             "create an event"));
    PX_TRY(px_cuda_allocate(device, PX_CUDA_LIBRARY_WORKSPACE, &cuda->library_workspace));
    PX_TRY(px_cuda_allocate(device, PX_CUDA_WORKSPACE, (void **)&cuda->workspace));
    const cublasStatus_t blas = cublasLtCreate(&cuda->blas);
    if (blas != CUBLAS_STATUS_SUCCESS)
        return px_fail(device->ctx, PX_ERR_DEVICE, "cuBLASLt: cannot create a handle: %s",
                       cublasLtGetStatusString(blas));
    return PX_OK;
}

/* Writes "driver for CUDA 12.4, runtime 13.0". */
static void write_versions(char *versions, size_t size) {
    char driver[32] = "driver of unknown version";
    int version = 0;
    if (cudaDriverGetVersion(&version) == cudaSuccess && version > 0)
        snprintf(driver, sizeof driver, "driver for CUDA %d.%d", version / 1000, version % 1000 / 10);
    cudaRuntimeGetVersion(&version);
    (void)cudaGetLastError();
    snprintf(versions, size, "%s, runtime %d.%d", driver, version / 1000, version % 1000 / 10);
}

/* Appends the versions of driver and runtime to the message: they explain most failures to open a GPU. */
static px_status fail_with_versions(px_context *ctx, px_status status) {
    const px_context reason = *ctx;
    char versions[64];
    write_versions(versions, sizeof versions);
    return px_fail(ctx, status, "%.900s (%s)", reason.message, versions);
}

static void describe_versions(px_device *device) {
    char versions[64];
    write_versions(versions, sizeof versions);
    snprintf(device->versions, sizeof device->versions, "%s, cuBLASLt %zu, cuDNN %zu", versions, cublasLtGetVersion(),
             cudnnGetVersion());
}

px_status px_cuda_open(px_context *ctx, px_type activation, int ordinal, px_device **device) {
    *device = NULL;
    px_cuda *cuda = calloc(1, sizeof *cuda);
    if (!cuda) return px_fail_memory(ctx, "cuda", sizeof *cuda);
    cuda->base = (px_device){.ops = px_cuda_ops(activation),
                             .ctx = ctx,
                             .activation = activation,
                             .kind = "cuda",
                             .paths = PX_PATH_CUDA,
                             .workers = 1,
                             .workspace = PX_CUDA_LIBRARY_WORKSPACE + PX_CUDA_WORKSPACE};
    cuda->gemms = (px_cuda_cache){.key_size = sizeof(px_gemm_shape), .release = free};
    cuda->recurrences = px_cuda_proven_recurrences();
    cuda->convolutions = (px_cuda_cache){.key_size = sizeof(px_cudnn_shape), .release = px_cudnn_plan_release};
    px_status status = select_gpu(cuda, ordinal);
    if (status == PX_OK) status = create_resources(cuda);
    if (status == PX_OK) {
        px_cuda_count_clusters(cuda);
        describe_versions(&cuda->base);
        *device = &cuda->base;
        return PX_OK;
    }
    px_cuda_close(&cuda->base);
    return fail_with_versions(ctx, status);
}
