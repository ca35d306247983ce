/* pixelrnn: train, evaluate, sample and compare pixel-recurrent image models. */
#include "host/cli/cli.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <unistd.h>

static const px_command *const px_commands[] = {
    &px_command_train, &px_command_eval,  &px_command_sample, &px_command_complete,
    &px_command_pack,  &px_command_bench, &px_command_info,
};
enum { PX_COMMANDS = sizeof px_commands / sizeof *px_commands };

static void px_print_help(FILE *out) {
    fprintf(out,
            "pixelrnn trains, evaluates, samples and compares PixelCNN, Row LSTM and Diagonal BiLSTM image models.\n\n"
            "usage:\n");
    for (int i = 0; i < PX_COMMANDS; i++)
        fprintf(out, "  pixelrnn %-8s %s\n           %s\n", px_commands[i]->name, px_commands[i]->usage,
                px_commands[i]->summary);
    fprintf(out, "  pixelrnn keys\n           prints every config key with its type, default, range and meaning\n\n"
                 "MODEL is a model.safetensors file, a checkpoint folder, or a run folder (then its best checkpoint).\n"
                 "--set key=value overrides a config key in every command, e.g. --set device=cpu.\n");
}

/* Several ranks of a command that is of one process would all do the whole of its work, into the same files. */
static px_status px_run_alone(px_context *ctx, const px_command *command, int count, char **words) {
    const int launched = px_ranks_launched();
    if (launched > 1)
        return px_fail(ctx, PX_ERR_USAGE, "%s: found %d ranks, started by a launcher, expected one", command->name,
                       launched);
    return command->run(ctx, count, words);
}

static px_status px_run_together(px_context *ctx, const px_command *command, int count, char **words) {
    px_ranks *ranks;
    px_cli_catch_signals();
    PX_TRY(px_cli_join(ctx, &ranks));
    return px_cli_leave(ctx, ranks, command->together(ctx, ranks, count, words));
}

static px_status px_dispatch(px_context *ctx, int count, char **words) {
    for (int i = 0; i < PX_COMMANDS; i++) {
        const px_command *command = px_commands[i];
        if (strcmp(words[0], command->name) != 0) continue;
        if (count < 2 || (strcmp(words[1], "--help") != 0 && strcmp(words[1], "-h") != 0))
            return (command->run ? px_run_alone : px_run_together)(ctx, command, count, words);
        printf("usage: pixelrnn %s %s\n%s\n", command->name, command->usage, command->summary);
        return PX_OK;
    }
    return px_fail(ctx, PX_ERR_USAGE,
                   "found command \"%.40s\", expected train, eval, sample, complete, pack, bench, info "
                   "or keys (pixelrnn --help)",
                   words[0]);
}

/* A standard file that is closed must not become the first file that a command opens. What is written to a closed one
 * fails, as it should. */
static bool px_hold_standard_files(void) {
    for (int file = 0; file <= 2; file++)
        if (fcntl(file, F_GETFD) < 0 && open("/dev/null", file == 0 ? O_WRONLY : O_RDONLY) != file) return false;
    return true;
}

/* OpenMP's threads shall spin at a barrier only briefly, then sleep: a sweep has a thousand small loops a step, and where
 * other processes have the cores, threads that spin made tiny models a hundred times slower. OpenMP reads its environment
 * before main, so the program starts once more with it, unless the caller has decided. */
static void px_wait_briefly(char **words) {
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT") || getenv("KMP_BLOCKTIME")) return;
    if (setenv("GOMP_SPINCOUNT", "4000", 1) == 0 && setenv("KMP_BLOCKTIME", "0", 1) == 0)
        execv("/proc/self/exe", words);
}

/* A launcher ends all ranks as soon as one ends badly. A rank that leaves the message to the first on its host gives that
 * one so many seconds; the launcher cuts the wait short. */
enum { PX_SILENT_SECONDS = 5 };

static int px_finish(px_context *ctx, px_status status) {
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
    px_wait_briefly(words);
    if (!px_hold_standard_files()) return px_exit_status(PX_ERR_FILE);
    if (count < 2) {
        px_print_help(stderr);
        return px_exit_status(PX_ERR_USAGE);
    }
    const char *command = words[1];
    if (strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0 || strcmp(command, "help") == 0) {
        px_print_help(stdout);
        return px_finish(&ctx, PX_OK);
    }
    if (strcmp(command, "keys") == 0) {
        px_config_print_keys(stdout);
        return px_finish(&ctx, PX_OK);
    }
    return px_finish(&ctx, px_dispatch(&ctx, count - 1, words + 1));
}
