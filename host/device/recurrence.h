/* Sweeps: launched, one product and one cell kernel a step over any device; and what else there is, and when. */
#ifndef PIXELRNN_DEVICE_SWEEP_H
#define PIXELRNN_DEVICE_SWEEP_H

#include "kernels/sm90/cluster.h"
#include "pixelrnn/recurrence.h"

px_status px_sweep_forward_launched(px_device *device, const px_sweep_args *sweep);
px_status px_sweep_backward_launched(px_device *device, const px_sweep_args *sweep);

/* How a device runs a sweep. */
typedef enum { PX_SWEEP_LAUNCHED, PX_SWEEP_CLUSTER } px_sweep_strategy;
typedef struct px_sweep_choice {
    px_sweep_strategy strategy;
    px_cluster cluster; /* with PX_SWEEP_CLUSTER: the split, its images, */
    size_t shared;      /* and bytes of shared memory a block */
    char words[128];    /* the choice as a line for people */
} px_sweep_choice;

/* The first strategy of the table in sweep_strategy.c that this device, these sizes and these maps allow. Maps without
 * data count as aligned, so that a plan can be described before there is memory. */
px_sweep_choice px_sweep_choose(const px_device *device, const px_sweep_args *sweep, bool backward);

#endif
