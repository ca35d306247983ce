/* Gradients on their way: which rows are final, which make a bucket, and who carries them. */
#include "host/distributed/ranks.h"
#include "host/io/arena.h"
#include "host/device/backend.h"
#include <stdlib.h>
#include <string.h>

struct px_reduction {
    px_ranks *ranks;
    px_device *device;
    px_nccl *nccl; /* NULL: MPI carries */
    px_tensor gradients;
    size_t bucket;  /* rows, at least */
    size_t waiting; /* rows from here on are on their way */
    px_arena arena;
    px_tensor squares; /* (R, 1) PX_FLOAT64: of this rank's own gradients, row by row */
    px_tensor scale;   /* (1, 2) PX_FLOAT64: unused, own norm */
    px_reduction_times times;
};

static void reduction_lay_out(px_reduction *r, px_arena *arena) {
    r->squares = px_arena_tensor(arena, r->gradients.rows, 1, PX_FLOAT64);
    r->scale = px_arena_tensor(arena, 1, 2, PX_FLOAT64);
}

/* For the watch, every beat: NCCL finds some faults by itself. */
static px_status reduction_check(void *reduction, px_context *ctx) {
    px_reduction *r = reduction;
    return r->nccl->ops->check(r->nccl, ctx);
}

static px_status reduction_begin(px_reduction *r) {
    px_arena plan = px_arena_plan();
    reduction_lay_out(r, &plan);
    PX_TRY(px_arena_allocate(&r->arena, r->device, plan.peak));
    reduction_lay_out(r, &r->arena);
    if (strcmp(r->device->kind, "cpu") == 0) return PX_OK;
    PX_TRY(px_nccl_open(r->ranks, r->device, &r->nccl));
    px_heartbeat_add_check(r->ranks->watch, reduction_check, r);
    return PX_OK;
}

px_status px_reduction_create(px_ranks *ranks, px_device *device, px_tensor gradients, size_t bucket_bytes,
                              px_reduction **out) {
    *out = NULL;
    if (!ranks) return PX_OK;
    px_reduction *r = calloc(1, sizeof *r);
    if (!r) return px_fail(ranks->ctx, PX_ERR_MEMORY, "ranks: no memory for a reduction");
    const size_t row = (size_t)gradients.columns * sizeof(px_real);
    *r = (px_reduction){.ranks = ranks,
                        .device = device,
                        .gradients = gradients,
                        .bucket = (bucket_bytes + row - 1) / row,
                        .waiting = gradients.rows};
    const px_status status = reduction_begin(r);
    if (status == PX_OK)
        *out = r;
    else
        px_reduction_destroy(r);
    return status;
}

void px_reduction_destroy(px_reduction *r) {
    if (!r) return;
    if (r->nccl) {
        px_heartbeat_add_check(r->ranks->watch, NULL, NULL);
        r->nccl->ops->close(r->nccl);
    }
    px_arena_free(&r->arena);
    free(r);
}

/* Rows first .. waiting - 1 are final: takes their own squares, and sends them. */
static px_status reduction_send(px_reduction *r, size_t first) {
    const size_t rows = r->waiting - first;
    const px_tensor bucket = px_tensor_slice(r->gradients, first, rows);
    PX_TRY(px_run(r->device, sum_squares, .x = bucket, .sum = px_tensor_slice(r->squares, first, rows)));
    r->waiting = first;
    px_mpi *mpi = r->ranks->mpi;
    return r->nccl ? r->nccl->ops->sum(r->nccl, r->ranks->ctx, bucket.data, px_tensor_elements(&bucket))
                   : mpi->ops->sum(mpi, r->ranks->ctx, bucket.data, px_tensor_elements(&bucket));
}

px_status px_reduction_ready(void *context, size_t first) {
    px_reduction *r = context;
    const size_t columns = (size_t)r->gradients.columns, row = (first + columns - 1) / columns;
    if (row >= r->waiting || (first > 0 && r->waiting - row < r->bucket)) return PX_OK;
    return reduction_send(r, row);
}

px_status px_reduction_finish(px_reduction *r) {
    if (!r) return PX_OK;
    px_mpi *mpi = r->ranks->mpi;
    px_heartbeat_count_collective(r->ranks->watch);
    r->waiting = r->gradients.rows;
    r->times.steps++;
    PX_TRY(px_run(r->device, clip, .squares = r->squares, .scale = r->scale));
    return r->nccl ? r->nccl->ops->finish(r->nccl, r->ranks->ctx, &r->times)
                   : mpi->ops->finish(mpi, r->ranks->ctx, &r->times);
}

px_status px_reduction_norm(px_reduction *r, double *norm) {
    return r->device->ops->download(r->device, norm, (double *)r->scale.data + 1, sizeof *norm);
}

px_reduction_times px_reduction_times_take(px_reduction *r) {
    if (!r) return (px_reduction_times){0};
    const px_reduction_times times = r->times;
    r->times = (px_reduction_times){0};
    return times;
}
