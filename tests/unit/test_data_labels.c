/* Labels of images: found with every kind of source, aligned with its images, and refused where they are wrong. */
#include "tests/support/data_files.h"
#include "host/data/formats.h"
#include <unistd.h>

static const px_source_options labelled = {.labels = true};

static void check_labels(const px_source *source, const char *name, size_t count, const int *expected) {
    if (!source->labels) fail_msg("%s: no labels: %s", name, source->no_labels.ctx.message);
    EXPECT_EQUAL(source->count, count, "%.120s", name);
    for (size_t n = 0; n < count; n++) EXPECT_EQUAL(source->labels[n], expected[n], "%.120s, image %zu", name, n);
}

/* Opens path in both ways and checks its labels. */
static void check_file(const char *path, px_source_options options, size_t count, const int *expected) {
    options.labels = true;
    for (int a = 0; a < 2; a++) {
        options.access = accesses[a];
        px_source *source = open_source(path, options);
        check_labels(source, path, count, expected);
        px_source_close(source);
    }
}

/* Opens path, which must succeed, and checks that its labels were refused with this message. */
static void check_none(const char *path, px_source_options options, px_status status, const char *words) {
    options.labels = true;
    for (int a = 0; a < 2; a++) {
        options.access = accesses[a];
        px_source *source = open_source(path, options);
        assert_null(source->labels);
        check_message(source->no_labels.status, status, &source->no_labels.ctx, px_test_folder, words);
        px_source_close(source);
    }
    options.labels = false;
    px_source *source = open_source(path, options);
    assert_null(source->labels);
    EXPECT_EQUAL(source->no_labels.status, PX_OK, "%.120s, labels not wanted", path);
    px_source_close(source);
}

/* Makes a .npy file of integers. type: such as "<i8". shape: such as "(3,)". */
static void labels_make(blob *b, const char *type, const char *shape, size_t count, const int *values) {
    const int bytes = type[2] - '0';
    char dictionary[128];
    snprintf(dictionary, sizeof dictionary, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", type, shape);
    npy_make(b, dictionary, 0);
    for (size_t n = 0; n < count; n++)
        for (int i = 0; i < bytes; i++) {
            const int byte = type[0] == '>' ? bytes - 1 - i : i;
            append_little(b, (uint64_t)(int64_t)values[n] >> 8 * byte & 255, 1);
        }
}

/* Writes 3 images of 2 x 2. */
static void images_file(const char *name, char path[PX_PATH]) {
    static blob b;
    npy_make(&b, NPY_IMAGES("(3, 2, 2)"), 12);
    strcpy(path, write_plain(name, &b));
}

/* ---- Files of labels ---- */

static void integers_of_every_type_are_labels(void **state) {
    (void)state;
    static const char *const types[] = {"|u1", "|i1", "<u2", ">u2", "<i2", ">i4", "<u4", "<i8", ">u8"};
    static const int small[] = {100, 0, 7}, large[] = {300, 65535, 0};
    static blob b;
    char path[PX_PATH];
    images_file("images.npy", path);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const int *values = types[i][2] == '1' || strcmp(types[i], "<i2") == 0 ? small : large;
        labels_make(&b, types[i], i % 2 ? "(3, 1)" : "(3,)", 3, values);
        write_plain("images.labels.npy", &b);
        check_file(path, labelled, 3, values);
    }
}

static void wrong_files_of_labels_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *type, *shape;
        size_t count;
        int values[4];
        const char *words;
    } cases[] = {
        {"<i8", "(3,)", 3, {1, -1, 2}, "wrong.labels.npy: found label -1 of image 1, expected 0 to 65535"},
        {"<i4", "(3,)", 3, {1, 2, 65536}, "wrong.labels.npy: found label 65536 of image 2, expected 0 to 65535"},
        {"<i8", "(4,)", 4, {0}, "wrong.labels.npy: found 4 labels, expected 3, one for each image of "},
        {"<i8", "(3, 2)", 3, {0}, "npy: found (3, 2) '<i8', expected labels: integers of shape [N] or [N, 1]"},
        {"<f4", "(3,)", 3, {0}, "npy: found (3,) '<f4', expected labels: integers"},
        {"<i3", "(3,)", 3, {0}, "npy: found (3,) '<i3', expected labels: integers"},
        {"<i8", "(0,)", 0, {0}, "npy: found (0,) '<i8', expected labels: integers"},
        {"<i4", "(3,)", 2, {0}, "npy: found 8 bytes of labels, expected 3 labels of 4 bytes"},
        {"<i8", "(2305843009213693953,)", 1, {0}, "npy: found 8 bytes of labels, expected 2305843009213693953 labels"},
    };
    static blob b;
    char path[PX_PATH];
    images_file("wrong.npy", path);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        labels_make(&b, cases[i].type, cases[i].shape, cases[i].count, cases[i].values);
        write_plain("wrong.labels.npy", &b);
        check_none(path, (px_source_options){0}, PX_ERR_FORMAT, cases[i].words);
    }
    b.size = 0;
    append(&b, "0 1 2\n", 6);
    write_plain("wrong.labels.npy", &b);
    check_none(path, (px_source_options){0}, PX_ERR_FORMAT,
               "wrong.labels.npy: found no labels, expected .npy of integers or MNIST's idx");
    unlink(px_test_path("wrong.labels.npy"));
    check_none(path, (px_source_options){.split = PX_SPLIT_VALID}, PX_ERR_CONFIG,
               "wrong.npy: found no labels, expected wrong.labels.npy beside it; data.validation_labels names files");
}

static void idx_labels_make(blob *b, const char *labels, int type, int dimensions) {
    b->size = 0;
    append(b, (const uint8_t[]){0, 0, (uint8_t)type, (uint8_t)dimensions, 0, 0, 0, 3}, 8);
    append(b, labels, strlen(labels));
}

/* Each name of MNIST's files, of which either may be compressed; FILE.labels.npy comes first. */
static void labels_of_idx_are_found_by_name(void **state) {
    (void)state;
    static const char *const names[][2] = {
        {"train-images-idx3-ubyte", "train-labels-idx1-ubyte"},
        {"t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte"},
        {"my-images.idx", "my-labels.idx"},
    };
    static const int expected[] = {'a', 'b', 'c'}, first[] = {5, 6, 7};
    static blob images, labels, npy;
    idx_make(&images, 3, 0);
    idx_labels_make(&labels, "abc", 8, 1);
    labels_make(&npy, "|u1", "(3,)", 3, first);
    for (size_t i = 0; i < 3; i++)
        for (int gzip = 0; gzip < 4; gzip++) {
            char name[64], path[PX_PATH];
            snprintf(name, sizeof name, "%s%s", names[i][0], gzip & 1 ? ".gz" : "");
            strcpy(path, gzip & 1 ? write_gzip(name, &images) : write_plain(name, &images));
            snprintf(name, sizeof name, "%s%s", names[i][1], gzip & 2 ? ".gz" : "");
            const char *beside = gzip & 2 ? write_gzip(name, &labels) : write_plain(name, &labels);
            check_file(path, labelled, 3, expected);
            unlink(beside);
            check_none(path, (px_source_options){0}, PX_ERR_CONFIG, names[i][1]);
        }
    write_plain("my-images.labels.npy", &npy);
    check_file(write_plain("my-images.idx", &images), labelled, 3, first);
}

static void wrong_idx_labels_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *labels;
        int type, dimensions;
        const char *words;
    } cases[] = {
        {"ab", 8, 1, "idx: found 10 bytes, expected a header of 8 and 3 labels"},
        {"abcd", 8, 1, "idx: found 12 bytes, expected a header of 8 and 3 labels"},
        {"abc", 12, 1, "idx: found type 0x0c in 1 dimension, expected labels: type 0x08 in 1 dimension"},
        {"abc", 8, 3, "idx: found type 0x08 in 3 dimensions, expected labels"},
    };
    static blob images, labels;
    idx_make(&images, 3, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        idx_labels_make(&labels, cases[i].labels, cases[i].type, cases[i].dimensions);
        write_plain("bad-labels-idx1-ubyte", &labels);
        check_none(write_plain("bad-images-idx3-ubyte", &images), (px_source_options){0}, PX_ERR_FORMAT,
                   cases[i].words);
    }
}

/* Files of labels that a config names take the place of others, for all joined sources together. */
static void named_files_label_joined_sources(void **state) {
    (void)state;
    static const int own[] = {9, 9, 9}, several[] = {1, 2, 3, 4}, expected[] = {'a', 'b', 'c', 1, 2, 3, 4};
    static blob b;
    px_context ctx = {""};
    px_source *source;
    char list[3 * PX_PATH], short_list[PX_PATH], images[2][PX_PATH];
    labels_make(&b, "|u1", "(3,)", 3, own);
    write_plain("one.labels.npy", &b);
    images_file("one.npy", images[0]);
    npy_make(&b, NPY_IMAGES("(4, 2, 2)"), 16);
    strcpy(images[1], write_plain("two.npy", &b));
    idx_labels_make(&b, "abc", 8, 1);
    strcpy(short_list, write_gzip("first.gz", &b));
    labels_make(&b, "<i8", "(4,)", 4, several);
    snprintf(list, sizeof list, "%s\t%s", short_list, write_plain("second.npy", &b));
    const char *const specs[] = {images[0], images[1]};
    px_source_options options = {.labels = true, .label_files = list};
    assert_ok(&ctx, px_source_open_all(&ctx, 2, specs, &options, &source));
    check_labels(source, "joined", 7, expected);
    px_source_close(source);
    options.label_files = short_list;
    assert_ok(&ctx, px_source_open_all(&ctx, 2, specs, &options, &source));
    check_message(source->no_labels.status, PX_ERR_FORMAT, &source->no_labels.ctx, "data.train_labels",
                  "data.train_labels: found 3 labels, expected 7, one for each image of ");
    px_source_close(source);
    options.label_files = "absent.npy";
    assert_ok(&ctx, px_source_open_all(&ctx, 2, specs, &options, &source));
    check_message(source->no_labels.status, PX_ERR_FILE, &source->no_labels.ctx, "absent.npy", "No such file");
    px_source_close(source);
    options.labels = false;
    assert_ok(&ctx, px_source_open_all(&ctx, 2, specs, &options, &source));
    EXPECT_EQUAL(source->no_labels.status, PX_OK, "labels not wanted");
    px_source_close(source);
}

/* ---- Formats with labels ---- */

static void cifar_has_labels(void **state) {
    (void)state;
    static const int batch[] = {8, 9, 0, 1}, train[] = {2, 3, 4, 5, 6, 7, 8, 9, 0, 1}, test[] = {0, 1, 2};
    static const int fine[] = {30, 99};
    static blob b, member;
    char path[PX_PATH];
    cifar_make(&b, 8, 4);
    check_file(write_plain("batch.bin", &b), labelled, 4, batch);
    cifar_tar_make(&b, NULL);
    strcpy(path, write_gzip("cifar.tar.gz", &b));
    check_file(path, labelled, 10, train);
    check_file(path, (px_source_options){.split = PX_SPLIT_TEST}, 3, test);
    member.size = b.size = 0;
    for (int n = 0; n < 2; n++) {
        append(&member, (const uint8_t[]){(uint8_t)(3 + n), (uint8_t)fine[n]}, 2);
        append_zeros(&member, 3072);
    }
    check_file(write_plain("cifar100.bin", &member), labelled, 2, fine);
    tar_add(&b, "cifar-100-binary/train.bin", member.bytes, member.size, member.size);
    tar_end(&b);
    check_file(write_plain("cifar100.tar", &b), labelled, 2, fine);
}

/* Each array of images and the array of its labels, which counts from `first`. */
static void npz_has_labels(void **state) {
    (void)state;
    static const struct {
        px_split split;
        const char *images, *labels;
        int first;
    } cases[] = {
        {PX_SPLIT_TRAIN, "data", "labels", 1},
        {PX_SPLIT_TEST, "images", "labels", 1},
        {PX_SPLIT_TRAIN, "x_train", "y_train", 0},
        {PX_SPLIT_TEST, "x_test", "y_test", 0},
        {PX_SPLIT_VALID, "x_val", "y_val", 0},
        {PX_SPLIT_TRAIN, "train_images", "train_labels", 0},
        {PX_SPLIT_VALID, "val_images", "val_labels", 0},
        {PX_SPLIT_TEST, "test_images", "test_labels", 0},
        {PX_SPLIT_TRAIN, "train_data", "train_labels", 0},
        {PX_SPLIT_TRAIN, "X", "y", 0},
        {PX_SPLIT_TRAIN, "a/x_train", "a/y_train", 0},
        {PX_SPLIT_TRAIN, "pixels", "labels", 1},
        {PX_SPLIT_TRAIN, "train", "labels", 1},
    };
    static const int stored[] = {5, 1, 3};
    static blob images, labels, other;
    static zip_file zip;
    npy_make(&images, NPY_IMAGES("(3, 2, 2)"), 12);
    labels_make(&labels, "<i8", "(3,)", 3, stored);
    labels_make(&other, "<i8", "(4,)", 3, stored);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int deflate = 0; deflate < 2; deflate++) {
            char name[64];
            const int expected[] = {5 - cases[i].first, 1 - cases[i].first, 3 - cases[i].first};
            zip.body.size = zip.directory.size = 0, zip.members = 0;
            const zip_lie how = {.deflate = deflate};
            snprintf(name, sizeof name, "%s.npy", cases[i].images);
            zip_add(&zip, "b/y_train.npy", other.bytes, other.size, how);
            zip_add(&zip, name, images.bytes, images.size, how);
            snprintf(name, sizeof name, "%s.npy", cases[i].labels);
            zip_add(&zip, name, labels.bytes, labels.size, how);
            check_file(zip_write("labelled.npz", &zip), (px_source_options){.split = cases[i].split}, 3, expected);
        }
}

static void wrong_labels_in_npz_are_refused(void **state) {
    (void)state;
    static const int from_zero[] = {0, 1, 2};
    static blob images, labels, more;
    static zip_file zip;
    npy_make(&images, NPY_IMAGES("(3, 2, 2)"), 12);
    labels_make(&labels, "<i8", "(3,)", 3, from_zero);
    labels_make(&more, "<i8", "(2,)", 2, from_zero);
    zip_add(&zip, "data.npy", images.bytes, images.size, (zip_lie){0});
    check_none(zip_write("wrong.npz", &zip), (px_source_options){.split = PX_SPLIT_TEST}, PX_ERR_CONFIG,
               "wrong.npz/data.npy: found no labels, expected labels.npy beside it; data.test_labels names files");
    zip_add(&zip, "labels.npy", labels.bytes, labels.size, (zip_lie){.crc = 1});
    check_none(zip_write("wrong.npz", &zip), (px_source_options){0}, PX_ERR_FORMAT, "found damaged content (");
    zip.body.size = zip.directory.size = 0, zip.members = 0;
    zip_add(&zip, "data.npy", images.bytes, images.size, (zip_lie){0});
    zip_add(&zip, "labels.npy", labels.bytes, labels.size, (zip_lie){0});
    zip_add(&zip, "x_train.npy", images.bytes, images.size, (zip_lie){0});
    zip_add(&zip, "y_train.npy", more.bytes, more.size, (zip_lie){0});
    const char *path = zip_write("wrong.npz", &zip);
    check_none(path, (px_source_options){0}, PX_ERR_FORMAT,
               "wrong.npz/labels.npy: found label 0 of image 0, expected 1 to 65536");
    check_none(path, (px_source_options){.array = "x_train"}, PX_ERR_FORMAT, "y_train.npy: found 2 labels, expected 3");
}

/* Classes are in the order of names, whatever the order of the archive. */
static void folders_are_labels(void **state) {
    (void)state;
    static const char *const names[] = {"in/caz/1.png", "in/cat/2.png", "in/ca/x/3.png", "in/cat-b/4.png",
                                        "in/cat/1.png"};
    static const int as_stored[] = {3, 1, 0, 2, 1}, as_listed[] = {0, 1, 1, 2, 3};
    static image_file files[5];
    char paths[KINDS][PX_PATH];
    name_files(files, 5, names);
    for (int i = 0; i < 5; i++) png_make(&files[i].content, 2, 2, 1, 10 * i);
    write_set(files, 5, paths);
    for (int k = 0; k < KINDS; k++) {
        check_file(paths[k], labelled, 5, k == FOLDER ? as_listed : as_stored);
        px_source *source = open_source(paths[k], labelled);
        EXPECT_EQUAL(source->classes, 4, "%.120s", paths[k]);
        px_source_close(source);
    }
}

static void images_outside_of_folders_have_no_labels(void **state) {
    (void)state;
    static const char *const names[] = {"a/1.png", "a/2.png", "3.png"};
    static image_file files[3];
    char paths[KINDS][PX_PATH];
    name_files(files, 3, names);
    for (int i = 0; i < 3; i++) png_make(&files[i].content, 2, 2, 1, i);
    write_set(files, 3, paths);
    for (int k = 0; k < KINDS; k++)
        check_none(paths[k], (px_source_options){0}, PX_ERR_CONFIG,
                   "3.png is in no sub-folder, expected one for each class; data.train_labels names files of labels");
    write_set(files, 2, paths);
    for (int k = 0; k < KINDS; k++)
        check_none(paths[k], (px_source_options){0}, PX_ERR_CONFIG, "a/1.png is in no sub-folder");
}

/* ---- Built-in sets ---- */

enum { SIDE = 16, IMAGES = 1000 };

/* An image of the test split is nearest to the mean training image of its own digit, three times in four. */
static void digits_are_labels(void **state) {
    (void)state;
    static double mean[10][SIDE * SIDE];
    px_context ctx = {""};
    uint8_t pixels[SIDE * SIDE];
    int count[10] = {0}, right = 0;
    for (px_split split = PX_SPLIT_TRAIN; split <= PX_SPLIT_TEST; split++) {
        px_source *source = open_source("builtin:digits",
                                        (px_source_options){.split = split, .size = SIDE, .seed = 3, .labels = true});
        for (size_t n = 0; n < IMAGES; n++) {
            const int label = source->labels[n];
            double best = 1e30;
            int nearest = -1;
            assert_in_range(label, 0, 9);
            assert_ok(&ctx, source->read(source, &ctx, n, pixels));
            for (int d = 0; split == PX_SPLIT_TEST && d < 10; d++) {
                double distance = 0;
                for (int i = 0; i < SIDE * SIDE; i++)
                    distance += (pixels[i] - mean[d][i] / count[d]) * (pixels[i] - mean[d][i] / count[d]);
                if (distance < best) best = distance, nearest = d;
            }
            right += nearest == label;
            if (split == PX_SPLIT_TEST) continue;
            count[label]++;
            for (int i = 0; i < SIDE * SIDE; i++) mean[label][i] += pixels[i];
        }
        px_source_close(source);
    }
    for (int d = 0; d < 10; d++) assert_in_range(count[d], IMAGES / 20, IMAGES / 5);
    assert_in_range(right, IMAGES * 3 / 4, IMAGES);
}

static void ising_has_no_labels(void **state) {
    (void)state;
    px_context ctx = {""};
    const px_condition condition = {.kind = PX_CONDITION_CLASS, .classes = 2};
    px_source *source = open_source("builtin:ising", labelled);
    assert_null(source->labels);
    check_message(px_source_check_condition(&ctx, source, &condition), PX_ERR_CONFIG, &ctx, "model.condition is class",
                  "builtin:ising: found no labels, expected one for each image");
    px_source_close(source);
}

/* ---- Sources of sources ---- */

static void conversions_keep_labels(void **state) {
    (void)state;
    static const int values[] = {4, 5, 6}, twice[] = {4, 5, 6, 4, 5, 6};
    static blob b;
    px_context ctx = {""};
    px_source *source;
    char path[PX_PATH];
    labels_make(&b, "|u1", "(3,)", 3, values);
    write_plain("kept.labels.npy", &b);
    images_file("kept.npy", path);
    const px_source_options options = {
        .labels = true, .channels = 3, .size = 1, .levels = 20, .values = PX_VALUES_LEVELS};
    assert_ok(&ctx, px_source_open_all(&ctx, 2, (const char *const[]){path, path}, &options, &source));
    check_sizes(source, 6, 1, 1, 3);
    check_labels(source, "converted", 6, twice);
    px_source_close(source);
}

/* A source without labels among others is a fault, which names it. */
static void all_parts_need_labels(void **state) {
    (void)state;
    static const int values[] = {4, 5, 6};
    static blob b;
    px_context ctx = {""};
    px_source *source;
    char paths[2][PX_PATH];
    labels_make(&b, "|u1", "(3,)", 3, values);
    write_plain("with.labels.npy", &b);
    images_file("with.npy", paths[0]);
    images_file("without.npy", paths[1]);
    for (int first = 0; first < 2; first++) {
        const char *const specs[] = {paths[first], paths[1 - first]};
        assert_ok(&ctx, px_source_open_all(&ctx, 2, specs, &labelled, &source));
        assert_null(source->labels);
        check_message(source->no_labels.status, PX_ERR_FORMAT, &source->no_labels.ctx, paths[1],
                      "without.npy: found no labels, expected without.labels.npy");
        px_source_close(source);
    }
}

/* ---- Conditions ---- */

static void conditions_are_checked(void **state) {
    (void)state;
    static const int values[] = {4, 0, 2};
    static blob b;
    px_context ctx = {""};
    char path[PX_PATH];
    labels_make(&b, "|u1", "(3,)", 3, values);
    write_plain("checked.labels.npy", &b);
    images_file("checked.npy", path);
    px_source *source = open_source(path, labelled), *none = open_source(path, (px_source_options){0});
    px_condition condition = {.kind = PX_CONDITION_CLASS, .classes = 5, .scale = 2};
    assert_ok(&ctx, px_source_check_condition(&ctx, source, &condition));
    condition.classes = 4;
    check_message(px_source_check_condition(&ctx, source, &condition), PX_ERR_CONFIG, &ctx, path,
                  "checked.npy: found label 4 of image 0, expected 0 to 3 (model.classes: 4)");
    check_message(px_source_check_condition(&ctx, none, &condition), PX_ERR_CONFIG, &ctx, "model.condition is class",
                  "checked.npy: found no labels, expected one for each image");
    condition.classes = 10;
    source->classes = 9; /* as of nine sub-folders */
    check_message(px_source_check_condition(&ctx, source, &condition), PX_ERR_CONFIG, &ctx, path,
                  "checked.npy: found 9 sub-folders, expected model.classes, 10");
    condition.kind = PX_CONDITION_IMAGE;
    assert_ok(&ctx, px_source_check_condition(&ctx, none, &condition));
    condition.scale = 4;
    check_message(px_source_check_condition(&ctx, none, &condition), PX_ERR_CONFIG, &ctx, path,
                  "checked.npy: found images of 2 x 2, expected multiples of model.scale, 4");
    none->height = 4;
    check_message(px_source_check_condition(&ctx, none, &condition), PX_ERR_CONFIG, &ctx, path,
                  "found images of 4 x 2, expected multiples of model.scale, 4");
    condition.kind = PX_CONDITION_NONE;
    assert_ok(&ctx, px_source_check_condition(&ctx, none, &condition));
    px_source_close(source);
    px_source_close(none);
}

static void conditions_are_written(void **state) {
    (void)state;
    static uint16_t labels[] = {3, 513};
    const px_source source = {.count = 2, .height = 2, .width = 4, .channels = 3, .labels = labels};
    const px_condition class = {.kind = PX_CONDITION_CLASS, .classes = 600};
    const px_condition image = {.kind = PX_CONDITION_IMAGE, .scale = 2};
    const px_condition none = {.kind = PX_CONDITION_NONE};
    uint8_t pixels[2 * 4 * 3], written[7] = {9, 9, 9, 9, 9, 9, 9};
    for (int i = 0; i < 24; i++) pixels[i] = (uint8_t)(10 * i);
    px_source_condition(&source, 1, pixels, &none, 256, written);
    EXPECT_EQUAL(written[0], 9, "no condition");
    px_source_condition(&source, 1, pixels, &class, 256, written);
    EXPECT_EQUAL(written[0], 1, "low byte of 513");
    EXPECT_EQUAL(written[1], 2, "high byte of 513");
    px_source_condition(&source, 1, pixels, &image, 4, written);
    for (int i = 0; i < 6; i++) { /* value (i, j, c) is 10 (12 i + 3 j + c), and the mean is at i and j of 1 / 2 more */
        const int mean = 10 * (i / 3 * 6 + i % 3) + (120 + 30) / 2;
        EXPECT_EQUAL(written[i], mean * 4 / 256, "value %d", i);
    }
    EXPECT_EQUAL(written[6], 9, "after the condition");
}

/* The digest of images changes with any label, and only where labels are read. */
static void digests_have_labels(void **state) {
    (void)state;
    static const int values[2][3] = {{4, 5, 6}, {4, 5, 7}};
    static blob b;
    px_context ctx = {""};
    px_source_digest digest[2][2];
    char path[PX_PATH];
    images_file("digest.npy", path);
    for (int i = 0; i < 2; i++) {
        labels_make(&b, "|u1", "(3,)", 3, values[i]);
        write_plain("digest.labels.npy", &b);
        for (int with = 0; with < 2; with++) {
            px_source *source = open_source(path, (px_source_options){.labels = with});
            assert_ok(&ctx, px_source_digest_of(&ctx, source, &digest[i][with]));
            px_source_close(source);
        }
    }
    assert_true(px_source_digest_same(&digest[0][0], &digest[1][0]));
    assert_false(px_source_digest_same(&digest[0][0], &digest[0][1]));
    assert_false(px_source_digest_same(&digest[0][1], &digest[1][1]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_of_every_type_are_labels),
        cmocka_unit_test(wrong_files_of_labels_are_refused),
        cmocka_unit_test(labels_of_idx_are_found_by_name),
        cmocka_unit_test(wrong_idx_labels_are_refused),
        cmocka_unit_test(named_files_label_joined_sources),
        cmocka_unit_test(cifar_has_labels),
        cmocka_unit_test(npz_has_labels),
        cmocka_unit_test(wrong_labels_in_npz_are_refused),
        cmocka_unit_test(folders_are_labels),
        cmocka_unit_test(images_outside_of_folders_have_no_labels),
        cmocka_unit_test(digits_are_labels),
        cmocka_unit_test(ising_has_no_labels),
        cmocka_unit_test(conversions_keep_labels),
        cmocka_unit_test(all_parts_need_labels),
        cmocka_unit_test(conditions_are_checked),
        cmocka_unit_test(conditions_are_written),
        cmocka_unit_test(digests_have_labels),
    };
    return cmocka_run_group_tests_name("data_labels", tests, px_test_folder_make, px_test_folder_remove);
}
