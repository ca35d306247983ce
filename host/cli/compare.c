/* pixelrnn compare: reads metrics.jsonl of several runs, and prints what differs, and the results; draws the curves of
 * their NLL. */
#include "host/cli/compare.h"
#include "host/logging/plot.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct compare_values {
    bool json;
    const char *out;
    px_arguments positionals;
} compare_values;

static const px_option options[] = {
    {"--json", NULL, PX_OPTION_FLAG, offsetof(compare_values, json), .help = "print one JSON object, with the curves"},
    {"-o", "OUT.png", PX_OPTION_PATH, offsetof(compare_values, out), .otherwise = "no plot",
     .help = "plot the NLL during training against the images seen, and against time"},
    {0},
};

/* The runs, and the keys of their configs. */
typedef struct comparison {
    px_compared_run *runs;
    size_t count;
    bool differs[PX_MAX_KEYS];
} comparison;

/* ---- Reading ---- */

const char *px_compared_text(const px_compared_run *run, const char *name) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(run->history.start, name));
    return text ? text : "-";
}

static int compare_numbers(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static px_status find_rate(px_context *ctx, px_compared_run *run) {
    const px_history *h = &run->history;
    double *rates = malloc((h->count + 1) * sizeof *rates);
    size_t count = 0;
    if (!rates) return px_fail_memory(ctx, run->path, (h->count + 1) * sizeof *rates);
    for (size_t i = 0; i < h->count; i++)
        if (isfinite(h->rows[i].images_per_second)) rates[count++] = h->rows[i].images_per_second;
    qsort(rates, count, sizeof *rates, compare_numbers);
    run->images_per_second = count > 0 ? rates[count / 2] : NAN;
    free(rates);
    return PX_OK;
}

/* Finds the best evaluation and the final test. Without validation images, those of the test choose the best. */
static void find_results(px_compared_run *run) {
    const bool validated = run->config.data.validation[0];
    run->evaluated = validated ? PX_SPLIT_VALID : PX_SPLIT_TEST;
    for (size_t i = 0; i < run->history.count; i++) {
        const px_history_row *row = &run->history.rows[i];
        const double nats = px_compared_nll(run, row).nats_per_image;
        run->step = row->step;
        if (isfinite(nats) && (!run->best || nats < px_compared_nll(run, run->best).nats_per_image)) run->best = row;
        if (validated && isfinite(row->test.nats_per_image)) run->test = row;
    }
}

static px_status read_run(px_context *ctx, const char *path, px_compared_run *run) {
    char where[PX_PATH];
    PX_TRY(px_file_path(ctx, run->path, "%s", path));
    for (size_t end = strlen(path); end > 1 && run->path[end - 1] == '/'; end--) run->path[end - 1] = '\0';
    PX_TRY(px_file_path(ctx, where, "%s/metrics.jsonl: config", run->path));
    PX_TRY(px_history_read(ctx, run->path, &run->history));
    const cJSON *parameters = cJSON_GetObjectItemCaseSensitive(run->history.start, "parameters");
    run->parameters = cJSON_IsNumber(parameters) ? parameters->valuedouble : NAN;
    px_config_default(&run->config);
    PX_TRY(px_config_parse(ctx, where, px_compared_text(run, "config"), &run->config));
    find_results(run);
    return find_rate(ctx, run);
}

/* Sets the labels: the paths without the folders that all of them have in common. */
static void set_labels(comparison *c) {
    const char *first = c->runs[0].path, *slash = strrchr(first, '/');
    size_t common = slash ? (size_t)(slash + 1 - first) : 0;
    for (size_t i = 1; i < c->count; i++)
        while (common > 0 && strncmp(c->runs[i].path, first, common) != 0) do
                common--;
            while (common > 0 && first[common - 1] != '/');
    for (size_t i = 0; i < c->count; i++) c->runs[i].label = c->runs[i].path + common;
}

static void find_differences(comparison *c) {
    char first[PX_CONFIG_STRING], other[PX_CONFIG_STRING];
    for (const px_key *key = px_keys; key->name; key++) {
        px_key_write(key, &c->runs[0].config, first);
        for (size_t i = 1; i < c->count; i++) {
            px_key_write(key, &c->runs[i].config, other);
            c->differs[key - px_keys] |= strcmp(first, other) != 0;
        }
    }
}

/* ---- JSON ---- */

/* Adds a number, or null if it is not known. */
static void add_number(cJSON *json, const char *name, double value) {
    cJSON_AddItemToObject(json, name, isfinite(value) ? cJSON_CreateNumber(value) : cJSON_CreateNull());
}

/* An evaluation as an object, or null. */
static cJSON *nll_json(const px_compared_run *run, const px_history_row *row, px_split split) {
    if (!row) return cJSON_CreateNull();
    cJSON *json = cJSON_CreateObject();
    const px_history_nll nll = split == PX_SPLIT_TEST ? row->test : row->validation;
    add_number(json, "step", (double)row->step);
    add_number(json, "images", (double)row->step * (double)run->config.train.batch_size);
    add_number(json, "hours", row->seconds / 3600);
    add_number(json, "nats_per_image", nll.nats_per_image);
    add_number(json, "bits_per_dim", nll.bits_per_dim);
    add_number(json, "standard_error", nll.standard_error);
    return json;
}

/* The values of the keys that differ. */
static cJSON *config_json(const comparison *c, const px_compared_run *run) {
    cJSON *json = cJSON_CreateObject();
    char text[PX_CONFIG_STRING];
    for (const px_key *key = px_keys; key->name; key++) {
        if (!c->differs[key - px_keys]) continue;
        px_key_write(key, &run->config, text);
        const bool quoted = key->type == PX_KEY_STRING || key->type == PX_KEY_WORD;
        cJSON_AddItemToObject(json, key->name, quoted ? cJSON_CreateString(text) : cJSON_CreateRaw(text));
    }
    return json;
}

static cJSON *run_json(const comparison *c, const px_compared_run *run) {
    cJSON *json = cJSON_CreateObject();
    const px_history *h = &run->history;
    cJSON_AddStringToObject(json, "run", run->path);
    cJSON_AddItemToObject(json, "config", config_json(c, run));
    add_number(json, "parameters", run->parameters);
    add_number(json, "step", (double)run->step);
    add_number(json, "steps", (double)run->config.train.steps);
    add_number(json, "images", (double)run->step * (double)run->config.train.batch_size);
    cJSON_AddStringToObject(json, "evaluated", px_split_name(run->evaluated));
    cJSON_AddItemToObject(json, "best", nll_json(run, run->best, run->evaluated));
    cJSON_AddItemToObject(json, "test", nll_json(run, run->test, PX_SPLIT_TEST));
    add_number(json, "images_per_second", run->images_per_second);
    add_number(json, "hours", h->count > 0 ? h->rows[h->count - 1].seconds / 3600 : 0);
    add_number(json, "starts", h->starts);
    cJSON_AddStringToObject(json, "device", px_compared_text(run, "device"));
    cJSON_AddStringToObject(json, "description", px_compared_text(run, "description"));
    cJSON_AddStringToObject(json, "version", px_compared_text(run, "version"));
    cJSON *curve = cJSON_AddArrayToObject(json, "curve");
    for (size_t i = 0; i < h->count; i++)
        if (isfinite(px_compared_nll(run, &h->rows[i]).nats_per_image))
            cJSON_AddItemToArray(curve, nll_json(run, &h->rows[i], run->evaluated));
    return json;
}

static px_status print_json(px_context *ctx, const comparison *c) {
    cJSON *json = cJSON_CreateObject(), *runs = cJSON_AddArrayToObject(json, "runs");
    for (size_t i = 0; i < c->count; i++) cJSON_AddItemToArray(runs, run_json(c, &c->runs[i]));
    char *text = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    if (!text) return px_fail_memory(ctx, "compare", 0);
    puts(text);
    free(text);
    return PX_OK;
}

/* ---- Plot ---- */

/* Units of an axis that suit its largest value: the first one whose `below` is larger. */
typedef struct unit {
    double below, divisor;
    const char *label;
} unit;

static const unit image_units[] = {
    {1e4, 1, "images seen"}, {1e7, 1e3, "images seen (thousands)"}, {INFINITY, 1e6, "images seen (millions)"}};
static const unit time_units[] = {
    {300, 1, "time (seconds)"}, {3 * 3600, 60, "time (minutes)"}, {INFINITY, 3600, "time (hours)"}};

static const unit *unit_of(const unit *units, double largest) {
    while (largest >= units->below) units++;
    return units;
}

/* The images and the seconds of all rows at most, by which the units are chosen. */
static void find_largest(const comparison *c, double *images, double *seconds) {
    for (size_t i = 0; i < c->count; i++) {
        const px_history *h = &c->runs[i].history;
        *images = fmax(*images, (double)c->runs[i].step * (double)c->runs[i].config.train.batch_size);
        if (h->count > 0) *seconds = fmax(*seconds, h->rows[h->count - 1].seconds);
    }
}

/* Whether the plot shows bits/dim: for binary images, published results are in nats/image, for others in bits/dim. */
static bool shows_bits(const comparison *c) {
    for (size_t i = 0; i < c->count; i++)
        if (c->runs[i].config.data.levels > 2) return true;
    return false;
}

/* Writes the points of a run to x[0], x[1] and y, which have space for all rows. Returns their number. */
static int fill_curve(const px_compared_run *run, const unit *images, const unit *time, bool bits, double *const x[2],
                      double *y) {
    int count = 0;
    for (size_t i = 0; i < run->history.count; i++) {
        const px_history_row *row = &run->history.rows[i];
        const px_history_nll nll = px_compared_nll(run, row);
        if (!isfinite(nll.nats_per_image)) continue;
        x[0][count] = (double)row->step * (double)run->config.train.batch_size / images->divisor;
        x[1][count] = row->seconds / time->divisor;
        y[count++] = bits ? nll.bits_per_dim : nll.nats_per_image;
    }
    return count;
}

/* The label of the NLL, which names the images if they are the same split in all runs. */
enum { NLL_LABEL = 32 };
static const char *nll_label(const comparison *c, bool bits, char label[NLL_LABEL]) {
    const char *split = c->runs[0].evaluated == PX_SPLIT_TEST ? "test " : "validation ";
    for (size_t i = 1; i < c->count; i++)
        if (c->runs[i].evaluated != c->runs[0].evaluated) split = "";
    snprintf(label, NLL_LABEL, "%sNLL (%s)", split, bits ? "bits/dim" : "nats/image");
    return label;
}

static px_status draw(px_context *ctx, const comparison *c, const char *out, px_plot_curve *curves, double *values) {
    double most_images = 0, most_seconds = 0;
    char label[NLL_LABEL];
    const bool bits = shows_bits(c);
    find_largest(c, &most_images, &most_seconds);
    const unit *images = unit_of(image_units, most_images), *time = unit_of(time_units, most_seconds);
    int points = 0;
    for (size_t i = 0; i < c->count; i++) {
        const size_t rows = c->runs[i].history.count;
        double *const x[] = {values, values + rows}, *y = values + 2 * rows;
        const int count = fill_curve(&c->runs[i], images, time, bits, x, y);
        curves[i] = (px_plot_curve){.name = c->runs[i].label, .count = count, .x = {x[0], x[1]}, .y = y};
        values += 3 * rows;
        points += count;
    }
    if (points == 0)
        return px_fail(ctx, PX_ERR_FORMAT, "%s: found no evaluation in the runs, expected at least one", out);
    const px_plot plot = {.x_label = {images->label, time->label},
                          .y_label = nll_label(c, bits, label),
                          .curves = curves,
                          .count = (int)c->count};
    return px_plot_write(ctx, out, &plot);
}

static px_status write_plot(px_context *ctx, const comparison *c, const char *out) {
    size_t rows = 0;
    for (size_t i = 0; i < c->count; i++) rows += c->runs[i].history.count;
    const size_t bytes = c->count * sizeof(px_plot_curve) + (3 * rows + 1) * sizeof(double);
    px_plot_curve *curves = calloc(c->count, sizeof *curves);
    double *values = calloc(3 * rows + 1, sizeof *values);
    const px_status status = curves && values ? draw(ctx, c, out, curves, values) : px_fail_memory(ctx, out, bytes);
    free(values);
    free(curves);
    return status;
}

/* ---- The command ---- */

static px_status check_output(px_context *ctx, const char *out) {
    if (!out) return PX_OK;
    if (!px_cli_ends_with(out, ".png")) return px_fail(ctx, PX_ERR_USAGE, "-o: found %s, expected OUT.png", out);
    PX_TRY(px_file_check_output(ctx, out));
    return px_plot_check(ctx);
}

static px_status compare(px_context *ctx, const compare_values *w, comparison *c) {
    for (size_t i = 0; i < c->count; i++) PX_TRY(read_run(ctx, w->positionals.value[i], &c->runs[i]));
    set_labels(c);
    find_differences(c);
    PX_TRY(w->json ? print_json(ctx, c) : px_compare_print_table(ctx, c->runs, (int)c->count, c->differs));
    return w->out ? write_plot(ctx, c, w->out) : PX_OK;
}

static px_status compare_run(px_context *ctx, int count, char **arguments) {
    compare_values w = {0};
    PX_TRY(px_cli_parse(ctx, &px_command_compare, count, arguments, &w, &w.positionals));
    PX_TRY(check_output(ctx, w.out));
    comparison c = {.count = (size_t)w.positionals.count};
    c.runs = calloc(c.count, sizeof *c.runs);
    if (!c.runs) return px_fail_memory(ctx, "compare", c.count * sizeof *c.runs);
    const px_status status = compare(ctx, &w, &c);
    for (size_t i = 0; i < c.count; i++) px_history_free(&c.runs[i].history);
    free(c.runs);
    return status;
}

const px_command px_command_compare = {
    .name = "compare",
    .positionals = "RUN...",
    .summary = "compares runs: config keys that differ, size, steps, best and final NLL, speed, time; -o plots the NLL",
    .details =
        "RUN is a run folder, of a run that is complete or under way. The best NLL is that of data.validation, or "
        "of data.test in a run without it; images/s is the median of the lines of metrics.jsonl, hours the time "
        "between a start and its last line. -o needs PLplot with its cairo driver.",
    .example = "compare runs/demo runs/wide",
    .options = options,
    .run = compare_run,
};
