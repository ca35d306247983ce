/* Writing the images of a source to one .npy file, their labels to another, and the checksums of both to a third. */
#ifndef PIXELRNN_DATA_PACK_H
#define PIXELRNN_DATA_PACK_H

#include "pixelrnn/source.h"
#include "pixelrnn/stop.h"

/* Callbacks of px_pack, called by the calling thread in the order of the images. */
typedef struct px_pack_callbacks {
    void *user;
    void (*done)(void *user, size_t images);                    /* so many images were written or skipped */
    void (*skipped)(void *user, size_t index, const char *why); /* why: a message that names the image */
    px_stop *stop;                                              /* polled before each window of images, or NULL */
} px_pack_callbacks;

typedef struct px_packed {
    size_t images, skipped;
    uint32_t crc32; /* of the file */
} px_packed;

/* Images first .. first + count - 1 of a source, in which they must lie. */
typedef struct px_pack_range {
    size_t first, count;
} px_pack_range;

/* Writes a range of the source's images in order to path as uint8 [N, H, W, C]. Several threads read a concurrent
 * source. Memory does not grow with the number of images.
 *
 * An image whose read fails with PX_ERR_FORMAT is skipped and reported; any other failure ends the call. PX_ERR_FORMAT
 * if no image could be read. path is written under a temporary name and renamed, then path.sfv: a line "NAME CRC32",
 * which `cksfv` and `rhash -c` read.
 *
 * If the source has labels, those of the written images go to FILE.labels.npy for FILE.npy, uint16 [N], with a line of
 * its own in path.sfv. If it has none and that file exists, the call fails with PX_ERR_FILE. After a failure or a stop
 * all files are unchanged. */
px_status px_pack(px_context *ctx, px_source *source, px_pack_range range, const char *path,
                  const px_pack_callbacks *callbacks, px_packed *packed);

#endif
