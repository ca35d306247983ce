/* CIFAR-10's binary files: records of a label, 0 to 9, and the planes R, G, B of an image of 32 x 32. Nothing else tells
 * them: they have no header. */
#include "host/data/archive.h"
#include "host/data/cifar.h"
#include "host/data/formats.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 32, CHANNELS = 3, RECORD = 1 + SIDE * SIDE * CHANNELS, CLASSES = 10 };

bool px_cifar_recognise(const uint8_t *bytes, size_t size) {
    return size >= RECORD && size % RECORD == 0 && bytes[0] < CLASSES;
}

static px_status check_labels(px_context *ctx, const char *path, const px_contents *contents, size_t count) {
    for (size_t n = 0; n < count; n++) {
        uint8_t label;
        PX_TRY(px_contents_copy(ctx, path, contents, n * RECORD, 1, &label));
        if (label >= CLASSES)
            return px_fail(ctx, PX_ERR_FORMAT, "%s: cifar: found label %d in record %zu, expected 0 to %d", path, label,
                           n, CLASSES - 1);
    }
    return PX_OK;
}

px_status px_cifar_open(px_context *ctx, const char *path, px_contents contents, const px_source_options *options,
                        px_source **source) {
    (void)options;
    size_t count = contents.size / RECORD;
    px_status status = check_labels(ctx, path, &contents, count);
    if (status != PX_OK) {
        px_contents_free(&contents);
        return status;
    }
    px_array array = {{count, SIDE, SIDE, CHANNELS}, .offset = 1, .stride = RECORD, .planes = true};
    return px_array_open(ctx, path, contents, &array, source);
}

/* A tar's batches -----------------------------------------------------------------------------------------------------
 */

/* The place of a batch in its split, or -1. */
static int place_of(const char *name, px_split *split) {
    const char *base = px_archive_basename(name);
    *split = PX_SPLIT_TEST;
    if (strcmp(base, "test_batch.bin") == 0) return 0;
    *split = PX_SPLIT_TRAIN;
    bool train = strncmp(base, "data_batch_", 11) == 0 && base[11] >= '1' && base[11] < '1' + PX_CIFAR_BATCHES;
    return train && strcmp(base + 12, ".bin") == 0 ? base[11] - '1' : -1;
}

bool px_cifar_batch_named(const char *name) {
    px_split split;
    return place_of(name, &split) >= 0;
}

void px_cifar_batch_add(px_cifar_batches *batches, px_split split, const char *name, size_t offset, size_t size) {
    px_split of;
    int place = place_of(name, &of);
    batches->found |= place >= 0;
    if (place < 0 || of != split) return;
    batches->seen[place]++;
    batches->batch[place] = (px_cifar_batch){offset, size};
}

/* Checks that each batch is there once and whole, and adds them up. */
static px_status check_batches(px_context *ctx, const char *path, const px_cifar_batches *batches, px_split split,
                               size_t *bytes) {
    int expected = split == PX_SPLIT_TRAIN ? PX_CIFAR_BATCHES : 1;
    *bytes = 0;
    for (int i = 0; i < expected; i++) {
        char name[32] = "test_batch.bin";
        if (split == PX_SPLIT_TRAIN) snprintf(name, sizeof name, "data_batch_%d.bin", i + 1);
        if (batches->seen[i] != 1)
            return px_fail(ctx, PX_ERR_FORMAT, "%s: cifar: found %d files named %s, expected one", path,
                           batches->seen[i], name);
        size_t size = batches->batch[i].size;
        if (size == 0 || size % RECORD != 0)
            return px_fail(ctx, PX_ERR_FORMAT, "%s/%s: cifar: found %zu bytes, expected a multiple of %d", path, name,
                           size, RECORD);
        *bytes += size;
    }
    return PX_OK;
}

px_status px_cifar_tar_open(px_context *ctx, const char *path, px_contents tar, const px_cifar_batches *batches,
                            const px_source_options *options, px_source **source) {
    size_t bytes;
    px_contents joined = {0};
    px_status status = check_batches(ctx, path, batches, options->split, &bytes);
    if (status == PX_OK) {
        joined.bytes = malloc(bytes);
        if (!joined.bytes) status = px_fail(ctx, PX_ERR_MEMORY, "%s: cannot hold %zu bytes in memory", path, bytes);
    }
    for (int i = 0; status == PX_OK && joined.size < bytes; i++) {
        const px_cifar_batch *batch = &batches->batch[i];
        status = px_contents_copy(ctx, path, &tar, batch->offset, batch->size, joined.bytes + joined.size);
        joined.size += batch->size;
    }
    px_contents_free(&tar);
    if (status == PX_OK) return px_cifar_open(ctx, path, joined, options, source);
    px_contents_free(&joined);
    return status;
}
