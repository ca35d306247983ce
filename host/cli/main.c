/* The main function: dispatch of commands, help, exit status. */
#include "host/cli/cli.h"
#include "host/io/limits.h"
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <omp.h>
#include <unistd.h>

const px_command *const px_commands[] = {
    &px_command_train,
    &px_command_eval,
    &px_command_sample,
    &px_command_complete,
    &px_command_pack,
    &px_command_bench,
    &px_command_info,
    &px_command_keys,
    &px_command_check,
    &px_command_compare,
    NULL,
};

static void log_line(const char *line) { fprintf(stderr, "pixelrnn: %s\n", line); }

/* Called by the heartbeat thread while the main thread may wait for a rank that is gone, so exit handlers do not run.
 */
static void exit_now(px_status status) { _exit(px_exit_status(status)); }

/* Joins the job that a launcher has started, if there is one. Only rank 0 prints the message of a failure. */
static px_status run_distributed(px_context *ctx, const px_command *command, int count, char **arguments) {
    static const px_ranks_callbacks callbacks = {log_line, exit_now, &px_cli_stop};
    px_ranks *ranks;
    px_cli_catch_signals();
    PX_TRY(px_ranks_open(ctx, &callbacks, &ranks));
    if (ranks) px_cli_leave_overdue_to_monitor();
    const px_status status = command->run_distributed(ctx, ranks, count, arguments);
    if (ranks && ctx->message[0] && status != PX_OK && px_ranks_rank(ranks) == 0) log_line(ctx->message);
    fflush(stdout); /* a launcher may end all ranks as soon as one exits with a failure */
    px_ranks_close(ranks, status);
    return status;
}

static px_status dispatch(px_context *ctx, int count, char **arguments) {
    const int launched = px_ranks_launched();
    for (const px_command *const *c = px_commands; *c; c++) {
        if (strcmp(arguments[0], (*c)->name) != 0) continue;
        for (int i = 1; i < count; i++)
            if (strcmp(arguments[i], "--help") == 0 || strcmp(arguments[i], "-h") == 0) {
                px_cli_print_command_help(stdout, *c);
                return PX_OK;
            }
        if ((*c)->run_distributed) return run_distributed(ctx, *c, count, arguments);
        if (launched <= 1) return (*c)->run(ctx, count, arguments);
        /* Several processes would repeat the work, into the same files. */
        return px_fail(ctx, PX_ERR_USAGE, "%s: found %d ranks, started by a launcher, expected one", (*c)->name,
                       launched);
    }
    return px_fail(ctx, PX_ERR_USAGE,
                   "found command \"%.40s\", expected train, eval, sample, complete, pack, bench, info, "
                   "keys, check or compare (pixelrnn --help)",
                   arguments[0]);
}

/* The arguments that print text about the program. `help --man` and `help --completion` write the installed files. */
static const struct {
    const char *argument, *second; /* second: NULL without one */
    void (*print)(FILE *out);
} about[] = {
    {"--help", NULL, px_cli_print_help}, {"-h", NULL, px_cli_print_help},
    {"help", "--man", px_cli_print_man}, {"help", "--completion", px_cli_print_completion},
    {"help", NULL, px_cli_print_help},   {"--version", NULL, px_cli_print_version},
};
enum { ABOUT = sizeof about / sizeof *about };

/* Prints text about the program, if the arguments ask for that. Sets *done then, or on a failure. */
static px_status print_about(px_context *ctx, int count, char **arguments, bool *done) {
    for (int i = 0; i < ABOUT; i++) {
        if (strcmp(arguments[0], about[i].argument) != 0) continue;
        const int expected = about[i].second ? 2 : 1;
        *done = true;
        if (expected == 2 && (count < 2 || strcmp(arguments[1], about[i].second) != 0)) continue;
        if (count > expected)
            return px_fail(ctx, PX_ERR_USAGE, "%s: found \"%.40s\", expected no further argument", arguments[0],
                           arguments[expected]);
        about[i].print(stdout);
        break;
    }
    return PX_OK;
}

/* Sets variables that libraries read before main, and executes the program again with them.
 *
 * OpenMP threads spin only briefly at a barrier and then sleep, unless the user has decided otherwise. A recurrence
 * runs a thousand small loops per training step. On a busy machine, spinning threads made small models a hundred times
 * slower. OpenBLAS starts no threads, which would not be used. Each would map a buffer of 128 MiB, and OpenBLAS retries
 * the mapping without end where the address space is limited. */
static void prepare_environment(char **arguments) {
    const bool decided = getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT") || getenv("KMP_BLOCKTIME");
    const char *blas = getenv("OPENBLAS_NUM_THREADS");
    if (decided && blas && strcmp(blas, "1") == 0) return;
    if (!decided && (setenv("GOMP_SPINCOUNT", "4000", 1) != 0 || setenv("KMP_BLOCKTIME", "0", 1) != 0)) return;
    if (setenv("OPENBLAS_NUM_THREADS", "1", 1) == 0) execv("/proc/self/exe", arguments);
}

/* Limits OpenMP to the processors that this process may use. Prints a line on standard error if OMP_NUM_THREADS asked
 * for more. */
static void limit_threads(void) {
    const int asked = omp_get_max_threads(), quota = px_limit_processors("");
    const int usable = omp_get_num_procs() < quota ? omp_get_num_procs() : quota;
    if (asked <= usable) return;
    omp_set_num_threads(usable);
    /* Without the variable, OpenMP has counted processors that a quota keeps from this process: no line is needed. */
    if (getenv("OMP_NUM_THREADS") && px_ranks_launched_local() == 0)
        fprintf(stderr,
                "OMP_NUM_THREADS: found %d, which is more than the %d processors that this process may use; takes %d\n",
                asked, usable, usable);
}

/* Seconds for which a rank that prints nothing delays its exit. A launcher ends all ranks as soon as one fails, so the
 * first rank of the host needs that time to print the message. The launcher then ends the delay. */
enum { SILENT_EXIT_SECONDS = 5 };

static int finish(px_context *ctx, px_status status) {
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == PX_OK)
        status = px_fail(ctx, PX_ERR_FILE, "standard output: cannot write to it");
    /* Rank 0 of a job has printed the message already. Without a job, the first rank on each host prints it. */
    if (status != PX_OK && ctx->message[0]) {
        if (px_ranks_launched_local() == 0)
            fprintf(stderr, "pixelrnn: %s\n", ctx->message);
        else
            sleep(SILENT_EXIT_SECONDS);
    }
    return px_exit_status(status);
}

int main(int count, char **arguments) {
    px_context ctx = {0};
    bool done = false;
    prepare_environment(arguments);
    /* Opens /dev/null for each standard stream that is closed, so that a file of a command does not take its
     * descriptor. Output to a closed stream fails, because the descriptor is open for the other direction. */
    for (int file = 0; file <= 2; file++)
        if (fcntl(file, F_GETFD) < 0 && open("/dev/null", file == 0 ? O_WRONLY : O_RDONLY) != file)
            return px_exit_status(PX_ERR_FILE);
    if (count < 2) {
        px_cli_print_help(stderr);
        return px_exit_status(PX_ERR_USAGE);
    }
    px_status status = print_about(&ctx, count - 1, arguments + 1, &done);
    if (!done) {
        limit_threads();
        status = dispatch(&ctx, count - 1, arguments + 1);
    }
    return finish(&ctx, status);
}
