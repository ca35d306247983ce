/* A device: the CPU, or one CUDA GPU, on which models are evaluated, trained and sampled. */
#ifndef PIXELRNN_DEVICE_H
#define PIXELRNN_DEVICE_H

#include "pixelrnn/status.h"
#include "pixelrnn/tensor.h"
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct px_device px_device;

typedef enum { PX_DEVICE_AUTO, PX_DEVICE_CPU, PX_DEVICE_CUDA } px_device_kind;

/* Opens a device whose activations have this type, PX_REAL or PX_BF16. AUTO opens CUDA if it is built in and a usable
 * GPU is found, otherwise the CPU; px_device_warning then says why, if the machine has a CUDA driver. Returns
 * PX_ERR_DEVICE with the reason if CUDA is requested and not available, and PX_ERR_MEMORY if memory does not suffice.
 * The caller closes the device with px_device_close (NULL is allowed), after everything that was made on it. */
px_status px_device_open(px_context *ctx, px_device_kind kind, px_type activation, px_device **device);
/* The same on the GPU with this CUDA ordinal; -1 is the current one. If only one GPU is visible, that one is opened. */
px_status px_device_open_at(px_context *ctx, px_device_kind kind, px_type activation, int ordinal, px_device **device);
void px_device_close(px_device *device);

/* Allows the products and convolutions of a float32 device to round their operands to TF32 (10 bits of mantissa), for
 * which GPUs have tensor cores. The CPU computes in float32 all the same. Call it before the device's first use. */
void px_device_allow_tf32(px_device *device);

/* Restricts a device to its plain paths: no fused recurrences, captured graphs or fused epilogues, no cuDNN and no
 * oneDNN. Results differ by rounding only. Call it before the device's first use. */
void px_device_use_plain_paths(px_device *device);

/* Copies the device's warning into line, without newline, and clears it; false if there is none. Opening may leave one,
 * and so may any later operation. */
enum { PX_DEVICE_WARNING = 1024 + 64 };
bool px_device_warning(px_device *device, char line[PX_DEVICE_WARNING]);

#ifdef __cplusplus
}
#endif
#endif
