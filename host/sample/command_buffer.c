/* A device that records what the decoder asks for, and has it replayed for all groups of images. */
#include "host/sample/command_buffer.h"
#include "pixelrnn/tensor.h"
#include <stdlib.h>

enum { PX_TAPE_STEPS = 4096 }; /* recorded before they are replayed */

struct px_tape {
    px_device base; /* first: an operation finds its tape through the device */
    px_device *real;
    px_tape_step *host; /* PX_TAPE_STEPS, in memory the device copies from fast */
    px_replay_args replay;
    int count;
};

size_t px_tape_bytes(void) {
    return PX_TAPE_STEPS * sizeof(px_tape_step);
}

px_status px_tape_flush(px_tape *tape) {
    if (tape->count == 0) return PX_OK;
    tape->replay.count = tape->count;
    tape->count = 0;
    void *steps = (void *)tape->replay.steps;
    PX_TRY(tape->real->ops->upload(tape->real, steps, tape->host, (size_t)tape->replay.count * sizeof *tape->host));
    PX_TRY(tape->real->ops->replay(tape->real, &tape->replay));
    return tape->real->ops->synchronize(tape->real); /* before what was uploaded is written over */
}

static px_status px_tape_append(px_device *device, const px_tape_step *step) {
    px_tape *tape = (px_tape *)device;
    if (tape->count == PX_TAPE_STEPS) PX_TRY(px_tape_flush(tape));
    tape->host[tape->count++] = *step;
    return PX_OK;
}

#define PX_RECORD(name)                                                                                                \
    static px_status px_tape_##name(px_device *device, const px_##name##_args *args) {                                 \
        return px_tape_append(device, &(px_tape_step){.op = PX_STEP_##name, .args.name = *args});                      \
    }
PX_TAPE_OPS(PX_RECORD)
#undef PX_RECORD

static px_status px_tape_clear(px_device *device, void *memory, size_t bytes) {
    return px_tape_append(device, &(px_tape_step){.op = PX_STEP_clear, .args.clear = {memory, bytes}});
}

/* No other operation belongs on a tape. */
static const px_device_ops px_tape_ops = {
#define PX_FILL_STEP(name) .name = px_tape_##name,
    PX_TAPE_OPS(PX_FILL_STEP)
#undef PX_FILL_STEP
        .clear = px_tape_clear};

px_status px_tape_open(px_device *real, void *steps, px_tape **out) {
    px_tape *tape = calloc(1, sizeof *tape);
    *out = tape;
    if (!tape) return px_fail(real->ctx, PX_ERR_MEMORY, "tape: cannot allocate it");
    tape->base = *real;
    tape->base.ops = &px_tape_ops;
    tape->real = real;
    tape->replay.steps = steps;
    return real->ops->allocate_host(real, px_tape_bytes(), (void **)&tape->host);
}

void px_tape_close(px_tape *tape) {
    if (!tape) return;
    if (tape->host) tape->real->ops->release_host(tape->real, tape->host);
    free(tape);
}

px_device *px_tape_device(px_tape *tape) {
    return &tape->base;
}

void px_tape_begin(px_tape *tape, int groups, int images, void *memory, size_t bytes) {
    tape->count = 0;
    tape->replay.groups = groups;
    tape->replay.images = images;
    tape->replay.memory = memory;
    tape->replay.bytes = bytes;
}
