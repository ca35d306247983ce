/* Allreduce of gradients in buckets, overlapped with the backward pass. */
#include "host/distributed/ranks.h"
#include "host/io/arena.h"
#include "host/device/graph.h"
#include <stdlib.h>
#include <string.h>

struct px_reduction {
    px_ranks *ranks;
    px_device *device;
    px_nccl *nccl; /* NULL on the CPU, where MPI sums */
    px_tensor gradients;
    size_t bucket_rows; /* least size of a bucket */
    size_t pending;     /* rows 0 .. pending - 1 have not been submitted in this step */
    px_arena arena;
    px_tensor squares; /* (R, 1) PX_FLOAT64: sum of squares of each row of this rank's own gradients */
    px_tensor scale;   /* (1, 2) PX_FLOAT64: unused, norm of this rank's own gradients */
    px_reduction_times times;
};

static void lay_out(px_reduction *r, px_arena *arena) {
    r->squares = px_arena_tensor(arena, r->gradients.rows, 1, PX_FLOAT64);
    r->scale = px_arena_tensor(arena, 1, 2, PX_FLOAT64);
}

/* Called by the heartbeat thread: NCCL detects some faults by itself. */
static px_status check_nccl(void *reduction, px_context *ctx) {
    px_reduction *r = reduction;
    return r->nccl->ops->check(r->nccl, ctx);
}

static px_status open_backend(px_reduction *r) {
    px_arena plan = px_arena_plan();
    lay_out(r, &plan);
    PX_TRY(px_arena_allocate(&r->arena, r->device, plan.peak));
    lay_out(r, &r->arena);
    if (strcmp(r->device->kind, "cpu") == 0) return PX_OK;
    PX_TRY(px_nccl_open(r->ranks, r->device, &r->nccl));
    px_heartbeat_add_check(r->ranks->heartbeat, check_nccl, r);
    return PX_OK;
}

px_status px_reduction_create(px_ranks *ranks, px_device *device, px_tensor gradients, size_t bucket_bytes,
                              px_reduction **out) {
    *out = NULL;
    if (!ranks) return PX_OK;
    px_reduction *r = calloc(1, sizeof *r);
    if (!r) return px_fail_memory(ranks->ctx, "ranks", sizeof *r);
    const size_t row = (size_t)gradients.columns * sizeof(px_real);
    *r = (px_reduction){.ranks = ranks,
                        .device = device,
                        .gradients = gradients,
                        .bucket_rows = (bucket_bytes + row - 1) / row};
    px_reduction_begin(r);
    const px_status status = open_backend(r);
    if (status == PX_OK)
        *out = r;
    else
        px_reduction_destroy(r);
    return status;
}

void px_reduction_destroy(px_reduction *r) {
    if (!r) return;
    if (r->nccl) {
        px_heartbeat_add_check(r->ranks->heartbeat, NULL, NULL);
        r->nccl->ops->close(r->nccl);
    }
    px_arena_free(&r->arena);
    free(r);
}

void px_reduction_begin(px_reduction *r) {
    if (r) r->pending = r->gradients.rows;
}

/* Starts the allreduce of rows first .. first + rows - 1. */
static px_status sum_bucket(void *reduction, size_t first, size_t rows) {
    px_reduction *r = reduction;
    const px_tensor bucket = px_tensor_slice(r->gradients, first, rows);
    px_mpi *mpi = r->ranks->mpi;
    return r->nccl ? r->nccl->ops->sum(r->nccl, r->ranks->ctx, bucket.data, px_tensor_elements(&bucket))
                   : mpi->ops->sum(mpi, r->ranks->ctx, bucket.data, px_tensor_elements(&bucket));
}

/* Computes the sums of squares of rows first .. pending - 1, which are the next bucket. */
static px_status submit(px_reduction *r, size_t first) {
    const size_t rows = r->pending - first;
    PX_TRY(px_run(r->device, sum_squares, .x = px_tensor_slice(r->gradients, first, rows),
                  .sum = px_tensor_slice(r->squares, first, rows)));
    r->pending = first;
    return px_graph_call(r->device, sum_bucket, r, first, rows);
}

px_status px_reduction_ready(void *context, size_t first) {
    px_reduction *r = context;
    const size_t columns = (size_t)r->gradients.columns, row = (first + columns - 1) / columns;
    if (row >= r->pending || (first > 0 && r->pending - row < r->bucket_rows)) return PX_OK;
    return submit(r, row);
}

/* Waits for the sums of all `rows` rows. */
static px_status finish_sums(void *reduction, size_t first, size_t rows) {
    px_reduction *r = reduction;
    px_mpi *mpi = r->ranks->mpi;
    (void)first, (void)rows;
    px_heartbeat_count_collective(r->ranks->heartbeat);
    r->times.steps++;
    return r->nccl ? r->nccl->ops->finish(r->nccl, r->ranks->ctx, &r->times)
                   : mpi->ops->finish(mpi, r->ranks->ctx, &r->times);
}

px_status px_reduction_finish(px_reduction *r) {
    if (!r) return PX_OK;
    PX_TRY(px_run(r->device, clip, .squares = r->squares, .scale = r->scale));
    return px_graph_call(r->device, finish_sums, r, 0, r->gradients.rows);
}

px_tensor px_reduction_norm(const px_reduction *r) {
    return px_tensor_of((double *)r->scale.data + 1, 1, 1, PX_FLOAT64);
}

px_reduction_times px_reduction_read_times(px_reduction *r) {
    if (!r) return (px_reduction_times){0};
    const px_reduction_times times = r->times;
    r->times = (px_reduction_times){0};
    return times;
}
