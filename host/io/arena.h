/* Memory is planned, then held: an arena hands out tensors from one allocation that is never grown.
 *
 * The same code carves an arena twice. First over no memory (px_arena_plan): addresses are made up, only the sizes
 * count. Then, after px_arena_allocate has allocated what was counted, for good. */
#ifndef PIXELRNN_ARENA_H
#define PIXELRNN_ARENA_H

#include "pixelrnn/device.h"
#include <stdbool.h>

typedef struct px_arena {
    px_device *device; /* whose memory; NULL while only planning */
    char *base;        /* NULL while planning */
    size_t capacity;   /* bytes held */
    size_t used;       /* bytes handed out so far */
    size_t peak;       /* the most that was ever handed out at once */
} px_arena;

/* A planning arena: hands out tensors without memory and counts them. */
px_arena px_arena_plan(void);

/* Whether `bytes` more fit into device->memory, beside the device's workspace and what its arenas hold. The system
 * would hand out more than there is, and end the process later. */
bool px_arena_fits(const px_device *device, size_t bytes);

/* Allocates `bytes` on device; PX_ERR_MEMORY if they do not fit or cannot be had. Released by px_arena_free, also when
 * never held. */
px_status px_arena_allocate(px_arena *arena, px_device *device, size_t bytes);
void px_arena_free(px_arena *arena);

/* PX_ERR_MEMORY as "out of memory: NEED 1.20 GiB beside 0.50 GiB that are held, of 1.50 GiB that LIMIT leaves; lower
 * KEYS". need: "the model needs". */
px_status px_arena_fail(px_device *device, const char *need, size_t bytes, const char *keys);

/* The next map of the given shape, 256-byte aligned, uninitialised. Holding less than was planned is a programming
 * error (an assertion). */
px_tensor px_arena_tensor(px_arena *arena, size_t rows, int columns, px_type type);

/* Everything handed out after `mark = arena->used` becomes free again: tensors that live only for a while. */
static inline void px_arena_rewind(px_arena *arena, size_t mark) {
    arena->used = mark;
}

#endif
