/* Ranks: the processes of one distributed job, which train or evaluate one model together.
 *
 * A launcher (mpirun, mpiexec or srun) starts the ranks. A process that no launcher started is single-process: its
 * px_ranks pointer is NULL. Every function here accepts NULL and then acts as a job of one rank without communication.
 *
 * Work is divided by images: of `total` images, rank r of R processes images total r / R to total (r + 1) / R - 1.
 * Results that ranks compute from gathered values are equal on all ranks, bit for bit: all have the same values in the
 * same order.
 *
 * Threads: each rank has the caller's thread, one thread that makes all calls of MPI, and one heartbeat thread. The
 * functions are called from one thread. All of them are collective (every rank calls them, in the same order), except
 * px_ranks_share, px_ranks_rank, px_ranks_count, px_ranks_local, px_ranks_name, px_ranks_set_timeouts and the
 * px_ranks_launched functions.
 *
 * Libraries: libpixelrnn_mpi.so is loaded if a launcher is detected, libpixelrnn_nccl.so if the device is CUDA. */
#ifndef PIXELRNN_RANKS_H
#define PIXELRNN_RANKS_H

#include "pixelrnn/device.h"
#include "pixelrnn/status.h"
#include "pixelrnn/stop.h"
#include <stdbool.h>

typedef struct px_ranks px_ranks;

/* How the heartbeat thread reports a fault and ends this process. The caller's thread may be blocked in MPI, in NCCL or
 * in a computation at that time, so nothing is cleaned up. */
typedef struct px_ranks_callbacks {
    void (*log)(const char *line);  /* prints a line (given without newline); called on one rank of the job.
                                       px_ranks_open  calls it too, for a warning */
    void (*exit)(px_status status); /* ends the process with px_exit_status(status); does not return */
    px_stop *stop; /* NULL, or a request that all ranks share: made on one rank, it is made on all within two heartbeat
                      intervals (two seconds). A rank on which it is overdue ends the job with its status. */
} px_ranks_callbacks;

/* Connects to the other ranks if a launcher started this process, and starts the heartbeat monitor. *ranks is NULL in a
 * single process, and also for a launcher's only rank if MPI cannot be used. Sets the number of OpenMP threads to this
 * rank's part of the host's cores, unless OMP_NUM_THREADS is set or the launcher has bound the rank to cores. callbacks
 * must stay valid until px_ranks_close. PX_ERR_DEVICE: a launcher started several ranks, but MPI is not built in,
 * cannot be loaded, or reports another number of ranks. */
px_status px_ranks_open(px_context *ctx, const px_ranks_callbacks *callbacks, px_ranks **ranks);

/* Leaves the job. status: the result of this rank's work. If it is a failure, rank 0 must have printed ctx->message
 * before: a launcher may end all ranks as soon as one exits with a failure. A failure that the ranks have not agreed on
 * (px_ranks_agree) ends the other ranks too, and rank 0 prints its message. A stop must have been agreed on. Clears
 * ctx->message, which has been printed. */
void px_ranks_close(px_ranks *ranks, px_status status);

/* The number of ranks that a launcher started, from its environment variables; 0 without a launcher. Needs no MPI. */
int px_ranks_launched(void);
/* The index of this rank on its host, from the same variables; 0 without a launcher. */
int px_ranks_launched_local(void);

/* The index of this rank (0 .. count - 1), the number of ranks, and the index among the ranks on the same host. Rank 0
 * writes files and prints. */
int px_ranks_rank(const px_ranks *ranks);
int px_ranks_count(const px_ranks *ranks);
int px_ranks_local(const px_ranks *ranks);

/* Writes a rank's name for messages: "rank 3 on node7". */
enum { PX_RANK_NAME = 96 };
void px_ranks_name(const px_ranks *ranks, int rank, char name[PX_RANK_NAME]);

/* The contiguous part of `total` items that this rank processes. Items are assigned in groups of `unit`, of which only
 * the last may be smaller. Shares differ by one group at most and may be empty. */
typedef struct px_share {
    size_t first, count;
} px_share;
px_share px_ranks_share(const px_ranks *ranks, size_t total, size_t unit);

/* Allgather, in place. all: `total` items of `size` bytes, of which each rank has filled its share of (total, unit).
 * Afterwards every rank has all items. */
px_status px_ranks_gather(px_ranks *ranks, void *all, size_t total, size_t unit, size_t size);

/* Copies the `bytes` bytes at data from rank 0 to all ranks. */
px_status px_ranks_broadcast(px_ranks *ranks, void *data, size_t bytes);

/* Exchanges the statuses of all ranks, and thereby acts as a barrier. Returns on every rank the status of the lowest
 * rank that failed, or PX_OK. ctx->message becomes that rank's message, preceded by its name unless all ranks failed
 * with the same message. */
px_status px_ranks_agree(px_ranks *ranks, px_status status);

/* Timeouts of the heartbeat monitor, in seconds. silence: how long a rank may send no heartbeat (its process is
 * stopped, or its host or link is down). stall: how long a rank that does send heartbeats may keep the others waiting.
 * When one is exceeded, the job ends with PX_ERR_DEVICE. Defaults: 15 and 1800. */
void px_ranks_set_timeouts(px_ranks *ranks, double silence, double stall);

/* Checks that the `bytes` bytes at mine are equal on all ranks, by their checksum. what: the name of this data, for the
 * message. PX_ERR_CONFIG: names the first rank that differs from rank 0. */
px_status px_ranks_same(px_ranks *ranks, const char *what, const void *mine, size_t bytes);

/* Checks that all ranks run the same program file. */
px_status px_ranks_same_program(px_ranks *ranks);

/* Checks that all ranks use devices of one kind, and that no two use the same GPU. PX_ERR_CONFIG otherwise. Restricts
 * each device to the paths that the devices of all ranks may take, so that all round in the same way. */
px_status px_ranks_check_device(px_ranks *ranks, px_device *device);

/* ---- Gradients ----
 *
 * An allreduce that overlaps with the backward pass. The gradients of a model are one flat tensor, and they become
 * final from its last element to its first. Final rows are summed over all ranks in buckets while the backward pass
 * computes the earlier rows: on the CPU by MPI's thread, on CUDA by NCCL on a separate stream. For a fixed number of
 * ranks, CPU sums are bitwise reproducible. In a single process a px_reduction is NULL and does nothing. */
typedef struct px_reduction px_reduction;

/* gradients: (R, F) on the device; they are summed in place, and the tensor must outlive the reduction. bucket_bytes:
 * the least size of a bucket, which is rounded up to rows. PX_ERR_DEVICE: CUDA without NCCL. */
px_status px_reduction_create(px_ranks *ranks, px_device *device, px_tensor gradients, size_t bucket_bytes,
                              px_reduction **reduction);
void px_reduction_destroy(px_reduction *reduction);

/* Begins a step: no gradients are final. */
void px_reduction_begin(px_reduction *reduction);

/* Declares that the elements from `first` to the end are final, and starts the sum of a bucket if there are enough. Has
 * the type px_gradient_hook of host/model/internal.h; context is the px_reduction. */
px_status px_reduction_ready(void *context, size_t first);

/* Waits for the sums of this step, after the last call of px_reduction_ready. On CUDA the device's stream waits, not
 * the host. */
px_status px_reduction_finish(px_reduction *reduction);

/* (1, 1) PX_FLOAT64 on the device: the norm of this rank's own gradients before the last sum. */
px_tensor px_reduction_norm(const px_reduction *reduction);

/* Durations since the previous call, in seconds. reduce: the sums of buckets, including the wait for slower ranks.
 * exposed: the part of it that came after the backward pass. */
typedef struct px_reduction_times {
    double reduce, exposed;
    long steps;
} px_reduction_times;
px_reduction_times px_reduction_read_times(px_reduction *reduction);

#endif
