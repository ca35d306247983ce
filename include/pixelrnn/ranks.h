/* Ranks: the processes of one job, which train or evaluate one model together. mpirun or srun starts them.
 *
 * A process that no launcher started is alone: its `px_ranks *` is NULL, and every function here takes NULL for one
 * rank that has nobody to talk to. MPI is a library of its own, loaded when a launcher is seen; NCCL is another, loaded
 * when the device is CUDA.
 *
 * Work is cut by images: of `total` things in a row, rank r of R has those from total r / R to total (r + 1) / R. What
 * ranks compute from gathered figures is the same on all of them, bit for bit, since all have the same figures in the
 * same order.
 *
 * All functions but px_ranks_share, _rank, _count and _name are collective: every rank calls them, in the same order.
 */
#ifndef PIXELRNN_RANKS_H
#define PIXELRNN_RANKS_H

#include "pixelrnn/device.h"
#include "pixelrnn/status.h"
#include "pixelrnn/stop.h"
#include <stdbool.h>

typedef struct px_ranks px_ranks;

/* How a rank ends when the job cannot go on and its own thread of control may never know: another rank died, hangs, was
 * cut off or has failed. Called from a thread of the watch. say prints a line, without newline, on the one rank that is
 * to; leave ends the process. stop, if not NULL, is one request of all ranks: made on one, it is made on all within two
 * beats (two seconds); on a rank where it is overdue, it ends the job with its status. */
typedef struct px_ranks_end {
    void (*say)(const char *line);
    void (*leave)(px_status status);
    px_stop *stop;
} px_ranks_end;

/* Meets the other ranks, if a launcher started several, and starts the watch over them. A launcher's only rank takes
 * the same path where MPI can be had, and is alone elsewhere. PX_ERR_DEVICE: a launcher started several, but MPI is not
 * built in, cannot be loaded, or sees another number of them. Leaves OpenMP as many threads as this rank's share of the
 * host's cores, unless OMP_NUM_THREADS says how many. */
px_status px_ranks_open(px_context *ctx, const px_ranks_end *end, px_ranks **ranks);

/* Leaves the job with the status of this rank's work. Of a failure rank 0 must have printed ctx->message by then: a
 * launcher may end all ranks as soon as one has ended badly. A failure that the ranks have not agreed on ends the other
 * ranks, too, and rank 0 learns the message of this one. All ranks must have agreed on a stop. ctx->message becomes "":
 * it has been said. NULL is allowed. */
void px_ranks_close(px_ranks *ranks, px_status status);

/* How many ranks a launcher says it started; 0: there is no launcher. Needs no MPI. */
int px_ranks_launched(void);
/* This process's number on its host, as the launcher says; 0 without one. */
int px_ranks_launched_local(void);

/* This rank, 0 .. count - 1, and its place among those on its host. Rank 0 writes and prints. */
int px_ranks_rank(const px_ranks *ranks);
int px_ranks_count(const px_ranks *ranks);
int px_ranks_local(const px_ranks *ranks);

/* "rank 3 on node7". */
enum { PX_RANK_NAME = 96 };
void px_ranks_name(const px_ranks *ranks, int rank, char name[PX_RANK_NAME]);

/* Which of `total` things in a row are this rank's. They stay together in groups of `unit`; only the last group may be
 * smaller. Shares differ by one group at most, and may be empty. */
typedef struct px_share {
    size_t first, count;
} px_share;
px_share px_ranks_share(const px_ranks *ranks, size_t total, size_t unit);

/* Every rank has filled its share of all, `total` things of `size` bytes; afterwards every rank has all of them. */
px_status px_ranks_gather(px_ranks *ranks, void *all, size_t total, size_t unit, size_t size);

/* Rank 0's bytes become everyone's. */
px_status px_ranks_broadcast(px_ranks *ranks, void *data, size_t bytes);

/* The status of the first rank that failed, or PX_OK, on every rank; ctx->message is that rank's, with its name unless
 * all have failed alike. Doubles as a barrier. */
px_status px_ranks_agree(px_ranks *ranks, px_status status);

/* How long a rank may be silent (its process stopped, its host or link down), and how long it may keep the others
 * waiting while its process still answers, before the job is ended. Seconds. */
void px_ranks_set_timeouts(px_ranks *ranks, double silence, double stall);

/* PX_ERR_CONFIG unless `bytes` bytes at mine are the same on every rank; names the first rank that differs from rank 0,
 * and `what` it is that differs. */
px_status px_ranks_same(px_ranks *ranks, const char *what, const void *mine, size_t bytes);

/* The same of the program's file. */
px_status px_ranks_same_program(px_ranks *ranks);

/* All ranks compute on devices of one kind, and no two on one GPU: else PX_ERR_CONFIG. */
px_status px_ranks_check_device(px_ranks *ranks, const px_device *device);

/* --- Gradients: the flat tensors of all ranks are summed in buckets, last rows first, while the backward pass still
 * makes the earlier ones: by MPI's thread on the CPU, by NCCL on a stream of its own on CUDA. Sums have one order for
 * one number of ranks. Alone, a reduction is NULL and costs nothing. */
typedef struct px_reduction px_reduction;

/* gradients: (R, F), on device. Buckets are the fewest rows that have bucket_bytes. PX_ERR_DEVICE: CUDA without NCCL.
 */
px_status px_reduction_create(px_ranks *ranks, px_device *device, px_tensor gradients, size_t bucket_bytes,
                              px_reduction **reduction);
void px_reduction_destroy(px_reduction *reduction);

/* The elements from `first` on are final: sends what makes a bucket. A px_gradient_hook of model.h; context is the
 * reduction. */
px_status px_reduction_ready(void *context, size_t first);

/* After the last of them: what the device runs from here on sees the sums. */
px_status px_reduction_finish(px_reduction *reduction);

/* Norm of this rank's own gradients before they were summed; waits for it. */
px_status px_reduction_norm(px_reduction *reduction, double *norm);

/* Time since the last call: buckets on their way, and the part of it that the rank spent waiting for them after its
 * backward pass. */
typedef struct px_reduction_times {
    double reduce, exposed; /* seconds */
    long steps;
} px_reduction_times;
px_reduction_times px_reduction_times_take(px_reduction *reduction);

#endif
