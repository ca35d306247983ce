/* Several files as one source: folders of array files, and lists of sources. */
#include "tests/support/data_files.h"
#include <sys/stat.h>
#include <unistd.h>

static void folders_of_cifar_are_read(void **state) {
    (void)state;
    static blob b;
    assert_int_equal(mkdir(px_test_path("cifar"), 0777), 0);
    for (int i = 1; i <= 11; i++) { /* batch 10 comes after batch 9 */
        char name[64];
        snprintf(name, sizeof name, "cifar/data_batch_%d.bin", i);
        cifar_make(&b, 2 * i, 2);
        write_plain(name, &b);
    }
    cifar_make(&b, 100, 3);
    write_plain("cifar/test_batch.bin", &b);
    b.size = 0;
    append(&b, "airplane\n", 9);
    write_plain("cifar/batches.meta.txt", &b);
    write_plain("cifar/readme.html", &b);
    for (int a = 0; a < 2; a++) {
        const char *path = px_test_path("cifar");
        check_cifar(path, (px_source_options){.access = accesses[a]}, 22, 2);
        check_cifar(path, (px_source_options){.split = PX_SPLIT_TEST, .access = accesses[a]}, 3, 100);
    }
    check_refused(px_test_path("cifar"), (px_source_options){.split = PX_SPLIT_VALID}, PX_ERR_FORMAT,
                  "found 12 array files (the first: data_batch_1.bin), none named for validation, expected \"val\" or "
                  "\"validation\" in a name");
    cifar_make(&b, 5, 1);
    write_plain("cifar/more.bin", &b);
    check_refused(px_test_path("cifar"), (px_source_options){0}, PX_ERR_FORMAT,
                  "cifar/more.bin: found no split in its name, expected train, test or val as the other files have it");
}

static void folders_of_idx_are_read(void **state) {
    (void)state;
    static blob images, labels;
    assert_int_equal(mkdir(px_test_path("mnist"), 0777), 0);
    labels.size = 0;
    append(&labels, "\0\0\10\1\0\0\0\3abc", 11);
    idx_make(&images, 3, 0);
    write_gzip("mnist/train-images-idx3-ubyte.gz", &images);
    write_plain("mnist/train-images-idx3-ubyte", &images); /* unpacked beside it: once only */
    write_plain("mnist/train-labels-idx1-ubyte", &labels);
    idx_make(&images, 2, 100);
    write_gzip("mnist/t10k-images-idx3-ubyte.gz", &images);
    write_gzip("mnist/t10k-labels-idx1-ubyte.gz", &labels);
    check_interleaved(px_test_path("mnist"), (px_source_options){0}, 1);
    px_source *source = open_source(px_test_path("mnist"), (px_source_options){.split = PX_SPLIT_TEST});
    check_sizes(source, 2, 2, 2, 1);
    check_image(source, 1, (const uint8_t[]){104, 105, 106, 107});
    assert_string_equal(source->name, px_test_path("mnist/t10k-images-idx3-ubyte.gz"));
    px_source_close(source);
}

/* Files whose names mean labels are ignored, whatever their shape. */
static void labels_in_folders_are_ignored(void **state) {
    (void)state;
    static const char *const names[] = {"labelled/x_train.npy", "labelled/y_train.npy", "labelled/train_labels.npy"};
    static blob array;
    assert_int_equal(mkdir(px_test_path("labelled"), 0777), 0);
    npy_make(&array, NPY_IMAGES("(3, 2, 2)"), 12);
    for (int i = 0; i < 3; i++) write_plain(names[i], &array);
    check_interleaved(px_test_path("labelled"), (px_source_options){0}, 1);
}

/* Without test files the validation split is used for testing, but never for training. */
static void validation_images_replace_test_images(void **state) {
    (void)state;
    static blob array;
    assert_int_equal(mkdir(px_test_path("valid"), 0777), 0);
    npy_make(&array, NPY_IMAGES("(3, 2, 2)"), 12);
    write_plain("valid/x_val.npy", &array);
    check_interleaved(px_test_path("valid"), (px_source_options){.split = PX_SPLIT_TEST}, 1);
    check_interleaved(px_test_path("valid"), (px_source_options){.split = PX_SPLIT_VALID}, 1);
    check_refused(px_test_path("valid"), (px_source_options){.split = PX_SPLIT_TRAIN}, PX_ERR_FORMAT,
                  "found 1 array files (the first: x_val.npy), none named for training");
}

static void folders_of_npz_are_read(void **state) {
    (void)state;
    static blob array;
    assert_int_equal(mkdir(px_test_path("parts"), 0777), 0);
    for (int part = 0; part < 3; part++) {
        static zip_file zip;
        char name[32];
        zip = (zip_file){.members = 0};
        snprintf(name, sizeof name, "parts/part_%d.npz", 9 + part);
        npy_make(&array, NPY_IMAGES("(1, 2, 2)"), 4);
        for (int i = 0; i < 4; i++) array.bytes[array.size - 4 + (size_t)i] = (uint8_t)(4 * part + i);
        zip_add(&zip, "data.npy", array.bytes, array.size, (zip_lie){.deflate = true});
        zip_write(name, &zip);
    }
    for (px_split split = PX_SPLIT_TRAIN; split <= PX_SPLIT_VALID; split++)
        check_interleaved(px_test_path("parts"), (px_source_options){.split = split}, 1);
    npy_make(&array, NPY_IMAGES("(1, 3, 3)"), 9);
    write_plain("parts/part_12.npy", &array);
    px_context ctx = {""};
    px_source *source;
    assert_int_equal(px_source_open(&ctx, px_test_path("parts"), NULL, &source), PX_ERR_CONFIG);
    assert_non_null(strstr(ctx.message, "part_12.npy: found images of 3 x 3 x 1, expected 2 x 2 x 1 as in "));
    assert_null(source);
}

static void lists_are_joined(void **state) {
    (void)state;
    static blob b;
    char list[2 * PX_PATH];
    px_context ctx = {""};
    px_source *source;
    npy_make(&b, NPY_IMAGES("(2, 2, 2)"), 8);
    const char *first = write_plain("a, b.npy", &b);
    idx_make(&b, 1, 8);
    snprintf(list, sizeof list, "%s\t%s", first, write_plain("c.idx", &b));
    assert_int_equal(px_source_open_list(&ctx, list, &(px_source_options){0}, &source), PX_OK);
    check_sizes(source, 3, 2, 2, 1);
    check_image(source, 1, (const uint8_t[]){4, 5, 6, 7});
    check_image(source, 2, (const uint8_t[]){8, 9, 10, 11});
    assert_non_null(strstr(source->name, "a, b.npy and 1 more"));
    assert_true(source->concurrent);
    px_source_close(source);
    assert_int_equal(px_source_open_list(&ctx, "no/such.npy", &(px_source_options){0}, &source), PX_ERR_FILE);
    assert_null(source);
    memset(list, 'x', PX_PATH);
    list[PX_PATH] = 0;
    assert_int_equal(px_source_open_list(&ctx, list, &(px_source_options){0}, &source), PX_ERR_FILE);
    assert_non_null(strstr(ctx.message, "xxx...: the path is longer than 1023 bytes"));
}

/* A list is concurrent only if all of its sources are. */
static void lists_are_as_concurrent_as_their_parts(void **state) {
    (void)state;
    static blob b;
    static zip_file zip;
    char list[2 * PX_PATH + 1];
    px_context ctx = {""};
    npy_make(&b, NPY_IMAGES("(2, 2, 2)"), 8);
    zip_add(&zip, "data.npy", b.bytes, b.size, (zip_lie){.deflate = true});
    const char *paths[] = {write_plain("plain.npy", &b), zip_write("packed.npz", &zip)};
    for (int i = 0; i < 2; i++) {
        px_source *source;
        snprintf(list, sizeof list, "%s\t%s", paths[i], paths[1 - i]);
        assert_int_equal(px_source_open_list(&ctx, list, &(px_source_options){.access = PX_ACCESS_IN_ORDER}, &source),
                         PX_OK);
        assert_false(source->concurrent);
        px_source_close(source);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_of_cifar_are_read),
        cmocka_unit_test(folders_of_idx_are_read),
        cmocka_unit_test(labels_in_folders_are_ignored),
        cmocka_unit_test(validation_images_replace_test_images),
        cmocka_unit_test(folders_of_npz_are_read),
        cmocka_unit_test(lists_are_joined),
        cmocka_unit_test(lists_are_as_concurrent_as_their_parts),
    };
    return cmocka_run_group_tests_name("data_folders", tests, px_test_folder_make, px_test_folder_remove);
}
