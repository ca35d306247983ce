#include "tests/support/support.h"
#include "host/device/backend.h"
#include "host/io/file.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

px_device *px_test_device(px_context *ctx) { return px_test_device_of(ctx, PX_REAL); }

bool px_test_is_cpu(void) {
    px_context ctx = {0};
    px_device *device = px_test_device(&ctx);
    const bool is_cpu = strcmp(device->kind, "cpu") == 0;
    px_device_close(device);
    return is_cpu;
}

px_device *px_test_device_of(px_context *ctx, px_type activation) {
    const char *kind = getenv("PX_TEST_DEVICE");
    px_device *device = NULL;
    assert_ok(ctx, px_device_open(ctx, kind && strcmp(kind, "cuda") == 0 ? PX_DEVICE_CUDA : PX_DEVICE_CPU, activation,
                                  &device));
    const char *paths = getenv("PX_TEST_PATHS");
    if (paths && strcmp(paths, "plain") == 0) px_device_use_plain_paths(device);
    return device;
}

char px_test_folder[64];

int px_test_folder_make(void **state) {
    (void)state;
    strcpy(px_test_folder, "/tmp/pixelrnn_test_XXXXXX");
    return mkdtemp(px_test_folder) ? 0 : -1;
}

int px_test_folder_remove(void **state) {
    (void)state;
    px_context ctx;
    return px_file_remove_folder(&ctx, px_test_folder) == PX_OK ? 0 : -1;
}

const char *px_test_path(const char *name) {
    static char paths[4][PX_PATH];
    static int turn;
    px_context ctx;
    char *path = paths[turn++ % 4];
    assert_int_equal(px_file_path(&ctx, path, "%s/%s", px_test_folder, name), PX_OK);
    return path;
}
