/* Writing image files for the tests of sources. */
#include "tests/support/data_files.h"
#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>
#include <stb/stb_image_write.h>
#include <zlib.h>

const px_access accesses[2] = {PX_ACCESS_ANY, PX_ACCESS_IN_ORDER};

void append(blob *b, const void *bytes, size_t size) {
    assert_true(b->size + size <= sizeof b->bytes);
    if (size > 0) memcpy(b->bytes + b->size, bytes, size);
    b->size += size;
}

void append_zeros(blob *b, size_t size) {
    assert_true(b->size + size <= sizeof b->bytes);
    memset(b->bytes + b->size, 0, size);
    b->size += size;
}

void append_little(blob *b, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) append(b, &(uint8_t){(uint8_t)(value >> 8 * i)}, 1);
}

const char *write_plain(const char *name, const blob *b) {
    const char *path = px_test_path(name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(b->bytes, 1, b->size, file), b->size);
    assert_int_equal(fclose(file), 0);
    return path;
}

const char *write_gzip(const char *name, const blob *b) {
    const char *path = px_test_path(name);
    gzFile file = gzopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, b->bytes, (unsigned)b->size), b->size);
    assert_int_equal(gzclose(file), Z_OK);
    return path;
}

void npy_make(blob *b, const char *dictionary, size_t count) {
    b->size = 0;
    append(b, "\x93NUMPY\1", 8);
    append_little(b, strlen(dictionary), 2);
    append(b, dictionary, strlen(dictionary));
    for (size_t i = 0; i < count; i++) append_little(b, i, 1);
}

void append_image(void *b, void *bytes, int size) { append(b, bytes, (size_t)size); }

void png_make(blob *b, int height, int width, int channels, int value) {
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

void jpeg_make(blob *b) {
    b->size = 0;
    for (const char *hex = jpeg_hex; *hex; hex += 2) {
        char digits[3] = {hex[0], hex[1], 0};
        append_little(b, strtoul(digits, NULL, 16), 1);
    }
}

const char *write_compressed(const char *name, const char *filter, const blob *b) {
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

void tar_add(blob *tar, const char *name, const void *bytes, size_t size, size_t stated) {
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

void tar_end(blob *tar) { append_zeros(tar, 1024); }

static size_t zip_deflate(const void *bytes, size_t size, uint8_t *packed, size_t room) {
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
static void zip_header(blob *b, bool directory, const char *name, int method, uint32_t crc, size_t packed,
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

void zip_add(zip_file *zip, const char *name, const void *bytes, size_t size, zip_lie lie) {
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

const char *zip_write(const char *name, const zip_file *zip) {
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

px_source *open_source(const char *path, px_source_options options) {
    px_context ctx = {""};
    px_source *source;
    px_status status = px_source_open(&ctx, path, &options, &source);
    if (status != PX_OK) fail_msg("%s", ctx.message);
    return source;
}

void check_sizes(const px_source *source, size_t count, int height, int width, int channels) {
    assert_int_equal(source->count, count);
    assert_int_equal(source->height, height);
    assert_int_equal(source->width, width);
    assert_int_equal(source->channels, channels);
}

void check_image(px_source *source, size_t index, const uint8_t *expected) {
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

void check_message(px_status status, px_status expected, const px_context *ctx, const char *path, const char *words) {
    if (status != expected || !strstr(ctx->message, words) || strncmp(ctx->message, path, strlen(path)) != 0)
        fail_msg("status %d and \"%s\", expected %d and \"%s...%s\"", status, ctx->message, expected, path, words);
    assert_null(strchr(ctx->message, '\n'));
}

void check_refused(const char *path, px_source_options options, px_status expected, const char *words) {
    px_context ctx = {""};
    px_source *source;
    px_status status = px_source_open(&ctx, path, &options, &source);
    check_message(status, expected, &ctx, path, words);
    assert_null(source);
}

void check_unreadable(px_source *source, size_t index, px_status expected, const char *words) {
    px_context ctx = {""};
    static uint8_t pixels[1 << 16];
    px_status status = source->read(source, &ctx, index, pixels);
    check_message(status, expected, &ctx, px_test_folder, words);
}

void cifar_make(blob *b, int first, int count) {
    b->size = 0;
    for (int n = first; n < first + count; n++) {
        uint8_t record[CIFAR_RECORD];
        record[0] = (uint8_t)(n % 10);
        for (int i = 0; i < 3072; i++) record[1 + i] = (uint8_t)(n + i / 1024);
        append(b, record, CIFAR_RECORD);
    }
}

void check_cifar(const char *path, px_source_options options, size_t count, int first) {
    px_source *source = open_source(path, options);
    check_sizes(source, count, 32, 32, 3);
    for (size_t n = 0; n < count; n++) {
        uint8_t expected[3072];
        for (size_t i = 0; i < 3072; i++) expected[i] = (uint8_t)((size_t)first + n + i % 3);
        check_image(source, n, expected);
    }
    px_source_close(source);
}

void cifar_tar_make(blob *tar, const char *left_out) {
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

void idx_make(blob *b, uint8_t count, int first) {
    b->size = 0;
    append(b, (const uint8_t[]){0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 2, 0, 0, 0, 2}, 16);
    for (int i = 0; i < 4 * count; i++) append_little(b, (uint64_t)(first + i), 1);
}

void check_interleaved(const char *path, px_source_options options, int channels) {
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

void check_planes(const char *path) {
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

/* Names given at run time: an initialiser would put every file's megabyte of content into the program's file. */
void name_files(image_file *files, int count, const char *const *names) {
    for (int i = 0; i < count; i++) files[i].name = names[i];
}

/* Writes files in the order given, folders as they are needed. */
void write_set(const image_file *files, int count, char paths[KINDS][PX_PATH]) {
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

void fill_pixels(uint8_t *pixels, size_t count, int channels, int value) {
    for (size_t i = 0; i < count; i++)
        for (int c = 0; c < channels; c++) *pixels++ = (uint8_t)(value + c);
}
