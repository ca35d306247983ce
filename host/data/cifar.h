/* CIFAR-10 and CIFAR-100 as they are downloaded: a tar with a file a batch, in no order. Internal to host/data/. */
#ifndef PIXELRNN_DATA_CIFAR_H
#define PIXELRNN_DATA_CIFAR_H

#include "host/data/byte_source.h"
#include "pixelrnn/source.h"

enum { PX_CIFAR_BATCHES = 5 };

typedef struct px_cifar_batch {
    size_t offset, size; /* bytes in the tar */
} px_cifar_batch;

/* What was seen in a tar: of the training split data_batch_1..5.bin (CIFAR-100: train.bin), of the test split
 * test_batch.bin (test.bin). */
typedef struct px_cifar_batches {
    bool found;    /* any, of either split */
    bool cifar100; /* of CIFAR-100 */
    bool python;   /* a file of the Python version */
    int seen[PX_CIFAR_BATCHES];
    px_cifar_batch batch[PX_CIFAR_BATCHES];
} px_cifar_batches;

/* Whether a member of this name is a batch, of either split. */
bool px_cifar_batch_named(const char *name);

/* Whether a file or member of this name belongs to the Python version, which is not read. px_cifar_fail_python says so,
 * and names the file to take instead. */
bool px_cifar_python_named(const char *name);
px_status px_cifar_fail_python(px_context *ctx, const char *path);

/* Takes a batch down if it is of the split. */
void px_cifar_batch_add(px_cifar_batches *batches, px_split split, const char *name, size_t offset, size_t size);

/* The batches, put together in memory in order. Takes tar over, and frees it. PX_ERR_FORMAT if one is missing, twice
 * there, or not whole. */
px_status px_cifar_tar_open(px_context *ctx, const char *path, px_byte_source tar, const px_cifar_batches *batches,
                            const px_source_options *options, px_source **source);

#endif
