/* Sets of images that are files of their own, in a folder or an archive, brought to one size. Internal to host/data/.
 */
#ifndef PIXELRNN_DATA_IMAGE_SET_H
#define PIXELRNN_DATA_IMAGE_SET_H

#include "host/data/archive.h"
#include "host/data/formats.h"
#include "host/data/image_format.h"

/* An image as it is stored, and what to call it. */
typedef struct px_encoded {
    const uint8_t *bytes;
    size_t size;
    uint8_t *owned; /* NULL, or memory that px_encoded_free frees */
    char name[PX_LABEL];
} px_encoded;

void px_encoded_free(px_encoded *encoded);

typedef struct px_image_set px_image_set;
struct px_image_set {
    px_source base;
    bool resize; /* images become as large as base says; else they must be so */
    /* From several threads at once. PX_ERR_FORMAT: others may be loaded. */
    px_status (*load)(px_image_set *set, px_context *ctx, size_t index, px_encoded *encoded);
};

/* Whether a file of this name belongs to a set: it ends in .png, .jpg or .jpeg, and does not begin with a dot. */
static inline bool px_image_named(const char *name) {
    return px_image_is_read(px_image_format_of_name(name));
}

/* Creates a set of `bytes` with base's sizes as options want them; where they leave the size open it is
 * px_image_set_measure's to find. left_out becomes base's. PX_ERR_FORMAT if count is 0. */
px_status px_image_set_create(px_context *ctx, size_t bytes, const char *path, size_t count,
                              const size_t left_out[PX_FORMATS_LEFT_OUT], const px_source_options *options,
                              px_image_set **set);

/* Once load is filled in: takes an open size from the first image that can be decoded, and fills in base.read. */
px_status px_image_set_measure(px_context *ctx, px_image_set *set);

/* PX_ERR_FORMAT: none of count images can be decoded. first: the first one's message. */
px_status px_fail_none_readable(px_context *ctx, const char *path, size_t count, const px_context *first);

/* The size of an image if it can be decoded; else as px_image_decode fails. */
px_status px_encoded_measure(px_context *ctx, const px_encoded *encoded, int *height, int *width);

/* Decodes an image to base.height * base.width * base.channels pixels. PX_ERR_FORMAT if it is damaged, or smaller than
 * the size it is to have; PX_ERR_SHAPE if none was asked for, and it has another than the first. */
px_status px_image_set_decode(px_context *ctx, const px_image_set *set, const px_encoded *encoded, uint8_t *pixels);

#endif
