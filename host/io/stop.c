/* The request to stop and its timeout. */
#include "pixelrnn/stop.h"
#include "host/io/clock.h"

const char px_stop_overdue_message[] =
    "asked to stop, but the current work has not ended 10 s after its usual time; exiting without saving it; run the "
    "same command again (train: with --resume) to continue from what was saved before";

void px_stop_request(px_stop *stop, px_status status) {
    if (!stop) return;
    if (stop->requested == PX_OK) stop->requested_seconds = px_clock_seconds();
    if (stop->requested != PX_INTERRUPTED) stop->requested = (int)status;
}

px_status px_stop_poll(px_stop *stop) {
    if (!stop) return PX_OK;
    const double now = px_clock_seconds(), previous = stop->polled_seconds;
    if (previous > 0 && now - previous > stop->longest_seconds) stop->longest_seconds = now - previous;
    stop->polled_seconds = now;
    const px_status status = (px_status)stop->requested;
    if (status != PX_OK) stop->acknowledged = true;
    return status;
}

void px_stop_hold(px_stop *stop) {
    if (stop) stop->hold_count++;
}

void px_stop_release(px_stop *stop) {
    if (!stop) return;
    /* The time of the hold is not part of a piece of work. */
    if (stop->polled_seconds > 0) stop->polled_seconds = px_clock_seconds();
    stop->hold_count--;
}

bool px_stop_overdue(const px_stop *stop) {
    if (!stop || stop->requested == PX_OK || stop->acknowledged || stop->hold_count > 0) return false;
    const double requested = stop->requested_seconds, usual = stop->polled_seconds + stop->longest_seconds;
    return px_clock_seconds() > (requested > usual ? requested : usual) + PX_STOP_TIMEOUT_S;
}
