/* What the reader and the writer of safetensors files share: the dtypes. */
#ifndef PIXELRNN_HOST_SAFETENSORS_H
#define PIXELRNN_HOST_SAFETENSORS_H

#include "host/io/safetensors.h"

enum { PX_DTYPES = PX_DTYPE_U8 + 1 };

typedef struct px_dtype_form {
    const char *name; /* in the file's header */
    size_t bytes;     /* of an element */
} px_dtype_form;

/* In px_dtype order. */
extern const px_dtype_form px_dtypes[PX_DTYPES];

#endif
