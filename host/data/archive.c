/* Reading archives. */
#include "host/data/archive.h"
#include <archive.h>
#include <archive_entry.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 1 << 16 };

/* Failures that libarchive takes from the operating system carry its errno, damage carries libarchive's own codes. */
static px_status fail_archive(px_context *ctx, const px_archive *archive) {
    if (archive->contents) PX_TRY(px_contents_check(ctx, archive->path, archive->contents));
    int code = archive_errno(archive->handle);
    const char *reason = archive_error_string(archive->handle);
    if (!reason) reason = "no reason given";
    if (code == ENOMEM) return px_fail(ctx, PX_ERR_MEMORY, "%s: not enough memory to read it", archive->path);
    if (code > 0 && code != EILSEQ && code != EINVAL)
        return px_fail(ctx, PX_ERR_FILE, "%s: cannot be read: %s", archive->path, strerror(code));
    return px_fail(ctx, PX_ERR_FORMAT, "%s: found damaged content (%.*s), expected a whole file", archive->path,
                   (int)strcspn(reason, "\n"), reason);
}

/* Contents in a file are read through its descriptor, whose own place nothing else uses: one archive at a time. */
static int open_bytes(struct archive *handle, const px_contents *contents) {
    if (!px_contents_in_file(contents)) return archive_read_open_memory(handle, contents->bytes, contents->size);
    lseek(contents->file.descriptor, 0, SEEK_SET);
    return archive_read_open_fd(handle, contents->file.descriptor, BLOCK);
}

px_status px_archive_open(px_context *ctx, px_archive_format format, const char *path, const px_contents *contents,
                          px_archive *archive) {
    *archive = (px_archive){archive_read_new(), path, contents};
    if (!archive->handle) return px_fail(ctx, PX_ERR_MEMORY, "%s: not enough memory to read it", path);
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
    if (!contents) archive_read_support_filter_gzip(archive->handle);
    int opened = contents ? open_bytes(archive->handle, contents)
                          : archive_read_open_filename(archive->handle, path, BLOCK);
    if (opened == ARCHIVE_OK) return PX_OK;
    px_status status = fail_archive(ctx, archive);
    px_archive_close(archive);
    return status;
}

/* A name may be held in one form only, where the locale cannot spell the other. */
static const char *name_of(struct archive_entry *entry) {
    const char *name = archive_entry_pathname(entry);
    if (!name) name = archive_entry_pathname_utf8(entry);
    return name ? name : "";
}

px_status px_archive_next(px_context *ctx, px_archive *archive, px_member *member, bool *found) {
    for (;;) {
        struct archive_entry *entry;
        int read = archive_read_next_header(archive->handle, &entry);
        *found = read != ARCHIVE_EOF;
        if (!*found) return PX_OK;
        if (read != ARCHIVE_OK && read != ARCHIVE_WARN) return fail_archive(ctx, archive);
        if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry)) continue;
        bool raw = archive_format(archive->handle) == ARCHIVE_FORMAT_RAW;
        *member = (px_member){.name = name_of(entry), .header = (size_t)archive_read_header_position(archive->handle)};
        if (raw) return PX_OK;
        if (!archive_entry_size_is_set(entry) || archive_entry_size(entry) < 0)
            return px_fail(ctx, PX_ERR_FORMAT, "%s: found a member without a size, expected one", archive->path);
        member->size = (size_t)archive_entry_size(entry);
        member->sparse = archive_entry_sparse_count(entry) > 0;
        return PX_OK;
    }
}

px_status px_archive_read(px_context *ctx, px_archive *archive, void *to, size_t bytes, size_t *got) {
    for (*got = 0; *got < bytes;) {
        la_ssize_t more = archive_read_data(archive->handle, (uint8_t *)to + *got, bytes - *got);
        if (more < 0) return fail_archive(ctx, archive);
        if (more == 0) break;
        *got += (size_t)more;
    }
    return PX_OK;
}

/* Where libarchive stands when it hands out the first block is where a stored member begins. That it is stored is told by
 * the block: what lies there is the same. */
px_status px_archive_in_place(px_context *ctx, px_archive *archive, const px_member *member, size_t *offset,
                              bool *in_place) {
    const px_contents *contents = archive->contents;
    const size_t size = member->size;
    const void *block;
    uint8_t stored[512];
    size_t found;
    la_int64_t position;
    int read = archive_read_data_block(archive->handle, &block, &found, &position);
    if (read != ARCHIVE_OK && read != ARCHIVE_EOF) return fail_archive(ctx, archive);
    *offset = (size_t)archive_filter_bytes(archive->handle, 0);
    *in_place = read == ARCHIVE_OK && position == 0 && !member->sparse && *offset <= contents->size &&
                contents->size - *offset >= size;
    if (!*in_place) return PX_OK;
    if (found > sizeof stored) found = sizeof stored;
    if (found > size) found = size;
    PX_TRY(px_contents_copy(ctx, archive->path, contents, *offset, found, stored));
    *in_place = memcmp(block, stored, found) == 0;
    return PX_OK;
}

void px_archive_close(px_archive *archive) {
    if (archive->handle) archive_read_free(archive->handle);
    archive->handle = NULL;
}

/* The end of text, where it is longer than `most`. */
static const char *tail(const char *text, size_t most) {
    size_t length = strlen(text);
    return length > most ? text + length - most : text;
}

const char *px_archive_label(const char *path, const char *name, char label[PX_LABEL]) {
    size_t most = name ? PX_LABEL / 2 - 8 : PX_LABEL - 8;
    const char *path_end = tail(path, most), *name_end = name ? tail(name, most) : NULL;
    int used = snprintf(label, PX_LABEL, "%s%s", path_end > path ? "..." : "", path_end);
    if (name) snprintf(label + used, PX_LABEL - (size_t)used, "/%s%s", name_end > name ? "..." : "", name_end);
    for (char *c = label; *c; c++)
        if (iscntrl((unsigned char)*c)) *c = '?';
    return label;
}

const char *px_archive_basename(const char *name) {
    const char *slash = strrchr(name, '/');
    return slash ? slash + 1 : name;
}
