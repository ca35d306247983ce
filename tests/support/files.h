/* Helpers of the tests of files: the last message, writing a file, comparing its text. */
#ifndef PIXELRNN_TESTS_FILES_H
#define PIXELRNN_TESTS_FILES_H

#include "host/io/file.h"
#include "tests/support/support.h"
#include <stdlib.h>
#include <string.h>

static px_context ctx;

static inline void assert_message(const char *part) {
    if (!strstr(ctx.message, part)) fail_msg("message \"%s\" lacks \"%s\"", ctx.message, part);
    assert_null(strchr(ctx.message, '\n'));
}

static inline void put(const char *path, const void *data, size_t bytes) {
    px_file_out out;
    assert_int_equal(px_file_create(&ctx, path, &out), PX_OK);
    assert_int_equal(px_file_write(&ctx, &out, data, bytes), PX_OK);
    assert_int_equal(px_file_commit(&ctx, &out), PX_OK);
}

static inline void assert_text(const char *path, const char *want) {
    char *text;
    assert_int_equal(px_file_read_text(&ctx, path, 1 << 20, &text), PX_OK);
    assert_string_equal(text, want);
    free(text);
}

#endif
