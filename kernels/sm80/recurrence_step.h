/* The fused recurrence step: its tiles, its launch and its pixels. The kernel, its launch, the choice of a strategy and
 * the tests share this file, which contains no CUDA.
 *
 * One launch computes step t of a recurrence (px_recurrence_args) in all directions. Its grid is
 *     x: blocks of PX_STEP_ROWS rows. Row r is position px_skew_first(t) + r / N of image r % N
 *     y: blocks of 32 hidden channels, or of 16 where 32 does not divide D
 *     z: directions
 * so that a block owns whole LSTM cells. */
#ifndef PIXELRNN_KERNELS_RECURRENCE_STEP_H
#define PIXELRNN_KERNELS_RECURRENCE_STEP_H

#include "kernels/skew.h"

enum {
    PX_STEP_ROWS = 64, /* rows of a block */
    PX_STEP_THREADS = 128,
    PX_STEP_CHANNEL_MULTIPLE = 16, /* D must be a multiple: K of one mma, and 2 n-tiles */
    PX_STEP_DEPTH = 64,            /* values of K in a stage of the pipeline */
};

/* Hidden channels of a block. */
PX_HOST_DEVICE int px_step_channels(const px_recurrence_args *s) { return s->hidden % 32 == 0 ? 32 : 16; }

/* The pipeline over K: bytes of a stage (a tile of A and a tile of B), and number of stages. 4 of forward or 8 of
 * backward are at most 96 KiB, which every device of compute capability 8.0 or later has. Macros, because the kernel
 * needs constants. */
#define PX_STEP_A_BYTES                         (PX_STEP_ROWS * PX_STEP_DEPTH * 2)
#define PX_STEP_B_BYTES(channels, backward)     ((channels) * ((backward) ? 1 : PX_GATES) * PX_STEP_DEPTH * 2)
#define PX_STEP_STAGE_BYTES(channels, backward) (PX_STEP_A_BYTES + PX_STEP_B_BYTES(channels, backward))
#define PX_STEP_STAGES(backward)                ((backward) ? 8 : 4)

/* K of one tap: h has D channels, the gradient of the gates 4 D. */
PX_HOST_DEVICE int px_step_tap_depth(const px_recurrence_args *s, bool backward) {
    return backward ? PX_GATES * s->hidden : s->hidden;
}
/* The number of stages that K = taps * px_step_tap_depth fills; the last one may be filled in part. */
PX_HOST_DEVICE int px_step_depth_stages(const px_recurrence_args *s, bool backward) {
    return (s->taps * px_step_tap_depth(s, backward) + PX_STEP_DEPTH - 1) / PX_STEP_DEPTH;
}

typedef struct px_step_launch {
    unsigned blocks[3]; /* x, y, z */
    size_t shared;      /* bytes of dynamic shared memory a block */
} px_step_launch;

static inline px_step_launch px_step_launch_of(const px_recurrence_args *s, int step, bool backward) {
    const int channels = px_step_channels(s), needed = px_step_depth_stages(s, backward);
    const int stages = needed < PX_STEP_STAGES(backward) ? needed : PX_STEP_STAGES(backward);
    const size_t rows = (size_t)px_skew_live(s, step) * (size_t)s->grid.images;
    px_step_launch launch;
    launch.blocks[0] = (unsigned)((rows + PX_STEP_ROWS - 1) / PX_STEP_ROWS);
    launch.blocks[1] = (unsigned)(s->hidden / channels);
    launch.blocks[2] = (unsigned)s->directions;
    launch.shared = (size_t)stages * (size_t)PX_STEP_STAGE_BYTES(channels, backward);
    return launch;
}

/* The bytes of px_recurrence_args.temporary backward: the gradients of c, (direction, position, image) x D float32. */
static inline size_t px_step_temporary_bytes(const px_recurrence_args *s) {
    const size_t rows = (size_t)s->directions * (size_t)s->positions * (size_t)s->grid.images;
    return rows * (size_t)s->hidden * sizeof(float);
}

/* The tensor row of the pixel at (step t, position p, image) in a direction, or -1 if the position is not live. */
PX_HOST_DEVICE int px_step_pixel(const px_recurrence_args *s, int direction, int t, int p, int image) {
    if (t < 0 || t >= s->steps) return -1;
    const int first = px_skew_first(s, t);
    const bool is_live = p >= first && p < first + px_skew_live(s, t);
    return is_live ? (int)px_skew_pixel(s, direction, t, p, image) : -1;
}

#endif
