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

typedef struct px_watch px_watch;

/* Where rank 0 can be reached: filled by px_watch_listen there, read by px_watch_open everywhere else. */
enum { PX_WATCH_ADDRESSES = 16 };
typedef struct px_watch_place {
    uint64_t token; /* of this job */
    uint16_t port;
    uint16_t count;
    uint32_t address[PX_WATCH_ADDRESSES]; /* IPv4, in network order */
} px_watch_place;

typedef struct px_watch_options {
    const px_ranks_end *end;
    int rank, count;
    void (*name)(const void *names, int rank, char name[PX_RANK_NAME]); /* names a rank, for messages */
    const void *names;
} px_watch_options;

/* On rank 0: opens the door. */
px_status px_watch_listen(px_context *ctx, px_watch_place *place, int *door);

/* Rank 0 lets the others in by door, which it takes over; the others find it at place. All at about the same time.
 * PX_ERR_DEVICE names who could not be reached, and where. */
px_status px_watch_open(px_context *ctx, const px_watch_options *options, const px_watch_place *place, int door,
                        px_watch **watch);

void px_watch_patience(px_watch *watch, double silence, double stall);

/* This rank has come to its next collective call. NULL is allowed. */
void px_watch_step(px_watch *watch);

/* Something that the thread is to look after as well, once a beat; what it finds ends the job. NULL: no longer. */
typedef px_status (*px_watch_check)(void *object, px_context *ctx);
void px_watch_also(px_watch *watch, px_watch_check check, void *object);

/* Ends the other ranks: rank 0 prints the line, with this rank's name. Returns once it is on its way. */
void px_watch_fail(px_watch *watch, px_status status, const char *line);

/* Says farewell, so that the end of this process is nobody's loss, and stops the thread. */
void px_watch_close(px_watch *watch);

#endif
