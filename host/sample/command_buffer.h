/* A device that records operations in a command buffer, to execute them for all groups of images at once
 * (px_execute_args in host/device/backend.h). */
#ifndef PIXELRNN_SAMPLE_COMMAND_BUFFER_H
#define PIXELRNN_SAMPLE_COMMAND_BUFFER_H

#include "pixelrnn/device.h"

typedef struct px_command_buffer px_command_buffer;

/* The size of the device memory that a command buffer needs. */
size_t px_command_buffer_bytes(void);

/* Creates a command buffer for `target`. memory: px_command_buffer_bytes() bytes of that device, borrowed.
 * PX_ERR_MEMORY; the command buffer must be destroyed after an error, too. px_command_buffer_destroy accepts NULL. */
px_status px_command_buffer_create(px_device *target, void *memory, px_command_buffer **commands);
void px_command_buffer_destroy(px_command_buffer *commands);

/* The device that records. It has the operations of PX_COMMAND_OPS and clear, and no others. Recording into a full
 * buffer executes it first. */
px_device *px_command_buffer_device(px_command_buffer *commands);

/* Begins recording for `groups` groups of `images` images. Addresses within `bytes` bytes from `memory` on, the memory
 * of group 0, stand for the same place in the memory of every group. */
void px_command_buffer_begin(px_command_buffer *commands, int groups, int images, void *memory, size_t bytes);
/* Executes the recorded operations and waits for their end. */
px_status px_command_buffer_flush(px_command_buffer *commands);

#endif
