/* Opens and closes a device of either backend. */
#include "pixelrnn/device.h"
#include "host/device/backend.h"

px_status px_device_open(px_context *ctx, px_device_kind kind, px_type activation, px_device **device) {
    return px_device_open_at(ctx, kind, activation, -1, device);
}

px_status px_device_open_at(px_context *ctx, px_device_kind kind, px_type activation, int ordinal, px_device **device) {
    if (kind == PX_DEVICE_CUDA) return px_cuda_open(ctx, activation, ordinal, device);
    if (kind == PX_DEVICE_AUTO && px_cuda_open(ctx, activation, ordinal, device) == PX_OK) return PX_OK;
    ctx->message[0] = '\0';
    return px_cpu_open(ctx, activation, device);
}

void px_device_close(px_device *device) {
    if (device) device->ops->close(device);
}
