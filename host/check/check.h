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

/* One line of the report: an operation, a recurrence or a model, in one mode. */
typedef struct px_check_row {
    const char *name, *mode;
    int cases;
    double worst, tolerance; /* the largest difference, relative to the largest value of its tensor */
    double seconds;
    char failure[512]; /* "" if all cases agree */
} px_check_row;

/* Receives the rows as they are done. */
typedef struct px_check_report {
    void (*row)(void *user, const px_check_row *row);
    void *user;
} px_check_report;

/* Every operation, the fused recurrence where it can run (if brief, on small shapes), and each kind of model, some with
 * a condition, in all precisions of the device.
 * Rows may report failures; the status is not PX_OK if the device or memory for it cannot be had. */
px_status px_check_device(px_context *ctx, px_device_kind kind, bool brief, const px_check_report *report);

/* Recurrences on clusters (cluster_trial.h), each 100 times; *step and *fused_step are seconds of a step, forward and
 * backward, by them and by the fused recurrence (0: not measured). They could hang on a GPU where they were never
 * tried, so that a process of its own should call it. */
px_status px_check_clusters(px_context *ctx, px_check_row *row, double *step, double *fused_step);

#endif
