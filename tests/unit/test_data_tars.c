/* Tars of images: damaged, sparse, with hostile names, and compressed ones read in order. */
#include "tests/support/data_files.h"
#include "host/data/archive.h"
#include "host/data/image_format.h"
#include "host/data/image.h"
#include <sys/stat.h>
#include <unistd.h>
#include <stb/stb_image_write.h>
#include <zlib.h>

/* Truncated tars, and tars with wrong headers. A truncated tar in gzip that is read in order fails when it is opened.
 */
static void bad_tars_are_refused(void **state) {
    (void)state;
    static blob image, tar;
    png_make(&image, 64, 64, 3, 10);
    static const struct {
        size_t stated, kept; /* bytes of the image, and of the tar; 0: all */
    } cases[] = {{0, 520}, {0, 600}, {1000000, 0}, {077777777777, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tar.size = 0;
        tar_add(&tar, "1.png", image.bytes, image.size, cases[i].stated ? cases[i].stated : image.size);
        tar_end(&tar);
        if (cases[i].kept) tar.size = cases[i].kept;
        const char *paths[] = {write_plain("bad.tar", &tar), write_gzip("bad.tar.gz", &tar)};
        for (int k = 0; k < 2; k++)
            for (int a = 0; a < 2; a++)
                check_refused(paths[k], (px_source_options){.access = accesses[a], .size = 8}, PX_ERR_FORMAT,
                              ", expected ");
    }
    tar.size = 0;
    tar_add(&tar, "1.png", image.bytes, image.size, image.size);
    tar_add(&tar, "2.png", image.bytes, image.size, image.size);
    tar.bytes[512 + (image.size + 511) / 512 * 512 + 148]++; /* the second header's checksum */
    tar_end(&tar);
    check_refused(write_plain("bad.tar", &tar), (px_source_options){0}, PX_ERR_FORMAT, "found damaged content (");
}

/* GNU tar does not store the holes of a sparse file; reading restores their zeros. Here a hole follows the image. */
static void sparse_images_are_read(void **state) {
    (void)state;
    static blob image, tar;
    png_make(&image, 4, 4, 3, 10);
    tar.size = 0;
    tar_add(&tar, "1.png", image.bytes, image.size, image.size);
    tar_add(&tar, "2.png", image.bytes, image.size, image.size);
    tar_end(&tar);
    char *header = (char *)tar.bytes;
    memcpy(header + 257, "ustar  ", 8);
    header[156] = 'S';
    snprintf(header + 386, 12, "%011o", 0); /* what is stored: from where, */
    snprintf(header + 398, 12, "%011zo", image.size);
    snprintf(header + 483, 12, "%011zo", image.size + 100); /* then a hole up to here */
    memset(header + 148, ' ', 8);
    unsigned sum = 0;
    for (int i = 0; i < 512; i++) sum += (uint8_t)header[i];
    snprintf(header + 148, 8, "%06o", sum);
    px_source *source = open_source(write_plain("sparse.tar", &tar), (px_source_options){0});
    uint8_t expected[48];
    fill_pixels(expected, 16, 3, 10);
    check_sizes(source, 2, 4, 4, 3);
    for (size_t i = 0; i < 2; i++) check_image(source, i, expected);
    px_source_close(source);
}

/* Adds a PAX header, which gives the next file a name of any length and any characters. */
static void tar_add_pax_name(blob *tar, const char *name) {
    char record[PX_PATH];
    const int length = (int)strlen(name) + 10; /* "NNN path=" and the line's end */
    assert_true(length >= 100 && length < 1000);
    assert_int_equal(snprintf(record, sizeof record, "%d path=%s\n", length, name), length);
    const size_t begin = tar->size;
    tar_add(tar, "PaxHeaders/x", record, (size_t)length, (size_t)length);
    char *header = (char *)tar->bytes + begin;
    header[156] = 'x';
    memset(header + 148, ' ', 8);
    unsigned sum = 0;
    for (int i = 0; i < 512; i++) sum += (uint8_t)header[i];
    snprintf(header + 148, 8, "%06o", sum);
}

static void pax_names_stand_in_messages(void **state) {
    (void)state;
    static blob tar, image;
    char name[256] = "";
    for (int i = 0; i < 12; i++) strcat(name, "a long folder/");
    strcat(name, "Stra\xc3\x9f"
                 "e 1.png");
    png_make(&image, 4, 4, 3, 10);
    tar.size = 0;
    tar_add(&tar, "0.png", image.bytes, image.size, image.size);
    tar_add_pax_name(&tar, name);
    tar_add(&tar, "short.png", "text", 4, 4);
    tar_end(&tar);
    const char *paths[] = {write_plain("pax.tar", &tar), write_gzip("pax.tar.gz", &tar)};
    strcat(name, ": found the first bytes");
    for (int k = 0; k < 2; k++)
        for (int a = 0; a < 2; a++) {
            px_source *source = open_source(paths[k], (px_source_options){.access = accesses[a]});
            check_unreadable(source, 1, PX_ERR_FORMAT, name);
            px_source_close(source);
        }
}

/* Relative and absolute names outside the folder, links, control characters: nothing is written, and messages have one
 * line. */
static void tar_paths_are_harmless(void **state) {
    (void)state;
    static blob image, tar;
    png_make(&image, 4, 4, 3, 10);
    tar.size = 0;
    tar_add(&tar, "../../tmp/px_data_escaped/1.png", image.bytes, image.size, image.size);
    tar_add(&tar, "/tmp/px_data_escaped/2.png", image.bytes, image.size, image.size);
    tar_add(&tar, "new\nline\033[2J.png", "text", 4, 4);
    tar_end(&tar);
    const char *paths[] = {write_plain("paths.tar", &tar), write_gzip("paths.tar.gz", &tar)};
    for (int k = 0; k < 2; k++)
        for (int a = 0; a < 2; a++) {
            uint8_t expected[48];
            px_source *source = open_source(paths[k], (px_source_options){.access = accesses[a]});
            assert_int_equal(source->count, 3);
            fill_pixels(expected, 16, 3, 10);
            check_image(source, 1, expected);
            check_unreadable(source, 2, PX_ERR_FORMAT,
                             "/new?line?[2J.png: found the first bytes 74 65 78 74, expected");
            px_source_close(source);
            assert_false(px_file_exists("/tmp/px_data_escaped"));
        }
}

/* Makes a PNG of noise, so that compressing a tar of them saves little. */
static void noise_make(blob *b, int side, uint32_t seed, uint8_t *pixels) {
    for (int i = 0; i < side * side; i++) pixels[i] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
    b->size = 0;
    assert_true(stbi_write_png_to_func(append_image, b, side, side, 1, pixels, 0));
}

enum { NOISE = 100, NOISE_SIDE = 60 };

static const char *noise_tar(uint8_t pixels[NOISE][NOISE_SIDE * NOISE_SIDE], int damaged) {
    static blob image, tar;
    tar.size = 0;
    for (int i = 0; i < NOISE; i++) {
        char name[32];
        noise_make(&image, NOISE_SIDE, (uint32_t)i, pixels[i]);
        if (i == damaged) image.size = 20;
        snprintf(name, sizeof name, "%d.png", i);
        tar_add(&tar, name, image.bytes, image.size, image.size);
    }
    tar_end(&tar);
    return write_gzip("noise.tar.gz", &tar);
}

/* More images than one window has, one of them damaged. */
static void compressed_tars_are_read_in_order(void **state) {
    (void)state;
    static uint8_t pixels[NOISE][NOISE_SIDE * NOISE_SIDE];
    const px_source_options options = {.channels = 1, .access = PX_ACCESS_IN_ORDER};
    px_source *source = open_source(noise_tar(pixels, 70), options);
    assert_int_equal(source->count, NOISE);
    for (size_t i = 0; i < NOISE; i++) {
        if (i == 70)
            check_unreadable(source, i, PX_ERR_FORMAT, "70.png: found ");
        else
            check_image(source, i, pixels[i]);
    }
    check_unreadable(source, 3, PX_ERR_FILE, "image 3 was asked for after image 64, expected ascending order");
    check_unreadable(source, 63, PX_ERR_FILE, "image 63 was asked for after image 64, expected ascending order");
    px_source_close(source);
}

/* Images before the end of the file are read. Those after it fail with PX_ERR_FILE, not as single damaged images. */
static void a_truncated_compressed_tar_fails(void **state) {
    (void)state;
    static uint8_t pixels[NOISE][NOISE_SIDE * NOISE_SIDE];
    const char *path = noise_tar(pixels, -1);
    px_source *source = open_source(path, (px_source_options){.channels = 1, .access = PX_ACCESS_IN_ORDER});
    assert_int_equal(truncate(path, 200000), 0);
    for (size_t i = 0; i < 40; i++) check_image(source, i, pixels[i]);
    for (int again = 0; again < 2; again++) check_unreadable(source, 80, PX_ERR_FILE, "found damaged content (");
    px_source_close(source);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_tars_are_refused),
        cmocka_unit_test(sparse_images_are_read),
        cmocka_unit_test(pax_names_stand_in_messages),
        cmocka_unit_test(tar_paths_are_harmless),
        cmocka_unit_test(compressed_tars_are_read_in_order),
        cmocka_unit_test(a_truncated_compressed_tar_fails),
    };
    return cmocka_run_group_tests_name("data_tars", tests, px_test_folder_make, px_test_folder_remove);
}
