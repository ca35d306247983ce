/* NCCL as a library of its own: libpixelrnn_nccl.so, beside the program, loaded when ranks train on CUDA. */
#include "host/distributed/ranks.h"
#include <dlfcn.h>

typedef struct nccl_entry {
    px_status (*make_id)(px_context *ctx, unsigned char id[PX_NCCL_ID]);
    px_status (*open)(px_context *ctx, px_device *device, int rank, int count, const unsigned char id[PX_NCCL_ID],
                      px_nccl **nccl);
} nccl_entry;

static px_status nccl_load(px_context *ctx, nccl_entry *entry) {
    void *library = dlopen("libpixelrnn_nccl.so", RTLD_NOW | RTLD_LOCAL); /* stays: NCCL does not unload cleanly */
    if (library) {
        *(void **)&entry->make_id = dlsym(library, "px_nccl_make_id");
        *(void **)&entry->open = dlsym(library, "px_nccl_open_here");
    }
    if (library && entry->make_id && entry->open) return PX_OK;
    return px_fail(ctx, PX_ERR_DEVICE, "ranks on CUDA need NCCL, which cannot be loaded, or is not built in: %s",
                   dlerror());
}

px_status px_nccl_open(px_ranks *ranks, px_device *device, px_nccl **nccl) {
    nccl_entry entry = {0};
    unsigned char id[PX_NCCL_ID] = {0};
    const int rank = px_ranks_rank(ranks), count = px_ranks_count(ranks);
    *nccl = NULL;
    PX_TRY(px_ranks_agree(ranks, nccl_load(ranks->ctx, &entry)));
    PX_TRY(px_ranks_agree(ranks, rank == 0 ? entry.make_id(ranks->ctx, id) : PX_OK));
    PX_TRY(px_ranks_broadcast(ranks, id, sizeof id));
    return px_ranks_agree(ranks, entry.open(ranks->ctx, device, rank, count, id, nccl));
}
