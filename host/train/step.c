/* A training step, recorded as far as a graph reaches. */
#include "host/train/step.h"
#include "host/train/pass.h"
#include <stdlib.h>

struct px_step {
    px_model *model;
    px_optimizer *optimizer;
    px_reduction *reduction; /* NULL alone */
    px_pass pass;
};

px_status px_step_create(px_model *model, px_optimizer *optimizer, px_reduction *reduction, px_step **step) {
    *step = malloc(sizeof **step);
    if (!*step) return px_fail(px_model_device(model)->ctx, PX_ERR_MEMORY, "train: cannot allocate a step");
    **step = (px_step){.model = model, .optimizer = optimizer, .reduction = reduction};
    px_model_set_gradient_hook(model, reduction ? px_reduction_ready : NULL, reduction);
    return PX_OK;
}

void px_step_destroy(px_step *step) {
    if (!step) return;
    px_model_set_gradient_hook(step->model, NULL, NULL);
    px_pass_forget(&step->pass, px_model_device(step->model));
    free(step);
}

static px_status step_forward(void *context) {
    px_step *s = context;
    return px_model_loss(s->model, true);
}

static px_status step_learn(px_step *s) {
    PX_TRY(px_model_backward(s->model)); /* gradients leave for the other ranks while it runs */
    PX_TRY(px_reduction_finish(s->reduction));
    return px_optimizer_update(s->optimizer);
}

static px_status step_whole(void *context) {
    PX_TRY(step_forward(context));
    return step_learn(context);
}

px_status px_step_run(px_step *s, const uint8_t *levels, int images, int64_t update, double rate) {
    px_device *device = px_model_device(s->model);
    PX_TRY(px_model_upload_batch(s->model, levels, images));
    PX_TRY(px_optimizer_prepare(s->optimizer, update, rate));
    const px_work_shape shape = px_model_shape(s->model);
    if (!s->reduction) return px_pass_run(&s->pass, device, shape, step_whole, s);
    PX_TRY(px_pass_run(&s->pass, device, shape, step_forward, s));
    return step_learn(s);
}
