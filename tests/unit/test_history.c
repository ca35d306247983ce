/* The history of a run: rows of metrics.jsonl, joined over its starts. */
#include "tests/support/support.h"
#include "host/logging/history.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static px_context ctx;

static px_status read_text(const char *text, px_history *history) {
    char path[128];
    snprintf(path, sizeof path, "%s/metrics.jsonl", px_test_folder);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    return px_history_read(&ctx, px_test_folder, history);
}

#define START(step, minute)     "{\"start\":" #step ",\"time\":\"2026-11-27T23:" minute ":00Z\",\"config\":\"\"}\n"
#define ROW(step, minute, more) "{\"step\": " #step more ", \"time\": \"2026-11-27T23:" minute ":00Z\"}\n"
#define NLL(split, nats)                                                                                               \
    ", \"" split "/nats_per_image\": " #nats ", \"" split "/bits_per_dim\": 0.5, \"" split "/standard_error\": 0.25"

static void rows_have_their_values(void **state) {
    (void)state;
    px_history h;
    assert_ok(&ctx, read_text(START(0, "00") ROW(10, "01", ", \"images_per_second\": 250")
                                  ROW(20, "03", NLL("validation", 80.5)) ROW(20, "04", NLL("test", 81.5))
                                      ROW(30, "05", NLL("validation", null)) "{\"step\": 40}\n",
                              &h));
    assert_int_equal(h.count, 5);
    assert_int_equal(h.starts, 1);
    assert_int_equal(h.rows[0].step, 10);
    assert_true(h.rows[0].seconds == 60 && h.rows[0].images_per_second == 250);
    assert_true(isnan(h.rows[0].test.nats_per_image));
    assert_true(h.rows[1].seconds == 180 && isnan(h.rows[1].images_per_second));
    assert_true(h.rows[1].validation.nats_per_image == 80.5 && h.rows[1].validation.bits_per_dim == 0.5);
    assert_true(h.rows[1].validation.standard_error == 0.25 && isnan(h.rows[1].test.nats_per_image));
    assert_true(h.rows[2].test.nats_per_image == 81.5 && isnan(h.rows[2].validation.nats_per_image));
    assert_true(isnan(h.rows[3].validation.nats_per_image)); /* was not finite */
    assert_true(h.rows[4].seconds == 300);                   /* without a time: that of the row before */
    px_history_free(&h);
    px_history_free(&h);
}

/* A start at step 20 after an hour: the row of step 30 is repeated, its first time does not count. */
static void starts_are_joined(void **state) {
    (void)state;
    px_history h;
    assert_ok(&ctx, read_text(START(0, "00") ROW(10, "01", "") ROW(20, "02", NLL("validation", 80)) ROW(30, "09", "")
                                  START(20, "40") ROW(30, "43", "") ROW(40, "44", ""),
                              &h));
    assert_int_equal(h.starts, 2);
    assert_int_equal(h.count, 4);
    assert_int_equal(h.rows[2].step, 30);
    assert_true(h.rows[1].seconds == 120 && h.rows[2].seconds == 120 + 180 && h.rows[3].seconds == 120 + 240);
    assert_true(h.start && cJSON_GetObjectItem(h.start, "start")->valueint == 20);
    px_history_free(&h);
    /* A start from the beginning again, such as after a failure before the first checkpoint. */
    assert_ok(&ctx, read_text(START(0, "00") ROW(0, "00", "") ROW(10, "05", "") START(0, "20") ROW(0, "20", ""), &h));
    assert_int_equal(h.count, 2);
    assert_true(h.rows[1].seconds == 0);
    px_history_free(&h);
}

static void incomplete_lines_are_ignored(void **state) {
    (void)state;
    static const char *const ends[] = {"", "{", "{\"step\": 20", "{\"step\": 20}", "{\"start\":20}"};
    char text[512];
    px_history h;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        snprintf(text, sizeof text, START(0, "00") ROW(10, "01", "") "%s", ends[i]);
        assert_ok(&ctx, read_text(text, &h));
        assert_int_equal(h.count, 1);
        assert_int_equal(h.starts, 1);
        px_history_free(&h);
    }
    assert_ok(&ctx, read_text(START(0, "00"), &h));
    assert_int_equal(h.count, 0);
    px_history_free(&h);
}

static void others_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *message; /* after the path */
    } cases[] = {
        {"", ": found no record of a start, expected the metrics of a run"},
        {"{\"start\":0}", ": found no record of a start, expected the metrics of a run"}, /* incomplete */
        {START(0, "00") "\n", ":2: found no JSON object with a start or a step, expected the metrics of a run"},
        {START(0, "00") "{\"step\": \"10\"}\n",
         ":2: found no JSON object with a start or a step, expected the metrics of a run"},
        {START(0, "00") "{\"step\": -1}\n",
         ":2: found no JSON object with a start or a step, expected the metrics of a run"},
        {START(0, "00") "{\"step\": 1e99}\n", ":2: found a step out of range, expected the metrics of a run"},
        {"[1]\n", ":1: found no JSON object with a start or a step, expected the metrics of a run"},
        {ROW(10, "01", ""), ":1: found a step before any start, expected the metrics of a run"},
    };
    px_history h;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(read_text(cases[i].text, &h), PX_ERR_FORMAT);
        char expected[512];
        snprintf(expected, sizeof expected, "%s/metrics.jsonl%s", px_test_folder, cases[i].message);
        assert_string_equal(ctx.message, expected);
        assert_null(h.start);
        assert_null(h.rows);
    }
    assert_int_equal(px_history_read(&ctx, "/nowhere", &h), PX_ERR_FILE);
    assert_string_equal(ctx.message, "/nowhere: found no metrics.jsonl in it, expected a run folder");
    assert_int_equal(px_history_read(&ctx, "/dev/null", &h), PX_ERR_FILE);
    assert_string_equal(ctx.message, "/dev/null: found no metrics.jsonl in it, expected a run folder");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_have_their_values),
        cmocka_unit_test(starts_are_joined),
        cmocka_unit_test(incomplete_lines_are_ignored),
        cmocka_unit_test(others_are_refused),
    };
    return cmocka_run_group_tests(tests, px_test_folder_make, px_test_folder_remove);
}
