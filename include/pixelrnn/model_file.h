/* Model files (model.safetensors): the weights of a model as float32 tensors, and metadata to use them without any
 * other file.
 *
 * Metadata keys, all strings: format ("pixelrnn"), config (YAML), height, width, channels, levels and step, the number
 * of optimiser updates behind the weights. Tensor names and shapes are "stem.weight" [2h, 4, 7, C],
 * "blocks.0.expand.bias" [2h], ...; masked elements are 0. host/model/FORMAT.md describes them all. */
#ifndef PIXELRNN_MODEL_FILE_H
#define PIXELRNN_MODEL_FILE_H

#include "pixelrnn/config.h"
#include "pixelrnn/model.h"

/* The metadata of a file. */
typedef struct px_model_info {
    px_config config;
    px_model_spec spec;
    int64_t step;
} px_model_info;

/* The spec of the config's model for images of this size. */
px_model_spec px_model_spec_from(const px_config *config, int height, int width, int channels);

/* Reads the metadata. PX_ERR_FILE if the file cannot be read, PX_ERR_FORMAT if it is not a model file, PX_ERR_CONFIG if
 * its config is invalid. */
px_status px_model_file_info(px_context *ctx, const char *path, px_model_info *info);

/* Creates the model of a file on the device and loads its weights. Errors are those of px_model_file_info and
 * px_model_create, and PX_ERR_FORMAT, with the name of the tensor, if one is missing, has the wrong shape, or has an
 * element that is not finite or not 0 where masked. After an error *model is NULL. Destroy with px_model_destroy. */
px_status px_model_file_load(px_device *device, const char *path, px_model_info *info, px_model **model);
/* Loads the weights of a file into an existing model, and ignores the metadata. Errors as for px_model_file_load. */
px_status px_model_file_load_weights(const char *path, px_model *model);

/* Writes `flat`, a flat tensor of the model's layout such as its weights or their average, as a model file. The file is
 * complete when it appears at `path`, and replaces any other. PX_ERR_FILE, PX_ERR_MEMORY. */
px_status px_model_file_save(px_model *model, px_tensor flat, const px_config *config, int64_t step, const char *path);

/* The size in bytes of the file that px_model_file_save writes. PX_ERR_MEMORY. */
px_status px_model_file_bytes(const px_model *model, const px_config *config, int64_t step, size_t *bytes);

#endif
