/* A device that records what the decoder asks for, and has it replayed for all groups of images. */
#include "host/sample/command_buffer.h"
#include "pixelrnn/tensor.h"
#include "host/device/backend.h"
#include <stdlib.h>

enum { PX_MAX_RECORDED = 4096 }; /* recorded before they are replayed */

struct px_command_buffer {
    px_device base; /* first: an operation finds its tape through the device */
    px_device *real;
    px_device_command *host; /* PX_MAX_RECORDED, in memory the device copies from fast */
    px_execute_args execute;
    int count;
};

size_t px_command_buffer_bytes(void) {
    return PX_MAX_RECORDED * sizeof(px_device_command);
}

px_status px_command_buffer_flush(px_command_buffer *commands) {
    if (commands->count == 0) return PX_OK;
    commands->execute.count = commands->count;
    commands->count = 0;
    void *steps = (void *)commands->execute.steps;
    PX_TRY(commands->real->ops->upload(commands->real, steps, commands->host,
                                       (size_t)commands->execute.count * sizeof *commands->host));
    PX_TRY(commands->real->ops->execute(commands->real, &commands->execute));
    return commands->real->ops->synchronize(commands->real); /* before what was uploaded is written over */
}

static px_status command_buffer_append(px_device *device, const px_device_command *step) {
    px_command_buffer *commands = (px_command_buffer *)device;
    if (commands->count == PX_MAX_RECORDED) PX_TRY(px_command_buffer_flush(commands));
    commands->host[commands->count++] = *step;
    return PX_OK;
}

#define PX_RECORD(name)                                                                                                \
    static px_status px_command_buffer_##name(px_device *device, const px_##name##_args *args) {                       \
        return command_buffer_append(device, &(px_device_command){.op = PX_COMMAND_##name, .args.name = *args});       \
    }
PX_COMMAND_OPS(PX_RECORD)
#undef PX_RECORD

static px_status command_buffer_clear(px_device *device, void *memory, size_t bytes) {
    return command_buffer_append(device, &(px_device_command){.op = PX_COMMAND_clear, .args.clear = {memory, bytes}});
}

/* No other operation belongs on a tape. */
static const px_device_ops command_buffer_ops = {
#define PX_FILL_STEP(name) .name = px_command_buffer_##name,
    PX_COMMAND_OPS(PX_FILL_STEP)
#undef PX_FILL_STEP
        .clear = command_buffer_clear};

px_status px_command_buffer_open(px_device *real, void *steps, px_command_buffer **out) {
    px_command_buffer *commands = calloc(1, sizeof *commands);
    *out = commands;
    if (!commands) return px_fail(real->ctx, PX_ERR_MEMORY, "tape: cannot allocate it");
    commands->base = *real;
    commands->base.ops = &command_buffer_ops;
    commands->real = real;
    commands->execute.steps = steps;
    return real->ops->allocate_host(real, px_command_buffer_bytes(), (void **)&commands->host);
}

void px_command_buffer_close(px_command_buffer *commands) {
    if (!commands) return;
    if (commands->host) commands->real->ops->free_host(commands->real, commands->host);
    free(commands);
}

px_device *px_command_buffer_device(px_command_buffer *commands) {
    return &commands->base;
}

void px_command_buffer_begin(px_command_buffer *commands, int groups, int images, void *memory, size_t bytes) {
    commands->count = 0;
    commands->execute.groups = groups;
    commands->execute.images = images;
    commands->execute.memory = memory;
    commands->execute.bytes = bytes;
}
