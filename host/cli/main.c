/* The main function: dispatch of commands, help, exit status. */
#include "host/cli/cli.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <unistd.h>

const px_command *const px_commands[] = {
    &px_command_train,    &px_command_eval, &px_command_sample,
    &px_command_complete, &px_command_pack, &px_command_bench,
    &px_command_info,     &px_command_keys, NULL,
};

/* A command of a single process that a launcher starts several times would repeat its work, into the same files. */
static px_status run_single_process(px_context *ctx, const px_command *command, int count, char **arguments) {
    const int launched = px_ranks_launched();
    if (launched > 1)
        return px_fail(ctx, PX_ERR_USAGE, "%s: found %d ranks, started by a launcher, expected one", command->name,
                       launched);
    return command->run(ctx, count, arguments);
}

static px_status run_distributed(px_context *ctx, const px_command *command, int count, char **arguments) {
    px_ranks *ranks;
    px_cli_catch_signals();
    PX_TRY(px_cli_join(ctx, &ranks));
    return px_cli_leave(ctx, ranks, command->run_distributed(ctx, ranks, count, arguments));
}

static bool asks_for_help(int count, char **arguments) {
    for (int i = 1; i < count; i++)
        if (strcmp(arguments[i], "--help") == 0 || strcmp(arguments[i], "-h") == 0) return true;
    return false;
}

static px_status dispatch(px_context *ctx, int count, char **arguments) {
    for (const px_command *const *c = px_commands; *c; c++) {
        if (strcmp(arguments[0], (*c)->name) != 0) continue;
        if (!asks_for_help(count, arguments))
            return ((*c)->run ? run_single_process : run_distributed)(ctx, *c, count, arguments);
        px_cli_print_command_help(stdout, *c);
        return PX_OK;
    }
    return px_fail(ctx, PX_ERR_USAGE,
                   "found command \"%.40s\", expected train, eval, sample, complete, pack, bench, info "
                   "or keys (pixelrnn --help)",
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

/* Opens /dev/null for each standard stream that is closed, so that a file of a command does not take its descriptor.
 * Output to a closed stream fails, as expected of it, because the descriptor is open for the other direction. */
static bool open_standard_streams(void) {
    for (int file = 0; file <= 2; file++)
        if (fcntl(file, F_GETFD) < 0 && open("/dev/null", file == 0 ? O_WRONLY : O_RDONLY) != file) return false;
    return true;
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
    if (!open_standard_streams()) return px_exit_status(PX_ERR_FILE);
    if (count < 2) {
        px_cli_print_help(stderr);
        return px_exit_status(PX_ERR_USAGE);
    }
    px_status status = print_about(&ctx, count - 1, arguments + 1, &done);
    if (!done) {
        px_cli_limit_threads();
        status = dispatch(&ctx, count - 1, arguments + 1);
    }
    return finish(&ctx, status);
}
