/* Checksums that lie beside files. Internal to host/data/. */
#ifndef PIXELRNN_DATA_CHECKSUM_H
#define PIXELRNN_DATA_CHECKSUM_H

#include "host/data/contents.h"

/* Compares the CRC-32 of the file at path, which contents hold open, with the one in path.sfv, as px_pack writes it (a line
 * "NAME CRC32"; lines that begin with ; are comments). Nothing is compared if there is no such file. The whole file is read,
 * by all threads. PX_ERR_FORMAT if they differ, or if path.sfv names no checksum of this file. */
px_status px_checksum_check(px_context *ctx, const char *path, const px_contents *contents);

#endif
