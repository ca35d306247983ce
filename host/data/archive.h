/* Sequential reading of archives and compressed files (gzip, bzip2, xz, zstd) with libarchive. Nothing is written to
 * disk, so hostile member names do no harm. Internal to host/data/. */
#ifndef PIXELRNN_DATA_ARCHIVE_H
#define PIXELRNN_DATA_ARCHIVE_H

#include "host/data/byte_source.h"
#include <stdbool.h>

typedef enum {
    PX_ARCHIVE_RAW, /* one member: the content of the file, unpacked if it is compressed */
    PX_ARCHIVE_TAR,
    PX_ARCHIVE_ZIP,
    PX_ARCHIVE_ZIP_UNCHECKED, /* checksums are not compared, so stored members can be skipped without reading them */
} px_archive_format;

enum { PX_ARCHIVE_HEAD = 512 };

typedef struct px_archive {
    struct archive *handle;
    px_archive_format format;
    const char *path;
    const px_byte_source *input; /* NULL: opened by path */
    const char *name;            /* of the current member, for messages; NULL: none */
    /* The first bytes of the current member, which px_archive_in_place has read and px_archive_read has not returned.
     */
    uint8_t head[PX_ARCHIVE_HEAD];
    size_t head_from, head_to;
} px_archive;

typedef struct px_member {
    const char *name; /* valid until the next member. May hold any bytes: pass it to px_archive_label to show it */
    size_t size;      /* of the content as the header states it; 0 for a raw member */
    bool sparse;      /* the stored bytes leave out holes */
} px_member;

enum { PX_LABEL = 512 };

/* Opens an archive. This and the functions below fail with PX_ERR_FILE if the archive cannot be read, with
 * PX_ERR_FORMAT if it is damaged, or with PX_ERR_MEMORY. input: its bytes, borrowed until it is closed; NULL: the file
 * at path, unpacked if it is compressed. path is used in messages, too, and not copied. */
px_status px_archive_open(px_context *ctx, px_archive_format format, const char *path, const px_byte_source *input,
                          px_archive *archive);

/* Moves to the next member that is a regular file; *found is false at the end. PX_ERR_FORMAT also if the member states
 * no size. In a zip, the members after a damaged one can still be read. */
px_status px_archive_next(px_context *ctx, px_archive *archive, px_member *member, bool *found);

/* Reads the next bytes of the member. *got is less than `bytes` only at its end. At the end of a zip's member its
 * checksum is compared: PX_ERR_FORMAT if it differs. */
px_status px_archive_read(px_context *ctx, px_archive *archive, void *to, size_t bytes, size_t *got);

/* Appends the rest of the member to the bytes in memory, at most limit + 1 bytes. Memory grows with what is read,
 * because the size that a header states may be wrong. capacity: the bytes allocated for memory->bytes. */
px_status px_archive_append(px_context *ctx, px_archive *archive, size_t limit, px_byte_source *memory,
                            size_t *capacity);

/* Finds out whether the member is stored uncompressed in input, and at which offset. Must be called before the member
 * is read; reading it then still begins with its first byte. */
px_status px_archive_in_place(px_context *ctx, px_archive *archive, const px_member *member, size_t *offset,
                              bool *in_place);
void px_archive_close(px_archive *archive);

/* Reads the content of path into memory, unpacked if it is compressed. PX_ERR_FILE if it cannot be read; PX_ERR_FORMAT
 * if it is damaged, or unpacks to more than `limit` bytes (the message then ends with `advice`); PX_ERR_MEMORY. After a
 * failure input is empty. */
px_status px_decompress(px_context *ctx, const char *path, size_t limit, const char *advice, px_byte_source *input);

/* Reads the first bytes of the content, up to `max_bytes`, into head, and their number into *size. */
px_status px_decompress_head(px_context *ctx, const char *path, size_t max_bytes, uint8_t *head, size_t *size);

/* Writes "path/name" for a message, or path if name is NULL. Control characters become '?'; long names lose their
 * beginning. Returns label. */
const char *px_archive_label(const char *path, const char *name, char label[PX_LABEL]);

/* Returns "gzip", "bzip2", "xz" or "zstd" if a file's first bytes are of that format, else NULL. */
const char *px_compression_of_bytes(const uint8_t *bytes, size_t size);

/* The part of name after its last slash. */
const char *px_archive_basename(const char *name);

#endif
