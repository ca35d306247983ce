/* The dtypes of safetensors files, shared by reader and writer. */
#ifndef PIXELRNN_HOST_SAFETENSORS_H
#define PIXELRNN_HOST_SAFETENSORS_H

#include "host/io/safetensors.h"

enum { PX_DTYPES = PX_DTYPE_U8 + 1 };

typedef struct px_dtype_info {
    const char *name; /* in the JSON header */
    size_t bytes;     /* of one element */
} px_dtype_info;

/* Indexed by px_dtype. */
extern const px_dtype_info px_dtypes[PX_DTYPES];

#endif
