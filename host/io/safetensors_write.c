/* Writing of safetensors files. */
#include "host/io/file.h"
#include "host/io/safetensors_dtype.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

size_t px_stored_tensor_elements(const px_stored_tensor *tensor) {
    size_t elements = 1;
    for (int d = 0; d < tensor->rank; d++) elements *= (size_t)tensor->shape[d];
    return elements;
}

static size_t tensor_bytes(const px_stored_tensor *tensor) {
    return px_stored_tensor_elements(tensor) * px_dtypes[tensor->dtype].bytes;
}

/* {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}; NULL if out of memory. */
static cJSON *describe(const px_stored_tensor *tensor, size_t begin) {
    double shape[PX_TENSOR_RANK], offsets[2] = {(double)begin, (double)(begin + tensor_bytes(tensor))};
    for (int d = 0; d < tensor->rank; d++) shape[d] = (double)tensor->shape[d];
    cJSON *entry = cJSON_CreateObject();
    bool good = cJSON_AddStringToObject(entry, "dtype", px_dtypes[tensor->dtype].name) &&
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

px_status px_safetensors_write(px_context *ctx, const char *path, const px_stored_tensor *tensors, int count,
                               const px_metadata *metadata, int metadata_count) {
    char *header = header_text(tensors, count, metadata, metadata_count);
    if (!header) return px_fail_memory(ctx, path, 0);
    size_t text = strlen(header), padding = (8 - text % 8) % 8;
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
