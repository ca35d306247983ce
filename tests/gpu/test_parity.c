/* Compares CUDA with the CPU's plain paths: every operation of the device table, in float32, TF32 and bfloat16, over
 * the cases of host/check. `pixelrnn check` runs the same comparisons.
 *
 * An operation without a px_check_NAME does not link, and a check that does not run its operation fails.
 *
 * PX_PARITY=cpu compares the CPU's fast paths with its plain ones, for machines without a GPU. PX_PARITY=precision
 * compares the CPU's bfloat16 with its float32. PX_PARITY=float32, tf32 or bfloat16 runs one precision alone. */
#include "host/check/sides.h"
#include "tests/support/support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_SKIP = 77 };
static px_sides sides;

/* Memory operations: uploads, copies, clears and downloads keep the bytes, also through page-locked memory. */
static void memory(void **state) {
    (void)state;
    enum { BYTES = 1000 };
    for (int side = 0; side < PX_SIDES; side++) {
        px_device *device = sides.device[side];
        void *from, *to, *host;
        assert_ok(&sides.ctx, device->ops->allocate(device, BYTES, &from));
        assert_ok(&sides.ctx, device->ops->allocate(device, BYTES, &to));
        assert_ok(&sides.ctx, device->ops->allocate_host(device, BYTES, &host));
        assert_int_equal((uintptr_t)from % 64, 0);
        for (int i = 0; i < BYTES; i++) ((uint8_t *)host)[i] = (uint8_t)(i * 7);
        assert_ok(&sides.ctx, device->ops->upload(device, from, host, BYTES));
        assert_ok(&sides.ctx, device->ops->copy(device, to, from, BYTES));
        assert_ok(&sides.ctx, device->ops->clear(device, (char *)to + 1, BYTES / 2));
        assert_ok(&sides.ctx, device->ops->synchronize(device));
        memset(host, 0xff, BYTES);
        assert_ok(&sides.ctx, device->ops->download(device, host, to, BYTES));
        for (int i = 0; i < BYTES; i++)
            assert_int_equal(((uint8_t *)host)[i], i < 1 || i > BYTES / 2 ? (uint8_t)(i * 7) : 0);
        assert_ok(&sides.ctx, device->ops->free_host(device, host));
        assert_ok(&sides.ctx, device->ops->free(device, to));
        assert_ok(&sides.ctx, device->ops->free(device, from));
    }
}

static void expect_agreement(const char *operation) {
    if (sides.failure[0]) fail_msg("%s: %s", sides.mode->name, sides.failure);
    if (sides.cases == 0) fail_msg("%s: px_check_%s never ran it", operation, operation);
    print_message("%-26s %4d cases, off by %.2g at most\n", operation, sides.cases, sides.worst);
}

#define TEST(op)                                                                                                       \
    static void parity_##op(void **state) {                                                                            \
        (void)state;                                                                                                   \
        sides.failure[0] = '\0', sides.cases = 0, sides.worst = 0;                                                     \
        px_check_##op(&sides);                                                                                         \
        expect_agreement(#op);                                                                                         \
    }
PX_DEVICE_OPS(TEST)

/* All operations in one mode. */
static int run_operations(void) {
#define ENTRY(op) cmocka_unit_test(parity_##op),
    const struct CMUnitTest tests[] = {cmocka_unit_test(memory), PX_DEVICE_OPS(ENTRY)};
    return cmocka_run_group_tests_name(sides.mode->name, tests, NULL, NULL);
}

/* Convolutions and recurrences once more, on the plain paths. */
static int run_plain(void) {
    char name[64];
    px_device_use_plain_paths(sides.device[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parity_convolve),
        cmocka_unit_test(parity_convolve_input_gradient),
        cmocka_unit_test(parity_convolve_weight_gradient),
        cmocka_unit_test(parity_recurrence_forward),
        cmocka_unit_test(parity_recurrence_backward),
    };
    snprintf(name, sizeof name, "%s, plain paths", sides.mode->name);
    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

/* Opens both sides and returns the exit status of `run`; EXIT_SKIP if there is no GPU. */
static int with_sides(const px_check_mode *mode, px_device_kind kind, int (*run)(void)) {
    int exit_status = EXIT_FAILURE;
    if (px_sides_open(&sides, mode, kind, getenv("PX_TEST_SHORT") != NULL) == PX_OK)
        exit_status = run();
    else if (strstr(sides.ctx.message, "no CUDA device") || strstr(sides.ctx.message, "is not built in"))
        exit_status = EXIT_SKIP;
    if (sides.ctx.message[0])
        fprintf(stderr, "%s parity, %s: %s\n", exit_status == EXIT_SKIP ? "SKIP" : "FAIL", mode->name,
                sides.ctx.message);
    px_sides_close(&sides);
    return exit_status;
}

/* PX_PARITY selects what is compared; see the top of this file. */
int main(void) {
    const char *chosen = getenv("PX_PARITY") ? getenv("PX_PARITY") : "";
    const bool precision = strcmp(chosen, "precision") == 0, cuda = !precision && strcmp(chosen, "cpu") != 0;
    const px_device_kind kind = cuda ? PX_DEVICE_CUDA : PX_DEVICE_CPU;
    int exit_status = EXIT_SUCCESS;
    for (int i = 0; i < PX_CHECK_MODES && exit_status != EXIT_SKIP; i++) {
        const px_check_mode *mode = &px_check_modes[i];
        const bool named = strcmp(chosen, mode->name) == 0, one = !precision && cuda && chosen[0];
        const bool across = mode->type[0] != mode->type[1];
        if (across != precision || (one && !named) || (mode->tf32 && !cuda)) continue;
        int result = with_sides(mode, kind, run_operations);
        if (cuda && result != EXIT_SKIP && !getenv("PX_TEST_SHORT") &&
            with_sides(mode, kind, run_plain) != EXIT_SUCCESS)
            result = EXIT_FAILURE;
        if (result != EXIT_SUCCESS) exit_status = result;
    }
    return exit_status;
}
