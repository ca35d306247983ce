/* Optimisers over the flat tensors of weights and gradients. */
#include "host/train/optimizer.h"
#include "host/io/arena.h"
#include "host/model/internal.h"
#include <math.h>
#include <stdlib.h>

struct px_optimizer {
    px_model *model;
    px_optimizer_spec spec;
    px_arena arena;
    px_tensor first, second, average; /* flat like the weights; absent if the rule does not use them */
    px_tensor squares;                /* (rows, 1): sums of squares of the gradients */
    px_tensor scale;                  /* (1, 2): clip scale, norm */
    px_tensor numbers;                /* (1, PX_UPDATE_NUMBERS): scalars of the next update */
};

static void lay_out(px_optimizer *o, px_arena *arena) {
    const px_tensor flat = px_model_weights(o->model);
    if (o->spec.kind == PX_OPTIMIZER_ADAM) o->first = px_arena_tensor(arena, flat.rows, flat.columns, PX_REAL);
    if (o->spec.kind != PX_OPTIMIZER_SGD) o->second = px_arena_tensor(arena, flat.rows, flat.columns, PX_REAL);
    if (o->spec.ema_decay > 0) o->average = px_arena_tensor(arena, flat.rows, flat.columns, PX_REAL);
    o->squares = px_arena_tensor(arena, flat.rows, 1, PX_FLOAT64);
    o->scale = px_arena_tensor(arena, 1, 2, PX_FLOAT64);
    o->numbers = px_arena_tensor(arena, 1, PX_UPDATE_NUMBERS, PX_FLOAT64);
}

px_optimizer_spec px_optimizer_spec_from(const px_config *c) {
    return (px_optimizer_spec){.kind = (px_optimizer_kind)c->train.optimizer,
                               .rho = c->train.rho,
                               .beta1 = c->train.beta1,
                               .beta2 = c->train.beta2,
                               .epsilon = c->train.epsilon,
                               .clip_norm = c->train.clip_norm,
                               .ema_decay = c->train.ema_decay};
}

/* Lays out the state in no memory, and returns its bytes. */
static size_t dry_run(px_optimizer *dry) {
    px_arena plan = px_arena_plan();
    lay_out(dry, &plan);
    return plan.peak;
}

size_t px_optimizer_bytes(const px_model *model, const px_optimizer_spec *spec) {
    px_optimizer dry = {.model = (px_model *)model, .spec = *spec};
    return dry_run(&dry);
}

int px_optimizer_plan_states(const px_model *model, const px_optimizer_spec *spec,
                             px_optimizer_state states[PX_OPTIMIZER_STATES]) {
    px_optimizer dry = {.model = (px_model *)model, .spec = *spec};
    dry_run(&dry);
    return px_optimizer_states(&dry, states);
}

/* Allocates and initialises the state. */
static px_status begin_state(px_optimizer *o) {
    px_device *device = px_model_device(o->model);
    const size_t bytes = px_optimizer_bytes(o->model, &o->spec);
    const px_status status = px_arena_allocate(&o->arena, device, bytes);
    if (status == PX_ERR_MEMORY)
        return px_arena_fail(device, "the optimiser needs", bytes, "model.hidden, model.head or model.layers");
    PX_TRY(status);
    PX_TRY(device->ops->clear(device, o->arena.base, o->arena.capacity));
    lay_out(o, &o->arena);
    if (!o->average.data) return PX_OK;
    return device->ops->copy(device, o->average.data, px_model_weights(o->model).data, px_tensor_bytes(&o->average));
}

px_status px_optimizer_create(px_model *model, const px_optimizer_spec *spec, px_optimizer **optimizer) {
    *optimizer = NULL;
    px_optimizer *o = calloc(1, sizeof *o);
    if (!o) return px_fail_memory(px_model_device(model)->ctx, "optimizer", sizeof *o);
    o->model = model;
    o->spec = *spec;
    const px_status status = begin_state(o);
    if (status == PX_OK)
        *optimizer = o;
    else
        px_optimizer_destroy(o);
    return status;
}

void px_optimizer_destroy(px_optimizer *o) {
    if (!o) return;
    px_arena_free(&o->arena);
    free(o);
}

px_status px_optimizer_upload_scalars(px_optimizer *o, int64_t update, double rate) {
    const px_optimizer_spec *s = &o->spec;
    return px_run(px_model_device(o->model), upload_scalars, .y = o->numbers,
                  .value = {[PX_UPDATE_RATE] = rate,
                            [PX_UPDATE_CORRECTION1] = 1 - pow(s->beta1, (double)update),
                            [PX_UPDATE_CORRECTION2] = 1 - pow(s->beta2, (double)update)});
}

static px_status apply_rule(px_optimizer *o) {
    px_device *device = px_model_device(o->model);
    const px_tensor weights = px_model_weights(o->model), gradients = px_model_gradients(o->model);
    const px_optimizer_spec *s = &o->spec;
    switch (s->kind) {
    case PX_OPTIMIZER_SGD:
        return px_run(device, sgd, .weights = weights, .gradients = gradients, .scale = o->scale,
                      .numbers = o->numbers);
    case PX_OPTIMIZER_RMSPROP:
        return px_run(device, rmsprop, .weights = weights, .gradients = gradients, .second = o->second,
                      .scale = o->scale, .numbers = o->numbers, .rho = (px_real)s->rho, .epsilon = (px_real)s->epsilon);
    case PX_OPTIMIZER_ADAM:
        return px_run(device, adam, .weights = weights, .gradients = gradients, .first = o->first, .second = o->second,
                      .scale = o->scale, .numbers = o->numbers, .beta1 = (px_real)s->beta1, .beta2 = (px_real)s->beta2,
                      .epsilon = (px_real)s->epsilon);
    }
    return px_fail(device->ctx, PX_ERR_CONFIG, "train.optimizer: no such optimizer: %d", (int)s->kind);
}

px_status px_optimizer_update(px_optimizer *o) {
    px_device *device = px_model_device(o->model);
    PX_TRY(px_run(device, sum_squares, .x = px_model_gradients(o->model), .sum = o->squares));
    PX_TRY(px_run(device, clip, .squares = o->squares, .scale = o->scale, .clip = o->spec.clip_norm));
    PX_TRY(apply_rule(o));
    PX_TRY(px_model_cast_weights(o->model));
    if (!o->average.data) return PX_OK;
    return px_run(device, ema, .weights = px_model_weights(o->model), .average = o->average, .scale = o->scale,
                  .decay = (px_real)o->spec.ema_decay);
}

px_tensor px_optimizer_norm(const px_optimizer *o) {
    return px_tensor_of((double *)o->scale.data + 1, 1, 1, PX_FLOAT64);
}

int px_optimizer_states(const px_optimizer *o, px_optimizer_state states[PX_OPTIMIZER_STATES]) {
    const px_optimizer_state all[] = {{"first", o->first}, {"second", o->second}, {"average", o->average}};
    int count = 0;
    for (int i = 0; i < PX_OPTIMIZER_STATES; i++)
        if (all[i].tensor.rows > 0) states[count++] = all[i];
    return count;
}

px_tensor px_optimizer_average(const px_optimizer *o) { return o->average; }
