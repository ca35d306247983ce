/* TensorBoard event files: one TFRecord per event (host/logging/tensorboard.proto). */
#ifndef PIXELRNN_HOST_TENSORBOARD_H
#define PIXELRNN_HOST_TENSORBOARD_H

#include "host/logging/logging.h"
#include <stddef.h>

typedef struct px_tensorboard px_tensorboard;

/* Creates folder/events.out.tfevents.<unix seconds>.<host>, one file per start of a run. TensorBoard discards events of
 * later steps than `step` in older files of the run. */
px_status px_tensorboard_open(px_context *ctx, const char *folder, int64_t step, px_tensorboard **board);
/* Buffer an event, which px_tensorboard_flush writes to the file. */
px_status px_tensorboard_scalar(px_tensorboard *board, int64_t step, const px_metric *metric);
px_status px_tensorboard_image(px_tensorboard *board, int64_t step, const char *tag, const void *png, size_t bytes,
                               int height, int width, int channels);
px_status px_tensorboard_flush(px_tensorboard *board);
void px_tensorboard_close(px_tensorboard *board);

/* CRC-32C (Castagnoli): polynomial 0x1edc6f41, reflected. */
uint32_t px_crc32c(const void *data, size_t bytes);

#endif
