/* The NCCL communicator of CUDA ranks (host/distributed/nccl.c) on mocks of NCCL and CUDA: sums of one rank, and that
 * the heartbeat thread may poll for errors meanwhile. BUILD=thread runs it under the race detector. Several ranks:
 * tests/commands/mock_nccl.sh. */
#include "host/device/backend.h"
#include "host/distributed/ranks.h"
#include "tests/support/support.h"
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

enum { STEPS = 200, BUCKETS = 70, VALUES = 64 }; /* more buckets than have events of their own */

static px_context context;
static atomic_int polls;

static void log_line(const char *line) { fprintf(stderr, "%s\n", line); }
static void exit_now(px_status status) { _exit(px_exit_status(status)); }
static const px_ranks_callbacks callbacks = {log_line, exit_now, NULL};

static px_status poll_errors(void *nccl, px_context *ctx) {
    polls++;
    return ((px_nccl *)nccl)->ops->check(nccl, ctx);
}

/* A monitor without peers, which polls every 2 ms. */
static px_heartbeat *start_polling(px_nccl *nccl) {
    const px_heartbeat_options options = {.callbacks = &callbacks, .rank = 0, .count = 1};
    const px_heartbeat_address nowhere = {0};
    px_heartbeat *heartbeat;
    assert_ok(&context, px_heartbeat_open(&context, &options, &nowhere, -1, &heartbeat));
    px_heartbeat_set_timeouts(heartbeat, 0.01, 1800);
    px_heartbeat_add_check(heartbeat, poll_errors, nccl);
    return heartbeat;
}

/* Sums buckets that the device's stream still has to write. */
static void run_step(px_device *device, px_nccl *nccl, px_real *values, const px_real *host,
                     px_reduction_times *times) {
    for (int bucket = 0; bucket < BUCKETS; bucket++) {
        px_real *part = values + bucket * VALUES;
        assert_ok(&context, device->ops->upload(device, part, host + bucket * VALUES, VALUES * sizeof *part));
        assert_ok(&context, nccl->ops->sum(nccl, &context, part, VALUES));
    }
    assert_ok(&context, nccl->ops->finish(nccl, &context, times));
}

static void sums_while_another_thread_polls(void **state) {
    (void)state;
    static px_real host[BUCKETS * VALUES], found[BUCKETS * VALUES];
    unsigned char id[PX_NCCL_ID];
    px_device *device;
    px_nccl *nccl;
    px_reduction_times times = {0};
    px_real *values;
    for (int i = 0; i < BUCKETS * VALUES; i++) host[i] = (px_real)i;
    assert_ok(&context, px_cuda_open(&context, PX_REAL, 0, &device));
    assert_ok(&context, device->ops->allocate(device, sizeof host, (void **)&values));
    assert_ok(&context, px_nccl_library_open(&context, device, &nccl));
    assert_ok(&context, px_nccl_library_make_id(&context, id));
    assert_ok(&context, nccl->ops->join(nccl, &context, 0, 1, id));
    px_heartbeat *heartbeat = start_polling(nccl);
    for (int step = 0; step < STEPS || polls < 3; step++) {
        run_step(device, nccl, values, host, &times);
        assert_ok(&context, device->ops->download(device, found, values, sizeof found));
        assert_memory_equal(found, host, sizeof found);
    }
    px_heartbeat_add_check(heartbeat, NULL, NULL);
    px_heartbeat_close(heartbeat);
    nccl->ops->close(nccl);
    assert_ok(&context, device->ops->free(device, values));
    px_device_close(device);
    assert_true(times.reduce > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sums_while_another_thread_polls)};
    return cmocka_run_group_tests_name("NCCL's communicator", tests, NULL, NULL);
}
