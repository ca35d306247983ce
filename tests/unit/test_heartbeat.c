/* Heartbeat monitor: jobs of three processes without MPI. Checks which line is logged for a rank that dies, stops,
 * hangs or fails, by how many ranks, how soon, and that a job without a fault logs nothing. */
#include "host/distributed/heartbeat.h"
#include "host/io/clock.h"
#include "tests/support/support.h"
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Seconds: the timeouts, and a tolerance for a machine that runs other work. */
static const double silence_s = 1, stall_s = 1, tolerance_s = 8;
enum { RANKS = 3, EXIT_BASE = 40 };

static int log_pipe[2];     /* the ranks write their logged lines into it */
static int iterations = 50; /* calls of its action that a rank makes, one every 20 ms */
static px_stop stop;        /* one for each process */

static void name_rank(const void *context, int rank, char name[PX_RANK_NAME]) {
    (void)context;
    snprintf(name, PX_RANK_NAME, "rank %d", rank);
}

static void log_line(const char *line) { dprintf(log_pipe[1], "%s\n", line); }
static void exit_now(px_status status) { _exit(EXIT_BASE + (int)status); }
static const px_ranks_callbacks callbacks = {log_line, exit_now, &stop};

typedef void (*action)(px_heartbeat *monitor, int rank);

/* The process of a rank: connects, repeats its action, and exits. */
static void run_rank(int rank, const px_heartbeat_address *address, int listener, action act) {
    px_context ctx;
    px_heartbeat *monitor;
    const px_heartbeat_options options = {.callbacks = &callbacks, .rank = rank, .count = RANKS, .name = name_rank};
    if (px_heartbeat_open(&ctx, &options, address, rank == 0 ? listener : -1, &monitor) != PX_OK) {
        log_line(ctx.message);
        exit_now(PX_OK);
    }
    px_heartbeat_set_timeouts(monitor, silence_s, stall_s);
    for (int i = 0; i < iterations; i++) {
        act(monitor, rank);
        usleep(20000);
    }
    px_heartbeat_close(monitor);
    _exit(0);
}

/* Waits for all ranks; statuses are their exit statuses, or minus the signal that ended them. */
static void wait_for_ranks(const pid_t ranks[RANKS], int statuses[RANKS]) {
    pid_t stopped = 0;
    for (int left = RANKS; left > 0;) {
        int wait_status;
        const pid_t pid = waitpid(-1, &wait_status, WUNTRACED);
        if (pid > 0 && WIFSTOPPED(wait_status)) {
            stopped = pid;
            continue;
        }
        for (int rank = 0; rank < RANKS; rank++)
            if (ranks[rank] == pid)
                statuses[rank] = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -WTERMSIG(wait_status);
        if (--left == 1 && stopped > 0) kill(stopped, SIGKILL); /* as a launcher does with the last rank */
    }
}

/* Runs a job whose ranks repeat an action. log: all lines that were logged. Returns its duration in seconds. */
static double run_job(action act, char *log, size_t size, int statuses[RANKS]) {
    px_context ctx;
    px_heartbeat_address address;
    int listener;
    pid_t ranks[RANKS];
    assert_int_equal(pipe(log_pipe), 0);
    assert_ok(&ctx, px_heartbeat_listen(&ctx, &address, &listener));
    const double begin = px_clock_seconds();
    for (int rank = 0; rank < RANKS; rank++) {
        ranks[rank] = fork();
        if (ranks[rank] == 0) run_rank(rank, &address, listener, act);
    }
    close(listener);
    close(log_pipe[1]);
    wait_for_ranks(ranks, statuses);
    const double seconds = px_clock_seconds() - begin;
    const ssize_t got = read(log_pipe[0], log, size - 1);
    log[got > 0 ? got : 0] = '\0';
    close(log_pipe[0]);
    return seconds;
}

/* Runs a job in which the action of `rank` is a fault (-1: it exits like the others). All other ranks must exit with
 * `status` within `max_s` seconds, and exactly `line` must have been logged. */
static void expect_exit(action act, int rank, px_status status, double max_s, const char *line) {
    char log[4096];
    int statuses[RANKS];
    iterations = 1000;
    const double seconds = run_job(act, log, sizeof log, statuses);
    assert_string_equal(log, line);
    for (int r = 0; r < RANKS; r++)
        if (r != rank) assert_int_equal(statuses[r], EXIT_BASE + (int)status);
    if (seconds > max_s + tolerance_s) fail_msg("duration of the job: found %.2f s, expected %.2f", seconds, max_s);
}

static void run_in_step(px_heartbeat *monitor, int rank) {
    (void)rank;
    px_heartbeat_count_collective(monitor);
}

static void job_without_fault_logs_nothing(void **state) {
    char log[4096];
    int statuses[RANKS];
    (void)state;
    run_job(run_in_step, log, sizeof log, statuses);
    assert_string_equal(log, "");
    for (int r = 0; r < RANKS; r++) assert_int_equal(statuses[r], 0);
}

static void die_2(px_heartbeat *monitor, int rank) {
    (void)monitor;
    if (rank == 2) raise(SIGKILL);
}
static void die_0(px_heartbeat *monitor, int rank) {
    (void)monitor;
    if (rank == 0) raise(SIGKILL);
}
static void killed_rank_is_logged(void **state) {
    (void)state;
    expect_exit(die_2, 2, PX_ERR_DEVICE, 0.5, "rank 2 ended unexpectedly: its process was killed or crashed\n");
    expect_exit(die_0, 0, PX_ERR_DEVICE, 0.5, "rank 0 ended unexpectedly: its process was killed or crashed\n");
}

static void suspend_1(px_heartbeat *monitor, int rank) {
    (void)monitor;
    if (rank == 1) raise(SIGSTOP);
}
static void stopped_rank_is_logged(void **state) {
    (void)state;
    expect_exit(suspend_1, 1, PX_ERR_DEVICE, 2 * silence_s + tolerance_s / 2,
                "rank 1 has sent no heartbeat for 1 s: its process is stopped (its host responds)\n");
}

static void hang_1(px_heartbeat *monitor, int rank) {
    if (rank != 1) px_heartbeat_count_collective(monitor);
    if (rank == 1) sleep(30);
}
static void hang_0(px_heartbeat *monitor, int rank) {
    if (rank != 0) px_heartbeat_count_collective(monitor);
    if (rank == 0) sleep(30);
}
static void hanging_rank_is_logged(void **state) {
    (void)state;
    expect_exit(hang_1, -1, PX_ERR_DEVICE, stall_s + 1,
                "rank 1 has kept the other ranks waiting for 1 s: it hangs (its process responds)\n");
    expect_exit(hang_0, -1, PX_ERR_DEVICE, stall_s + 1,
                "rank 0 has kept the other ranks waiting for 1 s: it hangs (its process responds)\n");
}

static void fail_2(px_heartbeat *monitor, int rank) {
    if (rank != 2) return;
    px_heartbeat_fail(monitor, PX_ERR_FORMAT, "images.npy: found 3 bytes, expected 4");
    _exit(1);
}
static void failure_message_is_logged_by_rank_0(void **state) {
    (void)state;
    expect_exit(fail_2, 2, PX_ERR_FORMAT, 1, "rank 2: images.npy: found 3 bytes, expected 4\n");
}

static px_status fail_check(void *object, px_context *ctx) {
    (void)object;
    return px_fail(ctx, PX_ERR_DEVICE, "NCCL: network error");
}
static void add_check_1(px_heartbeat *monitor, int rank) {
    if (rank == 1) px_heartbeat_add_check(monitor, fail_check, NULL);
}
static void failed_check_ends_the_job(void **state) {
    (void)state;
    expect_exit(add_check_1, -1, PX_ERR_DEVICE, 2, "rank 1: NCCL: network error\n");
}

static void request_stop_2(px_heartbeat *monitor, int rank) {
    px_heartbeat_count_collective(monitor);
    if (rank == 2) px_stop_request(&stop, PX_INTERRUPTED);
    if (stop.requested != PX_INTERRUPTED) return;
    usleep(500000); /* until a heartbeat has carried the request to the other ranks */
    dprintf(log_pipe[1], "stopping\n");
    px_heartbeat_close(monitor);
    _exit(0);
}
static void stop_request_reaches_all_ranks(void **state) {
    char log[4096];
    int statuses[RANKS];
    (void)state;
    iterations = 1000;
    run_job(request_stop_2, log, sizeof log, statuses);
    assert_string_equal(log, "stopping\nstopping\nstopping\n");
    for (int r = 0; r < RANKS; r++) assert_int_equal(statuses[r], 0);
}

static void ignore_stop_1(px_heartbeat *monitor, int rank) {
    (void)monitor;
    if (rank != 1) return;
    stop.requested = PX_STOPPED;
    stop.requested_seconds = px_clock_seconds() - 2 * PX_STOP_TIMEOUT_S;
}
static void overdue_stop_ends_the_job(void **state) {
    char want[sizeof "rank 1: \n" + 512];
    (void)state;
    snprintf(want, sizeof want, "rank 1: %s\n", px_stop_overdue_message);
    expect_exit(ignore_stop_1, -1, PX_STOPPED, 2, want);
}

static int count_open_files(void) {
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    while (readdir(folder)) count++;
    closedir(folder);
    return count;
}

/* A connection with a wrong token is refused, the ranks still connect, and no file descriptor is leaked. */
static void handshake_requires_the_token(void **state) {
    px_context ctx;
    px_heartbeat_address address, wrong;
    px_heartbeat *monitor;
    int listener, wait_status;
    (void)state;
    const int before = count_open_files();
    assert_ok(&ctx, px_heartbeat_listen(&ctx, &address, &listener));
    const px_heartbeat_options first = {.callbacks = &callbacks, .rank = 0, .count = 2, .name = name_rank};
    const px_heartbeat_options second = {.callbacks = &callbacks, .rank = 1, .count = 2, .name = name_rank};
    const pid_t other = fork();
    if (other == 0) {
        wrong = address;
        wrong.token ^= 1;
        wrong.count = 1;
        if (px_heartbeat_open(&ctx, &second, &wrong, -1, &monitor) == PX_OK) _exit(1);
        if (px_heartbeat_open(&ctx, &second, &address, -1, &monitor) != PX_OK) _exit(2);
        px_heartbeat_close(monitor);
        _exit(0);
    }
    assert_ok(&ctx, px_heartbeat_open(&ctx, &first, &address, listener, &monitor));
    assert_int_equal(waitpid(other, &wait_status, 0), other);
    assert_int_equal(wait_status, 0);
    px_heartbeat_close(monitor);
    assert_int_equal(count_open_files(), before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(job_without_fault_logs_nothing),
        cmocka_unit_test(killed_rank_is_logged),
        cmocka_unit_test(stopped_rank_is_logged),
        cmocka_unit_test(hanging_rank_is_logged),
        cmocka_unit_test(failure_message_is_logged_by_rank_0),
        cmocka_unit_test(failed_check_ends_the_job),
        cmocka_unit_test(stop_request_reaches_all_ranks),
        cmocka_unit_test(overdue_stop_ends_the_job),
        cmocka_unit_test(handshake_requires_the_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
