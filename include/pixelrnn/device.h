/* A device: the CPU, or one CUDA GPU, on which models are evaluated, trained and sampled. */
#ifndef PIXELRNN_DEVICE_H
#define PIXELRNN_DEVICE_H

#include "pixelrnn/status.h"
#include "pixelrnn/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct px_device px_device;

typedef enum { PX_DEVICE_AUTO, PX_DEVICE_CPU, PX_DEVICE_CUDA } px_device_kind;

/* Opens a device whose activations are of this type; AUTO takes CUDA where it is built in and a device answers, else
 * the CPU. PX_ERR_DEVICE with the reason when CUDA is asked for and cannot be had. Close with px_device_close (NULL is
 * allowed). */
px_status px_device_open(px_context *ctx, px_device_kind kind, px_type activation, px_device **device);
/* The same on the host's card number `place`; where only one is to be seen, on that. */
px_status px_device_open_at(px_context *ctx, px_device_kind kind, px_type activation, int place, px_device **device);
void px_device_close(px_device *device);

#ifdef __cplusplus
}
#endif
#endif
