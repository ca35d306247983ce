/* Archives and compressed files (gzip, bzip2, xz, zstd) through libarchive, read from the beginning on. Nothing is ever
 * written to disk, so what their members are called can do no harm. Internal to host/data/. */
#ifndef PIXELRNN_DATA_ARCHIVE_H
#define PIXELRNN_DATA_ARCHIVE_H

#include "host/data/byte_source.h"
#include <stdbool.h>

typedef enum {
    PX_ARCHIVE_RAW, /* one member: what the file holds, unpacked if it is compressed */
    PX_ARCHIVE_TAR,
    PX_ARCHIVE_ZIP,
    PX_ARCHIVE_ZIP_UNCHECKED, /* by its checksums: to find what is stored then reads none of it */
} px_archive_format;

enum { PX_ARCHIVE_HEAD = 512 };

typedef struct px_archive {
    struct archive *handle;
    px_archive_format format;
    const char *path;
    const px_byte_source *input; /* NULL: opened by its path */
    const char *name;            /* of the current member, for messages; NULL: none */
    /* Of the current member: its first bytes, read already by px_archive_in_place and not yet handed out. */
    uint8_t head[PX_ARCHIVE_HEAD];
    size_t head_from, head_to;
} px_archive;

typedef struct px_member {
    const char *name; /* valid until the next member; any bytes at all: px_archive_label before it is shown */
    size_t size;      /* of its content, as the archive says; of a raw member 0 */
    bool sparse;      /* what is stored leaves out holes */
} px_member;

enum { PX_LABEL = 512 };

/* PX_ERR_FILE if it cannot be read, PX_ERR_FORMAT if it is damaged, PX_ERR_MEMORY: so do all that follow.
 *   input  what is read, borrowed until it is closed; NULL: the file at path, unpacked if it is compressed
 *   path      for messages; not copied */
px_status px_archive_open(px_context *ctx, px_archive_format format, const char *path, const px_byte_source *input,
                          px_archive *archive);
/* Moves on to the next member that is a file. PX_ERR_FORMAT too if it does not say its size. In a zip, the members
 * after one that could not be read are found by its directory. */
px_status px_archive_next(px_context *ctx, px_archive *archive, px_member *member, bool *found);
/* Reads on in the member; fewer than `bytes` at its end only. The end of a zip's member is where its checksum is
 * compared: PX_ERR_FORMAT if it differs. */
px_status px_archive_read(px_context *ctx, px_archive *archive, void *to, size_t bytes, size_t *got);
/* Whether the member's bytes lie in the input as they are, and where. To be asked before the member is read, which
 * then begins with its first byte all the same. */
px_status px_archive_in_place(px_context *ctx, px_archive *archive, const px_member *member, size_t *offset,
                              bool *in_place);
void px_archive_close(px_archive *archive);

/* path/name for a message, or path alone if name is NULL: on one line, and cut in front to fit. */
const char *px_archive_label(const char *path, const char *name, char label[PX_LABEL]);
/* "gzip", "bzip2", "xz" or "zstd" if a file's first bytes are of that format, else NULL. */
const char *px_compression_of_bytes(const uint8_t *bytes, size_t size);

/* What follows the last slash of name. */
const char *px_archive_basename(const char *name);

#endif
