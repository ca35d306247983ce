/* A whole source into one .npy file, and its checksum beside it. */
#ifndef PIXELRNN_DATA_PACK_H
#define PIXELRNN_DATA_PACK_H

#include "pixelrnn/source.h"
#include "pixelrnn/stop.h"

/* Told of what goes on, from the calling thread, in the source's order; and asked whether to stop. */
typedef struct px_pack_callbacks {
    void *user;
    void (*done)(void *user, size_t images);                    /* of the source's images, so many are through */
    void (*skipped)(void *user, size_t index, const char *why); /* why: a line that names the image */
    px_stop *stop;                                              /* polled before each window of images; NULL: never */
} px_pack_callbacks;

typedef struct px_packed {
    size_t images, skipped;
    uint32_t crc32; /* of the file */
} px_packed;

/* Writes the source's images to path, uint8 [N, H, W, C], in their order; several threads read a concurrent source.
 * Images whose read is PX_ERR_FORMAT are left out and told of, anything else ends it: unequal sizes too. The memory it
 * takes does not grow with the source. path appears whole or not at all; after it path.sfv, a line "NAME CRC32" as
 * `cksfv` and `rhash -c` read it. After a failure, or stopped, both are as they were. PX_ERR_FORMAT if no image could
 * be read. */
px_status px_pack(px_context *ctx, px_source *source, const char *path, const px_pack_callbacks *callbacks,
                  px_packed *packed);

#endif
