/* Event files of TensorBoard: one TFRecord per event (tensorboard.proto). */
#include "host/logging/events.h"
#include "host/config/keys.h"
#include "host/logging/logging.h"
#include "tensorboard.pb-c.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct px_events {
    px_context *ctx;
    FILE *file;
    char path[1024];
};

/* ---- Records ---- */

static px_status fail_events(px_events *events) {
    return px_fail(events->ctx, PX_ERR_FILE, "%s: %s", events->path, strerror(errno));
}

px_status px_events_flush(px_events *events) { return fflush(events->file) == 0 ? PX_OK : fail_events(events); }

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
static px_status write_record(px_events *events, const void *data, size_t bytes) {
    uint64_t length = bytes;
    uint32_t length_crc = masked_crc32c(&length, sizeof length), data_crc = masked_crc32c(data, bytes);
    bool good = fwrite(&length, sizeof length, 1, events->file) == 1 &&
                fwrite(&length_crc, sizeof length_crc, 1, events->file) == 1 &&
                fwrite(data, 1, bytes, events->file) == bytes &&
                fwrite(&data_crc, sizeof data_crc, 1, events->file) == 1;
    return good ? PX_OK : fail_events(events);
}

/* Sets the time of the event and writes it. */
static px_status write_event(px_events *events, Tensorboard__Event *event) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    event->wall_time = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    const size_t bytes = tensorboard__event__get_packed_size(event);
    uint8_t *packed = malloc(bytes);
    if (!packed) return px_fail_memory(events->ctx, events->path, bytes);
    px_status status = write_record(events, packed, tensorboard__event__pack(event, packed));
    free(packed);
    return status;
}

static px_status write_value(px_events *events, int64_t step, Tensorboard__Summary__Value *value) {
    Tensorboard__Summary summary = TENSORBOARD__SUMMARY__INIT;
    summary.n_value = 1;
    summary.value = &value;
    Tensorboard__Event event = TENSORBOARD__EVENT__INIT;
    event.step = step;
    event.what_case = TENSORBOARD__EVENT__WHAT_SUMMARY;
    event.summary = &summary;
    return write_event(events, &event);
}

px_status px_events_scalar(px_events *events, int64_t step, const char *tag, double number) {
    Tensorboard__Summary__Value value = TENSORBOARD__SUMMARY__VALUE__INIT;
    value.tag = (char *)tag;
    value.value_case = TENSORBOARD__SUMMARY__VALUE__VALUE_SIMPLE_VALUE;
    value.simple_value = (float)number;
    return write_value(events, step, &value);
}

px_status px_events_image(px_events *events, int64_t step, const char *tag, const void *png, size_t bytes, int height,
                          int width, int channels) {
    Tensorboard__Summary__Image image = TENSORBOARD__SUMMARY__IMAGE__INIT;
    image.height = height;
    image.width = width;
    image.colorspace = channels;
    image.encoded_image_string = (ProtobufCBinaryData){bytes, (uint8_t *)png};
    Tensorboard__Summary__Value value = TENSORBOARD__SUMMARY__VALUE__INIT;
    value.tag = (char *)tag;
    value.value_case = TENSORBOARD__SUMMARY__VALUE__VALUE_IMAGE;
    value.image = &image;
    return write_value(events, step, &value);
}

/* ---- Config ---- */

/* Writes a value of a plugin of TensorBoard. data: of the plugin, or NULL. */
static px_status write_plugin(px_events *events, int64_t step, const char *tag, const char *plugin,
                              const ProtobufCMessage *data, Tensorboard__Tensor *tensor) {
    const size_t bytes = data ? protobuf_c_message_get_packed_size(data) : 0;
    uint8_t *packed = malloc(bytes + 1);
    if (!packed) return px_fail_memory(events->ctx, events->path, bytes);
    if (data) protobuf_c_message_pack(data, packed);
    Tensorboard__SummaryMetadata__PluginData plugin_data = TENSORBOARD__SUMMARY_METADATA__PLUGIN_DATA__INIT;
    plugin_data.plugin_name = (char *)plugin;
    plugin_data.content = (ProtobufCBinaryData){bytes, packed};
    Tensorboard__SummaryMetadata metadata = TENSORBOARD__SUMMARY_METADATA__INIT;
    metadata.plugin_data = &plugin_data;
    metadata.data_class = TENSORBOARD__SUMMARY_METADATA__DATA_CLASS__TENSOR;
    Tensorboard__Summary__Value value = TENSORBOARD__SUMMARY__VALUE__INIT;
    value.tag = (char *)tag;
    value.metadata = &metadata;
    value.value_case = TENSORBOARD__SUMMARY__VALUE__VALUE_TENSOR;
    value.tensor = tensor;
    const px_status status = write_value(events, step, &value);
    free(packed);
    return status;
}

/* Writes the YAML as a block of code in Markdown, as which TensorBoard shows texts. */
static px_status write_text(px_events *events, int64_t step, const char *yaml) {
    const size_t bytes = strlen(yaml) + 32;
    char *markdown = malloc(bytes);
    if (!markdown) return px_fail_memory(events->ctx, events->path, bytes);
    const int length = snprintf(markdown, bytes, "```yaml\n%s```\n", yaml);
    ProtobufCBinaryData string = {(size_t)length, (uint8_t *)markdown};
    Tensorboard__TensorShape scalar = TENSORBOARD__TENSOR_SHAPE__INIT;
    Tensorboard__Tensor tensor = TENSORBOARD__TENSOR__INIT;
    tensor.dtype = TENSORBOARD__DATA_TYPE__DT_STRING;
    tensor.tensor_shape = &scalar;
    tensor.n_string_val = 1;
    tensor.string_val = &string;
    const px_status status = write_plugin(events, step, "config", "text", NULL, &tensor);
    free(markdown);
    return status;
}

/* The metrics of the HPARAMS table, of which it shows the last values. */
static const char *const table_metrics[] = {"validation/nats_per_image", "validation/bits_per_dim",
                                            "test/nats_per_image",       "test/bits_per_dim",
                                            "train/nats_per_image",      "images_per_second"};
enum { TABLE_METRICS = sizeof table_metrics / sizeof *table_metrics };

/* The keys of its first columns; the others can be selected. */
static const char *const table_keys[] = {"model.hidden", "model.kind", "model.layers", "train.batch_size",
                                         "train.learning_rate"};
enum { TABLE_KEYS = sizeof table_keys / sizeof *table_keys };

static bool is_first_column(const char *name) {
    for (int i = 0; i < TABLE_KEYS; i++)
        if (strcmp(table_keys[i], name) == 0) return true;
    return false;
}

/* The config for the plugin hparams: a description and a value of each key. Pointers lead into the same struct. */
typedef struct hparams {
    int count;
    Tensorboard__HParamInfo info[PX_MAX_KEYS], *infos[PX_MAX_KEYS];
    Tensorboard__Value value[PX_MAX_KEYS];
    Tensorboard__SessionStartInfo__HParamsEntry entry[PX_MAX_KEYS], *entries[PX_MAX_KEYS];
    Tensorboard__MetricName metric_name[TABLE_METRICS];
    Tensorboard__MetricInfo metric[TABLE_METRICS], *metrics[TABLE_METRICS];
    char text[PX_MAX_KEYS][PX_CONFIG_STRING];
} hparams;

static void set_value(const px_key *key, char *text, Tensorboard__HParamInfo *info, Tensorboard__Value *value) {
    tensorboard__value__init(value);
    if (key->type == PX_KEY_STRING || key->type == PX_KEY_WORD) {
        info->type = TENSORBOARD__HPARAM_TYPE__DATA_TYPE_STRING;
        value->kind_case = TENSORBOARD__VALUE__KIND_STRING_VALUE;
        value->string_value = text;
    } else if (key->type == PX_KEY_BOOLEAN) {
        info->type = TENSORBOARD__HPARAM_TYPE__DATA_TYPE_BOOL;
        value->kind_case = TENSORBOARD__VALUE__KIND_BOOL_VALUE;
        value->bool_value = strcmp(text, "true") == 0;
    } else {
        info->type = TENSORBOARD__HPARAM_TYPE__DATA_TYPE_FLOAT64;
        value->kind_case = TENSORBOARD__VALUE__KIND_NUMBER_VALUE;
        value->number_value = strtod(text, NULL);
    }
}

static void fill_hparams(const px_config *config, hparams *h) {
    for (const px_key *key = px_keys; key->name; key++) {
        const int i = h->count++;
        tensorboard__hparam_info__init(&h->info[i]);
        tensorboard__session_start_info__hparams_entry__init(&h->entry[i]);
        px_key_write(key, config, h->text[i]);
        set_value(key, h->text[i], &h->info[i], &h->value[i]);
        h->info[i].name = h->entry[i].key = (char *)key->name;
        h->info[i].description = (char *)key->help;
        h->info[i].differs = is_first_column(key->name); /* by which TensorBoard sorts the columns */
        h->entry[i].value = &h->value[i];
        h->infos[i] = &h->info[i];
        h->entries[i] = &h->entry[i];
    }
    for (int i = 0; i < TABLE_METRICS; i++) {
        tensorboard__metric_name__init(&h->metric_name[i]);
        tensorboard__metric_info__init(&h->metric[i]);
        h->metric_name[i].tag = (char *)table_metrics[i];
        h->metric[i].name = &h->metric_name[i];
        h->metrics[i] = &h->metric[i];
    }
}

/* The plugin needs a tensor, too, which is empty. */
static px_status write_hparams(px_events *events, int64_t step, const char *tag, const Tensorboard__HParamsData *data) {
    Tensorboard__TensorShape__Dim dimension = TENSORBOARD__TENSOR_SHAPE__DIM__INIT, *dimensions = &dimension;
    Tensorboard__TensorShape empty = TENSORBOARD__TENSOR_SHAPE__INIT;
    empty.n_dim = 1;
    empty.dim = &dimensions;
    Tensorboard__Tensor tensor = TENSORBOARD__TENSOR__INIT;
    tensor.dtype = TENSORBOARD__DATA_TYPE__DT_FLOAT;
    tensor.tensor_shape = &empty;
    return write_plugin(events, step, tag, "hparams", &data->base, &tensor);
}

/* The experiment describes keys and metrics; the session has the values of this run. */
static px_status write_experiment_and_session(px_events *events, int64_t step, hparams *h) {
    const double now = (double)time(NULL);
    Tensorboard__Experiment experiment = TENSORBOARD__EXPERIMENT__INIT;
    experiment.time_created_secs = now;
    experiment.n_hparam_infos = (size_t)h->count;
    experiment.hparam_infos = h->infos;
    experiment.n_metric_infos = TABLE_METRICS;
    experiment.metric_infos = h->metrics;
    Tensorboard__HParamsData data = TENSORBOARD__HPARAMS_DATA__INIT;
    data.data_case = TENSORBOARD__HPARAMS_DATA__DATA_EXPERIMENT;
    data.experiment = &experiment;
    PX_TRY(write_hparams(events, step, "_hparams_/experiment", &data));
    Tensorboard__SessionStartInfo session = TENSORBOARD__SESSION_START_INFO__INIT;
    session.start_time_secs = now;
    session.n_hparams = (size_t)h->count;
    session.hparams = h->entries;
    data.data_case = TENSORBOARD__HPARAMS_DATA__DATA_SESSION_START_INFO;
    data.session_start_info = &session;
    return write_hparams(events, step, "_hparams_/session_start_info", &data);
}

px_status px_events_config(px_events *events, int64_t step, const px_config *config) {
    char *yaml = px_config_text(config);
    hparams *h = calloc(1, sizeof *h);
    px_status status = yaml && h ? PX_OK : px_fail_memory(events->ctx, events->path, sizeof *h);
    if (status == PX_OK) status = write_text(events, step, yaml);
    if (status == PX_OK) fill_hparams(config, h);
    if (status == PX_OK) status = write_experiment_and_session(events, step, h);
    free(h);
    free(yaml);
    return status;
}

/* ---- Opening ---- */

/* Creates folder/events.out.tfevents.SECONDS.HOST. A second start within one second takes the name of the next second.
 */
static px_status create_events(px_events *events, const char *folder) {
    char host[256] = "localhost";
    gethostname(host, sizeof host - 1);
    for (long long seconds = (long long)time(NULL); !events->file; seconds++) {
        int length = snprintf(events->path, sizeof events->path, "%s/events.out.tfevents.%lld.%s", folder, seconds,
                              host);
        if (length >= (int)sizeof events->path)
            return px_fail(events->ctx, PX_ERR_FILE, "%.64s...: %s", folder, strerror(ENAMETOOLONG));
        events->file = fopen(events->path, "wbx");
        if (!events->file && errno != EEXIST) return fail_events(events);
    }
    return PX_OK;
}

/* Writes the first events of a file: its version, and the step from which TensorBoard discards events of older files.
 */
static px_status write_head(px_events *events, int64_t step) {
    Tensorboard__Event version = TENSORBOARD__EVENT__INIT;
    version.what_case = TENSORBOARD__EVENT__WHAT_FILE_VERSION;
    version.file_version = "brain.Event:2";
    PX_TRY(write_event(events, &version));

    Tensorboard__SessionLog log = TENSORBOARD__SESSION_LOG__INIT;
    log.status = TENSORBOARD__SESSION_LOG__SESSION_STATUS__START;
    Tensorboard__Event start = TENSORBOARD__EVENT__INIT;
    start.step = step + 1;
    start.what_case = TENSORBOARD__EVENT__WHAT_SESSION_LOG;
    start.session_log = &log;
    PX_TRY(write_event(events, &start));
    return px_events_flush(events);
}

px_status px_events_open(px_context *ctx, const char *folder, int64_t step, px_events **result) {
    px_events *events = calloc(1, sizeof *events);
    *result = events;
    if (!events) return px_fail_memory(ctx, folder, sizeof *events);
    events->ctx = ctx;
    PX_TRY(create_events(events, folder));
    return write_head(events, step);
}

void px_events_close(px_events *events) {
    if (!events) return;
    if (events->file) fclose(events->file);
    free(events);
}
