/* Helpers of all test programs. */
#ifndef PIXELRNN_TESTS_SUPPORT_H
#define PIXELRNN_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "host/device/compare.h"
#include "pixelrnn/device.h"

/* Fails the running test with the context's message unless the status is PX_OK. */
#define assert_ok(ctx, call)                                                                                           \
    do {                                                                                                               \
        if ((call) != PX_OK) fail_msg("%s: %s", #call, (ctx)->message);                                                \
    } while (0)

/* The device under test: the CPU, or CUDA with PX_TEST_DEVICE=cuda. */
px_device *px_test_device(px_context *ctx);
/* Whether it is the CPU. */
bool px_test_is_cpu(void);
/* The same device with activations of this type. */
px_device *px_test_device_of(px_context *ctx, px_type activation);

/* A temporary folder under /tmp. The two functions are the set-up and tear-down of a group of tests. */
extern char px_test_folder[64];
int px_test_folder_make(void **state);
int px_test_folder_remove(void **state);
/* The path of a file in that folder. Four results are valid at a time. */
const char *px_test_path(const char *name);

/* Fails unless both integers are equal. The message begins with the printf format and arguments after them. */
#define EXPECT_EQUAL(found, want, ...)                                                                                 \
    do {                                                                                                               \
        const long found_ = (long)(found), want_ = (long)(want);                                                       \
        if (found_ != want_) {                                                                                         \
            char where_[256];                                                                                          \
            snprintf(where_, sizeof where_, __VA_ARGS__);                                                              \
            fail_msg("%s: %s is %ld, expected %ld", where_, #found, found_, want_);                                    \
        }                                                                                                              \
    } while (0)

#endif
