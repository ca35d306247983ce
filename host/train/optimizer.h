/* Optimisers: SGD, RMSProp and Adam over all parameters at once, with clipping by global norm and an exponential moving
 * average of the weights. Equations: px_sgd_args, px_rmsprop_args, px_adam_args, px_clip_args and px_ema_args in
 * host/device/backend.h.
 *
 *     for update = 1, 2, ...
 *         px_model_forward(model, levels, images, true), px_model_backward(model)
 *         px_optimizer_upload_scalars(optimizer, update, learning_rate)
 *         px_optimizer_update(optimizer)
 *
 * Masked weights have gradient 0. Every rule here leaves a weight at 0 if it is 0 and its gradients are. */
#ifndef PIXELRNN_OPTIMIZER_H
#define PIXELRNN_OPTIMIZER_H

#include "pixelrnn/model.h"

typedef struct px_optimizer_spec {
    px_optimizer_kind kind;
    double rho;          /* RMSProp */
    double beta1, beta2; /* Adam */
    double epsilon;      /* RMSProp, Adam */
    double clip_norm;    /* gradients are scaled to at most this norm; 0: no clipping */
    double ema_decay;    /* decay of the average; 0: no average */
} px_optimizer_spec;

/* The optimiser that a config describes (train.optimizer and its settings). */
px_optimizer_spec px_optimizer_spec_from(const px_config *config);

/* A tensor of state, flat like the model's weights. name, as in checkpoints: "first" or "second" (moments of the
 * gradients), "average" (of the weights). */
typedef struct px_optimizer_state {
    const char *name;
    px_tensor tensor;
} px_optimizer_state;

enum { PX_OPTIMIZER_STATES = 3 };

typedef struct px_optimizer px_optimizer;

/* Moments start at 0; the average starts at the model's present weights. The model must outlive the optimiser.
 * PX_ERR_MEMORY, with the bytes needed and the config keys that reduce them. */
px_status px_optimizer_create(px_model *model, const px_optimizer_spec *spec, px_optimizer **optimizer);
void px_optimizer_destroy(px_optimizer *optimizer); /* NULL is allowed */

/* Bytes on the device that an optimiser of this spec needs for this model. */
size_t px_optimizer_bytes(const px_model *model, const px_optimizer_spec *spec);

/* Uploads the scalars of update number `update` (from 1): its learning rate and Adam's bias corrections. Separate from
 * px_optimizer_update because uploads cannot be captured in a graph. */
px_status px_optimizer_upload_scalars(px_optimizer *optimizer, int64_t update, double rate);
/* Clips the model's gradients, updates its weights, refreshes the compute weights, and updates the average. Nothing is
 * updated if the norm of the gradients is not finite. Issues the same operations each time. */
px_status px_optimizer_update(px_optimizer *optimizer);

/* (1, 1) PX_FLOAT64 on the device: the global norm of the gradients of the last update, before clipping. */
px_tensor px_optimizer_norm(const px_optimizer *optimizer);

/* Fills states with the tensors in use, and returns their number. */
int px_optimizer_states(const px_optimizer *optimizer, px_optimizer_state states[PX_OPTIMIZER_STATES]);

/* The states of an optimiser of this spec that is not created: tensors without data. */
int px_optimizer_plan_states(const px_model *model, const px_optimizer_spec *spec,
                             px_optimizer_state states[PX_OPTIMIZER_STATES]);

/* The averaged weights, or an absent tensor without an average. */
px_tensor px_optimizer_average(const px_optimizer *optimizer);

#endif
