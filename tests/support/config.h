/* Helpers of the tests of configs: defaults, setting a key, comparing configs value by value. */
#ifndef PIXELRNN_TESTS_CONFIG_H
#define PIXELRNN_TESTS_CONFIG_H

#include "host/config/keys.h"
#include <float.h>
#include <glob.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static px_context ctx;

#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        if ((call) != PX_OK) fail_msg("%s", ctx.message);                                                              \
    } while (0)

static inline px_config defaults(void) {
    px_config config;
    px_config_default(&config);
    return config;
}

static inline void set(px_config *config, const char *name, const char *value) {
    char assignment[2 * PX_CONFIG_STRING];
    snprintf(assignment, sizeof assignment, "%s=%s", name, value);
    assert_ok(px_config_set(&ctx, assignment, config));
}

/* Both configs must hold the same values: reals bit for bit. */
static inline void assert_same(const px_config *a, const px_config *b) {
    for (const px_key *key = px_keys; key->name; key++) {
        const char *x = (const char *)a + key->offset, *y = (const char *)b + key->offset;
        size_t bytes = key->type == PX_KEY_STRING    ? strlen(x) + 1
                       : key->type == PX_KEY_INTEGER ? sizeof(int64_t)
                       : key->type == PX_KEY_REAL    ? sizeof(double)
                       : key->type == PX_KEY_BOOLEAN ? sizeof(bool)
                                                     : sizeof(int);
        if (memcmp(x, y, bytes) != 0) fail_msg("%s differs", key->name);
    }
}

/* Writes config, reads the text over the defaults and demands the same values. */
static inline void assert_round_trip(const px_config *config) {
    char *text = px_config_text(config);
    assert_non_null(text);
    px_config again = defaults();
    if (px_config_parse(&ctx, "text", text, &again) != PX_OK) fail_msg("%s in:\n%s", ctx.message, text);
    assert_same(config, &again);
    free(text);
}

#endif
