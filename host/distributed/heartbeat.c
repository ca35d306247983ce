/* The heartbeat thread: sends and receives messages, checks deadlines, and ends the job after a fault. */
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

/* Timeouts in seconds: of all ranks to connect, and of peers to exit after an exit or failure message. */
static const double connect_all_s = 60, exit_s = 0.3;

/* Default timeouts in seconds. The stall timeout is long because a rank may rightly keep the others waiting while it
 * writes a checkpoint or generates samples. */
static const double default_silence_s = 15, default_stall_s = 1800;

/* Seconds that a rank waits before it exits when a host is unreachable, so that the launcher detects this first. If
 * Open MPI's mpirun is notified of the end of a rank first, it waits for its daemon on that host for over 15 minutes.
 */
static const double unreachable_host_s = 10;

/* Seconds that the other ranks wait before they exit when rank 0 is lost, so that rank 1 can log the reason before the
 * launcher ends all ranks. */
static const double lost_rank_0_s = 2;

typedef enum { MESSAGE_HEARTBEAT, MESSAGE_FAILURE, MESSAGE_EXIT, MESSAGE_GOODBYE } message_kind;

/* Documented in heartbeat.h. */
typedef struct message {
    uint32_t kind, status;
    uint64_t collectives;
    uint64_t stop;
} message;
typedef struct failure_message {
    message header;
    char line[1024];
} failure_message;

typedef struct peer {
    int rank, connection;    /* connection -1: closed after a goodbye message */
    bool job_over;           /* it is rank 0, and has sent that the job is over and the reason has been logged */
    double received_seconds; /* time of its last message */
    uint64_t collectives;
    size_t received_bytes; /* of the message in inbox */
    failure_message inbox;
} peer;

struct px_heartbeat {
    px_heartbeat_options options;
    struct pollfd *polls; /* of the peers, then of the wake-up pipe */
    int wakeup_pipe[2];
    pthread_t thread;
    bool running;
    _Atomic double silence_s, stall_s;
    _Atomic uint64_t collectives; /* started by this rank */
    atomic_bool stopping;

    pthread_mutex_t check_lock; /* protects check and check_object */
    px_heartbeat_check check;
    void *check_object;

    /* Times on the monotonic clock, used by the thread only. */
    double polled, sent; /* of the last return from poll, and of the last heartbeat */
    double resumed;      /* end of the last suspension that lasted longer than the silence timeout of the peers */
    double lag_since;    /* since when the slowest rank has been at lag_collectives */
    uint64_t lag_collectives;

    int count;    /* of peers */
    peer peers[]; /* on rank 0 all other ranks in order, elsewhere rank 0 */
};

static px_status stop_status(const px_heartbeat *m) {
    const px_stop *stop = m->options.callbacks->stop;
    return stop ? (px_status)stop->requested : PX_OK;
}

/* Seconds between two heartbeats. */
static double interval(const px_heartbeat *m) { return m->silence_s / 5 < 1 ? m->silence_s / 5 : 1; }

/* ---- Ending the job ---- */

static void send_to_all(px_heartbeat *m, message_kind kind, px_status status) {
    const message out = {kind, status, m->collectives, stop_status(m)};
    for (int i = 0; i < m->count; i++)
        if (m->peers[i].connection >= 0) px_handshake_send(m->peers[i].connection, &out, sizeof out);
}

/* On rank 0: sends an exit message to all peers and waits until they have closed their connections. If rank 0 closed
 * its own first, a peer could take that for a crash before it reads the message. */
static void shut_down_peers(px_heartbeat *m, px_status status) {
    send_to_all(m, MESSAGE_EXIT, status);
    const double deadline = px_clock_seconds() + exit_s;
    char discarded[256];
    for (int i = 0; i < m->count && px_clock_seconds() < deadline;) {
        const int connection = m->peers[i].connection;
        const ssize_t got = connection < 0 ? 0 : recv(connection, discarded, sizeof discarded, 0);
        if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR)))
            usleep(1000);
        else
            i++;
    }
}

/* Waits, and sends heartbeats meanwhile, so that peers do not report this rank as silent. */
static void wait_before_exit(px_heartbeat *m, px_status status, double seconds) {
    const double deadline = px_clock_seconds() + seconds;
    while (px_clock_seconds() < deadline) {
        send_to_all(m, MESSAGE_HEARTBEAT, status);
        usleep((useconds_t)(1e6 * interval(m)));
    }
}

/* Logs the fault of a peer on rank 0, or on rank 1 if rank 0 is lost; waits; and ends this rank. */
static void end_for_peer(px_heartbeat *m, const peer *lost, px_status status, const char *reason, double wait_s) {
    char name[PX_RANK_NAME], line[1024 + PX_RANK_NAME + 4];
    m->options.name(m->options.context, lost->rank, name);
    snprintf(line, sizeof line, "%s%s", name, reason);
    const bool logs = m->options.rank <= 1 && !lost->job_over;
    if (logs) m->options.callbacks->log(line);
    wait_before_exit(m, status, logs || wait_s > lost_rank_0_s ? wait_s : lost_rank_0_s);
    if (m->options.rank == 0) shut_down_peers(m, status);
    m->options.callbacks->exit(status);
}

/* Sends rank 0 a failure message, and waits for rank 0's exit message to end this process. */
static void report_failure(px_heartbeat *m, px_status status, const char *line) {
    failure_message out = {.header = {MESSAGE_FAILURE, status, m->collectives, stop_status(m)}};
    snprintf(out.line, sizeof out.line, "%s", line);
    if (m->peers[0].connection >= 0) px_handshake_send(m->peers[0].connection, &out, sizeof out);
    usleep((useconds_t)(1e6 * exit_s));
}

/* ---- Receiving ---- */

static void handle_message(px_heartbeat *m, peer *from, const message *in) {
    from->received_seconds = px_clock_seconds();
    from->collectives = in->collectives;
    if (in->stop != PX_OK) px_stop_request(m->options.callbacks->stop, (px_status)in->stop);
    switch ((message_kind)in->kind) {
    case MESSAGE_HEARTBEAT: from->job_over = in->status != PX_OK; break;
    case MESSAGE_EXIT: m->options.callbacks->exit((px_status)in->status); break;
    case MESSAGE_FAILURE: {
        char reason[1024 + 4];
        from->inbox.line[sizeof from->inbox.line - 1] = '\0';
        snprintf(reason, sizeof reason, ": %s", from->inbox.line);
        end_for_peer(m, from, (px_status)in->status, reason, 0);
        break;
    }
    case MESSAGE_GOODBYE:
        close(from->connection);
        from->connection = -1;
        break;
    }
}

/* Reads and handles all messages that have arrived from a peer. */
static void receive_messages(px_heartbeat *m, peer *from) {
    while (from->connection >= 0) {
        const message *in = &from->inbox.header;
        const bool failure = from->received_bytes >= sizeof *in && in->kind == MESSAGE_FAILURE;
        const size_t size = failure ? sizeof from->inbox : sizeof *in;
        if (from->received_bytes == size) {
            from->received_bytes = 0;
            handle_message(m, from, in);
            continue;
        }
        char *end = (char *)&from->inbox + from->received_bytes;
        const ssize_t got = recv(from->connection, end, size - from->received_bytes, 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (got <= 0) {
            /* After a long suspension the peers have given this rank up, and one of them has logged that. */
            if (px_clock_seconds() - m->resumed < m->silence_s) m->options.callbacks->exit(PX_ERR_DEVICE);
            end_for_peer(m, from, PX_ERR_DEVICE, " ended unexpectedly: its process was killed or crashed", 0);
            return;
        }
        from->received_bytes += (size_t)got;
    }
}

/* ---- Deadlines and checks, once an interval ---- */

static void check_silence(px_heartbeat *m, double now) {
    for (int i = 0; i < m->count; i++) {
        const peer *p = &m->peers[i];
        if (p->connection < 0 || now - p->received_seconds <= m->silence_s) continue;
        char reason[160];
        const bool host_responds = px_handshake_host_responds(p->connection, m->silence_s / 2);
        snprintf(reason, sizeof reason, " has sent no heartbeat for %.3g s: %s", m->silence_s,
                 host_responds ? "its process is stopped (its host responds)"
                               : "its host or the network link to it is down");
        end_for_peer(m, p, PX_ERR_DEVICE, reason, host_responds ? 0 : unreachable_host_s);
    }
}

/* On rank 0: finds the rank that lags, if others have waited for it for too long. */
static void check_stall(px_heartbeat *m, double now) {
    const peer self = {.rank = 0, .collectives = m->collectives};
    const peer *slowest = &self;
    uint64_t max = self.collectives;
    if (m->options.rank != 0) return;
    for (int i = 0; i < m->count; i++) {
        const peer *p = &m->peers[i];
        if (p->connection < 0) return; /* the job is ending */
        if (p->collectives < slowest->collectives) slowest = p;
        if (p->collectives > max) max = p->collectives;
    }
    if (slowest->collectives == max || slowest->collectives != m->lag_collectives) {
        m->lag_collectives = slowest->collectives;
        m->lag_since = now;
    }
    if (now - m->lag_since <= m->stall_s) return;
    char reason[160];
    snprintf(reason, sizeof reason, " has kept the other ranks waiting for %.3g s: it hangs (its process responds)",
             m->stall_s);
    end_for_peer(m, slowest, PX_ERR_DEVICE, reason, 0);
}

static void run_check(px_heartbeat *m) {
    px_context ctx = {0};
    px_status status = PX_OK;
    pthread_mutex_lock(&m->check_lock);
    if (m->check) status = m->check(m->check_object, &ctx);
    pthread_mutex_unlock(&m->check_lock);
    if (status == PX_OK && px_stop_overdue(m->options.callbacks->stop))
        status = px_fail(&ctx, stop_status(m), "%s", px_stop_overdue_message);
    if (status == PX_OK) return;
    if (m->options.rank == 0) {
        m->options.callbacks->log(ctx.message);
        shut_down_peers(m, status);
    } else {
        report_failure(m, status, ctx.message);
    }
    m->options.callbacks->exit(status);
}

/* After a suspend (SIGSTOP, a closed laptop), all peer deadlines are reset: the peers may have been suspended too. */
static void reset_deadlines(px_heartbeat *m, double now) {
    const double asleep = now - m->polled;
    m->polled = now;
    if (asleep <= m->silence_s / 2) return;
    if (asleep >= m->silence_s * 0.8) m->resumed = now;
    m->lag_since = now;
    for (int i = 0; i < m->count; i++) m->peers[i].received_seconds = now;
}

/* ---- Thread ---- */

static void *run(void *argument) {
    px_heartbeat *m = argument;
    m->polled = m->lag_since = px_clock_seconds();
    m->resumed = -INFINITY;
    while (!m->stopping) {
        const double wait_s = interval(m);
        for (int i = 0; i < m->count; i++)
            m->polls[i] = (struct pollfd){.fd = m->peers[i].connection, .events = POLLIN};
        m->polls[m->count] = (struct pollfd){.fd = m->wakeup_pipe[0], .events = POLLIN};
        poll(m->polls, (nfds_t)m->count + 1, (int)(1e3 * wait_s));
        if (m->stopping) break;
        const double now = px_clock_seconds();
        reset_deadlines(m, now);
        for (int i = 0; i < m->count; i++)
            if (m->polls[i].revents) receive_messages(m, &m->peers[i]);
        if (now - m->sent < wait_s) continue;
        m->sent = now;
        check_silence(m, now);
        check_stall(m, now);
        send_to_all(m, MESSAGE_HEARTBEAT, PX_OK);
        run_check(m);
    }
    return NULL;
}

static px_status start_thread(px_context *ctx, px_heartbeat *m) {
    sigset_t all, before;
    if (pipe(m->wakeup_pipe) != 0)
        return px_fail(ctx, PX_ERR_DEVICE, "heartbeat: cannot create a pipe: %s", strerror(errno));
    for (int i = 0; i < m->count; i++) m->peers[i].received_seconds = px_clock_seconds();
    sigfillset(&all); /* the main thread handles signals */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = pthread_create(&m->thread, NULL, run, m);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) return px_fail(ctx, PX_ERR_MEMORY, "heartbeat: cannot create a thread: %s", strerror(error));
    m->running = true;
    return PX_OK;
}

static void stop_thread(px_heartbeat *m) {
    if (!m->running) return;
    m->running = false;
    m->stopping = true;
    const ssize_t written = write(m->wakeup_pipe[1], "", 1);
    (void)written;
    pthread_join(m->thread, NULL);
}

/* ---- Public functions ---- */

static px_status accept_all(px_context *ctx, px_heartbeat *m, uint64_t token, int listener) {
    const double deadline = px_clock_seconds() + connect_all_s;
    struct rlimit files; /* raised to its maximum, because rank 0 has a connection for every other rank */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    for (int connected = 0; connected < m->count;) {
        int rank, connection;
        PX_TRY(px_handshake_accept(ctx, listener, token, m->options.count, deadline, &rank, &connection));
        if (rank < 0)
            return px_fail(ctx, PX_ERR_DEVICE,
                           "heartbeat: found connections of %d ranks to rank 0 within %.0f s, expected %d", connected,
                           connect_all_s, m->count);
        connected += m->peers[rank - 1].connection < 0;
        m->peers[rank - 1].connection = connection;
    }
    return PX_OK;
}

static void destroy(px_heartbeat *m) {
    for (int i = 0; i < m->count; i++)
        if (m->peers[i].connection >= 0) close(m->peers[i].connection);
    for (int i = 0; i < 2; i++)
        if (m->wakeup_pipe[i] >= 0) close(m->wakeup_pipe[i]);
    pthread_mutex_destroy(&m->check_lock);
    free(m->polls);
    free(m);
}

/* Allocates a monitor without connections; NULL: out of memory. */
static px_heartbeat *create(const px_heartbeat_options *options) {
    const bool root = options->rank == 0;
    const int count = root ? options->count - 1 : 1;
    px_heartbeat *m = calloc(1, sizeof *m + (size_t)count * sizeof *m->peers);
    struct pollfd *polls = calloc((size_t)count + 1, sizeof *polls);
    if (!m || !polls) {
        free(m);
        free(polls);
        return NULL;
    }
    *m = (px_heartbeat){.options = *options, .polls = polls, .wakeup_pipe = {-1, -1}, .count = count};
    m->silence_s = default_silence_s;
    m->stall_s = default_stall_s;
    pthread_mutex_init(&m->check_lock, NULL);
    for (int i = 0; i < count; i++) m->peers[i] = (peer){.rank = root ? i + 1 : 0, .connection = -1};
    return m;
}

px_status px_heartbeat_open(px_context *ctx, const px_heartbeat_options *options, const px_heartbeat_address *address,
                            int listener, px_heartbeat **out) {
    px_heartbeat *m = create(options);
    px_status status;
    *out = NULL;
    if (!m)
        status = px_fail_memory(ctx, "heartbeat", 0);
    else if (options->rank == 0)
        status = accept_all(ctx, m, address->token, listener);
    else
        status = px_handshake_connect(ctx, address, options->rank, &m->peers[0].connection);
    if (listener >= 0) close(listener);
    if (status == PX_OK) status = start_thread(ctx, m);
    if (status == PX_OK)
        *out = m;
    else if (m)
        destroy(m);
    return status;
}

void px_heartbeat_set_timeouts(px_heartbeat *m, double silence, double stall) {
    m->silence_s = silence;
    m->stall_s = stall;
}

void px_heartbeat_count_collective(px_heartbeat *m) {
    if (m) m->collectives++;
}

void px_heartbeat_add_check(px_heartbeat *m, px_heartbeat_check check, void *object) {
    pthread_mutex_lock(&m->check_lock);
    m->check = check;
    m->check_object = object;
    pthread_mutex_unlock(&m->check_lock);
}

void px_heartbeat_fail(px_heartbeat *m, px_status status, const char *line) {
    if (m->options.rank != 0) {
        report_failure(m, status, line);
        return;
    }
    stop_thread(m); /* the thread would report the peers that now exit as lost */
    shut_down_peers(m, status);
}

void px_heartbeat_close(px_heartbeat *m) {
    if (!m) return;
    stop_thread(m);
    send_to_all(m, MESSAGE_GOODBYE, PX_OK);
    destroy(m);
}
