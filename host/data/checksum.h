/* Checksums that lie beside files. Internal to host/data/. */
#ifndef PIXELRNN_DATA_CHECKSUM_H
#define PIXELRNN_DATA_CHECKSUM_H

#include "host/data/byte_source.h"

/* Compares the CRC-32 of the .npy file at path, which input hold open, with the one in path.sfv, as px_pack writes
 * it (a line "NAME CRC32"; lines that begin with ; are comments). Nothing is compared if there is no such file, or if
 * path does not end in .npy. This is done before the first image is read. The whole file is read for it, by all
 * threads: 0.15 s for 400 MB in the page cache on one core, 0.08 s on two. PX_ERR_FORMAT if they differ, or if path.sfv
 * has no checksum of this file. */
px_status px_checksum_check(px_context *ctx, const char *path, const px_byte_source *input);

#endif
