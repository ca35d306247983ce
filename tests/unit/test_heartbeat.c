/* The watch over ranks, with processes of its own and without MPI: what is said about one that dies, stops, hangs or
 * fails, and by whom; how soon; and what is no fault at all. */
#include "host/distributed/heartbeat.h"
#include "host/io/clock.h"
#include "tests/support/support.h"
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Seconds: patience in these tests, and what a machine full of other work may add. */
static const double silence = 1, stall = 1, slack = 8;
enum { RANKS = 3, ENDED = 40 };

static int lines[2];  /* a pipe: what ranks say in the end */
static int life = 50; /* deeds that a rank does, at most, one every 20 ms */

static void name_rank(const void *names, int rank, char name[PX_RANK_NAME]) {
    (void)names;
    snprintf(name, PX_RANK_NAME, "rank %d", rank);
}

static void say(const char *line) {
    dprintf(lines[1], "%s\n", line);
}
static void leave(px_status status) {
    _exit(ENDED + (int)status);
}
static px_stop stop; /* of each process */
static const px_ranks_end end = {say, leave, &stop};

typedef void (*action)(px_heartbeat *watch, int rank);

/* A rank's life: it meets the others, does its deed over and over, and leaves. */
static void live(int rank, const px_heartbeat_address *place, int door, action deed) {
    px_context ctx;
    px_heartbeat *watch;
    const px_heartbeat_options options = {.end = &end, .rank = rank, .count = RANKS, .name = name_rank};
    if (px_heartbeat_open(&ctx, &options, place, rank == 0 ? door : -1, &watch) != PX_OK) {
        say(ctx.message);
        leave(PX_OK);
    }
    px_heartbeat_set_timeouts(watch, silence, stall);
    for (int i = 0; i < life; i++) {
        deed(watch, rank);
        usleep(20000);
    }
    px_heartbeat_close(watch);
    _exit(0);
}

/* Runs ranks that do this. said: all that was printed; statuses: how each ended. Seconds until the last had. */
static double job(action deed, char *said, size_t size, int statuses[RANKS]) {
    px_context ctx;
    px_heartbeat_address place;
    int door;
    pid_t ranks[RANKS], stopped = 0;
    assert_int_equal(pipe(lines), 0);
    assert_ok(&ctx, px_heartbeat_listen(&ctx, &place, &door));
    const double begun = px_clock_seconds();
    for (int rank = 0; rank < RANKS; rank++) {
        ranks[rank] = fork();
        if (ranks[rank] == 0) live(rank, &place, door, deed);
    }
    close(door);
    close(lines[1]);
    for (int left = RANKS; left > 0;) {
        int how;
        const pid_t gone = waitpid(-1, &how, WUNTRACED);
        if (gone > 0 && WIFSTOPPED(how)) {
            stopped = gone;
            continue;
        }
        for (int rank = 0; rank < RANKS; rank++)
            if (ranks[rank] == gone) statuses[rank] = WIFEXITED(how) ? WEXITSTATUS(how) : -WTERMSIG(how);
        if (--left == 1 && stopped > 0) kill(stopped, SIGKILL); /* as a launcher does with one that is left over */
    }
    const double took = px_clock_seconds() - begun;
    const ssize_t got = read(lines[0], said, size - 1);
    said[got > 0 ? got : 0] = '\0';
    close(lines[0]);
    return took;
}

/* `rank` does the deed; the others must end with `status`, and one line must have been said. */
static void expect_end(action deed, int rank, px_status status, double within, const char *line) {
    char said[4096];
    int statuses[RANKS];
    life = 1000;
    const double took = job(deed, said, sizeof said, statuses);
    assert_string_equal(said, line);
    for (int r = 0; r < RANKS; r++)
        if (r != rank) assert_int_equal(statuses[r], ENDED + (int)status);
    if (took > within + slack) fail_msg("the job ended after %.2f s, expected %.2f", took, within);
}

static void in_step(px_heartbeat *watch, int rank) {
    (void)rank;
    px_heartbeat_count_collective(watch);
}

static void a_job_that_goes_well_ends_in_silence(void **state) {
    char said[4096];
    int statuses[RANKS];
    (void)state;
    job(in_step, said, sizeof said, statuses);
    assert_string_equal(said, "");
    for (int r = 0; r < RANKS; r++) assert_int_equal(statuses[r], 0);
}

static void dies_2(px_heartbeat *watch, int rank) {
    (void)watch;
    if (rank == 2) raise(SIGKILL);
}
static void dies_0(px_heartbeat *watch, int rank) {
    (void)watch;
    if (rank == 0) raise(SIGKILL);
}
static void a_rank_that_dies_is_named(void **state) {
    (void)state;
    expect_end(dies_2, 2, PX_ERR_DEVICE, 0.5, "rank 2 ended without a word: killed, or crashed\n");
    expect_end(dies_0, 0, PX_ERR_DEVICE, 0.5, "rank 0 ended without a word: killed, or crashed\n");
}

static void stops_1(px_heartbeat *watch, int rank) {
    (void)watch;
    if (rank == 1) raise(SIGSTOP);
}
static void a_rank_that_is_stopped_is_named(void **state) {
    (void)state;
    expect_end(stops_1, 1, PX_ERR_DEVICE, 2 * silence + slack / 2,
               "rank 1 has been silent for 1 s: it is stopped, for its host answers\n");
}

static void hangs_1(px_heartbeat *watch, int rank) {
    if (rank != 1) px_heartbeat_count_collective(watch);
    if (rank == 1) sleep(30);
}
static void hangs_0(px_heartbeat *watch, int rank) {
    if (rank != 0) px_heartbeat_count_collective(watch);
    if (rank == 0) sleep(30);
}
static void a_rank_that_keeps_the_others_waiting_is_named(void **state) {
    (void)state;
    expect_end(hangs_1, -1, PX_ERR_DEVICE, stall + 1,
               "rank 1 has kept the others waiting for 1 s: it hangs, though its process answers\n");
    expect_end(hangs_0, -1, PX_ERR_DEVICE, stall + 1,
               "rank 0 has kept the others waiting for 1 s: it hangs, though its process answers\n");
}

static void fails_2(px_heartbeat *watch, int rank) {
    if (rank != 2) return;
    px_heartbeat_fail(watch, PX_ERR_FORMAT, "images.npy: it is torn");
    _exit(1);
}
static void what_one_says_rank_0_passes_on(void **state) {
    (void)state;
    expect_end(fails_2, 2, PX_ERR_FORMAT, 1, "rank 2: images.npy: it is torn\n");
}

static px_status finds_fault(void *object, px_context *ctx) {
    (void)object;
    return px_fail(ctx, PX_ERR_DEVICE, "a cable has been pulled");
}
static void checks_1(px_heartbeat *watch, int rank) {
    if (rank == 1) px_heartbeat_add_check(watch, finds_fault, NULL);
}
static void what_a_check_finds_ends_the_job(void **state) {
    (void)state;
    expect_end(checks_1, -1, PX_ERR_DEVICE, 2, "rank 1: a cable has been pulled\n");
}

static void asked_2(px_heartbeat *watch, int rank) {
    px_heartbeat_count_collective(watch);
    if (rank == 2) px_stop_ask(&stop, PX_INTERRUPTED);
    if (stop.asked != PX_INTERRUPTED) return;
    usleep(500000); /* the other ranks hear of it meanwhile */
    dprintf(lines[1], "asked\n");
    px_heartbeat_close(watch);
    _exit(0);
}
static void a_stop_of_one_is_a_stop_of_all(void **state) {
    char said[4096];
    int statuses[RANKS];
    (void)state;
    life = 1000;
    job(asked_2, said, sizeof said, statuses);
    assert_string_equal(said, "asked\nasked\nasked\n");
    for (int r = 0; r < RANKS; r++) assert_int_equal(statuses[r], 0);
}

static void overdue_1(px_heartbeat *watch, int rank) {
    (void)watch;
    if (rank != 1) return;
    stop.asked = PX_STOPPED;
    stop.asked_seconds = px_clock_seconds() - 2 * PX_STOP_PATIENCE_S;
}
static void a_rank_that_does_not_stop_ends_the_job(void **state) {
    char want[sizeof "rank 1: \n" + 512];
    (void)state;
    snprintf(want, sizeof want, "rank 1: %s\n", px_stop_overdue_line);
    expect_end(overdue_1, -1, PX_STOPPED, 2, want);
}

static int count_open_files(void) {
    int count = 0;
    DIR *open = opendir("/proc/self/fd");
    assert_non_null(open);
    while (readdir(open)) count++;
    closedir(open);
    return count;
}

/* A stranger who knocks, and one with the wrong token, are not let in; ranks still meet, and nothing is left open. */
static void strangers_are_kept_out(void **state) {
    px_context ctx;
    px_heartbeat_address place, wrong;
    px_heartbeat *watch;
    int door, how;
    (void)state;
    const int before = count_open_files();
    assert_ok(&ctx, px_heartbeat_listen(&ctx, &place, &door));
    const px_heartbeat_options first = {.end = &end, .rank = 0, .count = 2, .name = name_rank};
    const px_heartbeat_options second = {.end = &end, .rank = 1, .count = 2, .name = name_rank};
    const pid_t other = fork();
    if (other == 0) {
        wrong = place;
        wrong.token ^= 1;
        wrong.count = 1;
        if (px_heartbeat_open(&ctx, &second, &wrong, -1, &watch) == PX_OK) _exit(1);
        if (px_heartbeat_open(&ctx, &second, &place, -1, &watch) != PX_OK) _exit(2);
        px_heartbeat_close(watch);
        _exit(0);
    }
    assert_ok(&ctx, px_heartbeat_open(&ctx, &first, &place, door, &watch));
    assert_int_equal(waitpid(other, &how, 0), other);
    assert_int_equal(how, 0);
    px_heartbeat_close(watch);
    assert_int_equal(count_open_files(), before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_that_goes_well_ends_in_silence),
        cmocka_unit_test(a_rank_that_dies_is_named),
        cmocka_unit_test(a_rank_that_is_stopped_is_named),
        cmocka_unit_test(a_rank_that_keeps_the_others_waiting_is_named),
        cmocka_unit_test(what_one_says_rank_0_passes_on),
        cmocka_unit_test(what_a_check_finds_ends_the_job),
        cmocka_unit_test(a_stop_of_one_is_a_stop_of_all),
        cmocka_unit_test(a_rank_that_does_not_stop_ends_the_job),
        cmocka_unit_test(strangers_are_kept_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
