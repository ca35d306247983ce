/* Training: the loop. */
#include "host/train/trainer.h"

static px_status px_train_loop(px_trainer *t) {
    while (t->state.step < t->config->train.steps && !t->stop) {
        px_batch batch;
        PX_TRY(px_loader_next(t->loader, t->state.step, &batch));
        PX_TRY(px_model_forward(t->model, batch.levels, batch.images, true));
        PX_TRY(px_model_backward(t->model)); /* gradients leave for the other ranks while it runs */
        PX_TRY(px_reduction_finish(t->reduction));
        PX_TRY(px_optimizer_update(t->optimizer, t->state.step + 1, px_learning_rate(t->config, t->state.step)));
        PX_TRY(px_trainer_observe(t));
        PX_TRY(px_trainer_report(t));
    }
    return px_trainer_save(t);
}

px_status px_train(px_device *device, const px_train_options *options, px_train_result *result) {
    px_trainer trainer = {
        .ctx = device->ctx, .device = device, .config = options->config, .options = options, .result = result};
    trainer.ranks = options->ranks;
    trainer.root = px_ranks_rank(options->ranks) == 0;
    *result = (px_train_result){0};
    px_status status = px_trainer_open(&trainer);
    if (status == PX_OK) {
        px_progress_begin(&trainer.progress, options->out, "train", trainer.state.step, options->config->train.steps);
        status = px_train_loop(&trainer);
        px_progress_clear(&trainer.progress);
    }
    result->step = trainer.state.step;
    result->stopped = status == PX_OK && trainer.state.step < options->config->train.steps;
    px_trainer_close(&trainer);
    return status;
}
