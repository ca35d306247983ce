/* pixelrnn info: what a config or a model costs, before anyone runs out. */
#include "host/cli/cli.h"
#include "host/train/checkpoint.h"
#include "pixelrnn/decoder.h"
#include "host/train/optimizer.h"
#include "host/device/recurrence_choice.h"
#include "host/model/internal.h"
#include <limits.h>
#include <stdio.h>

typedef struct info_arguments {
    px_arguments settings, plain;
    px_image_size size;
} info_arguments;

static px_status info_from_config(px_context *ctx, info_arguments *w, px_model_info *info) {
    const char *path = w->plain.word[0];
    px_config *c = &info->config;
    px_config_default(c);
    PX_TRY(px_config_load(ctx, path, c));
    PX_TRY(px_cli_override(ctx, path, &w->settings, c));
    PX_TRY(px_cli_image_size(ctx, path, c, "--height, --width and --channels", &w->size));
    info->spec = px_model_spec_from(c, (int)w->size.height, (int)w->size.width, (int)w->size.channels);
    return PX_OK;
}

static px_status info_read(px_context *ctx, info_arguments *w, px_model_info *info) {
    char path[PX_PATH];
    const char *word = w->plain.word[0];
    *info = (px_model_info){.step = -1};
    if (px_cli_ends_with(word, ".yaml") || px_cli_ends_with(word, ".yml")) return info_from_config(ctx, w, info);
    PX_TRY(px_checkpoint_find_model(ctx, word, path));
    if (w->size.height || w->size.width || w->size.channels)
        return px_fail(ctx, PX_ERR_USAGE, "%s: found --height, --width or --channels, expected none with a model",
                       path);
    PX_TRY(px_model_file_info(ctx, path, info));
    return px_cli_override(ctx, path, &w->settings, &info->config);
}

static void print_bytes(const char *what, size_t bytes) {
    const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    int unit = 0;
    for (; value >= 1024 && unit < 4; unit++) value /= 1024;
    printf("  %-26s %9.2f %s\n", what, value, units[unit]);
}

static px_status print_memory(px_model *model, const px_config *config) {
    const px_optimizer_spec rule = {.kind = (px_optimizer_kind)config->train.optimizer,
                                    .ema_decay = config->train.ema_decay};
    const px_memory_plan train = px_model_plan(model, (int)config->train.batch_size, PX_PURPOSE_TRAIN);
    const px_memory_plan eval = px_model_plan(model, px_cli_batch(config), PX_PURPOSE_EVALUATE);
    const size_t optimizer = px_optimizer_bytes(model, &rule);
    printf("memory, training, %lld images\n", (long long)config->train.batch_size);
    print_bytes("weights", train.weights);
    print_bytes("gradients", train.gradients);
    print_bytes("optimizer", optimizer);
    print_bytes("activations", train.activations);
    print_bytes("workspace", train.workspace);
    print_bytes("together", train.weights + train.gradients + optimizer + train.activations + train.workspace);
    printf("memory, evaluation, %d images\n", px_cli_batch(config));
    print_bytes("together", eval.weights + eval.activations + eval.workspace);
    size_t caches;
    PX_TRY(px_decoder_plan(model, px_cli_sampling_batch(config), &caches));
    printf("memory, sampling, %d images at a time\n", px_cli_sampling_batch(config));
    print_bytes("together", eval.weights + caches + eval.workspace);
    return PX_OK;
}

static void print_field(const px_model_spec *spec) {
    const px_receptive_field field = px_model_receptive_field(spec);
    if (field.above == INT_MAX)
        printf("receptive field        %s\n", spec->kind == PX_MODEL_ROW_LSTM
                                                  ? "all rows above, widening by a pixel a row and layer"
                                                  : "all pixels before");
    else
        printf("receptive field        %d rows above, %d columns to the left, %d to the right\n", field.above,
               field.left, field.right);
}

/* How the device runs one direction of the recurrence, and why not otherwise. */
static void print_recurrence(const char *what, const px_recurrence_explanation *e) {
    printf("  %-20s %s\n", what, e->words);
    for (int i = 0; i < e->chosen; i++)
        printf("  %-20s %s: not taken: needs %s\n", "", e->option[i].name, e->option[i].missing);
}

static void print_recurrences(px_model *model, int images) {
    const px_device *device = px_model_device(model);
    px_recurrence_args recurrence;
    px_recurrence_explanation forward, backward;
    if (!px_model_recurrence(model, images, &recurrence)) return;
    px_recurrence_explain(device, &recurrence, false, &forward);
    px_recurrence_explain(device, &recurrence, true, &backward);
    printf("recurrence, training, %d images: by the first strategy that has what it asks for\n", images);
    for (int i = 0; i < PX_RECURRENCE_STRATEGIES; i++)
        printf("  %-20s %s\n", forward.option[i].name,
               forward.option[i].requires[0] ? forward.option[i].requires : "nothing");
    print_recurrence("forward", &forward);
    print_recurrence("backward", &backward);
}

static px_status print_info(px_model *model, const px_model_info *info) {
    const px_model_spec *s = &info->spec;
    size_t weights;
    const size_t live = px_parameters_live(px_model_parameters(model), &weights);
    printf("model                  %s, %d layers, hidden %d, head %d%s%s\n", px_config_word("model.kind", (int)s->kind),
           s->layers, s->hidden, s->head, s->residual ? ", residual" : "", s->skip ? ", skip" : "");
    printf("images                 %d x %d x %d, %d levels\n", s->height, s->width, s->channels, s->levels);
    printf("precision              %s\n", px_config_word("precision", info->config.precision));
    if (info->step >= 0) printf("step                   %lld\n", (long long)info->step);
    printf("parameters             %zu (masked ones not counted)\n", live);
    print_field(s);
    printf("floating-point operations per image (live weights; pointwise work not counted)\n");
    printf("  evaluation           %.4g GFLOP\n", 1e-9 * px_model_flops(model, PX_PURPOSE_EVALUATE));
    printf("  training             %.4g GFLOP\n", 1e-9 * px_model_flops(model, PX_PURPOSE_TRAIN));
    PX_TRY(print_memory(model, &info->config));
    const px_device *device = px_model_device(model);
    printf("device                 %s: %s\n", device->kind, device->description);
    print_bytes("memory at most", device->memory);
    if (device->limit[0]) printf("  %-26s %s\n", "which is left by", device->limit);
    print_recurrences(model, (int)info->config.train.batch_size);
    return PX_OK;
}

static px_status info_run(px_context *ctx, int count, char **words) {
    info_arguments w = {0};
    const px_option options[] = {{.name = "--set", .each = &w.settings},
                                 {.name = "--height", .integer = &w.size.height, .least = 1},
                                 {.name = "--width", .integer = &w.size.width, .least = 1},
                                 {.name = "--channels", .integer = &w.size.channels, .least = 1}};
    px_model_info info;
    px_device *device;
    px_model *model;
    PX_TRY(px_cli_parse(ctx, &px_command_info, count, words, options, 4, &w.plain, 1, 1));
    PX_TRY(info_read(ctx, &w, &info));
    PX_TRY(px_cli_open_device(ctx, &info.config, -1, &device));
    px_status status = px_model_create(device, &info.spec, &model);
    if (status == PX_OK) status = print_info(model, &info);
    px_model_destroy(model);
    px_device_close(device);
    return status;
}

const px_command px_command_info = {
    "info", "CONFIG|MODEL [--height H] [--width W] [--channels C] [--set key=value]...",
    "parameters, receptive field, memory, floating-point operations per image, how recurrences run, for images of "
    "data.train's "
    "size, or data.size and data.channels where data.train is not there; an option overrides only itself",
    .run = info_run};
