/* pixelrnn info: parameters, memory and floating-point operations of a config or a model. */
#include "host/cli/cli.h"
#include "host/train/checkpoint.h"
#include "pixelrnn/sample.h"
#include "host/device/recurrence_choice.h"
#include "host/model/internal.h"
#include <limits.h>

typedef struct info_values {
    px_arguments settings, positionals;
    px_image_size size;
} info_values;

static const px_option options[] = {
    {"--height", "H", PX_OPTION_INTEGER, offsetof(info_values, size.height), .min = 1, .help = "height of the images"},
    {"--width", "W", PX_OPTION_INTEGER, offsetof(info_values, size.width), .min = 1, .help = "width of the images"},
    {"--channels", "C", PX_OPTION_INTEGER, offsetof(info_values, size.channels), .min = 1,
     .help = "channels of the images, 1 or 3"},
    PX_OPTION_SET(info_values, settings),
    {0},
};

static px_status info_read(px_context *ctx, info_values *w, px_model_info *info) {
    char path[PX_PATH];
    const char *name = w->positionals.value[0];
    px_config *c = &info->config;
    *info = (px_model_info){.step = -1};
    if (px_cli_ends_with(name, ".yaml") || px_cli_ends_with(name, ".yml")) {
        px_config_default(c);
        PX_TRY(px_config_load(ctx, name, c));
        PX_TRY(px_cli_override(ctx, name, &w->settings, c));
        PX_TRY(px_cli_image_size(ctx, name, c, "--height, --width and --channels", &w->size));
        info->spec = px_model_spec_from(c, (int)w->size.height, (int)w->size.width, (int)w->size.channels);
        return PX_OK;
    }
    PX_TRY(px_checkpoint_find_model(ctx, name, path));
    if (w->size.height || w->size.width || w->size.channels)
        return px_fail(ctx, PX_ERR_USAGE, "%s: found --height, --width or --channels, expected none with a model",
                       path);
    PX_TRY(px_model_file_info(ctx, path, info));
    return px_cli_override(ctx, path, &w->settings, c);
}

static void print_bytes(const char *what, size_t bytes) {
    const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    int unit = 0;
    for (; value >= 1024 && unit < 4; unit++) value /= 1024;
    printf("  %-26s %9.2f %s\n", what, value, units[unit]);
}

static px_status print_memory(px_model *model, const px_config *config) {
    const px_optimizer_spec rule = px_optimizer_spec_from(config);
    const px_memory_plan train = px_model_plan(model, (int)config->train.batch_size, PX_PURPOSE_TRAIN);
    const px_memory_plan eval = px_model_plan(model, px_cli_batch(config), PX_PURPOSE_EVALUATE);
    const size_t optimizer = px_optimizer_bytes(model, &rule);
    printf("memory, training, %lld images\n", (long long)config->train.batch_size);
    print_bytes("weights", train.weights);
    print_bytes("gradients", train.gradients);
    print_bytes("optimizer", optimizer);
    print_bytes("activations", train.activations);
    print_bytes("workspace", train.workspace);
    print_bytes("total", train.weights + train.gradients + optimizer + train.activations + train.workspace);
    printf("memory, evaluation, %d images\n", px_cli_batch(config));
    print_bytes("total", eval.weights + eval.activations + eval.workspace);
    size_t caches;
    PX_TRY(px_sampler_plan(model, px_cli_sampling_batch(config), &caches));
    printf("memory, sampling, %d images at a time\n", px_cli_sampling_batch(config));
    print_bytes("total", eval.weights + caches + eval.workspace);
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

/* Prints the strategy that the device uses for one direction, and why it cannot use the ones before. */
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
    printf("recurrence, training, %d images: the first strategy whose requirements are met\n", images);
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
    print_bytes("memory limit", device->memory);
    if (device->limit[0]) printf("  %-26s %s\n", "set by", device->limit);
    print_recurrences(model, (int)info->config.train.batch_size);
    return PX_OK;
}

static px_status info_run(px_context *ctx, int count, char **arguments) {
    info_values w = {0};
    px_model_info info;
    px_device *device;
    px_model *model;
    PX_TRY(px_cli_parse(ctx, &px_command_info, count, arguments, &w, &w.positionals));
    PX_TRY(info_read(ctx, &w, &info));
    PX_TRY(px_cli_open_device(ctx, &info.config, NULL, &device));
    px_status status = px_model_create(device, &info.spec, &model);
    if (status == PX_OK) status = print_info(model, &info);
    px_model_destroy(model);
    px_device_close(device);
    return status;
}

const px_command px_command_info = {
    .name = "info",
    .positionals = "CONFIG|MODEL",
    .summary = "parameters, receptive field, memory, floating-point operations per image, how recurrences run",
    .details = "The images have the size of data.train, or data.size and data.channels if data.train cannot be opened. "
               "Each option overrides only its own dimension.",
    .example = "info configs/demo.yaml --rate 1000",
    .options = options,
    .run = info_run,
};
