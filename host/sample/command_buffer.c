#include "host/sample/command_buffer.h"
#include "host/device/backend.h"
#include <stdlib.h>

enum { PX_MAX_RECORDED = 4096 }; /* capacity in operations */

struct px_command_buffer {
    px_device base; /* the first member: operations receive its address */
    px_device *target;
    px_device_command *host; /* PX_MAX_RECORDED, page-locked on CUDA */
    px_execute_args execute;
    int count;
};

size_t px_command_buffer_bytes(void) { return PX_MAX_RECORDED * sizeof(px_device_command); }

/* Waits for the end, so that new operations can overwrite `host` and the device's copy. */
px_status px_command_buffer_flush(px_command_buffer *commands) {
    px_device *target = commands->target;
    if (commands->count == 0) return PX_OK;
    commands->execute.count = commands->count;
    commands->count = 0;
    PX_TRY(target->ops->upload(target, (void *)commands->execute.steps, commands->host,
                               (size_t)commands->execute.count * sizeof *commands->host));
    PX_TRY(target->ops->execute(target, &commands->execute));
    return target->ops->synchronize(target);
}

static px_status append(px_device *device, const px_device_command *command) {
    px_command_buffer *commands = (px_command_buffer *)device;
    if (commands->count == PX_MAX_RECORDED) PX_TRY(px_command_buffer_flush(commands));
    commands->host[commands->count++] = *command;
    return PX_OK;
}

#define PX_RECORD(name)                                                                                                \
    static px_status record_##name(px_device *device, const px_##name##_args *args) {                                  \
        return append(device, &(px_device_command){.op = PX_COMMAND_##name, .args.name = *args});                      \
    }
PX_COMMAND_OPS(PX_RECORD)
#undef PX_RECORD

static px_status record_clear(px_device *device, void *memory, size_t bytes) {
    return append(device, &(px_device_command){.op = PX_COMMAND_clear, .args.clear = {memory, bytes}});
}

static const px_device_ops recording_ops = {
#define PX_RECORDING_OP(name) .name = record_##name,
    PX_COMMAND_OPS(PX_RECORDING_OP)
#undef PX_RECORDING_OP
        .clear = record_clear};

px_status px_command_buffer_create(px_device *target, void *memory, px_command_buffer **out) {
    px_command_buffer *commands = calloc(1, sizeof *commands);
    *out = commands;
    if (!commands) return px_fail_memory(target->ctx, "command buffer", sizeof *commands);
    commands->base = *target;
    commands->base.ops = &recording_ops;
    commands->target = target;
    commands->execute.steps = memory;
    return target->ops->allocate_host(target, px_command_buffer_bytes(), (void **)&commands->host);
}

void px_command_buffer_destroy(px_command_buffer *commands) {
    if (!commands) return;
    if (commands->host) commands->target->ops->free_host(commands->target, commands->host);
    free(commands);
}

px_device *px_command_buffer_device(px_command_buffer *commands) { return &commands->base; }

void px_command_buffer_begin(px_command_buffer *commands, int groups, int images, void *memory, size_t bytes) {
    commands->count = 0;
    commands->execute.groups = groups;
    commands->execute.images = images;
    commands->execute.memory = memory;
    commands->execute.bytes = bytes;
}
