/* Recurrences: stepwise, one product and one cell kernel a step over any device; and what else there is, and when. */
#ifndef PIXELRNN_DEVICE_RECURRENCE_H
#define PIXELRNN_DEVICE_RECURRENCE_H

#include "kernels/sm90/cluster.h"
#include "host/device/recurrence_choice.h"
#include "host/device/backend.h"

px_status px_recurrence_forward_stepwise(px_device *device, const px_recurrence_args *recurrence);
px_status px_recurrence_backward_stepwise(px_device *device, const px_recurrence_args *recurrence);

/* How a device runs a recurrence. */
typedef enum { PX_RECURRENCE_STEPWISE, PX_RECURRENCE_CLUSTER } px_recurrence_strategy;
typedef struct px_recurrence_choice {
    px_recurrence_strategy strategy;
    px_cluster cluster; /* with PX_RECURRENCE_CLUSTER: the split, its images, */
    size_t shared;      /* and bytes of shared memory a block */
    char words[128];    /* the choice as a line for people */
} px_recurrence_choice;

/* The first strategy of the table in sweep_strategy.c that this device, these sizes and these tensors allow. Tensors
 * without data count as aligned, so that a plan can be described before there is memory. */
px_recurrence_choice px_recurrence_choose(const px_device *device, const px_recurrence_args *recurrence, bool backward);

#endif
