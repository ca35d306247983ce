/* What test programs share. */
#ifndef PIXELRNN_TESTS_SUPPORT_H
#define PIXELRNN_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pixelrnn/device.h"

/* Fails the running test with the context's message unless the status is PX_OK. */
#define assert_ok(ctx, call)                                                                                           \
    do {                                                                                                               \
        if ((call) != PX_OK) fail_msg("%s: %s", #call, (ctx)->message);                                                \
    } while (0)

/* The device under test: the CPU, or CUDA with PX_TEST_DEVICE=cuda. */
px_device *px_test_device(px_context *ctx);
/* The same with activations of this type. */
px_device *px_test_device_of(px_context *ctx, px_type activation);

/* A folder of the test's own under /tmp, as a group's set-up and its removal, and the path of a file in it, which is
 * good until the fourth call after. */
extern char px_test_folder[64];
int px_test_folder_make(void **state);
int px_test_folder_remove(void **state);
const char *px_test_path(const char *name);

/* The largest difference between two vectors, relative to the largest magnitude in `want`, and where. */
typedef struct px_difference {
    double relative;
    size_t index;
    double found, want;
} px_difference;
px_difference px_compare(size_t count, double (*found)(const void *, size_t), const void *found_data,
                         double (*want)(const void *, size_t), const void *want_data);

/* Element readers for px_compare. */
double px_element_real(const void *data, size_t index);
double px_element_double(const void *data, size_t index);

#endif
