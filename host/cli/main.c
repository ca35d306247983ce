/* pixelrnn: train, evaluate, sample and compare pixel-recurrent image models. */
#include "host/cli/cli.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <unistd.h>

static const px_command *const commands[] = {
    &px_command_train, &px_command_eval,  &px_command_sample, &px_command_complete,
    &px_command_pack,  &px_command_bench, &px_command_info,   &px_command_keys,
};
enum { PX_COMMANDS = sizeof commands / sizeof *commands };

static void print_help(FILE *out) {
    fprintf(out,
            "pixelrnn trains, evaluates, samples and compares PixelCNN, Row LSTM and Diagonal BiLSTM image models.\n\n"
            "usage:\n");
    for (int i = 0; i < PX_COMMANDS; i++)
        fprintf(out, "  pixelrnn %-8s %s\n           %s\n", commands[i]->name, commands[i]->usage,
                commands[i]->summary);
    fprintf(out, "  pixelrnn --version\n           version, build options, versions of the libraries in use\n\n"
                 "MODEL is a model.safetensors file, a checkpoint folder, or a run folder (then its best checkpoint).\n"
                 "--set key=value overrides a config key in every command, e.g. --set device=cpu.\n");
}

/* Several ranks of a command that is of one process would all do the whole of its work, into the same files. */
static px_status run_single_process(px_context *ctx, const px_command *command, int count, char **words) {
    const int launched = px_ranks_launched();
    if (launched > 1)
        return px_fail(ctx, PX_ERR_USAGE, "%s: found %d ranks, started by a launcher, expected one", command->name,
                       launched);
    return command->run(ctx, count, words);
}

static px_status run_distributed(px_context *ctx, const px_command *command, int count, char **words) {
    px_ranks *ranks;
    px_cli_catch_signals();
    PX_TRY(px_cli_join(ctx, &ranks));
    return px_cli_leave(ctx, ranks, command->together(ctx, ranks, count, words));
}

static bool asks_for_help(int count, char **words) {
    for (int i = 1; i < count; i++)
        if (strcmp(words[i], "--help") == 0 || strcmp(words[i], "-h") == 0) return true;
    return false;
}

static px_status dispatch(px_context *ctx, int count, char **words) {
    for (int i = 0; i < PX_COMMANDS; i++) {
        const px_command *command = commands[i];
        if (strcmp(words[0], command->name) != 0) continue;
        if (!asks_for_help(count, words))
            return (command->run ? run_single_process : run_distributed)(ctx, command, count, words);
        printf("usage: pixelrnn %s %s\n%s\n", command->name, command->usage, command->summary);
        return PX_OK;
    }
    return px_fail(ctx, PX_ERR_USAGE,
                   "found command \"%.40s\", expected train, eval, sample, complete, pack, bench, info "
                   "or keys (pixelrnn --help)",
                   words[0]);
}

/* What is said of the program itself, with nothing after it. */
static px_status describe(px_context *ctx, int count, char **words) {
    if (count > 1) return px_fail(ctx, PX_ERR_USAGE, "%s: found \"%.40s\", expected nothing more", words[0], words[1]);
    if (strcmp(words[0], "--version") == 0)
        px_cli_print_version(stdout);
    else
        print_help(stdout);
    return PX_OK;
}

/* A standard file that is closed must not become the first file that a command opens. What is written to a closed one
 * fails, as it should. */
static bool hold_standard_files(void) {
    for (int file = 0; file <= 2; file++)
        if (fcntl(file, F_GETFD) < 0 && open("/dev/null", file == 0 ? O_WRONLY : O_RDONLY) != file) return false;
    return true;
}

/* Sets what libraries read from the environment before main, and starts the program once more with it.
 *
 * OpenMP's threads spin at a barrier only briefly, then sleep, unless the caller has decided otherwise: a recurrence
 * has a thousand small loops a step, and where other processes have the cores, threads that spin made tiny models a
 * hundred times slower. OpenBLAS starts no threads of its own: they are never used, and each maps a buffer of 128 MiB,
 * for which it asks for ever where the address space is limited. */
static void prepare_environment(char **words) {
    const bool decided = getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT") || getenv("KMP_BLOCKTIME");
    const char *blas = getenv("OPENBLAS_NUM_THREADS");
    if (decided && blas && strcmp(blas, "1") == 0) return;
    if (!decided && (setenv("GOMP_SPINCOUNT", "4000", 1) != 0 || setenv("KMP_BLOCKTIME", "0", 1) != 0)) return;
    if (setenv("OPENBLAS_NUM_THREADS", "1", 1) == 0) execv("/proc/self/exe", words);
}

/* A launcher ends all ranks as soon as one ends badly. A rank that leaves the message to the first on its host gives
 * that one so many seconds; the launcher cuts the wait short. */
enum { PX_SILENT_SECONDS = 5 };

static int finish(px_context *ctx, px_status status) {
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == PX_OK)
        status = px_fail(ctx, PX_ERR_FILE, "standard output: cannot write to it");
    /* Of ranks that have met, rank 0 has said it already; of those that could not meet, the first on each host does. */
    if (status != PX_OK && ctx->message[0]) {
        if (px_ranks_launched_local() == 0)
            fprintf(stderr, "pixelrnn: %s\n", ctx->message);
        else
            sleep(PX_SILENT_SECONDS);
    }
    return px_exit_status(status);
}

int main(int count, char **words) {
    px_context ctx = {0};
    prepare_environment(words);
    if (!hold_standard_files()) return px_exit_status(PX_ERR_FILE);
    if (count < 2) {
        print_help(stderr);
        return px_exit_status(PX_ERR_USAGE);
    }
    static const char *const about[] = {"--help", "-h", "help", "--version"};
    for (int i = 0; i < 4; i++)
        if (strcmp(words[1], about[i]) == 0) return finish(&ctx, describe(&ctx, count - 1, words + 1));
    px_cli_limit_threads();
    return finish(&ctx, dispatch(&ctx, count - 1, words + 1));
}
