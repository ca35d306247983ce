/* Arrays of images in archives: .npz, zips and CIFAR-10, read right in any order and in order; bad ones refused. */
#include "tests/data_files.h"
#include <unistd.h>

static const px_access accesses[] = {PX_ACCESS_ANY, PX_ACCESS_IN_ORDER};

/* npz ----------------------------------------------------------------------------------------------------------------
 */

/* 3 images of 2 x 2, their elements 0, 1, 2, ... as they lie in the file. */
static void check_interleaved(const char *path, px_source_options options, int channels) {
    for (int a = 0; a < 2; a++) {
        options.access = accesses[a];
        px_source *source = open_source(path, options);
        check_sizes(source, 3, 2, 2, channels);
        for (size_t n = 0; n < 3; n++) {
            uint8_t expected[12];
            for (size_t i = 0; i < 12; i++) expected[i] = (uint8_t)(n * 4 * (size_t)channels + i);
            check_image(source, n, expected);
        }
        px_source_close(source);
    }
}

static void check_planes(const char *path) {
    for (int a = 0; a < 2; a++) {
        px_source *source = open_source(path, (px_source_options){.access = accesses[a]});
        check_sizes(source, 3, 2, 2, 3);
        for (size_t n = 0; n < 3; n++) {
            uint8_t expected[12];
            for (size_t i = 0; i < 12; i++) expected[i] = (uint8_t)(n * 12 + i % 3 * 4 + i / 3);
            check_image(source, n, expected);
        }
        px_source_close(source);
    }
}

static void npz_is_read(void **state) {
    (void)state;
    static blob colour, planes, grey, flat, labels;
    npy_make(&colour, NPY_IMAGES("(3, 2, 2, 3)"), 36);
    npy_make(&planes, NPY_IMAGES("(3, 12)"), 36);
    npy_make(&grey, NPY_IMAGES("(3, 2, 2)"), 12);
    npy_make(&flat, NPY_IMAGES("(3, 4)"), 12);
    npy_make(&labels, "{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }", 24);
    for (int deflate = 0; deflate < 2; deflate++) {
        const struct {
            const blob *array;
            const char *name;
            int channels; /* 0: planes */
        } cases[] = {{&colour, "images.npy", 3},
                     {&planes, "data.npy", 0},
                     {&grey, "x_train.npy", 1},
                     {&flat, "anything.npy", 1},
                     {&colour, "set/data.npy", 3}};
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            static zip_file zip;
            zip = (zip_file){.members = 0};
            zip_add(&zip, "labels.npy", labels.bytes, labels.size, (zip_lie){.deflate = deflate});
            zip_add(&zip, cases[i].name, cases[i].array->bytes, cases[i].array->size, (zip_lie){.deflate = deflate});
            zip_add(&zip, "readme.txt", "hello", 5, (zip_lie){.deflate = deflate});
            const char *path = zip_write("set.npz", &zip);
            if (cases[i].channels)
                check_interleaved(path, (px_source_options){0}, cases[i].channels);
            else
                check_planes(path);
        }
    }
}

static void npz_holds_both_splits(void **state) {
    (void)state;
    static blob train, test;
    static zip_file zip;
    npy_make(&train, NPY_IMAGES("(3, 2, 2)"), 12);
    npy_make(&test, NPY_IMAGES("(3, 2, 2, 3)"), 36);
    zip_add(&zip, "x_train.npy", train.bytes, train.size, (zip_lie){0});
    zip_add(&zip, "x_test.npy", test.bytes, test.size, (zip_lie){0});
    const char *path = zip_write("both.npz", &zip);
    check_interleaved(path, (px_source_options){.split = PX_SPLIT_TRAIN}, 1);
    check_interleaved(path, (px_source_options){.split = PX_SPLIT_TEST}, 3);
}

/* Paths that would leave a folder are only names here: the member is found, and nothing is written. */
static void npz_paths_are_harmless(void **state) {
    (void)state;
    static blob array;
    npy_make(&array, NPY_IMAGES("(3, 2, 2)"), 12);
    const char *names[] = {"../../../../tmp/px_data_escaped/data.npy", "/tmp/px_data_escaped/data.npy"};
    for (int i = 0; i < 2; i++) {
        static zip_file zip;
        zip = (zip_file){.members = 0};
        zip_add(&zip, names[i], array.bytes, array.size, (zip_lie){0});
        check_interleaved(zip_write("paths.npz", &zip), (px_source_options){0}, 1);
        assert_false(px_file_exists("/tmp/px_data_escaped"));
    }
}

/* Bad arrays are refused whether stored or deflated. */
static void bad_npz_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *name, *dictionary, *words;
    } cases[] = {
        {"data.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2, 2), }",
         "set.npz/data.npy: npy: descr is '<f4'"},
        {"data.npy", "{'descr': '|u1', 'fortran_order': True, 'shape': (3, 2, 2), }", "fortran_order is True"},
        {"data.npy", NPY_IMAGES("(3, 2, 3)"), "found 12 bytes of pixels, expected 3 x 2 x 3 = 18"},
        {"data.npy", NPY_IMAGES("(2, 2, 2)"), "found 12 bytes of pixels, expected 2 x 2 x 2 = 8"},
        {"data.npy", NPY_IMAGES("(3, 5)"), "shape has 2 dimensions, expected 3 [N, H, W] or 4"},
        {"data.npy", NPY_IMAGES("(0, 2, 2)"), "found a shape of 0 x 2 x 2"},
        {"data.npy", NPY_IMAGES("(4294967296, 4294967296, 2)"), "expected 4294967296 x 4294967296 x 2"},
        {"data.npy", "", "npy: found"},
        {"other.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2, 2), }",
         "zip: found no array of images among 1 files"},
        {"labels.txt", NPY_IMAGES("(3, 2, 2)"), "expected data.npy, images.npy, x_train.npy or a uint8 array"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int deflate = 0; deflate < 2; deflate++) {
            static blob array;
            static zip_file zip;
            zip = (zip_file){.members = 0};
            npy_make(&array, cases[i].dictionary, 12);
            zip_add(&zip, cases[i].name, array.bytes, array.size, (zip_lie){.deflate = deflate});
            check_refused(zip_write("set.npz", &zip), (px_source_options){0}, PX_ERR_FORMAT, cases[i].words);
        }
}

static void ambiguous_npz_is_refused(void **state) {
    (void)state;
    static blob array;
    static zip_file twice, several;
    npy_make(&array, NPY_IMAGES("(3, 2, 2)"), 12);
    for (int i = 0; i < 2; i++) zip_add(&twice, "data.npy", array.bytes, array.size, (zip_lie){0});
    check_refused(zip_write("twice.npz", &twice), (px_source_options){0}, PX_ERR_FORMAT,
                  "twice.npz/data.npy: zip: found 2 arrays of images, this and others of its name, expected one");
    zip_add(&several, "a.npy", array.bytes, array.size, (zip_lie){0});
    zip_add(&several, "b.npy", array.bytes, array.size, (zip_lie){0});
    check_refused(zip_write("several.npz", &several), (px_source_options){0}, PX_ERR_FORMAT,
                  "several.npz/a.npy: zip: found 2 arrays of images, this and others, expected one");
}

/* A directory that promises more than there is: found out while unpacking, not believed. */
static void lying_npz_is_refused(void **state) {
    (void)state;
    static blob array;
    static zip_file larger, bomb, crc;
    npy_make(&array, NPY_IMAGES("(3, 400, 400)"), 400000);
    zip_add(&larger, "data.npy", array.bytes, array.size, (zip_lie){.deflate = true, .stated = array.size + 80000});
    const char *path = zip_write("larger.npz", &larger);
    check_refused(path, (px_source_options){0}, PX_ERR_FORMAT, "found damaged content (");
    px_source *source = open_source(path, (px_source_options){.access = PX_ACCESS_IN_ORDER});
    check_unreadable(source, 2, PX_ERR_FILE, "found damaged content (");
    px_source_close(source);

    npy_make(&array, NPY_IMAGES("(2000000000, 2, 2)"), 400000);
    zip_add(&bomb, "data.npy", array.bytes, array.size, (zip_lie){.deflate = true, .stated = array.size + 7999600000});
    check_refused(zip_write("bomb.npz", &bomb), (px_source_options){0}, PX_ERR_FORMAT,
                  "bytes of content, expected at most 4294967296: pixelrnn pack it first");

    npy_make(&array, NPY_IMAGES("(4, 400, 250)"), 400000);
    zip_add(&crc, "data.npy", array.bytes, array.size, (zip_lie){.deflate = true, .crc = 1});
    path = zip_write("crc.npz", &crc);
    check_refused(path, (px_source_options){0}, PX_ERR_FORMAT, "found damaged content (a checksum that is not that");
    source = open_source(path, (px_source_options){.access = PX_ACCESS_IN_ORDER});
    check_unreadable(source, 3, PX_ERR_FILE, "found damaged content (a checksum that is not that");
    px_source_close(source);
}

static void truncated_npz_is_refused(void **state) {
    (void)state;
    static blob array;
    for (int deflate = 0; deflate < 2; deflate++) {
        static zip_file zip;
        zip = (zip_file){.members = 0};
        npy_make(&array, NPY_IMAGES("(3, 20, 20)"), 1200);
        zip_add(&zip, "data.npy", array.bytes, array.size, (zip_lie){.deflate = deflate});
        const char *path = zip_write("cut.npz", &zip);
        assert_int_equal(truncate(path, 150), 0);
        check_refused(path, (px_source_options){0}, PX_ERR_FORMAT, "found damaged content (");
        assert_int_equal(truncate(path, 4), 0);
        check_refused(path, (px_source_options){0}, PX_ERR_FORMAT, "found damaged content (");
    }
}

/* One that is stored is not copied when it is opened: what is written to the file is read, where it was cut is told. */
static void stored_npz_stays_in_the_file(void **state) {
    (void)state;
    static blob array;
    static zip_file zip;
    npy_make(&array, NPY_IMAGES("(3, 2, 2)"), 12);
    zip_add(&zip, "data.npy", array.bytes, array.size, (zip_lie){0});
    const char *path = zip_write("stored.npz", &zip);
    px_source *source = open_source(path, (px_source_options){0});
    check_image(source, 1, (uint8_t[]){4, 5, 6, 7});
    const off_t end = (off_t)zip.body.size; /* of the images */
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, end - 8, SEEK_SET), 0);
    assert_int_equal(fwrite("abcd", 1, 4, file), 4);
    assert_int_equal(fclose(file), 0);
    check_image(source, 1, (const uint8_t *)"abcd");
    assert_int_equal(truncate(path, end - 1), 0);
    check_image(source, 1, (const uint8_t *)"abcd");
    check_unreadable(source, 2, PX_ERR_FILE, "stored.npz: shrank while it was read: found ");
    px_source_close(source);
}

static void deflated_npz_that_shrank_is_noticed(void **state) {
    (void)state;
    static blob array;
    static zip_file zip;
    npy_make(&array, NPY_IMAGES("(4, 200, 250)"), 200000);
    uint32_t noise = 1; /* or it would all be read ahead */
    for (size_t i = array.size - 200000; i < array.size; i++) {
        noise = noise * 1664525 + 1013904223;
        array.bytes[i] = (uint8_t)(noise >> 24);
    }
    zip_add(&zip, "data.npy", array.bytes, array.size, (zip_lie){.deflate = true});
    const char *path = zip_write("shrinking.npz", &zip);
    px_source *source = open_source(path, (px_source_options){.access = PX_ACCESS_IN_ORDER});
    check_image(source, 0, array.bytes + array.size - 200000);
    assert_int_equal(truncate(path, 1000), 0);
    check_unreadable(source, 3, PX_ERR_FILE, "shrinking.npz: shrank while it was read: found 1000 bytes, expected ");
    px_source_close(source);
}

static void order_is_kept_to(void **state) {
    (void)state;
    static blob array;
    static zip_file zip;
    npy_make(&array, NPY_IMAGES("(3, 2, 2)"), 12);
    zip_add(&zip, "data.npy", array.bytes, array.size, (zip_lie){.deflate = true});
    const char *path = zip_write("order.npz", &zip);
    px_source *source = open_source(path, (px_source_options){.access = PX_ACCESS_IN_ORDER});
    assert_false(source->concurrent);
    check_image(source, 1, (uint8_t[]){4, 5, 6, 7});
    check_image(source, 1, (uint8_t[]){4, 5, 6, 7});
    check_unreadable(source, 0, PX_ERR_FILE, "image 0 was asked for after image 1, expected ascending order");
    px_source_close(source);
    source = open_source(path, (px_source_options){0});
    assert_true(source->concurrent);
    check_image(source, 1, (uint8_t[]){4, 5, 6, 7});
    check_image(source, 0, (uint8_t[]){0, 1, 2, 3});
    px_source_close(source);
}

static void channels_are_converted(void **state) {
    (void)state;
    static blob b;
    npy_make(&b, NPY_IMAGES("(1, 1, 2, 3)"), 6);
    px_source *source = open_source(write_plain("rgb.npy", &b), (px_source_options){.channels = 1});
    check_sizes(source, 1, 1, 2, 1);
    check_image(source, 0, (uint8_t[]){(150 + 2 * 29) / 256, (3 * 77 + 4 * 150 + 5 * 29) / 256});
    px_source_close(source);
    npy_make(&b, NPY_IMAGES("(1, 1, 2)"), 2);
    source = open_source(write_plain("grey.npy", &b), (px_source_options){.channels = 3});
    check_sizes(source, 1, 1, 2, 3);
    check_image(source, 0, (uint8_t[]){0, 0, 0, 1, 1, 1});
    px_source_close(source);
    check_refused(data_path("grey.npy"), (px_source_options){.channels = 2}, PX_ERR_CONFIG,
                  "channels is 2, expected 0 (as stored), 1 or 3");
}

static void sizes_are_converted(void **state) {
    (void)state;
    static blob b;
    px_context ctx = {""};
    npy_make(&b, NPY_IMAGES("(1, 4, 6)"), 24); /* its middle: 1..4, 7..10, 13..16, 19..22 */
    const char *path = write_plain("wide.npy", &b);
    px_source *converted, *source = open_source(path, (px_source_options){0});
    assert_int_equal(px_source_convert(&ctx, source, 5, 0, &converted), PX_ERR_CONFIG);
    assert_non_null(strstr(ctx.message, "found images of 4 x 6, expected at least 5 x 5"));
    assert_int_equal(px_source_convert(&ctx, source, 2, 0, &converted), PX_OK);
    check_sizes(converted, 1, 2, 2, 1);
    check_image(converted, 0, (uint8_t[]){(1 + 2 + 7 + 8 + 2) / 4, 7, 17, 19});
    px_source_close(converted);
    source = open_source(path, (px_source_options){0});
    assert_int_equal(px_source_convert(&ctx, source, 3, 0, &converted), PX_OK);
    /* The pixels are 1 + column + 6 row, and columns weigh 3 1 - -, - 2 2 -, - - 1 3: their means are 1/4, 3/2, 11/4. */
    check_image(converted, 0, (uint8_t[]){3, 4, 5, 10, 12, 13, 18, 19, 20});
    px_source_close(converted);
}

/* CIFAR-10 -----------------------------------------------------------------------------------------------------------
 */

enum { RECORD = 3073 };

/* `count` records: label n, R n, G n + 1, B n + 2, counted from `first`. */
static void cifar_make(blob *b, int first, int count) {
    b->size = 0;
    for (int n = first; n < first + count; n++) {
        uint8_t record[RECORD];
        record[0] = (uint8_t)(n % 10);
        for (int i = 0; i < 3072; i++) record[1 + i] = (uint8_t)(n + i / 1024);
        append(b, record, RECORD);
    }
}

static void check_cifar(const char *path, px_source_options options, size_t count, int first) {
    px_source *source = open_source(path, options);
    check_sizes(source, count, 32, 32, 3);
    for (size_t n = 0; n < count; n++) {
        uint8_t expected[3072];
        for (size_t i = 0; i < 3072; i++) expected[i] = (uint8_t)((size_t)first + n + i % 3);
        check_image(source, n, expected);
    }
    px_source_close(source);
}

/* As it is downloaded: batches out of order. */
static void cifar_tar_make(blob *tar, const char *left_out) {
    static const int order[] = {1, 3, 4, 5, 2};
    static blob batch;
    tar->size = 0;
    tar_add(tar, "cifar-10-batches-bin/batches.meta.txt", "airplane\n", 9, 9);
    for (int i = 0; i < 5; i++) {
        char name[64];
        snprintf(name, sizeof name, "cifar-10-batches-bin/data_batch_%d.bin", order[i]);
        cifar_make(&batch, 2 * order[i], 2);
        if (!left_out || !strstr(name, left_out)) tar_add(tar, name, batch.bytes, batch.size, batch.size);
    }
    cifar_make(&batch, 100, 3);
    tar_add(tar, "cifar-10-batches-bin/test_batch.bin", batch.bytes, batch.size, batch.size);
    tar_end(tar);
}

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
    b.bytes[2 * RECORD] = 10;
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
    tar_add(&b, "a/test_batch.bin", record.bytes, RECORD, RECORD);
    tar_add(&b, "b/test_batch.bin", record.bytes, RECORD, RECORD);
    tar_end(&b);
    check_refused(write_gzip("twice.tar.gz", &b), (px_source_options){.split = PX_SPLIT_TEST}, PX_ERR_FORMAT,
                  "cifar: found 2 files named test_batch.bin, expected one");
    b.size = 0;
    tar_add(&b, "test_batch.bin", record.bytes, RECORD - 1, RECORD - 1);
    tar_end(&b);
    check_refused(write_plain("part.tar", &b), (px_source_options){.split = PX_SPLIT_TEST}, PX_ERR_FORMAT,
                  "part.tar/test_batch.bin: cifar: found 3072 bytes, expected a multiple of 3073");
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(npz_is_read),
        cmocka_unit_test(npz_holds_both_splits),
        cmocka_unit_test(npz_paths_are_harmless),
        cmocka_unit_test(bad_npz_is_refused),
        cmocka_unit_test(ambiguous_npz_is_refused),
        cmocka_unit_test(lying_npz_is_refused),
        cmocka_unit_test(truncated_npz_is_refused),
        cmocka_unit_test(stored_npz_stays_in_the_file),
        cmocka_unit_test(deflated_npz_that_shrank_is_noticed),
        cmocka_unit_test(order_is_kept_to),
        cmocka_unit_test(channels_are_converted),
        cmocka_unit_test(sizes_are_converted),
        cmocka_unit_test(cifar_is_read),
        cmocka_unit_test(bad_cifar_is_refused),
        cmocka_unit_test(cifar_that_shrank_is_noticed),
    };
    return cmocka_run_group_tests_name("data_arrays", tests, data_folder_make, data_folder_remove);
}
