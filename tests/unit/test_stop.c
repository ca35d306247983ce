/* Requests to stop: what is asked and answered, when an answer is overdue, and how soon evaluation and sampling answer.
 */
#include "host/io/clock.h"
#include "pixelrnn/evaluate.h"
#include "pixelrnn/sample.h"
#include "pixelrnn/stop.h"
#include "tests/support/model.h"
#include <string.h>

static void an_interrupt_outranks_a_stop(void **state) {
    (void)state;
    px_stop stop = {0};
    assert_int_equal(px_stop_poll(&stop), PX_OK);
    px_stop_ask(&stop, PX_STOPPED);
    assert_int_equal(px_stop_poll(&stop), PX_STOPPED);
    px_stop_ask(&stop, PX_INTERRUPTED);
    px_stop_ask(&stop, PX_STOPPED);
    assert_int_equal(px_stop_poll(&stop), PX_INTERRUPTED);
}

static void no_request_is_never_made(void **state) {
    (void)state;
    px_stop_ask(NULL, PX_STOPPED);
    px_stop_hold(NULL);
    px_stop_release(NULL);
    assert_int_equal(px_stop_poll(NULL), PX_OK);
    assert_false(px_stop_overdue(NULL));
}

static void statuses_become_exit_statuses(void **state) {
    (void)state;
    assert_int_equal(px_exit_status(PX_STOPPED), 3);
    assert_int_equal(px_exit_status(PX_INTERRUPTED), 130);
    assert_true(px_status_is_stop(PX_STOPPED) && px_status_is_stop(PX_INTERRUPTED));
    assert_false(px_status_is_stop(PX_OK) || px_status_is_stop(PX_ERR_NUMERIC));
}

static void messages_are_one_line(void **state) {
    (void)state;
    px_context ctx;
    assert_int_equal(px_fail(&ctx, PX_ERR_FILE, "%s: %d", "a\n\x1b\x7f b", 7), PX_ERR_FILE);
    assert_string_equal(ctx.message, "a??? b: 7");
}

/* A request that was made `asked` seconds ago, of work that was polled `polled` seconds ago (0: never) and whose
 * longest piece took `longest`. */
static px_stop request_of(double asked, double polled, double longest) {
    const double now = px_clock_seconds();
    return (px_stop){.asked = PX_STOPPED,
                     .asked_seconds = now - asked,
                     .polled_seconds = polled > 0 ? now - polled : 0,
                     .longest_seconds = longest};
}

static void overdue_is_ten_seconds_beyond_the_usual_time(void **state) {
    (void)state;
    px_stop never_polled_yet = request_of(9, 0, 0), never_polled = request_of(11, 0, 0);
    assert_false(px_stop_overdue(&never_polled_yet));
    assert_true(px_stop_overdue(&never_polled));
    px_stop quick = request_of(11, 12, 0.1), slow = request_of(60, 65, 60), slow_and_late = request_of(60, 71, 60);
    assert_true(px_stop_overdue(&quick));
    assert_false(px_stop_overdue(&slow));
    assert_true(px_stop_overdue(&slow_and_late));
    px_stop asked_again = request_of(11, 0, 0);
    px_stop_ask(&asked_again, PX_INTERRUPTED);
    assert_true(px_stop_overdue(&asked_again));
    px_stop just_asked = request_of(1, 1000, 0.1); /* it gets its ten seconds all the same */
    assert_false(px_stop_overdue(&just_asked));
}

static void what_is_held_or_answered_is_not_overdue(void **state) {
    (void)state;
    px_stop held = request_of(100, 100, 1), answered = held, not_asked = held;
    px_stop_hold(&held);
    px_stop_hold(&held);
    px_stop_release(&held);
    assert_false(px_stop_overdue(&held));
    px_stop_release(&held);
    assert_false(px_stop_overdue(&held)); /* the time of the hold does not count */
    held.polled_seconds = held.polled_seconds - 100;
    assert_true(px_stop_overdue(&held));
    px_stop_poll(&answered);
    assert_false(px_stop_overdue(&answered));
    not_asked.asked = PX_OK;
    assert_false(px_stop_overdue(&not_asked));
}

/* --- Work that is asked to stop in its midst ---------------------------------------------------------------------- */

/* The device's operations, but for two that count their calls, and make the request at one of them. */
static struct {
    px_device_ops table;
    const px_device_ops *real;
    px_stop stop;
    int draws, losses, ask_at; /* ask_at: 0: never */
} the;

static px_status sample(px_device *device, const px_sample_args *args) {
    if (++the.draws == the.ask_at) px_stop_ask(&the.stop, PX_STOPPED);
    return the.real->sample(device, args);
}
static px_status softmax_nll(px_device *device, const px_softmax_nll_args *args) {
    if (++the.losses == the.ask_at) px_stop_ask(&the.stop, PX_INTERRUPTED);
    return the.real->softmax_nll(device, args);
}

static void count_calls(px_device *device, int ask_at) {
    memset(&the, 0, sizeof the);
    the.real = device->ops;
    the.table = *device->ops;
    the.table.sample = sample;
    the.table.softmax_nll = softmax_nll;
    the.ask_at = ask_at;
    device->ops = &the.table;
}

static const px_model_spec spec = {PX_MODEL_ROW_LSTM, 1, 3, 4, true, false, 6, 5, 3, 4};

static void sampling_ends_with_the_row(void **state) {
    px_context ctx;
    px_device *device = px_test_device(&ctx);
    px_model *model = px_test_model(device, &spec, 11);
    px_decoder *decoder;
    uint8_t whole[2 * 90], found[2 * 90];
    const int row = spec.width * spec.channels;
    (void)state;
    count_calls(device, 2 * row + 1); /* the first value of the third row */
    assert_ok(&ctx, px_decoder_create(model, 2, PX_DECODER_DIRECT, &decoder));
    px_sample_request request = {.seed = 3, .images = 2, .temperature = 1};
    assert_ok(&ctx, px_sample(decoder, &request, whole, NULL, NULL));
    request.stop = &the.stop;
    the.stop = (px_stop){0};
    the.draws = 0;
    assert_int_equal(px_sample(decoder, &request, found, NULL, NULL), PX_STOPPED);
    assert_int_equal(the.draws, 3 * row);
    assert_string_equal(ctx.message, "sampling: stopped after 3 of 6 rows of pixels");
    the.stop = (px_stop){0}; /* the same decoder, from the beginning: as if nothing had been */
    assert_ok(&ctx, px_sample(decoder, &request, found, NULL, NULL));
    assert_memory_equal(found, whole, sizeof whole);
    px_decoder_destroy(decoder);
    px_model_destroy(model);
    device->ops = the.real;
    px_device_close(device);
}

static px_status read_number(px_source *source, px_context *ctx, size_t index, uint8_t *pixels) {
    (void)source, (void)ctx;
    for (size_t i = 0; i < px_test_values(&spec); i++) pixels[i] = (uint8_t)(85 * px_test_pick(index, i, 4));
    return PX_OK;
}

static void evaluation_ends_with_the_batch(void **state) {
    px_context ctx;
    px_device *device = px_test_device(&ctx);
    px_model *model = px_test_model(device, &spec, 11);
    px_source source = {.name = "numbers",
                        .count = 50,
                        .height = spec.height,
                        .width = spec.width,
                        .channels = spec.channels,
                        .read = read_number};
    const px_evaluate_options options = {.batch = 4, .levels = spec.levels, .stop = &the.stop};
    px_evaluation evaluation;
    (void)state;
    assert_ok(&ctx, px_model_reserve(model, 4, PX_PURPOSE_EVALUATE));
    count_calls(device, 3);
    assert_int_equal(px_evaluate(model, &source, &options, NULL, NULL, &evaluation), PX_INTERRUPTED);
    assert_int_equal(the.losses, 3);
    assert_string_equal(ctx.message, "numbers: stopped after 12 of 50 images, without a result");
    px_model_destroy(model);
    device->ops = the.real;
    px_device_close(device);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_interrupt_outranks_a_stop),
        cmocka_unit_test(no_request_is_never_made),
        cmocka_unit_test(statuses_become_exit_statuses),
        cmocka_unit_test(messages_are_one_line),
        cmocka_unit_test(overdue_is_ten_seconds_beyond_the_usual_time),
        cmocka_unit_test(what_is_held_or_answered_is_not_overdue),
        cmocka_unit_test(sampling_ends_with_the_row),
        cmocka_unit_test(evaluation_ends_with_the_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
