/* Image sources: N images of one size, read by index.
 *
 * A spec names a source: a path, FILE.npz:NAME for one array of a zip, or builtin:digits or builtin:ising. The format
 * of a file is recognised by its content:
 *
 *   .npy             uint8 or bool; [N, H, W, C], [N, H, W], [N, S S], or [N, 3 S S] in planes R, G, B. Arrays in C
 *                    order are read in place. Arrays in Fortran order are reordered in memory, up to 4 GiB.
 *   .npz, .zip       of .npy arrays. The array is chosen by its name (npz_source.c lists the names for each split), or
 *                    is the only one that can be images. A stored array is read in place, a deflated one unpacked.
 *                    Checksums are compared when an array is unpacked or read in order.
 *   idx, idx.gz      MNIST's images; read in place, or unpacked into memory.
 *   .amat, .amat.gz  binarised MNIST's text, parsed into memory.
 *   CIFAR            the .bin files of CIFAR-10 and CIFAR-100, read in place, and their binary .tar.gz or .tar.
 *   folders, tars,   of PNG and JPEG files: all whose names end in .png, .jpg or .jpeg and do not begin with a dot.
 *   zips             Folders are read in the order of names, archives in their own order. JPEGs are rotated as their
 *                    EXIF orientation says. An image whose checksums differ from its data is damaged. Members that are
 *                    stored uncompressed are read in place.
 *   compressed tars  the same, in gzip, bzip2, xz or zstd; see px_access. Other files may be compressed in these, too.
 *   folders of       A folder without images may hold files of the array formats above. The files of a split form one
 *   array files      source, in natural order of their names (array_folder.c).
 *
 * Images are uint8 [H, W, C]. Their bytes are 8-bit intensities; of L levels, byte v is level floor(v * L / 256).
 * Arrays may hold levels instead (px_values). Binary sets (.amat, bool arrays, ising) give 0 and 255.
 *
 * Files that are read in place are read with pread, so they may be larger than memory.
 *
 * With px_source_options.labels, each image has a label, an integer from 0 to 65535. They are found in
 *
 *   CIFAR            its own byte; of CIFAR-100 the fine label
 *   .npz             beside the array x_train: y_train; beside train_images (or train_data): train_labels; so for the
 *                    other splits; beside any other array: labels, which count from 1 there, as image-net.org's do
 *   folders, tars,   the folders of the images, below the folder that all images share: the first one in the order of
 *   zips of images   names (strcmp) is label 0
 *   other files      FILE.labels.npy beside FILE.npy (idx, .amat); or for a name with `images` the one with `labels`
 *                    (train-labels-idx1-ubyte beside train-images-idx3-ubyte), also with .gz
 *   builtin:digits   the digit
 *
 * Files of labels are .npy of integers [N] or [N, 1], or idx of bytes [N]; they may be compressed.
 *
 * If FILE.npy.sfv exists, as pixelrnn pack writes it, FILE.npy's CRC-32 is compared with it when the file is opened.
 * All threads read the whole file for that: 0.15 s for 400 MB in the page cache on one core, 0.08 s on two. */
#ifndef PIXELRNN_SOURCE_H
#define PIXELRNN_SOURCE_H

#include "pixelrnn/condition.h"
#include "pixelrnn/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Built-in sets generate different images for each split. CIFAR's tars, folders of array files and some .npz files hold
 * several splits. Other sources ignore it. */
typedef enum { PX_SPLIT_TRAIN, PX_SPLIT_TEST, PX_SPLIT_VALID, PX_SPLITS } px_split;

/* The order in which a source will be read. It matters for compressed data (deflated .npz arrays and zip members,
 * compressed tars), which can only be unpacked from the beginning on. PX_ACCESS_ANY loads them into memory, images as
 * encoded PNG and JPEG files, up to 4 GiB (PX_ERR_FORMAT above that). PX_ACCESS_IN_ORDER needs constant memory. */
typedef enum {
    PX_ACCESS_ANY,      /* any order, any number of times */
    PX_ACCESS_IN_ORDER, /* indices never decrease */
} px_access;

/* The meaning of a source's bytes if px_source_options.levels is L. Readers of a source always see intensities: levels
 * are returned as the intensities that quantise back to them (px_dequantise).
 *
 * AUTO reads images from the first one on until a byte is at least 256 / L. That is nearly always the first image; only
 * a set without such a byte is read to its end, once. A set of zeros is accepted. With L = 256 nothing is read. */
typedef enum {
    PX_VALUES_AUTO,      /* intensities; PX_ERR_CONFIG if some byte is not zero and none is at least 256 / L */
    PX_VALUES_INTENSITY, /* intensities, without a check */
    PX_VALUES_LEVELS,    /* levels 0..L-1; reading an image with a larger byte is PX_ERR_CONFIG */
} px_values;

/* All zero: images of the training split as they are stored, readable in any order. */
typedef struct px_source_options {
    px_split split;
    /* Side in pixels; 0: as stored. Images of folders and archives are cropped to the largest centred square and
     * downsampled by area averages; none may be smaller. Built-in sets are generated in this size: digits 8 to 64
     * (0: 28), ising 2 to 16 (0: 8). Arrays of images keep their size; see px_source_convert. */
    int size;
    uint64_t seed; /* of built-in sets */
    /* 1, 3, or 0: as stored. Folders and archives of images are then read with 3 channels, even if all are grey. Colour
     * becomes grey by its luma; grey becomes three equal channels. */
    int channels;
    px_access access;
    int levels; /* L, 2 to 256; 0: bytes are returned as stored, and values is ignored */
    px_values values;
    const char *array; /* name of the array in an .npz; NULL: chosen by the usual names. FILE.npz:NAME sets it */
    bool labels;       /* read labels, too; off: no file of labels is opened */
    /* Files of labels of px_source_open_all and px_source_open_list, separated by tabs: one label for each image, in
     * the order of the joined sources. NULL or "": labels are found with each source. */
    const char *label_files;
} px_source_options;

typedef struct px_source px_source;

enum {
    PX_FORMATS_LEFT_OUT = 9, /* image formats that are counted, but not read: GIF, WebP, ... */
    PX_LEFT_OUT_TEXT = 256,
};

/* A source. host/data/ has one file for each kind of source, which fills this in. */
struct px_source {
    char name[1024]; /* the spec, for messages */
    size_t count;    /* images, at least 1 */
    int height, width, channels;
    /* The images as stored, before any conversion. levels: number of values of a channel, 256, or 2 for binary sets.
     * varies: sizes differ between images; height and width are then the first image's, or 0 if not known. */
    struct {
        int height, width, channels, levels;
        bool varies;
    } stored;
    double entropy; /* exact entropy in nats per image where it is known (builtin:ising), else 0 */
    /* Number of files in formats that are not read, by format. px_source_left_out writes it as text. */
    size_t left_out[PX_FORMATS_LEFT_OUT];
    bool intensities; /* the bytes are known to be intensities, so px_values does not apply */
    bool concurrent;  /* read may be called by several threads at the same time, each with its own context */
    /* Copies image `index` < count to pixels, height * width * channels bytes. If the source is not concurrent, only
     * one thread may call it at a time. PX_ERR_FORMAT: this image is damaged, or smaller than the requested size; other
     * images can still be read. PX_ERR_SHAPE: no size was requested, and this image is not as large as the first.
     * PX_ERR_FILE: the file became shorter, or its compressed stream is damaged; further reads fail, too. */
    px_status (*read)(px_source *source, px_context *ctx, size_t index, uint8_t *pixels);
    void (*close)(px_source *source); /* releases everything but labels, and the struct itself */
    /* With px_source_options.labels: the label of each image, [count], freed by px_source_close. Labels that cannot be
     * read do not prevent opening a source: labels is then NULL, and no_labels the status and the message of the
     * failure. PX_ERR_CONFIG: the source has no labels. */
    uint16_t *labels;
    int classes; /* number of folders, if they are the labels, else 0 */
    struct {
        px_status status;
        px_context ctx;
    } no_labels;
};

/* Opens the source that spec names; options may be NULL (all zero). PX_ERR_FILE or PX_ERR_FORMAT with a message that
 * names the file, what was found and what was expected. PX_ERR_CONFIG: options do not suit the source. After a failure
 * *source is NULL. Close with px_source_close, which accepts NULL. */
px_status px_source_open(px_context *ctx, const char *spec, const px_source_options *options, px_source **source);
void px_source_close(px_source *source);

/* Writes the counts of px_source.left_out to text, for example "3 WebP, 1 GIF"; "" if all are 0. Returns text. */
const char *px_source_left_out(const size_t left_out[PX_FORMATS_LEFT_OUT], char text[PX_LEFT_OUT_TEXT]);

/* Makes one source of several, their images in the given order. If count is 1, *joined is that source. The result owns
 * the parts; after a failure the caller still owns them. PX_ERR_MEMORY, or PX_ERR_CONFIG if sizes differ. */
px_status px_source_join(px_context *ctx, px_source **parts, int count, px_source **joined);

/* Makes a source whose images are source's, converted to size x size (centred crop and area average; 0: unchanged) and
 * to 1 or 3 channels (0: unchanged). If nothing changes, *converted is source itself. The result owns source; after a
 * failure the caller still owns it. PX_ERR_MEMORY, or PX_ERR_CONFIG if the images are smaller than size. */
px_status px_source_convert(px_context *ctx, px_source *source, int size, int channels, px_source **converted);

/* Describes the conversions of source's images if they are read as `levels` levels: "FILE: 28 x 28 x 1 to 16 x 16, 256
 * to 2 levels", with only the parts that apply. Returns false, and writes "", if nothing is converted. */
enum { PX_CONVERSION = 1344 };
bool px_source_conversion(const px_source *source, int levels, char line[PX_CONVERSION]);

/* Opens count >= 1 specs, joins the sources in order, and converts them to options' size and channels. */
px_status px_source_open_all(px_context *ctx, int count, const char *const *specs, const px_source_options *options,
                             px_source **source);

/* The same for a list as a config stores it (px_source_list_of): specs separated by tabs. */
px_status px_source_open_list(px_context *ctx, const char *list, const px_source_options *options, px_source **source);

/* The options for opening a config's data: its seed and the keys data.* . Labels are read if model.condition is class.
 * label_files points into config. */
struct px_config;
px_source_options px_source_options_of(const struct px_config *config, px_split split, px_access access);
/* The list of sources of a split in a config: data.train, data.validation or data.test; "" if it is empty. */
const char *px_source_list_of(const struct px_config *config, px_split split);
/* "train", "validation" or "test", as in the names of config keys and metrics. */
const char *px_split_name(px_split split);

/* PX_ERR_CONFIG if a model with this condition cannot be used on the images: a side is not a multiple of the scale, or
 * a label is not below the number of classes. Without labels, the status and the message of source->no_labels. */
px_status px_source_check_condition(px_context *ctx, const px_source *source, const px_condition *condition);

/* Writes the condition of image `index`, px_condition_bytes bytes. pixels: its 8-bit intensities, augmented if the
 * condition is to be that of the augmented image. Callers have called px_source_check_condition. */
void px_source_condition(const px_source *source, size_t index, const uint8_t *pixels, const px_condition *condition,
                         int levels, uint8_t *written);

/* Identifies a set of images without reading all of it: its shape, and a CRC-32 of up to 64 images at even distances,
 * from the first to the last, and of all labels if the source has them. images is 0 if there is no set. */
typedef struct px_source_digest {
    uint64_t images, height, width, channels, checksum;
} px_source_digest;

/* Reads up to 64 images of source. Fails with the status of the read that failed, or PX_ERR_MEMORY. */
px_status px_source_digest_of(px_context *ctx, px_source *source, px_source_digest *digest);
bool px_source_digest_same(const px_source_digest *a, const px_source_digest *b);
/* Writes the digest as text: "60000 images of 28 x 28 x 1, checksum 1b8d2f07". */
enum { PX_DIGEST_TEXT = 128 };
void px_source_digest_text(const px_source_digest *digest, char text[PX_DIGEST_TEXT]);

#endif
