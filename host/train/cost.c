/* The cost of a training run. */
#include "host/train/cost.h"
#include "host/train/trainer.h"
#include "pixelrnn/sample.h"

/* Steps up to `steps` at which an action that runs every `every` steps (0: never) runs. */
static int64_t count_multiples(int64_t steps, int64_t every) { return every > 0 ? steps / every : 0; }

static int64_t least_common_multiple(int64_t a, int64_t b) {
    int64_t x = a, y = b;
    while (y > 0) {
        const int64_t rest = x % y;
        x = y;
        y = rest;
    }
    return x > 0 ? a / x * b : 0;
}

/* The largest number of checkpoints that are kept. One is written every checkpoint_every steps and after the last step.
 * Every evaluation may write one, too, if it is the best so far. */
static int64_t count_checkpoints(const px_config *c, bool evaluated) {
    const int64_t steps = c->train.steps, every = c->train.checkpoint_every;
    const int64_t evaluate = evaluated ? c->train.evaluate_every : 0, keep = c->train.keep_checkpoints;
    const int64_t both = count_multiples(steps, least_common_multiple(every, evaluate));
    int64_t written = count_multiples(steps, every) + count_multiples(steps, evaluate) - both;
    const bool last = (every > 0 && steps % every == 0) || (evaluate > 0 && steps % evaluate == 0);
    if (steps == 0 || !last) written++;
    return keep == 0 || written <= keep ? written : keep + (evaluated ? 1 : 0);
}

/* Evaluations run every evaluate_every steps, and after the last step. */
static void count_evaluations(const px_config *c, int64_t images, px_run_cost *cost) {
    const int64_t steps = c->train.steps, every = c->train.evaluate_every, limit = c->train.evaluate_images;
    cost->evaluations = count_multiples(steps, every) + (steps > 0 && (every == 0 || steps % every > 0));
    cost->evaluated_images = cost->evaluations * (limit > 0 && limit < images ? limit : images);
}

static px_status plan_memory(px_model *model, const px_config *c, px_run_cost *cost) {
    const px_optimizer_spec optimizer = px_optimizer_spec_from(c);
    const int samples = px_trainer_samples_at_once(c), parts = (int)c->train.accumulate;
    cost->plan = px_model_plan(model, cost->rank_images, PX_PURPOSE_TRAIN);
    cost->optimizer = px_optimizer_bytes(model, &optimizer);
    cost->accumulation = parts > 1 ? px_accumulation_bytes(model, parts, cost->rank_images) : 0;
    return samples > 0 ? px_sampler_plan(model, samples, &cost->sampler) : PX_OK;
}

px_status px_run_cost_of(px_model *model, const px_config *config, const px_run_images *images, int ranks,
                         px_run_cost *cost) {
    const bool evaluated = config->data.validation[0] || config->data.test[0];
    *cost = (px_run_cost){.images = config->train.steps * config->train.batch_size, .tested_images = images->tested};
    PX_TRY(px_trainer_rank_images(px_model_device(model)->ctx, config, ranks, &cost->rank_images));
    if (images->train > 0) cost->epochs = (double)cost->images / (double)images->train;
    if (evaluated) count_evaluations(config, images->evaluated, cost);
    cost->training_flops = (double)cost->images * px_model_flops(model, PX_PURPOSE_TRAIN);
    cost->evaluation_flops = (double)(cost->evaluated_images + cost->tested_images) *
                             px_model_flops(model, PX_PURPOSE_EVALUATE);
    cost->checkpoints = count_checkpoints(config, evaluated);
    PX_TRY(px_checkpoint_bytes(model, config, config->train.steps, &cost->checkpoint));
    return plan_memory(model, config, cost);
}
