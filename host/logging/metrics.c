/* metrics.jsonl, and the same values for TensorBoard: event files of one TFRecord per event (tensorboard.proto). */
#include "host/logging/logging.h"
#include "host/io/file.h"
#include "tensorboard.pb-c.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct px_metrics {
    px_context *ctx;
    FILE *lines, *events;
    double epochs; /* in a step */
    char path[1024], events_path[1024];
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

/* ---- TensorBoard ---- */

static px_status fail_events(px_metrics *metrics) {
    return px_fail(metrics->ctx, PX_ERR_FILE, "%s: %s", metrics->events_path, strerror(errno));
}

static px_status flush_events(px_metrics *metrics) {
    return fflush(metrics->events) == 0 ? PX_OK : fail_events(metrics);
}

uint32_t px_crc32c(const void *data, size_t bytes) {
    static const uint32_t nibbles[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    uint32_t crc = 0xffffffff;
    for (const uint8_t *byte = data, *end = byte + bytes; byte < end; byte++) {
        crc ^= *byte;
        crc = crc >> 4 ^ nibbles[crc & 15];
        crc = crc >> 4 ^ nibbles[crc & 15];
    }
    return ~crc;
}

/* The masked checksum of TFRecord, which differs from the CRC so that data may contain records. */
static uint32_t masked_crc32c(const void *data, size_t bytes) {
    uint32_t crc = px_crc32c(data, bytes);
    return (crc >> 15 | crc << 17) + 0xa282ead8;
}

/* Writes a TFRecord: length, checksum of the length, data, checksum of the data; little endian. */
static px_status write_record(px_metrics *metrics, const void *data, size_t bytes) {
    uint64_t length = bytes;
    uint32_t length_crc = masked_crc32c(&length, sizeof length), data_crc = masked_crc32c(data, bytes);
    bool good = fwrite(&length, sizeof length, 1, metrics->events) == 1 &&
                fwrite(&length_crc, sizeof length_crc, 1, metrics->events) == 1 &&
                fwrite(data, 1, bytes, metrics->events) == bytes &&
                fwrite(&data_crc, sizeof data_crc, 1, metrics->events) == 1;
    return good ? PX_OK : fail_events(metrics);
}

/* Sets the time of the event and writes it. */
static px_status write_event(px_metrics *metrics, Tensorboard__Event *event) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    event->wall_time = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    const size_t bytes = tensorboard__event__get_packed_size(event);
    uint8_t *packed = malloc(bytes);
    if (!packed) return px_fail_memory(metrics->ctx, metrics->events_path, bytes);
    px_status status = write_record(metrics, packed, tensorboard__event__pack(event, packed));
    free(packed);
    return status;
}

static px_status write_value(px_metrics *metrics, int64_t step, Tensorboard__Summary__Value *value) {
    Tensorboard__Summary summary = TENSORBOARD__SUMMARY__INIT;
    summary.n_value = 1;
    summary.value = &value;
    Tensorboard__Event event = TENSORBOARD__EVENT__INIT;
    event.step = step;
    event.what_case = TENSORBOARD__EVENT__WHAT_SUMMARY;
    event.summary = &summary;
    return write_event(metrics, &event);
}

static px_status write_scalar(px_metrics *metrics, int64_t step, const px_metric *metric) {
    Tensorboard__Summary__Value value = TENSORBOARD__SUMMARY__VALUE__INIT;
    value.tag = (char *)metric->name;
    value.value_case = TENSORBOARD__SUMMARY__VALUE__VALUE_SIMPLE_VALUE;
    value.simple_value = (float)metric->value;
    return write_value(metrics, step, &value);
}

px_status px_metrics_image(px_metrics *metrics, int64_t step, const char *tag, const void *png, size_t bytes,
                           int height, int width, int channels) {
    Tensorboard__Summary__Image image = TENSORBOARD__SUMMARY__IMAGE__INIT;
    image.height = height;
    image.width = width;
    image.colorspace = channels;
    image.encoded_image_string = (ProtobufCBinaryData){bytes, (uint8_t *)png};
    Tensorboard__Summary__Value value = TENSORBOARD__SUMMARY__VALUE__INIT;
    value.tag = (char *)tag;
    value.value_case = TENSORBOARD__SUMMARY__VALUE__VALUE_IMAGE;
    value.image = &image;
    PX_TRY(write_value(metrics, step, &value));
    return flush_events(metrics);
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
    for (int i = 0; i < count; i++) PX_TRY(write_scalar(metrics, step, &values[i]));
    return flush_events(metrics);
}

/* ---- Opening ---- */

px_status px_metrics_forget(px_context *ctx, const char *folder, int64_t step, const char *name) {
    char path[PX_PATH];
    PX_TRY(px_file_path(ctx, path, "%s/metrics.jsonl", folder));
    return cut_lines(ctx, path, step, name);
}

/* Creates folder/events.out.tfevents.SECONDS.HOST. A second start within one second takes the name of the next second.
 */
static px_status create_events(px_metrics *metrics, const char *folder) {
    char host[256] = "localhost";
    gethostname(host, sizeof host - 1);
    for (long long seconds = (long long)time(NULL); !metrics->events; seconds++) {
        int length = snprintf(metrics->events_path, sizeof metrics->events_path, "%s/events.out.tfevents.%lld.%s",
                              folder, seconds, host);
        if (length >= (int)sizeof metrics->events_path)
            return px_fail(metrics->ctx, PX_ERR_FILE, "%.64s...: %s", folder, strerror(ENAMETOOLONG));
        metrics->events = fopen(metrics->events_path, "wbx");
        if (!metrics->events && errno != EEXIST) return fail_events(metrics);
    }
    return PX_OK;
}

/* Writes the first events of a file: its version, and the step from which TensorBoard discards events of older files.
 */
static px_status write_head(px_metrics *metrics, int64_t step) {
    Tensorboard__Event version = TENSORBOARD__EVENT__INIT;
    version.what_case = TENSORBOARD__EVENT__WHAT_FILE_VERSION;
    version.file_version = "brain.Event:2";
    PX_TRY(write_event(metrics, &version));

    Tensorboard__SessionLog log = TENSORBOARD__SESSION_LOG__INIT;
    log.status = TENSORBOARD__SESSION_LOG__SESSION_STATUS__START;
    Tensorboard__Event start = TENSORBOARD__EVENT__INIT;
    start.step = step + 1;
    start.what_case = TENSORBOARD__EVENT__WHAT_SESSION_LOG;
    start.session_log = &log;
    PX_TRY(write_event(metrics, &start));
    return flush_events(metrics);
}

static px_status open_files(px_metrics *metrics, const char *folder, int64_t step) {
    px_context *ctx = metrics->ctx;
    int length = snprintf(metrics->path, sizeof metrics->path, "%s/metrics.jsonl", folder);
    if (length >= (int)sizeof metrics->path)
        return px_fail(ctx, PX_ERR_FILE, "%.64s...: %s", folder, strerror(ENAMETOOLONG));
    PX_TRY(cut_lines(ctx, metrics->path, step, NULL));
    metrics->lines = fopen(metrics->path, "ab");
    if (!metrics->lines) return px_fail(ctx, PX_ERR_FILE, "%s: %s", metrics->path, strerror(errno));
    PX_TRY(create_events(metrics, folder));
    return write_head(metrics, step);
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
    if (metrics->events) fclose(metrics->events);
    free(metrics);
}
