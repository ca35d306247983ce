/* Folders and tars of PNG and JPEG: read right, brought to one size, and bad ones refused one by one. */
#include "tests/data_files.h"
#include "pixelrnn/picture.h"
#include <sys/stat.h>
#include <unistd.h>

static const px_access accesses[] = {PX_ACCESS_ANY, PX_ACCESS_IN_ORDER};

/* The same pictures in a folder, a tar and a tar.gz --------------------------------------------------------------------
 */

enum { KINDS = 3 };

typedef struct picture_file {
    const char *name;
    blob content;
} picture_file;

/* Names given at run time: an initialiser would put every file's megabyte of content into the program's file. */
static void name_files(picture_file *files, int count, const char *const *names) {
    for (int i = 0; i < count; i++) files[i].name = names[i];
}

/* Writes files in the order given, folders as they are needed; paths are those of the folder, the tar and the tar.gz. */
static void write_set(const picture_file *files, int count, char paths[KINDS][PX_PATH]) {
    static blob tar;
    static int sets;
    px_context ctx = {""};
    char name[PX_PATH];
    char folder[32];
    snprintf(folder, sizeof folder, "set_%d", sets++);
    strcpy(paths[0], data_path(folder));
    tar.size = 0;
    for (int i = 0; i < count; i++) {
        const blob *b = &files[i].content;
        assert_int_equal(px_file_path(&ctx, name, "%s/%s", paths[0], files[i].name), PX_OK);
        *strrchr(name, '/') = 0;
        assert_int_equal(px_file_make_folder(&ctx, name), PX_OK);
        assert_int_equal(px_file_path(&ctx, name, "%s/%s", folder, files[i].name), PX_OK);
        write_plain(name, b);
        tar_add(&tar, files[i].name, b->bytes, b->size, b->size);
    }
    tar_end(&tar);
    strcpy(paths[1], write_plain("set.tar", &tar));
    strcpy(paths[2], write_gzip("set.tar.gz", &tar));
}

static void fill(uint8_t *pixels, size_t count, int channels, int value) {
    for (size_t i = 0; i < count; i++)
        for (int c = 0; c < channels; c++) *pixels++ = (uint8_t)(value + c);
}

static void pictures_are_read(void **state) {
    (void)state;
    static picture_file files[5];
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
            fill(expected, 15, 3, 10);
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

static void pictures_are_brought_to_a_size(void **state) {
    (void)state;
    static picture_file files[4];
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
            fill(expected, 49, 3, 10);
            check_image(source, 0, expected);
            memset(expected, 20, 147);
            check_image(source, 1, expected);
            check_unreadable(source, 2, PX_ERR_FORMAT, "3.png: found 6 x 20 pixels, expected at least 7 x 7");
            fill(expected, 49, 3, 40);
            check_image(source, 3, expected);
            px_source_close(source);
        }
}

static void unequal_sizes_are_told(void **state) {
    (void)state;
    static picture_file files[2];
    name_files(files, 2, (const char *[]){"1.png", "2.png"});
    png_make(&files[0].content, 4, 4, 3, 10);
    png_make(&files[1].content, 4, 5, 3, 10);
    char paths[KINDS][PX_PATH];
    write_set(files, 2, paths);
    for (int k = 0; k < KINDS; k++)
        for (int a = 0; a < 2; a++) {
            px_source *source = open_source(paths[k], (px_source_options){.access = accesses[a]});
            check_unreadable(source, 1, PX_ERR_SHAPE,
                             "2.png: found 4 x 5 pixels, expected 4 x 4 as of the first picture; data.size");
            px_source_close(source);
        }
}

/* Damage ---------------------------------------------------------------------------------------------------------------
 */

/* A PNG whose header says 100,000 x 100,000, a bomb of few bytes, and of 15,000 x 15,000. */
static void bomb_make(blob *b, uint32_t side) {
    png_make(b, 4, 4, 3, 10);
    for (int i = 0; i < 8; i++) b->bytes[16 + i] = (uint8_t)(side >> 8 * (3 - i % 4));
    uint32_t crc = (uint32_t)crc32(0, b->bytes + 12, 17);
    for (int i = 0; i < 4; i++) b->bytes[29 + i] = (uint8_t)(crc >> 8 * (3 - i));
}

static void damaged_pictures_are_told_one_by_one(void **state) {
    (void)state;
    static picture_file files[9];
    name_files(files, 9,
               (const char *[]){"0.png", "1.png", "2.jpg", "3.jpg", "4.jpeg", "5.png", "6.png", "7.png", "8.jpg"});
    static const char *const words[] = {NULL,
                                        "1.png: found no bytes, expected a PNG or JPEG picture",
                                        "2.jpg: found unknown image type",
                                        "3.jpg: found ",
                                        "4.jpeg: found ",
                                        "5.png: found ",
                                        "6.png: found ",
                                        "7.png: found a picture of 15000 x 15000 pixels, expected at most 134217728",
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

static void the_first_readable_picture_gives_the_size(void **state) {
    (void)state;
    static picture_file files[2];
    name_files(files, 2, (const char *[]){"0.png", "1.png"});
    png_make(&files[1].content, 4, 6, 3, 10);
    char paths[KINDS][PX_PATH];
    for (int good = 1; good >= 0; good--) {
        if (!good) files[1].content.size = 5;
        write_set(files, 2, paths);
        for (int k = 0; k < KINDS; k++)
            for (int a = 0; a < 2; a++) {
                const px_source_options options = {.access = accesses[a]};
                if (!good) {
                    check_refused(paths[k], options, PX_ERR_FORMAT, "expected");
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
    static picture_file files[1];
    name_files(files, 1, (const char *[]){"notes.txt"});
    append(&files[0].content, "text", 4);
    char paths[KINDS][PX_PATH];
    write_set(files, 1, paths);
    for (int k = 0; k < KINDS; k++)
        for (int a = 0; a < 2; a++)
            check_refused(paths[k], (px_source_options){.access = accesses[a]}, PX_ERR_FORMAT,
                          "found no pictures, expected files that end in .png, .jpg or .jpeg");
}

static void lost_files_are_told(void **state) {
    (void)state;
    static picture_file files[2];
    name_files(files, 2, (const char *[]){"0.png", "1.png"});
    for (int i = 0; i < 2; i++) png_make(&files[i].content, 4, 4, 3, 10);
    char paths[KINDS][PX_PATH], name[PX_PATH];
    write_set(files, 2, paths);
    px_source *folder = open_source(paths[0], (px_source_options){0});
    assert_int_equal(px_file_path(&(px_context){""}, name, "%s/1.png", paths[0]), PX_OK);
    assert_int_equal(unlink(name), 0);
    check_unreadable(folder, 1, PX_ERR_FILE, "1.png: cannot be opened: No such file or directory");
    px_source_close(folder);
    px_source *tar = open_source(paths[1], (px_source_options){0});
    assert_int_equal(truncate(paths[1], 600), 0);
    check_unreadable(tar, 1, PX_ERR_FILE, "set.tar: shrank while it was read: found 600 bytes, expected");
    px_source_close(tar);
}

/* Tars ------------------------------------------------------------------------------------------------------------------
 */

/* A tar that ends early, or whose headers lie. Cut inside gzip, read in order, it is found out before any reading. */
static void bad_tars_are_refused(void **state) {
    (void)state;
    static blob picture, tar;
    png_make(&picture, 64, 64, 3, 10);
    static const struct {
        size_t stated, kept; /* bytes of the picture, and of the tar; 0: all */
    } cases[] = {{0, 520}, {0, 600}, {1000000, 0}, {077777777777, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tar.size = 0;
        tar_add(&tar, "1.png", picture.bytes, picture.size, cases[i].stated ? cases[i].stated : picture.size);
        tar_end(&tar);
        if (cases[i].kept) tar.size = cases[i].kept;
        const char *paths[] = {write_plain("bad.tar", &tar), write_gzip("bad.tar.gz", &tar)};
        for (int k = 0; k < 2; k++)
            for (int a = 0; a < 2; a++)
                check_refused(paths[k], (px_source_options){.access = accesses[a], .size = 8}, PX_ERR_FORMAT,
                              ", expected ");
    }
    tar.size = 0;
    tar_add(&tar, "1.png", picture.bytes, picture.size, picture.size);
    tar_add(&tar, "2.png", picture.bytes, picture.size, picture.size);
    tar.bytes[512 + (picture.size + 511) / 512 * 512 + 148]++; /* the second header's checksum */
    tar_end(&tar);
    check_refused(write_plain("bad.tar", &tar), (px_source_options){0}, PX_ERR_FORMAT, "found damaged content (");
}

/* GNU tar leaves the holes of a file out: what is stored is then not the picture. */
static void sparse_pictures_are_refused(void **state) {
    (void)state;
    static blob picture, tar;
    png_make(&picture, 4, 4, 3, 10);
    tar.size = 0;
    tar_add(&tar, "1.png", picture.bytes, picture.size, picture.size);
    tar_add(&tar, "2.png", picture.bytes, picture.size, picture.size);
    tar_end(&tar);
    char *header = (char *)tar.bytes;
    memcpy(header + 257, "ustar  ", 8);
    header[156] = 'S';
    snprintf(header + 386, 12, "%011o", 0); /* what is stored: from where, */
    snprintf(header + 398, 12, "%011zo", picture.size);
    snprintf(header + 483, 12, "%011zo", picture.size + 100); /* then a hole up to here */
    memset(header + 148, ' ', 8);
    unsigned sum = 0;
    for (int i = 0; i < 512; i++) sum += (uint8_t)header[i];
    snprintf(header + 148, 8, "%06o", sum);
    check_refused(write_plain("sparse.tar", &tar), (px_source_options){0}, PX_ERR_FORMAT,
                  "sparse.tar/1.png: found less than its ");
}

/* Names that lead out of a folder, absolute ones, links, controls: nothing is written, and messages stay one line. */
static void tar_paths_are_harmless(void **state) {
    (void)state;
    static blob picture, tar;
    png_make(&picture, 4, 4, 3, 10);
    tar.size = 0;
    tar_add(&tar, "../../tmp/px_data_escaped/1.png", picture.bytes, picture.size, picture.size);
    tar_add(&tar, "/tmp/px_data_escaped/2.png", picture.bytes, picture.size, picture.size);
    tar_add(&tar, "new\nline\033[2J.png", "text", 4, 4);
    tar_end(&tar);
    const char *paths[] = {write_plain("paths.tar", &tar), write_gzip("paths.tar.gz", &tar)};
    for (int k = 0; k < 2; k++)
        for (int a = 0; a < 2; a++) {
            uint8_t expected[48];
            px_source *source = open_source(paths[k], (px_source_options){.access = accesses[a]});
            assert_int_equal(source->count, 3);
            fill(expected, 16, 3, 10);
            check_image(source, 1, expected);
            check_unreadable(source, 2, PX_ERR_FORMAT, "/new?line?[2J.png: found unknown image type");
            px_source_close(source);
            assert_false(px_file_exists("/tmp/px_data_escaped"));
        }
}

/* A PNG of noise, so that a tar of them is not much smaller when it is compressed. */
static void noise_make(blob *b, int side, uint32_t seed, uint8_t *pixels) {
    for (int i = 0; i < side * side; i++) pixels[i] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
    b->size = 0;
    assert_true(stbi_write_png_to_func(append_picture, b, side, side, 1, pixels, 0));
}

enum { NOISE = 100, NOISE_SIDE = 60 };

static const char *noise_tar(uint8_t pixels[NOISE][NOISE_SIDE * NOISE_SIDE], int damaged) {
    static blob picture, tar;
    tar.size = 0;
    for (int i = 0; i < NOISE; i++) {
        char name[32];
        noise_make(&picture, NOISE_SIDE, (uint32_t)i, pixels[i]);
        if (i == damaged) picture.size = 20;
        snprintf(name, sizeof name, "%d.png", i);
        tar_add(&tar, name, picture.bytes, picture.size, picture.size);
    }
    tar_end(&tar);
    return write_gzip("noise.tar.gz", &tar);
}

/* More pictures than are decoded at a time, one of them damaged. */
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
    px_source_close(source);
}

/* What lies before the break is read, what lies behind it fails for good, not as one bad picture. */
static void a_compressed_tar_that_breaks_off_is_told(void **state) {
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
        cmocka_unit_test(pictures_are_read),
        cmocka_unit_test(pictures_are_brought_to_a_size),
        cmocka_unit_test(unequal_sizes_are_told),
        cmocka_unit_test(damaged_pictures_are_told_one_by_one),
        cmocka_unit_test(the_first_readable_picture_gives_the_size),
        cmocka_unit_test(empty_sets_are_refused),
        cmocka_unit_test(lost_files_are_told),
        cmocka_unit_test(bad_tars_are_refused),
        cmocka_unit_test(sparse_pictures_are_refused),
        cmocka_unit_test(tar_paths_are_harmless),
        cmocka_unit_test(compressed_tars_are_read_in_order),
        cmocka_unit_test(a_compressed_tar_that_breaks_off_is_told),
    };
    return cmocka_run_group_tests_name("data_pictures", tests, data_folder_make, data_folder_remove);
}
