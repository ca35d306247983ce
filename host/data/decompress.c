/* Reading a whole file through libarchive, which unpacks gzip on the way and passes anything else through. */
#include "host/data/decompress.h"
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool px_gzip_recognise(const uint8_t *bytes, size_t size) {
    return size >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

/* Makes room for `room` bytes after those of contents. *capacity is what contents.bytes holds now. */
static px_status grow(px_context *ctx, const char *path, size_t room, size_t *capacity, px_contents *contents) {
    size_t wanted = contents->size + room;
    if (wanted <= *capacity) return PX_OK;
    if (wanted < 2 * *capacity) wanted = 2 * *capacity;
    uint8_t *bytes = realloc(contents->bytes, wanted);
    if (!bytes) return px_fail(ctx, PX_ERR_MEMORY, "%s: cannot hold %zu bytes of content in memory", path, wanted);
    contents->bytes = bytes;
    *capacity = wanted;
    return PX_OK;
}

/* Failures that libarchive takes from the operating system carry its errno, damage carries libarchive's own codes. */
static px_status fail_archive(px_context *ctx, const char *path, struct archive *archive) {
    int code = archive_errno(archive);
    const char *reason = archive_error_string(archive);
    if (code == ENOMEM) return px_fail(ctx, PX_ERR_MEMORY, "%s: not enough memory to read it", path);
    if (code > 0 && code != EILSEQ && code != EINVAL)
        return px_fail(ctx, PX_ERR_FILE, "%s: cannot be read: %s", path, strerror(code));
    return px_fail(ctx, PX_ERR_FORMAT, "%s: found damaged content (%s), expected a whole file", path,
                   reason ? reason : "no reason given");
}

static px_status read_all(px_context *ctx, const char *path, struct archive *archive, size_t limit,
                          px_contents *contents) {
    enum { CHUNK = 1 << 20 };
    size_t capacity = 0;
    for (;;) {
        PX_TRY(grow(ctx, path, CHUNK, &capacity, contents));
        la_ssize_t got = archive_read_data(archive, contents->bytes + contents->size, CHUNK);
        if (got < 0) return fail_archive(ctx, path, archive);
        if (got == 0) return PX_OK;
        contents->size += (size_t)got;
        if (contents->size > limit)
            return px_fail(ctx, PX_ERR_FORMAT, "%s: found more than %zu bytes of content, expected at most that", path,
                           limit);
    }
}

px_status px_decompress(px_context *ctx, const char *path, size_t limit, px_contents *contents) {
    *contents = (px_contents){0};
    struct archive *archive = archive_read_new();
    if (!archive) return px_fail(ctx, PX_ERR_MEMORY, "%s: not enough memory to read it", path);
    archive_read_support_filter_gzip(archive);
    archive_read_support_format_raw(archive);
    archive_read_support_format_empty(archive);

    struct archive_entry *entry;
    int opened = archive_read_open_filename(archive, path, 1 << 16);
    if (opened == ARCHIVE_OK) opened = archive_read_next_header(archive, &entry);
    px_status status = PX_OK;
    if (opened == ARCHIVE_OK)
        status = read_all(ctx, path, archive, limit, contents);
    else if (opened != ARCHIVE_EOF) /* which means that the content is empty */
        status = fail_archive(ctx, path, archive);
    archive_read_free(archive);
    if (status != PX_OK) {
        free(contents->bytes);
        *contents = (px_contents){0};
    }
    return status;
}
