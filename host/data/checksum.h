/* Verifying a .npy file with the checksum file beside it. Internal to host/data/. */
#ifndef PIXELRNN_DATA_CHECKSUM_H
#define PIXELRNN_DATA_CHECKSUM_H

#include "host/data/byte_source.h"

/* Compares the CRC-32 of the .npy file at path, whose bytes are input, with the one in path.sfv. px_pack writes that
 * file: a line "NAME CRC32"; lines that begin with ; are comments. Nothing is compared if there is no such file, or
 * path does not end in .npy. PX_ERR_FORMAT if the checksums differ, or path.sfv has no line for this file.
 *
 * All threads read the whole file: 0.15 s for 400 MB in the page cache on one core, 0.08 s on two. */
px_status px_checksum_check(px_context *ctx, const char *path, const px_byte_source *input);

#endif
