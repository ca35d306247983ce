/* Folders, tars and zips of PNG and JPEG images: reading them, resizing them, and refusing bad ones one by one. */
#include "tests/support/data_files.h"
#include "host/data/archive.h"
#include "host/data/image_format.h"
#include "host/data/image.h"
#include <sys/stat.h>
#include <unistd.h>
#include <stb/stb_image_write.h>
#include <zlib.h>

static void images_are_read(void **state) {
    (void)state;
    static image_file files[5];
    name_files(files, 5, (const char *[]){"a/1.png", "a/b/2.JPEG", "a/notes.txt", "a/.3.png", "c/4.PNG"});
    png_make(&files[0].content, 3, 5, 3, 10);
    jpeg_make(&files[1].content);
    append(&files[2].content, "text", 4);
    append(&files[3].content, "resource", 8);
    png_make(&files[4].content, 3, 5, 1, 200); /* grey among colour ones */
    char paths[KINDS][PX_PATH];
    write_set(files, 5, paths);
    for (int k = 0; k < KINDS; k++)
        for (int a = 0; a < 2; a++) {
            uint8_t expected[45];
            px_source *source = open_source(paths[k], (px_source_options){.access = accesses[a]});
            check_sizes(source, 3, 3, 5, 3);
            fill_pixels(expected, 15, 3, 10);
            check_image(source, 0, expected);
            memset(expected, 76, 45);
            check_image(source, 1, expected);
            memset(expected, 200, 45);
            check_image(source, 2, expected);
            px_source_close(source);

            source = open_source(paths[k], (px_source_options){.access = accesses[a], .channels = 1});
            check_sizes(source, 3, 3, 5, 1);
            memset(expected, (77 * 10 + 150 * 11 + 29 * 12) / 256, 15);
            check_image(source, 0, expected);
            memset(expected, 200, 15);
            check_image(source, 2, expected);
            px_source_close(source);
        }
}

/* Images that are not square are cropped to the centred square. */
static void images_are_cropped_to_the_centre(void **state) {
    (void)state;
    enum { SIDE = 6, LONG = 13, MIDDLE = 3 };
    static image_file files[2];
    char paths[KINDS][PX_PATH];
    uint8_t pixels[SIDE * LONG], expected[2][SIDE * SIDE];
    name_files(files, 2, (const char *[]){"high.png", "wide.png"});
    for (size_t i = 0; i < SIDE * LONG; i++) pixels[i] = (uint8_t)(3 * i);
    for (int wide = 0; wide < 2; wide++) {
        const size_t width = wide ? LONG : SIDE;
        assert_true(
            stbi_write_png_to_func(append_image, &files[wide].content, (int)width, wide ? SIDE : LONG, 1, pixels, 0));
        for (size_t i = 0; i < SIDE * SIDE; i++)
            expected[wide][i] = pixels[(i / SIDE + (wide ? 0 : MIDDLE)) * width + i % SIDE + (wide ? MIDDLE : 0)];
    }
    write_set(files, 2, paths);
    px_source *source = open_source(paths[FOLDER], (px_source_options){.size = SIDE, .channels = 1});
    for (size_t i = 0; i < 2; i++) check_image(source, i, expected[i]);
    px_source_close(source);
}

static void images_are_resized(void **state) {
    (void)state;
    static image_file files[4];
    name_files(files, 4, (const char *[]){"1.png", "2.png", "3.png", "4.png"});
    png_make(&files[0].content, 40, 90, 3, 10);
    png_make(&files[1].content, 7, 7, 1, 20);
    png_make(&files[2].content, 6, 20, 3, 30);
    png_make(&files[3].content, 100, 9, 3, 40);
    char paths[KINDS][PX_PATH];
    write_set(files, 4, paths);
    for (int k = 0; k < KINDS; k++)
        for (int a = 0; a < 2; a++) {
            uint8_t expected[147];
            px_source *source = open_source(paths[k], (px_source_options){.access = accesses[a], .size = 7});
            check_sizes(source, 4, 7, 7, 3);
            fill_pixels(expected, 49, 3, 10);
            check_image(source, 0, expected);
            memset(expected, 20, 147);
            check_image(source, 1, expected);
            check_unreadable(source, 2, PX_ERR_FORMAT, "3.png: found 6 x 20 pixels, expected at least 7 x 7");
            fill_pixels(expected, 49, 3, 40);
            check_image(source, 3, expected);
            px_source_close(source);
        }
}

static void unequal_sizes_are_refused(void **state) {
    (void)state;
    static image_file files[2];
    name_files(files, 2, (const char *[]){"1.png", "2.png"});
    png_make(&files[0].content, 4, 4, 3, 10);
    png_make(&files[1].content, 4, 5, 3, 10);
    char paths[KINDS][PX_PATH];
    write_set(files, 2, paths);
    for (int k = 0; k < KINDS; k++)
        for (int a = 0; a < 2; a++) {
            px_source *source = open_source(paths[k], (px_source_options){.access = accesses[a]});
            check_unreadable(source, 1, PX_ERR_SHAPE,
                             "2.png: found 4 x 5 pixels, expected 4 x 4 as of the first image; data.size");
            px_source_close(source);
        }
}

/* Makes a small PNG whose header states side x side pixels. */
static void bomb_make(blob *b, uint32_t side) {
    png_make(b, 4, 4, 3, 10);
    for (int i = 0; i < 8; i++) b->bytes[16 + i] = (uint8_t)(side >> 8 * (3 - i % 4));
    uint32_t crc = (uint32_t)crc32(0, b->bytes + 12, 17);
    for (int i = 0; i < 4; i++) b->bytes[29 + i] = (uint8_t)(crc >> 8 * (3 - i));
}

static void damaged_images_fail_one_by_one(void **state) {
    (void)state;
    static image_file files[9];
    name_files(files, 9,
               (const char *[]){"0.png", "1.png", "2.jpg", "3.jpg", "4.jpeg", "5.png", "6.png", "7.png", "8.jpg"});
    static const char *const words[] = {NULL,
                                        "1.png: found no bytes, expected a PNG or JPEG image",
                                        "2.jpg: found the first bytes 3c 68 74 6d 6c 3e 6e 6f, expected a PNG or JPEG",
                                        "3.jpg: found a JPEG that ends after ",
                                        "4.jpeg: found ",
                                        "5.png: found a PNG that ends after ",
                                        "6.png: found a side of more than 32768 pixels, expected",
                                        "7.png: found an image of 15000 x 15000 pixels, expected at most 134217728",
                                        "8.jpg: found a Huffman table of more than 256 symbols, expected fewer"};
    enum { FILES = sizeof files / sizeof *files };
    png_make(&files[0].content, 3, 5, 3, 10);
    append(&files[2].content, "<html>not found</html>", 22);
    jpeg_make(&files[3].content);
    files[3].content.size -= 20;
    jpeg_make(&files[4].content);
    files[4].content.size = 20;
    png_make(&files[5].content, 3, 5, 3, 10);
    files[5].content.size -= 40;
    bomb_make(&files[6].content, 100000);
    bomb_make(&files[7].content, 15000);
    jpeg_make(&files[8].content);
    uint8_t *table = memmem(files[8].content.bytes, files[8].content.size, "\xff\xc4", 2);
    assert_non_null(table);
    memset(table + 5, 200, 16); /* symbols of 1 to 16 bits */
    char paths[KINDS][PX_PATH];
    write_set(files, FILES, paths);
    for (int k = 0; k < KINDS; k++)
        for (int a = 0; a < 2; a++)
            for (int size = 0; size <= 2; size += 2) {
                px_source *source = open_source(paths[k], (px_source_options){.access = accesses[a], .size = size});
                assert_int_equal(source->count, FILES);
                for (size_t i = 1; i < FILES; i++) check_unreadable(source, i, PX_ERR_FORMAT, words[i]);
                px_source_close(source);
            }
}

static void the_first_readable_image_gives_the_size(void **state) {
    (void)state;
    static image_file files[2];
    name_files(files, 2, (const char *[]){"0.png", "1.png"});
    png_make(&files[0].content, 9, 9, 3, 10); /* its header is whole, its pixels are not */
    files[0].content.size -= 30;
    png_make(&files[1].content, 4, 6, 3, 10);
    char paths[KINDS][PX_PATH];
    for (int good = 1; good >= 0; good--) {
        if (!good) files[1].content.size = 5;
        write_set(files, 2, paths);
        for (int k = 0; k < KINDS; k++)
            for (int a = 0; a < 2; a++) {
                const px_source_options options = {.access = accesses[a]};
                if (!good) {
                    check_refused(paths[k], options, PX_ERR_FORMAT,
                                  "found no image that can be read among 2; the first: ");
                    continue;
                }
                px_source *source = open_source(paths[k], options);
                check_sizes(source, 2, 4, 6, 3);
                px_source_close(source);
            }
    }
}

static void empty_sets_are_refused(void **state) {
    (void)state;
    static image_file files[1];
    name_files(files, 1, (const char *[]){"notes.txt"});
    append(&files[0].content, "text", 4);
    char paths[KINDS][PX_PATH];
    write_set(files, 1, paths);
    for (int k = 0; k < KINDS; k++)
        for (int a = 0; a < 2; a++)
            check_refused(paths[k], (px_source_options){.access = accesses[a]}, PX_ERR_FORMAT,
                          k < ZIP ? "found no images, expected files that end in .png, .jpg or .jpeg"
                                  : "zip: found no array of images among 1 files");
}

static void missing_files_fail(void **state) {
    (void)state;
    static image_file files[2];
    name_files(files, 2, (const char *[]){"0.png", "1.png"});
    for (int i = 0; i < 2; i++) png_make(&files[i].content, 4, 4, 3, 10);
    char paths[KINDS][PX_PATH], name[PX_PATH];
    write_set(files, 2, paths);
    px_source *folder = open_source(paths[FOLDER], (px_source_options){0});
    assert_int_equal(px_file_path(&(px_context){""}, name, "%s/1.png", paths[FOLDER]), PX_OK);
    assert_int_equal(unlink(name), 0);
    check_unreadable(folder, 1, PX_ERR_FILE, "1.png: cannot be opened: No such file or directory");
    px_source_close(folder);
    px_source *tar = open_source(paths[TAR], (px_source_options){0});
    assert_int_equal(truncate(paths[TAR], 600), 0);
    check_unreadable(tar, 1, PX_ERR_FILE, "set.tar: shrank while it was read: found 600 bytes, expected");
    px_source_close(tar);
}

/* The message names the format of a file whose content does not match its extension. */
static void other_formats_are_refused_by_name(void **state) {
    (void)state;
    static const struct {
        const char *bytes, *words;
        size_t size;
    } cases[] = {
        {"RIFF\x24\0\0\0WEBPVP8 ", "1.jpg: found content of the format WebP, expected a PNG or JPEG image", 16},
        {"GIF89a", "1.jpg: found content of the format GIF, expected", 6},
        {"BM0123", "1.jpg: found content of the format BMP, expected", 6},
        {"MM\0*\0\0", "1.jpg: found content of the format TIFF, expected", 6},
        {"\0\0\0\x1c"
         "ftypavif",
         "1.jpg: found content of the format HEIF or AVIF, expected", 12},
        {"\xff\xd8\xff\xc9\0\x0b\x08\0\x01\0\x01\x01\x01\x11\0",
         "1.jpg: found a damaged JPEG, or one of an unusual kind", 15},
    };
    static image_file files[2];
    name_files(files, 2, (const char *[]){"0.png", "1.jpg"});
    png_make(&files[0].content, 4, 4, 3, 10);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char paths[KINDS][PX_PATH];
        files[1].content.size = 0;
        append(&files[1].content, cases[i].bytes, cases[i].size);
        write_set(files, 2, paths);
        px_source *source = open_source(paths[FOLDER], (px_source_options){0});
        check_unreadable(source, 1, PX_ERR_FORMAT, cases[i].words);
        px_source_close(source);
    }
}

/* If no image is readable, the message has the reason for the first one. */
static void the_first_failure_is_reported(void **state) {
    (void)state;
    static image_file files[2];
    char paths[KINDS][PX_PATH];
    name_files(files, 2, (const char *[]){"1.png", "2.png"});
    append(&files[0].content, "GIF89a", 6);
    append(&files[1].content, "BM0123", 6);
    write_set(files, 2, paths);
    for (int k = 0; k < KINDS; k++)
        for (int a = 0; a < 2; a++)
            check_refused(paths[k], (px_source_options){.access = accesses[a]}, PX_ERR_FORMAT,
                          "1.png: found content of the format GIF, expected");
}

/* Hidden folders, and files with the names of CIFAR's Python version beside images in a tar, are ignored. */
static void other_files_beside_images_are_ignored(void **state) {
    (void)state;
    static image_file files[3];
    char paths[KINDS][PX_PATH];
    name_files(files, 3, (const char *[]){"a/1.png", "a/.thumbnails/2.png", "data_batch_1"});
    png_make(&files[0].content, 4, 6, 1, 10);
    png_make(&files[1].content, 2, 2, 1, 10);
    append(&files[2].content, "text", 4);
    write_set(files, 3, paths);
    px_source *source = open_source(paths[FOLDER], (px_source_options){0});
    check_sizes(source, 1, 4, 6, 3);
    px_source_close(source);
    source = open_source(paths[TAR], (px_source_options){0});
    check_sizes(source, 2, 4, 6, 3);
    px_source_close(source);
}

/* The means are 10.75, 10.5 and 10.25. */
static void area_means_are_rounded(void **state) {
    (void)state;
    static const uint8_t pixels[3][4] = {{10, 11, 11, 11}, {10, 11, 11, 10}, {10, 11, 10, 10}};
    for (int i = 0; i < 3; i++) {
        uint8_t mean;
        px_image_downsample(pixels[i], 2, 2, 1, 1, &mean);
        assert_int_equal(mean, i < 2 ? 11 : 10);
    }
}

/* Messages show the ends of long names. */
static void long_names_are_truncated(void **state) {
    (void)state;
    char path[1000], name[1000], label[PX_LABEL];
    snprintf(path, sizeof path, "%0900d.tar", 0);
    snprintf(name, sizeof name, "%0900d.png", 1);
    px_archive_label(path, name, label);
    assert_true(strlen(label) < PX_LABEL);
    assert_memory_equal(label, "...0", 4);
    assert_non_null(strstr(label, ".tar/...0"));
    assert_string_equal(label + strlen(label) - 5, "1.png");
}

static void bytes_past_the_end_are_not_a_signature(void **state) {
    (void)state;
    const uint8_t webp[] = "RIFF\x24\0\0\0WEBP";
    assert_int_equal(px_image_format_of_bytes(webp, 12), PX_IMAGE_WEBP);
    assert_int_equal(px_image_format_of_bytes(webp, 11), PX_IMAGE_UNKNOWN);
}

/* Files in formats that are not read are counted, also in joined sources. */
static void other_formats_are_counted(void **state) {
    (void)state;
    static image_file files[6];
    char paths[KINDS][PX_PATH], text[PX_LEFT_OUT_TEXT];
    name_files(files, 6, (const char *[]){"1.png", "a/2.WEBP", "a/3.webp", "4.gif", ".5.gif", "6.txt"});
    png_make(&files[0].content, 4, 4, 3, 10);
    write_set(files, 6, paths);
    for (int k = 0; k < KINDS; k++)
        for (int a = 0; a < 2; a++) {
            px_source *source = open_source(paths[k], (px_source_options){.access = accesses[a], .size = 2});
            assert_string_equal(px_source_left_out(source->left_out, text), "1 GIF, 2 WebP");
            px_source_close(source);
        }
    px_context ctx;
    px_source *joined;
    assert_int_equal(px_source_open_all(&ctx, 2, (const char *[]){paths[FOLDER], paths[ZIP]},
                                        &(px_source_options){.channels = 1}, &joined),
                     PX_OK);
    assert_string_equal(px_source_left_out(joined->left_out, text), "2 GIF, 4 WebP");
    px_source_close(joined);
    name_files(files, 1, (const char *[]){"1.bmp"});
    write_set(files, 4, paths);
    for (int k = 0; k < KINDS; k++)
        check_refused(paths[k], (px_source_options){0}, PX_ERR_FORMAT,
                      "found no images but 1 GIF, 1 BMP, 2 WebP, which are not read, expected files that end in .png");
}

/* ImageNet's training archive has one tar for each class. */
static void tars_of_tars_are_refused(void **state) {
    (void)state;
    static image_file files[3];
    char paths[KINDS][PX_PATH];
    name_files(files, 3, (const char *[]){"n01440764.tar", "n01443537.tar", "n01484850.tar"});
    for (int i = 0; i < 3; i++) append_zeros(&files[i].content, 1024);
    write_set(files, 3, paths);
    for (int k = 0; k < KINDS; k++)
        for (int a = 0; a < 2; a++)
            check_refused(
                paths[k], (px_source_options){.access = accesses[a]}, PX_ERR_FORMAT,
                "found 3 tars in it and no images, expected files that end in .png, .jpg or .jpeg: unpack it");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_are_read),
        cmocka_unit_test(images_are_cropped_to_the_centre),
        cmocka_unit_test(images_are_resized),
        cmocka_unit_test(unequal_sizes_are_refused),
        cmocka_unit_test(damaged_images_fail_one_by_one),
        cmocka_unit_test(the_first_readable_image_gives_the_size),
        cmocka_unit_test(empty_sets_are_refused),
        cmocka_unit_test(missing_files_fail),
        cmocka_unit_test(other_formats_are_refused_by_name),
        cmocka_unit_test(the_first_failure_is_reported),
        cmocka_unit_test(other_files_beside_images_are_ignored),
        cmocka_unit_test(area_means_are_rounded),
        cmocka_unit_test(long_names_are_truncated),
        cmocka_unit_test(bytes_past_the_end_are_not_a_signature),
        cmocka_unit_test(other_formats_are_counted),
        cmocka_unit_test(tars_of_tars_are_refused),
    };
    return cmocka_run_group_tests_name("data_images", tests, px_test_folder_make, px_test_folder_remove);
}
