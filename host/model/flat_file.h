/* Safetensors files of flat tensors: the weights, their average, and the optimiser's state. */
#ifndef PIXELRNN_MODEL_FLAT_FILE_H
#define PIXELRNN_MODEL_FLAT_FILE_H

#include "host/io/safetensors.h"
#include "pixelrnn/model.h"

/* Flat tensors as tensors named prefix + parameter name, for files with several of them (optimizer.safetensors). */
typedef struct px_named_flat {
    const char *prefix; /* "", "first.", ... */
    px_tensor flat;
} px_named_flat;
px_status px_flats_save(px_model *model, const px_named_flat *flats, int count, const px_metadata *metadata,
                        int metadata_count, const char *path);
/* Every tensor of every flat must be in the file, finite and 0 where masked; the file must hold nothing else. */
px_status px_flats_load(px_model *model, const px_named_flat *flats, int count, const char *path);

#endif
