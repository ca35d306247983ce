/* Labels: reading files of them, and finding the file that belongs to a file of images. */
#include "host/data/npy_header.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- Integers ---- */

typedef struct integer_type {
    int bytes;
    bool is_signed, big_endian;
} integer_type;

static int64_t integer_at(const uint8_t *at, const integer_type *type) {
    const int unused = 64 - 8 * type->bytes;
    uint64_t value = 0;
    for (int i = 0; i < type->bytes; i++) value = value << 8 | at[type->big_endian ? i : type->bytes - 1 - i];
    return type->is_signed ? (int64_t)(value << unused) >> unused : (int64_t)value;
}

/* first: the number that means label 0. labels->count is set. */
static px_status decode(px_context *ctx, const char *name, const uint8_t *bytes, const integer_type *type, int first,
                        px_labels *labels) {
    labels->values = malloc(labels->count * sizeof *labels->values);
    if (!labels->values) return px_fail_memory(ctx, name, labels->count * sizeof *labels->values);
    for (size_t n = 0; n < labels->count; n++) {
        const int64_t value = integer_at(bytes + n * (size_t)type->bytes, type);
        if (value >= first && value - first < PX_MAX_CLASSES) {
            labels->values[n] = (uint16_t)(value - first);
            continue;
        }
        free(labels->values);
        *labels = (px_labels){0};
        return px_fail(ctx, PX_ERR_FORMAT, "%s: found label %lld of image %zu, expected %d to %d", name,
                       (long long)value, n, first, first + PX_MAX_CLASSES - 1);
    }
    return PX_OK;
}

/* Parses a type such as "<i8". Returns false if it is not an integer's. */
static bool parse_type(const char *descr, integer_type *type) {
    *type = (integer_type){.big_endian = descr[0] == '>'};
    if (descr[0] && strchr("<>|=", descr[0])) descr++;
    type->is_signed = descr[0] == 'i';
    if (!type->is_signed && descr[0] != 'u') return false;
    if (!descr[1] || !strchr("1248", descr[1]) || descr[2]) return false;
    type->bytes = descr[1] - '0';
    return true;
}

void px_source_set_labels(px_source *source, px_status status, const px_context *why, const char *from,
                          px_labels labels) {
    px_context *message = &source->no_labels.ctx;
    if (status != PX_OK)
        *message = *why;
    else if (labels.count != source->count)
        status = px_fail(message, PX_ERR_FORMAT, "%.400s: found %zu labels, expected %zu, one for each image of %s",
                         from, labels.count, source->count, source->name);
    source->no_labels.status = status;
    if (status == PX_OK)
        source->labels = labels.values;
    else
        free(labels.values);
}

/* ---- Files of labels ---- */

px_status px_labels_of_npy(px_context *ctx, const char *name, const uint8_t *bytes, size_t size, int first,
                           px_labels *labels) {
    px_npy_header h;
    integer_type type;
    char text[PX_NPY_TEXT];
    PX_TRY(px_npy_header_parse(ctx, name, bytes, size, &h));
    const bool vector = h.dimensions == 1 || (h.dimensions == 2 && h.shape[1] == 1);
    if (!vector || h.shape[0] == 0 || !parse_type(h.descr, &type))
        return px_fail(ctx, PX_ERR_FORMAT, "%s: npy: found %s, expected labels: integers of shape [N] or [N, 1]", name,
                       px_npy_text(&h, text));
    const size_t found = size - h.elements, each = (size_t)type.bytes;
    if (found % each != 0 || found / each != h.shape[0])
        return px_fail(ctx, PX_ERR_FORMAT, "%s: npy: found %zu bytes of labels, expected %zu labels of %zu bytes", name,
                       found, h.shape[0], each);
    labels->count = h.shape[0];
    return decode(ctx, name, bytes + h.elements, &type, first, labels);
}

/* MNIST's labels: idx of type 8 (unsigned byte) in 1 dimension. */
static px_status labels_of_idx(px_context *ctx, const char *name, const uint8_t *bytes, size_t size,
                               px_labels *labels) {
    enum { TYPE_UINT8 = 0x08, HEADER = 8 };
    const integer_type type = {.bytes = 1};
    if (bytes[2] != TYPE_UINT8 || bytes[3] != 1)
        return px_fail(ctx, PX_ERR_FORMAT,
                       "%s: idx: found type 0x%02x in %d dimension%s, expected labels: type 0x08 in 1 dimension", name,
                       bytes[2], bytes[3], bytes[3] == 1 ? "" : "s");
    const size_t count = size >= HEADER ? px_big_endian(bytes + 4) : 0;
    if (count == 0 || size - HEADER != count)
        return px_fail(ctx, PX_ERR_FORMAT, "%s: idx: found %zu bytes, expected a header of %d and %zu labels", name,
                       size, HEADER, count);
    labels->count = count;
    return decode(ctx, name, bytes + HEADER, &type, 0, labels);
}

static px_status read_content(px_context *ctx, const char *path, const px_byte_source *input, px_labels *labels) {
    if (px_npy_recognise(input->bytes, input->size))
        return px_labels_of_npy(ctx, path, input->bytes, input->size, 0, labels);
    if (px_idx_recognise(input->bytes, input->size)) return labels_of_idx(ctx, path, input->bytes, input->size, labels);
    return px_fail(ctx, PX_ERR_FORMAT,
                   "%s: found no labels, expected .npy of integers or MNIST's idx, or these in gzip", path);
}

px_status px_labels_read(px_context *ctx, const char *path, const char *images, px_labels *labels) {
    px_byte_source input;
    *labels = (px_labels){0};
    PX_TRY(px_byte_source_read(ctx, path, px_memory_limit, &input));
    px_status status = images ? px_checksum_check(ctx, path, images, &input) : PX_OK;
    if (status == PX_OK && px_compression_of_bytes(input.bytes, input.size)) {
        px_byte_source_free(&input);
        status = px_decompress(ctx, path, px_memory_limit, "unpack it first", &input);
    }
    if (status == PX_OK) status = read_content(ctx, path, &input, labels);
    px_byte_source_free(&input);
    return status;
}

static px_status append(px_context *ctx, const char *path, px_labels part, size_t *capacity, px_labels *labels) {
    PX_TRY(px_grow(ctx, path, labels->count + part.count, sizeof *part.values, capacity, &labels->values));
    memcpy(labels->values + labels->count, part.values, part.count * sizeof *part.values);
    labels->count += part.count;
    return PX_OK;
}

px_status px_labels_read_list(px_context *ctx, const char *list, px_labels *labels) {
    size_t capacity = 0;
    px_status status = PX_OK;
    *labels = (px_labels){0};
    for (const char *at = list; *at && status == PX_OK; at += strspn(at, "\t")) {
        const size_t length = strcspn(at, "\t");
        char path[PX_PATH];
        px_labels part = {0};
        status = px_file_path(ctx, path, "%.*s", (int)length, at);
        if (status == PX_OK) status = px_labels_read(ctx, path, NULL, &part);
        if (status == PX_OK) status = append(ctx, path, part, &capacity, labels);
        free(part.values);
        at += length;
    }
    if (status == PX_OK) return PX_OK;
    free(labels->values);
    *labels = (px_labels){0};
    return status;
}

/* ---- Labels beside a file of images ---- */

/* The length of a name without the first of the endings that it has; endings ends with NULL. */
static size_t without_ending(const char *name, size_t length, const char *const *endings) {
    for (; *endings; endings++) {
        const size_t tail = strlen(*endings);
        if (length > tail && strncasecmp(name + length - tail, *endings, tail) == 0) return length - tail;
    }
    return length;
}

static size_t uncompressed_length(const char *path) {
    static const char *const endings[] = {".gz", ".bz2", ".xz", ".zst", NULL};
    return without_ending(path, strlen(path), endings);
}

px_status px_labels_path(px_context *ctx, const char *images, char path[PX_PATH]) {
    static const char *const endings[] = {".npy", ".idx", ".amat", NULL};
    const size_t length = without_ending(images, uncompressed_length(images), endings);
    return px_file_path(ctx, path, "%.*s.labels.npy", (int)length, images);
}

/* Replaces a part of text by another of the same length. Returns whether it was found. */
static bool replace(char *text, const char *part, const char *other) {
    char *at = strstr(text, part);
    if (at) memcpy(at, other, strlen(other));
    return at;
}

/* Writes the path with `labels` instead of `images`, as MNIST's files are named: train-labels-idx1-ubyte for
 * train-images-idx3-ubyte.gz. Returns whether the name has `images`. */
static bool named_labels_path(const char *images, char path[PX_PATH]) {
    const size_t length = uncompressed_length(images);
    memcpy(path, images, length);
    path[length] = 0;
    char *base = path + (px_archive_basename(path) - path);
    replace(base, "idx3", "idx1");
    return replace(base, "images", "labels");
}

/* Finds and reads the file of labels, and writes its path. PX_ERR_CONFIG if there is none. */
static px_status read_beside(px_context *ctx, const char *images, px_split split, char path[PX_PATH],
                             px_labels *labels) {
    char named[PX_PATH];
    PX_TRY(px_labels_path(ctx, images, path));
    if (px_file_exists(path)) return px_labels_read(ctx, path, images, labels);
    const bool is_named = named_labels_path(images, named);
    const px_status none = px_fail(
        ctx, PX_ERR_CONFIG, "%.300s: found no labels, expected %.200s%s%.200s beside it; data.%s_labels names files",
        images, px_archive_basename(path), is_named ? " or " : "", is_named ? px_archive_basename(named) : "",
        px_split_name(split));
    if (!is_named) return none;
    strcpy(path, named);
    if (!px_file_exists(path) && strlen(path) + 3 < PX_PATH) strcat(path, ".gz");
    return px_file_exists(path) ? px_labels_read(ctx, path, NULL, labels) : none;
}

void px_labels_beside(const char *images, px_split split, px_source *source) {
    char path[PX_PATH];
    px_context why;
    px_labels labels = {0};
    const px_status status = read_beside(&why, images, split, path, &labels);
    px_source_set_labels(source, status, &why, path, labels);
}
