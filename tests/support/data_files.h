/* Making image files for the tests of sources: good ones, and such as lie. */
#ifndef PIXELRNN_TESTS_DATA_FILES_H
#define PIXELRNN_TESTS_DATA_FILES_H

#include "tests/support/support.h"
#include "host/io/file.h"
#include "pixelrnn/source.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stb/stb_image_write.h>
#include <archive.h>
#include <archive_entry.h>
#include <zlib.h>

/* Bytes ---------------------------------------------------------------------------------------------------------------
 */

typedef struct blob {
    uint8_t bytes[1 << 21];
    size_t size;
} blob;

static inline void append(blob *b, const void *bytes, size_t size) {
    assert_true(b->size + size <= sizeof b->bytes);
    if (size > 0) memcpy(b->bytes + b->size, bytes, size);
    b->size += size;
}

static inline void append_zeros(blob *b, size_t size) {
    assert_true(b->size + size <= sizeof b->bytes);
    memset(b->bytes + b->size, 0, size);
    b->size += size;
}

static inline void append_little(blob *b, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) append(b, &(uint8_t){(uint8_t)(value >> 8 * i)}, 1);
}

static inline const char *write_plain(const char *name, const blob *b) {
    const char *path = px_test_path(name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(b->bytes, 1, b->size, file), b->size);
    assert_int_equal(fclose(file), 0);
    return path;
}

static inline const char *write_gzip(const char *name, const blob *b) {
    const char *path = px_test_path(name);
    gzFile file = gzopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, b->bytes, (unsigned)b->size), b->size);
    assert_int_equal(gzclose(file), Z_OK);
    return path;
}

/* Formats -------------------------------------------------------------------------------------------------------------
 */

/* A .npy file of this dictionary and `count` elements 0, 1, 2, ... */
static inline void npy_make(blob *b, const char *dictionary, size_t count) {
    b->size = 0;
    append(b, "\x93NUMPY\1", 8);
    append_little(b, strlen(dictionary), 2);
    append(b, dictionary, strlen(dictionary));
    for (size_t i = 0; i < count; i++) append_little(b, i, 1);
}

#define NPY_IMAGES(shape) "{'descr': '|u1', 'fortran_order': False, 'shape': " shape ", }"

static inline void append_image(void *b, void *bytes, int size) {
    append(b, bytes, (size_t)size);
}

/* A PNG of one colour, whose channels are value, value + 1, value + 2. */
static inline void png_make(blob *b, int height, int width, int channels, int value) {
    static uint8_t pixels[1 << 16];
    for (int i = 0; i < height * width * channels; i++) pixels[i] = (uint8_t)(value + i % channels);
    b->size = 0;
    assert_true(stbi_write_png_to_func(append_image, b, width, height, channels, pixels, 0));
}

/* A JPEG of 3 x 5 pixels, each channel of each 76. */
static const char jpeg_hex[] =
    "ffd8ffe000104a46494600010100000100010000ffdb004300100b0c0e0c0a100e0d0e1211101318281a181616183123251d"
    "283a333d3c3933383740485c4e404457453738506d51575f626768673e4d71797064785c656763ffdb004301111212181518"
    "2f1a1a2f63423842636363636363636363636363636363636363636363636363636363636363636363636363636363636363"
    "6363636363636363ffc00011080003000503011100021101031101ffc40014000100000000000000000000000000000005ff"
    "c40014100100000000000000000000000000000000ffc40014010100000000000000000000000000000000ffc40014110100"
    "000000000000000000000000000000ffda000c03010002110311003f00141fffd9";

static inline void jpeg_make(blob *b) {
    b->size = 0;
    for (const char *hex = jpeg_hex; *hex; hex += 2) {
        char digits[3] = {hex[0], hex[1], 0};
        append_little(b, strtoul(digits, NULL, 16), 1);
    }
}

/* Content compressed by a filter of libarchive's: "gzip", "bzip2", "xz" or "zstd". */
static inline const char *write_compressed(const char *name, const char *filter, const blob *b) {
    const char *path = px_test_path(name);
    struct archive *out = archive_write_new();
    struct archive_entry *entry = archive_entry_new();
    assert_non_null(out);
    assert_non_null(entry);
    assert_int_equal(archive_write_set_format_raw(out), ARCHIVE_OK);
    assert_int_equal(archive_write_add_filter_by_name(out, filter), ARCHIVE_OK);
    assert_int_equal(archive_write_open_filename(out, path), ARCHIVE_OK);
    archive_entry_set_filetype(entry, AE_IFREG);
    assert_int_equal(archive_write_header(out, entry), ARCHIVE_OK);
    assert_int_equal(archive_write_data(out, b->bytes, b->size), b->size);
    archive_entry_free(entry);
    assert_int_equal(archive_write_free(out), ARCHIVE_OK);
    return path;
}

/* A file in a tar; stated is the size in its header. */
static inline void tar_add(blob *tar, const char *name, const void *bytes, size_t size, size_t stated) {
    char header[512] = "";
    snprintf(header, 100, "%s", name);
    snprintf(header + 100, 24, "%07o", 0644);
    snprintf(header + 124, 12, "%011zo", stated);
    snprintf(header + 136, 12, "%011o", 0);
    memset(header + 148, ' ', 8);
    header[156] = '0';
    memcpy(header + 257, "ustar\00000", 8);
    unsigned sum = 0;
    for (int i = 0; i < 512; i++) sum += (uint8_t)header[i];
    snprintf(header + 148, 8, "%06o", sum);
    append(tar, header, 512);
    append(tar, bytes, size);
    append_zeros(tar, (512 - size % 512) % 512);
}

static inline void tar_end(blob *tar) {
    append_zeros(tar, 1024);
}

/* A zip's files, and the directory that follows them. */
typedef struct zip_file {
    blob body, directory;
    int members;
} zip_file;

/* What zip_add writes besides the truth: 0 and NULL for it. */
typedef struct zip_lie {
    bool deflate;
    uint64_t stated; /* size of the content */
    uint32_t crc;
} zip_lie;

static inline size_t zip_deflate(const void *bytes, size_t size, uint8_t *packed, size_t room) {
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)bytes;
    z.avail_in = (uInt)size;
    z.next_out = packed;
    z.avail_out = (uInt)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return room - z.avail_out;
}

/* A header of the body or, with `directory`, the entry of the directory. Sizes are in a Zip64 field. */
static inline void zip_header(blob *b, bool directory, const char *name, int method, uint32_t crc, size_t packed,
                              uint64_t size, size_t offset) {
    append(b, directory ? "PK\1\2" : "PK\3\4", 4);
    if (directory) append_little(b, 45, 2);
    append_little(b, 45, 2); /* version: Zip64 */
    append_little(b, 0, 2);
    append_little(b, (uint64_t)method, 2);
    append_little(b, 0x00210000, 4); /* 1980-01-01 */
    append_little(b, crc, 4);
    append_little(b, 0xffffffff, 4);
    append_little(b, 0xffffffff, 4);
    append_little(b, strlen(name), 2);
    append_little(b, 20, 2);
    if (directory) append_zeros(b, 10);
    if (directory) append_little(b, offset, 4);
    append(b, name, strlen(name));
    append_little(b, 1, 2);
    append_little(b, 16, 2);
    append_little(b, size, 8);
    append_little(b, packed, 8);
}

static inline void zip_add(zip_file *zip, const char *name, const void *bytes, size_t size, zip_lie lie) {
    static uint8_t packed[1 << 20];
    size_t offset = zip->body.size, length = size;
    uint32_t crc = lie.crc ? lie.crc : (uint32_t)crc32(0, bytes, (uInt)size);
    uint64_t stated = lie.stated ? lie.stated : size;
    if (lie.deflate) length = zip_deflate(bytes, size, packed, sizeof packed);
    zip_header(&zip->body, false, name, lie.deflate ? 8 : 0, crc, length, stated, 0);
    append(&zip->body, lie.deflate ? packed : bytes, length);
    zip_header(&zip->directory, true, name, lie.deflate ? 8 : 0, crc, length, stated, offset);
    zip->members++;
}

static inline const char *zip_write(const char *name, const zip_file *zip) {
    static blob b;
    b = zip->body;
    append(&b, zip->directory.bytes, zip->directory.size);
    append(&b, "PK\5\6", 4);
    append_zeros(&b, 4);
    append_little(&b, (uint64_t)zip->members, 2);
    append_little(&b, (uint64_t)zip->members, 2);
    append_little(&b, zip->directory.size, 4);
    append_little(&b, zip->body.size, 4);
    append_zeros(&b, 2);
    return write_plain(name, &b);
}

/* Checks --------------------------------------------------------------------------------------------------------------
 */

static inline px_source *open_source(const char *path, px_source_options options) {
    px_context ctx = {""};
    px_source *source;
    px_status status = px_source_open(&ctx, path, &options, &source);
    if (status != PX_OK) fail_msg("%s", ctx.message);
    return source;
}

static inline void check_sizes(const px_source *source, size_t count, int height, int width, int channels) {
    assert_int_equal(source->count, count);
    assert_int_equal(source->height, height);
    assert_int_equal(source->width, width);
    assert_int_equal(source->channels, channels);
}

static inline void check_image(px_source *source, size_t index, const uint8_t *expected) {
    px_context ctx = {""};
    static uint8_t pixels[1 << 16];
    size_t bytes = (size_t)source->height * (size_t)source->width * (size_t)source->channels;
    assert_true(bytes <= sizeof pixels);
    px_status status = source->read(source, &ctx, index, pixels);
    if (status != PX_OK) fail_msg("image %zu: %s", index, ctx.message);
    for (size_t i = 0; i < bytes; i++)
        if (pixels[i] != expected[i])
            fail_msg("%s: image %zu, byte %zu is %d, expected %d", source->name, index, i, pixels[i], expected[i]);
}

/* One line that begins with path and contains words. */
static inline void check_message(px_status status, px_status expected, const px_context *ctx, const char *path,
                                 const char *words) {
    if (status != expected || !strstr(ctx->message, words) || strncmp(ctx->message, path, strlen(path)) != 0)
        fail_msg("status %d and \"%s\", expected %d and \"%s...%s\"", status, ctx->message, expected, path, words);
    assert_null(strchr(ctx->message, '\n'));
}

static inline void check_refused(const char *path, px_source_options options, px_status expected, const char *words) {
    px_context ctx = {""};
    px_source *source;
    px_status status = px_source_open(&ctx, path, &options, &source);
    check_message(status, expected, &ctx, path, words);
    assert_null(source);
}

static inline void check_unreadable(px_source *source, size_t index, px_status expected, const char *words) {
    px_context ctx = {""};
    static uint8_t pixels[1 << 16];
    px_status status = source->read(source, &ctx, index, pixels);
    check_message(status, expected, &ctx, px_test_folder, words);
}

#endif
