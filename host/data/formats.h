/* The kinds of source behind px_source_open: each recognises its own content and opens it. Internal to host/data/.
 *
 * To add a format that is read into memory: a pair of functions like idx's and a row in source.c's table. */
#ifndef PIXELRNN_DATA_FORMATS_H
#define PIXELRNN_DATA_FORMATS_H

#include "host/data/decompress.h"
#include "pixelrnn/source.h"
#include <stdbool.h>

/* Sizes of a source: images, rows, columns, channels. */
typedef struct px_extent {
    size_t count, height, width, channels;
} px_extent;

/* Whether a file that begins with these bytes is of the format. size may be 0. */
bool px_npy_recognise(const uint8_t *bytes, size_t size);
bool px_idx_recognise(const uint8_t *bytes, size_t size);
bool px_amat_recognise(const uint8_t *bytes, size_t size);

/* path, mapped. */
px_status px_npy_source_open(px_context *ctx, const char *path, px_source **source);

/* The whole content of path, whose memory they take over (and free if they fail). */
px_status px_idx_open(px_context *ctx, const char *path, px_contents contents, px_source **source);
px_status px_amat_open(px_context *ctx, const char *path, px_contents contents, px_source **source);

/* Procedural sets. PX_ERR_CONFIG if options->size does not suit them. */
px_status px_digits_open(px_context *ctx, const char *spec, const px_source_options *options, px_source **source);
px_status px_ising_open(px_context *ctx, const char *spec, const px_source_options *options, px_source **source);

/* --- What the kinds share ----------------------------------------------------------------------------------------- */

/* Allocates `bytes` for a struct that begins with its px_source, and fills in name and extent; the rest is zero.
 * PX_ERR_FORMAT unless the images have 1 or 3 channels and sides up to 32768. */
px_status px_source_create(px_context *ctx, size_t bytes, const char *name, px_extent extent, px_source **source);

/* A source over images that lie one after the other in contents.bytes, from `offset` on. Takes contents over (and frees
 * them if it fails). */
px_status px_memory_source_open(px_context *ctx, const char *path, px_contents contents, size_t offset,
                                px_extent extent, px_source **source);

/* PX_ERR_FORMAT unless no entry of shape is 0 and their product is the number of bytes found after the header. */
px_status px_shape_check(px_context *ctx, const char *path, const char *format, int dimensions, const size_t *shape,
                         size_t found);

static inline size_t px_source_image_bytes(const px_source *source) {
    return (size_t)source->height * (size_t)source->width * (size_t)source->channels;
}

/* The item that names an image of a procedural set in px_random. */
static inline uint64_t px_source_item(px_split split, size_t index) {
    return (uint64_t)split << 48 | index;
}

#endif
