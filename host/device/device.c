/* Opens and closes a device of either backend. */
#include "pixelrnn/device.h"
#include "host/device/backend.h"
#include "host/device/verdict.h"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

const char *const px_op_names[PX_OPS] = {
#define PX_NAME_OP(name) #name,
    PX_DEVICE_OPS(PX_NAME_OP)};

/* Opens a GPU. Recurrences on clusters are allowed if `pixelrnn check` has found that they agree. */
static px_status open_gpu(px_context *ctx, px_type activation, int ordinal, px_device **device) {
    px_verdict verdict = {PX_VERDICT_NONE, ""};
    PX_TRY(px_cuda_open(ctx, activation, ordinal, device));
    if (activation == PX_BF16 && (*device)->clusters[0] > 0) px_verdict_read(*device, &verdict);
    if (verdict.answer == PX_VERDICT_USE) (*device)->paths |= PX_PATH_CLUSTER;
    return PX_OK;
}

px_status px_device_open_at(px_context *ctx, px_device_kind kind, px_type activation, int ordinal, px_device **device) {
    px_context why = {""}; /* AUTO does not use a GPU */
    if (kind == PX_DEVICE_CUDA) return open_gpu(ctx, activation, ordinal, device);
    if (kind == PX_DEVICE_AUTO) {
        if (open_gpu(ctx, activation, ordinal, device) == PX_OK) return PX_OK;
        if (px_cuda_has_driver()) why = *ctx;
    }
    ctx->message[0] = '\0';
    PX_TRY(px_cpu_open(ctx, activation, device));
    if (why.message[0])
        snprintf((*device)->warning, PX_DEVICE_WARNING, "warning: device: auto uses the CPU: %s", why.message);
    return PX_OK;
}

px_status px_device_open(px_context *ctx, px_device_kind kind, px_type activation, px_device **device) {
    return px_device_open_at(ctx, kind, activation, -1, device);
}

bool px_cuda_has_driver(void) {
    void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    if (driver) dlclose(driver);
    return driver != NULL;
}

void px_device_close(px_device *device) {
    if (device) device->ops->close(device);
}

void px_device_allow_tf32(px_device *device) { device->tf32 = true; }

void px_device_use_plain_paths(px_device *device) { device->paths = 0; }

bool px_device_warning(px_device *device, char line[PX_DEVICE_WARNING]) {
    memcpy(line, device->warning, PX_DEVICE_WARNING);
    device->warning[0] = '\0';
    return line[0] != '\0';
}
