/* safetensors files: an 8-byte header length (little endian), a JSON header, the bytes of the tensors.
 *
 * A file is validated before its tensors are read: header length, JSON, unique names, dtype, shape against byte count,
 * and byte ranges that cover the data without holes or overlaps. PX_ERR_FORMAT names the file and the tensor. */
#ifndef PIXELRNN_SAFETENSORS_H
#define PIXELRNN_SAFETENSORS_H

#include "pixelrnn/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PX_TENSOR_RANK = 8, PX_TENSOR_NAME = 96 };

typedef enum { PX_DTYPE_F32, PX_DTYPE_F64, PX_DTYPE_I64, PX_DTYPE_U8 } px_dtype;

typedef struct px_stored_tensor {
    char name[PX_TENSOR_NAME];
    px_dtype dtype;
    int rank;
    int64_t shape[PX_TENSOR_RANK];
    const void *data; /* elements in C order, little endian, aligned for the dtype */
} px_stored_tensor;

typedef struct px_metadata {
    char *key, *value;
} px_metadata;

typedef struct px_safetensors px_safetensors;

/* Validates a file and reads it into memory. Close with px_safetensors_close (NULL is allowed); tensors and strings of
 * the file are valid until then. */
px_status px_safetensors_open(px_context *ctx, const char *path, px_safetensors **file);
void px_safetensors_close(px_safetensors *file);

/* Tensors are numbered in the order of their data in the file. */
int px_safetensors_count(const px_safetensors *file);
const px_stored_tensor *px_safetensors_at(const px_safetensors *file, int index);
/* The tensor of this name, or NULL. */
const px_stored_tensor *px_safetensors_find(const px_safetensors *file, const char *name);
/* The metadata value of this key, or NULL. */
const char *px_safetensors_metadata(const px_safetensors *file, const char *key);

/* The dtype in the spelling of the format: "F32". */
const char *px_dtype_name(px_dtype dtype);
/* The number of elements of a tensor, and element `index` converted to double. */
size_t px_stored_tensor_elements(const px_stored_tensor *tensor);
double px_stored_tensor_value(const px_stored_tensor *tensor, size_t index);

/* Writes a file atomically, with the tensors in the given order and without gaps, which the format forbids. The first
 * tensor is 8-byte aligned. Names must be unique. The same arguments give the same bytes. */
px_status px_safetensors_write(px_context *ctx, const char *path, const px_stored_tensor *tensors, int count,
                               const px_metadata *metadata, int metadata_count);

/* The size in bytes of the file that px_safetensors_write writes. Tensors need no data. PX_ERR_MEMORY. */
px_status px_safetensors_bytes(px_context *ctx, const char *path, const px_stored_tensor *tensors, int count,
                               const px_metadata *metadata, int metadata_count, size_t *bytes);

#endif
