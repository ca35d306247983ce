/* Memory is planned, then held. */
#include "pixelrnn/arena.h"
#include <assert.h>

enum { PX_ARENA_ALIGN = 256 };

px_arena px_arena_plan(void) {
    return (px_arena){0};
}

px_status px_arena_hold(px_arena *arena, px_device *device, size_t bytes) {
    *arena = (px_arena){.device = device, .capacity = bytes};
    void *base = NULL;
    PX_TRY(device->ops->allocate(device, bytes, &base));
    arena->base = base;
    return PX_OK;
}

void px_arena_release(px_arena *arena) {
    if (arena->base) arena->device->ops->release(arena->device, arena->base);
    *arena = (px_arena){0};
}

px_map px_arena_map(px_arena *arena, size_t rows, int columns, px_type type) {
    px_map map = {NULL, rows, columns, type};
    if (arena->base) map.data = arena->base + arena->used;
    arena->used += (px_map_bytes(&map) + PX_ARENA_ALIGN - 1) / PX_ARENA_ALIGN * PX_ARENA_ALIGN;
    if (arena->used > arena->peak) arena->peak = arena->used;
    assert(!arena->base || arena->used <= arena->capacity);
    return map;
}
