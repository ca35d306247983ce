/* Image sources: anything that holds N images of one size, read by index.
 *
 * A spec is a path, FILE.npz:NAME for one array of a zip, or builtin:NAME (digits, ising). The format of a file is
 * recognised by its content. Files that are read in place are read with pread, so they may be larger than memory.
 *
 * Where FILE.npy.sfv lies beside FILE.npy, as pixelrnn pack writes it, the file's CRC-32 is compared with it when the
 * file is opened, once, before the first image is read. All threads read the whole file for it: 0.15 s for 400 MB in
 * the page cache on one core, 0.08 s on two.
 *
 *   .npy             uint8 or bool; [N, H, W, C], [N, H, W], [N, S S], or [N, 3 S S] in planes R, G, B. C order is read
 *                    in place. Fortran order is reordered in memory, up to 4 GiB, by every command
 *   .npz, .zip       of .npy arrays: by name (npz_source.c lists the names of each split), or else the only array that
 *                    can be images. In place where it is stored, unpacked where it is deflated. Checksums are compared
 *                    where it is unpacked, or read in order
 *   idx, idx.gz      MNIST's; in place, or unpacked into memory
 *   .amat, .amat.gz  binarised MNIST's text, in memory
 *   CIFAR            CIFAR-10's and CIFAR-100's .bin files, in place; their binary .tar.gz or .tar as it is downloaded
 *   folders, tars,   of PNG and JPEG: all files that end in .png, .jpg or .jpeg, folders in the order of their names,
 *   zips             archives in their own. Files whose name begins with a dot are left out, all others too. JPEGs are
 *                    turned as their EXIF says. An image is damaged if a checksum in it differs from its data. What a
 *                    tar holds, and what a zip stores, is read in place
 *   compressed tars  the same, in gzip, bzip2, xz or zstd; see px_access. Other files may be compressed so too
 *   folders of parts A folder without images may hold the array formats above: its files of a split are one set
 *                    (parts.c), in natural order
 *
 * Images are uint8, [H, W, C]. Their bytes are 8-bit intensities: level floor(v * L / 256) of L. Arrays may hold levels
 * instead; px_values says how they are read. Sets that are binary by nature (.amat, bool arrays, ising) give 0 and 255.
 */
#ifndef PIXELRNN_SOURCE_H
#define PIXELRNN_SOURCE_H

#include "pixelrnn/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Procedural sets give other images for each split; CIFAR's tars, folders of parts and some .npz hold several splits.
 */
typedef enum { PX_SPLIT_TRAIN, PX_SPLIT_TEST, PX_SPLIT_VALID } px_split;

/* How a source will be read. Compressed sets (deflated .npz, compressed tars, what a zip deflates) can only be read
 * from the beginning on. For any order they are held in memory, images as the PNG and JPEG files that they are, up to
 * 4 GiB (PX_ERR_FORMAT above, which says what to do). In order they take the same memory whatever their size. */
typedef enum {
    PX_ACCESS_ANY,      /* images in any order, and as often as wanted */
    PX_ACCESS_IN_ORDER, /* no index below one that was read before */
} px_access;

/* The meaning of a source's bytes where px_source_options.levels is L. Levels are handed out as the intensities that
 * quantise back to them (px_dequantise), so that all readers of a source see intensities.
 *
 * AUTO reads images from the first one on until a byte reaches 256 / L. That is nearly always the first image; only a
 * set without such a byte is read to its end, once. All bytes are zero: level 0 either way. With L 256 nothing is read.
 */
typedef enum {
    PX_VALUES_AUTO,      /* intensities; PX_ERR_CONFIG if some byte is not zero and none reaches 256 / L */
    PX_VALUES_INTENSITY, /* intensities, whatever the bytes are */
    PX_VALUES_LEVELS,    /* levels 0..L-1; reading an image with a larger byte is PX_ERR_CONFIG */
} px_values;

/* All zero: images of the training split as they are stored, in any order. */
typedef struct px_source_options {
    px_split split;
    /* Side in pixels of images that have no size in common, 0: as stored. Images of a folder or a tar: the largest
     * square around the centre, averaged down to it; none may be smaller. Procedural sets: digits 8..64 (0: 28), ising
     * 2..16 (0: 8). Arrays of images keep their size: px_source_convert. */
    int size;
    uint64_t seed; /* of procedural images */
    /* 1, 3, or 0: as stored, which for folders and tars means 3, grey images among them or not. Colour becomes grey
     * by its luma, grey becomes three equal channels. */
    int channels;
    px_access access;
    int levels; /* L, 2..256; 0: bytes are handed out as they are stored */
    px_values values;
    const char *array; /* the array of an .npz; NULL: found by its name. A spec FILE.npz:NAME sets it */
} px_source_options;

typedef struct px_source px_source;

enum {
    PX_FORMATS_LEFT_OUT = 9, /* formats of images that are counted, but not read: GIF, WebP, ... */
    PX_LEFT_OUT_TEXT = 256,
};

/* What every kind of source fills in; host/data/ has one file a kind. */
struct px_source {
    char name[1024]; /* the spec, for messages */
    size_t count;    /* images, at least 1 */
    int height, width, channels;
    /* The images before they are brought to that size and those channels, and the values that a channel can have: 256,
     * or 2 for sets that are binary by nature. varies: the size is the first image's, or 0 where that is not known, and
     * others may have another. */
    struct {
        int height, width, channels, levels;
        bool varies;
    } stored;
    double entropy; /* exact nats per image where the truth is known (builtin:ising), else 0 */
    /* Images of other formats that lay among those of a set, by format: px_source_left_out names them. */
    size_t left_out[PX_FORMATS_LEFT_OUT];
    bool intensities; /* its bytes are known to be intensities: options' values no longer matter */
    bool concurrent;  /* read may be called from several threads at once, each with a context of its own */
    /* Copies image `index` < count to pixels, height * width * channels bytes. Unless the source is concurrent, from
     * any one thread at a time. PX_ERR_FORMAT: this image is damaged, or smaller than the size asked for; others may
     * be read. PX_ERR_SHAPE: no size was asked for, and it is not as large as the first. PX_ERR_FILE: what lies behind
     * the source cannot be read on: it shrank, or its compressed stream is damaged. */
    px_status (*read)(px_source *source, px_context *ctx, size_t index, uint8_t *pixels);
    void (*close)(px_source *source); /* frees source itself */
};

/* Opens the source that spec names; options may be NULL for a path. PX_ERR_FILE or PX_ERR_FORMAT: one line naming the
 * file, what was found, what was expected. PX_ERR_CONFIG: there is no such builtin, or none of that size.
 * Close with px_source_close (NULL is allowed). */
px_status px_source_open(px_context *ctx, const char *spec, const px_source_options *options, px_source **source);
void px_source_close(px_source *source);

/* Writes counts as in px_source.left_out to text, like "3 WebP, 1 GIF"; "" if all are 0. Returns text. */
const char *px_source_left_out(const size_t left_out[PX_FORMATS_LEFT_OUT], char text[PX_LEFT_OUT_TEXT]);

/* Several sources as one, their images in the order given; with one, that one. The result owns them; on failure
 * (PX_ERR_MEMORY, or PX_ERR_CONFIG for images of different sizes) they stay the caller's. */
px_status px_source_join(px_context *ctx, px_source **parts, int count, px_source **joined);

/* source with images of size x size (the largest square around the centre, averaged down; 0: as they are) and of 1 or 3
 * channels (0: as they are); if they are that already, source itself. The result owns it; on failure (PX_ERR_MEMORY, or
 * PX_ERR_CONFIG for images smaller than size) it stays the caller's. */
px_status px_source_convert(px_context *ctx, px_source *source, int size, int channels, px_source **converted);

/* Writes what is lost when source's images are read as `levels` levels: "FILE: 28 x 28 x 1 to 16 x 16, 256 to 2
 * levels", with the part that applies. Returns false, and writes "", if nothing is converted. */
enum { PX_CONVERSION = 1344 };
bool px_source_conversion(const px_source *source, int levels, char line[PX_CONVERSION]);

/* Opens each of a list of specs, joins them in order, and converts them to options' size and channels. */
px_status px_source_open_all(px_context *ctx, int count, const char *const *specs, const px_source_options *options,
                             px_source **source);

/* The same for a list as a config holds it (data.train, data.test): at least one spec, with tabs between them. */
px_status px_source_open_list(px_context *ctx, const char *list, const px_source_options *options, px_source **source);

/* How the data of a config are to be opened. */
struct px_config;
px_source_options px_source_options_of(const struct px_config *config, px_split split, px_access access);
/* What tells one set of images from another: its shape, and a CRC-32 of up to 64 images that lie evenly over it, the
 * first and the last among them. A set of any size is compared without being read whole. images 0: there is none. */
typedef struct px_source_digest {
    uint64_t images, height, width, channels, checksum;
} px_source_digest;

/* Reads those images. The status is that of the read that failed. */
px_status px_source_digest_of(px_context *ctx, px_source *source, px_source_digest *digest);
bool px_source_digest_same(const px_source_digest *a, const px_source_digest *b);
/* "60000 images of 28 x 28 x 1, checksum 1b8d2f07". */
enum { PX_DIGEST_TEXT = 128 };
void px_source_digest_text(const px_source_digest *digest, char text[PX_DIGEST_TEXT]);

#endif
