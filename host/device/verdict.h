/* The verdict of `pixelrnn check` on a GPU's recurrences on clusters. These could hang on a GPU where they were never
 * tried, so that they are used only after a check, in a process of its own, has found that they agree.
 *
 * A verdict is a small JSON file for each GPU, $XDG_CACHE_HOME/pixelrnn/verdict-UUID.json ($HOME/.cache without that
 * variable). It counts only for the GPU, driver, libraries and program that it was found with. */
#ifndef PIXELRNN_DEVICE_VERDICT_H
#define PIXELRNN_DEVICE_VERDICT_H

#include "host/device/backend.h"
#include "host/io/file.h"

typedef enum { PX_VERDICT_NONE, PX_VERDICT_USE, PX_VERDICT_AVOID } px_verdict_answer;
typedef struct px_verdict {
    px_verdict_answer answer;
    char reason[256]; /* one line: "agrees, 3.9 us a step, fused 5.1", or why not */
} px_verdict;

/* Reads the verdict on this device. NONE: there is none, it is not readable, or it is of another driver or program. */
void px_verdict_read(px_device *device, px_verdict *verdict);
/* Stores a verdict, atomically; path: receives where. PX_ERR_FILE if the folder cannot be written. */
px_status px_verdict_write(px_device *device, const px_verdict *verdict, char path[PX_PATH]);

#endif
