/* CUDA as a library of its own: libpixelrnn_cuda.so, beside the program, loaded when a CUDA device is asked for.
 *
 * So the program starts at once and small on machines without a GPU, and on those without CUDA's libraries, too:
 * loading cuBLAS and cuDNN takes 0.16 s and 210 MB there. */
#include "host/device/backend.h"
#include <dlfcn.h>
#include <stdbool.h>

typedef px_status (*open_function)(px_context *ctx, px_type activation, int place, px_device **device);

/* Whether the driver's library is on this machine; without it CUDA's libraries need not be tried. */
static bool driver_is_there(void) {
    void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    if (driver) dlclose(driver);
    return driver != NULL;
}

px_status px_cuda_open(px_context *ctx, px_type activation, int place, px_device **device) {
    *device = NULL;
    if (!driver_is_there())
        return px_fail(ctx, PX_ERR_DEVICE, "no CUDA device: this machine has no CUDA driver (libcuda.so.1)");
    void *library = dlopen("libpixelrnn_cuda.so", RTLD_NOW | RTLD_LOCAL); /* stays: CUDA does not unload cleanly */
    if (!library) return px_fail(ctx, PX_ERR_DEVICE, "CUDA cannot be loaded, or is not built in: %s", dlerror());
    open_function open = NULL;
    *(void **)&open = dlsym(library, "px_cuda_open");
    if (!open) return px_fail(ctx, PX_ERR_DEVICE, "libpixelrnn_cuda.so: %s", dlerror());
    return open(ctx, activation, place, device);
}
