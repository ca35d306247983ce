/* Reads the seeds of the fuzzers, and the files that they found. Files named bad_* must be refused with a message, all
 * others must be read. A broken promise of the API aborts the process (tests/fuzz/readers.c). */
#include "tests/support/support.h"
#include "host/data/byte_source.h"
#include "host/io/file.h"
#include "tests/fuzz/readers.h"
#include <dirent.h>
#include <string.h>

static void read_one(const fuzz_reader *reader, const char *folder, const char *name) {
    px_context ctx = {""};
    px_byte_source file;
    char path[PX_PATH];
    assert_ok(&ctx, px_file_path(&ctx, path, "%s/%s", folder, name));
    assert_ok(&ctx, px_byte_source_read(&ctx, path, 1 << 20, &file));
    px_status status = reader->read(&ctx, file.bytes, file.size);
    px_byte_source_free(&file);
    bool bad = strncmp(name, "bad_", 4) == 0;
    if (bad && status == PX_OK) fail_msg("%s: was read, expected it to be refused", path);
    if (!bad && status != PX_OK) fail_msg("%s: %s", path, ctx.message);
}

static void corpus_is_read(void **state) {
    const fuzz_reader *reader = *state;
    px_context ctx = {""};
    char folder[PX_PATH];
    int files = 0;
    assert_ok(&ctx, px_file_path(&ctx, folder, "tests/fuzz/corpus/%s", reader->name));
    DIR *entries = opendir(folder);
    assert_non_null(entries);
    for (const struct dirent *entry; (entry = readdir(entries)); files += entry->d_name[0] != '.')
        if (entry->d_name[0] != '.') read_one(reader, folder, entry->d_name);
    closedir(entries);
    assert_true(files > 1);
}

int main(void) {
    struct CMUnitTest tests[FUZZ_READERS];
    for (int r = 0; r < FUZZ_READERS; r++) {
        const fuzz_reader *reader = &fuzz_readers[r];
        tests[r] = (struct CMUnitTest){reader->name, corpus_is_read, NULL, NULL, (void *)(uintptr_t)reader};
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
