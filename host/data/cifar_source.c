/* The binary files of CIFAR-10 and CIFAR-100. Each record has the labels and the planes R, G, B of an image of 32 x 32.
 * CIFAR-10 has one label, 0 to 9; CIFAR-100 has a coarse one, 0 to 19, and a fine one, 0 to 99. Files have no header.
 */
#include "host/data/archive.h"
#include "host/data/formats.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 32, CHANNELS = 3, IMAGE = SIDE * SIDE * CHANNELS, MAX_LABELS = 2 };

typedef struct variant {
    int labels;
    uint8_t classes[MAX_LABELS]; /* number of classes of each label */
} variant;
static const variant cifar10 = {1, {10}}, cifar100 = {2, {20, 100}};

static size_t record_bytes(const variant *k) { return (size_t)k->labels + IMAGE; }

/* Returns whether a file of `size` bytes can be records of this variant. bytes are its first ones. */
static bool fits(const variant *k, const uint8_t *bytes, size_t size) {
    if (size == 0 || size % record_bytes(k) != 0) return false;
    for (int i = 0; i < k->labels; i++)
        if (bytes[i] >= k->classes[i]) return false;
    return true;
}

bool px_cifar_recognise(const uint8_t *bytes, size_t size) {
    return fits(&cifar10, bytes, size) || fits(&cifar100, bytes, size);
}

/* Checks all labels. values receives the last label of each record, which of CIFAR-100 is the fine one; or NULL. */
static px_status read_labels(px_context *ctx, const char *path, const px_byte_source *input, const variant *k,
                             size_t count, uint16_t *values) {
    for (size_t n = 0; n < count; n++) {
        uint8_t labels[MAX_LABELS];
        PX_TRY(px_byte_source_copy(ctx, path, input, n * record_bytes(k), (size_t)k->labels, labels));
        for (int i = 0; i < k->labels; i++)
            if (labels[i] >= k->classes[i])
                return px_fail(ctx, PX_ERR_FORMAT, "%s: cifar: found label %d in record %zu, expected 0 to %d", path,
                               labels[i], n, k->classes[i] - 1);
        if (values) values[n] = labels[k->labels - 1];
    }
    return PX_OK;
}

static px_status open_records(px_context *ctx, const char *path, px_byte_source *input, const variant *k,
                              const px_source_options *options, px_source **source) {
    size_t count = input->size / record_bytes(k);
    uint16_t *labels = options->labels ? malloc(count * sizeof *labels) : NULL;
    if (options->labels && !labels) return px_fail_memory(ctx, path, count * sizeof *labels);
    px_status status = read_labels(ctx, path, input, k, count, labels);
    px_array array = {.extent = {count, SIDE, SIDE, CHANNELS},
                      .offset = (size_t)k->labels,
                      .stride = record_bytes(k),
                      .planes = true};
    if (status == PX_OK) status = px_array_open(ctx, path, input, &array, source);
    if (status == PX_OK)
        (*source)->labels = labels;
    else
        free(labels);
    return status;
}

px_status px_cifar_open(px_context *ctx, const char *path, px_byte_source *input, const px_source_options *options,
                        px_source **source) {
    const variant *k = input->size % record_bytes(&cifar10) == 0 ? &cifar10 : &cifar100;
    return open_records(ctx, path, input, k, options, source);
}

/* ---- A tar's batches ---- */

/* The split of a batch, and its index in the split. */
typedef struct batch_name {
    bool cifar100;
    px_split split;
    int index;
} batch_name;

static bool parse_name(const char *name, batch_name *batch) {
    const char *base = px_archive_basename(name);
    const bool in_cifar100 = base > name && strstr(name, "cifar-100") != NULL;
    *batch = (batch_name){.cifar100 = in_cifar100, .split = PX_SPLIT_TRAIN};
    if (in_cifar100) {
        if (strcmp(base, "train.bin") == 0) return true;
        batch->split = PX_SPLIT_TEST;
        return strcmp(base, "test.bin") == 0;
    }
    batch->index = base[0] && strncmp(base, "data_batch_", 11) == 0 ? base[11] - '1' : -1;
    if (batch->index >= 0 && batch->index < PX_CIFAR_BATCHES) return strcmp(base + 12, ".bin") == 0;
    *batch = (batch_name){.split = PX_SPLIT_TEST};
    return strcmp(base, "test_batch.bin") == 0;
}

bool px_cifar_batch_named(const char *name) {
    batch_name batch;
    return parse_name(name, &batch);
}

/* The Python version is recognised by its folders, and by batches without an extension. */
bool px_cifar_python_named(const char *name) {
    const char *base = px_archive_basename(name);
    return strstr(name, "cifar-10-batches-py/") || strstr(name, "cifar-100-python/") ||
           strcmp(base, "test_batch") == 0 || (strncmp(base, "data_batch_", 11) == 0 && !strchr(base, '.'));
}

px_status px_cifar_fail_python(px_context *ctx, const char *path) {
    return px_fail(ctx, PX_ERR_FORMAT,
                   "%s: found CIFAR's Python version (pickles), expected its binary version: cifar-10-binary.tar.gz, "
                   "cifar-100-binary.tar.gz, or their .bin files",
                   path);
}

void px_cifar_batch_add(px_cifar_batches *batches, px_split split, const char *name, size_t offset, size_t size) {
    batch_name batch;
    if (!parse_name(name, &batch)) return;
    batches->found = true;
    batches->cifar100 = batch.cifar100;
    if (batch.split != split) return;
    batches->seen[batch.index]++;
    batches->batch[batch.index] = (px_cifar_batch){offset, size};
}

/* Checks that each batch was found once and has whole records. Adds up their sizes. */
static px_status check_batches(px_context *ctx, const char *path, const px_cifar_batches *batches, px_split split,
                               size_t *bytes) {
    const size_t record = record_bytes(batches->cifar100 ? &cifar100 : &cifar10);
    const int expected = split == PX_SPLIT_TRAIN && !batches->cifar100 ? PX_CIFAR_BATCHES : 1;
    char name[32];
    *bytes = 0;
    if (split == PX_SPLIT_VALID)
        return px_fail(ctx, PX_ERR_FORMAT, "%s: cifar: found no validation split, expected train or test", path);
    for (int i = 0; i < expected; i++) {
        if (split == PX_SPLIT_TRAIN && !batches->cifar100)
            snprintf(name, sizeof name, "data_batch_%d.bin", i + 1);
        else
            strcpy(name, split == PX_SPLIT_TRAIN ? "train.bin" : batches->cifar100 ? "test.bin" : "test_batch.bin");
        if (batches->seen[i] != 1)
            return px_fail(ctx, PX_ERR_FORMAT, "%s: cifar: found %d files named %s, expected one", path,
                           batches->seen[i], name);
        size_t size = batches->batch[i].size;
        if (size == 0 || size % record != 0)
            return px_fail(ctx, PX_ERR_FORMAT, "%s/%s: cifar: found %zu bytes, expected a multiple of %zu", path, name,
                           size, record);
        *bytes += size;
    }
    return PX_OK;
}

px_status px_cifar_tar_open(px_context *ctx, const char *path, const px_byte_source *tar,
                            const px_cifar_batches *batches, const px_source_options *options, px_source **source) {
    size_t bytes;
    px_byte_source joined = {0};
    px_status status = check_batches(ctx, path, batches, options->split, &bytes);
    if (status == PX_OK) {
        joined.bytes = malloc(bytes);
        if (!joined.bytes) status = px_fail_memory(ctx, path, bytes);
    }
    for (int i = 0; status == PX_OK && joined.size < bytes; i++) {
        const px_cifar_batch *batch = &batches->batch[i];
        status = px_byte_source_copy(ctx, path, tar, batch->offset, batch->size, joined.bytes + joined.size);
        joined.size += batch->size;
    }
    const variant *k = batches->cifar100 ? &cifar100 : &cifar10;
    if (status == PX_OK) status = open_records(ctx, path, &joined, k, options, source);
    px_byte_source_free(&joined);
    return status;
}
