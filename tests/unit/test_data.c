/* .npy, idx, .amat and compressed files: valid ones are read, malformed ones refused with a message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "host/data/archive.h"
#include "host/data/npy.h"
#include "pixelrnn/source.h"
#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/* ---- Writing small files ---- */

static char folder[64];
static char path[128]; /* the file under test: one at a time */

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/px_data_XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/images", folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    unlink(path);
    return rmdir(folder);
}

/* The content of a file. */
typedef struct blob {
    uint8_t bytes[4096];
    size_t size;
} blob;

static void append(blob *b, const void *bytes, size_t size) {
    assert_true(b->size + size <= sizeof b->bytes);
    memcpy(b->bytes + b->size, bytes, size);
    b->size += size;
}

static void write_plain(const blob *b) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(b->bytes, 1, b->size, file), b->size);
    assert_int_equal(fclose(file), 0);
}

static void write_gzip(const blob *b) {
    struct archive *archive = archive_write_new();
    archive_write_add_filter_gzip(archive);
    archive_write_set_format_raw(archive);
    assert_int_equal(archive_write_open_filename(archive, path), ARCHIVE_OK);
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, "images");
    archive_entry_set_filetype(entry, AE_IFREG);
    assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
    assert_int_equal(archive_write_data(archive, b->bytes, b->size), b->size);
    archive_entry_free(entry);
    assert_int_equal(archive_write_free(archive), ARCHIVE_OK);
}

/* Makes a .npy file of a format version, with this dictionary and `elements` bytes 0, 1, 2... */
static blob npy_blob(int version, const char *dictionary, size_t elements) {
    blob b = {0};
    size_t length = strlen(dictionary);
    uint8_t prefix[12] = {0x93, 'N', 'U', 'M', 'P', 'Y', (uint8_t)version, 0, (uint8_t)length, (uint8_t)(length >> 8)};
    append(&b, prefix, version == 1 ? 10 : 12);
    append(&b, dictionary, length);
    for (size_t i = 0; i < elements; i++) append(&b, &(uint8_t){(uint8_t)i}, 1);
    return b;
}

/* Makes an idx file of images, with `elements` bytes 0, 1, 2... */
static blob idx_blob(uint8_t type, uint8_t count, uint8_t height, uint8_t width, size_t elements) {
    blob b = {0};
    append(&b, (uint8_t[16]){0, 0, type, 3, 0, 0, 0, count, 0, 0, 0, height, 0, 0, 0, width}, 16);
    for (size_t i = 0; i < elements; i++) append(&b, &(uint8_t){(uint8_t)i}, 1);
    return b;
}

static blob text_blob(const char *text) {
    blob b = {0};
    append(&b, text, strlen(text));
    return b;
}

static px_source *open_path(void) {
    px_context ctx = {""};
    px_source *source;
    px_status status = px_source_open(&ctx, path, NULL, &source);
    if (status != PX_OK) fail_msg("%s", ctx.message);
    return source;
}

/* Checks that the file at path has 3 images of 2 x 2 x channels, with the bytes `expected`. */
static void check_file(int channels, const uint8_t *expected) {
    px_source *source = open_path();
    assert_int_equal(source->count, 3);
    assert_int_equal(source->height, 2);
    assert_int_equal(source->width, 2);
    assert_int_equal(source->channels, channels);
    assert_string_equal(source->name, path);
    for (int index = 2; index >= 0; index--) {
        px_context ctx = {""};
        uint8_t pixels[12];
        assert_int_equal(source->read(source, &ctx, (size_t)index, pixels), PX_OK);
        assert_memory_equal(pixels, expected + index * 4 * channels, (size_t)(4 * channels));
    }
    px_source_close(source);
}

/* ---- Formats ---- */

static const uint8_t counting[36] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17,
                                     18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35};

static void npy_is_read(void **state) {
    (void)state;
    const char *grey = "{'descr': '|u1', 'fortran_order': False, 'shape': (3, 2, 2), }          \n";
    for (int version = 1; version <= 3; version++) {
        blob b = npy_blob(version, grey, 12);
        write_plain(&b);
        check_file(1, counting);
    }
    blob colour = npy_blob(1, "{\"shape\":(3,2,2,3),'descr':'|u1','fortran_order':False}", 36);
    write_plain(&colour);
    check_file(3, counting);
}

static void npy_that_is_written_is_read(void **state) {
    (void)state;
    px_context ctx = {""};
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(px_npy_write_header(&ctx, path, file, "|u1", 4, (size_t[]){3, 2, 2, 3}), PX_OK);
    assert_int_equal(ftell(file) % 64, 0);
    fwrite(counting, 1, sizeof counting, file);
    assert_int_equal(fclose(file), 0);
    check_file(3, counting);
}

static void npy_that_shrank_is_noticed(void **state) {
    (void)state;
    blob b = npy_blob(1, "{'descr': '|u1', 'fortran_order': False, 'shape': (3, 2, 2), }", 12);
    write_plain(&b);
    px_source *source = open_path();
    assert_int_equal(truncate(path, 77), 0); /* in the middle of the second image */
    px_context ctx = {""};
    uint8_t pixels[4];
    assert_int_equal(source->read(source, &ctx, 0, pixels), PX_OK);
    for (size_t index = 1; index < 3; index++) {
        assert_int_equal(source->read(source, &ctx, index, pixels), PX_ERR_FILE);
        assert_non_null(strstr(ctx.message, ": shrank while it was read: found 77 bytes, expected 84"));
    }
    px_source_close(source);
}

static void idx_is_read(void **state) {
    (void)state;
    blob b = idx_blob(8, 3, 2, 2, 12);
    write_plain(&b);
    check_file(1, counting);
    write_gzip(&b);
    check_file(1, counting);
    b = idx_blob(8, 300 % 256, 2, 2, 1200);
    b.bytes[6] = 300 / 256;
    write_plain(&b);
    px_source *source = open_path();
    assert_int_equal(source->count, 300);
    px_source_close(source);
}

static void amat_is_read(void **state) {
    (void)state;
    const uint8_t expected[12] = {0, 255, 255, 0, 255, 255, 255, 255, 0, 0, 0, 255};
    const char *texts[] = {"0 1 1 0\n1 1 1 1\n0 0 0 1\n", "0 1 1 0 \r\n1  1 1 1 \r\n0\t0 0 1",
                           "0 1 1 0\n1 1 1 1\n0 0 0 1\n  "};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        blob b = text_blob(texts[i]);
        write_plain(&b);
        check_file(1, expected);
        write_gzip(&b);
        check_file(1, expected);
    }
}

/* ---- Refusals ---- */

/* Checks that opening path fails with a message of one line that names path and contains the words. */
static void check_refused(const char *words) {
    px_context ctx = {""};
    px_source *source;
    px_status status = px_source_open(&ctx, path, NULL, &source);
    if (status != PX_ERR_FORMAT || !strstr(ctx.message, words) || strncmp(ctx.message, path, strlen(path)) != 0)
        fail_msg("status %d and \"%s\", expected PX_ERR_FORMAT and \"%s: ...%s\"", status, ctx.message, path, words);
    assert_null(strchr(ctx.message, '\n'));
    assert_null(source);
}

#define NPY(descr, order, shape) "{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape ", }"

static void bad_npy_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *dictionary, *words;
    } cases[] = {
        {NPY("'<f4'", "False", "(3, 2, 2)"), "descr is '<f4', expected '|u1' (uint8) or '|b1' (bool); for values from "
                                             "0 to 1, save (255 * x).round().astype(numpy.uint8)"},
        {NPY("'<i8'", "False", "(3, 2, 2)"), "descr is '<i8', expected '|u1' (uint8) or '|b1' (bool); if its values "
                                             "fit, save x.astype(numpy.uint8)"},
        {NPY("'<u2'", "False", "(3, 2, 2)"), "descr is '<u2'"},
        {NPY("''", "False", "(3, 2, 2)"), "descr is ''"},
        {NPY("'|u1'", "False", "(12,)"), "shape has 1 dimension, expected 2 [N, S S] or [N, 3 S S], 3 [N, H, W] or 4"},
        {NPY("'|u1'", "False", "(12, 1)"), "found (12, 1) '|u1' with one value a row, which may be labels"},
        {NPY("'|u1'", "False", "(4, 5)"), "found (4, 5) '|u1' whose rows are no square images, expected [N, H, W, C]"},
        {NPY("'|u1'", "False", "(1, 3, 2, 2)"), "found (1, 3, 2, 2) '|u1' with channels first (numpy: x.transpose(0, "
                                                "2, 3, 1) puts them last), expected [N, H, W, C]"},
        {NPY("'|u1'", "False", "(3, 1, 2, 2)"), "with channels first"},
        {NPY("'|u1'", "False", "()"), "shape has 0 dimensions"},
        {NPY("'|u1'", "False", "(1, 3, 2, 2, 1)"), "shape has 5 dimensions"},
        {NPY("'|u1'", "False", "(3, 2, 3)"), "npy: found 12 bytes of pixels, expected 3 x 2 x 3 = 18"},
        {NPY("'|u1'", "False", "(2, 2, 2)"), "npy: found 12 bytes of pixels, expected 2 x 2 x 2 = 8"},
        {NPY("'|u1'", "False", "(0, 2, 2)"), "found a shape of 0 x 2 x 2, expected at least 1 of each"},
        {NPY("'|u1'", "False", "(4294967296, 4294967296, 2)"), "expected 4294967296 x 4294967296 x 2"},
        {NPY("'|u1'", "False", "(99999999999999999999, 2, 2)"),
         "found \"99999999999999999999, 2,\" in the header, expected a size of at most 18446744073709551615"},
        {NPY("'|u1'", "False", "(3, 2, 2, 1"), "found \"}\" in the header"},
        {NPY("'|u1'", "False", "(3 2, 2)"), "found \"2, 2), }\" in the header"},
        {NPY("'|u1'", "False", "(-3, 2, 2)"), "found \"-3, 2, 2), }\" in the header"},
        {NPY("'|u1'", "False", "(12)"), "found \", }\" in the header"},
        {NPY("'|u1'", "None", "(3, 2, 2)"), "found \"None, 'shape': (3, 2, 2)\" in the header"},
        {NPY("[('r', '|u1')]", "False", "(3, 2, 2)"), "found \"[('r', '|u1')], 'fortran\" in the header"},
        {NPY("'|u1", "False", "(3, 2, 2)"), "found \"fortran_order': False, '\" in the header"},
        {"{'descr': '|u1', 'fortran_order': False, }", "found \"\" in the header, expected a dictionary of descr"},
        {"{'descr': '|u1', 'descr': '|u1', 'shape': (3, 2, 2)}", "found \": '|u1', 'shape': (3, 2,\""},
        {"{'descr': '|u1' 'shape': (3, 2, 2)}", "found \"'shape': (3, 2, 2)}\""},
        {"{'colour': 1}", "found \"'colour': 1}\" in the header"},
        {"{'descr", "found \"'descr\" in the header"},
        {NPY("'|u1'", "False", "(3, 2, 2)") " more", "found \"more\" in the header"},
        {NPY("'|u1'", "False", "(3, 2, 1, 2)"), "found images of 2 x 1 x 2, expected sides up to 32768 and 1 or 3"},
        {"", "found \"\" in the header"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        blob b = npy_blob(1, cases[i].dictionary, 12);
        write_plain(&b);
        check_refused(cases[i].words);
    }
    blob version = npy_blob(4, NPY("'|u1'", "False", "(3, 2, 2)"), 12);
    write_plain(&version);
    check_refused("npy: found version 4.0, expected 1.0, 2.0 or 3.0");
    blob whole = npy_blob(1, NPY("'|u1'", "False", "(3, 2, 2)"), 0);
    whole.size -= 1;
    write_plain(&whole);
    check_refused("npy: found 61 bytes, expected a header of 62");
    whole.size = 9;
    write_plain(&whole);
    check_refused("npy: found 9 bytes without a header");
}

static void bad_idx_is_refused(void **state) {
    (void)state;
    blob labels = {{0, 0, 8, 1, 0, 0, 0, 2, 5, 7}, 10};
    const struct {
        blob content;
        const char *words;
    } cases[] = {
        {idx_blob(8, 3, 2, 2, 13), "idx: found 13 bytes of pixels, expected 3 x 2 x 2 = 12"},
        {idx_blob(8, 3, 2, 2, 11), "idx: found 11 bytes of pixels, expected 3 x 2 x 2 = 12"},
        {idx_blob(8, 0, 2, 2, 0), "idx: found a shape of 0 x 2 x 2, expected at least 1 of each"},
        {idx_blob(13, 3, 2, 2, 48), "idx: found type 0x0d in 3 dimensions, expected images: type 0x08 in 3 dimensions"},
        {labels, "idx: found type 0x08 in 1 dimension, as labels have it, expected images"},
        {{{0, 0, 8, 3, 0, 0, 0, 1}, 8}, "idx: found 8 bytes, expected a header of 16"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_plain(&cases[i].content);
        check_refused(cases[i].words);
        write_gzip(&cases[i].content);
        check_refused(cases[i].words);
    }
}

static void bad_amat_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"0 1 1\n1 1 1\n", "amat: found 3 pixels a row, expected a square number"},
        {"0 1 1 0\n1 1 1\n", "amat: found 3 pixels in row 2, expected 4 as in row 1"},
        {"0 1 1 0\n1 1 1 1 1\n", "amat: found 5 pixels in row 2, expected 4 as in row 1"},
        {"0 1 1 0\n\n1 1 1 1\n", "amat: found 0 pixels in row 2, expected 4 as in row 1"},
        {"0 1 1 0\n1 1 2 1\n", "amat: found '2' after 2 pixels of row 2, expected 0 or 1, separated by spaces"},
        {"0 1 1 0\n1 11 1\n", "amat: found '1' after 2 pixels of row 2"},
        {"0 1 1 0\n1 1 \001 1\n", "amat: found '?' after 2 pixels of row 2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        blob b = text_blob(cases[i].text);
        write_plain(&b);
        check_refused(cases[i].words);
        write_gzip(&b);
        check_refused(cases[i].words);
    }
}

static void unknown_content_is_refused(void **state) {
    (void)state;
    blob image = text_blob("\x89PNG\r\n\x1a\n");
    write_plain(&image);
    check_refused("found a PNG image, expected .npy, .npz, idx");
    write_gzip(&image);
    check_refused("found a PNG image inside gzip, expected");
    blob noise = {{1, 2, 3}, 3};
    write_plain(&noise);
    check_refused("found the first bytes 01 02 03, expected .npy, .npz, idx");
    blob nothing = {0};
    write_plain(&nothing);
    check_refused("found nothing, expected");
    write_gzip(&nothing);
    check_refused("found nothing inside gzip, expected");
}

static void damaged_gzip_is_refused(void **state) {
    (void)state;
    blob b = idx_blob(8, 100, 5, 5, 2500);
    write_gzip(&b);
    assert_int_equal(truncate(path, 60), 0);
    check_refused("found damaged content (");
}

static void content_has_a_limit(void **state) {
    (void)state;
    blob b = idx_blob(8, 100, 5, 5, 2500);
    write_gzip(&b);
    px_context ctx = {""};
    px_byte_source contents;
    assert_int_equal(px_decompress(&ctx, path, 2515, "cut it", &contents), PX_ERR_FORMAT);
    assert_non_null(strstr(ctx.message, "found more than 2515 bytes of content, expected at most that: cut it"));
    assert_null(contents.bytes);
    assert_int_equal(px_decompress(&ctx, path, 2516, "cut it", &contents), PX_OK);
    assert_int_equal(contents.size, b.size);
    assert_memory_equal(contents.bytes, b.bytes, b.size);
    free(contents.bytes);
}

/* The content is longer than the chunks in which it is unpacked. */
static void long_content_is_unpacked_whole(void **state) {
    (void)state;
    enum { BYTES = (5 << 19) + 3 };
    uint8_t *bytes = malloc(BYTES);
    assert_non_null(bytes);
    for (uint32_t i = 0, noise = 1; i < BYTES; i++) bytes[i] = (uint8_t)((noise = noise * 1664525 + 1013904223) >> 24);
    gzFile file = gzopen(path, "wb1");
    assert_int_equal(gzwrite(file, bytes, BYTES), BYTES);
    assert_int_equal(gzclose(file), Z_OK);
    px_context ctx = {""};
    px_byte_source contents;
    assert_int_equal(px_decompress(&ctx, path, BYTES, "cut it", &contents), PX_OK);
    assert_int_equal(contents.size, BYTES);
    assert_memory_equal(contents.bytes, bytes, BYTES);
    free(contents.bytes);
    free(bytes);
}

static int count_open_files(void) {
    int count = 0;
    DIR *open = opendir("/proc/self/fd");
    assert_non_null(open);
    while (readdir(open)) count++;
    closedir(open);
    return count;
}

/* After successful and failed opens, no descriptor is left open. */
static void all_files_are_closed(void **state) {
    (void)state;
    const blob files[] = {npy_blob(1, "{'descr': '|u1', 'fortran_order': False, 'shape': (3, 2, 2), }", 12),
                          idx_blob(8, 3, 2, 2, 12), text_blob("0 1 1 0\n"), text_blob("0 1 1 2\n"),
                          idx_blob(8, 3, 2, 2, 11)};
    const int before = count_open_files();
    for (size_t i = 0; i < 2 * sizeof files / sizeof *files; i++) {
        px_context ctx = {""};
        px_source *source;
        (i % 2 ? write_gzip : write_plain)(&files[i / 2]);
        px_source_open(&ctx, path, NULL, &source);
        px_source_close(source);
        if (count_open_files() != before) fail_msg("case %zu: %d files are left open", i, count_open_files() - before);
    }
    char list[sizeof path + 16];
    px_context ctx = {""};
    px_source *source;
    write_plain(&files[0]);
    snprintf(list, sizeof list, "%s\tno/such.npy", path);
    assert_int_equal(px_source_open_list(&ctx, list, &(px_source_options){0}, &source), PX_ERR_FILE);
    assert_int_equal(count_open_files(), before);
}

static void unusable_specs_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *spec;
        px_status status;
        const char *message;
    } cases[] = {
        {"no/such/file.npy", PX_ERR_FILE,
         "no/such/file.npy: cannot be opened: No such file or directory; relative paths start at the current folder, "
         "/"},
        {"/dev/null", PX_ERR_FILE, "/dev/null: found a folder, a pipe or a device, expected a file"},
        {"builtin:faces", PX_ERR_CONFIG, "builtin:faces: no such set, expected builtin:digits or builtin:ising"},
        {"builtin:digits", PX_ERR_CONFIG, "builtin:digits: size is 65, expected 8 to 64"},
        {"builtin:ising", PX_ERR_CONFIG, "builtin:ising: size is 65, expected 2 to 16"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        px_context ctx = {""};
        px_source *source;
        px_source_options options = {.size = 65};
        assert_int_equal(px_source_open(&ctx, cases[i].spec, &options, &source), cases[i].status);
        /* The message of a missing file goes on with the current folder. */
        if (strncmp(ctx.message, cases[i].message, strlen(cases[i].message)) != 0)
            fail_msg("%s: found \"%s\", expected \"%s\"", cases[i].spec, ctx.message, cases[i].message);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(npy_is_read),
        cmocka_unit_test(npy_that_is_written_is_read),
        cmocka_unit_test(npy_that_shrank_is_noticed),
        cmocka_unit_test(idx_is_read),
        cmocka_unit_test(amat_is_read),
        cmocka_unit_test(bad_npy_is_refused),
        cmocka_unit_test(bad_idx_is_refused),
        cmocka_unit_test(bad_amat_is_refused),
        cmocka_unit_test(unknown_content_is_refused),
        cmocka_unit_test(damaged_gzip_is_refused),
        cmocka_unit_test(content_has_a_limit),
        cmocka_unit_test(long_content_is_unpacked_whole),
        cmocka_unit_test(all_files_are_closed),
        cmocka_unit_test(unusable_specs_are_refused),
    };
    return cmocka_run_group_tests_name("data", tests, make_folder, remove_folder);
}
