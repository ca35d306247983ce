/* pixelrnn bench: throughput and memory of configs, side by side.
 *
 * A child process measures each config, so that its peak memory is not that of another config. The parent opens no
 * device, because neither OpenMP threads nor CUDA survive a fork. */
#include "host/cli/bench.h"
#include "host/cli/cli.h"
#include "host/io/child.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct bench_values {
    px_arguments settings, configs;
    const char *json, *phases;
    bool phase[PX_BENCH_PHASES];
    double seconds;
    px_image_size size; /* --size is height and width */
    bool breakdown, markdown;
} bench_values;

static const px_option options[] = {
    {"--seconds", "S", PX_OPTION_NUMBER, offsetof(bench_values, seconds), .initial = "3",
     .help = "time for each phase"},
    {"--size", "PIXELS", PX_OPTION_INTEGER, offsetof(bench_values, size.height), .min = 1, .otherwise = "of data.train",
     .help = "height and width of the images"},
    {"--channels", "C", PX_OPTION_INTEGER, offsetof(bench_values, size.channels), .min = 1,
     .otherwise = "of data.train", .help = "channels of the images, 1 or 3"},
    {"--phases", "train,evaluate,sample,sample_plain", PX_OPTION_TEXT, offsetof(bench_values, phases),
     .otherwise = "all", .help = "the phases to measure"},
    {"--breakdown", NULL, PX_OPTION_FLAG, offsetof(bench_values, breakdown),
     .help = "also print the time of a training step by operation"},
    {"--markdown", NULL, PX_OPTION_FLAG, offsetof(bench_values, markdown),
     .help = "print only the table of all configs side by side, in Markdown"},
    {"--json", "OUT", PX_OPTION_PATH, offsetof(bench_values, json), .otherwise = "none",
     .help = "write the results as JSON"},
    PX_OPTION_SET(bench_values, settings),
    {0},
};

enum { MIB = 1 << 20 };

/* ---- Measurement, in a child process ---- */

static px_status measure_config(px_context *ctx, const bench_values *w, const char *path, px_bench_report *report) {
    px_config *c = &report->config;
    px_device *device;
    px_config_default(c);
    PX_TRY(px_config_load(ctx, path, c));
    PX_TRY(px_cli_override(ctx, path, &w->settings, c));
    report->size = w->size;
    PX_TRY(px_cli_image_size(ctx, path, c, "--size and --channels", &report->size));
    PX_TRY(px_cli_open_device(ctx, c, NULL, &device));
    snprintf(report->kind, sizeof report->kind, "%s", device->kind);
    snprintf(report->description, sizeof report->description, "%s", device->description);
    const px_image_size *s = &report->size;
    px_bench_spec spec = {.model = px_model_spec_from(c, (int)s->height, (int)s->width, (int)s->channels),
                          .optimizer = px_optimizer_spec_from(c),
                          .images = (int)c->train.batch_size,
                          .seconds = w->seconds,
                          .seed = (uint64_t)c->seed};
    memcpy(spec.phase, w->phase, sizeof spec.phase);
    const px_status status = px_bench_run(device, &spec, &report->result);
    px_cli_print_warning(NULL, device);
    px_device_close(device);
    return status;
}

typedef struct measurement {
    const bench_values *values;
    const char *path;
    px_bench_report *report;
} measurement;

static void measure(void *argument) {
    const measurement *m = argument;
    m->report->status = measure_config(&m->report->ctx, m->values, m->path, m->report);
}

static px_status measure_in_child(px_context *ctx, const bench_values *w, const char *path, px_bench_report *report) {
    measurement m = {w, path, report};
    PX_TRY(px_child_run(ctx, path, measure, &m, 0));
    *ctx = report->ctx;
    return report->status;
}

/* ---- The results of a config ---- */

static void print_heading(const px_bench_report *report) {
    printf("%s: %s\n", report->kind, report->description);
    printf(
        "Times are those of one pass over a batch. A pass of sample_plain, the naive sampler, samples one pixel of "
        "each\n"
        "image. FLOPs are useful FLOPs: each image is counted once. Shares are of the rates of a large matrix product\n"
        "(2048 x 2048 x 2048) and a large copy, the fastest of those between the phases.\n\n");
    printf("%-24s %-12s %9s %9s %9s %10s %9s %7s\n", "config", "phase", "p10 ms", "median", "p90", "images/s",
           "GFLOP/s", "share");
}

static void print_memory(const px_bench_result *r) {
    const double planned = (double)px_bench_planned(r) / MIB, peak = (double)r->peak / MIB;
    printf("  memory of training: planned %.1f MiB", planned);
    if (r->peak)
        printf(" (the program %.1f MiB), peak %.1f MiB, %+.1f %%", (double)r->program / MIB, peak,
               100 * (peak - planned) / planned);
    printf("\n");
}

/* Prints a rate, and its share of the fastest rate of the device; blanks if nothing was counted. */
static void print_rate(double amount, double seconds, double fastest) {
    if (amount > 0)
        printf(" %9.4g %6.1f %%", 1e-9 * amount / seconds, 100 * amount / seconds / fastest);
    else
        printf(" %18s", "");
}

static void print_breakdown(const px_bench_result *r, px_profile_kind kind, const char *heading) {
    const px_profile *profile = &r->profile[kind];
    const px_bench_rates fastest = px_bench_fastest(r);
    double all = 0;
    for (int op = 0; op < PX_OPS; op++) all += profile->seconds[op];
    printf("  %-26s %12s %10s %8s %9s %8s %9s %8s\n", heading, "calls a step", "ms a step", "share", "GFLOP/s", "share",
           "GB/s", "share");
    for (int op = 0; op < PX_OPS; op++) {
        if (!profile->calls[op]) continue;
        printf("  %-26s %12ld %10.2f %6.1f %%", px_op_names[op], profile->calls[op] / r->profiled,
               1e3 * profile->seconds[op] / r->profiled, 100 * profile->seconds[op] / all);
        print_rate(profile->work[op].flops, profile->seconds[op], fastest.flops);
        print_rate(profile->work[op].bytes, profile->seconds[op], fastest.bytes);
        printf("\n");
    }
}

static void print_report(const px_bench_report *report, bool breakdown) {
    const px_image_size *size = &report->size;
    const px_bench_result *r = &report->result;
    const char *name = report->config.name; /* on its first line */
    for (int phase = 0; phase < PX_BENCH_PHASES; phase++) {
        const px_bench_passes *p = &r->phase[phase];
        if (!p->count) continue;
        printf("%-24s %-12s %9.2f %9.2f %9.2f %10.4g %9.4g %6.2f %%\n", name, px_bench_phase_names[phase],
               1e3 * p->seconds.p10, 1e3 * p->seconds.median, 1e3 * p->seconds.p90,
               px_bench_images_per_second(r, (px_bench_phase)phase), 1e-9 * p->flops / p->seconds.median,
               100 * px_bench_share(r, (px_bench_phase)phase));
        name = "";
    }
    printf("  images of %lld x %lld x %lld, %lld levels, %lld a batch, %s\n", (long long)size->height,
           (long long)size->width, (long long)size->channels, (long long)report->config.data.levels,
           (long long)report->config.train.batch_size, px_bench_precision(&report->config));
    printf("  between phases: large product");
    for (int i = 0; i < r->rate_count; i++) printf(" %.4g", 1e-9 * r->rates[i].flops);
    printf(" GFLOP/s, large copy");
    for (int i = 0; i < r->rate_count; i++) printf(" %.3g", 1e-9 * r->rates[i].bytes);
    printf(" GB/s\n");
    if (r->profiled) {
        const double bytes = px_bench_bytes(r), rate = bytes / r->phase[PX_BENCH_TRAIN].seconds.median;
        printf("  tensors of a training step, each read or written once an operation: %.1f MiB, %.3g GB/s, %.1f %% of "
               "the copy's\n",
               bytes / MIB, 1e-9 * rate, 100 * rate / px_bench_fastest(r).bytes);
    }
    print_memory(r);
    if (!breakdown || !r->profiled) return;
    print_breakdown(r, PX_PROFILE_OWN, "training by operation");
    print_breakdown(r, PX_PROFILE_WHOLE, "training by call of the model");
}

/* ---- Warnings ---- */

#define MAX_SPREAD 0.1 /* of times between p10 and p90, relative to their median */
#define MAX_LOAD   1.1 /* load average for each processor; a bench that has just ended causes 1 */

/* Prints a line if other processes use the machine. Returns the load average, or a negative number if the system has
 * none. */
static double warn_of_load(void) {
    double load = -1;
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    if (getloadavg(&load, 1) == 1 && load > MAX_LOAD * (double)processors)
        fprintf(stderr, "warning: load average %.1f on %ld processor%s: other processes slow the measurement\n", load,
                processors, px_plural(processors));
    return load;
}

/* Prints a line if the passes of a phase took very different times. */
static void warn_of_spread(const px_bench_report *report) {
    char phases[256] = "";
    for (int phase = 0; phase < PX_BENCH_PHASES; phase++) {
        const px_bench_passes *p = &report->result.phase[phase];
        const double spread = p->count ? (p->seconds.p90 - p->seconds.p10) / p->seconds.median : 0;
        const size_t used = strlen(phases);
        if (spread > MAX_SPREAD)
            snprintf(phases + used, sizeof phases - used, "%s%s %.0f %%", used ? ", " : "", px_bench_phase_names[phase],
                     100 * spread);
    }
    if (phases[0])
        fprintf(stderr,
                "warning: %s: from p10 to p90, times differ by more than %.0f %% of the median: %s; measure longer "
                "(--seconds), or stop other processes\n",
                report->config.name, 100 * MAX_SPREAD, phases);
}

/* ---- JSON ---- */

static cJSON *phase_json(const px_bench_result *r, int phase) {
    const px_bench_passes *p = &r->phase[phase];
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "phase", px_bench_phase_names[phase]);
    cJSON_AddNumberToObject(json, "passes", p->count);
    cJSON_AddNumberToObject(json, "images_per_pass", p->images);
    cJSON_AddNumberToObject(json, "pass_ms_p10", 1e3 * p->seconds.p10);
    cJSON_AddNumberToObject(json, "pass_ms_median", 1e3 * p->seconds.median);
    cJSON_AddNumberToObject(json, "pass_ms_p90", 1e3 * p->seconds.p90);
    cJSON_AddNumberToObject(json, "images_per_second", px_bench_images_per_second(r, (px_bench_phase)phase));
    cJSON_AddNumberToObject(json, "useful_flops_per_pass", p->flops);
    cJSON_AddNumberToObject(json, "useful_flops_per_second", p->flops / p->seconds.median);
    cJSON_AddNumberToObject(json, "share_of_product", px_bench_share(r, (px_bench_phase)phase));
    return json;
}

static cJSON *breakdown_json(const px_profile *profile, int steps) {
    cJSON *list = cJSON_CreateArray();
    for (int op = 0; op < PX_OPS; op++) {
        if (!profile->calls[op]) continue;
        cJSON *json = cJSON_CreateObject();
        cJSON_AddStringToObject(json, "operation", px_op_names[op]);
        cJSON_AddNumberToObject(json, "calls_per_step", (double)profile->calls[op] / steps);
        cJSON_AddNumberToObject(json, "step_ms", 1e3 * profile->seconds[op] / steps);
        cJSON_AddNumberToObject(json, "flops_per_step", profile->work[op].flops / steps);
        cJSON_AddNumberToObject(json, "bytes_per_step", profile->work[op].bytes / steps);
        cJSON_AddItemToArray(list, json);
    }
    return list;
}

static cJSON *report_json(const px_bench_report *report) {
    const px_bench_result *r = &report->result;
    const px_config *c = &report->config;
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "config", c->name);
    cJSON_AddStringToObject(json, "kind", px_config_word("model.kind", c->model.kind));
    cJSON_AddNumberToObject(json, "height", (double)report->size.height);
    cJSON_AddNumberToObject(json, "width", (double)report->size.width);
    cJSON_AddNumberToObject(json, "channels", (double)report->size.channels);
    cJSON_AddNumberToObject(json, "layers", (double)c->model.layers);
    cJSON_AddNumberToObject(json, "hidden", (double)c->model.hidden);
    cJSON_AddNumberToObject(json, "head", (double)c->model.head);
    cJSON_AddNumberToObject(json, "levels", (double)c->data.levels);
    cJSON_AddNumberToObject(json, "batch_size", (double)c->train.batch_size);
    cJSON_AddStringToObject(json, "precision", px_bench_precision(c));
    cJSON *phases = cJSON_AddArrayToObject(json, "phases"), *rates = cJSON_AddArrayToObject(json, "rates");
    for (int i = 0; i < PX_BENCH_PHASES; i++)
        if (r->phase[i].count) cJSON_AddItemToArray(phases, phase_json(r, i));
    for (int i = 0; i < r->rate_count; i++) {
        cJSON *rate = cJSON_CreateObject();
        cJSON_AddNumberToObject(rate, "product_flops_per_second", r->rates[i].flops);
        cJSON_AddNumberToObject(rate, "copy_bytes_per_second", r->rates[i].bytes);
        cJSON_AddItemToArray(rates, rate);
    }
    cJSON_AddNumberToObject(json, "moved_bytes_per_training_step", px_bench_bytes(r));
    cJSON_AddNumberToObject(json, "planned_bytes", (double)px_bench_planned(r));
    cJSON_AddNumberToObject(json, "program_bytes", (double)r->program);
    cJSON_AddItemToObject(json, "peak_bytes", r->peak ? cJSON_CreateNumber((double)r->peak) : cJSON_CreateNull());
    cJSON_AddItemToObject(json, "training_by_operation", breakdown_json(&r->profile[PX_PROFILE_OWN], r->profiled));
    cJSON_AddItemToObject(json, "training_by_call", breakdown_json(&r->profile[PX_PROFILE_WHOLE], r->profiled));
    return json;
}

/* The fields before the results: command line, date, compiler. */
static cJSON *header_json(int count, char **arguments) {
    const time_t now = time(NULL);
    char date[32];
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
    cJSON *json = cJSON_CreateObject(), *command = cJSON_AddArrayToObject(json, "command");
    cJSON_AddItemToArray(command, cJSON_CreateString("pixelrnn"));
    for (int i = 0; i < count; i++) cJSON_AddItemToArray(command, cJSON_CreateString(arguments[i]));
    cJSON_AddStringToObject(json, "date", date);
    cJSON_AddStringToObject(json, "compiler", __VERSION__);
    return json;
}

static px_status write_json(px_context *ctx, const char *path, const cJSON *json) {
    char *text = cJSON_Print(json), *line = NULL;
    if (!text || asprintf(&line, "%s\n", text) < 0) line = NULL;
    const px_status status = line ? px_file_write_text(ctx, path, line) : px_fail_memory(ctx, path, 0);
    free(text);
    free(line);
    return status;
}

/* ---- The command ---- */

/* Parses the comma-separated names of --phases; without the option, all phases are measured. */
static px_status parse_phases(px_context *ctx, bench_values *w) {
    for (int phase = 0; phase < PX_BENCH_PHASES; phase++) w->phase[phase] = !w->phases;
    for (const char *name = w->phases; name;) {
        const size_t length = strcspn(name, ",");
        int phase = 0;
        while (phase < PX_BENCH_PHASES &&
               (strncmp(px_bench_phase_names[phase], name, length) != 0 || px_bench_phase_names[phase][length]))
            phase++;
        if (phase == PX_BENCH_PHASES)
            return px_fail(
                ctx, PX_ERR_USAGE,
                "--phases: found \"%.*s\", expected some of train, evaluate, sample, sample_plain with commas between",
                (int)length, name);
        w->phase[phase] = true;
        name = name[length] ? name + length + 1 : NULL;
    }
    return PX_OK;
}

/* Measures the configs one after the other, and prints and adds the results. */
static px_status bench_configs(px_context *ctx, const bench_values *w, px_bench_report *reports, cJSON *json) {
    cJSON *results = cJSON_CreateArray();
    px_status status = PX_OK;
    for (int i = 0; i < w->configs.count && status == PX_OK; i++) {
        px_bench_report *report = &reports[i];
        status = measure_in_child(ctx, w, w->configs.value[i], report);
        if (status != PX_OK) break;
        if (i == 0) {
            if (!w->markdown) print_heading(report);
            cJSON *device = cJSON_AddObjectToObject(json, "device");
            cJSON_AddStringToObject(device, "kind", report->kind);
            cJSON_AddStringToObject(device, "description", report->description);
        }
        if (!w->markdown) print_report(report, w->breakdown);
        warn_of_spread(report);
        cJSON_AddItemToArray(results, report_json(report));
    }
    cJSON_AddItemToObject(json, "results", results);
    if (status == PX_OK && (w->configs.count > 1 || w->markdown))
        status = px_bench_print_table(ctx, reports, w->configs.count, w->markdown);
    return status;
}

static px_status bench_run(px_context *ctx, int count, char **arguments) {
    bench_values w = {0};
    PX_TRY(px_cli_parse(ctx, &px_command_bench, count, arguments, &w, &w.configs));
    w.size.width = w.size.height;
    PX_TRY(parse_phases(ctx, &w));
    if (w.breakdown && w.markdown)
        return px_fail(ctx, PX_ERR_USAGE, "bench: found --breakdown and --markdown, expected at most one of them");
    if (w.json) PX_TRY(px_file_check_output(ctx, w.json));
    const size_t bytes = (size_t)w.configs.count * sizeof(px_bench_report);
    px_bench_report *reports = px_child_memory(bytes);
    if (!reports) return px_fail_memory(ctx, "bench", bytes);
    cJSON *json = header_json(count, arguments);
    const double load = warn_of_load();
    cJSON_AddItemToObject(json, "load_average", load < 0 ? cJSON_CreateNull() : cJSON_CreateNumber(load));
    px_status status = bench_configs(ctx, &w, reports, json);
    if (status == PX_OK && w.json) status = write_json(ctx, w.json, json);
    cJSON_Delete(json);
    px_child_memory_free(reports, bytes);
    return status;
}

const px_command px_command_bench = {
    .name = "bench",
    .positionals = "CONFIG...",
    .summary = "throughput of training, evaluation and sampling, and memory, side by side",
    .details = "The images have the size of data.train, or data.size and data.channels if data.train cannot be opened. "
               "--size and --channels override only their own dimensions.",
    .example = "bench configs/bench_row_lstm.yaml configs/bench_pixelcnn.yaml --phases train",
    .options = options,
    .run = bench_run,
};
