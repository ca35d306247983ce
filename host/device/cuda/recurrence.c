/* Recurrences on CUDA, by the strategy that recurrence_strategy.c chooses. The fused step is compared with the stepwise
 * recurrence when a shape is seen first. Recurrences on clusters, which could hang, are compared by `pixelrnn check`,
 * in a process of its own. */
#include "host/device/cuda/cuda.h"
#include "host/device/proof.h"
#include "host/device/recurrence.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static px_status run_stepwise(px_device *device, const px_recurrence_args *s, bool backward) {
    return backward ? px_recurrence_backward_stepwise(device, s) : px_recurrence_forward_stepwise(device, s);
}

/* ---- Shapes whose fused recurrence has been proven ---- */

/* All that the kernels' work depends on, except tensors and weights. */
typedef struct proven_shape {
    int64_t images, height, width, steps, positions, skew, taps, first_tap, hidden, directions, backward;
} proven_shape;

static proven_shape shape_of(const px_recurrence_args *s, bool backward) {
    return (proven_shape){s->grid.images, s->grid.height, s->grid.width, s->steps,      s->positions, s->skew,
                          s->taps,        s->first_tap,   s->hidden,     s->directions, backward};
}

px_cuda_cache px_cuda_proven_recurrences(void) {
    return (px_cuda_cache){.key_size = sizeof(proven_shape), .release = free};
}

/* Without memory for the entry, the shape is proven again. */
static void remember(px_cuda *cuda, const proven_shape *shape) {
    proven_shape *entry = malloc(sizeof *entry);
    if (!entry) return;
    *entry = *shape;
    px_cuda_cache_add(&cuda->recurrences, entry);
}

/* ---- The proof ---- */

static px_proof_state state_of(const px_recurrence_args *s, bool backward) {
    px_proof_state state = {0};
    for (int d = 0; d < s->directions; d++) {
        state.tensor[state.count++] = s->direction[d].gates;
        if (backward) continue;
        state.output[state.count] = state.output[state.count + 1] = true;
        state.tensor[state.count++] = s->direction[d].c;
        state.tensor[state.count++] = s->direction[d].h;
    }
    return state;
}

/* Runs the stepwise recurrence once and the fused one twice. *difference is that of the two; infinite if the two runs
 * of the fused one differ. */
static px_status compare(px_device *device, const px_recurrence_args *s, const px_recurrence_choice *choice,
                         bool backward, px_proof *proof, double *difference) {
    PX_TRY(run_stepwise(device, s, backward));
    PX_TRY(px_proof_save(proof, device, PX_PROOF_PLAIN));
    for (px_proof_copy copy = PX_PROOF_FAST; copy <= PX_PROOF_AGAIN; copy++) {
        PX_TRY(px_proof_load(proof, device, PX_PROOF_BEFORE));
        PX_TRY(px_cuda_recurrence_launch(device, s, choice, backward));
        PX_TRY(px_proof_save(proof, device, copy));
    }
    *difference = px_proof_is_equal(proof, PX_PROOF_FAST, PX_PROOF_AGAIN) ? px_proof_difference(proof, PX_PROOF_PLAIN)
                                                                          : INFINITY;
    return PX_OK;
}

/* The device does not use the fused recurrence from now on. */
static void refuse(px_device *device, const char *reason) {
    device->paths &= ~(unsigned)PX_PATH_FUSED;
    snprintf(device->warning, sizeof device->warning, "warning: %.*s; recurrences run stepwise, which is slower",
             PX_DEVICE_WARNING - 80, reason);
}

/* Runs the recurrence, by both strategies. The results are those of the fused one if both agree, otherwise those of the
 * stepwise one. */
static px_status run_first(px_cuda *cuda, const px_recurrence_args *s, const px_recurrence_choice *choice,
                           bool backward) {
    px_device *device = &cuda->base;
    const px_proof_state state = state_of(s, backward);
    const proven_shape shape = shape_of(s, backward);
    px_proof proof;
    double difference = INFINITY;
    char reason[160];
    px_status status = px_proof_begin(&proof, device, &state, PX_PROOF_AGAIN);
    if (status == PX_OK) status = compare(device, s, choice, backward, &proof, &difference);
    if (status == PX_OK && difference <= px_recurrence_tolerance) {
        remember(cuda, &shape);
        px_proof_end(&proof);
        return PX_OK;
    }
    snprintf(reason, sizeof reason,
             "the fused recurrence differs from the stepwise one by %.2g of the largest value (at most %.2g)",
             difference, px_recurrence_tolerance);
    refuse(device, status == PX_OK ? reason : device->ctx->message);
    device->ctx->message[0] = '\0';
    if (proof.copy[PX_PROOF_BEFORE]) status = px_proof_load(&proof, device, PX_PROOF_BEFORE);
    px_proof_end(&proof);
    return status == PX_OK || status == PX_ERR_MEMORY ? run_stepwise(device, s, backward) : status;
}

/* ---- Operations ---- */

static px_status run(px_device *device, const px_recurrence_args *s, bool backward) {
    px_cuda *cuda = (px_cuda *)device;
    const px_recurrence_choice choice = px_recurrence_choose(device, s, backward);
    const proven_shape shape = shape_of(s, backward);
    if (choice.strategy == PX_RECURRENCE_STEPWISE) return run_stepwise(device, s, backward);
    if (choice.strategy == PX_RECURRENCE_FUSED && !px_cuda_cache_find(&cuda->recurrences, &shape))
        return run_first(cuda, s, &choice, backward);
    return px_cuda_recurrence_launch(device, s, &choice, backward);
}

px_status px_cuda_recurrence_forward(px_device *device, const px_recurrence_args *s) { return run(device, s, false); }

px_status px_cuda_recurrence_backward(px_device *device, const px_recurrence_args *s) { return run(device, s, true); }

/* What the stepwise recurrence needs is enough for the fused one, which is compared with it. */
size_t px_cuda_recurrence_bytes(const px_device *device, const px_recurrence_args *s) {
    const bool forward = px_recurrence_choose(device, s, false).strategy == PX_RECURRENCE_CLUSTER;
    const bool backward = s->direction[0].dh.columns == 0 || /* then it runs forward alone */
                          px_recurrence_choose(device, s, true).strategy == PX_RECURRENCE_CLUSTER;
    return forward && backward ? 0 : px_recurrence_bytes_stepwise(s);
}
