/* Rows of pixels that are sampled as captured graphs give bitwise the same levels and nats as rows whose operations are
 * issued directly: batches of two sizes, several seeds, first images and temperatures, and completions. */
#include "pixelrnn/sample.h"
#include "tests/support/graph_device.h"
#include "tests/support/model.h"
#include <string.h>

static const px_model_spec specs[] = {
    PX_SPEC(PIXELCNN, 2, 5, 6, true, true, 6, 5, 3, 4),
    PX_SPEC(PIXELCNN, 1, 4, 5, true, false, 5, 4, 1, 2),
    PX_SPEC(ROW_LSTM, 2, 5, 6, true, true, 6, 5, 3, 4),
    PX_SPEC(ROW_LSTM, 1, 4, 5, true, false, 5, 4, 1, 2),
    PX_SPEC(DIAGONAL_BILSTM, 2, 5, 6, true, true, 6, 5, 3, 4),
    PX_SPEC(DIAGONAL_BILSTM, 1, 4, 5, true, false, 5, 4, 1, 2),
    PX_SPEC(DIAGONAL_BILSTM, 2, 5, 6, true, true, 5, 4, 1, 4, PX_CLASSES(3)),
    PX_SPEC(ROW_LSTM, 2, 4, 5, true, false, 6, 4, 3, 4, PX_SCALE(2)),
};
enum { SPECS = sizeof specs / sizeof *specs, IMAGES = 3, MAX_PIXELS = 6 * 5, MAX_VALUES = 3 * MAX_PIXELS };

/* The pixels that are given: none; those of the first rows; or those, and one in the row after them. */
typedef enum { NOTHING, ROWS, ROWS_AND_A_PIXEL } givens;
enum { GIVEN_ROWS = 3 };

/* The batches of a run. The operations of a row depend on the number of images, and on whether the row is given. */
typedef struct batch {
    int images;
    uint64_t seed, first_image;
    double temperature;
    givens given;
} batch;
static const batch batches[] = {
    {IMAGES, 1, 0, 1, NOTHING},     {IMAGES, 1, IMAGES, 0.7, NOTHING},
    {IMAGES, 2, 0, 0.7, ROWS},      {IMAGES, (uint64_t)1 << 63 | 1, 1, 1.5, ROWS_AND_A_PIXEL},
    {IMAGES - 1, 2, 0, 1, NOTHING}, {IMAGES - 1, 2, 0, 1, ROWS},
    {IMAGES, 1, 0, 1, NOTHING},
};
enum { BATCHES = sizeof batches / sizeof *batches };

/* Batches 0, 2, 4, 5 and 6 begin with a new key for sampled or for given rows. Its first row is issued directly, and
 * its second one is captured. The row with one given pixel is issued directly too. */
enum { KEYS = 5, DIRECT_ROWS = KEYS + 1 };

typedef struct results {
    uint8_t levels[BATCHES][IMAGES * MAX_VALUES];
    double nats[BATCHES][IMAGES];
} results;

static void sample(px_context *ctx, px_sampler *sampler, const px_model_spec *spec, const batch *b, uint8_t *levels,
                   double *nats) {
    uint8_t *given = px_test_images(spec, b->images, 3), keep[MAX_PIXELS] = {0};
    uint8_t *conditions = px_test_conditions(spec, b->images, 4);
    for (int pixel = 0; pixel < GIVEN_ROWS * spec->width; pixel++) keep[pixel] = b->given != NOTHING;
    keep[GIVEN_ROWS * spec->width + 1] = b->given == ROWS_AND_A_PIXEL;
    const px_sample_request request = {.seed = b->seed,
                                       .first_image = b->first_image,
                                       .images = b->images,
                                       .temperature = b->temperature,
                                       .given = given,
                                       .keep = keep,
                                       .conditions = conditions};
    assert_ok(ctx, px_sample(sampler, &request, levels, nats, NULL));
    free(conditions);
    free(given);
}

static void expect_counts(const px_model_spec *spec, px_test_graph_mode mode) {
    const px_test_graph_counts *count = &px_test_graph_count;
    const bool captures = mode == PX_TEST_GRAPHS || mode == PX_TEST_WRONG_GRAPHS;
    const int launches = BATCHES * spec->height - DIRECT_ROWS;
    EXPECT_EQUAL(count->begun, KEYS, "%s", px_test_name(spec));
    EXPECT_EQUAL(count->captured, captures ? KEYS : 0, "%s", px_test_name(spec));
    EXPECT_EQUAL(count->run, mode == PX_TEST_GRAPHS ? launches + KEYS : captures ? KEYS : 0, "%s", px_test_name(spec));
    EXPECT_EQUAL(count->destroyed, count->captured, "%s", px_test_name(spec));
}

static void run(const px_model_spec *spec, px_type activation, px_test_graph_mode mode, results *to) {
    px_context ctx = {0};
    px_sampler *sampler;
    bool is_mock;
    px_device *device = px_test_graph_device(&ctx, activation, mode, &is_mock);
    px_model *model = px_test_model(device, spec, 11);
    assert_ok(&ctx, px_sampler_create(model, IMAGES, &sampler));
    memset(to, 0, sizeof *to);
    for (int i = 0; i < BATCHES; i++) sample(&ctx, sampler, spec, &batches[i], to->levels[i], to->nats[i]);
    px_sampler_destroy(sampler);
    assert_string_equal(ctx.message, "");
    if (is_mock) expect_counts(spec, mode);
    if (is_mock) assert_int_equal(device->warning[0] != '\0', mode == PX_TEST_WRONG_GRAPHS);
    px_model_destroy(model);
    px_device_close(device);
}

static void compare(const px_model_spec *spec, px_type activation, px_test_graph_mode mode) {
    static results direct, graphs;
    const size_t bytes = px_test_values(spec);
    run(spec, activation, PX_TEST_NO_GRAPHS, &direct);
    run(spec, activation, mode, &graphs);
    for (int i = 0; i < BATCHES; i++)
        for (int n = 0; n < batches[i].images; n++) {
            const size_t first = (size_t)n * bytes;
            if (graphs.nats[i][n] == direct.nats[i][n] &&
                memcmp(&graphs.levels[i][first], &direct.levels[i][first], bytes) == 0)
                continue;
            size_t v = first;
            while (v + 1 < first + bytes && graphs.levels[i][v] == direct.levels[i][v]) v++;
            fail_msg("%s, %s, batch %d, image %d: with graphs, value %zu is level %d and the image has %.17g nats; "
                     "expected exactly level %d and %.17g nats as without",
                     px_test_name(spec), activation == PX_BF16 ? "bf16" : "real", i, n, v - first, graphs.levels[i][v],
                     graphs.nats[i][n], direct.levels[i][v], direct.nats[i][n]);
        }
}

static void graphs_give_the_same_bits(void **state) {
    (void)state;
    for (int i = 0; i < 2 * SPECS; i++) compare(&specs[i / 2], i % 2 ? PX_BF16 : PX_REAL, PX_TEST_GRAPHS);
}

/* If a capture fails, or a graph leaves out an operation, all rows are issued directly. A wrong graph gives a warning.
 */
static void failed_and_wrong_graphs_are_not_used(void **state) {
    (void)state;
    if (!px_test_is_cpu()) skip(); /* only the mock table can fail */
    for (int i = 0; i < SPECS; i++) {
        compare(&specs[i], PX_REAL, PX_TEST_WRONG_GRAPHS);
        compare(&specs[i], PX_REAL, PX_TEST_BEGIN_FAILS);
        compare(&specs[i], PX_REAL, PX_TEST_END_FAILS);
    }
}

/* The operations at the beginning of a batch: the features of its conditions, and the biases of a class in each layer.
 */
static int condition_operations(const px_model_spec *spec) {
    const int directions = spec->kind == PX_MODEL_DIAGONAL_BILSTM ? 2 : 1;
    int stages = 0;
    if (spec->condition.kind == PX_CONDITION_CLASS) return 1 + directions * spec->layers;
    while (1 << stages < spec->condition.scale) stages++;
    return spec->condition.kind == PX_CONDITION_IMAGE ? 2 + 3 * stages : 0;
}

/* Once a graph exists, the host issues one operation and one graph for a row; before, many for each value. */
static void a_row_is_one_launch(void **state) {
    (void)state;
    uint8_t levels[IMAGES * MAX_VALUES];
    double nats[IMAGES];
    if (!px_test_is_cpu()) skip(); /* only the mock table counts */
    for (int i = 0; i < SPECS; i++) {
        const px_model_spec *spec = &specs[i];
        px_context ctx = {0};
        px_sampler *sampler;
        bool is_mock;
        px_device *device = px_test_graph_device(&ctx, PX_REAL, PX_TEST_GRAPHS, &is_mock);
        px_model *model = px_test_model(device, spec, 11);
        assert_ok(&ctx, px_sampler_create(model, IMAGES, &sampler));
        sample(&ctx, sampler, spec, &batches[0], levels, nats);
        px_test_graph_count = (px_test_graph_counts){0};
        sample(&ctx, sampler, spec, &batches[1], levels, nats);
        EXPECT_EQUAL(px_test_graph_count.run, spec->height, "%s", px_test_name(spec));
        EXPECT_EQUAL(px_test_graph_count.issued, spec->height + 1 + condition_operations(spec), "%s",
                     px_test_name(spec));
        device->paths &= ~(unsigned)PX_PATH_GRAPHS;
        px_test_graph_count = (px_test_graph_counts){0};
        sample(&ctx, sampler, spec, &batches[1], levels, nats);
        print_message("%s: %d operations a value issued directly\n", px_test_name(spec),
                      px_test_graph_count.issued / (int)px_test_values(spec));
        assert_true(px_test_graph_count.issued > 10 * (int)px_test_values(spec));
        px_sampler_destroy(sampler);
        px_model_destroy(model);
        px_device_close(device);
    }
}

/* ---- Stops ---- */

/* A device whose events are counted, and that requests a stop at wait number stop_at (0: never). */
static struct {
    const px_device_ops *real;
    px_device_ops table;
    px_stop stop;
    int records, waits, stop_at, max_ahead;
} counted;

static px_status count_event_record(px_device *device, int event) {
    counted.records++;
    const int ahead = counted.records - counted.waits;
    if (ahead > counted.max_ahead) counted.max_ahead = ahead;
    return counted.real->event_record(device, event);
}

static px_status count_event_wait(px_device *device, int event) {
    if (++counted.waits == counted.stop_at) px_stop_request(&counted.stop, PX_STOPPED);
    return counted.real->event_wait(device, event);
}

/* The host issues a row of pixels while the device computes the row before. A stop is noticed before the next one. */
static void the_host_is_one_row_ahead(void **state) {
    (void)state;
    enum { STOP_AT = 3 };
    const px_model_spec *spec = &specs[0];
    uint8_t levels[IMAGES * MAX_VALUES];
    px_context ctx = {0};
    px_sampler *sampler;
    bool is_mock;
    px_device *device = px_test_graph_device(&ctx, PX_REAL, PX_TEST_GRAPHS, &is_mock);
    px_model *model = px_test_model(device, spec, 11);
    assert_ok(&ctx, px_sampler_create(model, IMAGES, &sampler));
    memset(&counted, 0, sizeof counted);
    counted.real = device->ops;
    counted.table = *device->ops;
    counted.table.event_record = count_event_record, counted.table.event_wait = count_event_wait;
    device->ops = &counted.table;
    const px_sample_request request = {.seed = 1, .images = IMAGES, .temperature = 1, .stop = &counted.stop};
    assert_ok(&ctx, px_sample(sampler, &request, levels, NULL, NULL));
    EXPECT_EQUAL(counted.waits, spec->height - 1, "%s", "the rows but the last");
    EXPECT_EQUAL(counted.max_ahead, 2, "%s", "rows");
    counted.waits = counted.records = 0, counted.stop_at = STOP_AT;
    assert_int_equal(px_sample(sampler, &request, levels, NULL, NULL), PX_STOPPED);
    EXPECT_EQUAL(counted.records, STOP_AT + 1, "%s", "rows issued before the stop");
    assert_string_equal(ctx.message, "sampling: stopped after 4 of 6 rows of pixels");
    device->ops = counted.real;
    px_sampler_destroy(sampler);
    px_model_destroy(model);
    px_device_close(device);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(graphs_give_the_same_bits), cmocka_unit_test(failed_and_wrong_graphs_are_not_used),
        cmocka_unit_test(a_row_is_one_launch), cmocka_unit_test(the_host_is_one_row_ahead)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
