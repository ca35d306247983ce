/* Image sources: anything that holds N images of one size, read by index.
 *
 * A spec is a path (.npy, MNIST idx and idx.gz, binarised MNIST .amat and .amat.gz) or builtin:NAME (digits, ising).
 * The format is told by content, not by the name, where the content can tell. Images are uint8, [H, W, C]; sets that
 * are binary by nature (.amat, ising) give 0 and 255. */
#ifndef PIXELRNN_SOURCE_H
#define PIXELRNN_SOURCE_H

#include "pixelrnn/status.h"
#include <stddef.h>
#include <stdint.h>

/* Procedural sets draw different images for training and for testing. */
typedef enum { PX_SPLIT_TRAIN, PX_SPLIT_TEST } px_split;

typedef struct px_source_options {
    px_split split;
    int size;      /* side in pixels of procedural images: digits 8..64, ising 2..16 */
    uint64_t seed; /* of procedural images */
} px_source_options;

typedef struct px_source px_source;

/* What every kind of source fills in; host/data/ has one file a kind. */
struct px_source {
    char name[1024]; /* the spec, for messages */
    size_t count;    /* images, at least 1 */
    int height, width, channels;
    double entropy; /* exact nats per image where the truth is known (builtin:ising), else 0 */
    /* Copies image `index` < count to pixels, height * width * channels bytes. May be called from any one thread at a
     * time. PX_ERR_FILE if the file behind it shrank. */
    px_status (*read)(px_source *source, px_context *ctx, size_t index, uint8_t *pixels);
    void (*close)(px_source *source); /* frees source itself */
};

/* Opens the source that spec names; options may be NULL for a path. PX_ERR_FILE or PX_ERR_FORMAT: one line naming the
 * file, what was found, what was expected. PX_ERR_CONFIG: there is no such builtin, or none of that size.
 * Close with px_source_close (NULL is allowed). */
px_status px_source_open(px_context *ctx, const char *spec, const px_source_options *options, px_source **source);
void px_source_close(px_source *source);

/* Several sources as one, their images in the order given; with one, that one. The result owns them; on failure
 * (PX_ERR_MEMORY, or PX_ERR_CONFIG for images of different sizes) they stay the caller's. */
px_status px_source_join(px_context *ctx, px_source **parts, int count, px_source **joined);

#endif
