/* A request to stop early, made by a signal handler or another thread and polled by the library.
 *
 * Training, evaluation, sampling and packing poll the request between two pieces of work: a training step, a batch, a
 * row of pixels, a window of images. Once the request is made, they save what can be saved and return its status. The
 * intervals between polls also measure how long a piece of work usually takes, so that one that hangs can be detected.
 *
 * Threads: all fields are atomic. One thread polls; any thread or signal handler may make the request or ask whether it
 * is overdue. An object of all zeros is a request that has not been made. Every function accepts NULL as a request
 * that is never made. */
#ifndef PIXELRNN_STOP_H
#define PIXELRNN_STOP_H

#include "pixelrnn/status.h"
#include <stdatomic.h>
#include <stdbool.h>

typedef struct px_stop {
    atomic_int requested;     /* a px_status: PX_OK until the request is made, then PX_STOPPED or PX_INTERRUPTED */
    atomic_bool acknowledged; /* a poll has returned the request */
    atomic_int hold_count;    /* calls of px_stop_hold without their px_stop_release */
    _Atomic double requested_seconds; /* time of the request, on the monotonic clock */
    _Atomic double polled_seconds;    /* time of the last poll; 0: never polled */
    _Atomic double longest_seconds;   /* longest interval between two polls so far */
} px_stop;

/* Makes the request. status: PX_STOPPED, or PX_INTERRUPTED, which also replaces an earlier PX_STOPPED.
 * Async-signal-safe.
 */
void px_stop_request(px_stop *stop, px_status status);

/* Call between two pieces of work. Returns PX_OK to continue. Otherwise returns the status of the request, and the
 * caller saves its work and returns that status. */
px_status px_stop_poll(px_stop *stop);

/* Between hold and release the request is never overdue. Used while a file that must be complete is written, and while
 * this process waits for another one. Calls nest. */
void px_stop_hold(px_stop *stop);
void px_stop_release(px_stop *stop);

/* Timeout of a request, in seconds. It starts when the longest piece of work so far would have ended, or at the
 * request if that is later. */
enum { PX_STOP_TIMEOUT_S = 10 };

/* Whether the request was made and no poll has returned it within the timeout: the current piece of work hangs.
 * Async-signal-safe. */
bool px_stop_overdue(const px_stop *stop);

/* The message of a process that ends because its request is overdue. One line, without a newline. */
extern const char px_stop_overdue_message[];

/* Whether a status is that of a request to stop. */
static inline bool px_status_is_stop(px_status status) { return status == PX_STOPPED || status == PX_INTERRUPTED; }

#endif
