/* How a device runs a recurrence (px_recurrence_args): the strategies there are, what each asks for, and which is
 * taken. These are the words of the choice itself, which is made at every recurrence from the same conditions. */
#ifndef PIXELRNN_RECURRENCE_H
#define PIXELRNN_RECURRENCE_H

#include "host/device/backend.h"

enum { PX_RECURRENCE_STRATEGIES = 2, PX_RECURRENCE_TEXT = 384 };

typedef struct px_recurrence_option {
    const char *name;               /* "cluster" */
    char asks[PX_RECURRENCE_TEXT];  /* all it asks for: "compute capability 9.0, bfloat16, ..."; "" if nothing */
    char lacks[PX_RECURRENCE_TEXT]; /* what of it is not given here; "" if nothing */
} px_recurrence_option;

typedef struct px_recurrence_explanation {
    px_recurrence_option option[PX_RECURRENCE_STRATEGIES]; /* in the order of preference */
    int taken;                                             /* the first option that lacks nothing */
    char words[PX_RECURRENCE_TEXT]; /* how it runs: "stepwise: a product and a cell kernel a step" */
} px_recurrence_explanation;

/* Of this recurrence, forward or backward, on this device. Tensors need types but no memory. */
void px_recurrence_explain(const px_device *device, const px_recurrence_args *recurrence, bool backward,
                           px_recurrence_explanation *explanation);

#endif
