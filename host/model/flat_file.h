/* Safetensors files with flat tensors of a model's layout: weights, their average, the state of an optimiser. */
#ifndef PIXELRNN_MODEL_FLAT_FILE_H
#define PIXELRNN_MODEL_FLAT_FILE_H

#include "host/io/safetensors.h"
#include "pixelrnn/model.h"

/* A flat tensor on the model's device. The file holds it as one tensor for each parameter, named PREFIX + parameter. */
typedef struct px_named_flat {
    const char *prefix; /* "", "first.", ... */
    px_tensor flat;     /* px_parameters_rows x PX_FLAT_COLUMNS reals */
} px_named_flat;

/* Writes `count` flat tensors as float32, and the metadata, to a file that replaces `path` atomically. */
px_status px_flat_file_save(px_model *model, const px_named_flat *flats, int count, const px_metadata *metadata,
                            int metadata_count, const char *path);
/* The size in bytes of the file that px_flat_file_save writes. The tensors need no memory. PX_ERR_MEMORY. */
px_status px_flat_file_bytes(const px_model *model, const px_named_flat *flats, int count, const px_metadata *metadata,
                             int metadata_count, size_t *bytes);
/* Reads `count` flat tensors, then casts the model's weights (px_model_cast_weights). PX_ERR_FORMAT unless the file
 * holds every parameter of every flat tensor, finite, 0 where masked, and nothing else. */
px_status px_flat_file_load(px_model *model, const px_named_flat *flats, int count, const char *path);

#endif
