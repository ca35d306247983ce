/* Logging: progress, metrics.jsonl, TensorBoard events, grids of images. */
#include "tests/support/support.h"
#include "host/io/file.h"
#include "host/logging/logging.h"
#include "tensorboard.pb-c.h"
#include <fcntl.h>
#include <glob.h>
#include <math.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wunused-function" /* judged at the end of the file: a pop would undo it */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#define STBI_ONLY_PNG
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

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

/* ---- Grids of images ---- */

static const px_grid_layout layouts[] = {
    {.images = 5, .height = 3, .width = 2, .channels = 1, .columns = 2, .scale = 1},
    {.images = 5, .height = 3, .width = 2, .channels = 3, .columns = 0, .scale = 3},
    {.images = 1, .height = 1, .width = 1, .channels = 1, .columns = 0, .scale = 0},
    {.images = 10, .height = 28, .width = 28, .channels = 1, .columns = 0, .scale = 0},
    {.images = 6, .height = 80, .width = 20, .channels = 3, .columns = 0, .scale = 0},
    {.images = 2, .height = 4, .width = 4, .channels = 3, .columns = 5, .scale = 1},
    {.images = 2, .height = 40, .width = 2, .channels = 1, .columns = 0, .scale = 0},
    {.images = 6, .height = 3, .width = 2, .channels = 3, .rows = 3, .scale = 1},
    {.images = 5, .height = 2, .width = 3, .channels = 1, .rows = 2, .scale = 2},
};

/* Columns, rows and scale of each layout above. */
static const int grids[][3] = {{2, 3, 1}, {3, 2, 3}, {1, 1, 64}, {4, 3, 2}, {5, 2, 1},
                               {5, 1, 1}, {2, 1, 2}, {2, 3, 1},  {3, 2, 2}};

/* Returns the expected value of pixel (y, x, c) of the grid. */
static uint8_t expected(const px_grid_layout *layout, const int *grid, const uint8_t *pixels, int y, int x, int c) {
    int pitch_y = layout->height * grid[2] + 1, pitch_x = layout->width * grid[2] + 1;
    int row = y / pitch_y, column = x / pitch_x;
    int index = layout->rows > 0 ? column * grid[1] + row : row * grid[0] + column;
    if (y % pitch_y == 0 || x % pitch_x == 0 || index >= layout->images) return 128;
    int inner_y = (y % pitch_y - 1) / grid[2], inner_x = (x % pitch_x - 1) / grid[2];
    return pixels[((index * layout->height + inner_y) * layout->width + inner_x) * layout->channels + c];
}

static void check_grid(const px_grid_layout *layout, const int *grid) {
    static uint8_t pixels[1 << 16];
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i * 37 + i / 251);
    void *png;
    size_t bytes;
    int height, width, got_width = 0, got_height = 0, got_channels = 0;
    assert_int_equal(px_png_grid(&ctx, pixels, layout, &png, &bytes, &height, &width), PX_OK);
    assert_int_equal(height, grid[1] * (layout->height * grid[2] + 1) + 1);
    assert_int_equal(width, grid[0] * (layout->width * grid[2] + 1) + 1);
    assert_memory_equal(png, "\x89PNG\r\n\x1a\n", 8);

    uint8_t *got = stbi_load_from_memory(png, (int)bytes, &got_width, &got_height, &got_channels, 0);
    assert_non_null(got);
    assert_int_equal(got_width, width);
    assert_int_equal(got_height, height);
    assert_int_equal(got_channels, layout->channels);
    for (int i = 0; i < height * width * got_channels; i++) {
        int c = i % got_channels, x = i / got_channels % width, y = i / got_channels / width;
        uint8_t want = expected(layout, grid, pixels, y, x, c);
        if (got[i] != want) fail_msg("pixel (%d, %d) channel %d: found %d, expected %d", y, x, c, got[i], want);
    }
    stbi_image_free(got);
    free(png);
}

static void grids_hold_their_images(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) check_grid(&layouts[i], grids[i]);
}

static void impossible_grids_are_refused(void **state) {
    (void)state;
    static const px_grid_layout wrong[] = {
        {.images = 0, .height = 1, .width = 1, .channels = 1},
        {.images = 1, .height = 1, .width = 1, .channels = 2},
        {.images = 1000000, .height = 32, .width = 32, .channels = 3},
        {.images = INT32_MAX,
         .height = INT32_MAX,
         .width = INT32_MAX,
         .channels = 3,
         .columns = INT32_MAX,
         .scale = INT32_MAX},
    };
    void *png;
    size_t bytes;
    int height, width;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(px_png_grid(&ctx, NULL, &wrong[i], &png, &bytes, &height, &width), PX_ERR_SHAPE);
    }
}

static void grid_is_written_to_a_file(void **state) {
    (void)state;
    const uint8_t pixels[4] = {0, 80, 160, 255};
    const px_grid_layout layout = {.images = 4, .height = 1, .width = 1, .channels = 1, .scale = 1};
    char path[128];
    int height, width, channels;
    snprintf(path, sizeof path, "%s/grid.png", px_test_folder);
    assert_int_equal(px_png_grid_write(&ctx, path, pixels, &layout), PX_OK);
    assert_true(stbi_info(path, &width, &height, &channels));
    assert_int_equal(height, 5);
    assert_int_equal(width, 5);
    assert_int_equal(px_png_grid_write(&ctx, "/nowhere/grid.png", pixels, &layout), PX_ERR_FILE);
}

/* ---- Progress ---- */

/* Reads everything that a non-blocking descriptor holds. */
static const char *drain(int descriptor) {
    static char text[1 << 15];
    size_t length = 0;
    ssize_t got;
    while ((got = read(descriptor, text + length, sizeof text - 1 - length)) > 0) length += (size_t)got;
    text[length] = 0;
    return text;
}

static void progress_on_a_pipe_is_plain(void **state) {
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    FILE *out = fdopen(ends[1], "w");
    px_progress progress;
    px_progress_begin(&progress, out, "train", 100, 1100);
    progress.started -= 2000; /* long ago, so that the duration of this test is rounded away */
    progress.drawn += 3600;   /* and no line is due */
    for (int64_t done = 101; done <= 600; done++) px_progress_update(&progress, done, "79.3 nats");
    px_progress_clear(&progress);
    assert_string_equal(drain(ends[0]), "");

    progress.drawn -= 3606;
    for (int64_t done = 600; done <= 610; done++) px_progress_update(&progress, done, "79.3 nats");
    assert_string_equal(drain(ends[0]), "train   54%  600/1100  0.25/s  79.3 nats  33:20, 33:20 left\n");
    /* Half of the time was not spent on units: the rate excludes it, the time left includes it. */
    progress.busy = 1000;
    progress.drawn -= 6;
    px_progress_update(&progress, 600, "79.3 nats");
    assert_string_equal(drain(ends[0]), "train   54%  600/1100  0.50/s  79.3 nats  33:20, 33:20 left\n");
    progress.busy = 0;
    progress.drawn = 0;
    px_progress_update(&progress, 1100, NULL);
    assert_string_equal(drain(ends[0]), "train  100%  1100/1100  0.50/s  33:20\n");
    progress.images = 16; /* images of a step */
    progress.drawn = 0;
    px_progress_update(&progress, 1100, NULL);
    assert_string_equal(drain(ends[0]), "train  100%  1100/1100  8.00 images/s  33:20\n");
    fclose(out);
    close(ends[0]);
}

static void set_width(int terminal, int columns) {
    struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)columns};
    assert_int_equal(ioctl(terminal, TIOCSWINSZ, &size), 0);
}

/* Opens a pseudo-terminal; *other is its other end, non-blocking. */
static FILE *open_terminal(int *other) {
    int terminal;
    assert_int_equal(openpty(other, &terminal, NULL, NULL, NULL), 0);
    assert_int_equal(fcntl(*other, F_SETFL, O_NONBLOCK), 0);
    FILE *out = fdopen(terminal, "w");
    assert_non_null(out);
    return out;
}

/* Returns a redrawn line without its leading control codes. Fails on other control codes and on a line that is too
 * wide. */
static const char *assert_line(const char *text, int columns) {
    static const char start[] = "\r\033[K";
    assert_memory_equal(text, start, sizeof start - 1);
    text += sizeof start - 1;
    int cells = 0;
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c < ' ') fail_msg("control code %d in \"%s\"", *c, text);
        cells += (*c & 0xc0) != 0x80;
    }
    if (cells >= columns) fail_msg("%d cells on %d columns: \"%s\"", cells, columns, text);
    return text;
}

static void progress_fits_the_terminal(void **state) {
    (void)state;
    static const struct {
        int columns;
        const char *utf8, *ascii;
    } cases[] = {
        {200, "train  ▕█████████████████▋                      ▏   44%  441/1000  0.22/s  79.3 nats  33:20, 42:15 left",
         "train  [#################                       ]   44%  441/1000  0.22/s  79.3 nats  33:20, 42:15 left"},
        {80, "train  ▕███████         ▏   44%  441/1000  0.22/s  79.3 nats  33:20, 42:15 left",
         "train  [#######         ]   44%  441/1000  0.22/s  79.3 nats  33:20, 42:15 left"},
        {50, "▕████▊      ▏   44%  79.3 nats  33:20, 42:15 left", "[####       ]   44%  79.3 nats  33:20, 42:15 left"},
        {30, "▕████▍     ▏   44%  79.3 nats", "[####      ]   44%  79.3 nats"},
        {19, " 44%  79.3 nats", " 44%  79.3 nats"},
        {12, "79.3 nats", "79.3 nats"},
        {8, " 44%", " 44%"},
        {3, "", ""},
        {1, "", ""},
    };
    setenv("TERM", "xterm", 1);
    for (int utf8 = 0; utf8 < 2; utf8++) {
        setenv("LC_ALL", utf8 ? "C.UTF-8" : "C", 1);
        int other;
        FILE *out = open_terminal(&other);
        px_progress progress;
        px_progress_begin(&progress, out, "train", 0, 1000);
        drain(other);
        progress.started -= 2000;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            set_width(other, cases[i].columns); /* resized between two draws of one line */
            progress.drawn = 0;
            px_progress_update(&progress, 441, "79.3 nats");
            const char *line = assert_line(drain(other), cases[i].columns);
            assert_string_equal(line, utf8 ? cases[i].utf8 : cases[i].ascii);
        }
        fclose(out);
        close(other);
    }
}

/* Sampling counts pixels of the images of a batch: with 100 pixels an image, 3750 pixels are 37 of 64 images. */
static void progress_counts_images(void **state) {
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    FILE *out = fdopen(ends[1], "w");
    px_progress progress;
    px_progress_begin(&progress, out, "sample", 0, 6400);
    progress.images = 1.0 / 100;
    progress.count_images = true;
    progress.started -= 75;
    progress.drawn = 0;
    px_progress_update(&progress, 3750, "");
    assert_string_equal(drain(ends[0]), "sample   58%  37/64 images  0.50 images/s  1:15, 0:53 left\n");
    progress.images = 3.0 / 700; /* three ranks, 700 pixels an image: each has a third of them */
    progress.total = 12 * 700 / 3;
    for (int done = 1; done <= 12; done++) {
        char want[32];
        progress.drawn = 0;
        px_progress_update(&progress, done * 700 / 3 + (done * 700 % 3 > 0), "");
        snprintf(want, sizeof want, "  %d/12 images  ", done);
        assert_non_null(strstr(drain(ends[0]), want));
    }
    fclose(out);
    close(ends[0]);
}

static void progress_redraws_in_place(void **state) {
    (void)state;
    setenv("TERM", "xterm", 1);
    setenv("LC_ALL", "C.UTF-8", 1);
    int other;
    FILE *out = open_terminal(&other);
    set_width(other, 40);
    px_progress progress;
    px_progress_begin(&progress, out, "eval", 0, 100000);
    assert_line(drain(other), 40);
    progress.drawn += 3600; /* no redraw is due, however slow this machine is */
    for (int64_t done = 0; done < 100000; done++) px_progress_update(&progress, done, "x");
    assert_string_equal(drain(other), "");

    px_progress_clear(&progress);
    assert_string_equal(drain(other), "\r\033[K");
    px_progress_update(&progress, 100000, "x");
    assert_non_null(strstr(assert_line(drain(other), 40), "100%"));
    fclose(out);
    close(other);
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
        cmocka_unit_test(grids_hold_their_images),
        cmocka_unit_test(impossible_grids_are_refused),
        cmocka_unit_test_setup_teardown(grid_is_written_to_a_file, px_test_folder_make, px_test_folder_remove),
        cmocka_unit_test(progress_on_a_pipe_is_plain),
        cmocka_unit_test(progress_fits_the_terminal),
        cmocka_unit_test(progress_counts_images),
        cmocka_unit_test(progress_redraws_in_place),
    };
    return cmocka_run_group_tests_name("logging", tests, NULL, NULL);
}
