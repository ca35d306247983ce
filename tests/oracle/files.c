/* The oracle's own readers and writers of npy and safetensors. */
#include "tests/oracle/oracle.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void fail(const char *path, const char *message) {
    fprintf(stderr, "%s: %s\n", path, message);
    abort();
}

/* Reads a whole file and appends a 0. NULL if the file does not exist. */
static char *read_bytes(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    if (!file && errno == ENOENT) return NULL;
    if (!file || fseek(file, 0, SEEK_END) != 0) fail(path, strerror(errno));
    *bytes = (size_t)ftell(file);
    char *text = malloc(*bytes + 1);
    rewind(file);
    if (!text || fread(text, 1, *bytes, file) != *bytes) fail(path, "cannot read it");
    text[*bytes] = 0;
    fclose(file);
    return text;
}

char *oracle_read_text(const char *path) {
    size_t bytes;
    return read_bytes(path, &bytes);
}

/* ---- npy ---- */

/* Checks the type of an npy file in memory, finds its shape and data, and returns its rank. */
static int npy_parse(const char *path, const char *file, const char *type, size_t shape[4], const char **data) {
    if (!file || memcmp(file, "\x93NUMPY\1\0", 8) != 0) fail(path, "found no npy file of version 1");
    const size_t length = (size_t)(uint8_t)file[8] | (size_t)(uint8_t)file[9] << 8;
    const char *dictionary = file + 10, *at = strstr(dictionary, "'shape': (");
    if (!strstr(dictionary, type) || !at) fail(path, dictionary);
    at += strlen("'shape': (");
    int rank = 0;
    for (; *at != ')' && rank < 4; rank++) {
        char *end;
        shape[rank] = strtoul(at, &end, 10);
        at = end + strspn(end, ", ");
    }
    *data = dictionary + length;
    return rank;
}

oracle_images oracle_read_images(const char *path) {
    size_t bytes, shape[4] = {0, 0, 0, 1};
    const char *data;
    char *file = read_bytes(path, &bytes);
    const int rank = npy_parse(path, file, "'|u1'", shape, &data);
    const size_t count = shape[0] * shape[1] * shape[2] * shape[3];
    if (rank < 3 || (size_t)(data - file) + count != bytes) fail(path, "found no images [N, H, W, C]");
    oracle_images images = {shape[0], (int)shape[1], (int)shape[2], (int)shape[3], malloc(count + 1)};
    if (!images.pixels) fail(path, "out of memory");
    memcpy(images.pixels, data, count);
    free(file);
    return images;
}

double *oracle_read_doubles(const char *path, size_t *count) {
    size_t bytes, shape[4];
    const char *data;
    char *file = read_bytes(path, &bytes);
    const int rank = npy_parse(path, file, "'<f8'", shape, &data);
    *count = shape[0];
    if (rank != 1 || (size_t)(data - file) + *count * sizeof(double) != bytes) fail(path, "found no float64 [N]");
    double *values = malloc(*count * sizeof *values + 1);
    if (!values) fail(path, "out of memory");
    memcpy(values, data, *count * sizeof *values);
    free(file);
    return values;
}

void oracle_write_images(const char *path, const oracle_images *images) {
    char dictionary[128];
    snprintf(dictionary, sizeof dictionary, "{'descr': '|u1', 'fortran_order': False, 'shape': (%zu, %d, %d, %d), }",
             images->count, images->height, images->width, images->channels);
    FILE *file = fopen(path, "wb");
    if (!file) fail(path, strerror(errno));
    const size_t count = images->count * (size_t)(images->height * images->width * images->channels);
    fwrite("\x93NUMPY\1\0\x76", 1, 10, file); /* the dictionary has 118 bytes, so the data begin at byte 128 */
    fprintf(file, "%-117s\n", dictionary);
    fwrite(images->pixels, 1, count, file);
    if (fclose(file) != 0) fail(path, strerror(errno));
}

/* ---- safetensors ---- */

static void visit_tensor(const char *path, const cJSON *item, const char *data, oracle_tensor_visitor visit,
                         void *context) {
    const cJSON *type = cJSON_GetObjectItem(item, "dtype"), *offsets = cJSON_GetObjectItem(item, "data_offsets");
    if (!cJSON_IsString(type) || strcmp(type->valuestring, "F32") != 0) fail(path, "found a tensor that is not F32");
    const size_t first = (size_t)cJSON_GetArrayItem(offsets, 0)->valuedouble;
    const size_t count = ((size_t)cJSON_GetArrayItem(offsets, 1)->valuedouble - first) / sizeof(float);
    double *values = malloc(count * sizeof *values + 1);
    if (!values) fail(path, "out of memory");
    for (size_t i = 0; i < count; i++) {
        float value;
        memcpy(&value, data + first + i * sizeof value, sizeof value);
        values[i] = (double)value;
    }
    visit(context, item->string, values, count);
    free(values);
}

void oracle_read_safetensors(const char *path, oracle_tensor_visitor visit, oracle_text_visitor metadata,
                             void *context) {
    size_t bytes;
    char *file = read_bytes(path, &bytes);
    uint64_t length;
    if (!file || bytes < sizeof length) fail(path, "found no safetensors file");
    memcpy(&length, file, sizeof length); /* little endian, like all machines that run this */
    cJSON *header = cJSON_ParseWithLength(file + sizeof length, length);
    if (!header) fail(path, "found a header that is not JSON");
    const cJSON *item, *text;
    cJSON_ArrayForEach(item, header) {
        if (strcmp(item->string, "__metadata__") != 0)
            visit_tensor(path, item, file + sizeof length + length, visit, context);
        else if (metadata)
            cJSON_ArrayForEach(text, item) metadata(context, text->string, text->valuestring);
    }
    cJSON_Delete(header);
    free(file);
}
