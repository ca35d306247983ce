/* The formats behind px_source_open, and the functions that they share. Internal to host/data/.
 *
 * The files of host/data/ form layers. A file calls files of its own and of lower layers, and no chain of calls leads
 * back to a file (a source's read and close, which px_source holds, excepted):
 *
 *   open        source.c recognises the format of a file and opens it, and opens lists of sources
 *   adapters    join.c, convert.c and values.c (bytes that are levels) make sources of sources
 *   formats     one file each: npy_header.c, npz_source.c, idx_source.c, amat_source.c, cifar_source.c,
 *               archive_source.c and archive_stream.c (images in tars and zips), folder_source.c, array_folder.c (the
 *               array files of a folder), digits.c and ising.c (generated); labels.c (files of labels) and
 *               folder_labels.c (folders as labels)
 *   images      image_set.c: PNG and JPEG files resized to one size; array_source.c: images at equal distances
 *   decoding    image.c over stb_image.c, png.c, jpeg.c, image_format.c; npy.c
 *   files       byte_source.c, archive.c (libarchive), checksum.c, source_base.c
 *
 * The users of sources, loader.c (with augment.c, permute.c), condition.c, pack.c and digest.c, only call
 * px_source.read and read its fields.
 *
 * To add a format:
 *   1. Write FORMAT_source.c with px_FORMAT_recognise, which looks at the first 512 bytes, and px_FORMAT_open. If its
 *      images lie at equal distances, px_FORMAT_open parses the header into a px_array and calls px_array_open;
 *      idx_source.c is an example. Otherwise it calls px_source_create and fills in read and close.
 *   2. Declare both below, and add a row to the table `formats` in source.c.
 *   3. If the format has labels, read them if options->labels is set, and call px_source_set_labels. Files without any
 *      are labelled by a file beside them (px_labels_beside).
 *   4. Name the format in pixelrnn/source.h, in source.c's fail_unknown and in configs/README.md.
 *   5. Test good and malformed files (tests/unit/test_data_FORMAT.c), and add a seed for the fuzzer
 *      (tests/fuzz/make_corpus.py). */
#ifndef PIXELRNN_DATA_FORMATS_H
#define PIXELRNN_DATA_FORMATS_H

#include "host/data/archive.h"
#include "pixelrnn/source.h"
#include <stdbool.h>

/* A list of names, in two arrays so that millions of names need little memory. All zero: an empty list. */
typedef struct px_name_list {
    char *text; /* the names, each terminated by a zero */
    size_t used, text_capacity;
    size_t *start; /* the offset of each name in text */
    size_t count, capacity;
} px_name_list;

/* Appends a copy of name. owner stands in the message of PX_ERR_MEMORY. */
px_status px_name_list_add(px_context *ctx, const char *owner, const char *name, px_name_list *names);
void px_name_list_free(px_name_list *names);

/* The name at `index` < count; valid until the next name is added. */
static inline const char *px_name_list_at(const px_name_list *names, size_t index) {
    return names->text + names->start[index];
}

enum { PX_MAX_SIDE = 32768 }; /* of an image, in pixels */

/* The maximum number of bytes that is unpacked into memory. */
static const size_t px_memory_limit = (size_t)4 << 30;

/* Returns whether a file of `size` bytes has the format. bytes are the first 512 of them, or all if there are fewer. */
bool px_npy_recognise(const uint8_t *bytes, size_t size);
bool px_zip_recognise(const uint8_t *bytes, size_t size);
bool px_tar_recognise(const uint8_t *bytes, size_t size);
bool px_idx_recognise(const uint8_t *bytes, size_t size);
bool px_amat_recognise(const uint8_t *bytes, size_t size);
bool px_cifar_recognise(const uint8_t *bytes, size_t size);

/* Opens the file at path, whose bytes are input. A source that needs them later takes them out of input
 * (px_byte_source_take); the caller frees what is left, also after a failure. */
typedef px_status px_format_open(px_context *ctx, const char *path, px_byte_source *input,
                                 const px_source_options *options, px_source **source);
px_format_open px_npy_source_open, px_npz_open, px_idx_open, px_amat_open, px_cifar_open;

/* Opens a folder of PNG and JPEG files. PX_ERR_FORMAT if it has none. */
px_status px_folder_open(px_context *ctx, const char *path, const px_source_options *options, px_source **source);

/* Opens a tar or a zip whose images are read in any order.
 *   file  its bytes, which are taken out of it if some are read later; empty: a compressed tar, read by its path */
px_status px_archive_source_open(px_context *ctx, px_archive_format format, const char *path, px_byte_source *file,
                                 const px_source_options *options, px_source **source);

/* Opens a compressed tar or a zip whose images are read in order, in constant memory. If there are no images in it,
 * returns PX_OK and leaves *source unchanged. */
px_status px_archive_stream_open(px_context *ctx, px_archive_format format, const char *path,
                                 const px_source_options *options, px_source **source);

/* Finds out whether a zip is a set of images: it has image files, of any format, and no .npy. */
px_status px_zip_holds_images(px_context *ctx, const char *path, const px_byte_source *zip, bool *has_images);

/* Appends to paths the array files of a folder that belong to a split, in natural order of their names (batch 2 before
 * batch 10). paths stays empty if the folder has no array files. PX_ERR_FORMAT if it has some, but none of the split.
 */
px_status px_array_folder_list(px_context *ctx, const char *folder, px_split split, px_name_list *paths);

/* Open the built-in sets. PX_ERR_CONFIG if options->size is out of range. */
px_status px_digits_open(px_context *ctx, const char *spec, const px_source_options *options, px_source **source);
px_status px_ising_open(px_context *ctx, const char *spec, const px_source_options *options, px_source **source);

/* ---- The tars of CIFAR-10 and CIFAR-100 in their binary version: a file for each batch, in any order ---- */

enum { PX_CIFAR_BATCHES = 5 };

typedef struct px_cifar_batch {
    size_t offset, size; /* of its bytes in memory */
} px_cifar_batch;

/* The batches found in a tar. The training split is data_batch_1.bin to data_batch_5.bin (CIFAR-100: train.bin), the
 * test split test_batch.bin (test.bin). */
typedef struct px_cifar_batches {
    bool found;    /* any batch, of either split */
    bool cifar100; /* the batches are CIFAR-100's */
    bool python;   /* a file of the Python version was found */
    int seen[PX_CIFAR_BATCHES];
    px_cifar_batch batch[PX_CIFAR_BATCHES];
} px_cifar_batches;

/* Returns whether a member of this name is a batch, of either split. */
bool px_cifar_batch_named(const char *name);

/* Returns whether a file or member of this name belongs to the Python version, which is not supported.
 * px_cifar_fail_python returns PX_ERR_FORMAT with a message that names the supported files. */
bool px_cifar_python_named(const char *name);
px_status px_cifar_fail_python(px_context *ctx, const char *path);

/* Records a batch, and its bytes if it belongs to the split. */
void px_cifar_batch_add(px_cifar_batches *batches, px_split split, const char *name, size_t offset, size_t size);

/* Opens the batches of options->split as one source, concatenated in memory in their order. tar has their bytes, which
 * are copied. PX_ERR_FORMAT if a batch is missing, present twice, or not a whole number of records. */
px_status px_cifar_tar_open(px_context *ctx, const char *path, const px_byte_source *tar,
                            const px_cifar_batches *batches, const px_source_options *options, px_source **source);

/* ---- Labels (labels.c, folder_labels.c) ---- */

typedef struct px_labels {
    uint16_t *values; /* allocated with malloc */
    size_t count;
} px_labels;

/* Reads a file of labels. images: if IMAGES.sfv has a line for this file, its checksum is compared; or NULL. */
px_status px_labels_read(px_context *ctx, const char *path, const char *images, px_labels *labels);

/* Reads several files of labels, separated by tabs, one after the other. */
px_status px_labels_read_list(px_context *ctx, const char *list, px_labels *labels);

/* Reads labels from a .npy file in memory: integers [N] or [N, 1]. first: the number that means label 0. */
px_status px_labels_of_npy(px_context *ctx, const char *name, const uint8_t *bytes, size_t size, int first,
                           px_labels *labels);

/* Gives labels to a source, or if status is not PX_OK the reason why it has none. Takes labels, which come from the
 * file or array `from`. Their number must be that of the images, else they are not used. */
void px_source_set_labels(px_source *source, px_status status, const px_context *why, const char *from,
                          px_labels labels);

/* Gives a source the labels of the file that belongs to its file `images`. split: names a config key in the message if
 * there is none. */
void px_labels_beside(const char *images, px_split split, px_source *source);

/* Gives a source the labels of images with these paths, which are the indices of their folders. */
void px_labels_of_folders(const px_name_list *paths, px_split split, px_source *source);

/* ---- Shared by the formats ---- */

/* The shape of a set of images. */
typedef struct px_extent {
    size_t count, height, width, channels;
} px_extent;

/* Allocates `bytes` for a struct whose first field is a px_source, and fills in its name and shape, and a close that
 * frees the struct; the rest is zero. PX_ERR_FORMAT unless the images have 1 or 3 channels and sides of at most
 * PX_MAX_SIDE. */
px_status px_source_create(px_context *ctx, size_t bytes, const char *name, px_extent extent, px_source **source);

/* Stores a created source in *source if status is PX_OK, else closes it. Returns status. */
px_status px_source_finish(px_status status, px_source *created, px_source **source);

/* Images that lie at equal distances in a byte source. */
typedef struct px_array {
    px_extent extent;
    size_t offset, stride; /* in bytes: where the first image begins; from one image to the next */
    bool planes;           /* each image is [C, H, W], not [H, W, C] */
    bool binary;           /* 0 is black, any other byte white */
    bool fortran;          /* Fortran order: the image index varies fastest, then inner[0], inner[1], inner[2] */
    size_t inner[3];       /* for Fortran order: the array's shape without N, padded with 1 */
} px_array;

/* Describes contiguous images of shape [N, H, W, C] or [N, H, W], 4 or 3 dimensions. */
px_array px_array_plain(int dimensions, const size_t *shape, size_t offset);

/* Opens a source of the images of an array in input, which it takes. After a failure the caller still owns input. */
px_status px_array_open(px_context *ctx, const char *path, px_byte_source *input, const px_array *array,
                        px_source **source);

/* Converts the stored bytes of an image to pixels [H, W, C]. stored and pixels may be equal unless array->planes. */
void px_array_decode(const px_array *array, const uint8_t *stored, uint8_t *pixels);

/* Implement px_source_options.values. px_values_check reads as many images as AUTO needs, *seen of them, and fails with
 * PX_ERR_CONFIG if the bytes seem to be levels. px_values_apply replaces *source by one that returns intensities; after
 * a failure *source is unchanged. */
px_status px_values_check(px_context *ctx, px_source *source, const px_source_options *options, size_t *seen);
px_status px_values_apply(px_context *ctx, const px_source_options *options, px_source **source);

/* PX_ERR_FORMAT if an entry of shape is 0, or their product is not `found`, the number of bytes after the header. */
px_status px_shape_check(px_context *ctx, const char *path, const char *format, int dimensions, const size_t *shape,
                         size_t found);

/* Compares the CRC-32 of the .npy file at path, whose bytes are input, with the one in images.sfv. px_pack writes that
 * file: a line "NAME CRC32" for the images, and one for their labels; lines that begin with ; are comments. Nothing is
 * compared if there is no such file, or path does not end in .npy. PX_ERR_FORMAT if the checksums differ, or there is
 * no line for path; if path are labels, not the images, no line is required. */
px_status px_checksum_check(px_context *ctx, const char *path, const char *images, const px_byte_source *input);

/* Writes the path of the labels that belong to a .npy file, idx or .amat: FILE.labels.npy. */
px_status px_labels_path(px_context *ctx, const char *images, char path[PX_PATH]);

/* The side of the square that has so many pixels; 0 if pixels is not a square number. */
size_t px_square_side(size_t pixels);

static inline size_t px_source_image_bytes(const px_source *source) {
    return (size_t)source->height * (size_t)source->width * (size_t)source->channels;
}

/* The item of px_random for an image of a built-in set. */
static inline uint64_t px_source_item(px_split split, size_t index) { return (uint64_t)split << 48 | index; }

#endif
