/* pixelrnn train: trains the model of a config into a run folder. */
#include "host/cli/cli.h"
#include "host/train/checkpoint.h"
#include "pixelrnn/train.h"
#include "host/device/verdict.h"
#include <string.h>

enum { LARGE = 64 }; /* hidden features from which on matrix products dominate a step */

static void print_introduction(const px_config *config, const px_device *device, const char *run, px_ranks *ranks) {
    const int count = px_ranks_count(ranks);
    FILE *out = px_cli_talk(ranks);
    fprintf(out, "%s: %s, %lld layer%s, hidden %lld, %s, %s; ", config->name,
            px_config_word("model.kind", config->model.kind), (long long)config->model.layers,
            px_plural(config->model.layers), (long long)config->model.hidden,
            px_config_word("train.optimizer", config->train.optimizer), px_config_word("precision", config->precision));
    if (ranks) fprintf(out, "%d rank%s, rank 0 on ", count, px_plural(count));
    fprintf(out, "%s %s\nrun folder: %s\n", device->kind, device->description, run);
    if (strcmp(device->kind, "cuda") == 0 && config->precision == PX_PRECISION_FLOAT32 && config->model.hidden >= LARGE)
        fprintf(out, "hint: products in float32 do not use tensor cores; those of precision: tf32 or bfloat16 do\n");
}

/* Prints the result of evaluating a split. */
static void print_evaluation(px_split split, const px_evaluation *e) {
    char label[32];
    snprintf(label, sizeof label, "%s NLL", px_split_name(split));
    printf("%-20s%10.3f nats/image  %.4f bits/dim  (standard error %.3f, %zu image%s)\n", label, e->nats_per_image,
           e->bits_per_dim, e->standard_error, e->images, px_plural((long long)e->images));
}

/* Prints the results of all evaluations. validation: whether the run has a validation set. */
static void print_figures(const px_train_result *result, bool validation) {
    const px_train_figures *f = &result->figures;
    if (f->evaluation.images == 0) return;
    print_evaluation(validation ? PX_SPLIT_VALID : PX_SPLIT_TEST, &f->evaluation);
    if (f->best_step != result->step)
        printf("best checkpoint     %10.3f nats/image  step %lld\n", f->best_nats_per_image, (long long)f->best_step);
    if (f->test.images > 0) print_evaluation(PX_SPLIT_TEST, &f->test);
    printf("independent pixels  %10.3f nats/image  %.4f bits/dim\n", f->independent.nats_per_image,
           f->independent.bits_per_dim);
    if (result->entropy > 0) printf("true entropy        %10.3f nats/image\n", result->entropy);
}

/* Says once what would make a recurrent model faster on this GPU. */
static void print_cluster_hint(const px_config *config, px_device *device, FILE *out) {
    px_verdict verdict;
    if (config->model.kind == PX_MODEL_PIXELCNN || config->precision != PX_PRECISION_BFLOAT16) return;
    if (config->paths == PX_PATHS_PLAIN || device->clusters[0] == 0) return;
    px_verdict_read(device, &verdict);
    if (verdict.answer == PX_VERDICT_NONE)
        fprintf(out,
                "hint: this GPU can run recurrences on clusters; `pixelrnn check` decides whether they are used\n");
}

/* The config and the options of a run. */
typedef struct train_values {
    px_arguments settings;
    const char *init, *out;
    bool resume, accept_data;
    px_config config;
    int argument_count;
    char **arguments;                  /* the command line, from "train" on */
    char run[PX_PATH], start[PX_PATH]; /* start: the model file of --init */
} train_values;

/* Prints the step that was saved, and the command that goes on. It needs the arguments of this command again if no step
 * was done since a resume, because the run's config.yaml is that of the last start that did one. */
static void print_stop(const px_train_result *result, const train_values *w) {
    printf("saved at step %lld; go on with: pixelrnn", (long long)result->step);
    for (int i = 0; i < w->argument_count && !result->config_saved; i++) px_cli_print_word(stdout, w->arguments[i]);
    if (result->config_saved) {
        fputs(" train", stdout);
        px_cli_print_word(stdout, w->run);
        fputs(" --resume", stdout);
    }
    putchar('\n');
}

static void print_result(const px_train_result *result, const train_values *w) {
    if (result->stop != PX_OK) {
        print_stop(result, w);
        return;
    }
    printf("trained to step %lld in %s\n", (long long)result->step, w->run);
    print_figures(result, w->config.data.validation[0]);
}

static const px_option options[] = {
    PX_OPTION_SET(train_values, settings),
    {"--init", "MODEL", PX_OPTION_PATH, offsetof(train_values, init), .otherwise = "random weights",
     .help = "start from the weights of this model"},
    {"--resume", NULL, PX_OPTION_FLAG, offsetof(train_values, resume),
     .help = "continue RUN from its newest checkpoint; start a new run if there is none"},
    {"--accept-data", NULL, PX_OPTION_FLAG, offsetof(train_values, accept_data),
     .help = "resume although the training images have changed"},
    {"-o", "RUN", PX_OPTION_PATH, offsetof(train_values, out), .otherwise = "runs/NAME of the config",
     .help = "the run folder"},
    {0},
};

static px_status train_parse(px_context *ctx, int count, char **arguments, train_values *w) {
    px_arguments positionals;
    char path[PX_PATH];
    PX_TRY(px_cli_parse(ctx, &px_command_train, count, arguments, w, &positionals));
    const char *config = positionals.value[0];
    const bool folder = px_file_is_folder(config);
    PX_TRY(px_file_path(ctx, path, "%s%s", config, folder ? "/config.yaml" : ""));
    if (folder && !px_file_exists(path))
        return px_fail(ctx, PX_ERR_FILE, "%s: found a folder without config.yaml, expected a config or a run folder",
                       config);
    px_config_default(&w->config);
    PX_TRY(px_config_load(ctx, path, &w->config));
    PX_TRY(px_cli_override(ctx, path, &w->settings, &w->config));
    if (!w->out && folder) w->out = config;
    w->argument_count = count;
    w->arguments = arguments;
    if (w->init) PX_TRY(px_checkpoint_find_model(ctx, w->init, w->start));
    return w->out ? px_file_path(ctx, w->run, "%s", w->out) : px_file_path(ctx, w->run, "runs/%s", w->config.name);
}

static px_status train_on(px_device *device, px_ranks *ranks, const train_values *w) {
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
    print_introduction(&w->config, device, w->run, ranks);
    print_cluster_hint(&w->config, device, px_cli_talk(ranks));
    const px_status status = px_train(device, &work, &result);
    if (px_status_is_stop(status))
        return px_fail(device->ctx, status, "train: stopped before its first step; %s is as it was", w->run);
    PX_TRY(status);
    if (px_ranks_rank(ranks) == 0) print_result(&result, w);
    device->ctx->message[0] = '\0'; /* print_result has printed the stop */
    return result.stop;
}

static px_status train_distributed(px_context *ctx, px_ranks *ranks, int count, char **arguments) {
    train_values w = {0};
    px_device *device = NULL;
    PX_TRY(px_ranks_agree(ranks, train_parse(ctx, count, arguments, &w)));
    px_ranks_set_timeouts(ranks, w.config.parallel.silence_s, w.config.parallel.stall_s);
    px_status status = px_cli_open_device(ctx, &w.config, ranks, &device);
    status = px_ranks_agree(ranks, status);
    if (status == PX_OK) status = train_on(device, ranks, &w);
    px_cli_print_warning(ranks, device);
    px_device_close(device);
    return status;
}

const px_command px_command_train = {
    .name = "train",
    .positionals = "CONFIG.yaml|RUN",
    .summary =
        "trains; --resume continues RUN (by default runs/NAME) exactly where it stopped (--accept-data: on other "
        "images)",
    .details =
        "CONFIG.yaml is a config; RUN is a run folder, whose config.yaml is then used. Ctrl-C writes a checkpoint "
        "and exits.",
    .example = "train configs/demo.yaml -o runs/demo --set train.steps=1000",
    .options = options,
    .run_distributed = train_distributed,
};
