/* NCCL as a library of its own: libpixelrnn_nccl.so, beside the program, loaded when several ranks train on CUDA. */
#include "host/parallel/ranks.h"
#include <dlfcn.h>

px_status px_nccl_open(px_ranks *ranks, px_device *device, px_nccl **nccl) {
    px_nccl_open_function open = NULL;
    *nccl = NULL;
    void *library = dlopen("libpixelrnn_nccl.so", RTLD_NOW | RTLD_LOCAL); /* stays: NCCL does not unload cleanly */
    if (library) *(void **)&open = dlsym(library, "px_nccl_open_here");
    px_status status = PX_OK;
    if (!open)
        status = px_fail(ranks->ctx, PX_ERR_DEVICE,
                         "ranks on CUDA need NCCL, which cannot be loaded, or is not built in: %s", dlerror());
    PX_TRY(px_ranks_agree(ranks, status));
    return open(ranks, device, nccl);
}
