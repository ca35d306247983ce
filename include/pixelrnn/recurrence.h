/* How a device runs a sweep (px_sweep_args): the strategies there are, what each asks for, and which is taken. These are
 * the words of the choice itself, which is made at every sweep from the same conditions. */
#ifndef PIXELRNN_SWEEP_H
#define PIXELRNN_SWEEP_H

#include "pixelrnn/device.h"

enum { PX_SWEEP_STRATEGIES = 2, PX_SWEEP_WORDS = 384 };

typedef struct px_sweep_option {
    const char *name;           /* "cluster" */
    char asks[PX_SWEEP_WORDS];  /* all it asks for: "compute capability 9.0, bfloat16, ..."; "" if nothing */
    char lacks[PX_SWEEP_WORDS]; /* what of it is not given here; "" if nothing */
} px_sweep_option;

typedef struct px_sweep_explanation {
    px_sweep_option option[PX_SWEEP_STRATEGIES]; /* in the order of preference */
    int taken;                                   /* the first option that lacks nothing */
    char words[PX_SWEEP_WORDS];                  /* how it runs: "launched: a product and a cell kernel a step" */
} px_sweep_explanation;

/* Of this sweep, forward or backward, on this device. Maps need types but no memory. */
void px_sweep_explain(const px_device *device, const px_sweep_args *sweep, bool backward,
                      px_sweep_explanation *explanation);

#endif
