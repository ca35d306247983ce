/* The kind of a file, for messages about one of the wrong kind. */
#ifndef PIXELRNN_BASE_FILE_KIND_H
#define PIXELRNN_BASE_FILE_KIND_H

#include <stddef.h>
#include <stdint.h>

/* Bytes at the beginning of a file that px_file_kind looks at. */
enum { PX_FILE_KIND_BYTES = 512 };

/* A phrase for a message, such as "a zip archive (...)", by the first `size` bytes of a file: at most
 * PX_FILE_KIND_BYTES of them, or all. NULL if the kind is unknown. */
const char *px_file_kind(const uint8_t *bytes, size_t size);

#endif
