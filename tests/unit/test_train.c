/* The host runs one step ahead of the device: a training step waits for nothing but the event behind the results of
 * the step before. PX_TEST_STEPS is the number of steps. On the mock of CUDA, tests/commands/mock_cuda.sh also compares
 * the calls of short and long runs. */
#include "tests/support/support.h"
#include "host/device/backend.h"
#include "pixelrnn/train.h"
#include <stdlib.h>
#include <string.h>

/* A device whose waiting operations are counted. */
static struct {
    const px_device_ops *real;
    px_device_ops table;
    int issued, downloads, synchronizations, waits, max_ahead;
} counted;

static px_status count_download(px_device *device, void *to_host, const void *from, size_t bytes) {
    counted.downloads++;
    return counted.real->download(device, to_host, from, bytes);
}

static px_status count_synchronize(px_device *device) {
    counted.synchronizations++;
    return counted.real->synchronize(device);
}

static px_status count_event_record(px_device *device, int event) {
    counted.issued++;
    const int ahead = counted.issued - counted.waits;
    if (ahead > counted.max_ahead) counted.max_ahead = ahead;
    return counted.real->event_record(device, event);
}

static px_status count_event_wait(px_device *device, int event) {
    counted.waits++;
    return counted.real->event_wait(device, event);
}

static px_config config_of(int steps, int micro_batches) {
    px_config c;
    px_config_default(&c);
    c.model.kind = PX_MODEL_ROW_LSTM;
    c.model.layers = 1, c.model.hidden = 4, c.model.head = 4;
    snprintf(c.data.train, sizeof c.data.train, "builtin:digits");
    c.data.levels = 2;
    c.train.steps = steps;
    c.train.batch_size = 2;
    c.train.accumulate = micro_batches;
    c.train.log_every = 1;
    c.train.checkpoint_every = 0;
    c.train.samples = 0;
    return c;
}

static void run_steps(int steps, int micro_batches, px_train_result *result) {
    px_context ctx = {""};
    px_device *device = px_test_device(&ctx);
    const px_config config = config_of(steps, micro_batches);
    char name[32];
    snprintf(name, sizeof name, "run%d_%d", steps, micro_batches);
    FILE *out = fopen(px_test_path("out"), "w");
    assert_non_null(out);
    const px_train_options options = {.config = &config, .run = px_test_path(name), .out = out};
    memset(&counted, 0, sizeof counted);
    counted.real = device->ops;
    counted.table = *device->ops;
    counted.table.download = count_download, counted.table.synchronize = count_synchronize;
    counted.table.event_record = count_event_record, counted.table.event_wait = count_event_wait;
    device->ops = &counted.table;
    assert_ok(&ctx, px_train(device, &options, result));
    device->ops = counted.real;
    px_device_close(device);
    fclose(out);
}

static int steps_of_environment(void) {
    const char *given = getenv("PX_TEST_STEPS");
    return given ? atoi(given) : 12;
}

static void check_steps(int micro_batches) {
    const int steps = steps_of_environment();
    px_train_result result;
    run_steps(3, micro_batches, &result);
    const int downloads = counted.downloads, synchronizations = counted.synchronizations;
    run_steps(steps, micro_batches, &result);
    EXPECT_EQUAL(result.step, steps, "%s", "steps");
    EXPECT_EQUAL(counted.downloads, downloads, "%d steps, not 3", steps);
    EXPECT_EQUAL(counted.synchronizations, synchronizations, "%d steps, not 3", steps);
    EXPECT_EQUAL(counted.waits, steps, "%d steps", steps);
    EXPECT_EQUAL(counted.max_ahead, 2, "%d steps", steps);
}

static void steps_wait_for_events_alone(void **state) {
    (void)state;
    check_steps(1);
}

static void steps_of_micro_batches_wait_for_events_alone(void **state) {
    (void)state;
    check_steps(2);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(steps_wait_for_events_alone),
                                       cmocka_unit_test(steps_of_micro_batches_wait_for_events_alone)};
    return cmocka_run_group_tests_name("training ahead", tests, px_test_folder_make, px_test_folder_remove);
}
