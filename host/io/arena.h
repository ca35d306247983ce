/* An arena hands out tensors from one allocation of device memory, which never grows.
 *
 * The same code lays out the tensors twice. The first time is a dry run over px_arena_plan(): its tensors have no
 * memory, and `peak` counts the bytes. The second time is over an arena of that many bytes (px_arena_allocate). */
#ifndef PIXELRNN_ARENA_H
#define PIXELRNN_ARENA_H

#include "pixelrnn/device.h"
#include <stdbool.h>

typedef struct px_arena {
    px_device *device; /* owner of the memory; NULL in a dry run */
    char *base;        /* NULL in a dry run */
    size_t capacity;   /* bytes allocated */
    size_t used;       /* bytes handed out now */
    size_t peak;       /* the maximum of `used` so far */
} px_arena;

/* An arena for a dry run. It needs no px_arena_free. */
px_arena px_arena_plan(void);

/* Whether device->memory has room for `bytes` more bytes, beside the device's workspace and its other arenas. The
 * operating system may grant an allocation that exceeds the memory, and kill the process when it is used. */
bool px_arena_fits(const px_device *device, size_t bytes);

/* Allocates `bytes` bytes on the device, which must outlive the arena. PX_ERR_MEMORY if they do not fit or the device
 * cannot allocate them. Free with px_arena_free, which accepts an arena whose allocation failed. */
px_status px_arena_allocate(px_arena *arena, px_device *device, size_t bytes);
void px_arena_free(px_arena *arena);

/* Returns PX_ERR_MEMORY with the message "out of memory: NEED 1.200 GiB beside 0.500 GiB in use, of 1.500 GiB that
 * LIMIT leaves; lower KEYS". need: a subject and its verb, "the model needs". keys: config keys. */
px_status px_arena_fail(px_device *device, const char *need, size_t bytes, const char *keys);

/* Hands out the next tensor, uninitialised and aligned to PX_TENSOR_ALIGN bytes. Asking for more than the capacity is a
 * programming error, caught by an assertion. */
px_tensor px_arena_tensor(px_arena *arena, size_t rows, int columns, px_type type);

/* Releases all tensors handed out since arena->used was `mark`; later tensors reuse their memory. */
static inline void px_arena_rewind(px_arena *arena, size_t mark) { arena->used = mark; }

#endif
