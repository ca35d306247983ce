/* Names the kind of a file by its first bytes, for messages about a file of the wrong kind. */
#ifndef PIXELRNN_BASE_FILE_KIND_H
#define PIXELRNN_BASE_FILE_KIND_H

#include <stddef.h>
#include <stdint.h>

/* Bytes at the beginning of a file that px_file_kind examines. */
enum { PX_FILE_KIND_BYTES = 512 };

/* Returns a phrase for a message, such as "a zip archive (...)", or NULL if the kind is unknown. bytes: the first
 * `size` bytes of the file, of which at most PX_FILE_KIND_BYTES are read. */
const char *px_file_kind(const uint8_t *bytes, size_t size);

#endif
