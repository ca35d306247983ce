/* Explains how a device runs a recurrence (px_recurrence_args): the strategies, their requirements, and the chosen one.
 * The text comes from the same checks that choose the strategy of every recurrence. */
#ifndef PIXELRNN_RECURRENCE_H
#define PIXELRNN_RECURRENCE_H

#include "host/device/backend.h"

enum { PX_RECURRENCE_STRATEGIES = 3, PX_RECURRENCE_TEXT = 384 };

typedef struct px_recurrence_option {
    const char *name;                  /* "cluster" */
    char requires[PX_RECURRENCE_TEXT]; /* all requirements: "compute capability 9.0, bfloat16, ..."; "" if none */
    char missing[PX_RECURRENCE_TEXT];  /* those that are not met; "" if none */
} px_recurrence_option;

typedef struct px_recurrence_explanation {
    px_recurrence_option option[PX_RECURRENCE_STRATEGIES]; /* in order of preference */
    int chosen;                                            /* the first option whose requirements are met */
    char words[PX_RECURRENCE_TEXT]; /* the execution: "fused: all steps of a group of images on one thread" */
} px_recurrence_explanation;

/* Explains one recurrence, forward or backward, on this device. Tensors need types but no memory. */
void px_recurrence_explain(const px_device *device, const px_recurrence_args *recurrence, bool backward,
                           px_recurrence_explanation *explanation);

#endif
