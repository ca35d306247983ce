/* What sample and complete share: drawn images on their way to a file. */
#ifndef PIXELRNN_CLI_DRAWING_H
#define PIXELRNN_CLI_DRAWING_H

#include "pixelrnn/file.h"
#include "pixelrnn/model.h"
#include "pixelrnn/report.h"
#include "pixelrnn/sample.h"

/* Draws `count` images, at most `batch` at a time, into pixels (8-bit, [count, H, W, C]). request holds seed, temperature,
 * first image and, for completions, given levels of all `count` images and the pixels to keep. */
px_status px_draw_images(px_model *model, const px_sample_request *request, int count, int batch, uint8_t *pixels,
                         px_progress *progress);

/* Writes uint8 images [count, H, W, C] as .npy, or as .png in a grid of `columns` (0: nearly square). */
px_status px_write_images(px_context *ctx, const char *path, const px_model_spec *spec, const uint8_t *pixels,
                          int count, int columns);

/* PX_ERR_USAGE unless path ends with .png or .npy. */
px_status px_check_image_path(px_context *ctx, const char *path);

/* Bytes of one image. */
static inline size_t px_image_bytes(const px_model_spec *spec) {
    return (size_t)spec->height * (size_t)spec->width * (size_t)spec->channels;
}

#endif
