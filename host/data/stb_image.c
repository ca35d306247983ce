/* stb_image, compiled once, for PNG and JPEG alone; its warnings are not ours.
 *
 * Version 2.27 reads Huffman tables that a hostile JPEG never defined: memory that begins as zeros makes them harmless.
 * It makes room for 2 GiB if a PNG of a few bytes says that so many follow, or unpacks to them: no image that we take
 * needs more than 1 GiB, 8 bytes for each of PX_IMAGE_PIXELS. */
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
