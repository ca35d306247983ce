/* Reading a whole file with libarchive, which unpacks gzip, bzip2, xz and zstd and returns other content unchanged. */
#include "host/data/decompress.h"
#include "host/data/archive.h"

static px_status read_all(px_context *ctx, px_archive *archive, size_t limit, const char *advice,
                          px_byte_source *input) {
    enum { CHUNK = 1 << 20 };
    size_t capacity = 0, got;
    do {
        PX_TRY(px_byte_source_reserve(ctx, archive->path, CHUNK, &capacity, input));
        PX_TRY(px_archive_read(ctx, archive, input->bytes + input->size, CHUNK, &got));
        input->size += got;
        if (input->size > limit)
            return px_fail(ctx, PX_ERR_FORMAT, "%s: found more than %zu bytes of content, expected at most that: %s",
                           archive->path, limit, advice);
    } while (got == CHUNK);
    return PX_OK;
}

px_status px_decompress(px_context *ctx, const char *path, size_t limit, const char *advice, px_byte_source *input) {
    px_archive archive;
    px_member member;
    bool found;
    *input = (px_byte_source){0};
    PX_TRY(px_archive_open(ctx, PX_ARCHIVE_RAW, path, NULL, &archive));
    px_status status = px_archive_next(ctx, &archive, &member, &found);
    if (status == PX_OK && found) status = read_all(ctx, &archive, limit, advice, input);
    px_archive_close(&archive);
    if (status != PX_OK) px_byte_source_free(input);
    return status;
}

px_status px_decompress_head(px_context *ctx, const char *path, size_t max_bytes, uint8_t *head, size_t *size) {
    px_archive archive;
    px_member member;
    bool found;
    *size = 0;
    PX_TRY(px_archive_open(ctx, PX_ARCHIVE_RAW, path, NULL, &archive));
    px_status status = px_archive_next(ctx, &archive, &member, &found);
    if (status == PX_OK && found) status = px_archive_read(ctx, &archive, head, max_bytes, size);
    px_archive_close(&archive);
    return status;
}
