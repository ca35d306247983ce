/* A look at a JPEG's Huffman tables before stb_image reads them. Internal to host/data/. */
#ifndef PIXELRNN_DATA_JPEG_TABLES_H
#define PIXELRNN_DATA_JPEG_TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether no table has more than the 256 symbols that there are. stb_image 2.27 writes beyond its arrays for one that
 * claims more. True of anything that is no JPEG. */
bool px_jpeg_tables_fit(const uint8_t *bytes, size_t size);

#endif
