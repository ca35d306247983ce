/* Reading archives with libarchive, and naming their members in messages. */
#include "host/data/archive.h"
#include <archive.h>
#include <archive_entry.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 1 << 16 };

/* Describes damage in plain words, by keywords of libarchive's message. */
static const char *describe_damage(const char *reason) {
    if (strstr(reason, "CRC") || strstr(reason, "hecksum")) return "a checksum that is not that of the data";
    if (strstr(reason, "runcated") || strstr(reason, "nexpected")) return "an end that comes too early";
    if (strstr(reason, "ncrypt") || strstr(reason, "assphrase")) return "encrypted data";
    if (strstr(reason, "nsupported") || strstr(reason, "not supported"))
        return "a kind of compression that is not read";
    return "data that cannot be unpacked";
}

/* Writes the message of a libarchive failure. An error of the operating system carries its errno, damage a code of
 * libarchive. name: the member that was read, or NULL. */
static px_status fail_archive(px_context *ctx, const px_archive *archive, const char *name) {
    char label[PX_LABEL];
    if (archive->input && px_byte_source_in_file(archive->input))
        PX_TRY(px_file_check(ctx, archive->path, &archive->input->file));
    int code = archive_errno(archive->handle);
    const char *reason = archive_error_string(archive->handle);
    if (code == ENOMEM) return px_fail_memory(ctx, archive->path, 0);
    if (code > 0 && code != EILSEQ && code != EINVAL)
        return px_fail(ctx, PX_ERR_FILE, "%s: cannot be read: %s", archive->path, strerror(code));
    return px_fail(ctx, PX_ERR_FORMAT, "%s: found damaged content (%s), expected a whole file",
                   px_archive_label(archive->path, name, label), describe_damage(reason ? reason : ""));
}

/* Opens the bytes of input or, unpacked, the file at path. A file of input is read through the position of its
 * descriptor, which nothing else uses; so only one archive may be open on an input at a time. */
static int open_bytes(struct archive *handle, const char *path, const px_byte_source *input) {
    if (input && px_byte_source_in_file(input)) {
        lseek(input->file.descriptor, 0, SEEK_SET);
        return archive_read_open_fd(handle, input->file.descriptor, BLOCK);
    }
    if (input) return archive_read_open_memory(handle, input->bytes, input->size);
    archive_read_support_filter_gzip(handle);
    archive_read_support_filter_bzip2(handle);
    archive_read_support_filter_xz(handle);
    archive_read_support_filter_zstd(handle);
    return archive_read_open_filename(handle, path, BLOCK);
}

px_status px_archive_open(px_context *ctx, px_archive_format format, const char *path, const px_byte_source *input,
                          px_archive *archive) {
    *archive = (px_archive){.handle = archive_read_new(), .format = format, .path = path, .input = input};
    if (!archive->handle) return px_fail_memory(ctx, path, 0);
    switch (format) {
    case PX_ARCHIVE_RAW:
        archive_read_support_format_raw(archive->handle);
        archive_read_support_format_empty(archive->handle);
        break;
    case PX_ARCHIVE_TAR: archive_read_support_format_tar(archive->handle); break;
    case PX_ARCHIVE_ZIP: archive_read_support_format_zip_seekable(archive->handle); break;
    case PX_ARCHIVE_ZIP_UNCHECKED:
        archive_read_support_format_zip_seekable(archive->handle);
        archive_read_set_format_option(archive->handle, "zip", "ignorecrc32", "1");
        break;
    }
    if (open_bytes(archive->handle, path, input) == ARCHIVE_OK) return PX_OK;
    px_status status = fail_archive(ctx, archive, NULL);
    px_archive_close(archive);
    return status;
}

px_status px_archive_next(px_context *ctx, px_archive *archive, px_member *member, bool *found) {
    archive->name = NULL;
    archive->head_from = archive->head_to = 0;
    for (;;) {
        struct archive_entry *entry;
        const int read = archive_read_next_header(archive->handle, &entry);
        *found = read == ARCHIVE_OK || read == ARCHIVE_WARN;
        if (!*found) return read == ARCHIVE_EOF ? PX_OK : fail_archive(ctx, archive, NULL);
        if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry)) continue;
        /* libarchive has the name in one form only if the locale cannot represent the other. */
        const char *name = archive_entry_pathname(entry);
        if (!name) name = archive_entry_pathname_utf8(entry);
        *member = (px_member){.name = name ? name : ""};
        if (archive_format(archive->handle) == ARCHIVE_FORMAT_RAW) return PX_OK;
        archive->name = member->name;
        if (!archive_entry_size_is_set(entry) || archive_entry_size(entry) < 0)
            return px_fail(ctx, PX_ERR_FORMAT, "%s: found a member without a size, expected one", archive->path);
        member->size = (size_t)archive_entry_size(entry);
        member->sparse = archive_entry_sparse_count(entry) > 0;
        return PX_OK;
    }
}

static px_status read_data(px_context *ctx, px_archive *archive, void *to, size_t bytes, size_t *got) {
    for (*got = 0; *got < bytes;) {
        la_ssize_t more = archive_read_data(archive->handle, (uint8_t *)to + *got, bytes - *got);
        if (more < 0) return fail_archive(ctx, archive, archive->name);
        if (more == 0) break;
        *got += (size_t)more;
    }
    return PX_OK;
}

px_status px_archive_read(px_context *ctx, px_archive *archive, void *to, size_t bytes, size_t *got) {
    size_t buffered = archive->head_to - archive->head_from, more;
    if (buffered > bytes) buffered = bytes;
    memcpy(to, archive->head + archive->head_from, buffered);
    archive->head_from += buffered;
    PX_TRY(read_data(ctx, archive, (uint8_t *)to + buffered, bytes - buffered, &more));
    *got = buffered + more;
    return PX_OK;
}

px_status px_archive_append(px_context *ctx, px_archive *archive, size_t limit, px_byte_source *memory,
                            size_t *capacity) {
    enum { PIECE = 1 << 20 };
    const size_t begin = memory->size;
    size_t piece, got;
    do {
        const size_t left = limit + 1 - (memory->size - begin);
        piece = left < PIECE ? left : PIECE;
        PX_TRY(px_grow(ctx, archive->path, memory->size + piece, 1, capacity, &memory->bytes));
        PX_TRY(px_archive_read(ctx, archive, memory->bytes + memory->size, piece, &got));
        memory->size += got;
    } while (got == piece && memory->size - begin <= limit);
    return PX_OK;
}

/* When libarchive returns the first block of a stored member, its position in the archive is where the member begins. A
 * member counts as stored if its first bytes equal the bytes at that position. */
px_status px_archive_in_place(px_context *ctx, px_archive *archive, const px_member *member, size_t *offset,
                              bool *in_place) {
    const px_byte_source *input = archive->input;
    uint8_t stored[PX_ARCHIVE_HEAD];
    size_t more = 0;
    *in_place = false;
    PX_TRY(read_data(ctx, archive, archive->head, 1, &archive->head_to));
    *offset = (size_t)archive_filter_bytes(archive->handle, 0);
    if (archive->head_to > 0) PX_TRY(read_data(ctx, archive, archive->head + 1, sizeof archive->head - 1, &more));
    archive->head_to += more;
    const size_t head = archive->head_to;
    if (!input || head == 0 || head > member->size || member->sparse || *offset > input->size ||
        input->size - *offset < member->size)
        return PX_OK;
    PX_TRY(px_byte_source_copy(ctx, archive->path, input, *offset, head, stored));
    *in_place = memcmp(archive->head, stored, head) == 0;
    return PX_OK;
}

void px_archive_close(px_archive *archive) {
    if (archive->handle) archive_read_free(archive->handle);
    archive->handle = NULL;
}

/* ---- Whole files ---- */

/* Opens a file and moves to its content; *found is false if it has none. */
static px_status open_content(px_context *ctx, const char *path, px_archive *archive, bool *found) {
    px_member member;
    PX_TRY(px_archive_open(ctx, PX_ARCHIVE_RAW, path, NULL, archive));
    const px_status status = px_archive_next(ctx, archive, &member, found);
    if (status != PX_OK) px_archive_close(archive);
    return status;
}

px_status px_decompress(px_context *ctx, const char *path, size_t limit, const char *advice, px_byte_source *input) {
    px_archive archive;
    size_t capacity = 0;
    bool found;
    *input = (px_byte_source){0};
    PX_TRY(open_content(ctx, path, &archive, &found));
    px_status status = PX_OK;
    if (found) status = px_archive_append(ctx, &archive, limit, input, &capacity);
    if (status == PX_OK && input->size > limit)
        status = px_fail(ctx, PX_ERR_FORMAT, "%s: found more than %zu bytes of content, expected at most that: %s",
                         path, limit, advice);
    px_archive_close(&archive);
    if (status != PX_OK) px_byte_source_free(input);
    return status;
}

px_status px_decompress_head(px_context *ctx, const char *path, size_t max_bytes, uint8_t *head, size_t *size) {
    px_archive archive;
    bool found;
    *size = 0;
    PX_TRY(open_content(ctx, path, &archive, &found));
    const px_status status = found ? px_archive_read(ctx, &archive, head, max_bytes, size) : PX_OK;
    px_archive_close(&archive);
    return status;
}

/* ---- Names ---- */

/* The last max_bytes characters of text, or all of it. */
static const char *tail(const char *text, size_t max_bytes) {
    size_t length = strlen(text);
    return length > max_bytes ? text + length - max_bytes : text;
}

const char *px_archive_label(const char *path, const char *name, char label[PX_LABEL]) {
    size_t max_bytes = name ? PX_LABEL / 2 - 8 : PX_LABEL - 8;
    const char *path_end = tail(path, max_bytes), *name_end = name ? tail(name, max_bytes) : NULL;
    int used = snprintf(label, PX_LABEL, "%s%s", path_end > path ? "..." : "", path_end);
    if (name) snprintf(label + used, PX_LABEL - (size_t)used, "/%s%s", name_end > name ? "..." : "", name_end);
    for (char *c = label; *c; c++)
        if (iscntrl((unsigned char)*c)) *c = '?';
    return label;
}

const char *px_compression_of_bytes(const uint8_t *bytes, size_t size) {
    static const struct {
        const char *name, *signature;
        size_t size;
    } formats[] = {
        {"gzip", "\x1f\x8b", 2}, {"bzip2", "BZh", 3}, {"xz", "\3757zXZ", 6}, {"zstd", "\x28\xb5\x2f\xfd", 4}};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (size >= formats[i].size && memcmp(bytes, formats[i].signature, formats[i].size) == 0)
            return formats[i].name;
    return NULL;
}

const char *px_archive_basename(const char *name) {
    const char *slash = strrchr(name, '/');
    return slash ? slash + 1 : name;
}
