/* The fused recurrences of CUDA, step by step and on clusters: host/check/paths.c. */
#include "host/check/sides.h"
#include "tests/support/support.h"
#include <stdio.h>
#include <stdlib.h>

enum { EXIT_SKIP = 77, REPEATS = 2 };
static px_sides sides;

static int opens(void **state) {
    (void)state;
    return px_sides_open(&sides, &px_check_modes[PX_CHECK_BFLOAT16_FLOAT32], PX_DEVICE_CUDA,
                         getenv("PX_TEST_SHORT") != NULL) == PX_OK
               ? 0
               : -1;
}

static int closes(void **state) {
    (void)state;
    px_sides_close(&sides);
    return 0;
}

static void fused(void **state) {
    (void)state;
    px_check_fused_path(&sides, REPEATS);
    if (sides.failure[0]) fail_msg("%s", sides.failure);
}

static void clusters(void **state) {
    (void)state;
    if (sides.device[1]->capability != 90) {
        print_message("SKIP recurrences on clusters: %s is not of compute capability 9.0\n",
                      sides.device[1]->description);
        skip();
    }
    px_check_cluster_path(&sides, REPEATS);
    if (sides.failure[0]) fail_msg("%s", sides.failure);
}

int main(void) {
    px_context ctx;
    px_device *device;
    if (px_device_open(&ctx, PX_DEVICE_CUDA, PX_BF16, &device) != PX_OK) {
        fprintf(stderr, "SKIP fused recurrences: %s\n", ctx.message);
        return EXIT_SKIP;
    }
    px_device_close(device);
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(fused, opens, closes),
                                       cmocka_unit_test_setup_teardown(clusters, opens, closes)};
    return cmocka_run_group_tests_name("fused recurrences", tests, NULL, NULL);
}
