/* Reading and writing of safetensors files. */
#include "host/io/safetensors.h"
#include "host/io/file_kind.h"
#include "host/io/file.h"
#include <cjson/cJSON.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "file data is little endian and is used unconverted");

enum { LENGTH_BYTES = 8, HEADER_LIMIT = 100000000 /* the format's own limit */, DTYPES = PX_DTYPE_U8 + 1 };

/* Names and element sizes of the dtypes. */
static const struct {
    const char *name;
    size_t bytes;
} dtypes[DTYPES] = {
    [PX_DTYPE_F32] = {"F32", 4},
    [PX_DTYPE_F64] = {"F64", 8},
    [PX_DTYPE_I64] = {"I64", 8},
    [PX_DTYPE_U8] = {"U8", 1},
};

struct px_safetensors {
    char *data; /* the bytes after the header */
    cJSON *header;
    const cJSON *metadata; /* in header; NULL if there is none */
    int count;
    px_stored_tensor *tensors; /* in the order of their data */
    void **copies;             /* aligned copies of unaligned tensors; else NULL */
};

/* A tensor and its byte range, as offsets from the end of the header. */
typedef struct extent {
    px_stored_tensor tensor;
    size_t begin, end;
} extent;

/* The file that is read, for messages. */
typedef struct origin {
    px_context *ctx;
    const char *path;
} origin;

/* Returns PX_ERR_FORMAT with a message that begins with the path. */
__attribute__((format(printf, 2, 3))) static px_status fail(origin at, const char *format, ...) {
    char text[sizeof at.ctx->message];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return px_fail(at.ctx, PX_ERR_FORMAT, "%s: %s", at.path, text);
}

/* ---- The JSON header ---- */

/* Whether a text has no control characters, so that it can be part of a one-line message. */
static bool is_printable(const char *text) {
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c < 0x20 || *c == 0x7f) return false;
    }
    return true;
}

static int compare_keys(const void *a, const void *b) {
    return strcmp((*(const cJSON *const *)a)->string, (*(const cJSON *const *)b)->string);
}

/* Fails if a name occurs twice. JSON allows it, and readers differ in which of the values they use. */
static px_status check_keys(origin at, const cJSON *object, const char *what) {
    const size_t count = (size_t)cJSON_GetArraySize(object);
    const cJSON *item, **sorted = malloc((count + 1) * sizeof *sorted), **next = sorted;
    if (!sorted) return px_fail_memory(at.ctx, at.path, (count + 1) * sizeof *sorted);
    px_status status = PX_OK;
    cJSON_ArrayForEach(item, object) {
        if (!is_printable(item->string))
            status = fail(at, "found control characters in the name of a %s, expected none", what);
        *next++ = item;
    }
    qsort(sorted, count, sizeof *sorted, compare_keys);
    for (size_t i = 1; status == PX_OK && i < count; i++)
        if (compare_keys(&sorted[i - 1], &sorted[i]) == 0)
            status = fail(at, "%s %.200s occurs twice", what, sorted[i]->string);
    free(sorted);
    return status;
}

static px_status parse_header(origin at, const char *text, size_t length, px_safetensors *file) {
    const char *end = NULL;
    file->header = cJSON_ParseWithLengthOpts(text, length, &end, false);
    if (!cJSON_IsObject(file->header))
        return fail(at, "the header is not a JSON object (near its byte %td)", end ? end - text : 0);
    while (end < text + length && strchr(" \t\r\n", *end) && *end) end++;
    if (end < text + length) return fail(at, "found byte %td after the header's JSON, expected its end", end - text);
    return check_keys(at, file->header, "tensor");
}

/* Called if the header length is wrong: PX_ERR_FORMAT if the file is of another, known kind. */
static px_status check_kind(origin at, const px_file_in *in) {
    uint8_t bytes[PX_FILE_KIND_BYTES];
    const size_t size = in->size < sizeof bytes ? in->size : sizeof bytes;
    PX_TRY(px_file_read_at(at.ctx, at.path, in, 0, size, bytes));
    const char *kind = px_file_kind(bytes, size);
    if (!kind || (size > LENGTH_BYTES && bytes[LENGTH_BYTES] == '{')) return PX_OK;
    return fail(at, "found %s, expected a safetensors file", kind);
}

static px_status read_header(origin at, const px_file_in *in, px_safetensors *file, size_t *header_bytes) {
    if (in->size < LENGTH_BYTES) {
        PX_TRY(check_kind(at, in));
        return fail(at, "%zu bytes; a safetensors file starts with a length of %d bytes", in->size, LENGTH_BYTES);
    }
    uint64_t length;
    PX_TRY(px_file_read_at(at.ctx, at.path, in, 0, sizeof length, &length));
    const size_t remaining = in->size - LENGTH_BYTES;
    if (length > HEADER_LIMIT || length > remaining) {
        PX_TRY(check_kind(at, in));
        return fail(at, "a header of %llu bytes; %zu bytes follow, and at most %d are allowed",
                    (unsigned long long)length, remaining, HEADER_LIMIT);
    }
    char *text = malloc(length + 1);
    if (!text) return px_fail_memory(at.ctx, at.path, length + 1);
    px_status status = px_file_read_at(at.ctx, at.path, in, LENGTH_BYTES, length, text);
    if (status == PX_OK) status = parse_header(at, text, length, file);
    free(text);
    *header_bytes = length;
    return status;
}

static px_status check_metadata(origin at, px_safetensors *file) {
    file->metadata = cJSON_GetObjectItemCaseSensitive(file->header, "__metadata__");
    if (!file->metadata) return PX_OK;
    if (!cJSON_IsObject(file->metadata)) return fail(at, "__metadata__ is not an object of strings");
    PX_TRY(check_keys(at, file->metadata, "metadata key"));
    const cJSON *item;
    cJSON_ArrayForEach(item, file->metadata) {
        if (!cJSON_IsString(item)) return fail(at, "__metadata__ %.200s is not a string", item->string);
    }
    return PX_OK;
}

/* ---- The entry of one tensor ---- */

/* Reads a non-negative integer of at most 2^53, the largest range that a JSON number represents exactly. */
static bool read_integer(const cJSON *item, int64_t *value) {
    const double limit = 9007199254740992.0; /* 2^53 */
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= limit)) return false;
    *value = (int64_t)item->valuedouble;
    return (double)*value == item->valuedouble;
}

static px_status read_dtype(origin at, const cJSON *item, px_stored_tensor *tensor) {
    for (int d = 0; cJSON_IsString(item) && d < DTYPES; d++) {
        if (strcmp(item->valuestring, dtypes[d].name) != 0) continue;
        tensor->dtype = (px_dtype)d;
        return PX_OK;
    }
    bool named = cJSON_IsString(item) && is_printable(item->valuestring);
    return fail(at, "tensor %s has dtype %.32s, expected F32, F64, I64 or U8", tensor->name,
                named ? item->valuestring : "(none)");
}

/* Reads the shape, and computes the bytes of a tensor of this shape and dtype. */
static px_status read_shape(origin at, const cJSON *item, px_stored_tensor *tensor, size_t *bytes) {
    if (!cJSON_IsArray(item)) return fail(at, "tensor %s has no shape", tensor->name);
    *bytes = dtypes[tensor->dtype].bytes;
    const cJSON *size;
    cJSON_ArrayForEach(size, item) {
        if (tensor->rank == PX_TENSOR_RANK)
            return fail(at, "tensor %s has more than %d dimensions", tensor->name, PX_TENSOR_RANK);
        int64_t *dimension = &tensor->shape[tensor->rank++];
        if (!read_integer(size, dimension))
            return fail(at, "tensor %s: dimension %d of the shape is not a size", tensor->name, tensor->rank);
        if (__builtin_mul_overflow(*bytes, (size_t)*dimension, bytes))
            return fail(at, "tensor %s: the shape's product is too large", tensor->name);
    }
    return PX_OK;
}

static px_status read_extent(origin at, const cJSON *item, size_t data_bytes, size_t expected, extent *tensor) {
    int64_t begin, end;
    const char *name = tensor->tensor.name;
    if (!cJSON_IsArray(item) || cJSON_GetArraySize(item) != 2 || !read_integer(item->child, &begin) ||
        !read_integer(item->child->next, &end))
        return fail(at, "tensor %s: data_offsets are not two offsets", name);
    if (begin > end || (size_t)end > data_bytes)
        return fail(at, "tensor %s: data_offsets [%lld, %lld] in %zu bytes of data", name, (long long)begin,
                    (long long)end, data_bytes);
    if ((size_t)(end - begin) != expected)
        return fail(at, "tensor %s: found %lld bytes, expected %zu for its dtype and shape", name,
                    (long long)(end - begin), expected);
    tensor->begin = (size_t)begin;
    tensor->end = (size_t)end;
    return PX_OK;
}

static px_status read_entry(origin at, const cJSON *entry, size_t data_bytes, extent *tensor) {
    if (strlen(entry->string) >= PX_TENSOR_NAME)
        return fail(at, "tensor %.80s...: a name of more than %d bytes", entry->string, PX_TENSOR_NAME - 1);
    strcpy(tensor->tensor.name, entry->string);
    if (!cJSON_IsObject(entry) || cJSON_GetArraySize(entry) != 3)
        return fail(at, "tensor %s is not an object of dtype, shape and data_offsets", entry->string);
    size_t bytes = 0;
    PX_TRY(read_dtype(at, cJSON_GetObjectItemCaseSensitive(entry, "dtype"), &tensor->tensor));
    PX_TRY(read_shape(at, cJSON_GetObjectItemCaseSensitive(entry, "shape"), &tensor->tensor, &bytes));
    return read_extent(at, cJSON_GetObjectItemCaseSensitive(entry, "data_offsets"), data_bytes, bytes, tensor);
}

/* ---- All tensors ---- */

static int compare_extents(const void *a, const void *b) {
    const extent *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end); /* an empty tensor comes before the one at the same offset */
}

/* Sorts the tensors by offset and checks that every byte of data belongs to exactly one. */
static px_status check_extents(origin at, extent *tensors, int count, size_t data_bytes) {
    qsort(tensors, (size_t)count, sizeof *tensors, compare_extents);
    size_t covered = 0;
    for (int i = 0; i < count; i++) {
        if (tensors[i].begin != covered)
            return fail(at, "tensor %s starts at byte %zu, %s the previous tensor, which ends at %zu",
                        tensors[i].tensor.name, tensors[i].begin,
                        tensors[i].begin < covered ? "inside" : "leaving a hole after", covered);
        covered = tensors[i].end;
    }
    if (covered != data_bytes)
        return fail(at, "found %zu bytes of data, expected %zu for its tensors", data_bytes, covered);
    return PX_OK;
}

/* Reads and checks the entries of all tensors, before any data is read. */
static px_status read_entries(origin at, const px_safetensors *file, extent *extents, int *count, size_t data_bytes) {
    const cJSON *entry;
    cJSON_ArrayForEach(entry, file->header) {
        if (entry != file->metadata) PX_TRY(read_entry(at, entry, data_bytes, &extents[(*count)++]));
    }
    return check_extents(at, extents, *count, data_bytes);
}

/* Reads the data from offset `begin` on, and points each tensor at its bytes, or at an aligned copy of them. */
static px_status read_tensors(origin at, const px_file_in *in, size_t begin, px_safetensors *file,
                              const extent *extents, int count) {
    const size_t data_bytes = in->size - begin;
    file->data = malloc(data_bytes + 1);
    if (!file->data) return px_fail_memory(at.ctx, at.path, data_bytes);
    PX_TRY(px_file_read_at(at.ctx, at.path, in, begin, data_bytes, file->data));
    file->tensors = calloc((size_t)count + 1, sizeof *file->tensors);
    file->copies = calloc((size_t)count + 1, sizeof *file->copies);
    if (!file->tensors || !file->copies) return px_fail_memory(at.ctx, at.path, 0);
    file->count = count;
    for (int i = 0; i < count; i++) {
        px_stored_tensor *tensor = &file->tensors[i];
        const size_t bytes = extents[i].end - extents[i].begin;
        *tensor = extents[i].tensor;
        tensor->data = file->data + extents[i].begin;
        if ((uintptr_t)tensor->data % dtypes[tensor->dtype].bytes == 0 || bytes == 0) continue;
        file->copies[i] = malloc(bytes);
        if (!file->copies[i]) return px_fail_memory(at.ctx, at.path, bytes);
        tensor->data = memcpy(file->copies[i], tensor->data, bytes);
    }
    return PX_OK;
}

/* ---- The file ---- */

static px_status read_file(origin at, const px_file_in *in, px_safetensors *file) {
    size_t header_bytes = 0;
    int count = 0;
    PX_TRY(read_header(at, in, file, &header_bytes));
    PX_TRY(check_metadata(at, file));
    const size_t begin = LENGTH_BYTES + header_bytes;
    extent *extents = calloc((size_t)cJSON_GetArraySize(file->header) + 1, sizeof *extents);
    if (!extents) return px_fail_memory(at.ctx, at.path, 0);
    px_status status = read_entries(at, file, extents, &count, in->size - begin);
    if (status == PX_OK) status = read_tensors(at, in, begin, file, extents, count);
    free(extents);
    return status;
}

px_status px_safetensors_open(px_context *ctx, const char *path, px_safetensors **result) {
    px_file_in in;
    *result = NULL;
    PX_TRY(px_file_open(ctx, path, &in));
    px_safetensors *file = calloc(1, sizeof *file);
    px_status status = file ? read_file((origin){ctx, path}, &in, file) : px_fail_memory(ctx, path, sizeof *file);
    px_file_close(&in);
    if (status == PX_OK)
        *result = file;
    else
        px_safetensors_close(file);
    return status;
}

void px_safetensors_close(px_safetensors *file) {
    if (!file) return;
    for (int i = 0; i < file->count; i++) free(file->copies[i]);
    free(file->copies);
    free(file->tensors);
    cJSON_Delete(file->header);
    free(file->data);
    free(file);
}

int px_safetensors_count(const px_safetensors *file) { return file->count; }

const px_stored_tensor *px_safetensors_at(const px_safetensors *file, int index) { return &file->tensors[index]; }

const px_stored_tensor *px_safetensors_find(const px_safetensors *file, const char *name) {
    for (int i = 0; i < file->count; i++) {
        if (strcmp(file->tensors[i].name, name) == 0) return &file->tensors[i];
    }
    return NULL;
}

const char *px_safetensors_metadata(const px_safetensors *file, const char *key) {
    const cJSON *value = file->metadata ? cJSON_GetObjectItemCaseSensitive(file->metadata, key) : NULL;
    return value ? value->valuestring : NULL;
}

const char *px_dtype_name(px_dtype dtype) { return dtypes[dtype].name; }

double px_stored_tensor_value(const px_stored_tensor *tensor, size_t index) {
    switch (tensor->dtype) {
    case PX_DTYPE_F32: return ((const float *)tensor->data)[index];
    case PX_DTYPE_F64: return ((const double *)tensor->data)[index];
    case PX_DTYPE_I64: return (double)((const int64_t *)tensor->data)[index];
    case PX_DTYPE_U8: return ((const uint8_t *)tensor->data)[index];
    }
    return 0;
}

/* ---- Writing ---- */

size_t px_stored_tensor_elements(const px_stored_tensor *tensor) {
    size_t elements = 1;
    for (int d = 0; d < tensor->rank; d++) elements *= (size_t)tensor->shape[d];
    return elements;
}

static size_t tensor_bytes(const px_stored_tensor *tensor) {
    return px_stored_tensor_elements(tensor) * dtypes[tensor->dtype].bytes;
}

/* {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}; NULL if out of memory. */
static cJSON *describe(const px_stored_tensor *tensor, size_t begin) {
    double shape[PX_TENSOR_RANK], offsets[2] = {(double)begin, (double)(begin + tensor_bytes(tensor))};
    for (int d = 0; d < tensor->rank; d++) shape[d] = (double)tensor->shape[d];
    cJSON *entry = cJSON_CreateObject();
    bool good = cJSON_AddStringToObject(entry, "dtype", dtypes[tensor->dtype].name) &&
                cJSON_AddItemToObject(entry, "shape", cJSON_CreateDoubleArray(shape, tensor->rank)) &&
                cJSON_AddItemToObject(entry, "data_offsets", cJSON_CreateDoubleArray(offsets, 2));
    if (good) return entry;
    cJSON_Delete(entry);
    return NULL;
}

/* The JSON header, to be freed with cJSON_free; NULL if out of memory. */
static char *header_text(const px_stored_tensor *tensors, int count, const px_metadata *metadata, int metadata_count) {
    cJSON *header = cJSON_CreateObject();
    bool good = header != NULL;
    if (metadata_count > 0) {
        cJSON *strings = cJSON_AddObjectToObject(header, "__metadata__");
        for (int i = 0; good && i < metadata_count; i++) {
            good = cJSON_AddStringToObject(strings, metadata[i].key, metadata[i].value);
        }
    }
    size_t offset = 0;
    for (int i = 0; good && i < count; i++) {
        good = cJSON_AddItemToObject(header, tensors[i].name, describe(&tensors[i], offset));
        offset += tensor_bytes(&tensors[i]);
    }
    char *text = good ? cJSON_PrintUnformatted(header) : NULL;
    cJSON_Delete(header);
    return text;
}

/* Spaces after a header, so that the tensors are 8-byte aligned. */
static size_t padding_of(const char *header) { return (8 - strlen(header) % 8) % 8; }

px_status px_safetensors_bytes(px_context *ctx, const char *path, const px_stored_tensor *tensors, int count,
                               const px_metadata *metadata, int metadata_count, size_t *bytes) {
    char *header = header_text(tensors, count, metadata, metadata_count);
    if (!header) return px_fail_memory(ctx, path, 0);
    *bytes = LENGTH_BYTES + strlen(header) + padding_of(header);
    for (int i = 0; i < count; i++) *bytes += tensor_bytes(&tensors[i]);
    cJSON_free(header);
    return PX_OK;
}

px_status px_safetensors_write(px_context *ctx, const char *path, const px_stored_tensor *tensors, int count,
                               const px_metadata *metadata, int metadata_count) {
    char *header = header_text(tensors, count, metadata, metadata_count);
    if (!header) return px_fail_memory(ctx, path, 0);
    const size_t text = strlen(header), padding = padding_of(header);
    uint64_t length = text + padding;

    px_file_out out;
    px_status status = px_file_create(ctx, path, &out);
    if (status == PX_OK) status = px_file_write(ctx, &out, &length, sizeof length);
    if (status == PX_OK) status = px_file_write(ctx, &out, header, text);
    if (status == PX_OK) status = px_file_write(ctx, &out, "       ", padding);
    for (int i = 0; status == PX_OK && i < count; i++) {
        status = px_file_write(ctx, &out, tensors[i].data, tensor_bytes(&tensors[i]));
    }
    if (status == PX_OK) status = px_file_commit(ctx, &out);
    px_file_abandon(&out);
    cJSON_free(header);
    return status;
}
