/* pixelrnn pack: sources become one .npy file with a checksum, damaged images are skipped and reported, and a failure
 * leaves no file. */
#include "tests/support/data_files.h"
#include "host/data/pack.h"
#include <omp.h>
#include <unistd.h>
#include <zlib.h>

/* The calls of the callbacks. */
typedef struct told {
    size_t done, skipped, last;
    char why[1024];
} told;

static void note_done(void *user, size_t images) { ((told *)user)->done = images; }

static void note_skipped(void *user, size_t index, const char *why) {
    told *t = user;
    t->skipped++;
    t->last = index;
    snprintf(t->why, sizeof t->why, "%s", why);
}

/* range.count 0: all images. */
static px_status pack_range(px_context *ctx, const char *from, px_source_options options, px_pack_range range,
                            const char *to, told *t, px_packed *packed) {
    *t = (told){.done = 0};
    const px_pack_callbacks callbacks = {t, note_done, note_skipped, NULL};
    options.access = PX_ACCESS_IN_ORDER;
    px_source *source = open_source(from, options);
    if (range.count == 0) range.count = source->count;
    px_status status = px_pack(ctx, source, range, to, &callbacks, packed);
    px_source_close(source);
    return status;
}

static px_status pack(px_context *ctx, const char *from, px_source_options options, const char *to, told *t,
                      px_packed *packed) {
    return pack_range(ctx, from, options, (px_pack_range){0}, to, t, packed);
}

static void read_file(const char *path, blob *b) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    b->size = fread(b->bytes, 1, sizeof b->bytes, file);
    fclose(file);
}

enum { TAR_IMAGES = 300, SIDE = 5, DAMAGED = 280 };

/* Writes a tar of TAR_IMAGES images. Image number `damaged` is truncated; -1: none. */
static const char *image_tar(int damaged, bool gzip) {
    static blob image, tar;
    tar.size = 0;
    for (int i = 0; i < TAR_IMAGES; i++) {
        char name[32];
        png_make(&image, SIDE, SIDE + i % 3, 3, i % 200);
        if (i == damaged) image.size = 30;
        snprintf(name, sizeof name, "%d.png", i);
        tar_add(&tar, name, image.bytes, image.size, image.size);
    }
    tar_end(&tar);
    return gzip ? write_gzip("pictures.tar.gz", &tar) : write_plain("pictures.tar", &tar);
}

static void check_checksum(const char *path, const px_packed *packed, const blob *file) {
    static blob line;
    char name[PX_PATH + 8], expected[PX_PATH];
    assert_int_equal(packed->crc32, crc32(0, file->bytes, (uInt)file->size));
    snprintf(name, sizeof name, "%s.sfv", path);
    read_file(name, &line);
    snprintf(expected, sizeof expected, "%s %08X\n", strrchr(path, '/') + 1, (unsigned)packed->crc32);
    assert_int_equal(line.size, strlen(expected));
    assert_memory_equal(line.bytes, expected, line.size);
}

/* A plain and a compressed tar give the same bytes, with one thread and with four. */
static void images_are_packed(void **state) {
    (void)state;
    static blob first, file;
    px_context ctx = {""};
    px_packed packed;
    told t;
    const int threads = omp_get_max_threads();
    char to[PX_PATH];
    strcpy(to, px_test_path("pictures.npy"));
    for (int round = 0; round < 4; round++) {
        omp_set_num_threads(round % 2 ? 4 : 1);
        const char *from = image_tar(DAMAGED, round >= 2);
        px_status status = pack(&ctx, from, (px_source_options){.size = SIDE}, to, &t, &packed);
        if (status != PX_OK) fail_msg("%s", ctx.message);
        assert_int_equal(packed.images, TAR_IMAGES - 1);
        assert_int_equal(packed.skipped, 1);
        assert_int_equal(t.done, TAR_IMAGES);
        assert_int_equal(t.skipped, 1);
        assert_int_equal(t.last, DAMAGED);
        assert_non_null(strstr(t.why, "/280.png: found "));
        read_file(to, round == 0 ? &first : &file);
        check_checksum(to, &packed, round == 0 ? &first : &file);
        if (round == 0) continue;
        assert_int_equal(file.size, first.size);
        assert_memory_equal(file.bytes, first.bytes, first.size);
    }
    omp_set_num_threads(threads);
    px_source *source = open_source(to, (px_source_options){0});
    check_sizes(source, TAR_IMAGES - 1, SIDE, SIDE, 3);
    for (int i = 0; i < TAR_IMAGES - 1; i++) {
        uint8_t expected[SIDE * SIDE * 3];
        const int image = i + (i >= DAMAGED);
        for (int j = 0; j < SIDE * SIDE * 3; j++) expected[j] = (uint8_t)(image % 200 + j % 3);
        check_image(source, (size_t)i, expected);
    }
    px_source_close(source);
}

/* A range of a plain and of a compressed tar, with a damaged image in it. */
static void a_range_is_packed(void **state) {
    (void)state;
    const px_pack_range range = {DAMAGED - 3, 8};
    px_context ctx = {""};
    px_packed packed;
    told t;
    char to[PX_PATH];
    strcpy(to, px_test_path("range.npy"));
    for (int round = 0; round < 2; round++) {
        const char *from = image_tar(DAMAGED, round == 1);
        assert_ok(&ctx, pack_range(&ctx, from, (px_source_options){.size = SIDE}, range, to, &t, &packed));
        assert_int_equal(packed.images, 7);
        assert_int_equal(t.done, 8);
        assert_int_equal(t.last, DAMAGED);
        px_source *source = open_source(to, (px_source_options){0});
        check_sizes(source, 7, SIDE, SIDE, 3);
        for (int i = 0; i < 7; i++) {
            uint8_t expected[SIDE * SIDE * 3];
            const int image = DAMAGED - 3 + i + (i >= 3);
            for (int j = 0; j < SIDE * SIDE * 3; j++) expected[j] = (uint8_t)(image % 200 + j % 3);
            check_image(source, (size_t)i, expected);
        }
        px_source_close(source);
    }
}

static void packing_a_packed_file_copies_it(void **state) {
    (void)state;
    static blob b, first, second;
    static zip_file zip;
    px_context ctx = {""};
    px_packed packed;
    told t;
    npy_make(&b, NPY_IMAGES("(40, 3, 4, 3)"), 40 * 36);
    zip_add(&zip, "data.npy", b.bytes, b.size, (zip_lie){.deflate = true});
    const char *from = zip_write("set.npz", &zip), *to = px_test_path("set.npy"), *again = px_test_path("again.npy");
    assert_int_equal(pack(&ctx, from, (px_source_options){0}, to, &t, &packed), PX_OK);
    assert_int_equal(pack(&ctx, to, (px_source_options){0}, again, &t, &packed), PX_OK);
    read_file(to, &first);
    read_file(again, &second);
    assert_int_equal(first.size, 128 + 40 * 36);
    assert_memory_equal(first.bytes, second.bytes, first.size);
    assert_memory_equal(first.bytes + 128, b.bytes + b.size - 40 * 36, 40 * 36);
    check_checksum(again, &packed, &second);
}

/* The checksum of a file of several pieces is combined from theirs. */
static void long_files_are_compared_with_their_checksums(void **state) {
    (void)state;
    enum { IMAGES = 9, BYTES = IMAGES << 20, HEADER = 128 };
    char header[HEADER + 1], sfv[PX_PATH];
    uint8_t *bytes = malloc(HEADER + BYTES);
    assert_non_null(bytes);
    snprintf(header, sizeof header, "\x93NUMPY\1%c%c%c%-117s\n", 0, HEADER - 10, 0, "");
    snprintf(header + 10, sizeof header - 10, "%-117s\n", NPY_IMAGES("(9, 1024, 1024)"));
    memcpy(bytes, header, HEADER);
    for (uint32_t i = 0; i < BYTES; i++) bytes[HEADER + i] = (uint8_t)(i * 2654435761u >> 24);
    char path[PX_PATH];
    strcpy(path, px_test_path("long.npy"));
    strcpy(sfv, px_test_path("long.npy.sfv"));
    FILE *file = fopen(sfv, "w");
    fprintf(file, "long.npy %08lX\n", crc32(0, bytes, HEADER + BYTES));
    fclose(file);
    for (int damaged = 0; damaged < 2; damaged++) {
        bytes[HEADER + BYTES - 1] ^= (uint8_t)damaged;
        file = fopen(path, "wb");
        assert_int_equal(fwrite(bytes, 1, HEADER + BYTES, file), HEADER + BYTES);
        fclose(file);
        if (damaged)
            check_refused(path, (px_source_options){0}, PX_ERR_FORMAT, "long.npy: found CRC-32 ");
        else
            px_source_close(open_source(path, (px_source_options){0}));
    }
    free(bytes);
}

/* Each failure has the expected status and message, and leaves an older file, or no file, unchanged. */
static void a_pack_that_fails_leaves_nothing(void **state) {
    (void)state;
    static blob damaged, tar, file;
    tar.size = 0;
    append(&damaged, "text", 4);
    for (int i = 0; i < 2; i++) tar_add(&tar, i ? "2.png" : "1.png", damaged.bytes, damaged.size, damaged.size);
    tar_end(&tar);
    char unequal[PX_PATH], unreadable[PX_PATH];
    strcpy(unequal, image_tar(-1, true));
    strcpy(unreadable, write_plain("unreadable.tar", &tar));
    const struct {
        const char *from, *to;
        int size;
        px_status status;
        const char *words;
    } cases[] = {
        {unequal, "out.npy", 0, PX_ERR_SHAPE, "1.png: found 5 x 6 pixels, expected 5 x 5 as of the first"},
        {unreadable, "out.npy", 5, PX_ERR_FORMAT, "1.png: found the first bytes 74 65 78 74"},
        {unequal, "absent/out.npy", 5, PX_ERR_FILE, "absent/out.npy: No such file or directory"},
        {unequal, "../../dev/full", 5, PX_ERR_FILE, "/dev/full: No space left on device"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        px_context ctx = {""};
        px_packed packed;
        told t;
        char to[PX_PATH];
        strcpy(to, px_test_path(cases[i].to));
        write_plain("out.npy", &damaged);
        write_plain("out.npy.sfv", &damaged);
        px_status status = pack(&ctx, cases[i].from, (px_source_options){.size = cases[i].size}, to, &t, &packed);
        check_message(status, cases[i].status, &ctx, px_test_folder, cases[i].words);
        assert_false(px_file_exists(px_test_path("out.npy.partial")));
        assert_false(px_file_exists(px_test_path("out.npy.sfv.partial")));
        for (int k = 0; k < 2; k++) {
            read_file(px_test_path(k ? "out.npy.sfv" : "out.npy"), &file);
            assert_int_equal(file.size, damaged.size);
        }
    }
}

/* A zip's image whose checksum differs is skipped, like other damaged images. */
static void damaged_zip_members_are_skipped(void **state) {
    (void)state;
    static blob image;
    static zip_file zip;
    px_context ctx = {""};
    px_packed packed;
    told t;
    for (int i = 0; i < 3; i++) {
        jpeg_make(&image);
        zip_add(&zip,
                i == 0   ? "0.jpg"
                : i == 1 ? "1.jpg"
                         : "2.jpg",
                image.bytes, image.size, (zip_lie){.deflate = true, .crc = i == 1 ? 7 : 0});
    }
    const char *from = zip_write("damaged.zip", &zip), *to = px_test_path("damaged.npy");
    assert_int_equal(PX_OK, pack(&ctx, from, (px_source_options){0}, to, &t, &packed));
    assert_int_equal(packed.images, 2);
    assert_int_equal(packed.skipped, 1);
    assert_int_equal(t.last, 1);
    assert_non_null(
        strstr(t.why, "damaged.zip/1.jpg: found damaged content (a checksum that is not that of the data)"));
}

/* pack refuses an array, stored or deflated, whose checksum in the zip differs, and leaves no file. */
static void a_damaged_npz_is_not_packed(void **state) {
    (void)state;
    static blob array;
    static zip_file zip;
    npy_make(&array, NPY_IMAGES("(20000, 3, 4, 3)"), 20000 * 36);
    for (int deflate = 0; deflate < 2; deflate++) {
        px_context ctx = {""};
        px_packed packed;
        told t;
        zip.body.size = zip.directory.size = 0, zip.members = 0;
        zip_add(&zip, "data.npy", array.bytes, array.size, (zip_lie){.deflate = deflate, .crc = 7});
        const char *from = zip_write("wrong.npz", &zip), *to = px_test_path("wrong.npy");
        px_status status = pack(&ctx, from, (px_source_options){0}, to, &t, &packed);
        check_message(status, PX_ERR_FILE, &ctx, px_test_folder,
                      "wrong.npz/data.npy: found damaged content (a checksum that is not that of the data)");
        assert_false(px_file_exists(to));
    }
}

/* Opening a packed file compares its checksum. A changed byte is found in every piece of the file. */
static void packed_files_are_compared_with_their_checksums(void **state) {
    (void)state;
    enum { SIZE = 128 + 10 * 1000 * 1000 };
    px_context ctx = {""};
    px_packed packed;
    told t;
    char from[PX_PATH], to[PX_PATH], sfv[PX_PATH];
    static blob header, line;
    npy_make(&header,
             "{'descr': '|u1', 'fortran_order': False, 'shape': (1000, 100, 100), }                                    "
             "            \n",
             0);
    strcpy(from, write_plain("large.npy", &header));
    assert_int_equal(truncate(from, (off_t)header.size + 10 * 1000 * 1000), 0);
    strcpy(to, px_test_path("checked.npy"));
    strcpy(sfv, px_test_path("checked.npy.sfv"));
    assert_int_equal(PX_OK, pack(&ctx, from, (px_source_options){0}, to, &t, &packed));
    const long places[] = {0, 128, (1 << 22) - 1, 1 << 22, 9000000, SIZE - 1};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        px_source_close(open_source(to, (px_source_options){0}));
        uint8_t byte;
        for (int round = 0; round < 2; round++) { /* damage it, and put it right again */
            FILE *file = fopen(to, "r+b");
            assert_non_null(file);
            assert_int_equal(fseek(file, places[i], SEEK_SET), 0);
            assert_int_equal(fread(&byte, 1, 1, file), 1);
            byte ^= 0x10;
            assert_int_equal(fseek(file, places[i], SEEK_SET), 0);
            assert_int_equal(fwrite(&byte, 1, 1, file), 1);
            assert_int_equal(fclose(file), 0);
            if (round == 0) check_refused(to, (px_source_options){0}, PX_ERR_FORMAT, "checked.npy: found CRC-32 ");
        }
    }
    const char *const others[] = {"other.npy 00000000\n", "checked.npy\n", "checked.npy 0000\n",
                                  "; checked.npy 00000000\n", ""};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        line.size = 0;
        append(&line, others[i], strlen(others[i]));
        write_plain("checked.npy.sfv", &line);
        check_refused(to, (px_source_options){0}, PX_ERR_FORMAT,
                      "checked.npy.sfv: found no checksum of checked.npy, expected a line \"checked.npy CRC32\"");
    }
    line.size = 0;
    append(&line, "; a comment\r\nother.npy 00000000\r\n", 33);
    char own[64];
    append(&line, own, (size_t)snprintf(own, sizeof own, "checked.npy  %08x \r\n", (unsigned)packed.crc32));
    write_plain("checked.npy.sfv", &line);
    px_source_close(open_source(to, (px_source_options){0}));
    assert_int_equal(unlink(sfv), 0);
    px_source_close(open_source(to, (px_source_options){0}));
}

/* ---- Labels ---- */

enum { LABELLED = 12, BROKEN = 5 };

/* Writes a tar of LABELLED images in 3 folders, so that image i has label i mod 3. Image BROKEN is truncated. */
static const char *labelled_tar(void) {
    static blob image, tar;
    tar.size = 0;
    for (int i = 0; i < LABELLED; i++) {
        char name[32];
        png_make(&image, SIDE, SIDE, 3, 10 * i);
        if (i == BROKEN) image.size = 30;
        snprintf(name, sizeof name, "c%d/%d.png", i % 3, i);
        tar_add(&tar, name, image.bytes, image.size, image.size);
    }
    tar_end(&tar);
    return write_gzip("labelled.tar.gz", &tar);
}

/* The checksum file must have a line for the images and one for the labels. */
static void check_both_checksums(const blob *images, const blob *labels) {
    static blob found;
    char expected[128];
    read_file(px_test_path("labelled.npy.sfv"), &found);
    const int length = snprintf(expected, sizeof expected, "labelled.npy %08lX\nlabelled.labels.npy %08lX\n",
                                crc32(0, images->bytes, (uInt)images->size),
                                crc32(0, labels->bytes, (uInt)labels->size));
    assert_int_equal(found.size, length);
    assert_memory_equal(found.bytes, expected, found.size);
}

/* Labels stay with their images when a range is packed, of which an image is damaged. */
static void labels_are_packed(void **state) {
    (void)state;
    static const uint8_t expected[] = {2, 0, 1, 0, 1, 2, 0}; /* of images 2, 3, 4, 6, 7, 8, 9 */
    static blob images, labels, damaged;
    px_context ctx = {""};
    px_packed packed;
    told t;
    char to[PX_PATH];
    strcpy(to, px_test_path("labelled.npy"));
    assert_ok(&ctx, pack_range(&ctx, labelled_tar(), (px_source_options){.size = SIDE, .labels = true},
                               (px_pack_range){2, 8}, to, &t, &packed));
    assert_int_equal(packed.images, 7);
    read_file(to, &images);
    read_file(px_test_path("labelled.labels.npy"), &labels);
    check_both_checksums(&images, &labels);
    assert_non_null(memmem(labels.bytes, 128, "'<u2'", 5));
    assert_int_equal(labels.size, 128 + 2 * 7);
    px_source *source = open_source(to, (px_source_options){.labels = true});
    assert_non_null(source->labels);
    for (size_t n = 0; n < 7; n++) {
        EXPECT_EQUAL(labels.bytes[128 + 2 * n], expected[n], "stored label %zu", n);
        EXPECT_EQUAL(source->labels[n], expected[n], "label %zu", n);
    }
    px_source_close(source);
    damaged = labels;
    damaged.bytes[129]++;
    write_plain("labelled.labels.npy", &damaged);
    source = open_source(to, (px_source_options){.labels = true});
    check_message(source->no_labels.status, PX_ERR_FORMAT, &source->no_labels.ctx, px_test_folder,
                  "labelled.labels.npy: found CRC-32 ");
    px_source_close(source);
    px_source_close(open_source(to, (px_source_options){0}));
    write_plain("labelled.labels.npy", &labels);
}

/* Labels that are already there stay as they are if a pack fails, and are refused beside images without labels. */
static void older_labels_are_not_mixed_with_new_images(void **state) {
    (void)state;
    static blob old, now, array;
    px_context ctx = {""};
    px_packed packed;
    told t;
    char to[PX_PATH], from[PX_PATH];
    strcpy(to, px_test_path("labelled.npy"));
    strcpy(from, labelled_tar());
    read_file(px_test_path("labelled.labels.npy"), &old);
    px_status status = pack_range(&ctx, from, (px_source_options){.size = SIDE, .labels = true},
                                  (px_pack_range){BROKEN, 1}, to, &t, &packed);
    check_message(status, PX_ERR_FORMAT, &ctx, from, "found no image that can be read among 1");
    npy_make(&array, NPY_IMAGES("(7, 5, 5, 3)"), 7 * 75);
    status = pack(&ctx, write_plain("plain.npy", &array), (px_source_options){.labels = true}, to, &t, &packed);
    check_message(status, PX_ERR_FILE, &ctx, px_test_folder,
                  "labelled.labels.npy: found labels, expected none beside images of ");
    read_file(px_test_path("labelled.labels.npy"), &now);
    assert_int_equal(now.size, old.size);
    assert_memory_equal(now.bytes, old.bytes, old.size);
    px_source *source = open_source(to, (px_source_options){.labels = true});
    assert_non_null(source->labels);
    px_source_close(source);
    unlink(px_test_path("labelled.labels.npy"));
    assert_ok(&ctx, pack(&ctx, px_test_path("plain.npy"), (px_source_options){.labels = true}, to, &t, &packed));
    read_file(to, &now);
    check_checksum(to, &packed, &now);
    write_plain("labelled.labels.npy", &old); /* labels of the user's own have no checksum */
    source = open_source(to, (px_source_options){.labels = true});
    assert_non_null(source->labels);
    px_source_close(source);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_are_packed),
        cmocka_unit_test(a_range_is_packed),
        cmocka_unit_test(packing_a_packed_file_copies_it),
        cmocka_unit_test(damaged_zip_members_are_skipped),
        cmocka_unit_test(a_damaged_npz_is_not_packed),
        cmocka_unit_test(packed_files_are_compared_with_their_checksums),
        cmocka_unit_test(long_files_are_compared_with_their_checksums),
        cmocka_unit_test(a_pack_that_fails_leaves_nothing),
        cmocka_unit_test(labels_are_packed),
        cmocka_unit_test(older_labels_are_not_mixed_with_new_images),
    };
    return cmocka_run_group_tests_name("data_pack", tests, px_test_folder_make, px_test_folder_remove);
}
