/* metrics.jsonl, and the same values for TensorBoard. */
#include "host/logging/logging.h"
#include "host/io/file.h"
#include "host/logging/events.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct px_metrics {
    px_context *ctx;
    FILE *lines;
    px_events *events;
    double epochs; /* in a step */
    char path[1024];
};

/* ---- Resuming ---- */

/* Returns whether a line is kept: it is complete, and the record of a start or of a step up to `step`. A line of `step`
 * that contains `name` (unless NULL) is not kept. */
static bool is_kept(const char *line, size_t length, int64_t step, const char *name) {
    if (length == 0 || line[length - 1] != '\n') return false;
    cJSON *object = cJSON_ParseWithLength(line, length);
    const cJSON *number = cJSON_GetObjectItemCaseSensitive(object, "step");
    const bool start = cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(object, "start"));
    bool good = start || (cJSON_IsNumber(number) && number->valuedouble <= (double)step);
    if (good && !start && name && number->valuedouble == (double)step) good = !cJSON_HasObjectItem(object, name);
    cJSON_Delete(object);
    return good;
}

/* Copies the lines that are kept. *cut: whether a line was not. */
static px_status copy_lines(px_context *ctx, FILE *from, px_file_out *to, int64_t step, const char *name, bool *cut) {
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    px_status status = PX_OK;
    *cut = false;
    while (status == PX_OK && (length = getline(&line, &capacity, from)) > 0) {
        if (is_kept(line, (size_t)length, step, name))
            status = px_file_write(ctx, to, line, (size_t)length);
        else
            *cut = true;
    }
    free(line);
    if (status == PX_OK && ferror(from)) status = px_fail(ctx, PX_ERR_FILE, "%s: %s", to->path, strerror(errno));
    return status;
}

/* Removes the lines that an interrupted run wrote after `step`. The new file replaces the old one when it is complete.
 */
static px_status cut_lines(px_context *ctx, const char *path, int64_t step, const char *name) {
    FILE *from = fopen(path, "rb");
    if (!from) return errno == ENOENT ? PX_OK : px_fail(ctx, PX_ERR_FILE, "%s: %s", path, strerror(errno));
    px_file_out to;
    bool cut = false;
    px_status status = px_file_create(ctx, path, &to);
    if (status == PX_OK) status = copy_lines(ctx, from, &to, step, name, &cut);
    if (status == PX_OK && cut) status = px_file_commit(ctx, &to);
    px_file_abandon(&to);
    fclose(from);
    return status;
}

/* ---- Writing ---- */

/* Writes the shortest decimal that reads back as the same double, or null: JSON has no infinities. */
static void write_number(FILE *out, double value) {
    char text[32] = "null";
    for (int digits = 15; isfinite(value) && digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    fputs(text, out);
}

static px_status flush_lines(px_metrics *metrics) {
    if (fflush(metrics->lines) == 0 && !ferror(metrics->lines)) return PX_OK;
    return px_fail(metrics->ctx, PX_ERR_FILE, "%s: %s", metrics->path, strerror(errno));
}

void px_time_text(char text[PX_TIME_TEXT]) {
    struct tm parts;
    const time_t now = time(NULL);
    text[0] = '\0';
    if (gmtime_r(&now, &parts)) strftime(text, PX_TIME_TEXT, "%Y-%m-%dT%H:%M:%SZ", &parts);
}

px_status px_metrics_record(px_metrics *metrics, const char *json) {
    fprintf(metrics->lines, "%s\n", json);
    return flush_lines(metrics);
}

px_status px_metrics_write(px_metrics *metrics, int64_t step, const px_metric *values, int count) {
    char text[PX_TIME_TEXT];
    fprintf(metrics->lines, "{\"step\": %lld", (long long)step);
    for (int i = 0; i < count; i++) {
        fprintf(metrics->lines, ", \"%s\": ", values[i].name);
        write_number(metrics->lines, values[i].value);
    }
    px_time_text(text);
    fputs(", \"epoch\": ", metrics->lines);
    write_number(metrics->lines, (double)step * metrics->epochs);
    fprintf(metrics->lines, ", \"time\": \"%s\"}\n", text);
    PX_TRY(flush_lines(metrics));
    for (int i = 0; i < count; i++) PX_TRY(px_events_scalar(metrics->events, step, values[i].name, values[i].value));
    return px_events_flush(metrics->events);
}

px_status px_metrics_image(px_metrics *metrics, int64_t step, const char *tag, const void *png, size_t bytes,
                           int height, int width, int channels) {
    PX_TRY(px_events_image(metrics->events, step, tag, png, bytes, height, width, channels));
    return px_events_flush(metrics->events);
}

px_status px_metrics_config(px_metrics *metrics, int64_t step, const px_config *config) {
    PX_TRY(px_events_config(metrics->events, step, config));
    return px_events_flush(metrics->events);
}

/* ---- Opening ---- */

px_status px_metrics_forget(px_context *ctx, const char *folder, int64_t step, const char *name) {
    char path[PX_PATH];
    PX_TRY(px_file_path(ctx, path, "%s/metrics.jsonl", folder));
    return cut_lines(ctx, path, step, name);
}

static px_status open_files(px_metrics *metrics, const char *folder, int64_t step) {
    px_context *ctx = metrics->ctx;
    int length = snprintf(metrics->path, sizeof metrics->path, "%s/metrics.jsonl", folder);
    if (length >= (int)sizeof metrics->path)
        return px_fail(ctx, PX_ERR_FILE, "%.64s...: %s", folder, strerror(ENAMETOOLONG));
    PX_TRY(cut_lines(ctx, metrics->path, step, NULL));
    metrics->lines = fopen(metrics->path, "ab");
    if (!metrics->lines) return px_fail(ctx, PX_ERR_FILE, "%s: %s", metrics->path, strerror(errno));
    return px_events_open(ctx, folder, step, &metrics->events);
}

px_status px_metrics_open(px_context *ctx, const char *folder, int64_t step, double epochs, px_metrics **result) {
    *result = NULL;
    px_metrics *metrics = calloc(1, sizeof *metrics);
    if (!metrics) return px_fail_memory(ctx, folder, sizeof *metrics);
    metrics->ctx = ctx;
    metrics->epochs = epochs;
    px_status status = open_files(metrics, folder, step);
    if (status == PX_OK)
        *result = metrics;
    else
        px_metrics_close(metrics);
    return status;
}

void px_metrics_close(px_metrics *metrics) {
    if (!metrics) return;
    if (metrics->lines) fclose(metrics->lines);
    px_events_close(metrics->events);
    free(metrics);
}
