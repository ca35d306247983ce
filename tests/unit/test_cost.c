/* The cost of a training run: evaluations and checkpoints are those of the training loop. */
#include "host/train/cost.h"
#include "pixelrnn/model_file.h"
#include "tests/support/support.h"
#include <math.h>
#include <string.h>

static px_context ctx;
static px_device *device;

static int open_device(void **state) {
    (void)state;
    device = px_test_device(&ctx);
    return 0;
}

static int close_device(void **state) {
    (void)state;
    px_device_close(device);
    return 0;
}

static px_run_cost cost_of(const px_config *config, px_run_images images, int ranks) {
    px_model *model;
    px_run_cost cost;
    const px_model_spec spec = px_model_spec_from(config, 5, 4, 1);
    assert_ok(&ctx, px_model_create(device, &spec, &model));
    assert_ok(&ctx, px_run_cost_of(model, config, &images, ranks, &cost));
    px_model_destroy(model);
    return cost;
}

static px_config tiny(void) {
    px_config c;
    px_config_default(&c);
    c.model.layers = 1, c.model.hidden = 2, c.model.head = 2, c.data.levels = 2, c.train.batch_size = 6;
    return c;
}

/* As the training loop does: after `step` steps, an action that runs every `every` steps. */
static bool is_due(int64_t step, int64_t steps, int64_t every) {
    return step == steps || (every > 0 && step % every == 0);
}

static void evaluations_and_checkpoints_are_counted(void **state) {
    (void)state;
    static const int64_t intervals[] = {0, 1, 2, 3, 4, 6, 7};
    px_config c = tiny();
    strcpy(c.data.test, "builtin:digits");
    c.train.keep_checkpoints = 0;
    for (c.train.steps = 0; c.train.steps < 14; c.train.steps++)
        for (int i = 0; i < 49; i++) {
            int64_t evaluations = 0, checkpoints = c.train.steps == 0;
            c.train.checkpoint_every = intervals[i / 7], c.train.evaluate_every = intervals[i % 7];
            for (int64_t step = 1; step <= c.train.steps; step++) {
                evaluations += is_due(step, c.train.steps, c.train.evaluate_every);
                checkpoints += is_due(step, c.train.steps, c.train.checkpoint_every) ||
                               is_due(step, c.train.steps, c.train.evaluate_every);
            }
            const px_run_cost cost = cost_of(&c, (px_run_images){.train = 9, .evaluated = 10}, 1);
            if (cost.evaluations != evaluations || cost.checkpoints != checkpoints)
                fail_msg(
                    "%d steps, checkpoint_every %d, evaluate_every %d: found %d evaluations, %d checkpoints, expected "
                    "%d and %d",
                    (int)c.train.steps, (int)c.train.checkpoint_every, (int)c.train.evaluate_every,
                    (int)cost.evaluations, (int)cost.checkpoints, (int)evaluations, (int)checkpoints);
        }
}

static void old_checkpoints_are_not_kept(void **state) {
    (void)state;
    px_config c = tiny();
    c.train.steps = 10, c.train.checkpoint_every = 1, c.train.keep_checkpoints = 3;
    assert_int_equal(cost_of(&c, (px_run_images){0}, 1).checkpoints, 3);
    strcpy(c.data.test, "builtin:digits");
    assert_int_equal(cost_of(&c, (px_run_images){0}, 1).checkpoints, 4); /* and the best one */
    c.train.checkpoint_every = c.train.evaluate_every = 5;
    assert_int_equal(cost_of(&c, (px_run_images){0}, 1).checkpoints, 2);
}

static void images_epochs_and_operations(void **state) {
    (void)state;
    px_config c = tiny();
    c.train.steps = 30, c.train.evaluate_every = 10;
    const px_run_cost blind = cost_of(&c, (px_run_images){0}, 1);
    assert_true(blind.images == 180 && blind.epochs == 0 && blind.evaluations == 0 && blind.evaluation_flops == 0);
    strcpy(c.data.test, "builtin:digits");
    const px_run_cost cost = cost_of(&c, (px_run_images){.train = 90, .evaluated = 50}, 1);
    assert_true(cost.epochs == 2 && cost.evaluations == 3 && cost.evaluated_images == 150);
    /* A training step has the products of an evaluation, and about twice as many in its backward pass. */
    const double ratio = cost.training_flops / 180 / (cost.evaluation_flops / 150);
    if (ratio < 2.5 || ratio > 3) fail_msg("FLOPs of training / evaluation: found %g, expected 2.5 to 3", ratio);
    c.train.evaluate_images = 20;
    assert_int_equal(cost_of(&c, (px_run_images){.evaluated = 50}, 1).evaluated_images, 60);
}

/* With a validation set, the test set is evaluated once more, whole. */
static void the_test_is_counted(void **state) {
    (void)state;
    px_config c = tiny();
    c.train.steps = 30, c.train.evaluate_every = 10, c.train.evaluate_images = 20;
    strcpy(c.data.validation, "builtin:digits");
    const px_run_cost cost = cost_of(&c, (px_run_images){.evaluated = 50, .tested = 70}, 1);
    assert_true(cost.evaluations == 3 && cost.evaluated_images == 60 && cost.tested_images == 70);
    const px_run_cost untested = cost_of(&c, (px_run_images){.evaluated = 50}, 1);
    const double ratio = cost.evaluation_flops / untested.evaluation_flops;
    if (fabs(ratio - 130.0 / 60) > 1e-9)
        fail_msg("FLOPs with a test: found %g times those without, expected 130 / 60", ratio);
}

/* Activations are those of a micro-batch; the sum of gradients comes on top. */
static void memory_is_that_of_a_micro_batch(void **state) {
    (void)state;
    px_config c = tiny();
    c.train.samples = 0, c.train.batch_size = 12, c.train.accumulate = 4;
    const px_run_cost cost = cost_of(&c, (px_run_images){0}, 2); /* 3 images: 2 and 1 */
    assert_int_equal(cost.rank_images, 2);
    c.train.batch_size = 2, c.train.accumulate = 1;
    const px_run_cost alone = cost_of(&c, (px_run_images){0}, 1);
    assert_true(alone.accumulation == 0 && cost.accumulation >= cost.plan.gradients);
    assert_int_equal(px_run_memory(&cost), px_run_memory(&alone) + cost.accumulation);
}

static void memory_is_that_of_the_largest_rank(void **state) {
    (void)state;
    px_config c = tiny();
    c.train.samples = 0;
    const px_run_cost cost = cost_of(&c, (px_run_images){0}, 4); /* 6 images: 1 or 2 each */
    assert_int_equal(cost.rank_images, 2);
    assert_true(cost.sampler == 0 && cost.plan.activations > 0);
    c.train.batch_size = 2;
    const px_run_cost alone = cost_of(&c, (px_run_images){0}, 1);
    assert_int_equal(px_run_memory(&cost), px_run_memory(&alone));
    c.train.samples = 1000; /* 64 at a time */
    const size_t sampler = cost_of(&c, (px_run_images){0}, 1).sampler;
    c.train.samples = 64;
    assert_int_equal(cost_of(&c, (px_run_images){0}, 1).sampler, sampler);
    assert_true(sampler > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evaluations_and_checkpoints_are_counted),
        cmocka_unit_test(old_checkpoints_are_not_kept),
        cmocka_unit_test(images_epochs_and_operations),
        cmocka_unit_test(the_test_is_counted),
        cmocka_unit_test(memory_is_that_of_the_largest_rank),
        cmocka_unit_test(memory_is_that_of_a_micro_batch),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
