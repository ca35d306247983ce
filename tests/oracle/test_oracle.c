/* Compares runs of px_train with the oracle: what they log, evaluate, sample and save. Every config key must have its
 * documented effect. */
#include "host/config/keys.h"
#include "host/distributed/ranks.h"
#include "host/io/clock.h"
#include "host/io/file.h"
#include "pixelrnn/model_file.h"
#include "pixelrnn/train.h"
#include "tests/support/model.h"
#include "tests/oracle/cases.h"
#include "tests/oracle/oracle.h"
#include "tests/oracle/settings.h"
#include "tests/oracle/tape.h"
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Running px_train ---- */

static void train_on(px_device *device, const px_config *config, const char *run, bool resume, px_ranks *ranks,
                     px_train_result *result) {
    px_stop stop = {0};
    FILE *out = fopen("/dev/null", "w");
    assert_non_null(out);
    const px_train_options options = {
        .config = config, .run = run, .resume = resume, .stop = &stop, .out = out, .ranks = ranks};
    assert_ok(device->ctx, px_train(device, &options, result));
    fclose(out);
}

/* Trains and returns the result of px_train. */
static px_train_result train(const px_config *config, const char *run, bool resume, px_ranks *ranks) {
    px_context ctx = {0};
    px_device *device = px_test_device(&ctx);
    px_train_result result;
    if (!resume && px_file_exists(run))
        assert_ok(&ctx, px_file_remove_folder(&ctx, run)); /* left by a test that failed */
    if (ranks) ranks->ctx = &ctx;
    train_on(device, config, run, resume, ranks, &result);
    px_device_close(device);
    return result;
}

/* Adds the result of evaluating a split, if there is one. */
static void observe_evaluation(figures *found, const char *split, const px_evaluation *e) {
    if (e->images == 0) return;
    figures_add(found, (double)e->images, 0, "result: %s images", split);
    figures_add(found, e->nats_per_image, 0, "result: %s nats", split);
    figures_add(found, e->bits_per_dim, 0, "result: %s bits/dim", split);
    figures_add(found, e->standard_error, 0, "result: %s standard error", split);
}

/* Returns everything that a finished run reported and wrote, and removes its folder. */
static figures observe(const px_config *config, const char *run, const px_train_result *result) {
    figures found = {0};
    px_context ctx;
    observe_folder(config, run, &found);
    const px_train_figures *f = &result->figures;
    observe_evaluation(&found, config->data.validation[0] ? "validation" : "test", &f->evaluation);
    observe_evaluation(&found, "test", &f->test);
    if (f->independent.images > 0) {
        figures_add(&found, f->independent.nats_per_image, 0, "result: independent nats");
        figures_add(&found, f->independent.bits_per_dim, 0, "result: independent bits/dim");
    }
    figures_sort(&found);
    assert_ok(&ctx, px_file_remove_folder(&ctx, run));
    return found;
}

static figures run_of(const px_config *config) {
    const char *run = settings_path("run");
    const px_train_result result = train(config, run, false, NULL);
    return observe(config, run, &result);
}

/* ---- Comparison ---- */

/* slack: a factor of all tolerances. */
static void check_within(const figures *found, const figures *expected, double slack) {
    const figure_difference d = figures_compare(found, expected);
    if (d.missing) fail_msg("%s: found nothing, expected %.9g", d.name, d.expected);
    if (d.unexpected) fail_msg("%s: found %.9g, expected nothing", d.name, d.found);
    if (!(d.distance <= slack))
        fail_msg("%s: found %.12g, expected %.12g within %.3g", d.name, d.found, d.expected, slack * d.tolerance);
}

static void check_report(const figures *found, const figures *expected) { check_within(found, expected, 1); }

/* The smallest distance of a relu's input from 0, or of a uniform number from the boundary between two levels, at which
 * rounding in float32 cannot change the result. */
static const double smallest_margin = 5e-7;

static figures expect(const px_config *config) {
    figures expected = {0};
    tape_kink();
    oracle_sample_margin();
    oracle_report(config, NULL, &expected);
    const double kink = tape_kink(), margin = oracle_sample_margin();
    if (kink < smallest_margin || margin < smallest_margin)
        fail_msg("found a relu input of %.3g and a sample %.3g from the next level, expected at least %g: choose "
                 "another seed",
                 kink, margin, smallest_margin);
    return expected;
}

static void check_run(const px_config *config) {
    figures expected = expect(config), found = run_of(config);
    check_report(&found, &expected);
    figures_free(&expected);
    figures_free(&found);
}

/* ---- Whole runs ---- */

typedef struct scenario {
    const char *name, *settings;
} scenario;

static const scenario scenarios[] = {
    {"Diagonal BiLSTM, colour, Adam, cosine, averages",
     "seed=21 model.kind=diagonal_bilstm model.layers=2 model.hidden=3 model.head=5 model.skip=true data.levels=3 "
     "data.train=@colour data.test=@colour_test data.flip=true train.steps=6 train.batch_size=4 train.optimizer=adam "
     "train.beta1=0.8 train.beta2=0.9 train.epsilon=0.01 train.learning_rate=0.03 train.schedule=cosine "
     "train.final_rate=0.2 train.warmup_steps=2 train.clip_norm=0.3 train.ema_decay=0.5 train.log_every=2 "
     "train.evaluate_every=3 train.sample_every=4 train.samples=3 train.checkpoint_every=0 train.keep_checkpoints=0"},
    {"Diagonal BiLSTM, binarized, no residual, RMSProp",
     "seed=22 model.kind=diagonal_bilstm model.layers=2 model.hidden=2 model.head=3 model.residual=false data.levels=2 "
     "data.train=@grey data.test=@grey_test data.flip=true data.binarize=true train.steps=8 train.batch_size=5 "
     "train.rho=0.7 train.epsilon=0.02 train.learning_rate=0.02 train.schedule=step train.decay_every=2 "
     "train.decay_factor=0.6 train.clip_norm=0 train.log_every=3 train.evaluate_every=4 train.sample_every=0 "
     "train.samples=4 train.checkpoint_every=3 train.keep_checkpoints=1"},
    {"PixelCNN, binarized, SGD, decay by steps",
     "seed=23 model.kind=pixelcnn model.layers=2 model.hidden=4 model.head=4 data.levels=2 data.train=@grey "
     "data.test=@grey_test data.flip=true data.binarize=true train.steps=7 train.batch_size=4 train.optimizer=sgd "
     "train.learning_rate=0.4 train.schedule=step train.decay_every=3 train.decay_factor=0.5 train.warmup_steps=1 "
     "train.clip_norm=0.1 train.ema_decay=0.7 train.log_every=1 train.evaluate_every=2 train.sample_every=5 "
     "train.samples=5 train.checkpoint_every=2 train.keep_checkpoints=2"},
    {"PixelCNN, colour, file order, Adam",
     "seed=24 model.kind=pixelcnn model.layers=1 model.hidden=3 model.head=6 model.skip=true data.levels=5 "
     "data.train=@colour_test data.test=@colour data.shuffle=false train.steps=4 train.batch_size=3 "
     "train.optimizer=adam train.beta1=0.6 train.beta2=0.8 train.epsilon=0.005 train.learning_rate=0.02 "
     "train.log_every=4 train.evaluate_every=1 train.sample_every=2 train.samples=2 train.checkpoint_every=1"},
    {"Row LSTM, colour, no residual, RMSProp",
     "seed=25 model.kind=row_lstm model.layers=2 model.hidden=3 model.head=4 model.residual=false model.skip=true "
     "data.levels=4 data.train=@colour data.test=@colour_test data.flip=true train.steps=5 train.batch_size=2 "
     "train.rho=0.6 train.epsilon=0.03 train.learning_rate=0.05 train.schedule=cosine train.final_rate=0.5 "
     "train.clip_norm=0.15 train.ema_decay=0.4 train.log_every=2 train.evaluate_every=2 train.sample_every=3 "
     "train.samples=2 train.checkpoint_every=4"},
    {"validation chooses the weights for the test, micro-batches",
     "seed=30 model.kind=row_lstm model.layers=1 model.hidden=3 model.head=4 data.levels=4 data.train=@grey "
     "data.validation=@other_test data.test=@grey_test data.flip=true train.steps=6 train.batch_size=6 "
     "train.accumulate=3 train.optimizer=sgd train.learning_rate=2.5 train.schedule=constant train.clip_norm=0 "
     "train.ema_decay=0.2 train.log_every=2 train.evaluate_every=2 train.evaluate_images=3 train.samples=0 "
     "train.checkpoint_every=3 train.keep_checkpoints=1"},
    {"images past the 64th of a sample",
     "seed=26 model.kind=row_lstm model.layers=1 model.hidden=2 model.head=2 data.levels=3 data.train=@small "
     "train.steps=1 train.batch_size=2 train.learning_rate=0.05 train.epsilon=0.01 train.samples=70"},
    {"no test set, no samples, no average",
     "seed=27 model.kind=pixelcnn model.layers=1 model.hidden=2 model.head=2 data.levels=3 data.train=@grey "
     "train.steps=3 train.batch_size=9 train.optimizer=sgd train.learning_rate=0.1 train.samples=0 train.log_every=0"},
    {"initial weights of a PixelCNN",
     "seed=28 model.kind=pixelcnn model.layers=2 model.hidden=5 model.head=7 model.skip=true data.levels=5 "
     "data.train=@colour train.steps=0 train.samples=0"},
    {"initial weights of a Row LSTM",
     "seed=29 model.kind=row_lstm model.layers=2 model.hidden=5 model.head=7 model.skip=true data.levels=5 "
     "data.train=@colour train.steps=0 train.samples=0"},
    {"initial weights of a Diagonal BiLSTM, seed 0",
     "seed=0 model.kind=diagonal_bilstm model.layers=2 model.hidden=5 model.head=7 data.levels=5 data.train=@colour "
     "train.steps=0 train.samples=0"},
};
enum { SCENARIOS = sizeof scenarios / sizeof *scenarios };

static void run_matches_the_oracle(void **state) {
    const px_config config = settings_config(((const scenario *)*state)->settings, "");
    check_run(&config);
}

/* Trains two steps, then resumes for three more, after which step 2 is still the best. All results must be those of an
 * uninterrupted run. */
static void resumed_run_matches_the_oracle(void **state) {
    (void)state;
    px_config config = settings_config(BASE_SETTINGS,
                                       ADAM " train.schedule=step train.decay_every=1 train.decay_factor=0.9 "
                                            "train.warmup_steps=0 train.learning_rate=0.15 train.ema_decay=0 "
                                            "data.flip=true train.keep_checkpoints=1 train.sample_every=0 "
                                            "train.steps=2");
    const char *run = settings_path("resumed");
    train(&config, run, false, NULL);
    px_context ctx;
    assert_ok(&ctx, px_file_remove_folder(&ctx, settings_path("resumed/samples")));
    config.train.steps = 5;
    const px_train_result result = train(&config, run, true, NULL);
    figures expected = expect(&config), found = observe(&config, run, &result);
    check_within(&found, &expected, sizeof(px_real) == sizeof(float) ? 1 : 1e4); /* files hold float32 */
    assert_int_equal((int)figures_value(&expected, "checkpoint 2: metadata step"), 2);
    figures_free(&expected);
    figures_free(&found);
}

/* A run whose last checkpoint was deleted resumes from the one before, between two lines of metrics. */
static void run_without_its_last_checkpoint_matches(void **state) {
    (void)state;
    const px_config config = settings_config(BASE_SETTINGS, ADAM " " COSINE " train.log_every=3 train.sample_every=0 "
                                                                 "data.flip=true train.keep_checkpoints=0");
    const char *run = settings_path("lost");
    px_context ctx;
    train(&config, run, false, NULL);
    assert_ok(&ctx, px_file_remove_folder(&ctx, settings_path("lost/samples")));
    assert_ok(&ctx, px_file_remove_folder(&ctx, settings_path("lost/checkpoints/000000005")));
    const px_train_result result = train(&config, run, true, NULL);
    figures expected = expect(&config), found = observe(&config, run, &result);
    check_within(&found, &expected, sizeof(px_real) == sizeof(float) ? 1 : 1e4);
    figures_free(&expected);
    figures_free(&found);
}

/* ---- Times ---- */

static const px_device_ops *real_ops;
enum { SLOW_MS = 4 };

static px_status slow_upload(px_device *device, void *to, const void *from, size_t bytes) {
    usleep(1000 * SLOW_MS);
    return real_ops->upload(device, to, from, bytes);
}

/* No step is faster than its upload, and all steps together take no longer than the run. */
static void step_times_are_consistent(void **state) {
    (void)state;
    const px_config config = settings_config(BASE_SETTINGS, "train.steps=8 train.samples=0 data.test=");
    px_device_ops slow;
    px_context ctx = {0};
    px_device *device = px_test_device(&ctx);
    px_train_result result;
    real_ops = device->ops;
    slow = *device->ops;
    slow.upload = slow_upload;
    device->ops = &slow;
    const double started = px_clock_seconds();
    train_on(device, &config, settings_path("run"), false, NULL, &result);
    const double run_ms = 1e3 * (px_clock_seconds() - started);
    device->ops = real_ops;
    px_device_close(device);
    double sum_ms = 0;
    for (int step = 2; step <= 8; step += 2) {
        const double step_ms = observe_metric(settings_path("run"), step, "step_ms");
        if (!(step_ms >= SLOW_MS)) fail_msg("step %d: step_ms is %g, expected at least %d", step, step_ms, SLOW_MS);
        sum_ms += 2 * step_ms;
    }
    if (sum_ms > run_ms) fail_msg("8 steps took %g ms, expected at most the run's %g ms", sum_ms, run_ms);
    assert_ok(&ctx, px_file_remove_folder(&ctx, settings_path("run")));
}

/* ---- Procedural images ---- */

/* The seed of the config determines the images of both splits. */
static void builtin_run_matches_the_oracle(void **state) {
    (void)state;
    px_config config = settings_config("seed=31 model.kind=row_lstm model.layers=1 model.hidden=2 model.head=2 "
                                       "data.levels=2 data.size=2 data.train=builtin:ising data.test=builtin:ising "
                                       "train.steps=2 train.batch_size=50 train.samples=2 train.evaluate_every=0",
                                       "");
    const char *run = settings_path("run");
    const px_train_result result = train(&config, run, false, NULL);
    const double entropy = settings_write_ising(PX_SPLIT_TRAIN, 31, 2, "ising");
    settings_write_ising(PX_SPLIT_TEST, 31, 2, "ising_test");
    settings_apply(&config, "data.size=0 data.train=@ising data.test=@ising_test");
    figures expected = expect(&config), found = observe(&config, run, &result);
    check_report(&found, &expected);
    assert_true(entropy > 0 && result.entropy == entropy);
    figures_free(&expected);
    figures_free(&found);
}

/* ---- Each key ---- */

static const key_case *case_of(const char *key) {
    for (int i = 0; i < KEY_CASES; i++)
        if (strcmp(key_cases[i].key, key) == 0) return &key_cases[i];
    return NULL;
}

static void every_key_has_a_case(void **state) {
    (void)state;
    for (const px_key *key = px_keys; key->name; key++)
        if (!case_of(key->name))
            fail_msg("%s: found no case in tests/oracle/cases.h, expected one for each key", key->name);
    for (int i = 0; i < KEY_CASES; i++)
        if (!px_key_find(key_cases[i].key)) fail_msg("%s: found a case, but no such key", key_cases[i].key);
}

/* The config of a case, with and without its key. The value must differ from the key's default and from the base's. */
static void configs_of(const key_case *c, px_config *with, px_config *without) {
    char setting[256], value[3][PX_CONFIG_STRING];
    px_config defaults;
    px_config_default(&defaults);
    snprintf(setting, sizeof setting, "%s=%s", c->key, c->value);
    *without = settings_config(BASE_SETTINGS, c->with);
    *with = *without;
    settings_apply(with, setting);
    const px_config *configs[] = {with, without, &defaults};
    for (int i = 0; i < 3; i++) px_key_write(px_key_find(c->key), configs[i], value[i]);
    if (strcmp(value[0], value[1]) == 0 || strcmp(value[0], value[2]) == 0)
        fail_msg("%s: found %s, expected a value other than %s and the default %s", c->key, value[0], value[1],
                 value[2]);
}

/* A key must change the oracle's report by at least this many tolerances, so that a program that ignores it fails. */
static const double clear_effect = 50;

static void key_is_seen_in_a_run(const key_case *c) {
    px_config with, without;
    configs_of(c, &with, &without);
    figures expected = expect(&with), unchanged = expect(&without), found = run_of(&with);
    const figure_difference effect = figures_compare(&unchanged, &expected);
    if (!(effect.distance > clear_effect))
        fail_msg("%s=%s: found a change of the oracle's report of %.3g tolerances at most, in %s", c->key, c->value,
                 effect.distance, effect.name);
    check_report(&found, &expected);
    figures_free(&expected);
    figures_free(&unchanged);
    figures_free(&found);
}

/* A job of one rank that counts its reductions. */
static int sums;

static px_status gather(px_mpi *mpi, px_context *ctx, void *all, const size_t *offsets) {
    (void)mpi, (void)ctx, (void)all, (void)offsets;
    return PX_OK;
}
static px_status broadcast(px_mpi *mpi, px_context *ctx, void *data, size_t bytes) {
    (void)mpi, (void)ctx, (void)data, (void)bytes;
    return PX_OK;
}
static px_status sum(px_mpi *mpi, px_context *ctx, px_real *values, size_t count) {
    (void)mpi, (void)ctx, (void)values, (void)count;
    sums++;
    return PX_OK;
}
static px_status finish(px_mpi *mpi, px_context *ctx, px_reduction_times *times) {
    (void)mpi, (void)ctx, (void)times;
    return PX_OK;
}

static int sums_of_a_step(const px_config *config) {
    static const px_mpi_ops ops = {.gather = gather, .broadcast = broadcast, .sum = sum, .finish = finish};
    px_context ctx;
    px_mpi mpi = {.ops = &ops, .count = 1, .local_count = 1};
    px_ranks ranks = {.mpi = &mpi};
    sums = 0;
    train(config, settings_path("run"), false, &ranks);
    assert_ok(&ctx, px_file_remove_folder(&ctx, settings_path("run")));
    return sums / (int)config->train.steps;
}

/* Gradients are reduced in one bucket, or in several. */
static void key_is_seen_in_buckets(const key_case *c) {
    px_config with, without;
    configs_of(c, &with, &without);
    if (getenv("PX_TEST_DEVICE") && strcmp(getenv("PX_TEST_DEVICE"), "cpu") != 0)
        skip(); /* NCCL reduces, not these operations */
    const char *larger = "model.hidden=16 model.layers=3 train.steps=2 train.samples=0";
    settings_apply(&with, larger);
    settings_apply(&without, larger);
    const int many = sums_of_a_step(&with), one = sums_of_a_step(&without);
    if (one != 1 || many < 3)
        fail_msg("%s: found %d and %d reductions a step, expected 1 and at least 3", c->key, one, many);
}

static void key_has_its_effect(void **state) {
    const key_case *c = *state;
    if (c->effect == SEEN_IN_RUN) key_is_seen_in_a_run(c);
    if (c->effect == SEEN_IN_BUCKETS) key_is_seen_in_buckets(c);
}

int main(void) {
    struct CMUnitTest tests[SCENARIOS + KEY_CASES + 5] = {
        cmocka_unit_test(every_key_has_a_case), cmocka_unit_test(resumed_run_matches_the_oracle),
        cmocka_unit_test(run_without_its_last_checkpoint_matches), cmocka_unit_test(step_times_are_consistent),
        cmocka_unit_test(builtin_run_matches_the_oracle)};
    static char names[KEY_CASES][128];
    size_t count = 5;
    omp_set_num_threads(1); /* The models are tiny, so more threads would only wait for each other. */
    for (int i = 0; i < SCENARIOS; i++)
        tests[count++] = (struct CMUnitTest){scenarios[i].name, run_matches_the_oracle, NULL, NULL,
                                             (void *)&scenarios[i]};
    for (int i = 0; i < KEY_CASES; i++) {
        const key_case *c = &key_cases[i];
        snprintf(names[i], sizeof names[i], "key %s=%s", c->key, c->value);
        if (c->effect != SEEN_IN_COMMANDS)
            tests[count++] = (struct CMUnitTest){names[i], key_has_its_effect, NULL, NULL, (void *)c};
    }
    return _cmocka_run_group_tests("oracle", tests, count, settings_make, settings_remove);
}
