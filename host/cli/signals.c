/* Signal handlers, which make the request to stop, and the forced exit of a process that does not acknowledge it. */
#include "host/cli/cli.h"
#include "host/io/clock.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

px_stop px_cli_stop;

/* A second SIGINT counts only if it comes this many seconds after the first one: a shell, a terminal and GNU timeout
 * may send one Ctrl-C twice. */
static const double second_interrupt_s = 0.5;

static const char first_interrupt[] = "stopping; Ctrl-C again ends at once, without saving\n";
static const char second_interrupt[] = "ended by the second Ctrl-C, without saving\n";

static _Atomic double interrupted_seconds; /* time of the first SIGINT on the monotonic clock; 0: none yet */
static bool terminal;                      /* standard error is a terminal, which shows ^C in the progress bar's line */
static atomic_bool monitored;              /* the heartbeat monitor ends this process if the request is overdue */

/* Writes to standard error. Async-signal-safe. */
static void write_error(const char *text) {
    if (write(STDERR_FILENO, text, strlen(text)) < 0) return; /* standard error is closed or full */
}

static void on_interrupt(void) {
    const double now = px_clock_seconds(), first = interrupted_seconds;
    if (first == 0) {
        interrupted_seconds = now;
        if (terminal) write_error("\n");
        write_error(first_interrupt);
    } else if (now - first >= second_interrupt_s) {
        write_error(second_interrupt);
        _exit(px_exit_status(PX_INTERRUPTED));
    }
}

/* Signals may repeat: only the first one has an effect, and the process exits after it has saved its work. */
static void on_signal(int number) {
    const int error = errno;
    if (number == SIGINT) on_interrupt();
    px_stop_request(&px_cli_stop, number == SIGINT ? PX_INTERRUPTED : PX_STOPPED);
    alarm(1);
    errno = error;
}

/* Runs every second after the first signal. */
static void on_alarm(int number) {
    (void)number;
    if (monitored) return;
    if (px_stop_overdue(&px_cli_stop)) {
        write_error("pixelrnn: ");
        write_error(px_stop_overdue_message);
        write_error("\n");
        _exit(px_exit_status((px_status)px_cli_stop.requested));
    }
    alarm(1);
}

/* Installs a handler. A signal that is ignored when the program starts (nohup) stays ignored. */
static void handle(int number, void (*handler)(int)) {
    struct sigaction before, action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigfillset(&action.sa_mask);
    if (sigaction(number, NULL, &before) == 0 && before.sa_handler != SIG_IGN) sigaction(number, &action, NULL);
}

void px_cli_catch_signals(void) {
    const int stop_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};
    for (size_t i = 0; i < sizeof stop_signals / sizeof *stop_signals; i++) handle(stop_signals[i], on_signal);
    handle(SIGALRM, on_alarm);
    terminal = isatty(STDERR_FILENO) == 1;
    /* Ctrl-C also ends the reader of a pipe (pixelrnn train | tee log). A write to that pipe then fails with EPIPE,
     * instead of ending this process before it has saved. */
    signal(SIGPIPE, SIG_IGN);
}

void px_cli_leave_overdue_to_monitor(void) { monitored = true; }
