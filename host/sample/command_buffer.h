/* A device that records instead of running: see px_replay_args in device.h. */
#ifndef PIXELRNN_DECODE_TAPE_H
#define PIXELRNN_DECODE_TAPE_H

#include "pixelrnn/device.h"

typedef struct px_tape px_tape;

/* Records for `real`; steps: px_tape_bytes of its memory. PX_ERR_MEMORY; closed even then. NULL may be closed. */
px_status px_tape_open(px_device *real, void *steps, px_tape **tape);
void px_tape_close(px_tape *tape);
size_t px_tape_bytes(void);

/* What to hand the operations to. Only those of PX_TAPE_OPS, and clear, are there. A full tape is replayed. */
px_device *px_tape_device(px_tape *tape);

/* From here on addresses within `bytes` bytes from memory on are group 0's. */
void px_tape_begin(px_tape *tape, int groups, int images, void *memory, size_t bytes);
/* Replays what was recorded, and waits for it. */
px_status px_tape_flush(px_tape *tape);

#endif
