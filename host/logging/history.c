/* The history of a run: the rows of metrics.jsonl, joined over its starts. */
#include "host/logging/history.h"
#include "host/io/file.h"
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct reader {
    px_context *ctx;
    const char *path;
    px_history *history;
    size_t capacity;    /* of the rows */
    time_t began;       /* the time of the last start */
    double seconds;     /* of the run before the last start */
    size_t line_number; /* of the current line, from 1 */
} reader;

static const cJSON *field(const cJSON *object, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static double number_of(const cJSON *object, const char *name) {
    const cJSON *number = field(object, name);
    return cJSON_IsNumber(number) ? number->valuedouble : NAN;
}

/* Reads the field "time", such as "2026-11-27T02:14:03Z". Returns false if there is none. */
static bool time_of(const cJSON *object, time_t *seconds) {
    const char *text = cJSON_GetStringValue(field(object, "time"));
    struct tm parts = {0};
    const char *end = text ? strptime(text, "%Y-%m-%dT%H:%M:%SZ", &parts) : NULL;
    *seconds = end && !*end ? timegm(&parts) : 0;
    return end && !*end;
}

static px_history_nll nll_of(const cJSON *object, const char *split) {
    static const char *const names[] = {"nats_per_image", "bits_per_dim", "standard_error"};
    double values[3];
    char name[64];
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%s/%s", split, names[i]);
        values[i] = number_of(object, name);
    }
    return (px_history_nll){values[0], values[1], values[2]};
}

/* Keeps this record and the rows up to its step. The time of the run goes on after them. */
static px_status add_start(reader *r, cJSON *object, double step) {
    px_history *h = r->history;
    while (h->count > 0 && (double)h->rows[h->count - 1].step > step) h->count--;
    r->seconds = h->count > 0 ? h->rows[h->count - 1].seconds : 0;
    time_of(object, &r->began);
    cJSON_Delete(h->start);
    h->start = object;
    h->starts++;
    return PX_OK;
}

static px_status add_row(reader *r, cJSON *object, double step) {
    px_history *h = r->history;
    time_t now;
    const bool timed = time_of(object, &now);
    if (h->count == r->capacity) {
        r->capacity = 2 * r->capacity + 64;
        px_history_row *rows = realloc(h->rows, r->capacity * sizeof *rows);
        if (!rows) {
            cJSON_Delete(object);
            return px_fail_memory(r->ctx, r->path, r->capacity * sizeof *rows);
        }
        h->rows = rows;
    }
    const double last = h->count > 0 ? h->rows[h->count - 1].seconds : 0;
    h->rows[h->count++] = (px_history_row){.step = (int64_t)step,
                                           .seconds = timed ? r->seconds + difftime(now, r->began) : last,
                                           .images_per_second = number_of(object, "images_per_second"),
                                           .validation = nll_of(object, "validation"),
                                           .test = nll_of(object, "test")};
    cJSON_Delete(object);
    return PX_OK;
}

/* Adds a complete line. */
static px_status add_line(reader *r, const char *line, size_t length) {
    cJSON *object = cJSON_ParseWithLength(line, length);
    const double start = number_of(object, "start"), step = number_of(object, "step");
    const char *found = "no JSON object with a start or a step";
    if (start >= 0) return add_start(r, object, start);
    if (step >= 0x1p53)
        found = "a step out of range";
    else if (step >= 0 && r->history->start)
        return add_row(r, object, step);
    else if (step >= 0)
        found = "a step before any start";
    cJSON_Delete(object);
    return px_fail(r->ctx, PX_ERR_FORMAT, "%s:%zu: found %s, expected the metrics of a run", r->path, r->line_number,
                   found);
}

static px_status read_lines(reader *r, FILE *file) {
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    px_status status = PX_OK;
    while (status == PX_OK && (length = getline(&line, &capacity, file)) > 0 && line[length - 1] == '\n') {
        r->line_number++;
        status = add_line(r, line, (size_t)length);
    }
    free(line);
    if (status == PX_OK && ferror(file)) status = px_fail(r->ctx, PX_ERR_FILE, "%s: %s", r->path, strerror(errno));
    if (status == PX_OK && !r->history->start)
        status = px_fail(r->ctx, PX_ERR_FORMAT, "%s: found no record of a start, expected the metrics of a run",
                         r->path);
    return status;
}

px_status px_history_read(px_context *ctx, const char *run, px_history *history) {
    char path[PX_PATH];
    *history = (px_history){0};
    PX_TRY(px_file_path(ctx, path, "%s/metrics.jsonl", run));
    FILE *file = fopen(path, "rb");
    if (!file && (errno == ENOENT || errno == ENOTDIR))
        return px_fail(ctx, PX_ERR_FILE, "%s: found no metrics.jsonl in it, expected a run folder", run);
    if (!file) return px_fail(ctx, PX_ERR_FILE, "%s: %s", path, strerror(errno));
    const px_status status = read_lines(&(reader){.ctx = ctx, .path = path, .history = history}, file);
    fclose(file);
    if (status != PX_OK) px_history_free(history);
    return status;
}

void px_history_free(px_history *history) {
    cJSON_Delete(history->start);
    free(history->rows);
    *history = (px_history){0};
}
