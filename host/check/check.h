/* Compares a device with the plain paths of the CPU: `pixelrnn check` and the parity tests. */
#ifndef PIXELRNN_CHECK_H
#define PIXELRNN_CHECK_H

#include "pixelrnn/device.h"

/* A comparison: the precision of each side, and the tolerance in roundings to bfloat16 (share). bfloat16 differs from
 * float32 by one rounding. Two devices differ by up to twice that if their sums fall on two sides of a tie, and a fast
 * path may round a convolution's sum once more before it adds. With TF32, CUDA rounds both operands to 2^-11, in every
 * product. */
typedef struct px_check_mode {
    const char *name;
    px_type type[2]; /* of activations: the reference, and the device that is checked */
    double share;
    bool tf32; /* on the device that is checked */
} px_check_mode;
enum { PX_CHECK_FLOAT32, PX_CHECK_TF32, PX_CHECK_BFLOAT16, PX_CHECK_BFLOAT16_FLOAT32, PX_CHECK_MODES };
extern const px_check_mode px_check_modes[PX_CHECK_MODES];

#endif
