/* CIFAR-10 and CIFAR-100: binary files, tars of batches, and the Python version, which is refused. */
#include "tests/support/data_files.h"
#include "host/data/formats.h"
#include <sys/stat.h>
#include <unistd.h>

static void cifar_is_read(void **state) {
    (void)state;
    static blob b;
    cifar_make(&b, 3, 4);
    check_cifar(write_plain("batch.bin", &b), (px_source_options){0}, 4, 3);
    check_cifar(write_gzip("batch.bin.gz", &b), (px_source_options){0}, 4, 3);
    cifar_tar_make(&b, NULL);
    const char *paths[] = {write_plain("cifar.tar", &b), write_gzip("cifar.tar.gz", &b)};
    for (int i = 0; i < 2; i++)
        for (int a = 0; a < 2; a++) {
            check_cifar(paths[i], (px_source_options){.access = accesses[a]}, 10, 2);
            check_cifar(paths[i], (px_source_options){.split = PX_SPLIT_TEST, .access = accesses[a]}, 3, 100);
        }
}

static void bad_cifar_is_refused(void **state) {
    (void)state;
    static blob b, record;
    cifar_make(&b, 3, 4);
    b.bytes[2 * CIFAR_RECORD] = 10;
    check_refused(write_plain("label.bin", &b), (px_source_options){0}, PX_ERR_FORMAT,
                  "cifar: found label 10 in record 2, expected 0 to 9");
    b.size--;
    check_refused(write_plain("cut.bin", &b), (px_source_options){0}, PX_ERR_FORMAT,
                  "found the first bytes 03 03 03 03 03 03 03 03, expected");
    cifar_tar_make(&b, "batch_3");
    check_refused(write_gzip("missing.tar.gz", &b), (px_source_options){0}, PX_ERR_FORMAT,
                  "cifar: found 0 files named data_batch_3.bin, expected one");
    cifar_make(&record, 1, 1);
    b.size = 0;
    tar_add(&b, "a/test_batch.bin", record.bytes, CIFAR_RECORD, CIFAR_RECORD);
    tar_add(&b, "b/test_batch.bin", record.bytes, CIFAR_RECORD, CIFAR_RECORD);
    tar_end(&b);
    check_refused(write_gzip("twice.tar.gz", &b), (px_source_options){.split = PX_SPLIT_TEST}, PX_ERR_FORMAT,
                  "cifar: found 2 files named test_batch.bin, expected one");
    b.size = 0;
    tar_add(&b, "test_batch.bin", record.bytes, CIFAR_RECORD - 1, CIFAR_RECORD - 1);
    tar_end(&b);
    check_refused(write_plain("part.tar", &b), (px_source_options){.split = PX_SPLIT_TEST}, PX_ERR_FORMAT,
                  "part.tar/test_batch.bin: cifar: found 3072 bytes, expected a multiple of 3073");
}

/* Makes `count` CIFAR-100 records, which have two labels: coarse 0 to 19, fine 0 to 99. */
static void cifar_100_make(blob *b, int first, int count) {
    b->size = 0;
    for (int n = first; n < first + count; n++) {
        append(b, (const uint8_t[]){(uint8_t)(n % 20), (uint8_t)(n % 100)}, 2);
        for (int i = 0; i < 3072; i++) append_little(b, (uint64_t)(n + i / 1024), 1);
    }
}

static void cifar_100_is_read(void **state) {
    (void)state;
    static blob b, batch;
    cifar_100_make(&b, 15, 4);
    check_cifar(write_plain("train.bin", &b), (px_source_options){0}, 4, 15);
    b.bytes[3074] = 20;
    check_refused(write_plain("label.bin", &b), (px_source_options){0}, PX_ERR_FORMAT,
                  "cifar: found label 20 in record 1, expected 0 to 19");
    b.size = 0;
    cifar_100_make(&batch, 7, 3);
    tar_add(&b, "cifar-100-binary/train.bin", batch.bytes, batch.size, batch.size);
    cifar_100_make(&batch, 90, 2);
    tar_add(&b, "cifar-100-binary/test.bin", batch.bytes, batch.size, batch.size);
    tar_end(&b);
    const char *path = write_gzip("cifar-100.tar.gz", &b);
    check_cifar(path, (px_source_options){0}, 3, 7);
    check_cifar(path, (px_source_options){.split = PX_SPLIT_TEST}, 2, 90);
    check_refused(path, (px_source_options){.split = PX_SPLIT_VALID}, PX_ERR_FORMAT,
                  "cifar: found no validation split, expected train or test");
}

static void python_cifar_is_refused(void **state) {
    (void)state;
    static const char words[] = "found CIFAR's Python version (pickles), expected its binary version: "
                                "cifar-10-binary.tar.gz, cifar-100-binary.tar.gz, or their .bin files";
    static const char *const names[] = {"cifar-10-batches-py/data_batch_1", "cifar-100-python/train"};
    static blob b;
    for (int i = 0; i < 2; i++) {
        b.size = 0;
        tar_add(&b, names[i], "\x80\2}q\1", 5, 5);
        tar_end(&b);
        for (int a = 0; a < 2; a++)
            check_refused(write_gzip("cifar-python.tar.gz", &b), (px_source_options){.access = accesses[a]},
                          PX_ERR_FORMAT, words);
    }
    b.size = 0;
    append(&b, "\x80\2}q\1", 5);
    assert_int_equal(mkdir(px_test_path("py"), 0777), 0);
    check_refused(write_plain("py/data_batch_1", &b), (px_source_options){0}, PX_ERR_FORMAT, words);
    check_refused(px_test_path("py"), (px_source_options){0}, PX_ERR_FORMAT, words);
}

static void cifar_that_shrank_is_noticed(void **state) {
    (void)state;
    static blob b;
    cifar_make(&b, 3, 4);
    const char *path = write_plain("batch.bin", &b);
    px_source *source = open_source(path, (px_source_options){0});
    assert_int_equal(truncate(path, 3073), 0);
    check_unreadable(source, 3, PX_ERR_FILE, "batch.bin: shrank while it was read: found 3073 bytes, expected 12292");
    px_source_close(source);
}

static void batches_are_recognised_by_name(void **state) {
    (void)state;
    static const char *const batches[] = {"data_batch_1.bin", "a/data_batch_5.bin", "test_batch.bin",
                                          "cifar-100-binary/train.bin", "cifar-100-binary/test.bin"},
                             *const others[] = {"data_batch_0.bin", "data_batch_6.bin", "data_batch_1.html",
                                                "data_batch_1",     "train.bin",        "batches.meta.txt"};
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) assert_true(px_cifar_batch_named(batches[i]));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) assert_false(px_cifar_batch_named(others[i]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cifar_is_read),
        cmocka_unit_test(bad_cifar_is_refused),
        cmocka_unit_test(cifar_100_is_read),
        cmocka_unit_test(python_cifar_is_refused),
        cmocka_unit_test(cifar_that_shrank_is_noticed),
        cmocka_unit_test(batches_are_recognised_by_name),
    };
    return cmocka_run_group_tests_name("data_cifar", tests, px_test_folder_make, px_test_folder_remove);
}
