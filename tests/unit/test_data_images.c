/* Folders, tars and zips of PNG and JPEG: read right, brought to one size, and bad ones refused one by one. */
#include "tests/support/data_files.h"
#include "host/data/archive.h"
#include "host/data/jpeg.h"
#include "host/data/image_format.h"
#include "host/data/image.h"
#include <sys/stat.h>
#include <unistd.h>

static const px_access accesses[] = {PX_ACCESS_ANY, PX_ACCESS_IN_ORDER};

/* The same images in a folder and in archives -----------------------------------------------------------------------
 */

enum { FOLDER, TAR, TAR_GZ, TAR_BZ2, TAR_XZ, TAR_ZST, ZIP, ZIP_STORED, KINDS };

typedef struct image_file {
    const char *name;
    blob content;
} image_file;

/* Names given at run time: an initialiser would put every file's megabyte of content into the program's file. */
static void name_files(image_file *files, int count, const char *const *names) {
    for (int i = 0; i < count; i++) files[i].name = names[i];
}

/* Writes files in the order given, folders as they are needed. */
static void write_set(const image_file *files, int count, char paths[KINDS][PX_PATH]) {
    static blob tar;
    static zip_file zips[2];
    static int sets;
    px_context ctx = {""};
    char name[PX_PATH];
    char folder[32];
    snprintf(folder, sizeof folder, "set_%d", sets++);
    strcpy(paths[0], px_test_path(folder));
    tar.size = 0;
    for (int z = 0; z < 2; z++) zips[z].body.size = zips[z].directory.size = 0, zips[z].members = 0;
    for (int i = 0; i < count; i++) {
        const blob *b = &files[i].content;
        assert_int_equal(px_file_path(&ctx, name, "%s/%s", paths[0], files[i].name), PX_OK);
        *strrchr(name, '/') = 0;
        assert_int_equal(px_file_make_folder(&ctx, name), PX_OK);
        assert_int_equal(px_file_path(&ctx, name, "%s/%s", folder, files[i].name), PX_OK);
        write_plain(name, b);
        tar_add(&tar, files[i].name, b->bytes, b->size, b->size);
        for (int z = 0; z < 2; z++) zip_add(&zips[z], files[i].name, b->bytes, b->size, (zip_lie){.deflate = z == 0});
    }
    tar_end(&tar);
    strcpy(paths[TAR], write_plain("set.tar", &tar));
    strcpy(paths[TAR_GZ], write_gzip("set.tar.gz", &tar));
    strcpy(paths[TAR_BZ2], write_compressed("set.tar.bz2", "bzip2", &tar));
    strcpy(paths[TAR_XZ], write_compressed("set.tar.xz", "xz", &tar));
    strcpy(paths[TAR_ZST], write_compressed("set.tar.zst", "zstd", &tar));
    strcpy(paths[ZIP], zip_write("set.zip", &zips[0]));
    strcpy(paths[ZIP_STORED], zip_write("stored.zip", &zips[1]));
}

static void fill(uint8_t *pixels, size_t count, int channels, int value) {
    for (size_t i = 0; i < count; i++)
        for (int c = 0; c < channels; c++) *pixels++ = (uint8_t)(value + c);
}

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

/* An image that is higher or wider than it is to be keeps its middle. */
static void the_middle_is_kept(void **state) {
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

static void images_are_brought_to_a_size(void **state) {
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

/* Damage
 * ---------------------------------------------------------------------------------------------------------------
 */

/* A PNG whose header says 100,000 x 100,000, a bomb of few bytes, and of 15,000 x 15,000. */
static void bomb_make(blob *b, uint32_t side) {
    png_make(b, 4, 4, 3, 10);
    for (int i = 0; i < 8; i++) b->bytes[16 + i] = (uint8_t)(side >> 8 * (3 - i % 4));
    uint32_t crc = (uint32_t)crc32(0, b->bytes + 12, 17);
    for (int i = 0; i < 4; i++) b->bytes[29 + i] = (uint8_t)(crc >> 8 * (3 - i));
}

static void damaged_images_are_told_one_by_one(void **state) {
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

static void lost_files_are_told(void **state) {
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

/* A file that is not what its name says is called by its format; what is not of use is told in words. */
static void other_formats_are_named(void **state) {
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

/* The reason that is told is the first image's. */
static void the_first_reason_is_told(void **state) {
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

/* Thumbnails and the like in a folder; and what CIFAR's Python version has, beside images in a tar. */
static void company_of_images_is_passed_over(void **state) {
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

/* A table whose 16 counts of symbols add up to 256 fits, one of 257 does not: the decoder would write past its end. */
static void huffman_tables_fit(void **state) {
    (void)state;
    for (int more = 0; more < 2; more++) {
        uint8_t bytes[6 + 17 + 257] = {0xff, 0xd8, 0xff, 0xc4};
        bytes[4] = (uint8_t)((2 + 17 + 256 + more) >> 8);
        bytes[5] = (uint8_t)(2 + 17 + 256 + more);
        bytes[7] = 128;
        bytes[22] = (uint8_t)(128 + more);
        assert_int_equal(px_jpeg_inspect(bytes, sizeof bytes).tables_fit, !more);
    }
}

/* 10.75, 10.5 and 10.25 */
static void means_are_rounded(void **state) {
    (void)state;
    static const uint8_t pixels[3][4] = {{10, 11, 11, 11}, {10, 11, 11, 10}, {10, 11, 10, 10}};
    for (int i = 0; i < 3; i++) {
        uint8_t mean;
        px_image_downsample(pixels[i], 2, 2, 1, 1, &mean);
        assert_int_equal(mean, i < 2 ? 11 : 10);
    }
}

/* The ends of long names are shown. */
static void long_names_are_cut(void **state) {
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

static void bytes_past_the_end_tell_no_format(void **state) {
    (void)state;
    const uint8_t webp[] = "RIFF\x24\0\0\0WEBP";
    assert_int_equal(px_image_format_of_bytes(webp, 12), PX_IMAGE_WEBP);
    assert_int_equal(px_image_format_of_bytes(webp, 11), PX_IMAGE_UNKNOWN);
}

/* Files of formats that are not read are counted, also where several sets are joined. */
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

/* ImageNet's training archive holds a tar for each class. */
static void tars_of_tars_are_named(void **state) {
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

/* Checksums -----------------------------------------------------------------------------------------------------------
 */

static void big_endian_put(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> 8 * (3 - i));
}

/* A PNG of 4 x 6 with one chunk of data, damaged: a byte of its data, or with a correct CRC their last byte, which
 * belongs to the Adler-32, or a text chunk that is not needed to decode it. */
static void damaged_png_make(blob *b, int damage) {
    png_make(b, 4, 6, 3, 10);
    uint8_t *type = memmem(b->bytes, b->size, "IDAT", 4);
    assert_non_null(type);
    const size_t length = (size_t)type[-2] << 8 | type[-1];
    if (damage == 0) type[4 + length / 2] ^= 1;
    if (damage == 1) {
        type[4 + length - 1] ^= 1;
        big_endian_put(type + 4 + length, (uint32_t)crc32(0, type, (uInt)(4 + length)));
    }
    if (damage == 2) {
        static const uint8_t text[] = "\0\0\0\1tEXtx\0\0\0";
        memmove(type - 4 + 13, type - 4, b->size - (size_t)(type - 4 - b->bytes));
        memcpy(type - 4, text, 13);
        b->size += 13;
    }
}

static void png_checksums_are_compared(void **state) {
    (void)state;
    static image_file files[5];
    char paths[KINDS][PX_PATH];
    name_files(files, 5, (const char *[]){"0.png", "1.png", "2.png", "3.png", "4.png"});
    for (int i = 0; i < 3; i++) damaged_png_make(&files[i].content, i);
    damaged_png_make(&files[3].content, -1);
    png_make(&files[4].content, 4, 6, 3, 20);
    write_set(files, 5, paths);
    for (int k = 0; k < KINDS; k++)
        for (int a = 0; a < 2; a++) {
            uint8_t expected[72];
            px_source *source = open_source(paths[k], (px_source_options){.access = accesses[a]});
            check_sizes(source, 5, 4, 6, 3);
            check_unreadable(source, 0, PX_ERR_FORMAT,
                             "0.png: found damaged data in the PNG's chunk IDAT, whose CRC-32 is ");
            check_unreadable(source, 1, PX_ERR_FORMAT,
                             "1.png: found pixel data that differ from their Adler-32, expected");
            check_unreadable(source, 2, PX_ERR_FORMAT,
                             "2.png: found damaged data in the PNG's chunk tEXt, whose CRC-32 is ");
            fill(expected, 24, 3, 10);
            check_image(source, 3, expected);
            px_source_close(source);
        }
}

/* A chunk of this type with zeros for data, before the first IDAT. */
static void png_insert(blob *b, const char *type, size_t length) {
    const uint8_t *first = memmem(b->bytes, b->size, "IDAT", 4);
    assert_non_null(first);
    assert_true(b->size + length + 12 <= sizeof b->bytes);
    uint8_t *at = b->bytes + (first - 4 - b->bytes);
    memmove(at + length + 12, at, b->size - (size_t)(at - b->bytes));
    memset(at, 0, length + 12);
    big_endian_put(at, (uint32_t)length);
    memcpy(at + 4, type, 4);
    big_endian_put(at + 8 + length, (uint32_t)crc32(0, at + 4, (uInt)(4 + length)));
    b->size += length + 12;
}

/* Chunks without data, and an image that is longer than what an archive is read by at a time. */
static void unusual_pngs_are_read(void **state) {
    (void)state;
    static image_file files[2];
    char paths[KINDS][PX_PATH];
    name_files(files, 2, (const char *[]){"empty.png", "long.png"});
    for (int i = 0; i < 2; i++) png_make(&files[i].content, 4, 6, 3, 10);
    png_insert(&files[0].content, "IDAT", 0);
    png_insert(&files[1].content, "prIv", (1 << 20) + 100);
    write_set(files, 2, paths);
    for (int k = 0; k < KINDS; k++)
        for (int a = 0; a < 2; a++) {
            uint8_t expected[72];
            px_source *source = open_source(paths[k], (px_source_options){.access = accesses[a]});
            fill(expected, 24, 3, 10);
            for (size_t i = 0; i < 2; i++) check_image(source, i, expected);
            px_source_close(source);
        }
}

/* Apple's variant: pixels are a bare stream without zlib's header; bytes that follow it are no checksum. */
static void apple_pngs_are_read(void **state) {
    (void)state;
    static image_file files[1];
    static blob plain;
    char paths[KINDS][PX_PATH];
    uint8_t expected[24];
    name_files(files, 1, (const char *[]){"apple.png"});
    png_make(&plain, 4, 6, 1, 10);
    blob *b = &files[0].content;
    const uint8_t *data = memmem(plain.bytes, plain.size, "IDAT", 4);
    assert_non_null(data);
    const size_t length = (size_t)data[-2] << 8 | data[-1], bare = length - 2;
    uint8_t chunk[64] = "\0\0\0\4CgBI\x50\0\x20\2";
    big_endian_put(chunk + 12, (uint32_t)crc32(0, chunk + 4, 8));
    append(b, plain.bytes, 8);
    append(b, chunk, 16);
    append(b, plain.bytes + 8, (size_t)(data - 4 - plain.bytes) - 8);
    big_endian_put(chunk, (uint32_t)bare);
    append(b, chunk, 4);
    append(b, "IDAT", 4);
    append(b, data + 4 + 2, bare);
    big_endian_put(chunk, (uint32_t)crc32(0, b->bytes + b->size - bare - 4, (uInt)(bare + 4)));
    append(b, chunk, 4);
    append(b, data + 4 + length + 4, plain.size - (size_t)(data + 4 + length + 4 - plain.bytes));
    write_set(files, 1, paths);
    px_source *source = open_source(paths[FOLDER], (px_source_options){.channels = 1});
    fill(expected, 24, 1, 10);
    check_image(source, 0, expected);
    px_source_close(source);
}

/* A JPEG has no checksum; the zip around it has. What a zip stores is read in place, and compared in order alone. */
static void zip_checksums_are_compared(void **state) {
    (void)state;
    static blob image;
    static zip_file zip;
    uint8_t expected[45];
    memset(expected, 76, 45);
    jpeg_make(&image);
    for (int deflate = 0; deflate < 2; deflate++)
        for (int damage = 0; damage < 2; damage++) {
            zip.body.size = zip.directory.size = 0, zip.members = 0;
            for (int i = 0; i < 4; i++) {
                const size_t begin = zip.body.size;
                char name[] = "0.jpg";
                name[0] = (char)('0' + i);
                const bool bad = i < 2;
                zip_add(&zip, name, image.bytes, image.size,
                        (zip_lie){.deflate = deflate, .crc = bad && damage == 0 ? 1 : 0});
                if (bad && damage == 1) memset(zip.body.bytes + begin + 60, 0xff, 150); /* deflate's codes, too */
            }
            const char *path = zip_write("damaged.zip", &zip);
            for (int a = deflate ? 0 : 1; a < 2; a++) {
                px_source *source = open_source(path, (px_source_options){.access = accesses[a]});
                check_sizes(source, 4, 3, 5, 3);
                for (size_t i = 0; i < 2; i++)
                    check_unreadable(source, i, PX_ERR_FORMAT,
                                     i ? "/1.jpg: found damaged content (" : "/0.jpg: found damaged content (");
                for (size_t i = 2; i < 4; i++) check_image(source, i, expected);
                px_source_close(source);
            }
        }
}

/* EXIF ----------------------------------------------------------------------------------------------------------------
 */

enum { EXIF_HEIGHT = 16, EXIF_WIDTH = 24, EXIF_BLOCK = 8 };

/* Blocks of 8 x 8 whose values tell them apart. */
static int block_value(size_t row, size_t column) {
    return 20 + 40 * (int)(row / EXIF_BLOCK * (EXIF_WIDTH / EXIF_BLOCK) + column / EXIF_BLOCK);
}

static void blocks_make(blob *b, const blob *exif) {
    static blob plain;
    static uint8_t pixels[EXIF_HEIGHT * EXIF_WIDTH];
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)block_value(i / EXIF_WIDTH, i % EXIF_WIDTH);
    plain.size = 0;
    assert_true(stbi_write_jpg_to_func(append_image, &plain, EXIF_WIDTH, EXIF_HEIGHT, 1, pixels, 100));
    b->size = 0;
    append(b, plain.bytes, 2);
    append(b, exif->bytes, exif->size);
    append(b, plain.bytes + 2, plain.size - 2);
}

static void append_number(blob *b, bool little, uint32_t value, int bytes) {
    for (int i = 0; i < bytes; i++) append(b, &(uint8_t){(uint8_t)(value >> 8 * (little ? i : bytes - 1 - i))}, 1);
}

/* A segment of EXIF with an orientation behind another entry. */
static void exif_make(blob *b, bool little, unsigned orientation) {
    b->size = 0;
    append(b, (const uint8_t[]){0xff, 0xe1, 0, 44, 'E', 'x', 'i', 'f', 0, 0}, 10);
    append(b, little ? "II" : "MM", 2);
    append_number(b, little, 42, 2);
    append_number(b, little, 8, 4);
    append_number(b, little, 2, 2);
    append_number(b, little, 0x10f, 2); /* the maker, in ASCII */
    append_number(b, little, 2, 2);
    append_number(b, little, 2, 4);
    append(b, "x\0\0\0", 4);
    append_number(b, little, 0x112, 2);
    append_number(b, little, 3, 2);
    append_number(b, little, 1, 4);
    append_number(b, little, orientation, 2);
    append_zeros(b, 2);
    append_zeros(b, 46 - b->size);
}

/* Where in the stored image the shown pixel (y, x) is, as EXIF describes it. */
static int shown_value(int orientation, size_t y, size_t x) {
    const size_t bottom = EXIF_HEIGHT - 1, right = EXIF_WIDTH - 1;
    switch (orientation) {
    case 2: return block_value(y, right - x);
    case 3: return block_value(bottom - y, right - x);
    case 4: return block_value(bottom - y, x);
    case 5: return block_value(x, y);
    case 6: return block_value(bottom - x, y);
    case 7: return block_value(bottom - x, right - y);
    case 8: return block_value(x, right - y);
    default: return block_value(y, x);
    }
}

static void check_shown(const blob *b, int orientation) {
    px_context ctx = {""};
    uint8_t *pixels;
    int height, width, measured_height, measured_width;
    px_status status = px_image_decode(&ctx, "image", b->bytes, b->size, 1, &pixels, &height, &width);
    if (status != PX_OK) fail_msg("%s", ctx.message);
    assert_int_equal(px_image_measure(&ctx, "image", b->bytes, b->size, &measured_height, &measured_width), PX_OK);
    const bool swap = orientation >= 5;
    assert_int_equal(height, swap ? EXIF_WIDTH : EXIF_HEIGHT);
    assert_int_equal(width, swap ? EXIF_HEIGHT : EXIF_WIDTH);
    assert_int_equal(measured_height, height);
    assert_int_equal(measured_width, width);
    for (size_t i = 0; i < EXIF_HEIGHT * EXIF_WIDTH; i++) {
        const size_t y = i / (size_t)width, x = i % (size_t)width;
        const int expected = shown_value(orientation, y, x);
        if (abs(pixels[i] - expected) > 3)
            fail_msg("orientation %d: row %zu, column %zu is %d, expected %d within 3, JPEG's loss", orientation, y, x,
                     pixels[i], expected);
    }
    free(pixels);
}

static void orientations_are_applied(void **state) {
    (void)state;
    static blob exif, image;
    for (int little = 0; little < 2; little++)
        for (unsigned orientation = 1; orientation <= 8; orientation++) {
            exif_make(&exif, little, orientation);
            blocks_make(&image, &exif);
            check_shown(&image, (int)orientation);
        }
}

/* A damaged block of EXIF turns nothing and is no error. */
static void damaged_exif_is_no_error(void **state) {
    (void)state;
    static blob exif, image;
    static const struct {
        size_t at; /* in the segment */
        uint8_t value;
    } cases[] = {{9, 'x'}, {10, 'X'}, {13, 43}, {14, 0xff}, {17, 200}, {17, 44},
                 {33, 0},  {35, 4},   {41, 0},  {41, 9},    {40, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        exif_make(&exif, false, 6);
        exif.bytes[cases[i].at] = cases[i].value;
        blocks_make(&image, &exif);
        check_shown(&image, 1);
    }
    exif_make(&exif, false, 6);
    exif.bytes[18] = 0xff; /* so many entries as do not fit; the second is the one */
    blocks_make(&image, &exif);
    check_shown(&image, 6);
}

static void a_turned_image_gives_the_size(void **state) {
    (void)state;
    static image_file files[2];
    static blob exif;
    char paths[KINDS][PX_PATH];
    name_files(files, 2, (const char *[]){"0.jpg", "1.png"});
    exif_make(&exif, true, 8);
    blocks_make(&files[0].content, &exif);
    png_make(&files[1].content, EXIF_WIDTH, EXIF_HEIGHT, 1, 7);
    write_set(files, 2, paths);
    for (int k = 0; k < KINDS; k++)
        for (int a = 0; a < 2; a++) {
            uint8_t expected[EXIF_WIDTH * EXIF_HEIGHT];
            px_source *source = open_source(paths[k], (px_source_options){.access = accesses[a], .channels = 1});
            check_sizes(source, 2, EXIF_WIDTH, EXIF_HEIGHT, 1);
            memset(expected, 7, sizeof expected);
            check_image(source, 1, expected);
            px_source_close(source);
        }
}

/* Tars
 * ------------------------------------------------------------------------------------------------------------------
 */

/* A tar that ends early, or whose headers lie. Cut inside gzip, read in order, it is found out before any reading. */
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

/* GNU tar leaves the holes of a file out: its zeros are put back. Here the hole follows the
 * image. */
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
    fill(expected, 16, 3, 10);
    check_sizes(source, 2, 4, 4, 3);
    for (size_t i = 0; i < 2; i++) check_image(source, i, expected);
    px_source_close(source);
}

/* A header of PAX that gives the next file a name of any length and any characters. */
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

static void pax_names_are_shown(void **state) {
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

/* Names that lead out of a folder, absolute ones, links, controls: nothing is written, and messages stay one line. */
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
            fill(expected, 16, 3, 10);
            check_image(source, 1, expected);
            check_unreadable(source, 2, PX_ERR_FORMAT,
                             "/new?line?[2J.png: found the first bytes 74 65 78 74, expected");
            px_source_close(source);
            assert_false(px_file_exists("/tmp/px_data_escaped"));
        }
}

/* A PNG of noise, so that a tar of them is not much smaller when it is compressed. */
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

/* More images than are decoded at a time, one of them damaged. */
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

/* What lies before the break is read, what lies behind it fails for good, not as one bad image. */
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
        cmocka_unit_test(images_are_read),
        cmocka_unit_test(images_are_brought_to_a_size),
        cmocka_unit_test(the_middle_is_kept),
        cmocka_unit_test(unequal_sizes_are_told),
        cmocka_unit_test(damaged_images_are_told_one_by_one),
        cmocka_unit_test(the_first_readable_image_gives_the_size),
        cmocka_unit_test(empty_sets_are_refused),
        cmocka_unit_test(lost_files_are_told),
        cmocka_unit_test(other_formats_are_named),
        cmocka_unit_test(the_first_reason_is_told),
        cmocka_unit_test(long_names_are_cut),
        cmocka_unit_test(means_are_rounded),
        cmocka_unit_test(huffman_tables_fit),
        cmocka_unit_test(company_of_images_is_passed_over),
        cmocka_unit_test(bytes_past_the_end_tell_no_format),
        cmocka_unit_test(other_formats_are_counted),
        cmocka_unit_test(tars_of_tars_are_named),
        cmocka_unit_test(png_checksums_are_compared),
        cmocka_unit_test(unusual_pngs_are_read),
        cmocka_unit_test(apple_pngs_are_read),
        cmocka_unit_test(zip_checksums_are_compared),
        cmocka_unit_test(orientations_are_applied),
        cmocka_unit_test(damaged_exif_is_no_error),
        cmocka_unit_test(a_turned_image_gives_the_size),
        cmocka_unit_test(bad_tars_are_refused),
        cmocka_unit_test(sparse_images_are_read),
        cmocka_unit_test(pax_names_are_shown),
        cmocka_unit_test(tar_paths_are_harmless),
        cmocka_unit_test(compressed_tars_are_read_in_order),
        cmocka_unit_test(a_compressed_tar_that_breaks_off_is_told),
    };
    return cmocka_run_group_tests_name("data_images", tests, px_test_folder_make, px_test_folder_remove);
}
