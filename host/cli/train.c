/* pixelrnn train: from a config file to a run folder. */
#include "host/cli/cli.h"
#include "host/train/checkpoint.h"
#include "pixelrnn/train.h"
#include "host/device/backend.h"
#include <stdio.h>
#include <string.h>

static void introduce(const px_config *config, const px_device *device, const char *run, px_ranks *ranks) {
    const int count = px_ranks_count(ranks);
    FILE *out = px_cli_talk(ranks);
    fprintf(out, "%s: %s, %lld layers, hidden %lld, %s, %s; ", config->name,
            px_config_word("model.kind", config->model.kind), (long long)config->model.layers,
            (long long)config->model.hidden, px_config_word("train.optimizer", config->train.optimizer),
            px_config_word("precision", config->precision));
    if (ranks) fprintf(out, "%d rank%s, rank 0 on ", count, count > 1 ? "s" : "");
    fprintf(out, "%s %s\nrun folder: %s\n", device->kind, device->description, run);
}

static void conclude(const px_train_result *result, const char *run) {
    if (result->stop != PX_OK) {
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

/* What the words and the config say. */
typedef struct train_arguments {
    px_config config;
    bool init, resume, accept_data;
    int argument_count;
    char **arguments;                  /* the command line, from "train" on */
    char run[PX_PATH], start[PX_PATH]; /* start: the model file of --init */
} train_arguments;

/* CONFIG is a file, or a run folder, whose config.yaml it then is. */
static px_status train_config_path(px_context *ctx, const char *config, char path[PX_PATH]) {
    if (!px_file_is_folder(config)) return px_file_path(ctx, path, "%s", config);
    PX_TRY(px_file_path(ctx, path, "%s/config.yaml", config));
    if (px_file_exists(path)) return PX_OK;
    return px_fail(ctx, PX_ERR_FILE, "%s: found a folder without config.yaml, expected a config or a run folder",
                   config);
}

static px_status train_read(px_context *ctx, int count, char **words, train_arguments *w) {
    px_arguments settings = {0}, plain;
    const char *init = NULL, *out = NULL;
    char path[PX_PATH];
    const px_option options[] = {{.name = "--set", .each = &settings},
                                 {.name = "--init", .text = &init},
                                 {.name = "--resume", .flag = &w->resume},
                                 {.name = "--accept-data", .flag = &w->accept_data},
                                 {.name = "-o", .text = &out}};
    PX_TRY(px_cli_parse(ctx, &px_command_train, count, words, options, 5, &plain, 1, 1));
    PX_TRY(train_config_path(ctx, plain.word[0], path));
    px_config_default(&w->config);
    PX_TRY(px_config_load(ctx, path, &w->config));
    PX_TRY(px_cli_override(ctx, path, &settings, &w->config));
    if (!out && px_file_is_folder(plain.word[0])) out = plain.word[0];
    w->argument_count = count;
    w->arguments = words;
    w->init = init != NULL;
    if (init) PX_TRY(px_checkpoint_find_model(ctx, init, w->start));
    return out ? px_file_path(ctx, w->run, "%s", out) : px_file_path(ctx, w->run, "runs/%s", w->config.name);
}

static px_status train_on(px_device *device, px_ranks *ranks, const train_arguments *w) {
    px_train_result result;
    const px_train_options work = {.config = &w->config,
                                   .run = w->run,
                                   .resume = w->resume,
                                   .accept_data = w->accept_data,
                                   .init = w->init ? w->start : NULL,
                                   .stop = &px_cli_stop,
                                   .out = px_cli_talk(ranks),
                                   .ranks = ranks,
                                   .argument_count = w->argument_count,
                                   .arguments = w->arguments};
    PX_TRY(px_ranks_check_device(ranks, device));
    introduce(&w->config, device, w->run, ranks);
    const px_status status = px_train(device, &work, &result);
    if (px_status_is_stop(status))
        return px_fail(device->ctx, status, "train: stopped before its first step; %s is as it was", w->run);
    PX_TRY(status);
    if (px_ranks_rank(ranks) == 0) conclude(&result, w->run);
    device->ctx->message[0] = '\0'; /* a stop has been told */
    return result.stop;
}

static px_status train_distributed(px_context *ctx, px_ranks *ranks, int count, char **words) {
    train_arguments w = {0};
    px_device *device = NULL;
    PX_TRY(px_ranks_agree(ranks, train_read(ctx, count, words, &w)));
    px_ranks_set_timeouts(ranks, w.config.parallel.silence_s, w.config.parallel.stall_s);
    px_status status = px_cli_open_device(ctx, &w.config, ranks ? px_ranks_local(ranks) : -1, &device);
    status = px_ranks_agree(ranks, status);
    if (status == PX_OK) status = train_on(device, ranks, &w);
    px_device_close(device);
    return status;
}

const px_command px_command_train = {
    "train", "CONFIG.yaml|RUN [--set key=value]... [--init MODEL] [--resume] [--accept-data] [-o RUN]",
    "trains; --resume continues RUN (by default runs/NAME) exactly where it stopped (--accept-data: on other images)",
    .together = train_distributed};
