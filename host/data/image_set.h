/* Sets of PNG and JPEG files, in a folder or an archive, as images of one size. Internal to host/data/. */
#ifndef PIXELRNN_DATA_IMAGE_SET_H
#define PIXELRNN_DATA_IMAGE_SET_H

#include "host/data/archive.h"
#include "host/data/formats.h"
#include "host/data/image_format.h"

/* An encoded image, and its name in messages. */
typedef struct px_encoded {
    const uint8_t *bytes;
    size_t size;
    uint8_t *owned; /* memory that px_encoded_free frees, or NULL */
    char name[PX_LABEL];
} px_encoded;

void px_encoded_free(px_encoded *encoded);

typedef struct px_image_set px_image_set;
struct px_image_set {
    px_source base;
    bool resize; /* images are resized to the size in base; otherwise they must have that size */
    /* Loads an encoded image. Several threads may call it at the same time. After PX_ERR_FORMAT other images can still
     * be loaded. */
    px_status (*load)(px_image_set *set, px_context *ctx, size_t index, px_encoded *encoded);
};

/* Returns whether a file of this name belongs to a set: it ends in .png, .jpg or .jpeg and does not begin with a dot.
 */
static inline bool px_image_named(const char *name) { return px_image_is_read(px_image_format_of_name(name)); }

/* Allocates a struct of `bytes` that begins with a px_image_set, with the size and channels of options. The caller then
 * finds the images, fills in load, base.close, base.count and base.left_out, and calls px_image_set_measure. */
px_status px_image_set_create(px_context *ctx, size_t bytes, const char *path, const px_source_options *options,
                              px_image_set **set);

/* Sets base.read and, if options->size was 0, takes the size from the first image that can be decoded. PX_ERR_FORMAT if
 * the set has no images, or none can be decoded. */
px_status px_image_set_measure(px_context *ctx, px_image_set *set);

/* Returns PX_ERR_FORMAT: none of count images can be decoded. first holds the message of the first one. */
px_status px_fail_none_readable(px_context *ctx, const char *path, size_t count, const px_context *first);

/* Decodes an image and returns its size. Fails as px_image_decode does. */
px_status px_encoded_measure(px_context *ctx, const px_encoded *encoded, int *height, int *width);

/* Decodes an image to pixels, base.height * base.width * base.channels bytes. PX_ERR_FORMAT if it is damaged, or
 * smaller than the size to resize to. PX_ERR_SHAPE if sets are not resized, and its size is not that of the first
 * image. */
px_status px_image_set_decode(px_context *ctx, const px_image_set *set, const px_encoded *encoded, uint8_t *pixels);

#endif
