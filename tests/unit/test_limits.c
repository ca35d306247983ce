/* Limits on memory and processors, read from a mock of /proc and /sys, and arenas that respect them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "host/io/limits.h"
#include "host/io/arena.h"
#include "host/io/file.h"
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static char root[64];

static int make_root(void **state) {
    (void)state;
    strcpy(root, "/tmp/limits.XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state) {
    (void)state;
    px_context ctx;
    return px_file_remove_folder(&ctx, root) == PX_OK ? 0 : -1;
}

/* Writes a file of the mock, and creates the folders above it. */
static void put(const char *path, const char *text) {
    px_context ctx;
    char whole[256], folder[256];
    snprintf(whole, sizeof whole, "%s/%s", root, path);
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(whole, '/') - whole), whole);
    assert_int_equal(px_file_make_folder(&ctx, folder), PX_OK);
    FILE *out = fopen(whole, "w");
    assert_non_null(out);
    assert_true(fputs(text, out) >= 0 && fclose(out) == 0);
}

static void check_memory(size_t bytes, const char *name) {
    const px_memory_limit found = px_limit_memory(root);
    if (found.bytes != bytes) fail_msg("found %zu bytes of %s, expected %zu", found.bytes, found.name, bytes);
    assert_string_equal(found.name, name);
}

static void a_machine_without_limits(void **state) {
    (void)state;
    const size_t all = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGE_SIZE);
    check_memory(all, "this machine's memory");
    assert_int_equal(px_limit_processors(root), INT_MAX);
    put("proc/self/cgroup", "0::/a/b\n");
    put("sys/fs/cgroup/a/b/memory.max", "max\n");
    put("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    check_memory(all, "this machine's memory");
    assert_int_equal(px_limit_processors(root), INT_MAX);
}

static void groups_of_version_2(void **state) {
    (void)state;
    put("proc/self/cgroup", "0::/a/b\n");
    put("sys/fs/cgroup/a/b/memory.max", "9000000\n");
    check_memory(9000000, "the memory limit /sys/fs/cgroup/a/b/memory.max");
    put("sys/fs/cgroup/a/memory.max", "7000000\n"); /* the limit of the parent is lower */
    check_memory(7000000, "the memory limit /sys/fs/cgroup/a/memory.max");
    put("sys/fs/cgroup/memory.max", "6000000\n"); /* of a container, whose own group appears as the root */
    check_memory(6000000, "the memory limit /sys/fs/cgroup/memory.max");
    put("sys/fs/cgroup/a/cpu.max", "250000 100000\n");
    assert_int_equal(px_limit_processors(root), 3);
}

static void groups_of_version_1(void **state) {
    (void)state;
    put("proc/self/cgroup", "5:cpuacct,cpu:/c\n4:memory:/a/b\n1:name=systemd:/a\n0::/\n");
    put("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n");
    put("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "5000000\n");
    check_memory(5000000, "the memory limit /sys/fs/cgroup/memory/a/memory.limit_in_bytes");
    put("sys/fs/cgroup/cpu/c/cpu.cfs_period_us", "100000\n");
    put("sys/fs/cgroup/cpu/c/cpu.cfs_quota_us", "-1\n");
    assert_int_equal(px_limit_processors(root), INT_MAX);
    put("sys/fs/cgroup/cpu/c/cpu.cfs_quota_us", "50000\n");
    assert_int_equal(px_limit_processors(root), 1);
}

/* The memory in use is subtracted: resident memory from the limit of a group, mapped memory from the address space. */
static void memory_in_use_is_subtracted(void **state) {
    (void)state;
    const size_t page = (size_t)sysconf(_SC_PAGE_SIZE);
    struct rlimit before, space;
    put("proc/self/statm", "1000 100 7 1 0 1 0\n");
    put("proc/self/cgroup", "0::/a\n");
    put("sys/fs/cgroup/a/memory.max", "50000000\n");
    check_memory(50000000 - 100 * page, "the memory limit /sys/fs/cgroup/a/memory.max");
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    if (before.rlim_cur != RLIM_INFINITY) skip();
    space = before;
    space.rlim_cur = (rlim_t)1 << 40; /* far above what this process maps */
    put("sys/fs/cgroup/a/memory.max", "max\n");
    put("proc/self/statm", "268435456 0 7 1 0 1 0\n"); /* 2^28 pages of the 2^40 bytes */
    assert_int_equal(setrlimit(RLIMIT_AS, &space), 0);
    const px_memory_limit found = px_limit_memory(root);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    if (page != 4096) skip();
    assert_int_equal(found.bytes, 0);
    assert_string_equal(found.name, "the address space limit (ulimit -v)");
}

static void a_missing_list_is_no_limit(void **state) {
    (void)state;
    put("proc/self/cgroup", "nonsense\n3\n0::\n");
    assert_int_equal(px_limit_processors(root), INT_MAX);
    assert_string_equal(px_limit_memory("/absent").name, "this machine's memory");
}

/* Arenas count their bytes against the memory of the device, and their message names the limit. */
static void arenas_keep_to_the_limit(void **state) {
    (void)state;
    px_context ctx = {""};
    px_device *device;
    px_arena first, second;
    assert_int_equal(px_cpu_open(&ctx, PX_REAL, &device), PX_OK);
    device->memory = device->workspace + 1000;
    strcpy(device->limit, "the memory limit FILE");
    assert_int_equal(px_arena_allocate(&first, device, 600), PX_OK);
    assert_true(px_arena_fits(device, 400) && !px_arena_fits(device, 401));
    assert_int_equal(px_arena_allocate(&second, device, 401), PX_ERR_MEMORY);
    assert_int_equal(px_arena_fail(device, "a test needs", (size_t)3 << 30, "train.batch_size"), PX_ERR_MEMORY);
    assert_non_null(strstr(ctx.message, "out of memory: a test needs 3.000 GiB beside "));
    assert_non_null(strstr(ctx.message, " GiB that the memory limit FILE leaves; lower train.batch_size"));
    px_arena_free(&second);
    px_arena_free(&first);
    assert_true(px_arena_fits(device, 1000));
    px_device_close(device);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_machine_without_limits, make_root, remove_root),
        cmocka_unit_test_setup_teardown(groups_of_version_2, make_root, remove_root),
        cmocka_unit_test_setup_teardown(groups_of_version_1, make_root, remove_root),
        cmocka_unit_test_setup_teardown(memory_in_use_is_subtracted, make_root, remove_root),
        cmocka_unit_test_setup_teardown(a_missing_list_is_no_limit, make_root, remove_root),
        cmocka_unit_test(arenas_keep_to_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
