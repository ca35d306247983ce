/* The implementation of stb_image, for PNG and JPEG alone, without warnings.
 *
 * Version 2.27 may read Huffman tables that a hostile JPEG did not define, so memory is allocated as zeros. It
 * allocates up to 2 GiB if a small PNG states or unpacks to so much. An image of at most PX_IMAGE_PIXELS pixels never
 * needs more than 1 GiB, 8 bytes a pixel, so larger requests fail. */
#include <stdlib.h>
#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#define STBI_MAX_DIMENSIONS    32768
#define STBI_MALLOC(size)      calloc(1, size)
#define STBI_REALLOC(at, size) ((size) > (1 << 30) ? NULL : realloc(at, size))
#define STBI_FREE(at)          free(at)
#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#endif
#include <stb/stb_image.h>
