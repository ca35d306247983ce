/* TCP connections of the heartbeat monitor: IPv4, non-blocking, closed on exec.
 *
 * Handshake: the connecting rank sends the job's token (uint64) and its rank (int64). Rank 0 replies with the bitwise
 * complement of the token. Each side waits 2 s for the other. */
#ifndef PIXELRNN_DISTRIBUTED_HANDSHAKE_H
#define PIXELRNN_DISTRIBUTED_HANDSHAKE_H

#include "host/distributed/heartbeat.h"

/* On the other ranks: connects to rank 0 at the first of the addresses that completes the handshake. */
px_status px_handshake_connect(px_context *ctx, const px_heartbeat_address *address, int rank, int *connection);

/* On rank 0: accepts the next connection that completes the handshake before `deadline` (seconds of the monotonic
 * clock), and closes others. *rank is the rank that connected, or -1 if none did. */
px_status px_handshake_accept(px_context *ctx, int listener, uint64_t token, int count, double deadline, int *rank,
                              int *connection);

/* Sends a message without blocking. It is dropped if the send buffer is full or the connection is broken; the reader's
 * timeout then detects the fault. */
void px_handshake_send(int connection, const void *message, size_t bytes);

/* Whether the peer's kernel has acknowledged all data that was sent, or has acknowledged any within the last `seconds`.
 * This separates a stopped process from a host that is down. Data sent just now cannot have been acknowledged. */
bool px_handshake_host_responds(int connection, double seconds);

#endif
