/* Requests to stop: their statuses, when they are overdue, and how soon evaluation and sampling acknowledge them. */
#include "host/io/clock.h"
#include "pixelrnn/evaluate.h"
#include "pixelrnn/sample.h"
#include "pixelrnn/stop.h"
#include "tests/support/model.h"
#include <string.h>

static void interrupt_replaces_stop(void **state) {
    (void)state;
    px_stop stop = {0};
    assert_int_equal(px_stop_poll(&stop), PX_OK);
    px_stop_request(&stop, PX_STOPPED);
    assert_int_equal(px_stop_poll(&stop), PX_STOPPED);
    px_stop_request(&stop, PX_INTERRUPTED);
    px_stop_request(&stop, PX_STOPPED);
    assert_int_equal(px_stop_poll(&stop), PX_INTERRUPTED);
}

static void null_request_is_never_made(void **state) {
    (void)state;
    px_stop_request(NULL, PX_STOPPED);
    px_stop_hold(NULL);
    px_stop_release(NULL);
    assert_int_equal(px_stop_poll(NULL), PX_OK);
    assert_false(px_stop_overdue(NULL));
}

static void stop_statuses_have_exit_statuses(void **state) {
    (void)state;
    assert_int_equal(px_exit_status(PX_STOPPED), 3);
    assert_int_equal(px_exit_status(PX_INTERRUPTED), 130);
    assert_true(px_status_is_stop(PX_STOPPED) && px_status_is_stop(PX_INTERRUPTED));
    assert_false(px_status_is_stop(PX_OK) || px_status_is_stop(PX_ERR_NUMERIC));
}

static void control_characters_are_replaced_in_messages(void **state) {
    (void)state;
    px_context ctx;
    assert_int_equal(px_fail(&ctx, PX_ERR_FILE, "%s: %d", "a\n\x1b\x7f b", 7), PX_ERR_FILE);
    assert_string_equal(ctx.message, "a??? b: 7");
}

/* A request that was made `requested` seconds ago and polled `polled` seconds ago (0: never), where the longest
 * interval between two polls was `longest` seconds. */
static px_stop make_request(double requested, double polled, double longest) {
    const double now = px_clock_seconds();
    return (px_stop){.requested = PX_STOPPED,
                     .requested_seconds = now - requested,
                     .polled_seconds = polled > 0 ? now - polled : 0,
                     .longest_seconds = longest};
}

static void request_is_overdue_ten_seconds_after_the_usual_time(void **state) {
    (void)state;
    px_stop never_polled_yet = make_request(9, 0, 0), never_polled = make_request(11, 0, 0);
    assert_false(px_stop_overdue(&never_polled_yet));
    assert_true(px_stop_overdue(&never_polled));
    px_stop quick = make_request(11, 12, 0.1), slow = make_request(60, 65, 60),
            slow_and_late = make_request(60, 71, 60);
    assert_true(px_stop_overdue(&quick));
    assert_false(px_stop_overdue(&slow));
    assert_true(px_stop_overdue(&slow_and_late));
    px_stop requested_again = make_request(11, 0, 0);
    px_stop_request(&requested_again, PX_INTERRUPTED);
    assert_true(px_stop_overdue(&requested_again));
    px_stop recent = make_request(1, 1000, 0.1); /* the timeout does not start before the request */
    assert_false(px_stop_overdue(&recent));
}

static void held_or_acknowledged_request_is_not_overdue(void **state) {
    (void)state;
    px_stop held = make_request(100, 100, 1), acknowledged = held, not_requested = held;
    px_stop_hold(&held);
    px_stop_hold(&held);
    px_stop_release(&held);
    assert_false(px_stop_overdue(&held));
    px_stop_release(&held);
    assert_false(px_stop_overdue(&held)); /* the time of the hold does not count */
    held.polled_seconds = held.polled_seconds - 100;
    assert_true(px_stop_overdue(&held));
    px_stop_poll(&acknowledged);
    assert_false(px_stop_overdue(&acknowledged));
    not_requested.requested = PX_OK;
    assert_false(px_stop_overdue(&not_requested));
}

/* ---- Sampling and evaluation ---- */

/* A wrapper of the device's operations: sample and softmax_nll count their calls, and make the request at call number
 * stop_at (0: never). */
static struct {
    px_device_ops ops;
    const px_device_ops *wrapped;
    px_stop stop;
    int samples, losses, stop_at;
} wrapper;

static px_status sample(px_device *device, const px_sample_args *args) {
    if (++wrapper.samples == wrapper.stop_at) px_stop_request(&wrapper.stop, PX_STOPPED);
    return wrapper.wrapped->sample(device, args);
}
static px_status softmax_nll(px_device *device, const px_softmax_nll_args *args) {
    if (++wrapper.losses == wrapper.stop_at) px_stop_request(&wrapper.stop, PX_INTERRUPTED);
    return wrapper.wrapped->softmax_nll(device, args);
}

static void wrap_operations(px_device *device, int stop_at) {
    memset(&wrapper, 0, sizeof wrapper);
    wrapper.wrapped = device->ops;
    wrapper.ops = *device->ops;
    wrapper.ops.sample = sample;
    wrapper.ops.softmax_nll = softmax_nll;
    wrapper.stop_at = stop_at;
    device->ops = &wrapper.ops;
}

static const px_model_spec spec = {.kind = PX_MODEL_ROW_LSTM,
                                   .layers = 1,
                                   .hidden = 3,
                                   .head = 4,
                                   .residual = true,
                                   .height = 6,
                                   .width = 5,
                                   .channels = 3,
                                   .levels = 4};

static void sampling_stops_after_the_row(void **state) {
    px_context ctx;
    px_device *device = px_test_device(&ctx);
    px_model *model = px_test_model(device, &spec, 11);
    px_sampler *sampler;
    uint8_t whole[2 * 90], found[2 * 90];
    const int row = spec.width * spec.channels;
    (void)state;
    wrap_operations(device, 2 * row + 1); /* the first value of the third row */
    assert_ok(&ctx, px_sampler_create(model, 2, &sampler));
    device->paths &= ~(unsigned)PX_PATH_GRAPHS; /* a graph calls no operation */
    px_sample_request request = {.seed = 3, .images = 2, .temperature = 1};
    assert_ok(&ctx, px_sample(sampler, &request, whole, NULL, NULL));
    request.stop = &wrapper.stop;
    wrapper.stop = (px_stop){0};
    wrapper.samples = 0;
    assert_int_equal(px_sample(sampler, &request, found, NULL, NULL), PX_STOPPED);
    assert_int_equal(wrapper.samples, 3 * row);
    assert_string_equal(ctx.message, "sampling: stopped after 3 of 6 rows of pixels");
    wrapper.stop = (px_stop){0}; /* the sampler gives the same images after an interrupted run */
    assert_ok(&ctx, px_sample(sampler, &request, found, NULL, NULL));
    assert_memory_equal(found, whole, sizeof whole);
    px_sampler_destroy(sampler);
    px_model_destroy(model);
    device->ops = wrapper.wrapped;
    px_device_close(device);
}

static px_status read_image(px_source *source, px_context *ctx, size_t index, uint8_t *pixels) {
    (void)source, (void)ctx;
    for (size_t i = 0; i < px_test_values(&spec); i++) pixels[i] = (uint8_t)(85 * px_test_pick(index, i, 4));
    return PX_OK;
}

static void evaluation_stops_after_the_batch(void **state) {
    px_context ctx;
    px_device *device = px_test_device(&ctx);
    px_model *model = px_test_model(device, &spec, 11);
    px_source source = {.name = "images",
                        .count = 50,
                        .height = spec.height,
                        .width = spec.width,
                        .channels = spec.channels,
                        .read = read_image};
    const px_evaluate_options options = {.batch = 4, .levels = spec.levels, .stop = &wrapper.stop};
    px_evaluation evaluation;
    (void)state;
    assert_ok(&ctx, px_model_reserve(model, 4, PX_PURPOSE_EVALUATE));
    wrap_operations(device, 3);
    assert_int_equal(px_evaluate(model, &source, &options, NULL, NULL, &evaluation), PX_INTERRUPTED);
    assert_int_equal(wrapper.losses, 3);
    assert_string_equal(ctx.message, "images: stopped after 12 of 50 images, without a result");
    px_model_destroy(model);
    device->ops = wrapper.wrapped;
    px_device_close(device);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interrupt_replaces_stop),
        cmocka_unit_test(null_request_is_never_made),
        cmocka_unit_test(stop_statuses_have_exit_statuses),
        cmocka_unit_test(control_characters_are_replaced_in_messages),
        cmocka_unit_test(request_is_overdue_ten_seconds_after_the_usual_time),
        cmocka_unit_test(held_or_acknowledged_request_is_not_overdue),
        cmocka_unit_test(sampling_stops_after_the_row),
        cmocka_unit_test(evaluation_stops_after_the_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
