/* How a command is asked to stop: the handlers of signals, and the end by force of one that does not answer. */
#include "host/cli/cli.h"
#include "host/io/clock.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

px_stop px_cli_stop;

/* Seconds after the first Ctrl-C from which on a second one counts: a shell, a terminal and GNU timeout may send a
 * signal twice at once. */
static const double second_interrupt_s = 0.5;

static const char first_interrupt[] = "stopping; Ctrl-C again ends at once, without saving\n";
static const char second_interrupt[] = "ended by the second Ctrl-C, without saving\n";

static _Atomic double interrupted_seconds; /* of the monotonic clock, when the first SIGINT came; 0: none has */
static bool terminal;                      /* standard error shows ^C in the line of the progress bar */
static atomic_bool monitored;              /* the heartbeat monitor ends this process if it is overdue */

/* Only what is safe in a signal handler. */
static void say(const char *line) {
    if (write(STDERR_FILENO, line, strlen(line)) < 0) return; /* nobody is left to be told */
}

static void on_interrupt(void) {
    const double now = px_clock_seconds(), first = interrupted_seconds;
    if (first == 0) {
        interrupted_seconds = now;
        if (terminal) say("\n");
        say(first_interrupt);
    } else if (now - first >= second_interrupt_s) {
        say(second_interrupt);
        _exit(px_exit_status(PX_INTERRUPTED));
    }
}

/* May come any number of times: the process ends by itself, once what is to be saved is saved. */
static void on_signal(int number) {
    const int error = errno;
    if (number == SIGINT) on_interrupt();
    px_stop_ask(&px_cli_stop, number == SIGINT ? PX_INTERRUPTED : PX_STOPPED);
    alarm(1);
    errno = error;
}

/* Every second from the first signal on. */
static void on_alarm(int number) {
    (void)number;
    if (monitored) return;
    if (px_stop_overdue(&px_cli_stop)) {
        say("pixelrnn: ");
        say(px_stop_overdue_line);
        say("\n");
        _exit(px_exit_status((px_status)px_cli_stop.asked));
    }
    alarm(1);
}

/* A signal that is ignored when the program starts (nohup) stays ignored. */
static void handle(int number, void (*handler)(int)) {
    struct sigaction before, action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigfillset(&action.sa_mask);
    if (sigaction(number, NULL, &before) == 0 && before.sa_handler != SIG_IGN) sigaction(number, &action, NULL);
}

void px_cli_catch_signals(void) {
    const int asking[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};
    for (size_t i = 0; i < sizeof asking / sizeof *asking; i++) handle(asking[i], on_signal);
    handle(SIGALRM, on_alarm);
    terminal = isatty(STDERR_FILENO) == 1;
    /* Ctrl-C also ends the reader of a pipe (pixelrnn train | tee log): a write to it then fails, and ends nothing. */
    signal(SIGPIPE, SIG_IGN);
}

void px_cli_leave_overdue_to_monitor(void) {
    monitored = true;
}
