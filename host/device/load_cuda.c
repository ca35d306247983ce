/* Loads the CUDA backend, libpixelrnn_cuda.so beside the program, when a CUDA device is requested.
 *
 * A machine without a GPU or without CUDA's libraries can therefore run the program. Loading cuBLAS and cuDNN takes
 * 0.16 s and 210 MB, which the CPU backend need not spend. */
#include "host/device/backend.h"
#include <dlfcn.h>
#include <stdbool.h>

typedef px_status (*open_function)(px_context *ctx, px_type activation, int ordinal, px_device **device);

px_status px_cuda_open(px_context *ctx, px_type activation, int ordinal, px_device **device) {
    *device = NULL;
    if (!px_cuda_has_driver()) /* then CUDA's libraries are not loaded */
        return px_fail(ctx, PX_ERR_DEVICE, "no CUDA device: this machine has no CUDA driver (libcuda.so.1)");
    /* Never closed: CUDA does not unload cleanly. */
    void *library = dlopen("libpixelrnn_cuda.so", RTLD_NOW | RTLD_LOCAL);
    if (!library) return px_fail(ctx, PX_ERR_DEVICE, "CUDA cannot be loaded, or is not built in: %s", dlerror());
    open_function open = NULL;
    *(void **)&open = dlsym(library, "px_cuda_open");
    if (!open) return px_fail(ctx, PX_ERR_DEVICE, "libpixelrnn_cuda.so: %s", dlerror());
    return open(ctx, activation, ordinal, device);
}
