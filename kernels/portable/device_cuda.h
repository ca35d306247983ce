/* What CUDA kernels need of the CUDA device: its stream, and a launch's verdict. Included by kernels only. */
#ifndef PIXELRNN_KERNELS_DEVICE_CUDA_H
#define PIXELRNN_KERNELS_DEVICE_CUDA_H

#include "host/device/backend.h"
#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The stream on which device's operations run. */
cudaStream_t px_cuda_stream(px_device *device);

/* PX_OK if the launch just made was accepted; else PX_ERR_DEVICE with a message that names the kernel. */
px_status px_cuda_launched(px_device *device, const char *kernel);

/* A tape's replay by clusters of blocks, sm_90 and later; PX_EXECUTE_BLOCKS multiprocessors a group. */
enum { PX_EXECUTE_BLOCKS = 8 };
px_status px_cuda_execute_cluster(px_device *device, const px_execute_args *commands);
px_status px_cuda_execute_cluster_bf16(px_device *device, const px_execute_args *commands);

#ifdef __cplusplus
}
#endif
#endif
