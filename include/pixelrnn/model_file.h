/* Model files: model.safetensors with the weights and, in its metadata, all that is needed to use them (format, config,
 * height, width, channels, levels, step). */
#ifndef PIXELRNN_MODEL_FILE_H
#define PIXELRNN_MODEL_FILE_H

#include "pixelrnn/config.h"
#include "pixelrnn/model.h"

/* What a file's metadata says. */
typedef struct px_model_info {
    px_config config;
    px_model_spec spec;
    int64_t step;
} px_model_info;

/* The spec of a config's model for images of this size. */
px_model_spec px_model_spec_from(const px_config *config, int height, int width, int channels);

/* Reads the metadata alone. */
px_status px_model_file_info(px_context *ctx, const char *path, px_model_info *info);

/* Creates the model of a file on device and loads its weights. PX_ERR_FORMAT names a tensor that is missing, too many,
 * of another shape, not finite, or not 0 where masked. */
px_status px_model_file_load(px_device *device, const char *path, px_model_info *info, px_model **model);
/* Loads a file's weights into a model that exists (--init, --resume): its shapes must be the file's. */
px_status px_model_file_load_weights(const char *path, px_model *model);

/* Writes a flat map of the model's (weights, or their average) as a model file, which appears whole or not at all. */
px_status px_model_file_save(px_model *model, px_tensor flat, const px_config *config, int64_t step, const char *path);

#endif
