/* A request to stop early. A signal handler or another thread makes it, and long work of the library answers it.
 *
 * Training, evaluation, sampling and packing poll the request between two pieces of work: steps, batches, rows of
 * pixels, windows of images. Once the request is made they keep what there is to keep, and return its status. The
 * intervals between polls also tell how long a piece of work takes, so that one that never ends can be noticed.
 *
 * A request of all zeros has not been made. Every function takes NULL for a request that is never made. */
#ifndef PIXELRNN_STOP_H
#define PIXELRNN_STOP_H

#include "pixelrnn/status.h"
#include <stdatomic.h>
#include <stdbool.h>

typedef struct px_stop {
    atomic_int asked;              /* a px_status: PX_OK until the request is made, then PX_STOPPED or PX_INTERRUPTED */
    atomic_bool answered;          /* a poll has returned the request */
    atomic_int held;               /* holds that are in force */
    _Atomic double asked_seconds;  /* of the monotonic clock, when the request was made */
    _Atomic double polled_seconds; /* when it was polled last; 0: never */
    _Atomic double longest_seconds; /* the longest interval between two polls so far */
} px_stop;

/* Makes the request: PX_STOPPED, or PX_INTERRUPTED, which also replaces an earlier PX_STOPPED. Safe in a signal
 * handler.
 */
void px_stop_ask(px_stop *stop, px_status how);

/* Call between two pieces of work. PX_OK: go on. Else the request's status: keep what there is, and return it. */
px_status px_stop_poll(px_stop *stop);

/* Between these two calls the request is never overdue: a file that must be whole is being written, or this process
 * waits for another one. Holds may be nested. */
void px_stop_hold(px_stop *stop);
void px_stop_release(px_stop *stop);

/* Seconds that a piece of work may take beyond the longest one so far, or beyond the request before any has ended. */
enum { PX_STOP_PATIENCE_S = 10 };

/* Whether the request was made, and the piece of work under way should long have ended, but has not: it hangs. Safe in
 * a signal handler. */
bool px_stop_overdue(const px_stop *stop);
/* What a process says that ends because of that. One line, without a newline. */
extern const char px_stop_overdue_line[];

/* Whether a status is that of a request to stop. */
static inline bool px_status_is_stop(px_status status) {
    return status == PX_STOPPED || status == PX_INTERRUPTED;
}

#endif
