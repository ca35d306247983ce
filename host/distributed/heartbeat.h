/* The watch: ranks that look after each other over connections of their own, so that one that died, hangs or is cut off
 * is seen whatever MPI, NCCL or a computation is doing at that time.
 *
 * Every rank has a TCP connection to rank 0, and a thread that sends a beat over it and listens. A connection that
 * closes without a farewell is a process that has ended; one that is silent, a process that is stopped or out of reach.
 * Beats carry how many collective calls the rank has come to, so a rank that keeps the others waiting is known, too. */
#ifndef PIXELRNN_PARALLEL_WATCH_H
#define PIXELRNN_PARALLEL_WATCH_H

#include "pixelrnn/ranks.h"
#include <stdint.h>

typedef struct px_heartbeat px_heartbeat;

/* Where rank 0 can be reached: filled by px_heartbeat_listen there, read by px_heartbeat_open everywhere else. */
enum { PX_HEARTBEAT_ADDRESSES = 16 };
typedef struct px_heartbeat_address {
    uint64_t token; /* of this job */
    uint16_t port;
    uint16_t count;
    uint32_t address[PX_HEARTBEAT_ADDRESSES]; /* IPv4, in network order */
} px_heartbeat_address;

typedef struct px_heartbeat_options {
    const px_ranks_end *end;
    int rank, count;
    void (*name)(const void *names, int rank, char name[PX_RANK_NAME]); /* names a rank, for messages */
    const void *names;
} px_heartbeat_options;

/* On rank 0: opens the door. */
px_status px_heartbeat_listen(px_context *ctx, px_heartbeat_address *place, int *door);

/* Rank 0 lets the others in by door, which it takes over; the others find it at place. All at about the same time.
 * PX_ERR_DEVICE names who could not be reached, and where. */
px_status px_heartbeat_open(px_context *ctx, const px_heartbeat_options *options, const px_heartbeat_address *place,
                            int door, px_heartbeat **watch);

void px_heartbeat_set_timeouts(px_heartbeat *watch, double silence, double stall);

/* This rank has come to its next collective call. NULL is allowed. */
void px_heartbeat_count_collective(px_heartbeat *watch);

/* Something that the thread is to look after as well, once a beat; what it finds ends the job. NULL: no longer. */
typedef px_status (*px_heartbeat_check)(void *object, px_context *ctx);
void px_heartbeat_add_check(px_heartbeat *watch, px_heartbeat_check check, void *object);

/* Ends the other ranks: rank 0 prints the line, with this rank's name. Returns once it is on its way. */
void px_heartbeat_fail(px_heartbeat *watch, px_status status, const char *line);

/* Says farewell, so that the end of this process is nobody's loss, and stops the thread. */
void px_heartbeat_close(px_heartbeat *watch);

#endif
