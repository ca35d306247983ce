/* Heartbeat monitor: detects ranks that have died, hang or cannot be reached, whatever MPI, NCCL or a computation is
 * doing at that time.
 *
 * Topology: every rank has one TCP connection (IPv4) to rank 0, besides MPI's and NCCL's. Rank 0 monitors all other
 * ranks, and each of them monitors rank 0.
 *
 * Thread: each rank runs one heartbeat thread. Every interval (1 s, or a fifth of the silence timeout if that is less)
 * it sends a heartbeat, checks its deadlines and runs the check of px_heartbeat_add_check. It reads messages as they
 * arrive. Only px_heartbeat_count_collective, px_heartbeat_add_check, px_heartbeat_set_timeouts, px_heartbeat_fail and
 * px_heartbeat_close may be called while it runs, from the thread that called px_heartbeat_open.
 *
 * Messages: all start with kind, status (uint32), collectives and stop (uint64), in the host's byte order, since all
 * ranks run the same program. `collectives` is the number of collective calls that the sender has started; `stop` is
 * the px_status of its request to stop.
 *   heartbeat  both ways, every interval. A status other than PX_OK: the job is over, and the reason has been logged.
 *   failure    to rank 0, followed by a line of 1024 bytes: this rank ends with that status, for that reason.
 *   exit       from rank 0: exit with that status, without logging.
 *   goodbye    both ways: this rank is done, and the end of its connection is no fault.
 *
 * Faults, and who ends whom:
 *   A connection closes without a goodbye message: the process was killed or crashed. Detected at once.
 *   No heartbeat for `silence` seconds (15): the process is stopped, or its host or link is down.
 *   A rank lags in `collectives` for `stall` seconds (1800) while others wait for it: it hangs. Detected by rank 0.
 *   A failure message, a failed check, an overdue request to stop (pixelrnn/stop.h): detected within two intervals.
 * Rank 0 logs one line with the name of the rank, sends an exit message to the others and exits. If rank 0 is the one
 * that is lost, rank 1 logs the line and every rank exits by itself. The status is PX_ERR_DEVICE for a lost rank, the
 * sender's for a failure message or check, and the request's if it is overdue. */
#ifndef PIXELRNN_DISTRIBUTED_HEARTBEAT_H
#define PIXELRNN_DISTRIBUTED_HEARTBEAT_H

#include "pixelrnn/ranks.h"
#include <stdint.h>

typedef struct px_heartbeat px_heartbeat;

/* Where rank 0 listens. Written by px_heartbeat_listen on rank 0 and broadcast to the other ranks. */
enum { PX_HEARTBEAT_ADDRESSES = 16 };
typedef struct px_heartbeat_address {
    uint64_t token; /* random number that identifies the job */
    uint16_t port;
    uint16_t count;                           /* of addresses; those of other interfaces than loopback come first */
    uint32_t address[PX_HEARTBEAT_ADDRESSES]; /* IPv4, in network byte order */
} px_heartbeat_address;

typedef struct px_heartbeat_options {
    const px_ranks_callbacks *callbacks; /* called by the heartbeat thread; must outlive the monitor */
    int rank, count;
    void (*name)(const void *context, int rank, char name[PX_RANK_NAME]); /* writes a rank's name for messages */
    const void *context;                                                  /* first argument of name */
} px_heartbeat_options;

/* On rank 0: opens the listening socket *listener and describes it in *address. */
px_status px_heartbeat_listen(px_context *ctx, px_heartbeat_address *address, int *listener);

/* Connects the ranks and starts the heartbeat thread. All ranks call it at about the same time. Rank 0 accepts
 * connections from listener for up to 60 s and closes it; the others pass -1 and connect to address, 2 s an interface.
 * PX_ERR_DEVICE: the message says how many ranks connected, or which addresses were tried. */
px_status px_heartbeat_open(px_context *ctx, const px_heartbeat_options *options, const px_heartbeat_address *address,
                            int listener, px_heartbeat **monitor);

/* Timeouts in seconds; see px_ranks_set_timeouts. */
void px_heartbeat_set_timeouts(px_heartbeat *monitor, double silence, double stall);

/* Counts a collective call that this rank is about to make. NULL is allowed. */
void px_heartbeat_count_collective(px_heartbeat *monitor);

/* A function that the heartbeat thread calls once an interval. A status other than PX_OK ends the job with the message
 * in ctx. check NULL: removes it; afterwards it is not running and will not be called. */
typedef px_status (*px_heartbeat_check)(void *object, px_context *ctx);
void px_heartbeat_add_check(px_heartbeat *monitor, px_heartbeat_check check, void *object);

/* Ends the other ranks with `status`. On rank 0 the message must have been logged; on another rank, rank 0 logs it
 * with this rank's name. Returns about 0.3 s after the messages were sent; the caller then exits. */
void px_heartbeat_fail(px_heartbeat *monitor, px_status status, const char *message);

/* Stops the thread, sends a goodbye message and closes the connections. NULL is allowed. */
void px_heartbeat_close(px_heartbeat *monitor);

#endif
