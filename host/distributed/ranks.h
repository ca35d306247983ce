/* Internal to host/distributed/: the state of a job, and the interfaces that libpixelrnn_mpi.so and libpixelrnn_nccl.so
 * implement. */
#ifndef PIXELRNN_DISTRIBUTED_RANKS_H
#define PIXELRNN_DISTRIBUTED_RANKS_H

#include "host/distributed/heartbeat.h"
#include "pixelrnn/ranks.h"

enum { PX_HOST_NAME = 64 };

/* ---- MPI ----
 *
 * A thread of the library makes all calls of MPI, in the order of submission. MPI needs no thread support for that, and
 * makes progress while the caller computes. Called from one thread. */
typedef struct px_mpi px_mpi;
typedef struct px_mpi_ops {
    /* Allgather in place: the bytes of rank r are [offsets[r], offsets[r + 1]). */
    px_status (*gather)(px_mpi *mpi, px_context *ctx, void *all, const size_t *offsets);
    /* From rank 0. */
    px_status (*broadcast)(px_mpi *mpi, px_context *ctx, void *data, size_t bytes);
    /* Starts an allreduce in place. values must stay valid until finish has returned. */
    px_status (*sum)(px_mpi *mpi, px_context *ctx, px_real *values, size_t count);
    /* Waits for all sums, and adds their durations to times. */
    px_status (*finish)(px_mpi *mpi, px_context *ctx, px_reduction_times *times);
    /* Finalizes MPI, which is collective, and frees mpi. */
    void (*close)(px_mpi *mpi);
} px_mpi_ops;
struct px_mpi {
    const px_mpi_ops *ops;
    int rank, count;        /* of the job */
    int local, local_count; /* of the ranks on this host */
};

/* Loads the library and initialises MPI. */
px_status px_mpi_open(px_context *ctx, px_mpi **mpi);
/* The library's entry point. */
px_status px_mpi_library_open(px_context *ctx, px_mpi **mpi);

/* ---- NCCL ---- */

enum { PX_NCCL_ID = 128 }; /* bytes of ncclUniqueId */
typedef struct px_nccl px_nccl;
typedef struct px_nccl_ops {
    /* Joins the communicator of all ranks' devices. id is that of rank 0. Blocks until all ranks have joined. */
    px_status (*join)(px_nccl *nccl, px_context *ctx, int rank, int count, const unsigned char id[PX_NCCL_ID]);
    /* Starts an allreduce in place on NCCL's stream, after all work that the device's stream contains so far. */
    px_status (*sum)(px_nccl *nccl, px_context *ctx, px_real *values, size_t count);
    /* Makes the device's stream wait for all sums. Adds the durations of the sums two steps ago to times; the caller
     * must have waited for that step. */
    px_status (*finish)(px_nccl *nccl, px_context *ctx, px_reduction_times *times);
    /* Returns NCCL's asynchronous error, if there is one. Called by the heartbeat thread, at the same time as others.
     */
    px_status (*check)(px_nccl *nccl, px_context *ctx);
    /* Aborts the communicator and frees nccl. Not collective. */
    void (*close)(px_nccl *nccl);
} px_nccl_ops;
struct px_nccl {
    const px_nccl_ops *ops;
};

/* Loads the library and creates a communicator of all ranks' devices. Collective. A rank that fails before it joins
 * makes all ranks fail. One that fails as it joins has to end the job, since the others then wait in NCCL. */
px_status px_nccl_open(px_ranks *ranks, px_device *device, px_nccl **nccl);
/* The library's entry points. px_nccl_library_open creates all that can fail on one rank alone, and is not collective.
 */
px_status px_nccl_library_make_id(px_context *ctx, unsigned char id[PX_NCCL_ID]);
px_status px_nccl_library_open(px_context *ctx, px_device *device, px_nccl **nccl);

struct px_ranks {
    px_context *ctx;
    px_mpi *mpi;
    px_heartbeat *heartbeat;
    px_stop *stop;               /* of px_ranks_callbacks; may be NULL */
    char (*hosts)[PX_HOST_NAME]; /* host name of each rank */
    bool failure_agreed;         /* px_ranks_agree has returned a failure to all ranks */
};

#endif
