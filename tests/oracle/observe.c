/* Reads run folders of the program into reports, under the names that oracle_report uses. */
#include "host/data/image.h"
#include "tests/oracle/oracle.h"
#include <cjson/cJSON.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- metrics.jsonl ---- */

static bool number(const cJSON *line, const char *name, double *value) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(line, name);
    if (cJSON_IsNumber(item)) *value = item->valuedouble;
    return cJSON_IsNumber(item);
}

static void observe_line(const cJSON *line, void *context) {
    figures *report = context;
    static const char *const names[] = {"train/nats_per_image",
                                        "train/bits_per_dim",
                                        "learning_rate",
                                        "gradient_norm",
                                        "validation/nats_per_image",
                                        "validation/bits_per_dim",
                                        "validation/standard_error",
                                        "test/nats_per_image",
                                        "test/bits_per_dim",
                                        "test/standard_error"};
    double step = 0, value = 0, rate = 0;
    if (!number(line, "step", &step)) return;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (number(line, names[i], &value)) figures_add(report, value, 0, "metrics %d: %s", (int)step, names[i]);
    if (number(line, "step_ms", &value) && number(line, "images_per_second", &rate))
        figures_add(report, value * rate, 0, "metrics %d: step_ms x images_per_second", (int)step);
}

/* Calls visit for each line of metrics.jsonl. */
static void visit_lines(const char *folder, void (*visit)(const cJSON *line, void *context), void *context) {
    char path[1100];
    snprintf(path, sizeof path, "%s/metrics.jsonl", folder);
    char *text = oracle_read_text(path), *rest = NULL;
    for (char *line = text ? strtok_r(text, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest)) {
        cJSON *json = cJSON_Parse(line);
        visit(json, context);
        cJSON_Delete(json);
    }
    free(text);
}

typedef struct metric {
    const char *name;
    int step;
    double value;
} metric;

static void find_metric(const cJSON *line, void *context) {
    metric *m = context;
    double step = 0, value = 0;
    if (number(line, "step", &step) && (int)step == m->step && number(line, m->name, &value)) m->value = value;
}

double observe_metric(const char *folder, int step, const char *name) {
    metric m = {name, step, NAN};
    visit_lines(folder, find_metric, &m);
    return m.value;
}

/* ---- Checkpoints ---- */

typedef struct checkpoint {
    figures *report;
    const char *file;
    int step;
} checkpoint;

static void observe_tensor(void *context, const char *name, const double *values, size_t count) {
    const checkpoint *c = context;
    for (size_t e = 0; e < count; e++)
        figures_add(c->report, values[e], 0, "checkpoint %d: %s %s[%zu]", c->step, c->file, name, e);
}

static void observe_metadata(void *context, const char *name, const char *text) {
    const checkpoint *c = context;
    char *end;
    const double value = strtod(text, &end);
    if (strcmp(c->file, "model") == 0 && end != text && !*end)
        figures_add(c->report, value, 0, "checkpoint %d: metadata %s", c->step, name);
}

static void observe_checkpoint(const char *folder, const char *name, figures *report) {
    static const char *const files[] = {"model", "optimizer"};
    for (int i = 0; i < 2; i++) {
        checkpoint c = {report, files[i], atoi(name)};
        char path[1400];
        snprintf(path, sizeof path, "%s/checkpoints/%s/%s.safetensors", folder, name, files[i]);
        oracle_read_safetensors(path, observe_tensor, observe_metadata, &c);
    }
}

/* ---- Samples ---- */

/* Images are enlarged to about 64 pixels and lie in a grid with a margin of one pixel (px_grid_layout). */
void observe_image_grid(const oracle_images *shape, int count, int columns, const char *path, int step,
                        figures *report) {
    const int side = shape->height > shape->width ? shape->height : shape->width;
    const int scale = side > 42 ? 1 : (64 + side / 2) / side;
    const int channels = shape->channels;
    uint8_t *pixels;
    int height, width;
    px_context ctx;
    if (columns == 0) columns = (int)fmin(count, ceil(sqrt((double)count * shape->height / shape->width)));
    if (px_image_read(&ctx, path, channels, &pixels, &height, &width) != PX_OK) return;
    for (int n = 0; n < count; n++)
        for (int i = 0; i < shape->height * shape->width * channels; i++) {
            const int row = i / channels / shape->width, column = i / channels % shape->width;
            const int y = n / columns * (shape->height * scale + 1) + 1 + row * scale;
            const int x = n % columns * (shape->width * scale + 1) + 1 + column * scale;
            if (y < height && x < width)
                figures_add(report, pixels[(y * width + x) * channels + i % channels], 0,
                            "samples %d: image %d value %d", step, n, i);
        }
    free(pixels);
}

/* ---- The whole folder ---- */

/* Whether a name consists of digits and this suffix. */
static bool is_step(const char *name, const char *suffix) {
    const size_t digits = strspn(name, "0123456789");
    return digits > 0 && strcmp(name + digits, suffix) == 0;
}

void observe_folder(const px_config *config, const char *folder, figures *report) {
    char path[1100];
    visit_lines(folder, observe_line, report);
    snprintf(path, sizeof path, "%s/checkpoints", folder);
    DIR *list = opendir(path);
    for (const struct dirent *entry; list && (entry = readdir(list));)
        if (is_step(entry->d_name, "")) observe_checkpoint(folder, entry->d_name, report);
    if (list) closedir(list);
    oracle_run run = oracle_run_create(config, NULL); /* provides the size of the images */
    snprintf(path, sizeof path, "%s/samples", folder);
    list = opendir(path);
    for (const struct dirent *entry; list && (entry = readdir(list));) {
        if (!is_step(entry->d_name, ".png")) continue;
        char image[1400];
        snprintf(image, sizeof image, "%s/%s", path, entry->d_name);
        observe_image_grid(&run.train, (int)config->train.samples, 0, image, atoi(entry->d_name), report);
    }
    if (list) closedir(list);
    oracle_run_destroy(&run);
}
