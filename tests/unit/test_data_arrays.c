/* Arrays of images in archives: .npz, zips and CIFAR-10, read right in any order and in order; bad ones refused. */
#include "tests/support/data_files.h"
#include "host/data/cifar.h"
#include "host/data/formats.h"
#include "pixelrnn/loader.h"
#include <sys/stat.h>
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

static void long_lists_of_arrays_are_cut(void **state) {
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
static void npz_names_are_known(void **state) {
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

/* Labels are passed over, whatever their shape and name, so that the images need no known name. */
static void labels_are_no_images(void **state) {
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

/* npy ----------------------------------------------------------------------------------------------------------------
 */

static void npy_types_are_read(void **state) {
    (void)state;
    static const char *const types[] = {"|u1", "<u1", ">u1", "=u1", "u1", "B", "|B"}, *const bools[] = {"|b1", "b1",
                                                                                                        "?"};
    static blob b;
    char dictionary[96];
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        snprintf(dictionary, sizeof dictionary, "{'descr': '%s', 'fortran_order': False, 'shape': (3, 2, 2), }",
                 types[i]);
        npy_make(&b, dictionary, 12);
        check_interleaved(write_plain("type.npy", &b), (px_source_options){0}, 1);
    }
    for (size_t i = 0; i < sizeof bools / sizeof *bools; i++) { /* black and white, whatever bytes are said to be */
        snprintf(dictionary, sizeof dictionary, "{'descr': '%s', 'fortran_order': False, 'shape': (1, 2, 2), }",
                 bools[i]);
        npy_make(&b, dictionary, 4);
        memcpy(b.bytes + b.size - 4, (const uint8_t[]){0, 1, 1, 0}, 4);
        const char *path = write_plain("bool.npy", &b);
        for (px_values values = PX_VALUES_AUTO; values <= PX_VALUES_LEVELS; values++) {
            px_source *source = open_source(path, (px_source_options){.levels = 2, .values = values});
            check_image(source, 0, (const uint8_t[]){0, 255, 255, 0});
            px_source_close(source);
        }
    }
}

static void npy_rows_are_images(void **state) {
    (void)state;
    static blob b;
    npy_make(&b, NPY_IMAGES("(3, 4)"), 12);
    check_interleaved(write_plain("rows.npy", &b), (px_source_options){0}, 1);
    npy_make(&b, NPY_IMAGES("(3, 12)"), 36);
    check_planes(write_plain("planes.npy", &b));
}

static void only_squares_have_a_side(void **state) {
    (void)state;
    for (size_t side = 1; side <= PX_MAX_SIDE; side += side < 300 ? 1 : 997) {
        assert_int_equal(px_square_side(side * side), side);
        assert_int_equal(px_square_side(side * side + 1), 0);
    }
    assert_int_equal(px_square_side((size_t)PX_MAX_SIDE * PX_MAX_SIDE), PX_MAX_SIDE);
    assert_int_equal(px_square_side((size_t)(PX_MAX_SIDE + 1) * (PX_MAX_SIDE + 1)), 0);
}

/* Its length takes more than two bytes. */
static void long_npy_headers_are_read(void **state) {
    (void)state;
    enum { LENGTH = 1 << 16 };
    static blob b;
    static const char dictionary[] = NPY_IMAGES("(3, 2, 2)");
    append(&b, "\x93NUMPY\2", 8);
    append_little(&b, LENGTH, 4);
    append(&b, dictionary, sizeof dictionary - 1);
    while (b.size < 12 + LENGTH) append(&b, " ", 1);
    for (int i = 0; i < 12; i++) append_little(&b, (uint64_t)i, 1);
    check_interleaved(write_plain("long.npy", &b), (px_source_options){0}, 1);
}

/* The file's elements 0, 1, 2, ... in Fortran order: element [n][i][j][k] is n + N (i + H (j + W k)). */
static void check_fortran(const char *path, int channels, bool rows) {
    for (int a = 0; a < 2; a++) {
        px_source *source = open_source(path, (px_source_options){.access = accesses[a]});
        check_sizes(source, 3, 2, 2, channels);
        for (size_t n = 0; n < 3; n++) {
            uint8_t expected[12];
            for (size_t i = 0; i < 2; i++)
                for (size_t j = 0; j < 2; j++)
                    for (size_t k = 0; k < (size_t)channels; k++)
                        expected[(i * 2 + j) * (size_t)channels + k] =
                            (uint8_t)(n + 3 * (rows ? k * 4 + i * 2 + j : i + 2 * (j + 2 * k)));
            check_image(source, n, expected);
        }
        px_source_close(source);
    }
}

static void fortran_order_is_read(void **state) {
    (void)state;
    static const struct {
        const char *shape;
        int channels;
        bool rows;
    } cases[] = {{"(3, 2, 2)", 1, false}, {"(3, 2, 2, 3)", 3, false}, {"(3, 12)", 3, true}, {"(3, 4)", 1, true}};
    static blob b;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char dictionary[96];
        snprintf(dictionary, sizeof dictionary, "{'descr': '|u1', 'fortran_order': True, 'shape': %s, }",
                 cases[i].shape);
        npy_make(&b, dictionary, 12 * (size_t)cases[i].channels);
        check_fortran(write_plain("fortran.npy", &b), cases[i].channels, cases[i].rows);
        check_fortran(write_gzip("fortran.npy.gz", &b), cases[i].channels, cases[i].rows);
        for (int deflate = 0; deflate < 2; deflate++) {
            static zip_file zip;
            zip = (zip_file){.members = 0};
            zip_add(&zip, "data.npy", b.bytes, b.size, (zip_lie){.deflate = deflate});
            check_fortran(zip_write("fortran.npz", &zip), cases[i].channels, cases[i].rows);
        }
    }
}

/* Many images: the columns are read a window at a time. */
static void large_fortran_order_is_read(void **state) {
    (void)state;
    enum { IMAGES = 200000, COLUMNS = 9 };
    static blob b;
    npy_make(&b, "{'descr': '|u1', 'fortran_order': True, 'shape': (200000, 3, 3), }", 0);
    for (size_t i = 0; i < (size_t)IMAGES * COLUMNS; i++) append_little(&b, i % 251, 1);
    px_source *source = open_source(write_plain("large.npy", &b), (px_source_options){0});
    for (size_t n = 0; n < IMAGES; n += 19999) {
        uint8_t expected[COLUMNS];
        for (size_t i = 0; i < 3; i++)
            for (size_t j = 0; j < 3; j++) expected[3 * i + j] = (uint8_t)((n + IMAGES * (i + 3 * j)) % 251);
        check_image(source, n, expected);
    }
    px_source_close(source);
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
    check_refused(px_test_path("grey.npy"), (px_source_options){.channels = 2}, PX_ERR_CONFIG,
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
    /* The pixels are 1 + column + 6 row, and columns weigh 3 1 - -, - 2 2 -, - - 1 3: their means are 1/4, 3/2, 11/4.
     */
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

/* CIFAR-100's records have two labels: coarse 0 to 19, fine 0 to 99. */
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

static void python_cifar_is_named(void **state) {
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

/* Folders of parts ---------------------------------------------------------------------------------------------------
 */

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

static void idx_make(blob *b, uint8_t count, int first) {
    b->size = 0;
    append(b, (const uint8_t[]){0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 2, 0, 0, 0, 2}, 16);
    for (int i = 0; i < 4 * count; i++) append_little(b, (uint64_t)(first + i), 1);
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

/* Parts that no split is named for belong to all. */
static void batches_are_known_by_name(void **state) {
    (void)state;
    static const char *const batches[] = {"data_batch_1.bin", "a/data_batch_5.bin", "test_batch.bin",
                                          "cifar-100-binary/train.bin", "cifar-100-binary/test.bin"},
                             *const others[] = {"data_batch_0.bin", "data_batch_6.bin", "data_batch_1.html",
                                                "data_batch_1",     "train.bin",        "batches.meta.txt"};
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) assert_true(px_cifar_batch_named(batches[i]));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) assert_false(px_cifar_batch_named(others[i]));
}

/* Under names that say so, whatever their shape. */
static void labels_in_folders_are_passed_over(void **state) {
    (void)state;
    static const char *const names[] = {"labelled/x_train.npy", "labelled/y_train.npy", "labelled/train_labels.npy"};
    static blob array;
    assert_int_equal(mkdir(px_test_path("labelled"), 0777), 0);
    npy_make(&array, NPY_IMAGES("(3, 2, 2)"), 12);
    for (int i = 0; i < 3; i++) write_plain(names[i], &array);
    check_interleaved(px_test_path("labelled"), (px_source_options){0}, 1);
}

/* Validation images test, too, but do not train. */
static void splits_take_each_others_place(void **state) {
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

/* Lists --------------------------------------------------------------------------------------------------------------
 */

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

/* Threads may share a list only if they may share all of its sources. */
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

/* Values -------------------------------------------------------------------------------------------------------------
 */

/* A .npy of images of 2 x 2. */
static const char *values_write(const char *name, const uint8_t *bytes, size_t images) {
    static blob b;
    char dictionary[96];
    snprintf(dictionary, sizeof dictionary, NPY_IMAGES("(%zu, 2, 2)"), images);
    npy_make(&b, dictionary, 4 * images);
    memcpy(b.bytes + b.size - 4 * images, bytes, 4 * images);
    return write_plain(name, &b);
}

static void check_values(const char *path, px_source_options options, const uint8_t *expected, size_t images) {
    for (int a = 0; a < 2; a++) {
        options.access = accesses[a];
        px_source *source = open_source(path, options);
        for (size_t n = 0; n < images; n++) check_image(source, n, expected + 4 * n);
        px_source_close(source);
    }
}

static void levels_are_not_taken_for_intensities(void **state) {
    (void)state;
    static const uint8_t binary[8] = {0, 0, 0, 0, 0, 1, 1, 0}, as_intensities[8] = {0, 0, 0, 0, 0, 255, 255, 0};
    const char *path = values_write("binary.npy", binary, 2);
    const px_source_options auto_2 = {.levels = 2}, levels_2 = {.levels = 2, .values = PX_VALUES_LEVELS};
    check_refused(
        path, auto_2, PX_ERR_CONFIG,
        "binary.npy: found no byte above 1 in 2 images, which is level 0 of 2 everywhere, expected intensities "
        "up to 255; data.values: levels takes the bytes as levels, data.values: intensity takes them as they "
        "are");
    check_values(path, levels_2, as_intensities, 2);
    check_values(path, (px_source_options){.levels = 2, .values = PX_VALUES_INTENSITY}, binary, 2);
    check_values(path, (px_source_options){.levels = 256}, binary, 2);
    check_values(path, (px_source_options){0}, binary, 2);

    const uint8_t zeros[8] = {0};
    path = values_write("zeros.npy", zeros, 2);
    check_values(path, auto_2, zeros, 2);
    check_values(path, levels_2, zeros, 2);

    const uint8_t dim[8] = {0, 0, 0, 3, 127, 0, 0, 0}, bright[8] = {0, 0, 0, 3, 128, 0, 0, 0};
    path = values_write("dim.npy", dim, 2);
    check_refused(path, auto_2, PX_ERR_CONFIG,
                  "found no byte above 127 in 2 images, which is level 0 of 2 everywhere, expected intensities up to "
                  "255; data.levels: 128 and data.values: levels take");
    check_values(path, (px_source_options){.levels = 3}, dim, 2);
    px_source *source = open_source(path, levels_2);
    check_unreadable(source, 0, PX_ERR_CONFIG,
                     "dim.npy: found value 3 in image 0, expected levels 0 to 1; data.values: intensity");
    px_source_close(source);
    check_values(values_write("bright.npy", bright, 2), auto_2, bright, 2);
}

/* Each level becomes the intensity that quantises back to it, also in parts of a folder, in a zip and in grey. */
static void levels_are_kept(void **state) {
    (void)state;
    static blob array;
    static zip_file zip;
    const px_source_options options = {.levels = 7, .values = PX_VALUES_LEVELS};
    const uint8_t codes[4] = {0, 1, 5, 6};
    uint8_t expected[4];
    for (int i = 0; i < 4; i++) {
        expected[i] = px_dequantise(codes[i], 7);
        assert_int_equal(px_quantise(expected[i], 7), codes[i]);
    }
    assert_int_equal(mkdir(px_test_path("codes"), 0777), 0);
    check_values(values_write("codes/codes.npy", codes, 1), options, expected, 1);
    check_values(px_test_path("codes"), options, expected, 1);
    npy_make(&array, NPY_IMAGES("(1, 2, 2)"), 4);
    memcpy(array.bytes + array.size - 4, codes, 4);
    zip_add(&zip, "data.npy", array.bytes, array.size, (zip_lie){.deflate = true});
    check_values(zip_write("codes.npz", &zip), options, expected, 1);
    const char *path = px_test_path("codes/codes.npy");
    px_context ctx = {""};
    px_source *source;
    assert_int_equal(px_source_open_all(&ctx, 1, &path, &options, &source), PX_OK);
    check_image(source, 0, expected);
    px_source_close(source);
    source = open_source(path, (px_source_options){.levels = 6, .values = PX_VALUES_LEVELS});
    check_unreadable(source, 0, PX_ERR_CONFIG, "codes.npy: found value 6 in image 0, expected levels 0 to 5");
    px_source_close(source);
}

/* A stream begins again after images were read to see what its bytes mean. */
static void deciding_loses_no_image(void **state) {
    (void)state;
    static blob array;
    static zip_file zip;
    const uint8_t expected[12] = {0, 0, 0, 0, 0, 1, 0, 0, 200, 0, 0, 0};
    npy_make(&array, NPY_IMAGES("(3, 2, 2)"), 12);
    memcpy(array.bytes + array.size - 12, expected, 12);
    zip_add(&zip, "data.npy", array.bytes, array.size, (zip_lie){.deflate = true});
    check_values(zip_write("dark.npz", &zip), (px_source_options){.levels = 2}, expected, 3);
    const uint8_t second[12] = {0, 0, 0, 0, 200, 0, 0, 0, 0, 1, 0, 0};
    memcpy(array.bytes + array.size - 12, second, 12);
    zip = (zip_file){.members = 0};
    zip_add(&zip, "data.npy", array.bytes, array.size, (zip_lie){.deflate = true});
    check_values(zip_write("second.npz", &zip), (px_source_options){.levels = 2}, second, 3);
}

/* A source that counts its reads: image n is all `value[n]`. */
typedef struct counted {
    px_source base;
    size_t reads;
    const uint8_t *value;
} counted;

static px_status read_counted(px_source *source, px_context *ctx, size_t index, uint8_t *pixels) {
    counted *self = (counted *)source;
    (void)ctx;
    self->reads++;
    if (self->value[index] == 1) return px_fail(ctx, PX_ERR_FORMAT, "damaged");
    memset(pixels, self->value[index], 4);
    return PX_OK;
}

/* The scan stops at the first byte that reaches level 1: it does not pass over a large set. */
static void deciding_is_cheap(void **state) {
    (void)state;
    static const struct {
        int levels;
        px_values values;
        uint8_t value[4];
        size_t reads;
    } cases[] = {
        {2, PX_VALUES_AUTO, {200, 0, 0, 0}, 1}, {2, PX_VALUES_AUTO, {0, 128, 0, 0}, 2},
        {2, PX_VALUES_AUTO, {0, 1, 130, 0}, 3}, {2, PX_VALUES_AUTO, {0, 0, 0, 0}, 4},
        {256, PX_VALUES_AUTO, {2, 2, 2, 2}, 0}, {0, PX_VALUES_AUTO, {2, 2, 2, 2}, 0},
        {2, PX_VALUES_LEVELS, {2, 2, 2, 2}, 0}, {2, PX_VALUES_INTENSITY, {2, 2, 2, 2}, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        px_context ctx = {""};
        size_t seen;
        counted source = {.base = {.count = 4, .height = 2, .width = 2, .channels = 1, .read = read_counted},
                          .value = cases[i].value};
        const px_source_options options = {.levels = cases[i].levels, .values = cases[i].values};
        if (px_values_check(&ctx, &source.base, &options, &seen) != PX_OK) fail_msg("%zu: %s", i, ctx.message);
        assert_int_equal(source.reads, cases[i].reads);
        assert_int_equal(seen, cases[i].reads);
    }
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
        cmocka_unit_test(long_lists_of_arrays_are_cut),
        cmocka_unit_test(npz_names_are_known),
        cmocka_unit_test(labels_are_no_images),
        cmocka_unit_test(npy_types_are_read),
        cmocka_unit_test(npy_rows_are_images),
        cmocka_unit_test(only_squares_have_a_side),
        cmocka_unit_test(long_npy_headers_are_read),
        cmocka_unit_test(fortran_order_is_read),
        cmocka_unit_test(large_fortran_order_is_read),
        cmocka_unit_test(cifar_100_is_read),
        cmocka_unit_test(python_cifar_is_named),
        cmocka_unit_test(folders_of_cifar_are_read),
        cmocka_unit_test(folders_of_idx_are_read),
        cmocka_unit_test(folders_of_npz_are_read),
        cmocka_unit_test(splits_take_each_others_place),
        cmocka_unit_test(batches_are_known_by_name),
        cmocka_unit_test(labels_in_folders_are_passed_over),
        cmocka_unit_test(lists_are_joined),
        cmocka_unit_test(lists_are_as_concurrent_as_their_parts),
        cmocka_unit_test(levels_are_not_taken_for_intensities),
        cmocka_unit_test(levels_are_kept),
        cmocka_unit_test(deciding_is_cheap),
        cmocka_unit_test(deciding_loses_no_image),
    };
    return cmocka_run_group_tests_name("data_arrays", tests, px_test_folder_make, px_test_folder_remove);
}
