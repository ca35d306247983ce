/* A device that records instead of running: see px_execute_args in device.h. */
#ifndef PIXELRNN_DECODE_TAPE_H
#define PIXELRNN_DECODE_TAPE_H

#include "pixelrnn/device.h"

typedef struct px_command_buffer px_command_buffer;

/* Records for `real`; steps: px_command_buffer_bytes of its memory. PX_ERR_MEMORY; closed even then. NULL may be
 * closed. */
px_status px_command_buffer_open(px_device *real, void *steps, px_command_buffer **commands);
void px_command_buffer_close(px_command_buffer *commands);
size_t px_command_buffer_bytes(void);

/* What to hand the operations to. Only those of PX_COMMAND_OPS, and clear, are there. A full tape is replayed. */
px_device *px_command_buffer_device(px_command_buffer *commands);

/* From here on addresses within `bytes` bytes from memory on are group 0's. */
void px_command_buffer_begin(px_command_buffer *commands, int groups, int images, void *memory, size_t bytes);
/* Replays what was recorded, and waits for it. */
px_status px_command_buffer_flush(px_command_buffer *commands);

#endif
