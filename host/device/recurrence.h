/* Recurrences: the stepwise execution, which runs on any device, and the choice among strategies. */
#ifndef PIXELRNN_DEVICE_RECURRENCE_H
#define PIXELRNN_DEVICE_RECURRENCE_H

#include "kernels/sm80/recurrence_step.h"
#include "kernels/sm90/cluster.h"
#include "host/device/recurrence_choice.h"
#include "host/device/backend.h"

px_status px_recurrence_forward_stepwise(px_device *device, const px_recurrence_args *recurrence);
px_status px_recurrence_backward_stepwise(px_device *device, const px_recurrence_args *recurrence);
/* The bytes of temporary memory of both. */
size_t px_recurrence_bytes_stepwise(const px_recurrence_args *recurrence);

/* The cluster sizes of px_device.clusters. */
enum { PX_CLUSTER_SIZES = 4 };

/* The largest difference between a fused and the stepwise recurrence in bfloat16, relative to the largest value. Each
 * rounds h, or the gates' gradients, to 2^-9 at every step, in sums of another order, and differs from a recurrence in
 * float32 by up to 0.02 in the tests (host/check/paths.c). A wrong tap, channel or step is off by about 1. */
static const double px_recurrence_tolerance = 0.04;

/* How a device runs a recurrence. */
typedef enum { PX_RECURRENCE_STEPWISE, PX_RECURRENCE_FUSED, PX_RECURRENCE_CLUSTER } px_recurrence_strategy;
typedef struct px_recurrence_choice {
    px_recurrence_strategy strategy;
    px_cluster cluster; /* PX_RECURRENCE_CLUSTER: how work is split among blocks */
    size_t shared;      /* PX_RECURRENCE_CLUSTER: bytes of shared memory a block */
    char words[128];    /* the choice as text for users */
} px_recurrence_choice;

/* The first strategy of the table in recurrence_strategy.c whose requirements this device, these sizes and these
 * tensors meet. Tensors without data count as aligned, so that the choice can be explained before allocation. */
px_recurrence_choice px_recurrence_choose(const px_device *device, const px_recurrence_args *recurrence, bool backward);

#endif
