/* pixelrnn info: the size of a model, and what training it costs. */
#include "host/cli/cli.h"
#include "host/device/recurrence_choice.h"
#include "host/device/verdict.h"
#include "host/model/internal.h"
#include "host/train/cost.h"
#include "pixelrnn/sample.h"
#include <cjson/cJSON.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct info_values {
    px_arguments settings, positionals;
    px_image_size size;
    int64_t ranks;
    double rate, evaluation_rate; /* images/s of a rank in training and in evaluation; 0: not given */
    bool verbose, json;
} info_values;

static const px_option options[] = {
    {"--ranks", "N", PX_OPTION_INTEGER, offsetof(info_values, ranks), .min = 1, .max = 65536, .initial = "1",
     .help = "processes that share the training, each with a GPU of its own"},
    {"--rate", "IMAGES_PER_SECOND", PX_OPTION_NUMBER, offsetof(info_values, rate), .otherwise = "no hours are printed",
     .help = "training speed of one rank, as `pixelrnn bench` measures it, for the hours of the run"},
    {"--evaluation-rate", "IMAGES_PER_SECOND", PX_OPTION_NUMBER, offsetof(info_values, evaluation_rate),
     .otherwise = "from --rate, by floating-point operations", .help = "evaluation speed, likewise; only with --rate"},
    {"--images", "N", PX_OPTION_INTEGER, offsetof(info_values, size.images), .min = 1,
     .otherwise = "those of data.train", .help = "training images, for the epochs"},
    {"--height", "H", PX_OPTION_INTEGER, offsetof(info_values, size.height), .min = 1,
     .otherwise = "that of data.train", .help = "height of the images"},
    {"--width", "W", PX_OPTION_INTEGER, offsetof(info_values, size.width), .min = 1, .otherwise = "that of data.train",
     .help = "width of the images"},
    {"--channels", "C", PX_OPTION_INTEGER, offsetof(info_values, size.channels), .min = 1,
     .otherwise = "those of data.train", .help = "channels of the images, 1 or 3"},
    {"--verbose", NULL, PX_OPTION_FLAG, offsetof(info_values, verbose),
     .help = "also print how recurrences can run, what each way requires, and why the chosen one is"},
    {"--json", NULL, PX_OPTION_FLAG, offsetof(info_values, json), .help = "print one line of JSON instead of text"},
    PX_OPTION_SET(info_values, settings),
    {0},
};

/* What is printed. */
typedef struct info_report {
    const info_values *values;
    px_image_size given; /* by options */
    px_model *model;
    px_model_info info;        /* step: negative for a config */
    int64_t images[PX_SPLITS]; /* 0: none or not known */
    px_context no_images;      /* why the number of training images is not known */
    px_run_cost cost;
    char *bench; /* a command line that measures the rate; NULL if there is no config for it */
} info_report;

/* ---- Reading ---- */

static px_status info_read(px_context *ctx, info_values *w, px_model_info *info) {
    char path[PX_PATH];
    const char *name = w->positionals.value[0];
    px_config *c = &info->config;
    *info = (px_model_info){.step = -1};
    if (px_cli_is_config(name)) {
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

/* The number of images of a split; 0 if it cannot be opened, and then the reason. */
static int64_t count_images(const px_config *config, px_split split, px_context *reason) {
    const px_source_options how = px_source_options_of(config, split, PX_ACCESS_ANY);
    const char *list = px_source_list_of(config, split);
    px_source *source = NULL;
    if (!list[0]) px_fail(reason, PX_ERR_CONFIG, "data.%s is empty", px_split_name(split));
    if (!list[0] || px_source_open_list(reason, list, &how, &source) != PX_OK) return 0;
    const int64_t count = (int64_t)source->count;
    px_source_close(source);
    return count;
}

/* Writes the command line that measures the rate of a rank, if there is a config file. The size of images that are not
 * square cannot be given to bench, which then uses that of data.train. */
static px_status write_bench(px_context *ctx, info_report *r) {
    const info_values *w = r->values;
    const char *name = w->positionals.value[0];
    const px_model_spec *s = &r->info.spec;
    char config[PX_PATH];
    size_t bytes;
    PX_TRY(px_file_path(ctx, config, "%s%s", name, px_file_is_folder(name) ? "/config.yaml" : ""));
    if (!px_cli_is_config(config) || !px_file_exists(config)) return PX_OK;
    FILE *out = open_memstream(&r->bench, &bytes);
    if (!out) return px_fail_memory(ctx, "info", 0);
    fputs("pixelrnn bench", out);
    px_cli_print_word(out, config);
    for (int i = 0; i < w->settings.count; i++) {
        fputs(" --set", out);
        px_cli_print_word(out, w->settings.value[i]);
    }
    if (r->cost.rank_images != r->info.config.train.batch_size)
        fprintf(out, " --set train.batch_size=%d", r->cost.rank_images);
    if (r->info.config.train.accumulate > 1) fputs(" --set train.accumulate=1", out);
    if (s->height == s->width && (r->given.height || r->given.width || r->given.channels || r->info.step >= 0))
        fprintf(out, " --size %d --channels %d", s->height, s->channels);
    fputs(" --phases train,evaluate", out);
    return fclose(out) == 0 ? PX_OK : px_fail_memory(ctx, "info", bytes);
}

/* The seconds of a run at the rates that were given; 0 without one. Without a rate of evaluation, its FLOPs take as
 * long as those of training. */
static double run_seconds(const info_report *r) {
    const px_run_cost *c = &r->cost;
    const info_values *w = r->values;
    if (w->rate == 0) return 0;
    const double flops_per_second = px_model_flops(r->model, PX_PURPOSE_TRAIN) * w->rate;
    const double evaluated = c->evaluation_flops / px_model_flops(r->model, PX_PURPOSE_EVALUATE); /* images */
    const double evaluation = w->evaluation_rate > 0 ? evaluated / w->evaluation_rate
                                                     : c->evaluation_flops / flops_per_second;
    return (c->training_flops / flops_per_second + evaluation) / (double)w->ranks;
}

/* ---- Text ---- */

/* Divides bytes by the unit that suits them, and returns its name. */
static const char *scale_bytes(double *value) {
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    int unit = 0;
    for (; *value >= 1024 && unit < 4; unit++) *value /= 1024;
    return units[unit];
}

static void print_bytes(const char *what, double value) {
    const char *unit = scale_bytes(&value);
    printf("  %-26s %9.2f %s\n", what, value, unit);
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

/* Prints the paths that the device may take beside the plain ones. */
static void print_paths(const px_device *device) {
    const bool cuda = strcmp(device->kind, "cuda") == 0;
    const struct {
        unsigned path;
        const char *name;
    } paths[] = {{PX_PATH_CLUSTER, "recurrences on clusters"},
                 {PX_PATH_FUSED, "fused recurrences"},
                 {PX_PATH_GRAPHS, "captured graphs"},
                 {PX_PATH_LIBRARIES, cuda ? "epilogues of cuBLASLt and cuDNN" : "oneDNN"}};
    const char *separator = "";
    printf("paths                  ");
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (device->paths & paths[i].path) printf("%s%s", separator, paths[i].name), separator = ", ";
    printf("%s\n", device->paths ? "" : "plain");
}

/* Prints the verdict of `pixelrnn check`, where recurrences on clusters are possible. */
static void print_verdict(px_device *device) {
    px_verdict verdict;
    if (device->clusters[0] == 0) return;
    px_verdict_read(device, &verdict);
    printf("  %-20s %s\n", "verdict on clusters",
           verdict.answer == PX_VERDICT_NONE ? "none: run `pixelrnn check`" : verdict.reason);
}

static void explain_recurrences(px_device *device, const px_recurrence_explanation *forward,
                                const px_recurrence_explanation *backward, int images) {
    printf("recurrence, training, %d image%s: the first strategy whose requirements are met\n", images,
           px_plural(images));
    for (int i = 0; i < PX_RECURRENCE_STRATEGIES; i++)
        printf("  %-20s %s\n", forward->option[i].name,
               forward->option[i].requires[0] ? forward->option[i].requires : "nothing");
    print_recurrence("forward", forward);
    print_recurrence("backward", backward);
    print_verdict(device);
}

/* Prints the names of the strategies, or with --verbose also what they require. */
static void print_recurrences(const info_report *r) {
    const int images = r->cost.rank_images;
    px_device *device = px_model_device(r->model);
    px_recurrence_args recurrence;
    px_recurrence_explanation forward, backward;
    if (!px_model_recurrence(r->model, images, &recurrence)) return;
    px_recurrence_explain(device, &recurrence, false, &forward);
    px_recurrence_explain(device, &recurrence, true, &backward);
    if (!r->values->verbose) {
        printf("recurrence             %s forward, %s backward (--verbose: why)\n", forward.option[forward.chosen].name,
               backward.option[backward.chosen].name);
        return;
    }
    explain_recurrences(device, &forward, &backward, images);
}

static void print_model(const info_report *r) {
    const px_model_spec *s = &r->info.spec;
    const size_t live = px_parameters_live(px_model_parameters(r->model));
    printf("model                  %s, %d layer%s, hidden %d, head %d%s%s\n",
           px_config_word("model.kind", (int)s->kind), s->layers, px_plural(s->layers), s->hidden, s->head,
           s->residual ? ", residual" : "", s->skip ? ", skip" : "");
    printf("images                 %d x %d x %d, %d levels\n", s->height, s->width, s->channels, s->levels);
    if (s->condition.kind == PX_CONDITION_CLASS)
        printf("condition              class, %d class%s\n", s->condition.classes,
               s->condition.classes == 1 ? "" : "es");
    if (s->condition.kind == PX_CONDITION_IMAGE)
        printf("condition              image, scale %d: samples from images of %d x %d x %d\n", s->condition.scale,
               s->height / s->condition.scale, s->width / s->condition.scale, s->channels);
    printf("precision              %s\n", px_config_word("precision", r->info.config.precision));
    if (r->info.step >= 0) printf("step                   %lld\n", (long long)r->info.step);
    printf("parameters             %zu (masked ones not counted)\n", live);
    print_field(s);
    printf("floating-point operations per image (live weights; pointwise work not counted)\n");
    printf("  evaluation           %.4g GFLOP\n", 1e-9 * px_model_flops(r->model, PX_PURPOSE_EVALUATE));
    printf("  training             %.4g GFLOP\n", 1e-9 * px_model_flops(r->model, PX_PURPOSE_TRAIN));
}

static void print_time(const info_report *r) {
    const info_values *w = r->values;
    const double hours = run_seconds(r) / 3600;
    if (w->rate > 0)
        printf("  time                 %.*f hours at %.4g images/s%s, sampling not counted\n", hours < 10 ? 2 : 0,
               hours, w->rate, w->ranks > 1 ? " a rank" : "");
    else if (r->bench)
        printf("  time                 give --rate and --evaluation-rate, the images/s that this command measures:\n"
               "    %s\n",
               r->bench);
    else
        printf("  time                 give --rate and --evaluation-rate, the images/s that\n"
               "                       `pixelrnn bench CONFIG --phases train,evaluate` measures\n");
}

static void print_run(const info_report *r) {
    const px_run_cost *c = &r->cost;
    const long long steps = (long long)r->info.config.train.steps, batch = (long long)r->info.config.train.batch_size;
    printf("run                    %lld step%s of %lld image%s\n", steps, px_plural(steps), batch, px_plural(batch));
    if (c->epochs > 0)
        printf("  epochs               %.4g of %lld images\n", c->epochs, (long long)r->images[PX_SPLIT_TRAIN]);
    else
        printf("  epochs               not known, give --images (%s)\n", r->no_images.message);
    if (c->evaluations > 0 && c->evaluation_images > 0)
        printf("  evaluations          %lld of %lld image%s\n", (long long)c->evaluations,
               (long long)c->evaluation_images, px_plural(c->evaluation_images));
    else if (c->evaluations > 0)
        printf("  evaluations          %lld, not counted below: their images cannot be opened\n",
               (long long)c->evaluations);
    if (c->test_images > 0)
        printf("  test                 %lld image%s\n", (long long)c->test_images, px_plural(c->test_images));
    printf("  operations           %.4g FLOP in training", c->training_flops);
    if (c->evaluation_flops > 0) printf(", %.4g FLOP in evaluations", c->evaluation_flops);
    printf("\n");
    printf("  checkpoint           %zu bytes (model.safetensors %zu, optimizer.safetensors %zu)\n",
           c->checkpoint.model + c->checkpoint.optimizer, c->checkpoint.model, c->checkpoint.optimizer);
    double disk = px_run_disk(c);
    const char *unit = scale_bytes(&disk);
    printf("  checkpoints kept     at most %lld, %.4g %s\n", (long long)c->checkpoints, disk, unit);
    print_time(r);
}

static void print_memory(const info_report *r, int sampled, size_t eval, size_t sampling) {
    const px_run_cost *c = &r->cost;
    const px_config *config = &r->info.config;
    const long long ranks = (long long)r->values->ranks, parts = (long long)config->train.accumulate;
    const int64_t batch = config->train.batch_size;
    printf("memory, training, %d image%s", c->rank_images, px_plural(c->rank_images));
    if (ranks > 1) printf(" of a rank");
    if (c->rank_images < batch) printf(" (%lld over %lld rank%s", (long long)batch, ranks, px_plural(ranks));
    if (parts > 1) printf(" in %lld micro-batches", parts);
    printf(c->rank_images < batch ? ")\n" : "\n");
    print_bytes("weights", (double)c->plan.weights);
    print_bytes("gradients", (double)c->plan.gradients);
    print_bytes("optimizer", (double)c->optimizer);
    if (parts > 1) print_bytes("sum of gradients", (double)c->accumulation);
    print_bytes("activations", (double)c->plan.activations);
    print_bytes("workspace", (double)c->plan.workspace);
    print_bytes(ranks > 1 ? "sampling (on rank 0)" : "sampling", (double)c->sampler);
    print_bytes("total", (double)px_run_memory(c));
    printf("memory, evaluation, %d image%s\n", px_cli_batch(config), px_plural(px_cli_batch(config)));
    print_bytes("total", (double)eval);
    printf("memory, sampling, %d image%s at a time\n", sampled, px_plural(sampled));
    print_bytes("total", (double)sampling);
}

static px_status print_text(const info_report *r) {
    const px_config *config = &r->info.config;
    const px_device *device = px_model_device(r->model);
    const px_memory_plan eval = px_model_plan(r->model, px_cli_batch(config), PX_PURPOSE_EVALUATE);
    const int sampled = px_cli_sampling_batch(config);
    size_t caches;
    PX_TRY(px_sampler_plan(r->model, sampled, &caches));
    print_model(r);
    print_run(r);
    print_memory(r, sampled, eval.weights + eval.activations + eval.workspace, eval.weights + caches + eval.workspace);
    printf("device                 %s: %s\n", device->kind, device->description);
    print_bytes("memory limit", (double)device->memory);
    if (device->limit[0]) printf("  %-26s %s\n", "set by", device->limit);
    print_paths(px_model_device(r->model));
    print_recurrences(r);
    return PX_OK;
}

/* ---- JSON ---- */

static void add_number(cJSON *json, const char *name, double value) { cJSON_AddNumberToObject(json, name, value); }

/* Adds a number, or null if it is 0, which then means that it is not known. */
static void add_known(cJSON *json, const char *name, double value) {
    cJSON_AddItemToObject(json, name, value > 0 ? cJSON_CreateNumber(value) : cJSON_CreateNull());
}

static void add_model(cJSON *json, const info_report *r) {
    const px_model_spec *s = &r->info.spec;
    cJSON_AddStringToObject(json, "model", px_config_word("model.kind", (int)s->kind));
    add_number(json, "layers", s->layers);
    add_number(json, "hidden", s->hidden);
    add_number(json, "head", s->head);
    add_number(json, "height", s->height);
    add_number(json, "width", s->width);
    add_number(json, "channels", s->channels);
    add_number(json, "levels", s->levels);
    cJSON_AddStringToObject(json, "condition", px_config_word("model.condition", (int)s->condition.kind));
    if (s->condition.kind == PX_CONDITION_CLASS) add_number(json, "classes", s->condition.classes);
    if (s->condition.kind == PX_CONDITION_IMAGE) {
        add_number(json, "scale", s->condition.scale);
        add_number(json, "smaller_height", s->height / s->condition.scale);
        add_number(json, "smaller_width", s->width / s->condition.scale);
    }
    cJSON_AddStringToObject(json, "precision", px_config_word("precision", r->info.config.precision));
    if (r->info.step >= 0) add_number(json, "step", (double)r->info.step);
    add_number(json, "parameters", (double)px_parameters_live(px_model_parameters(r->model)));
    add_number(json, "evaluation_flops_per_image", px_model_flops(r->model, PX_PURPOSE_EVALUATE));
    add_number(json, "training_flops_per_image", px_model_flops(r->model, PX_PURPOSE_TRAIN));
}

static void add_run(cJSON *json, const info_report *r) {
    const px_run_cost *c = &r->cost;
    add_number(json, "steps", (double)r->info.config.train.steps);
    add_number(json, "batch_size", (double)r->info.config.train.batch_size);
    add_number(json, "ranks", (double)r->values->ranks);
    add_number(json, "images_per_rank", c->rank_images);
    add_number(json, "trained_images", (double)c->images);
    add_known(json, "training_set_images", (double)r->images[PX_SPLIT_TRAIN]);
    add_known(json, "epochs", c->epochs);
    add_number(json, "evaluations", (double)c->evaluations);
    add_known(json, "evaluation_images", (double)c->evaluation_images);
    add_known(json, "test_images", (double)c->test_images);
    add_number(json, "training_flops", c->training_flops);
    add_number(json, "evaluation_flops", c->evaluation_flops);
    add_number(json, "model_file_bytes", (double)c->checkpoint.model);
    add_number(json, "optimizer_file_bytes", (double)c->checkpoint.optimizer);
    add_number(json, "checkpoints_kept", (double)c->checkpoints);
    add_number(json, "checkpoints_bytes", px_run_disk(c));
    add_number(json, "memory_bytes", (double)px_run_memory(c));
    add_known(json, "rate", r->values->rate);
    add_known(json, "evaluation_rate", r->values->evaluation_rate);
    add_known(json, "hours", run_seconds(r) / 3600);
    cJSON_AddItemToObject(json, "bench", r->bench ? cJSON_CreateString(r->bench) : cJSON_CreateNull());
}

static px_status print_json(const info_report *r) {
    cJSON *json = cJSON_CreateObject();
    add_model(json, r);
    add_run(json, r);
    cJSON_AddStringToObject(json, "device", px_model_device(r->model)->kind);
    char *text = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    if (!text) return px_fail_memory(px_model_device(r->model)->ctx, "info", 0);
    puts(text);
    free(text);
    return PX_OK;
}

/* ---- The command ---- */

static px_status report(px_context *ctx, info_report *r) {
    const px_config *config = &r->info.config;
    px_context ignored;
    r->images[PX_SPLIT_VALID] = count_images(config, PX_SPLIT_VALID, &ignored);
    r->images[PX_SPLIT_TEST] = count_images(config, PX_SPLIT_TEST, &ignored);
    r->images[PX_SPLIT_TRAIN] = r->values->size.images;
    if (r->images[PX_SPLIT_TRAIN] == 0) r->images[PX_SPLIT_TRAIN] = count_images(config, PX_SPLIT_TRAIN, &r->no_images);
    PX_TRY(px_run_cost_of(r->model, config, r->images, (int)r->values->ranks, &r->cost));
    PX_TRY(write_bench(ctx, r));
    return r->values->json ? print_json(r) : print_text(r);
}

static px_status info_run(px_context *ctx, int count, char **arguments) {
    info_values w = {0};
    info_report r = {.values = &w};
    px_device *device;
    PX_TRY(px_cli_parse(ctx, &px_command_info, count, arguments, &w, &w.positionals));
    if (w.evaluation_rate > 0 && w.rate == 0)
        return px_fail(ctx, PX_ERR_USAGE, "--evaluation-rate: found no --rate, expected both");
    r.given = w.size;
    PX_TRY(info_read(ctx, &w, &r.info));
    PX_TRY(px_cli_open_device(ctx, &r.info.config, NULL, &device));
    px_status status = px_model_create(device, &r.info.spec, &r.model);
    if (status == PX_OK) status = report(ctx, &r);
    free(r.bench);
    px_model_destroy(r.model);
    px_device_close(device);
    return status;
}

const px_command px_command_info = {
    .name = "info",
    .positionals = "CONFIG|MODEL",
    .summary = "parameters, receptive field, memory; epochs, floating-point operations, disk and hours of the run",
    .details = "The images have the size of data.train, or data.size and data.channels if data.train cannot be opened. "
               "--height, --width and --channels override only their own dimension.",
    .example = "info configs/demo.yaml --rate 1000",
    .options = options,
    .run = info_run,
};
