/* Image sources: anything that holds N images of one size, read by index.
 *
 * A spec is a path or builtin:NAME (digits, ising). What a path holds is told by its content. A file that is read in
 * place stays where it is: each image is copied out of it when it is asked for.
 *   .npy             uint8 [N, H, W, C] or [N, H, W]; in place
 *   .npz, .zip       of .npy arrays: `data`, `images` or `x_train` (`x_test` of the test split), or else the only one
 *                    that can be images. Also [N, 3 * S * S] in planes R, G, B, as image-net.org's downsampled sets
 *                    have it. In place where it is stored, unpacked where it is deflated
 *   idx, idx.gz      MNIST's; in place, or unpacked into memory
 *   .amat, .amat.gz  binarised MNIST's text, in memory
 *   CIFAR-10         .bin files, in place; the .tar.gz or .tar as it is downloaded (data_batch_1..5 or test_batch)
 *   folders, tars    of PNG and JPEG: all files that end in .png, .jpg or .jpeg, folders in the order of their names,
 *                    tars in their own. Files whose name begins with a dot are left out, all others too
 *   .tar.gz          the same; see px_access
 *
 * Images are uint8, [H, W, C]; sets that are binary by nature (.amat, ising) give 0 and 255. */
#ifndef PIXELRNN_SOURCE_H
#define PIXELRNN_SOURCE_H

#include "pixelrnn/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Procedural sets draw different images for training and for testing; CIFAR-10's tar and some .npz hold both. */
typedef enum { PX_SPLIT_TRAIN, PX_SPLIT_TEST } px_split;

/* How a source will be read. Compressed sets (deflated .npz, .tar.gz of pictures) can only be read from the beginning
 * on: for any order they are held in memory, up to 4 GiB (PX_ERR_FORMAT above, which says what to do); in order they
 * take the same memory whatever their size. */
typedef enum {
    PX_ACCESS_ANY,      /* images in any order, and as often as wanted */
    PX_ACCESS_IN_ORDER, /* no index below one that was read before */
} px_access;

/* All zero: images of the training split as they are stored, in any order. */
typedef struct px_source_options {
    px_split split;
    /* Side in pixels of images that have no size in common, 0: as stored. Pictures of a folder or a tar: the largest
     * square around the centre, averaged down to it; none may be smaller. Procedural sets: digits 8..64 (0: 28), ising
     * 2..16 (0: 8). Arrays of images keep their size: px_source_convert. */
    int size;
    uint64_t seed; /* of procedural images */
    /* 1, 3, or 0: as stored, which for folders and tars means 3, grey pictures among them or not. Colour becomes grey
     * by its luma, grey becomes three equal channels. */
    int channels;
    px_access access;
} px_source_options;

typedef struct px_source px_source;

/* What every kind of source fills in; host/data/ has one file a kind. */
struct px_source {
    char name[1024]; /* the spec, for messages */
    size_t count;    /* images, at least 1 */
    int height, width, channels;
    double entropy;  /* exact nats per image where the truth is known (builtin:ising), else 0 */
    bool concurrent; /* read may be called from several threads at once, each with a context of its own */
    /* Copies image `index` < count to pixels, height * width * channels bytes. Unless the source is concurrent, from any
     * one thread at a time. PX_ERR_FORMAT: this picture is damaged, or smaller than the size asked for; others may be
     * read. PX_ERR_SHAPE: no size was asked for, and it is not as large as the first. PX_ERR_FILE: what lies behind the
     * source cannot be read on: it shrank, or its compressed stream is damaged. */
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

/* source with images of size x size (the largest square around the centre, averaged down; 0: as they are) and of 1 or 3
 * channels (0: as they are); if they are that already, source itself. The result owns it; on failure (PX_ERR_MEMORY, or
 * PX_ERR_CONFIG for images smaller than size) it stays the caller's. */
px_status px_source_convert(px_context *ctx, px_source *source, int size, int channels, px_source **converted);

/* What a user means by a list of specs: each opened, joined in order, and converted to options' size and channels. */
px_status px_source_open_all(px_context *ctx, int count, const char *const *specs, const px_source_options *options,
                             px_source **source);

/* What tells one set of images from another: its shape, and a CRC-32 of up to 64 images that lie evenly over it, the first
 * and the last among them. A set of any size is compared without being read whole. images 0: there is none. */
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
