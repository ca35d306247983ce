/* Logging: metrics.jsonl and TensorBoard events. */
#include "tests/support/support.h"
#include "host/io/file.h"
#include "host/logging/logging.h"
#include "tensorboard.pb-c.h"
#include <fcntl.h>
#include <glob.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static px_context ctx;

/* ---- metrics.jsonl ---- */

static const char *metrics_path(void) {
    static char path[128];
    snprintf(path, sizeof path, "%s/metrics.jsonl", px_test_folder);
    return path;
}

static void put_metrics(const char *text) {
    FILE *file = fopen(metrics_path(), "wb");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* Compares the file without the times, whose form is checked. */
static void assert_metrics(const char *want) {
    static const char name[] = ", \"time\": \"";
    char *text;
    assert_int_equal(px_file_read_text(&ctx, metrics_path(), 1 << 20, &text), PX_OK);
    for (char *at; (at = strstr(text, name));) {
        int year, month, day, hour, minute, second, end = 0;
        sscanf(at + sizeof name - 1, "%4d-%2d-%2dT%2d:%2d:%2dZ\"%n", &year, &month, &day, &hour, &minute, &second,
               &end);
        assert_int_equal(end, 21);
        memmove(at, at + sizeof name - 1 + end, strlen(at + sizeof name - 1 + end) + 1);
    }
    assert_string_equal(text, want);
    free(text);
}

static px_metrics *open_metrics(int64_t step) {
    px_metrics *metrics;
    if (px_metrics_open(&ctx, px_test_folder, step, 0.25, &metrics) != PX_OK) fail_msg("%s", ctx.message);
    return metrics;
}

static void metrics_are_lines_of_json(void **state) {
    (void)state;
    px_metrics *metrics = open_metrics(0);
    const px_metric values[] = {{"train/nats_per_image", 79.25}, {"tenth", 0.1}, {"third", 1.0 / 3}, {"inf", INFINITY}};
    assert_int_equal(px_metrics_write(metrics, 12, values, 4), PX_OK);
    assert_int_equal(px_metrics_write(metrics, 13, NULL, 0), PX_OK);
    /* Read while still open: every line is flushed. */
    assert_metrics("{\"step\": 12, \"train/nats_per_image\": 79.25, \"tenth\": 0.1, \"third\": 0.3333333333333333, "
                   "\"inf\": null, \"epoch\": 3}\n{\"step\": 13, \"epoch\": 3.25}\n");
    px_metrics_close(metrics);
    px_metrics_close(NULL);
}

static void metrics_past_the_step_are_cut(void **state) {
    (void)state;
    static const struct {
        const char *before;
        int64_t step;
        const char *after;
    } cases[] = {
        {"{\"step\": 1}\n{\"step\": 2}\n{\"step\": 3}\n", 2, "{\"step\": 1}\n{\"step\": 2}\n"},
        {"{\"step\": 1}\n{\"step\": 2}\n{\"st", 5, "{\"step\": 1}\n{\"step\": 2}\n"},
        {"{\"step\": 1}\n{\"step\": 2}", 5, "{\"step\": 1}\n"}, /* without its newline a line is incomplete */
        {"{\"step\": 1}\n{\"step\": 9}\n{\"st", 5, "{\"step\": 1}\n"},
        {"{\"a\": 1, \"step\": 9}\n{\"step\": 2, \"a\": 1}\n", 5, "{\"step\": 2, \"a\": 1}\n"},
        {"{\"step\": 1}\n", 1, "{\"step\": 1}\n"},
        {"{\"step\": 0}\n{\"step\": 1}\n", 0, "{\"step\": 0}\n"},
        {"", 3, ""},
        /* Complete records of starts are kept, whatever their step. */
        {"{\"start\": 0}\n{\"step\": 1}\n{\"step\": 9}\n{\"start\":9}\n{\"start\": 1", 5,
         "{\"start\": 0}\n{\"step\": 1}\n{\"start\":9}\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_metrics(cases[i].before);
        px_metrics_close(open_metrics(cases[i].step));
        assert_metrics(cases[i].after);
    }
    px_metrics *metrics = open_metrics(7);
    assert_int_equal(px_metrics_record(metrics, "{\"start\":7}"), PX_OK);
    assert_metrics("{\"start\": 0}\n{\"step\": 1}\n{\"start\":9}\n{\"start\":7}\n"); /* read while still open */
    assert_int_equal(px_metrics_write(metrics, 8, NULL, 0), PX_OK);
    px_metrics_close(metrics);
    assert_metrics("{\"start\": 0}\n{\"step\": 1}\n{\"start\":9}\n{\"start\":7}\n{\"step\": 8, \"epoch\": 2}\n");

    assert_int_equal(px_metrics_forget(&ctx, px_test_folder, 8, "a"), PX_OK); /* the record of a start has no step */
    assert_int_equal(px_metrics_write((metrics = open_metrics(8)), 8, &(px_metric){"a", 1}, 1), PX_OK);
    px_metrics_close(metrics);
    assert_int_equal(px_metrics_forget(&ctx, px_test_folder, 8, "a"), PX_OK);
    assert_metrics("{\"start\": 0}\n{\"step\": 1}\n{\"start\":9}\n{\"start\":7}\n{\"step\": 8, \"epoch\": 2}\n");

    char partial[160];
    snprintf(partial, sizeof partial, "%s.partial", metrics_path());
    assert_false(px_file_exists(partial));
}

static void metrics_need_their_folder(void **state) {
    (void)state;
    px_metrics *metrics;
    assert_int_equal(px_metrics_open(&ctx, "/nowhere/run", 0, 1, &metrics), PX_ERR_FILE);
    assert_string_equal(ctx.message, "/nowhere/run/metrics.jsonl: No such file or directory");
    assert_null(metrics);
}

/* ---- TensorBoard ---- */

static void crc32c_of_known_texts(void **state) {
    (void)state;
    uint8_t block[32];
    assert_int_equal(px_crc32c("", 0), 0);
    assert_int_equal(px_crc32c("123456789", 9), 0xe3069283);
    memset(block, 0, sizeof block); /* these two are from RFC 3720, appendix B.4 */
    assert_int_equal(px_crc32c(block, sizeof block), 0x8a9136aa);
    memset(block, 0xff, sizeof block);
    assert_int_equal(px_crc32c(block, sizeof block), 0x62a8ab43);
}

static uint32_t masked(const void *data, size_t bytes) {
    uint32_t crc = px_crc32c(data, bytes);
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8;
}

/* Returns the next event of a file, which the caller frees; NULL at the end of the file. */
static Tensorboard__Event *read_event(FILE *file) {
    uint64_t length;
    uint32_t length_crc, data_crc;
    static uint8_t data[1 << 16];
    if (fread(&length, sizeof length, 1, file) != 1) return NULL;
    assert_int_equal(fread(&length_crc, sizeof length_crc, 1, file), 1);
    assert_int_equal(length_crc, masked(&length, sizeof length));
    assert_true(length <= sizeof data);
    assert_int_equal(fread(data, 1, length, file), length);
    assert_int_equal(fread(&data_crc, sizeof data_crc, 1, file), 1);
    assert_int_equal(data_crc, masked(data, length));
    Tensorboard__Event *event = tensorboard__event__unpack(NULL, length, data);
    assert_non_null(event);
    assert_true(event->wall_time > 1.5e9);
    return event;
}

static void assert_head(FILE *file, int64_t void_from) {
    Tensorboard__Event *event = read_event(file);
    assert_int_equal(event->what_case, TENSORBOARD__EVENT__WHAT_FILE_VERSION);
    assert_string_equal(event->file_version, "brain.Event:2");
    tensorboard__event__free_unpacked(event, NULL);
    event = read_event(file);
    assert_int_equal(event->what_case, TENSORBOARD__EVENT__WHAT_SESSION_LOG);
    assert_int_equal(event->step, void_from);
    assert_int_equal(event->session_log->status, TENSORBOARD__SESSION_LOG__SESSION_STATUS__START);
    tensorboard__event__free_unpacked(event, NULL);
}

static void events_read_back(void **state) {
    (void)state;
    const px_metric values[] = {{"train/nats", 79.5}, {"zero", 0}};
    px_metrics *metrics = open_metrics(0);
    assert_int_equal(px_metrics_write(metrics, 12, values, 2), PX_OK);
    assert_int_equal(px_metrics_image(metrics, 12, "samples", "PNG", 3, 20, 30, 3), PX_OK);
    px_metrics *resumed = open_metrics(7);

    char pattern[128];
    snprintf(pattern, sizeof pattern, "%s/events.out.tfevents.*", px_test_folder);
    glob_t found;
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 2); /* two names, although created within one second */

    FILE *file = fopen(found.gl_pathv[0], "rb");
    assert_head(file, 1);
    for (int i = 0; i < 2; i++) {
        Tensorboard__Event *event = read_event(file);
        assert_int_equal(event->step, 12);
        assert_int_equal(event->summary->n_value, 1);
        assert_string_equal(event->summary->value[0]->tag, values[i].name);
        assert_int_equal(event->summary->value[0]->value_case, TENSORBOARD__SUMMARY__VALUE__VALUE_SIMPLE_VALUE);
        assert_true(event->summary->value[0]->simple_value == (float)values[i].value);
        tensorboard__event__free_unpacked(event, NULL);
    }
    Tensorboard__Event *event = read_event(file);
    const Tensorboard__Summary__Image *image = event->summary->value[0]->image;
    assert_string_equal(event->summary->value[0]->tag, "samples");
    assert_int_equal(image->height, 20);
    assert_int_equal(image->width, 30);
    assert_int_equal(image->colorspace, 3);
    assert_int_equal(image->encoded_image_string.len, 3);
    assert_memory_equal(image->encoded_image_string.data, "PNG", 3);
    tensorboard__event__free_unpacked(event, NULL);
    assert_null(read_event(file));
    fclose(file);

    file = fopen(found.gl_pathv[1], "rb");
    assert_head(file, 8);
    fclose(file);
    globfree(&found);
    px_metrics_close(metrics);
    px_metrics_close(resumed);
}

/* A part of a message in protobuf's wire format. */
typedef struct wire {
    const uint8_t *bytes;
    size_t size;
} wire;

static uint64_t read_varint(wire *message) {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
        assert_true(message->size > 0 && shift < 64);
        const uint8_t byte = *message->bytes++;
        message->size--;
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) return value;
    }
}

/* Returns the index-th field of this number: its bytes, or for a varint {NULL, value}. All fields are read, so that the
 * rest of the message is checked, too. */
static wire field_at(wire message, uint64_t number, int index) {
    wire found = {NULL, 0};
    while (message.size > 0) {
        const uint64_t tag = read_varint(&message);
        wire value = {NULL, 0};
        const size_t fixed = (tag & 7) == 1 ? 8 : (tag & 7) == 5 ? 4 : 0;
        if ((tag & 7) == 0)
            value.size = read_varint(&message);
        else
            value = (wire){message.bytes, fixed};
        if ((tag & 7) == 2) {
            value.size = read_varint(&message);
            value.bytes = message.bytes;
        }
        if (value.bytes) {
            assert_true(value.size <= message.size);
            message.bytes += value.size;
            message.size -= value.size;
        }
        if (tag >> 3 == number && index-- == 0) found = value;
    }
    return found;
}

static wire field(wire message, uint64_t number) { return field_at(message, number, 0); }

static void assert_text(wire found, const char *expected) {
    assert_non_null(found.bytes);
    assert_int_equal(found.size, strlen(expected));
    assert_memory_equal(found.bytes, expected, found.size);
}

/* Returns the data of a plugin in the next event, whose tag and dtype are checked. The event is kept in a buffer. */
static wire read_plugin(FILE *file, const char *tag, const char *plugin, size_t dtype, wire *tensor) {
    static uint8_t data[1 << 16];
    uint32_t crc;
    uint64_t length;
    assert_int_equal(fread(&length, sizeof length, 1, file), 1);
    assert_int_equal(fread(&crc, sizeof crc, 1, file), 1);
    assert_true(length <= sizeof data);
    assert_int_equal(fread(data, 1, length, file), length);
    assert_int_equal(fread(&crc, sizeof crc, 1, file), 1);
    const wire event = {data, length};
    const wire value = field(field(event, 5), 1); /* summary, value */
    assert_int_equal(field(event, 2).size, 7);    /* step */
    assert_text(field(value, 1), tag);
    const wire metadata = field(value, 9), plugin_data = field(metadata, 1);
    assert_int_equal(field(metadata, 4).size, 2); /* the class tensor */
    assert_text(field(plugin_data, 1), plugin);
    *tensor = field(value, 8);
    assert_int_equal(field(*tensor, 1).size, dtype);
    return field(plugin_data, 2);
}

/* Returns the value of a key in the session's map. */
static wire hparam(wire session, const char *key) {
    for (int i = 0;; i++) {
        const wire entry = field_at(session, 1, i), name = field(entry, 1);
        if (!entry.bytes) fail_msg("no key %s", key);
        if (name.size == strlen(key) && memcmp(name.bytes, key, name.size) == 0) return field(entry, 2);
    }
}

/* The numbers of fields are those of TensorBoard's summary.proto, tensor.proto, api.proto and plugin_data.proto. */
static void the_config_is_a_text_and_hyperparameters(void **state) {
    (void)state;
    char pattern[128], text[1 << 13];
    double rate;
    glob_t found;
    wire tensor;
    px_config config;
    px_config_default(&config);
    config.train.learning_rate = 0.125;
    px_metrics *metrics = open_metrics(7);
    assert_int_equal(px_metrics_config(metrics, 7, &config), PX_OK);
    snprintf(pattern, sizeof pattern, "%s/events.out.tfevents.*", px_test_folder);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    FILE *file = fopen(found.gl_pathv[0], "rb");
    assert_head(file, 8);

    char *yaml = px_config_text(&config);
    snprintf(text, sizeof text, "```yaml\n%s```\n", yaml);
    free(yaml);
    read_plugin(file, "config", "text", 7, &tensor);
    assert_text(field(tensor, 8), text);

    const wire experiment = field(read_plugin(file, "_hparams_/experiment", "hparams", 1, &tensor), 2);
    assert_non_null(field(field(tensor, 2), 2).bytes); /* one dimension, of size 0 */
    int keys = 0, first_columns = 0;
    for (wire info; (info = field_at(experiment, 4, keys)).bytes; keys++) first_columns += field(info, 7).size == 1;
    assert_int_equal(first_columns, 5);
    assert_text(field(field_at(experiment, 4, 0), 1), "name");
    assert_text(field(field_at(experiment, 4, 0), 3), "what the run is called");
    assert_int_equal(field(field_at(experiment, 4, 0), 4).size, 1); /* a string */
    assert_int_equal(field(field_at(experiment, 4, 1), 4).size, 3); /* the seed, a number */
    assert_text(field(field(field_at(experiment, 5, 0), 1), 2), "validation/nats_per_image");

    const wire session = field(read_plugin(file, "_hparams_/session_start_info", "hparams", 1, &tensor), 3);
    memcpy(&rate, field(hparam(session, "train.learning_rate"), 2).bytes, sizeof rate);
    assert_true(rate == 0.125);
    assert_text(field(hparam(session, "model.kind"), 3), "diagonal_bilstm");
    assert_int_equal(field(hparam(session, "model.residual"), 4).size, 1);
    assert_null(field_at(session, 1, keys).bytes);
    assert_non_null(field_at(session, 1, keys - 1).bytes);
    assert_int_equal(fgetc(file), EOF);
    fclose(file);
    globfree(&found);
    px_metrics_close(metrics);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(metrics_are_lines_of_json, px_test_folder_make, px_test_folder_remove),
        cmocka_unit_test_setup_teardown(metrics_past_the_step_are_cut, px_test_folder_make, px_test_folder_remove),
        cmocka_unit_test(metrics_need_their_folder),
        cmocka_unit_test(crc32c_of_known_texts),
        cmocka_unit_test_setup_teardown(events_read_back, px_test_folder_make, px_test_folder_remove),
        cmocka_unit_test_setup_teardown(the_config_is_a_text_and_hyperparameters, px_test_folder_make,
                                        px_test_folder_remove),
    };
    return cmocka_run_group_tests_name("logging", tests, NULL, NULL);
}
