/* Writing image files for the tests of sources, good and malformed ones, and checks of sources.
 *
 * Functions that write a file put it into the test's folder (px_test_path) and return its path. All of them fail the
 * running test if they cannot do their work. */
#ifndef PIXELRNN_TESTS_DATA_FILES_H
#define PIXELRNN_TESTS_DATA_FILES_H

#include "tests/support/support.h"
#include "host/io/file.h"
#include "pixelrnn/source.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Both ways to open a source: in any order, in ascending order. */
extern const px_access accesses[2];

/* ---- Bytes ---- */

/* The content of a file that is being composed. */
typedef struct blob {
    uint8_t bytes[1 << 21];
    size_t size;
} blob;

void append(blob *b, const void *bytes, size_t size);
void append_zeros(blob *b, size_t size);
void append_little(blob *b, uint64_t value, int bytes); /* a little-endian number of so many bytes */

const char *write_plain(const char *name, const blob *b);
const char *write_gzip(const char *name, const blob *b);

/* Writes b compressed by a filter of libarchive: "gzip", "bzip2", "xz" or "zstd". */
const char *write_compressed(const char *name, const char *filter, const blob *b);

/* ---- Arrays ---- */

/* Makes a .npy file with this dictionary and `count` elements 0, 1, 2, ... */
void npy_make(blob *b, const char *dictionary, size_t count);
#define NPY_IMAGES(shape) "{'descr': '|u1', 'fortran_order': False, 'shape': " shape ", }"

/* Makes an idx file of `count` images of 2 x 2 whose bytes are first, first + 1, ... */
void idx_make(blob *b, uint8_t count, int first);

/* Makes `count` CIFAR-10 records. Record n, counted from `first`, has label n mod 10, R n, G n + 1 and B n + 2. */
enum { CIFAR_RECORD = 3073 };
void cifar_make(blob *b, int first, int count);

/* Makes the tar of CIFAR-10's binary version, its batches out of order and of two images each (the test batch of
 * three). A training batch whose name contains left_out is not written (NULL: all are). */
void cifar_tar_make(blob *tar, const char *left_out);

/* ---- Encoded images ---- */

/* Appends an encoded image to a blob: the callback of stbi_write_*_to_func. */
void append_image(void *b, void *bytes, int size);

/* Makes a PNG of one colour, whose channels are value, value + 1 and value + 2. */
void png_make(blob *b, int height, int width, int channels, int value);

/* Makes a JPEG of 3 x 5 pixels, each channel of each pixel 76. */
void jpeg_make(blob *b);

/* ---- Tars and zips ---- */

/* Adds a file to a tar. stated is the size in its header. */
void tar_add(blob *tar, const char *name, const void *bytes, size_t size, size_t stated);
void tar_end(blob *tar);

/* A zip's files, and the directory that follows them. */
typedef struct zip_file {
    blob body, directory;
    int members;
} zip_file;

/* How zip_add writes a member. Zero fields: stored, with the true size and checksum. */
typedef struct zip_lie {
    bool deflate;
    uint64_t stated; /* size of the content in the headers */
    uint32_t crc;
} zip_lie;

void zip_add(zip_file *zip, const char *name, const void *bytes, size_t size, zip_lie lie);
const char *zip_write(const char *name, const zip_file *zip);

/* ---- One set of images in a folder and in archives ---- */

enum { FOLDER, TAR, TAR_GZ, TAR_BZ2, TAR_XZ, TAR_ZST, ZIP, ZIP_STORED, KINDS };

typedef struct image_file {
    const char *name;
    blob content;
} image_file;

/* Sets the names of files. They are set at run time because an initialiser would put the megabytes of all contents into
 * the program's file. */
void name_files(image_file *files, int count, const char *const *names);

/* Writes the files in the order given as each kind of set, and their paths to paths. Folders are made as needed. */
void write_set(const image_file *files, int count, char paths[KINDS][PX_PATH]);

/* Fills `count` pixels with one colour, like png_make's. */
void fill_pixels(uint8_t *pixels, size_t count, int channels, int value);

/* ---- Checks ---- */

px_source *open_source(const char *path, px_source_options options);
void check_sizes(const px_source *source, size_t count, int height, int width, int channels);
void check_image(px_source *source, size_t index, const uint8_t *expected);

/* Opens path in both ways and checks that it holds the images of npy_make: 3 images of 2 x 2 whose elements are 0, 1,
 * 2,
 * ... in the order [N, H, W, C] or, for check_planes, in planes [N, 3, H, W]. */
void check_interleaved(const char *path, px_source_options options, int channels);
void check_planes(const char *path);

/* Checks that path holds the `count` images of cifar_make. */
void check_cifar(const char *path, px_source_options options, size_t count, int first);

/* Checks that the message is one line that begins with path and contains text. */
void check_message(px_status status, px_status expected, const px_context *ctx, const char *path, const char *text);

/* Checks that opening path, or reading an image, fails with a message that contains text. */
void check_refused(const char *path, px_source_options options, px_status expected, const char *text);
void check_unreadable(px_source *source, size_t index, px_status expected, const char *text);

#endif
