/* Runs the fused recurrence step of kernels/sm80 on the CPU, one block after the other. */
#ifndef PIXELRNN_TESTS_EMULATED_STEP_H
#define PIXELRNN_TESTS_EMULATED_STEP_H

#include "kernels/sm80/recurrence_step.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The kernel for px_step_emulated, from kernels/sm80/recurrence_step.cu. */
const void *px_recurrence_step_sm80(int channels, bool backward);

/* Runs one launch, with the random order of a seed. Returns NULL, or a description of the first fault, valid until the
 * next call. */
const char *px_step_emulated(const void *kernel, const px_step_launch *launch, const px_recurrence_args *recurrence,
                             int step, uint64_t seed);

#ifdef __cplusplus
}
#endif
#endif
