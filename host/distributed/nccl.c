/* NCCL between CUDA ranks: libpixelrnn_nccl.so. Gradients are summed on a stream of their own, each bucket as soon as
 * the device's stream has made it.
 *
 * The communicator does not block: a call that is still under way is waited for with an eye on NCCL's asynchronous
 * errors, and the watch looks at these every beat. A rank that waits for one that is gone is ended by the watch. */
#include "host/device/cuda/cuda.h"
#include "host/distributed/ranks.h"
#include <nccl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

_Static_assert(sizeof(ncclUniqueId) == PX_NCCL_ID, "rank 0 passes an id of this size on");

/* The clock of one step, in events. What is past PX_TIMED buckets is timed as one. */
enum { PX_TIMED = 64 };
typedef struct nccl_clock {
    cudaEvent_t begun[PX_TIMED], ended[PX_TIMED];
    cudaEvent_t passed; /* the backward pass is over */
    int buckets;
} nccl_clock;

typedef struct nccl_here {
    px_nccl base;
    px_cuda *cuda;
    ncclComm_t comm;
    cudaStream_t stream;
    cudaEvent_t ready;   /* the device's stream has made a bucket */
    nccl_clock clock[2]; /* of the step at work, and of the one before */
    long steps;
} nccl_here;

static px_status nccl_said(px_context *ctx, ncclResult_t result, const char *doing) {
    if (result == ncclSuccess) return PX_OK;
    return px_fail(ctx, PX_ERR_DEVICE, "NCCL: %s: %s", doing, ncclGetErrorString(result));
}

static px_status nccl_cuda(px_context *ctx, cudaError_t error, const char *doing) {
    if (error == cudaSuccess) return PX_OK;
    return px_fail(ctx, PX_ERR_DEVICE, "NCCL: %s: %s", doing, cudaGetErrorString(error));
}

/* Waits until the last call is under way on the device, or has failed. */
static px_status nccl_wait(nccl_here *nccl, px_context *ctx, ncclResult_t result, const char *doing) {
    const struct timespec nap = {.tv_nsec = 10000};
    while (result == ncclInProgress) {
        const ncclResult_t asked = ncclCommGetAsyncError(nccl->comm, &result);
        if (asked != ncclSuccess) return nccl_said(ctx, asked, doing);
        if (result == ncclInProgress) nanosleep(&nap, NULL);
    }
    return nccl_said(ctx, result, doing);
}

static px_status nccl_sum(px_nccl *base, px_context *ctx, px_real *values, size_t count) {
    nccl_here *nccl = (nccl_here *)base;
    nccl_clock *clock = &nccl->clock[nccl->steps % 2];
    const int at = clock->buckets < PX_TIMED ? clock->buckets : PX_TIMED - 1;
    PX_TRY(nccl_cuda(ctx, cudaEventRecord(nccl->ready, nccl->cuda->stream), "mark a bucket"));
    PX_TRY(nccl_cuda(ctx, cudaStreamWaitEvent(nccl->stream, nccl->ready, 0), "wait for a bucket"));
    if (clock->buckets < PX_TIMED) PX_TRY(nccl_cuda(ctx, cudaEventRecord(clock->begun[at], nccl->stream), "time it"));
    PX_TRY(nccl_wait(nccl, ctx, ncclAllReduce(values, values, count, ncclFloat, ncclSum, nccl->comm, nccl->stream),
                     "sum a bucket"));
    clock->buckets++;
    return nccl_cuda(ctx, cudaEventRecord(clock->ended[at], nccl->stream), "time it");
}

/* What the step before took; its events are over. */
static px_status nccl_read(px_context *ctx, const nccl_clock *clock, px_reduction_times *times) {
    const int timed = clock->buckets < PX_TIMED ? clock->buckets : PX_TIMED;
    float milliseconds = 0;
    for (int i = 0; i < timed; i++) {
        PX_TRY(nccl_cuda(ctx, cudaEventElapsedTime(&milliseconds, clock->begun[i], clock->ended[i]), "read a time"));
        times->reduce += 1e-3 * (double)milliseconds;
    }
    if (timed == 0) return PX_OK;
    PX_TRY(nccl_cuda(ctx, cudaEventElapsedTime(&milliseconds, clock->passed, clock->ended[timed - 1]), "read a time"));
    if (milliseconds > 0) times->exposed += 1e-3 * (double)milliseconds;
    return PX_OK;
}

static px_status nccl_finish(px_nccl *base, px_context *ctx, px_reduction_times *times) {
    nccl_here *nccl = (nccl_here *)base;
    nccl_clock *clock = &nccl->clock[nccl->steps % 2], *before = &nccl->clock[(nccl->steps + 1) % 2];
    const int last = clock->buckets < PX_TIMED ? clock->buckets - 1 : PX_TIMED - 1;
    PX_TRY(nccl_cuda(ctx, cudaEventRecord(clock->passed, nccl->cuda->stream), "time the backward pass"));
    if (last >= 0)
        PX_TRY(nccl_cuda(ctx, cudaStreamWaitEvent(nccl->cuda->stream, clock->ended[last], 0), "wait for the sums"));
    PX_TRY(nccl_read(ctx, before, times));
    before->buckets = 0;
    nccl->steps++;
    return PX_OK;
}

static px_status nccl_check(px_nccl *base, px_context *ctx) {
    nccl_here *nccl = (nccl_here *)base;
    ncclResult_t result = ncclSuccess;
    const ncclResult_t asked = ncclCommGetAsyncError(nccl->comm, &result);
    if (asked != ncclSuccess) result = asked;
    if (result == ncclSuccess || result == ncclInProgress) return PX_OK;
    nccl_said(ctx, result, "communicate");
    ncclCommAbort(nccl->comm); /* lets go of what waits on the device; this process ends now */
    return PX_ERR_DEVICE;
}

/* Every sum is over on every rank by now, or the job has failed: neither has to wait for the others. */
static void nccl_close(px_nccl *base) {
    nccl_here *nccl = (nccl_here *)base;
    if (nccl->comm) ncclCommAbort(nccl->comm);
    for (int c = 0; c < 2; c++) {
        for (int i = 0; i < PX_TIMED; i++) {
            if (nccl->clock[c].begun[i]) cudaEventDestroy(nccl->clock[c].begun[i]);
            if (nccl->clock[c].ended[i]) cudaEventDestroy(nccl->clock[c].ended[i]);
        }
        if (nccl->clock[c].passed) cudaEventDestroy(nccl->clock[c].passed);
    }
    if (nccl->ready) cudaEventDestroy(nccl->ready);
    if (nccl->stream) cudaStreamDestroy(nccl->stream);
    free(nccl);
}

static px_status nccl_equip(nccl_here *nccl, px_context *ctx) {
    PX_TRY(nccl_cuda(ctx, cudaStreamCreateWithFlags(&nccl->stream, cudaStreamNonBlocking), "create a stream"));
    PX_TRY(nccl_cuda(ctx, cudaEventCreateWithFlags(&nccl->ready, cudaEventDisableTiming), "create an event"));
    for (int c = 0; c < 2; c++) {
        PX_TRY(nccl_cuda(ctx, cudaEventCreate(&nccl->clock[c].passed), "create an event"));
        for (int i = 0; i < PX_TIMED; i++) {
            PX_TRY(nccl_cuda(ctx, cudaEventCreate(&nccl->clock[c].begun[i]), "create an event"));
            PX_TRY(nccl_cuda(ctx, cudaEventCreate(&nccl->clock[c].ended[i]), "create an event"));
        }
    }
    return PX_OK;
}

static px_status nccl_join(nccl_here *nccl, px_context *ctx, const ncclUniqueId *id, int rank, int count) {
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    return nccl_wait(nccl, ctx, ncclCommInitRankConfig(&nccl->comm, count, *id, rank, &config), "meet the others");
}

static const px_nccl_ops nccl_here_ops = {
    .sum = nccl_sum, .finish = nccl_finish, .check = nccl_check, .close = nccl_close};

px_status px_nccl_make_id(px_context *ctx, unsigned char id[PX_NCCL_ID]) {
    return nccl_said(ctx, ncclGetUniqueId((ncclUniqueId *)(void *)id), "make an id");
}

px_status px_nccl_open_here(px_context *ctx, px_device *device, int rank, int count, const unsigned char id[PX_NCCL_ID],
                            px_nccl **out) {
    ncclUniqueId unique;
    nccl_here *nccl = calloc(1, sizeof *nccl);
    *out = NULL;
    if (!nccl) return px_fail(ctx, PX_ERR_MEMORY, "NCCL: no memory for it");
    nccl->base.ops = &nccl_here_ops;
    nccl->cuda = (px_cuda *)device;
    memcpy(&unique, id, sizeof unique);
    px_status status = nccl_equip(nccl, ctx);
    if (status == PX_OK) status = nccl_join(nccl, ctx, &unique, rank, count);
    if (status == PX_OK)
        *out = &nccl->base;
    else
        nccl_close(&nccl->base);
    return status;
}
