/* The functions of the CUDA backend that kernels call: the stream and the status of a launch. */
#ifndef PIXELRNN_KERNELS_DEVICE_CUDA_H
#define PIXELRNN_KERNELS_DEVICE_CUDA_H

#include "host/device/backend.h"
#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The stream on which the device's operations run. */
cudaStream_t px_cuda_stream(px_device *device);

/* The status of the last launch: PX_OK, or PX_ERR_DEVICE with a message that names the kernel. */
px_status px_cuda_launched(px_device *device, const char *kernel);

#ifdef __cplusplus
}
#endif
#endif
