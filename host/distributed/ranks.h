/* What the files of host/distributed/ share: the inside of a job, and what MPI and NCCL fill in. */
#ifndef PIXELRNN_PARALLEL_RANKS_H
#define PIXELRNN_PARALLEL_RANKS_H

#include "host/distributed/heartbeat.h"
#include "pixelrnn/ranks.h"
#include <stdatomic.h>

enum { PX_HOST_NAME = 64 };

/* MPI, as libpixelrnn_mpi.so fills it in. A thread of its own makes all calls of MPI, one after the other in the order
 * in which they were asked for; so MPI needs to support no threads, and goes on while the caller computes. */
typedef struct px_mpi px_mpi;
typedef struct px_mpi_ops {
    /* In place: rank r's bytes lie at [offsets[r], offsets[r + 1]). */
    px_status (*gather)(px_mpi *mpi, px_context *ctx, void *all, const size_t *offsets);
    px_status (*broadcast)(px_mpi *mpi, px_context *ctx, void *data, size_t bytes);
    /* Begins to sum values in place; they must stay until finish has returned. */
    px_status (*sum)(px_mpi *mpi, px_context *ctx, px_real *values, size_t count);
    /* Waits for all sums begun. times gains what they took. */
    px_status (*finish)(px_mpi *mpi, px_context *ctx, px_reduction_times *times);
    /* Orderly: every rank does so. */
    void (*close)(px_mpi *mpi);
} px_mpi_ops;
struct px_mpi {
    const px_mpi_ops *ops;
    int rank, count, local, local_count;
};
px_status px_mpi_open_here(px_context *ctx, px_mpi **mpi);
/* Loads MPI's library and lets it meet the others. */
px_status px_mpi_open(px_context *ctx, px_mpi **mpi);

/* NCCL, as libpixelrnn_nccl.so fills it in: the sums of a CUDA device's tensors, on a stream of their own. */
typedef struct px_nccl px_nccl;
typedef struct px_nccl_ops {
    /* Begins to sum values in place, after what the device's stream holds so far. */
    px_status (*sum)(px_nccl *nccl, px_context *ctx, px_real *values, size_t count);
    /* Makes the device's stream wait for all sums begun. times gains those of the step before, which the caller has
     * waited for since. */
    px_status (*finish)(px_nccl *nccl, px_context *ctx, px_reduction_times *times);
    /* What went wrong on its own since; called from the watch's thread. Aborts the communicator then. */
    px_status (*check)(px_nccl *nccl, px_context *ctx);
    void (*close)(px_nccl *nccl);
} px_nccl_ops;
struct px_nccl {
    const px_nccl_ops *ops;
};
enum { PX_NCCL_ID = 128 }; /* bytes: by it the ranks find each other; rank 0 makes it */
px_status px_nccl_make_id(px_context *ctx, unsigned char id[PX_NCCL_ID]);
px_status px_nccl_open_here(px_context *ctx, px_device *device, int rank, int count, const unsigned char id[PX_NCCL_ID],
                            px_nccl **nccl);
/* Loads NCCL's library and wires the ranks' devices up. */
px_status px_nccl_open(px_ranks *ranks, px_device *device, px_nccl **nccl);

struct px_ranks {
    px_context *ctx;
    px_mpi *mpi;
    px_heartbeat *watch;
    px_stop *stop;               /* of px_ranks_end */
    char (*hosts)[PX_HOST_NAME]; /* of each rank */
    bool agreed;                 /* all ranks have failed, and know it */
};

#endif
