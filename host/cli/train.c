/* pixelrnn train: from a config file to a run folder. */
#include "host/cli/cli.h"
#include "pixelrnn/checkpoint.h"
#include "pixelrnn/train.h"
#include <stdio.h>
#include <string.h>

static volatile sig_atomic_t px_stop_asked;

/* The first signal asks for a save and a clean end; a second one ends the process as usual. */
static void px_on_signal(int number) {
    px_stop_asked = 1;
    signal(number, SIG_DFL);
}

static void px_introduce(const px_config *config, const px_device *device, const char *run) {
    fprintf(stderr, "%s: %s, %lld layers, hidden %lld, %s, %s; %s %s\n", config->name,
            px_config_word("model.kind", config->model.kind), (long long)config->model.layers,
            (long long)config->model.hidden, px_config_word("train.optimizer", config->train.optimizer),
            px_config_word("precision", config->precision), device->kind, device->description);
    fprintf(stderr, "run folder: %s\n", run);
}

static void px_conclude(const px_train_result *result, const char *run) {
    if (result->stopped) {
        printf("stopped after step %lld; saved in %s, --resume goes on\n", (long long)result->step, run);
        return;
    }
    printf("trained to step %lld in %s\n", (long long)result->step, run);
    if (!result->evaluated) return;
    printf("test NLL            %10.3f nats/image  %.4f bits/dim  (standard error %.3f, %zu images)\n",
           result->test.nats_per_image, result->test.bits_per_dim, result->test.standard_error, result->test.images);
    printf("independent pixels  %10.3f nats/image  %.4f bits/dim\n", result->independent.nats_per_image,
           result->independent.bits_per_dim);
    if (result->entropy > 0) printf("true entropy        %10.3f nats/image\n", result->entropy);
}

static px_status px_train_run(px_context *ctx, int count, char **words) {
    px_words settings = {0}, plain;
    const char *init = NULL, *out = NULL;
    bool resume = false;
    const px_option options[] = {{.name = "--set", .each = &settings},
                                 {.name = "--init", .text = &init},
                                 {.name = "--resume", .flag = &resume},
                                 {.name = "-o", .text = &out}};
    px_config config;
    char run[PX_PATH], start[PX_PATH];
    PX_TRY(px_cli_parse(ctx, &px_command_train, count, words, options, 4, &plain, 1, 1));
    px_config_default(&config);
    PX_TRY(px_config_load(ctx, plain.word[0], &config));
    PX_TRY(px_cli_override(ctx, plain.word[0], &settings, &config));
    if (init) PX_TRY(px_checkpoint_find_model(ctx, init, start));
    PX_TRY(out ? px_file_path(ctx, run, "%s", out) : px_file_path(ctx, run, "runs/%s", config.name));

    px_device *device;
    px_train_result result;
    PX_TRY(px_cli_open_device(ctx, &config, &device));
    px_introduce(&config, device, run);
    signal(SIGINT, px_on_signal);
    signal(SIGTERM, px_on_signal);
    const px_train_options work = {.config = &config,
                                   .run = run,
                                   .resume = resume,
                                   .init = init ? start : NULL,
                                   .stop = &px_stop_asked,
                                   .out = stderr};
    const px_status status = px_train(device, &work, &result);
    px_device_close(device);
    PX_TRY(status);
    px_conclude(&result, run);
    return PX_OK;
}

const px_command px_command_train = {"train", "CONFIG.yaml [--set key=value]... [--init MODEL] [--resume] [-o RUN]",
                                     "trains; --resume continues RUN (by default runs/NAME) exactly where it stopped",
                                     px_train_run};
