#include "host/io/arena.h"
#include "host/device/backend.h"
#include <assert.h>

px_arena px_arena_plan(void) { return (px_arena){0}; }

bool px_arena_fits(const px_device *device, size_t bytes) {
    const size_t taken = device->workspace + device->held;
    return taken <= device->memory && bytes <= device->memory - taken;
}

px_status px_arena_allocate(px_arena *arena, px_device *device, size_t bytes) {
    *arena = (px_arena){.device = device, .capacity = bytes};
    void *base = NULL;
    if (!px_arena_fits(device, bytes)) return px_fail_memory(device->ctx, device->kind, bytes);
    PX_TRY(device->ops->allocate(device, bytes, &base));
    arena->base = base;
    device->held += bytes;
    return PX_OK;
}

static double gib(size_t bytes) { return (double)bytes / (1 << 30); }

px_status px_arena_fail(px_device *device, const char *need, size_t bytes, const char *keys) {
    return px_fail(device->ctx, PX_ERR_MEMORY,
                   "out of memory: %s %.3f GiB beside %.3f GiB in use, of %.3f GiB that %s leaves; lower %s", need,
                   gib(bytes), gib(device->workspace + device->held), gib(device->memory),
                   device->limit[0] ? device->limit : "the device's memory", keys);
}

void px_arena_free(px_arena *arena) {
    if (arena->base) {
        arena->device->ops->free(arena->device, arena->base);
        arena->device->held -= arena->capacity;
    }
    *arena = (px_arena){0};
}

px_tensor px_arena_tensor(px_arena *arena, size_t rows, int columns, px_type type) {
    const px_tensor tensor = {arena->base ? arena->base + arena->used : NULL, rows, columns, type};
    arena->used += px_tensor_padded_bytes(&tensor);
    if (arena->used > arena->peak) arena->peak = arena->used;
    assert(!arena->base || arena->used <= arena->capacity);
    return tensor;
}
