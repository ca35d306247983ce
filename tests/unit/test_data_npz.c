/* Arrays of images in .npz files: reading them in any order and in ascending order, and refusing bad ones. */
#include "tests/support/data_files.h"
#include <unistd.h>

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

/* Member paths that lead out of a folder are only names: the member is found, and nothing is written. */
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
        {"data.npy", NPY_IMAGES("(3, 2, 3)"), "found 12 bytes of pixels, expected 3 x 2 x 3 = 18"},
        {"data.npy", NPY_IMAGES("(2, 2, 2)"), "found 12 bytes of pixels, expected 2 x 2 x 2 = 8"},
        {"data.npy", NPY_IMAGES("(3, 5)"), "found (3, 5) '|u1' whose rows are no square images"},
        {"data.npy", NPY_IMAGES("(0, 2, 2)"), "found a shape of 0 x 2 x 2"},
        {"data.npy", NPY_IMAGES("(4294967296, 4294967296, 2)"), "expected 4294967296 x 4294967296 x 2"},
        {"data.npy", "", "npy: found"},
        {"other.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2, 2), }",
         "zip: found no array of images among 1 files (arrays: other (3, 2, 2) '<f4'), expected uint8 [N, H, W, C]"},
        {"labels.txt", NPY_IMAGES("(3, 2, 2)"), "found no array of images among 1 files (arrays: none), expected"},
        {"data.pkl", NPY_IMAGES("(3, 2, 2)"), "zip: found a PyTorch file (data.pkl), expected an .npz of arrays"},
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
    char spec[PX_PATH + 16];
    for (int i = 0; i < 2; i++) {
        npy_make(&array, i ? NPY_IMAGES("(1, 3, 3)") : NPY_IMAGES("(3, 2, 2)"), i ? 9 : 12);
        zip_add(&twice, i ? "b/data.npy" : "a/data.npy", array.bytes, array.size, (zip_lie){0});
    }
    check_refused(
        zip_write("twice.npz", &twice), (px_source_options){0}, PX_ERR_FORMAT,
        "twice.npz/a/data.npy: zip: found 2 arrays of its name, expected one; FILE:FOLDER/NAME.npy picks one");
    snprintf(spec, sizeof spec, "%s:a/data.npy", px_test_path("twice.npz"));
    check_interleaved(spec, (px_source_options){0}, 1);
    npy_make(&array, NPY_IMAGES("(3, 2, 2)"), 12);
    zip_add(&several, "a.npy", array.bytes, array.size, (zip_lie){0});
    npy_make(&array, NPY_IMAGES("(2, 3, 1, 3)"), 18);
    zip_add(&several, "b.npy", array.bytes, array.size, (zip_lie){0});
    npy_make(&array, "{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }", 24);
    zip_add(&several, "y.npy", array.bytes, array.size, (zip_lie){0});
    const char *path = zip_write("several.npz", &several);
    check_refused(path, (px_source_options){0}, PX_ERR_FORMAT,
                  "several.npz: zip: found 2 arrays that can be images (a (3, 2, 2) '|u1', b (2, 3, 1, 3) '|u1'), "
                  "expected one; FILE:NAME picks one");

    snprintf(spec, sizeof spec, "%s:a", path);
    check_interleaved(spec, (px_source_options){0}, 1);
    snprintf(spec, sizeof spec, "%s:b", path);
    px_source *source = open_source(spec, (px_source_options){.split = PX_SPLIT_TEST});
    check_sizes(source, 2, 3, 1, 3);
    assert_string_equal(source->name, spec);
    px_source_close(source);
    snprintf(spec, sizeof spec, "%s:c", path);
    check_refused(spec, (px_source_options){0}, PX_ERR_FORMAT,
                  "several.npz:c: zip: found no array of this name, expected one of a (3, 2, 2) '|u1', b (2, 3, 1, 3) "
                  "'|u1', y (3,) '<i8'");
    snprintf(spec, sizeof spec, "%s:y", path);
    px_context ctx = {""};
    assert_int_equal(px_source_open(&ctx, spec, NULL, &source), PX_ERR_FORMAT);
    assert_non_null(strstr(ctx.message, "several.npz/y.npy: npy: descr is '<i8'"));
    npy_make(&array, NPY_IMAGES("(3, 2, 2)"), 12);
    snprintf(spec, sizeof spec, "%s:a", write_plain("no_zip.npy", &array));
    check_refused(spec, (px_source_options){0}, PX_ERR_FORMAT, "no_zip.npy:a: found no zip, expected FILE.npz:NAME");
    snprintf(spec, sizeof spec, "%s:a", px_test_path("absent.npz"));
    check_refused(spec, (px_source_options){0}, PX_ERR_FILE, "absent.npz:a: cannot be opened: No such file");
}

static void long_lists_of_arrays_are_truncated(void **state) {
    (void)state;
    static blob array;
    npy_make(&array, NPY_IMAGES("(1, 2, 2)"), 4);
    for (int length = 4; length < 90; length++) {
        static zip_file zip;
        char name[100];
        zip = (zip_file){.members = 0};
        for (int i = 0; i < 20; i++) {
            snprintf(name, sizeof name, "%0*d.npy", length, i);
            zip_add(&zip, name, array.bytes, array.size, (zip_lie){0});
        }
        check_refused(zip_write("many.npz", &zip), (px_source_options){0}, PX_ERR_FORMAT,
                      ", ...), expected one; FILE:NAME picks one");
    }
}

/* Each name of a split is found beside labels and arrays of other splits. */
static void usual_npz_names_are_found(void **state) {
    (void)state;
    static const struct {
        const char *name;
        px_split split;
    } cases[] = {
        {"train_images", PX_SPLIT_TRAIN},
        {"test_images", PX_SPLIT_TEST},
        {"val_images", PX_SPLIT_VALID},
        {"train", PX_SPLIT_TRAIN},
        {"test", PX_SPLIT_TEST},
        {"valid", PX_SPLIT_VALID},
        {"train_data", PX_SPLIT_TRAIN},
        {"test_data", PX_SPLIT_TEST},
        {"val_data", PX_SPLIT_VALID},
        {"X_train", PX_SPLIT_TRAIN},
        {"X_test", PX_SPLIT_TEST},
        {"x_val", PX_SPLIT_VALID},
        {"X", PX_SPLIT_TRAIN},
        {"arr_0", PX_SPLIT_TRAIN},
        {"val_images", PX_SPLIT_TEST},
    };
    static blob wanted, other, labels;
    npy_make(&wanted, NPY_IMAGES("(3, 2, 2)"), 12);
    npy_make(&other, NPY_IMAGES("(4, 5, 5)"), 100);
    npy_make(&labels, NPY_IMAGES("(3,)"), 3);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static zip_file zip;
        char member[32];
        zip = (zip_file){.members = 0};
        snprintf(member, sizeof member, "%s.npy", cases[i].name);
        zip_add(&zip, "arr_1.npy", other.bytes, other.size, (zip_lie){0});
        zip_add(&zip, member, wanted.bytes, wanted.size, (zip_lie){0});
        zip_add(&zip, "y_train.npy", labels.bytes, labels.size, (zip_lie){0});
        check_interleaved(zip_write("names.npz", &zip), (px_source_options){.split = cases[i].split}, 1);
    }
}

/* Labels of any shape and name are ignored, so the images need no usual name. */
static void labels_are_not_images(void **state) {
    (void)state;
    static const uint8_t one_hot[12] = {1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0};
    static const char *const shapes[] = {"(3,)", "(3, 1)", "(3, 4)"}, *const label_names[] = {"y.npy", "train.npy"};
    static blob images, labels;
    npy_make(&images, NPY_IMAGES("(3, 2, 2)"), 12);
    for (int i = 0; i < 6; i++)
        for (int deflate = 0; deflate < 2; deflate++) {
            static zip_file zip;
            char dictionary[96];
            const size_t count = i % 3 == 2 ? 12 : 3;
            zip = (zip_file){.members = 0};
            snprintf(dictionary, sizeof dictionary, NPY_IMAGES("%s"), shapes[i % 3]);
            npy_make(&labels, dictionary, count);
            memcpy(labels.bytes + labels.size - count, one_hot, count);
            zip_add(&zip, label_names[i / 3], labels.bytes, labels.size, (zip_lie){.deflate = deflate});
            zip_add(&zip, "pixels.npy", images.bytes, images.size, (zip_lie){.deflate = deflate});
            check_interleaved(zip_write("labels.npz", &zip), (px_source_options){0}, 1);
        }
}

/* A wrong size in the zip's directory is noticed when the array is unpacked. */
static void npz_with_wrong_sizes_is_refused(void **state) {
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

/* A stored array is read from the file: later changes of the file are seen, and a truncated file fails. */
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

static void descending_order_is_refused(void **state) {
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(npz_is_read),
        cmocka_unit_test(npz_holds_both_splits),
        cmocka_unit_test(npz_paths_are_harmless),
        cmocka_unit_test(bad_npz_is_refused),
        cmocka_unit_test(ambiguous_npz_is_refused),
        cmocka_unit_test(long_lists_of_arrays_are_truncated),
        cmocka_unit_test(usual_npz_names_are_found),
        cmocka_unit_test(labels_are_not_images),
        cmocka_unit_test(npz_with_wrong_sizes_is_refused),
        cmocka_unit_test(truncated_npz_is_refused),
        cmocka_unit_test(stored_npz_stays_in_the_file),
        cmocka_unit_test(deflated_npz_that_shrank_is_noticed),
        cmocka_unit_test(descending_order_is_refused),
    };
    return cmocka_run_group_tests_name("data_npz", tests, px_test_folder_make, px_test_folder_remove);
}
