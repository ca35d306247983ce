/* The NCCL communicator of CUDA ranks: libpixelrnn_nccl.so. Gradients are summed on a separate stream, each bucket as
 * soon as the device's stream has computed it.
 *
 * The communicator is blocking. Only then may two threads use it: the main thread calls NCCL while the heartbeat thread
 * polls for asynchronous errors once an interval. If NCCL or a peer fails, the heartbeat monitor ends this process,
 * also while the main thread waits in a call of NCCL. */
#include "host/device/cuda/cuda.h"
#include "host/distributed/ranks.h"
#include <nccl.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(ncclUniqueId) == PX_NCCL_ID, "rank 0 broadcasts PX_NCCL_ID bytes");

/* The events of one step. Buckets from number MAX_TIMED - 1 on share the last pair of events. */
enum { MAX_TIMED = 64 };
/* The steps whose events exist: the current one, the previous one, which the device may not have finished, and the one
 * before, whose results the caller has read. */
enum { STEPS = 3 };
typedef struct step_events {
    cudaEvent_t begin[MAX_TIMED], end[MAX_TIMED]; /* of each allreduce */
    cudaEvent_t backward_end;
    int buckets;
} step_events;

typedef struct communicator {
    px_nccl base;
    px_cuda *cuda;
    ncclComm_t comm;
    cudaStream_t stream;
    cudaEvent_t bucket_ready;  /* on the device's stream */
    step_events events[STEPS]; /* of step s at s % STEPS */
    long steps;
} communicator;

static px_status check_nccl(px_context *ctx, ncclResult_t result, const char *call) {
    if (result == ncclSuccess) return PX_OK;
    return px_fail(ctx, PX_ERR_DEVICE, "NCCL: %s: %s", call, ncclGetErrorString(result));
}

static px_status check_cuda(px_context *ctx, cudaError_t error, const char *call) {
    if (error == cudaSuccess) return PX_OK;
    return px_fail(ctx, PX_ERR_DEVICE, "NCCL: %s: %s", call, cudaGetErrorString(error));
}

/* Returns from the calling function, which has a ctx, if a call of CUDA failed. */
#define TRY_CUDA(call) PX_TRY(check_cuda(ctx, call, #call))

static px_status nccl_sum(px_nccl *base, px_context *ctx, px_real *values, size_t count) {
    communicator *c = (communicator *)base;
    step_events *events = &c->events[c->steps % STEPS];
    const int i = events->buckets < MAX_TIMED ? events->buckets : MAX_TIMED - 1;
    TRY_CUDA(cudaEventRecord(c->bucket_ready, c->cuda->stream));
    TRY_CUDA(cudaStreamWaitEvent(c->stream, c->bucket_ready, 0));
    if (events->buckets < MAX_TIMED) TRY_CUDA(cudaEventRecord(events->begin[i], c->stream));
    PX_TRY(
        check_nccl(ctx, ncclAllReduce(values, values, count, ncclFloat, ncclSum, c->comm, c->stream), "ncclAllReduce"));
    events->buckets++;
    TRY_CUDA(cudaEventRecord(events->end[i], c->stream));
    return PX_OK;
}

/* Adds the durations of a step whose events have completed. */
static px_status read_times(px_context *ctx, const step_events *events, px_reduction_times *times) {
    const int timed = events->buckets < MAX_TIMED ? events->buckets : MAX_TIMED;
    float ms = 0;
    for (int i = 0; i < timed; i++) {
        TRY_CUDA(cudaEventElapsedTime(&ms, events->begin[i], events->end[i]));
        times->reduce += 1e-3 * (double)ms;
    }
    if (timed == 0) return PX_OK;
    TRY_CUDA(cudaEventElapsedTime(&ms, events->backward_end, events->end[timed - 1]));
    if (ms > 0) times->exposed += 1e-3 * (double)ms;
    return PX_OK;
}

static px_status nccl_finish(px_nccl *base, px_context *ctx, px_reduction_times *times) {
    communicator *c = (communicator *)base;
    step_events *events = &c->events[c->steps % STEPS], *oldest = &c->events[(c->steps + 1) % STEPS];
    const int last = events->buckets < MAX_TIMED ? events->buckets - 1 : MAX_TIMED - 1;
    TRY_CUDA(cudaEventRecord(events->backward_end, c->cuda->stream));
    if (last >= 0) TRY_CUDA(cudaStreamWaitEvent(c->cuda->stream, events->end[last], 0));
    PX_TRY(read_times(ctx, oldest, times));
    oldest->buckets = 0;
    c->steps++;
    return PX_OK;
}

static px_status nccl_check(px_nccl *base, px_context *ctx) {
    communicator *c = (communicator *)base;
    ncclResult_t result = ncclSuccess;
    PX_TRY(check_nccl(ctx, ncclCommGetAsyncError(c->comm, &result), "ncclCommGetAsyncError"));
    return check_nccl(ctx, result, "asynchronous error");
}

/* Aborts instead of finalizing: either all sums have completed on all ranks, or the job has failed. */
static void nccl_close(px_nccl *base) {
    communicator *c = (communicator *)base;
    if (c->comm) ncclCommAbort(c->comm);
    for (int s = 0; s < STEPS; s++) {
        for (int i = 0; i < MAX_TIMED; i++) {
            if (c->events[s].begin[i]) cudaEventDestroy(c->events[s].begin[i]);
            if (c->events[s].end[i]) cudaEventDestroy(c->events[s].end[i]);
        }
        if (c->events[s].backward_end) cudaEventDestroy(c->events[s].backward_end);
    }
    if (c->bucket_ready) cudaEventDestroy(c->bucket_ready);
    if (c->stream) cudaStreamDestroy(c->stream);
    free(c);
}

static px_status create_events(communicator *c, px_context *ctx) {
    TRY_CUDA(cudaEventCreateWithFlags(&c->bucket_ready, cudaEventDisableTiming));
    for (int s = 0; s < STEPS; s++) {
        TRY_CUDA(cudaEventCreate(&c->events[s].backward_end));
        for (int i = 0; i < MAX_TIMED; i++) {
            TRY_CUDA(cudaEventCreate(&c->events[s].begin[i]));
            TRY_CUDA(cudaEventCreate(&c->events[s].end[i]));
        }
    }
    return PX_OK;
}

/* Blocks until all ranks have called it. A communicator that fails here is left to the end of the process, because
 * aborting it may wait for the other ranks. */
static px_status nccl_join(px_nccl *base, px_context *ctx, int rank, int count, const unsigned char id[PX_NCCL_ID]) {
    communicator *c = (communicator *)base;
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    ncclUniqueId unique_id;
    config.blocking = 1;
    memcpy(&unique_id, id, sizeof unique_id);
    const ncclResult_t result = ncclCommInitRankConfig(&c->comm, count, unique_id, rank, &config);
    if (result != ncclSuccess) c->comm = NULL;
    return check_nccl(ctx, result, "ncclCommInitRankConfig");
}

px_status px_nccl_library_make_id(px_context *ctx, unsigned char id[PX_NCCL_ID]) {
    return check_nccl(ctx, ncclGetUniqueId((ncclUniqueId *)(void *)id), "ncclGetUniqueId");
}

static px_status create_resources(communicator *c, px_context *ctx) {
    TRY_CUDA(cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking));
    return create_events(c, ctx);
}

px_status px_nccl_library_open(px_context *ctx, px_device *device, px_nccl **out) {
    static const px_nccl_ops ops = {
        .join = nccl_join, .sum = nccl_sum, .finish = nccl_finish, .check = nccl_check, .close = nccl_close};
    communicator *c = calloc(1, sizeof *c);
    *out = NULL;
    if (!c) return px_fail_memory(ctx, "NCCL", sizeof *c);
    c->base.ops = &ops;
    c->cuda = (px_cuda *)device;
    const px_status status = create_resources(c, ctx);
    if (status == PX_OK)
        *out = &c->base;
    else
        nccl_close(&c->base);
    return status;
}
