/* The tars of CIFAR-10 and CIFAR-100 in their binary version: one file for each batch, in any order. Internal to
 * host/data/. */
#ifndef PIXELRNN_DATA_CIFAR_H
#define PIXELRNN_DATA_CIFAR_H

#include "host/data/byte_source.h"
#include "pixelrnn/source.h"

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

#endif
