/* Training: the loop. */
#include "host/train/trainer.h"
#include "host/io/clock.h"
#include "host/device/backend.h"

static px_status train_loop(px_trainer *t) {
    PX_TRY(px_trainer_report_due(t)); /* what a stop cut short */
    while (t->state.step < t->config->train.steps && t->stop == PX_OK) {
        px_batch batch;
        t->step_started = px_clock_seconds();
        PX_TRY(px_loader_next(t->loader, t->state.step, &batch));
        const double rate = px_learning_rate(t->config, t->state.step);
        /* Forward, backward, reduction, update: step.c */
        PX_TRY(px_step_run(t->step, batch.levels, batch.images, t->state.step + 1, rate));
        PX_TRY(px_trainer_collect(t));
        PX_TRY(px_trainer_report(t));
    }
    return px_ranks_agree(t->ranks, px_trainer_save(t)); /* no rank leaves before rank 0 has saved */
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
        status = train_loop(&trainer);
        px_progress_clear(&trainer.progress);
    }
    result->step = trainer.state.step;
    if (trainer.state.step < options->config->train.steps || trainer.state.evaluation_due || trainer.state.samples_due)
        result->stop = trainer.stop;
    px_trainer_close(&trainer);
    return status;
}
