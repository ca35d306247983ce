/* Runs a function in a process of its own, so that a crash or a hang of it is the caller's to report. Call it before
 * the process has used CUDA or started threads: neither survives a fork. */
#ifndef PIXELRNN_CHILD_H
#define PIXELRNN_CHILD_H

#include "pixelrnn/status.h"
#include <stddef.h>

/* Zeroed memory that the caller and its children share; NULL without memory. Free it with px_child_memory_free. */
void *px_child_memory(size_t bytes);
void px_child_memory_free(void *memory, size_t bytes);

/* Runs work(argument) in a child for at most `seconds` (0: without limit), and kills it then. Its results reach the
 * caller through px_child_memory alone. PX_ERR_DEVICE, with the reason, if it did not return: "NAME: ended by signal
 * 11". */
px_status px_child_run(px_context *ctx, const char *name, void (*work)(void *argument), void *argument, double seconds);

#endif
