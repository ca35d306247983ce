/* Verdicts on recurrences on clusters: written, read, and heeded only by the same device, driver and program. */
#include "host/device/verdict.h"
#include "tests/support/support.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static px_context ctx;

static px_device gpu(px_device *cpu) {
    px_device device = *cpu;
    strcpy(device.description, "a GPU");
    strcpy(device.versions, "driver for CUDA 12.4");
    strcpy(device.identity, "0123");
    return device;
}

static void expect_verdict(px_device *device, px_verdict_answer answer, const char *why) {
    px_verdict found;
    px_verdict_read(device, &found);
    EXPECT_EQUAL(found.answer, answer, "%s", why);
    assert_string_equal(ctx.message, "");
}

static void stored_and_read(void **state) {
    (void)state;
    px_device *cpu;
    char path[PX_PATH];
    assert_ok(&ctx, px_cpu_open(&ctx, PX_REAL, &cpu));
    px_device device = gpu(cpu), other = device;
    expect_verdict(&device, PX_VERDICT_NONE, "no file");
    assert_ok(&ctx, px_verdict_write(&device, &(px_verdict){PX_VERDICT_USE, "agrees"}, path));
    assert_string_equal(path, px_test_path("pixelrnn/verdict-0123.json"));
    expect_verdict(&device, PX_VERDICT_USE, "stored");
    strcpy(other.versions, "driver for CUDA 12.5");
    expect_verdict(&other, PX_VERDICT_NONE, "another driver");
    other = device, strcpy(other.description, "another GPU");
    expect_verdict(&other, PX_VERDICT_NONE, "another GPU in the same place");
    other = device, strcpy(other.identity, "0124");
    expect_verdict(&other, PX_VERDICT_NONE, "another UUID");
    assert_ok(&ctx, px_verdict_write(&device, &(px_verdict){PX_VERDICT_AVOID, "slower"}, path));
    expect_verdict(&device, PX_VERDICT_AVOID, "replaced");
    assert_ok(&ctx, px_file_write_text(&ctx, path, "{\"subject\": 3"));
    expect_verdict(&device, PX_VERDICT_NONE, "a file that is cut off");
    px_device_close(cpu);
}

/* Without a cache folder, $HOME/.cache; without a folder that can be written, a message and no verdict. */
static void folders(void **state) {
    (void)state;
    px_device *cpu;
    char path[PX_PATH];
    assert_ok(&ctx, px_cpu_open(&ctx, PX_REAL, &cpu));
    px_device device = gpu(cpu);
    unsetenv("XDG_CACHE_HOME");
    setenv("HOME", px_test_folder, 1);
    assert_ok(&ctx, px_verdict_write(&device, &(px_verdict){PX_VERDICT_USE, ""}, path));
    assert_string_equal(path, px_test_path(".cache/pixelrnn/verdict-0123.json"));
    setenv("HOME", "/proc/nowhere", 1);
    assert_int_equal(px_verdict_write(&device, &(px_verdict){PX_VERDICT_USE, ""}, path), PX_ERR_FILE);
    assert_non_null(strstr(ctx.message, "/proc/nowhere"));
    expect_verdict(&device, PX_VERDICT_NONE, "a home that does not exist");
    unsetenv("HOME");
    assert_int_equal(px_verdict_write(&device, &(px_verdict){PX_VERDICT_USE, ""}, path), PX_ERR_FILE);
    expect_verdict(&device, PX_VERDICT_NONE, "no home");
    px_device_close(cpu);
}

static int set_up(void **state) {
    if (px_test_folder_make(state) != 0) return -1;
    return setenv("XDG_CACHE_HOME", px_test_folder, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(stored_and_read), cmocka_unit_test(folders)};
    return cmocka_run_group_tests_name("verdicts", tests, set_up, px_test_folder_remove);
}
