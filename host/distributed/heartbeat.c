/* The watch's thread: beats out, beats in, and what follows from their absence. */
#include "host/distributed/heartbeat.h"
#include "host/distributed/handshake.h"
#include "host/io/clock.h"
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* Seconds: for all ranks to come; for the others to be gone once they were told to; default patience. A stall is long,
 * since a rank may rightly keep the others waiting while it writes a checkpoint or draws samples. */
static const double PX_GATHERING = 60, PX_PARTING = 0.3, PX_SILENCE = 15, PX_STALL = 1800;

/* Seconds that a rank stays when a host is out of reach, for its launcher to notice by itself: Open MPI's mpirun, told
 * of the end of a rank first, waits for the answer of its daemon on that host, for a quarter of an hour and more. */
static const double PX_SHUTDOWN_SECONDS = 10;

/* Seconds that a rank stays when rank 0 is lost, for rank 1 to say so before a launcher, told of the end of any rank,
 * ends all. */
static const double PX_DEFERENCE = 2;

typedef enum {
    PX_NOTE_BEAT,    /* with a status that is not PX_OK: the job is over, and why has been said */
    PX_NOTE_FAIL,    /* to rank 0: I end, and this is why */
    PX_NOTE_END,     /* from rank 0: end, without a word */
    PX_NOTE_GOODBYE, /* I am done; do not miss me */
} note_kind;

/* What goes over a connection: ranks of one job run one program, so a struct will do. */
typedef struct px_note {
    uint32_t kind;
    uint32_t status;
    uint64_t steps;
    uint64_t stop; /* a px_status: how this rank is asked to stop, or PX_OK */
} px_note;
typedef struct px_failure {
    px_note note;
    char line[1024];
} px_failure;

typedef struct px_peer {
    int rank, line; /* line -1: said farewell */
    bool said;      /* it is rank 0, and has said why the job is over */
    double heard;
    uint64_t steps;
    size_t got; /* bytes of inbox */
    px_failure inbox;
} px_peer;

struct px_heartbeat {
    px_heartbeat_options options;
    px_peer *peers; /* rank 0: all others, in order; others: rank 0 */
    int count;
    struct pollfd *polls; /* of the peers, then of bell */
    int bell[2];          /* a pipe that wakes the thread */
    pthread_t thread;
    bool running;
    _Atomic double silence, stall;
    _Atomic uint64_t steps;
    atomic_bool stop;

    pthread_mutex_t lock; /* of what follows */
    px_heartbeat_check check;
    void *checked;

    double looked, beaten; /* when the thread last looked and beat */
    double woken;          /* when it last found that it had slept for longer than others have patience */
    uint64_t least;        /* steps of the rank that is furthest behind, and since when it has been */
    double behind_since;
};

/* How this rank is asked to stop, or PX_OK. */
static px_status heartbeat_stop(const px_heartbeat *watch) {
    const px_stop *stop = watch->options.end->stop;
    return stop ? (px_status)stop->asked : PX_OK;
}

/* Seconds between two beats. */
static double heartbeat_send(const px_heartbeat *watch) {
    return watch->silence / 5 < 1 ? watch->silence / 5 : 1;
}

/* --- The end ------------------------------------------------------------------------------------------------------ */

static void heartbeat_tell(px_heartbeat *watch, note_kind kind, px_status status) {
    const px_note note = {kind, status, watch->steps, heartbeat_stop(watch)};
    for (int i = 0; i < watch->count; i++)
        if (watch->peers[i].line >= 0) px_say(watch->peers[i].line, &note, sizeof note);
}

/* Gives the others a moment to be gone, lest they miss rank 0 before they read why. */
static void heartbeat_part(px_heartbeat *watch) {
    const double deadline = px_clock_seconds() + PX_PARTING;
    char ignored[256];
    for (int i = 0; i < watch->count && px_clock_seconds() < deadline;) {
        const ssize_t got = watch->peers[i].line < 0 ? 0 : recv(watch->peers[i].line, ignored, sizeof ignored, 0);
        if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR)))
            usleep(1000);
        else
            i++;
    }
}

/* Rank 0 ends the others. */
static void heartbeat_shutdown(px_heartbeat *watch, px_status status) {
    heartbeat_tell(watch, PX_NOTE_END, status);
    heartbeat_part(watch);
}

/* Stays for so many seconds, and is not missed meanwhile. */
static void heartbeat_wait_for_peers(px_heartbeat *watch, px_status status, double seconds) {
    const double until = px_clock_seconds() + seconds;
    while (px_clock_seconds() < until) {
        heartbeat_tell(watch, PX_NOTE_BEAT, status);
        usleep((useconds_t)(1e6 * heartbeat_send(watch)));
    }
}

/* Ends this rank because of another, after so many seconds; where rank 0 is lost, rank 1 says so. */
static void heartbeat_lost(px_heartbeat *watch, const px_peer *peer, px_status status, const char *what,
                           double linger) {
    char name[PX_RANK_NAME], line[1024 + PX_RANK_NAME + 4];
    watch->options.name(watch->options.names, peer->rank, name);
    snprintf(line, sizeof line, "%s%s", name, what);
    const bool speaks = watch->options.rank <= 1 && !peer->said;
    if (speaks) watch->options.end->say(line);
    heartbeat_wait_for_peers(watch, status, speaks || linger > PX_DEFERENCE ? linger : PX_DEFERENCE);
    if (watch->options.rank == 0) heartbeat_shutdown(watch, status);
    watch->options.end->leave(status);
}

/* --- Listening ---------------------------------------------------------------------------------------------------- */

static void heartbeat_take(px_heartbeat *watch, px_peer *peer, const px_note *note) {
    peer->heard = px_clock_seconds();
    peer->steps = note->steps;
    if (note->stop != PX_OK) px_stop_ask(watch->options.end->stop, (px_status)note->stop);
    if (note->kind == PX_NOTE_BEAT) peer->said = note->status != PX_OK;
    if (note->kind == PX_NOTE_END) watch->options.end->leave((px_status)note->status);
    if (note->kind == PX_NOTE_FAIL) {
        char what[1024 + 4];
        peer->inbox.line[sizeof peer->inbox.line - 1] = '\0';
        snprintf(what, sizeof what, ": %s", peer->inbox.line);
        heartbeat_lost(watch, peer, (px_status)note->status, what, 0);
    }
    if (note->kind != PX_NOTE_GOODBYE) return;
    close(peer->line);
    peer->line = -1;
}

/* Reads what there is, a note at a time. */
static void heartbeat_receive(px_heartbeat *watch, px_peer *peer) {
    while (peer->line >= 0) {
        const px_note *note = &peer->inbox.note;
        const size_t want = peer->got >= sizeof *note && note->kind == PX_NOTE_FAIL ? sizeof peer->inbox : sizeof *note;
        if (peer->got == want) {
            peer->got = 0;
            heartbeat_take(watch, peer, note);
            continue;
        }
        const ssize_t got = recv(peer->line, (char *)&peer->inbox + peer->got, want - peer->got, 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (got <= 0) {
            /* Those who gave this rank up while it was stopped have said so. */
            if (px_clock_seconds() - watch->woken < watch->silence) watch->options.end->leave(PX_ERR_DEVICE);
            heartbeat_lost(watch, peer, PX_ERR_DEVICE, " ended without a word: killed, or crashed", 0);
            return;
        }
        peer->got += (size_t)got;
    }
}

/* --- Looking ------------------------------------------------------------------------------------------------------ */

static void heartbeat_silent(px_heartbeat *watch, double now) {
    for (int i = 0; i < watch->count; i++) {
        const px_peer *peer = &watch->peers[i];
        if (peer->line < 0 || now - peer->heard <= watch->silence) continue;
        char what[128];
        const bool near = px_host_answers(peer->line, watch->silence / 2);
        snprintf(what, sizeof what, " has been silent for %.3g s: %s", watch->silence,
                 near ? "it is stopped, for its host answers" : "its host or the link to it is down");
        heartbeat_lost(watch, peer, PX_ERR_DEVICE, what, near ? 0 : PX_SHUTDOWN_SECONDS);
    }
}

/* On rank 0: who is furthest behind, and has been for too long while others wait? */
static void heartbeat_stalled(px_heartbeat *watch, double now) {
    px_peer self = {.rank = 0, .steps = watch->steps};
    const px_peer *last = &self;
    uint64_t most = self.steps;
    if (watch->options.rank != 0) return;
    for (int i = 0; i < watch->count; i++) {
        const px_peer *peer = &watch->peers[i];
        if (peer->line < 0) return; /* the job is coming to its end */
        if (peer->steps < last->steps) last = peer;
        if (peer->steps > most) most = peer->steps;
    }
    if (last->steps == most || last->steps != watch->least) {
        watch->least = last->steps;
        watch->behind_since = now;
    }
    if (now - watch->behind_since <= watch->stall) return;
    char what[128];
    snprintf(what, sizeof what, " has kept the others waiting for %.3g s: it hangs, though its process answers",
             watch->stall);
    heartbeat_lost(watch, last, PX_ERR_DEVICE, what, 0);
}

/* Tells rank 0 why this one ends. */
static void heartbeat_report_failure(px_heartbeat *watch, px_status status, const char *line) {
    px_failure failure = {.note = {PX_NOTE_FAIL, status, watch->steps, heartbeat_stop(watch)}};
    snprintf(failure.line, sizeof failure.line, "%s", line);
    if (watch->peers[0].line >= 0) px_say(watch->peers[0].line, &failure, sizeof failure);
    usleep((useconds_t)(1e6 * PX_PARTING)); /* rank 0's answer ends this process, if nothing else does */
}

static void heartbeat_checks(px_heartbeat *watch) {
    px_context ctx = {0};
    px_status status = PX_OK;
    pthread_mutex_lock(&watch->lock);
    if (watch->check) status = watch->check(watch->checked, &ctx);
    pthread_mutex_unlock(&watch->lock);
    if (status == PX_OK && px_stop_overdue(watch->options.end->stop))
        status = px_fail(&ctx, heartbeat_stop(watch), "%s", px_stop_overdue_line);
    if (status == PX_OK) return;
    if (watch->options.rank == 0) {
        watch->options.end->say(ctx.message);
        heartbeat_shutdown(watch, status);
    } else {
        heartbeat_report_failure(watch, status, ctx.message);
    }
    watch->options.end->leave(status);
}

/* Whoever sleeps hears nothing: after a time stopped (a suspended job, a laptop's lid) all get their full time again.
 */
static void heartbeat_reset_deadlines(px_heartbeat *watch, double now) {
    const double slept = now - watch->looked;
    watch->looked = now;
    if (slept <= watch->silence / 2) return;
    if (slept >= watch->silence * 0.8) watch->woken = now;
    watch->behind_since = now;
    for (int i = 0; i < watch->count; i++) watch->peers[i].heard = now;
}

static void *heartbeat_run(void *argument) {
    px_heartbeat *watch = argument;
    watch->looked = watch->behind_since = px_clock_seconds();
    watch->woken = -INFINITY;
    while (!watch->stop) {
        const double beat = heartbeat_send(watch);
        for (int i = 0; i < watch->count; i++)
            watch->polls[i] = (struct pollfd){.fd = watch->peers[i].line, .events = POLLIN};
        watch->polls[watch->count] = (struct pollfd){.fd = watch->bell[0], .events = POLLIN};
        poll(watch->polls, (nfds_t)watch->count + 1, (int)(1e3 * beat));
        if (watch->stop) break;
        const double now = px_clock_seconds();
        heartbeat_reset_deadlines(watch, now);
        for (int i = 0; i < watch->count; i++)
            if (watch->polls[i].revents) heartbeat_receive(watch, &watch->peers[i]);
        if (now - watch->beaten < beat) continue;
        watch->beaten = now;
        heartbeat_silent(watch, now);
        heartbeat_stalled(watch, now);
        heartbeat_tell(watch, PX_NOTE_BEAT, PX_OK);
        heartbeat_checks(watch);
    }
    return NULL;
}

/* --- Opening and closing ------------------------------------------------------------------------------------------ */

/* A connection a rank: as many files as the system lets this process have. */
static void allow_files(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static px_status heartbeat_accept_all(px_context *ctx, px_heartbeat *watch, const px_heartbeat_address *place,
                                      int door) {
    const double deadline = px_clock_seconds() + PX_GATHERING;
    allow_files();
    for (int come = 0; come < watch->count;) {
        int rank, line;
        PX_TRY(px_let_in(ctx, door, place->token, watch->options.count, deadline, &rank, &line));
        if (rank < 0)
            return px_fail(ctx, PX_ERR_DEVICE, "ranks: only %d of %d others came to the watch within %.0f s", come,
                           watch->count, PX_GATHERING);
        come += watch->peers[rank - 1].line < 0;
        watch->peers[rank - 1].line = line;
    }
    return PX_OK;
}

static px_status heartbeat_start(px_context *ctx, px_heartbeat *watch) {
    sigset_t all, before;
    if (pipe(watch->bell) != 0) return px_fail(ctx, PX_ERR_DEVICE, "ranks: no pipe for the watch: %s", strerror(errno));
    for (int i = 0; i < watch->count; i++) watch->peers[i].heard = px_clock_seconds();
    sigfillset(&all); /* signals are for the main thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = pthread_create(&watch->thread, NULL, heartbeat_run, watch);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) return px_fail(ctx, PX_ERR_MEMORY, "ranks: no thread for the watch: %s", strerror(error));
    watch->running = true;
    return PX_OK;
}

static void heartbeat_free(px_heartbeat *watch) {
    for (int i = 0; watch->peers && i < watch->count; i++)
        if (watch->peers[i].line >= 0) close(watch->peers[i].line);
    for (int i = 0; i < 2; i++)
        if (watch->bell[i] >= 0) close(watch->bell[i]);
    pthread_mutex_destroy(&watch->lock);
    free(watch->peers);
    free(watch->polls);
    free(watch);
}

px_status px_heartbeat_open(px_context *ctx, const px_heartbeat_options *options, const px_heartbeat_address *place,
                            int door, px_heartbeat **out) {
    px_heartbeat *watch = calloc(1, sizeof *watch);
    *out = NULL;
    if (!watch) return px_fail(ctx, PX_ERR_MEMORY, "ranks: no memory for the watch");
    watch->options = *options;
    watch->bell[0] = watch->bell[1] = -1;
    watch->silence = PX_SILENCE;
    watch->stall = PX_STALL;
    pthread_mutex_init(&watch->lock, NULL);
    watch->count = options->rank == 0 ? options->count - 1 : 1;
    watch->peers = calloc((size_t)watch->count + 1, sizeof *watch->peers);
    watch->polls = calloc((size_t)watch->count + 1, sizeof *watch->polls);
    px_status status = PX_OK;
    if (!watch->peers || !watch->polls) {
        watch->count = 0;
        status = px_fail(ctx, PX_ERR_MEMORY, "ranks: no memory for the watch");
    }
    for (int i = 0; i < watch->count; i++)
        watch->peers[i] = (px_peer){.rank = options->rank == 0 ? i + 1 : 0, .line = -1};
    if (status == PX_OK)
        status = options->rank == 0 ? heartbeat_accept_all(ctx, watch, place, door)
                                    : px_connect(ctx, place, options->rank, &watch->peers[0].line);
    if (door >= 0) close(door);
    if (status == PX_OK) status = heartbeat_start(ctx, watch);
    if (status == PX_OK)
        *out = watch;
    else
        heartbeat_free(watch);
    return status;
}

void px_heartbeat_set_timeouts(px_heartbeat *watch, double silence, double stall) {
    watch->silence = silence;
    watch->stall = stall;
}

void px_heartbeat_count_collective(px_heartbeat *watch) {
    if (watch) watch->steps++;
}

void px_heartbeat_add_check(px_heartbeat *watch, px_heartbeat_check check, void *object) {
    pthread_mutex_lock(&watch->lock);
    watch->check = check;
    watch->checked = object;
    pthread_mutex_unlock(&watch->lock);
}

/* Stops the thread: from here on nobody listens. */
static void heartbeat_halt(px_heartbeat *watch) {
    if (!watch->running) return;
    watch->running = false;
    watch->stop = true;
    const ssize_t rung = write(watch->bell[1], "", 1);
    (void)rung;
    pthread_join(watch->thread, NULL);
}

void px_heartbeat_fail(px_heartbeat *watch, px_status status, const char *line) {
    if (watch->options.rank != 0) {
        heartbeat_report_failure(watch, status, line);
        return;
    }
    heartbeat_halt(watch); /* or it would miss the others, who now go */
    heartbeat_shutdown(watch, status);
}

void px_heartbeat_close(px_heartbeat *watch) {
    if (!watch) return;
    heartbeat_halt(watch);
    heartbeat_tell(watch, PX_NOTE_GOODBYE, PX_OK);
    heartbeat_free(watch);
}
