/* A build without CUDA says so when CUDA is asked for. */
#include "pixelrnn/device.h"

px_status px_cuda_open(px_context *ctx, px_device **device) {
    *device = NULL;
    return px_fail(ctx, PX_ERR_DEVICE,
                   "device: found cuda, but this program was built without CUDA; expected cpu or auto");
}
