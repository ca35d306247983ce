/* Optimisers: SGD, RMSProp and Adam over all parameters at once, clipping by global norm, an average of the weights.
 * Equations at px_sgd_args, px_rmsprop_args, px_adam_args and px_ema_args in device.h. Masked weights have gradient 0,
 * and every rule here leaves a weight of 0 with gradients 0 at 0. */
#ifndef PIXELRNN_OPTIMIZER_H
#define PIXELRNN_OPTIMIZER_H

#include "pixelrnn/model.h"

typedef struct px_optimizer_spec {
    px_optimizer_kind kind;
    double rho;          /* RMSProp */
    double beta1, beta2; /* Adam */
    double epsilon;
    double clip_norm; /* 0: off */
    double ema_decay; /* 0: off */
} px_optimizer_spec;

/* One flat map of state, named as in checkpoints: "first", "second" (moments), "average" (of the weights). */
typedef struct px_optimizer_state {
    const char *name;
    px_tensor tensor;
} px_optimizer_state;

enum { PX_OPTIMIZER_STATES = 3 };

typedef struct px_optimizer px_optimizer;

/* Moments start at 0; the average starts at the model's weights of now. PX_ERR_MEMORY. NULL may be destroyed. */
px_status px_optimizer_create(px_model *model, const px_optimizer_spec *spec, px_optimizer **optimizer);
void px_optimizer_destroy(px_optimizer *optimizer);

/* Bytes on the device that an optimiser of this spec takes for this model. */
size_t px_optimizer_bytes(const px_model *model, const px_optimizer_spec *spec);

/* Gives the device what is new in update number `update` (from 1); rate is its learning rate. */
px_status px_optimizer_prepare(px_optimizer *optimizer, int64_t update, double rate);
/* The update that was prepared, with the model's gradients; then the copy of the weights that products read. The same
 * operations each time. */
px_status px_optimizer_update(px_optimizer *optimizer);

/* Global norm of the gradients of the last update, before clipping; waits for it. */
px_status px_optimizer_norm(px_optimizer *optimizer, double *norm);

/* The states in use, and how many. */
int px_optimizer_states(const px_optimizer *optimizer, px_optimizer_state states[PX_OPTIMIZER_STATES]);

/* The averaged weights, or an absent tensor when the average is off. */
px_tensor px_optimizer_average(const px_optimizer *optimizer);

#endif
