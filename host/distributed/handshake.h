/* Connections of the watch: IPv4, non-blocking once made. */
#ifndef PIXELRNN_PARALLEL_CONNECT_H
#define PIXELRNN_PARALLEL_CONNECT_H

#include "host/distributed/heartbeat.h"

/* Finds rank 0's door at place and knocks as `rank`; *line is the connection. */
px_status px_connect(px_context *ctx, const px_heartbeat_address *place, int rank, int *line);

/* Lets in whoever knocks with the token before `deadline` (seconds of the monotonic clock); *rank tells who it is, -1
 * that nobody came. A stranger is shown out. */
px_status px_let_in(px_context *ctx, int door, uint64_t token, int count, double deadline, int *rank, int *line);

/* Sends all of a short message, or nothing: what finds no room is lost, as on any bad line. */
void px_say(int line, const void *message, size_t bytes);

/* Whether the kernel at the other end has received all that was sent, or has answered within the last `seconds`,
 * whatever its process does. What was sent just now it cannot have received. */
bool px_host_answers(int line, double seconds);

#endif
