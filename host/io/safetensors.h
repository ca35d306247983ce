/* safetensors files: 8 bytes header length (little endian), a JSON header, the tensors' bytes.
 *
 * Reading checks everything before anything is used: header length and JSON, names that stand once, dtype, shape
 * against byte count, extents that leave no hole, do not overlap and end with the file. PX_ERR_FORMAT names the file
 * and the tensor. */
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
    const void *data; /* elements, C order, little endian; aligned for the dtype */
} px_stored_tensor;

typedef struct px_metadata {
    char *key, *value;
} px_metadata;

typedef struct px_safetensors px_safetensors;

/* Reads a file into memory, its tensors once its header is found good. Close with px_safetensors_close (NULL is
 * allowed); what it handed out is valid until then. */
px_status px_safetensors_open(px_context *ctx, const char *path, px_safetensors **file);
void px_safetensors_close(px_safetensors *file);

/* Tensors are numbered in the order of their bytes in the file. */
int px_safetensors_count(const px_safetensors *file);
const px_stored_tensor *px_safetensors_at(const px_safetensors *file, int index);
/* NULL if there is none of that name. */
const px_stored_tensor *px_safetensors_find(const px_safetensors *file, const char *name);
/* NULL if there is no such key. */
const char *px_safetensors_metadata(const px_safetensors *file, const char *key);

/* As the format spells it: "F32". */
const char *px_dtype_name(px_dtype dtype);
/* Elements of a tensor, and its element `index` as a double whatever its dtype. */
size_t px_stored_tensor_elements(const px_stored_tensor *tensor);
double px_stored_tensor_value(const px_stored_tensor *tensor, size_t index);

/* Writes a file that appears whole or not at all (file.h), tensors in the order given, without gaps (the format forbids
 * them): the first is 8-byte aligned, and all are as far as their sizes keep them so. Names must differ. The same
 * arguments give the same bytes. */
px_status px_safetensors_write(px_context *ctx, const char *path, const px_stored_tensor *tensors, int count,
                               const px_metadata *metadata, int metadata_count);

#endif
