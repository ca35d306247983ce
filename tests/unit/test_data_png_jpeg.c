/* PNG checksums, JPEG tables and EXIF orientations. */
#include "tests/support/data_files.h"
#include "host/data/archive.h"
#include "host/data/image_format.h"
#include "host/data/image.h"
#include <sys/stat.h>
#include <unistd.h>
#include <stb/stb_image_write.h>
#include <zlib.h>

/* ---- Checksums ---- */

static void big_endian_put(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> 8 * (3 - i));
}

/* Makes a damaged PNG of 4 x 6 with one data chunk. Damaged is a byte of its data, or the Adler-32 in their last byte
 * with a correct CRC, or a text chunk that decoding does not need. */
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
            fill_pixels(expected, 24, 3, 10);
            check_image(source, 3, expected);
            px_source_close(source);
        }
}

/* Inserts a chunk of this type, with zeros as data, before the first IDAT. */
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

/* PNGs with empty chunks, and one that is longer than the pieces in which an archive is read. */
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
            fill_pixels(expected, 24, 3, 10);
            for (size_t i = 0; i < 2; i++) check_image(source, i, expected);
            px_source_close(source);
        }
}

/* Apple's variant of PNG: a raw deflate stream without zlib's header and checksum. */
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
    fill_pixels(expected, 24, 1, 10);
    check_image(source, 0, expected);
    px_source_close(source);
}

/* A JPEG has no checksum, but its zip has. Stored members are read in place, so they are compared only in order. */
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

/* A table of 256 symbols is accepted. One of 257 is refused, because the decoder would write past its array. */
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

/* ---- EXIF ---- */

enum { EXIF_HEIGHT = 16, EXIF_WIDTH = 24, EXIF_BLOCK = 8 };

/* The value of a block of 8 x 8 pixels; every block has another. */
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

/* Makes an EXIF segment that has an orientation after another entry. */
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

/* The stored value that pixel (y, x) of the shown image has, by the definition of EXIF. */
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

/* Damaged EXIF data are ignored. */
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

static void a_rotated_first_image_gives_the_size(void **state) {
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(png_checksums_are_compared), cmocka_unit_test(unusual_pngs_are_read),
        cmocka_unit_test(apple_pngs_are_read),        cmocka_unit_test(zip_checksums_are_compared),
        cmocka_unit_test(huffman_tables_fit),         cmocka_unit_test(orientations_are_applied),
        cmocka_unit_test(damaged_exif_is_no_error),   cmocka_unit_test(a_rotated_first_image_gives_the_size),
    };
    return cmocka_run_group_tests_name("data_png_jpeg", tests, px_test_folder_make, px_test_folder_remove);
}
