/* Atomic writing of files, reading with pread, and resume files: full disks, interrupted reads, truncated files. */
#include "tests/support/files.h"
#include "host/io/file.h"
#include "host/io/resume_file.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Bytes that one pread gives at most. After each call that gives any, the next one is interrupted; 0: neither. */
static size_t most_at_once;

/* Takes the C library's place in this program. */
ssize_t pread(int descriptor, void *to, size_t bytes, off_t offset) {
    static bool interrupted;
    if (most_at_once > 0) {
        interrupted = !interrupted;
        errno = EINTR;
        if (interrupted) return -1;
        if (bytes > most_at_once) bytes = most_at_once;
    }
    return syscall(SYS_pread64, descriptor, to, bytes, offset);
}

/* ---------------------------------------------------------------- files */

static void file_appears_when_committed(void **state) {
    (void)state;
    put(px_test_path("a"), "old", 3);
    px_file_out out;
    assert_int_equal(px_file_create(&ctx, px_test_path("a"), &out), PX_OK);
    assert_int_equal(px_file_write(&ctx, &out, "new", 3), PX_OK);
    assert_true(px_file_exists(px_test_path("a.partial")));
    assert_text(px_test_path("a"), "old");
    assert_int_equal(px_file_commit(&ctx, &out), PX_OK);
    assert_text(px_test_path("a"), "new");
    assert_false(px_file_exists(px_test_path("a.partial")));
    px_file_abandon(&out);
    assert_text(px_test_path("a"), "new");
}

static void abandoned_file_leaves_nothing(void **state) {
    (void)state;
    put(px_test_path("a"), "old", 3);
    px_file_out out;
    assert_int_equal(px_file_create(&ctx, px_test_path("a"), &out), PX_OK);
    assert_int_equal(px_file_write(&ctx, &out, "new", 3), PX_OK);
    px_file_abandon(&out);
    assert_text(px_test_path("a"), "old");
    assert_false(px_file_exists(px_test_path("a.partial")));
}

static void stale_temporary_is_overwritten(void **state) {
    (void)state;
    put(px_test_path("b.partial"), "left by a run that was killed", 29);
    put(px_test_path("b"), "x", 1);
    assert_text(px_test_path("b"), "x");
    assert_false(px_file_exists(px_test_path("b.partial")));
}

static void full_disk_leaves_the_old_file(void **state) {
    (void)state;
    if (!px_file_exists("/dev/full")) {
        print_message("SKIP: no /dev/full to stand for a full disk\n");
        skip();
    }
    static const char big[1 << 16];
    const size_t sizes[] = {3, sizeof big}; /* noticed by the flush, and by the write */
    for (int i = 0; i < 2; i++) {
        put(px_test_path("a"), "old", 3);
        assert_int_equal(symlink("/dev/full", px_test_path("a.partial")), 0);
        px_file_out out;
        assert_int_equal(px_file_create(&ctx, px_test_path("a"), &out), PX_OK);
        px_status status = px_file_write(&ctx, &out, big, sizes[i]);
        if (status == PX_OK) status = px_file_commit(&ctx, &out);
        assert_int_equal(status, PX_ERR_FILE);
        assert_message("/a: No space left on device");
        px_file_abandon(&out);
        assert_text(px_test_path("a"), "old");
        assert_false(px_file_exists(px_test_path("a.partial")));
    }
}

static void unnoticed_write_error_stops_the_commit(void **state) {
    (void)state;
    if (!px_file_exists("/dev/full")) {
        print_message("SKIP: no /dev/full to stand for a full disk\n");
        skip();
    }
    put(px_test_path("a"), "old", 3);
    assert_int_equal(symlink("/dev/full", px_test_path("a.partial")), 0);
    px_file_out out;
    assert_int_equal(px_file_create(&ctx, px_test_path("a"), &out), PX_OK);
    fputs("some", out.stream);
    fflush(out.stream);
    assert_int_equal(px_file_commit(&ctx, &out), PX_ERR_FILE);
    assert_message("/a: ");
    assert_text(px_test_path("a"), "old");
}

static void refused_paths(void **state) {
    (void)state;
    px_file_out out;
    assert_int_equal(px_file_create(&ctx, px_test_path("missing/a"), &out), PX_ERR_FILE);
    assert_message("missing/a: No such file or directory");
    px_file_abandon(&out);
    assert_int_equal(px_file_create(&ctx, px_test_folder, &out), PX_ERR_FILE);
    assert_message("Is a directory");
    px_file_abandon(&out);
    char name[2000];
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = 0;
    assert_int_equal(px_file_create(&ctx, name, &out), PX_ERR_FILE);
    assert_message("File name too long");
    px_file_abandon(&out);
}

static void device_is_written_in_place(void **state) {
    (void)state;
    put("/dev/null", "gone", 4);
    struct stat status;
    assert_int_equal(stat("/dev/null", &status), 0);
    assert_true(S_ISCHR(status.st_mode));
}

static void text_is_read_whole(void **state) {
    (void)state;
    char text[10000], *back;
    memset(text, 'x', sizeof text);
    put(px_test_path("text"), text, sizeof text);
    assert_int_equal(px_file_read_text(&ctx, px_test_path("text"), sizeof text, &back), PX_OK);
    assert_int_equal(strlen(back), sizeof text);
    free(back);
    assert_int_equal(px_file_read_text(&ctx, px_test_path("text"), sizeof text - 1, &back), PX_ERR_FORMAT);
    assert_message("found more than 9999 bytes");
    assert_null(back);
    put(px_test_path("text"), "", 0);
    assert_text(px_test_path("text"), "");
    put(px_test_path("text"), "ab\0c", 4);
    assert_int_equal(px_file_read_text(&ctx, px_test_path("text"), 100, &back), PX_ERR_FORMAT);
    assert_message("found 0 at byte 2");
    assert_int_equal(px_file_read_text(&ctx, px_test_path("nowhere"), 100, &back), PX_ERR_FILE);
    assert_message("nowhere: No such file or directory");
    assert_int_equal(px_file_read_text(&ctx, px_test_folder, 100, &back), PX_ERR_FILE);
    assert_message("Is a directory");
}

static void folders_are_made_and_removed(void **state) {
    (void)state;
    assert_int_equal(px_file_make_folder(&ctx, px_test_path("x/y//z/")), PX_OK);
    assert_int_equal(px_file_make_folder(&ctx, px_test_path("x/y/z")), PX_OK);
    assert_int_equal(px_file_sync_folder(&ctx, px_test_path("x/y")), PX_OK);
    assert_int_equal(px_file_sync_folder(&ctx, px_test_path("x/no")), PX_ERR_FILE);

    put(px_test_path("x/y/file"), "1", 1);
    assert_int_equal(px_file_make_folder(&ctx, px_test_path("x/y/file/z")), PX_ERR_FILE);
    assert_message("x/y/file: Not a directory");

    put(px_test_path("outside"), "kept", 4);
    assert_int_equal(symlink(px_test_folder, px_test_path("x/link")), 0);
    assert_int_equal(px_file_remove_folder(&ctx, px_test_path("x")), PX_OK);
    assert_false(px_file_exists(px_test_path("x")));
    assert_text(px_test_path("outside"), "kept");
    assert_int_equal(px_file_remove_folder(&ctx, px_test_path("x")), PX_OK);
}

static void file_is_read_by_place(void **state) {
    (void)state;
    px_file_in in;
    char bytes[8] = "";
    put(px_test_path("placed"), "0123456789", 10);
    assert_int_equal(px_file_open(&ctx, px_test_path("placed"), &in), PX_OK);
    assert_int_equal(in.size, 10);
    assert_int_equal(px_file_read_at(&ctx, px_test_path("placed"), &in, 3, 7, bytes), PX_OK);
    assert_string_equal(bytes, "3456789");
    assert_int_equal(px_file_read_at(&ctx, px_test_path("placed"), &in, 10, 0, bytes), PX_OK);
    assert_int_equal(px_file_check(&ctx, px_test_path("placed"), &in), PX_OK);
    px_file_close(&in);
}

/* Linux reads 2 GiB at once at most, and signals interrupt. */
static void file_is_read_in_pieces(void **state) {
    (void)state;
    px_file_in in;
    char bytes[11] = "";
    put(px_test_path("pieces"), "0123456789", 10);
    assert_int_equal(px_file_open(&ctx, px_test_path("pieces"), &in), PX_OK);
    most_at_once = 3;
    const px_status status = px_file_read_at(&ctx, px_test_path("pieces"), &in, 1, 9, bytes);
    most_at_once = 0;
    assert_int_equal(status, PX_OK);
    assert_string_equal(bytes, "123456789");
    px_file_close(&in);
}

/* From the first record on; a torn one does not count. */
static void resume_file_keeps_its_records(void **state) {
    (void)state;
    char records[13] = "";
    px_resume_file *journal;
    for (size_t count = 0; count < 3; count++) {
        assert_int_equal(px_resume_file_open(&ctx, px_test_path("work"), "some work", 4, &journal), PX_OK);
        assert_int_equal(px_resume_file_count(journal), count);
        assert_int_equal(px_resume_file_append(journal, count == 0 ? "aaaa" : count == 1 ? "bbbb" : "cccc", 1), PX_OK);
        px_resume_file_close(journal);
    }
    assert_int_equal(truncate(px_test_path("work.journal"), 10 + 11), 0);
    assert_int_equal(px_resume_file_open(&ctx, px_test_path("work"), "some work", 4, &journal), PX_OK);
    assert_int_equal(px_resume_file_count(journal), 2);
    assert_int_equal(px_resume_file_append(journal, "ddddeeee", 2), PX_OK);
    assert_int_equal(px_resume_file_read(journal, 1, 3, records), PX_OK);
    assert_string_equal(records, "bbbbddddeeee");
    px_resume_file_remove(journal);
    px_resume_file_close(journal);
    assert_false(px_file_exists(px_test_path("work.journal")));
}

/* What is still there is read, what is not is told; never a signal. */
static void file_that_shrinks_is_told(void **state) {
    (void)state;
    px_file_in in;
    char bytes[8] = "";
    put(px_test_path("cut"), "0123456789", 10);
    assert_int_equal(px_file_open(&ctx, px_test_path("cut"), &in), PX_OK);
    for (int length = 5; length >= 0; length -= 5) {
        assert_int_equal(truncate(px_test_path("cut"), length), 0);
        assert_int_equal(px_file_read_at(&ctx, px_test_path("cut"), &in, 0, (size_t)length, bytes), PX_OK);
        assert_int_equal(px_file_read_at(&ctx, px_test_path("cut"), &in, 3, 7, bytes), PX_ERR_FILE);
        assert_message(length ? "cut: shrank while it was read: found 5 bytes, expected 10"
                              : "cut: shrank while it was read: found 0 bytes, expected 10");
        assert_int_equal(px_file_check(&ctx, px_test_path("cut"), &in), PX_ERR_FILE);
    }
    px_file_close(&in);
}

/* A pipe is refused at once, and not waited for. */
static void only_files_are_read_by_place(void **state) {
    (void)state;
    px_file_in in;
    assert_int_equal(mkfifo(px_test_path("pipe"), 0600), 0);
    const char *const refused[] = {px_test_path("pipe"), px_test_folder, "/dev/null"};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(px_file_open(&ctx, refused[i], &in), PX_ERR_FILE);
        assert_message("found a folder, a pipe or a device, expected a file");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_appears_when_committed),
        cmocka_unit_test(abandoned_file_leaves_nothing),
        cmocka_unit_test(stale_temporary_is_overwritten),
        cmocka_unit_test(full_disk_leaves_the_old_file),
        cmocka_unit_test(unnoticed_write_error_stops_the_commit),
        cmocka_unit_test(refused_paths),
        cmocka_unit_test(device_is_written_in_place),
        cmocka_unit_test(text_is_read_whole),
        cmocka_unit_test(folders_are_made_and_removed),
        cmocka_unit_test(file_is_read_by_place),
        cmocka_unit_test(file_is_read_in_pieces),
        cmocka_unit_test(resume_file_keeps_its_records),
        cmocka_unit_test(file_that_shrinks_is_told),
        cmocka_unit_test(only_files_are_read_by_place),
    };
    return cmocka_run_group_tests_name("files", tests, px_test_folder_make, px_test_folder_remove);
}
