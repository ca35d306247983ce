/* Locks on files: who has one, how long, and what happens on a file system that has none. */
#include "host/io/lock.h"
#include "tests/support/support.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int error;           /* what the mock fails with; 0: it is the system's call */
static const char *removed; /* a file that disappears just before it is locked, as its last holder removes it */
static char folder[] = "/tmp/px_lock_XXXXXX", path[64];

/* A mock of the system's call, in whose place the linker puts it. */
int flock(int file, int operation) {
    if (removed) unlink(removed);
    removed = NULL;
    errno = error;
    return error ? -1 : (int)syscall(SYS_flock, file, operation);
}

static void expect_refusal(const char *want) {
    px_context ctx;
    px_lock second = {0};
    assert_int_equal(px_lock_acquire(&ctx, path, &second), PX_ERR_FILE);
    assert_string_equal(ctx.message, want);
    px_lock_release(&second); /* not taken: it must leave the file where it is */
    assert_true(px_file_exists(path));
}

static void a_second_taker_is_told_who_has_it(void **state) {
    px_context ctx;
    px_lock lock = {0};
    char host[64] = "", want[256];
    (void)state;
    assert_ok(&ctx, px_lock_acquire(&ctx, path, &lock));
    assert_string_equal(lock.warning, "");
    assert_ok(&ctx, px_lock_acquire(&ctx, path, &lock)); /* again: it is ours */
    gethostname(host, sizeof host - 1);
    snprintf(want, sizeof want, "%s: process %ld on %s is at work here; wait for it, end it, or choose another -o",
             path, (long)getpid(), host);
    expect_refusal(want);
    px_lock_release(&lock);
    assert_false(px_file_exists(path));
    assert_ok(&ctx, px_lock_acquire(&ctx, path, &lock));
    px_lock_release(&lock);
}

static void a_lock_dies_with_its_process(void **state) {
    px_context ctx;
    px_lock lock = {0};
    int ready[2], how;
    char byte = 0;
    (void)state;
    assert_int_equal(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
        byte = px_lock_acquire(&ctx, path, &lock) == PX_OK;
        const ssize_t told = write(ready[1], &byte, 1);
        for (;;) pause();
        _exit((int)told);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 1);
    assert_int_equal(px_lock_acquire(&ctx, path, &lock), PX_ERR_FILE);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_ok(&ctx, px_lock_acquire(&ctx, path, &lock));
    px_lock_release(&lock);
    close(ready[0]);
    close(ready[1]);
}

/* A lock on a removed file excludes nobody, because another process can create the file again. */
static void a_file_that_its_holder_removes_is_not_locked(void **state) {
    px_context ctx;
    px_lock lock = {0};
    (void)state;
    removed = path;
    assert_ok(&ctx, px_lock_acquire(&ctx, path, &lock));
    assert_true(px_file_exists(path));
    assert_int_equal(px_lock_acquire(&ctx, path, &(px_lock){0}), PX_ERR_FILE);
    px_lock_release(&lock);
}

static void a_file_system_without_locks_is_reported(void **state) {
    static const int errors[] = {ENOLCK, EOPNOTSUPP, ENOSYS, EINVAL};
    px_context ctx;
    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        px_lock lock = {0};
        char want[256];
        error = errors[i];
        assert_ok(&ctx, px_lock_acquire(&ctx, path, &lock));
        snprintf(want, sizeof want,
                 "%s: this file system has no locks (%s): make sure that no other process writes here", path,
                 strerror(error));
        assert_string_equal(lock.warning, want);
        px_lock_release(&lock);
        assert_false(px_file_exists(path));
    }
    error = 0;
}

static void a_missing_folder_is_named(void **state) {
    px_context ctx;
    px_lock lock = {0};
    (void)state;
    assert_int_equal(px_lock_acquire(&ctx, "/nowhere/at/all/lock", &lock), PX_ERR_FILE);
    assert_string_equal(ctx.message, "/nowhere/at/all/lock: No such file or directory");
    px_lock_release(&lock);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_taker_is_told_who_has_it),
        cmocka_unit_test(a_lock_dies_with_its_process),
        cmocka_unit_test(a_file_that_its_holder_removes_is_not_locked),
        cmocka_unit_test(a_file_system_without_locks_is_reported),
        cmocka_unit_test(a_missing_folder_is_named),
    };
    if (!mkdtemp(folder)) return 1;
    snprintf(path, sizeof path, "%s/out.lock", folder);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(folder);
    return failed;
}
