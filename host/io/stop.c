/* A request to stop, and how long its answer may take. */
#include "pixelrnn/stop.h"
#include "host/io/clock.h"

const char px_stop_overdue_line[] =
    "asked to stop, but the work under way has not ended 10 s after its usual time: ended without saving it; the same "
    "command (train: with --resume) goes on from what was saved before";

void px_stop_ask(px_stop *stop, px_status how) {
    if (!stop) return;
    if (stop->asked == PX_OK) stop->asked_seconds = px_clock_seconds();
    if (stop->asked != PX_INTERRUPTED) stop->asked = (int)how;
}

px_status px_stop_poll(px_stop *stop) {
    if (!stop) return PX_OK;
    const double now = px_clock_seconds(), before = stop->polled_seconds;
    if (before > 0 && now - before > stop->longest_seconds) stop->longest_seconds = now - before;
    stop->polled_seconds = now;
    const px_status asked = (px_status)stop->asked;
    if (asked != PX_OK) stop->answered = true;
    return asked;
}

void px_stop_hold(px_stop *stop) {
    if (stop) stop->held++;
}

void px_stop_release(px_stop *stop) {
    if (!stop) return;
    if (stop->polled_seconds > 0) stop->polled_seconds = px_clock_seconds(); /* the hold was not a piece of work */
    stop->held--;
}

bool px_stop_overdue(const px_stop *stop) {
    if (!stop || stop->asked == PX_OK || stop->answered || stop->held > 0) return false;
    const double asked = stop->asked_seconds, usual = stop->polled_seconds + stop->longest_seconds;
    return px_clock_seconds() > (asked > usual ? asked : usual) + PX_STOP_PATIENCE_S;
}
