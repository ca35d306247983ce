/* The kinds of source behind px_source_open: each recognises its own content and opens it. Internal to host/data/.
 *
 * To add a format: a pair of functions like idx's and a row in source.c's table. */
#ifndef PIXELRNN_DATA_FORMATS_H
#define PIXELRNN_DATA_FORMATS_H

#include "host/data/byte_source.h"
#include "host/data/name_list.h"
#include "pixelrnn/source.h"
#include <stdbool.h>

enum { PX_MAX_SIDE = 32768 }; /* of an image, in pixels */

/* The most that is unpacked into memory. */
static const size_t px_memory_limit = (size_t)4 << 30;

/* Whether a file of `size` bytes is of the format. bytes are its first 512, or all if there are fewer. */
bool px_npy_recognise(const uint8_t *bytes, size_t size);
bool px_zip_recognise(const uint8_t *bytes, size_t size);
bool px_compressed_recognise(const uint8_t *bytes, size_t size);
bool px_tar_recognise(const uint8_t *bytes, size_t size);
bool px_idx_recognise(const uint8_t *bytes, size_t size);
bool px_amat_recognise(const uint8_t *bytes, size_t size);
bool px_cifar_recognise(const uint8_t *bytes, size_t size);

/* Opens what path holds. They take input over, and free them if they fail. */
typedef px_status px_format_open(px_context *ctx, const char *path, px_byte_source input,
                                 const px_source_options *options, px_source **source);
px_format_open px_npy_source_open, px_npz_open, px_idx_open, px_amat_open, px_cifar_open;

/* A folder of images. */
px_status px_folder_open(px_context *ctx, const char *path, const px_source_options *options, px_source **source);

/* Appends to paths the array files of a folder that belong to a split, in natural order of their names (batch 2 before
 * batch 10). paths stays empty if the folder has no array files. PX_ERR_FORMAT if it has some, but none of the split.
 */
px_status px_array_folder_list(px_context *ctx, const char *folder, px_split split, px_name_list *paths);

/* Procedural sets. PX_ERR_CONFIG if options->size does not suit them. */
px_status px_digits_open(px_context *ctx, const char *spec, const px_source_options *options, px_source **source);
px_status px_ising_open(px_context *ctx, const char *spec, const px_source_options *options, px_source **source);

/* What the kinds share. ----------------------------------------------------------------------------------------------
 */

/* Sizes of a source: images, rows, columns, channels. */
typedef struct px_extent {
    size_t count, height, width, channels;
} px_extent;

/* Allocates `bytes` for a struct that begins with its px_source, and fills in name and extent; the rest is zero.
 * PX_ERR_FORMAT unless the images have 1 or 3 channels and sides up to 32768. */
px_status px_source_create(px_context *ctx, size_t bytes, const char *name, px_extent extent, px_source **source);

/* Images that lie one after the other. */
typedef struct px_array {
    px_extent extent;
    size_t offset, stride; /* bytes: of the first image, and from one to the next */
    bool planes;           /* [C, H, W], not [H, W, C] */
    bool binary;           /* a byte is 0 or not: black or white */
    bool fortran;          /* the image index runs fastest, then inner[0], inner[1], inner[2] */
    size_t inner[3];       /* of an array in Fortran order: its shape without N, filled up with 1 */
} px_array;

/* Images [N, H, W, C] or [N, H, W], without gaps. */
px_array px_array_plain(int dimensions, const size_t *shape, size_t offset);

/* A source over an array in input. Takes input over, and frees them if it fails. */
px_status px_array_open(px_context *ctx, const char *path, px_byte_source input, const px_array *array,
                        px_source **source);

/* The stored bytes of an image to pixels [H, W, C]. The two may be the same memory unless the array is in planes. */
void px_array_decode(const px_array *array, const uint8_t *stored, uint8_t *pixels);

/* Options' values (px_values). check reads the images that it needs, *seen of them, and fails with PX_ERR_CONFIG if the
 * bytes seem to be levels. apply makes *source one that gives intensities; a failure leaves it as it was. */
px_status px_values_check(px_context *ctx, px_source *source, const px_source_options *options, size_t *seen);
px_status px_values_apply(px_context *ctx, const px_source_options *options, px_source **source);

/* PX_ERR_FORMAT unless no entry of shape is 0 and their product is the number of bytes found after the header. */
px_status px_shape_check(px_context *ctx, const char *path, const char *format, int dimensions, const size_t *shape,
                         size_t found);

/* The side of a square of so many pixels, or 0 if there is none. */
size_t px_square_side(size_t pixels);

static inline size_t px_source_image_bytes(const px_source *source) {
    return (size_t)source->height * (size_t)source->width * (size_t)source->channels;
}

/* The item that names an image of a procedural set in px_random. */
static inline uint64_t px_source_item(px_split split, size_t index) {
    return (uint64_t)split << 48 | index;
}

#endif
