/* The sweep, launched: one product and one cell kernel a step, over any device's table. */
#ifndef PIXELRNN_DEVICE_SWEEP_H
#define PIXELRNN_DEVICE_SWEEP_H

#include "pixelrnn/device.h"

px_status px_sweep_forward_launched(px_device *device, const px_sweep_args *sweep);
px_status px_sweep_backward_launched(px_device *device, const px_sweep_args *sweep);

#endif
