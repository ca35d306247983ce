/* Compares the commands train, eval, sample and complete with the oracle, which recomputes every number that they print
 * or write from the images, the model file and the config. */
#include "tests/oracle/cases.h"
#include "tests/oracle/oracle.h"
#include "tests/oracle/program.h"
#include "tests/oracle/settings.h"
#include "tests/oracle/trained.h"
#include "tests/support/support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Numbers ---- */

/* Compares a number that is printed with this many decimals and was computed in float32. */
static void check_printed(const char *what, double found, double expected, int decimals) {
    const double tolerance = 0.51 * pow(10, -decimals) + 3e-5 * fabs(expected);
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("%s: found %.*f, expected %.6f within %.2g", what, decimals, found, expected, tolerance);
}

static void check_share(const char *what, double found, double expected, double share) {
    if (!(fabs(found - expected) <= share * fabs(expected)))
        fail_msg("%s: found %.15g, expected %.15g within a share of %g", what, found, expected, share);
}

static size_t values_of(const oracle_model *m) { return (size_t)(m->height * m->width * m->channels); }

/* ---- Train ---- */

/* Adds the results that train prints at its end and does not write to its folder. */
static void observe_printed(const px_config *config, figures *found) {
    static const char *const test = "test NLL", *const independent = "independent pixels";
    if (!config->data.test[0]) return;
    figures_add(found, printed("out", test, " images)"), 0, "result: test images");
    figures_add(found, printed("out", test, "nats/image"), 0, "result: test nats");
    figures_add(found, printed("out", test, "bits/dim"), 0, "result: test bits/dim");
    figures_add(found, printed("out", test, "standard error "), 0, "result: test standard error");
    figures_add(found, printed("out", independent, "nats/image"), 0, "result: independent nats");
    figures_add(found, printed("out", independent, "bits/dim"), 0, "result: independent bits/dim");
}

/* Results are printed with three decimals, and bits/dim with four. */
static figures expected_of(const px_config *config, const char *init) {
    figures expected = {0};
    oracle_report(config, init, &expected);
    for (size_t i = 0; i < expected.count; i++) {
        figure *f = &expected.entries[i];
        if (strncmp(f->name, "result: ", 8) == 0 && f->tolerance > 0)
            f->tolerance += strstr(f->name, "bits") ? 0.51e-4 : 0.51e-3;
    }
    return expected;
}

static void compare(const figures *found, const figures *expected) {
    const figure_difference d = figures_compare(found, expected);
    if (d.missing) fail_msg("%s: found nothing, expected %.9g", d.name, d.expected);
    if (d.unexpected) fail_msg("%s: found %.9g, expected nothing", d.name, d.found);
    if (!(d.distance <= 1))
        fail_msg("%s: found %.9g, expected %.9g within %.3g", d.name, d.found, d.expected, d.tolerance);
}

static void train_matches_the_oracle(void **state) {
    trained *t = *state;
    char run[256], line[64];
    trained_run(t);
    figures found = {0}, expected = expected_of(&t->config, NULL);
    snprintf(run, sizeof run, "%s/%s", settings_folder, t->name);
    observe_folder(&t->config, run, &found);
    observe_printed(&t->config, &found);
    figures_sort(&found);
    compare(&found, &expected);
    const int last = (int)t->config.train.steps;
    snprintf(line, sizeof line, "step %d: test ", last);
    const double nats = figures_value(&expected, "result: test nats");
    check_printed("the last evaluation's line", printed("err", line, "nats/image"), nats, 3);
    check_printed("its bits/dim", printed("err", line, "bits/dim"), nats / (double)values_of(&t->model) / log(2), 4);
    check_printed("its independent pixels", printed("err", line, "independent pixels "),
                  figures_value(&expected, "result: independent nats"), 3);
    assert_int_equal((int)printed("out", "trained", "trained to step "), last);
    assert_int_equal((int)printed("err", "run: ", " layer"), (int)t->config.model.layers);
    assert_int_equal((int)printed("err", "run: ", " hidden "), (int)t->config.model.hidden);
    figures_free(&found);
    figures_free(&expected);
}

/* --init starts from the weights of another run's best checkpoint. */
static void init_uses_the_weights_of_a_model(void **state) {
    (void)state;
    const trained *t = trained_once(&trained_base);
    px_config config = t->config;
    char run[256];
    settings_apply(&config, "seed=45 train.steps=3 train.samples=1");
    pixelrnn(0, "train base.yaml --set seed=45 --set train.steps=3 --set train.samples=1 --init %s -o init", t->file);
    figures found = {0}, expected = expected_of(&config, t->file);
    snprintf(run, sizeof run, "%s/init", settings_folder);
    observe_folder(&config, run, &found);
    observe_printed(&config, &found);
    figures_sort(&found);
    compare(&found, &expected);
    figures_free(&found);
    figures_free(&expected);
}

/* ---- Eval ---- */

/* The NLL of each image is the oracle's, and the other results follow from them. */
static void check_eval(const trained *t, const px_config *config, const oracle_images *images) {
    size_t count;
    double *found = oracle_read_doubles(settings_path("nats.npy"), &count);
    double *expected = malloc(images->count * sizeof *expected);
    assert_non_null(expected);
    assert_int_equal(count, images->count);
    oracle_evaluate(config, &t->model, t->model.weights, images, expected);
    for (size_t n = 0; n < count; n++) check_share("NLL of an image", found[n], expected[n], 1e-5);
    const oracle_evaluation e = oracle_summary(found, count, values_of(&t->model));
    assert_int_equal((int)json_number("images"), (int)count);
    assert_int_equal((int)json_number("step"), (int)config->train.steps);
    check_share("nats_per_image", json_number("nats_per_image"), e.nats, 1e-12);
    check_share("bits_per_dim", json_number("bits_per_dim"), e.bits, 1e-12);
    check_share("standard_error", json_number("standard_error"), e.standard_error, 1e-10);
    free(found);
    free(expected);
}

static void eval_matches_the_oracle(void **state) {
    const trained *t = trained_once(*state);
    pixelrnn(0, "eval %s --per-image nats.npy --json", t->file);
    check_eval(t, &t->config, &t->test);
    const double nats = json_number("nats_per_image"), bits = json_number("bits_per_dim");
    const double error = json_number("standard_error");
    pixelrnn(0, "eval %s", t->file);
    check_printed("NLL", printed("out", "NLL", "nats/image"), nats, 3);
    check_printed("bits/dim", printed("out", "NLL", "bits/dim"), bits, 4);
    check_printed("standard error", printed("out", "NLL", "standard error "), error, 3);
    char count[64];
    snprintf(count, sizeof count, "\n%zu images of ", t->test.count);
    assert_non_null(strstr(text_of("out"), count));
    assert_int_equal((int)printed("out", t->file, ", step "), (int)t->config.train.steps);
    const char *other = t->model.channels == 3 ? "colour.npy" : "grey.npy";
    oracle_images images = oracle_read_images(settings_path(other));
    pixelrnn(0, "eval %s --data %s --per-image nats.npy --json --set eval.batch_size=2", t->file, other);
    check_eval(t, &t->config, &images);
    free(images.pixels);
}

/* The seed of a command's config selects the random binarisation. */
static void eval_uses_the_seed(void **state) {
    (void)state;
    const trained *t = trained_once(&trained_binary);
    px_config config = t->config;
    settings_apply(&config, "seed=44");
    pixelrnn(0, "eval %s --per-image nats.npy --json --set seed=44", t->file);
    check_eval(t, &config, &t->test);
}

/* A run folder names its best checkpoint, the one with the smallest NLL. */
static void eval_uses_the_best_checkpoint(void **state) {
    (void)state;
    const trained *t = trained_once(&trained_worse);
    figures expected = expected_of(&t->config, NULL);
    double best = INFINITY;
    int step = 0;
    for (size_t i = 0; i < expected.count; i++) {
        int at, end = 0;
        const figure *f = &expected.entries[i];
        if (sscanf(f->name, "metrics %d: test/nats_per_image%n", &at, &end) == 1 && end > 0 && f->value < best)
            best = f->value, step = at;
    }
    assert_in_range(step, 1, t->config.train.steps - 1);
    pixelrnn(0, "eval %s --json", t->name);
    assert_int_equal((int)json_number("step"), step);
    check_share("nats_per_image", json_number("nats_per_image"), best, 3e-5);
    figures_free(&expected);
}

/* ---- Built-in images ---- */

/* The entropy of lattices of 2 x 2 spins by the definition in ising.h, summed over all lattices. */
static double ising_entropy(void) {
    double entropy = 0;
    for (int lattice = 0; lattice < 16; lattice++) {
        double p = 1;
        int spin[4];
        for (int n = 0; n < 4; n++) spin[n] = lattice >> n & 1 ? 1 : -1;
        const double field[4] = {0, 0.5 * spin[0], 0.5 * spin[0] + 0.25 * spin[1], 0.5 * spin[2] + 0.5 * spin[1]};
        for (int n = 0; n < 4; n++) p *= 1 / (1 + exp(-2 * spin[n] * field[n]));
        entropy -= p * log(p);
    }
    return entropy;
}

static void builtin_matches_the_oracle(void **state) {
    (void)state;
    trained_run(&trained_ising);
    check_printed("train: true entropy", printed("out", "true entropy", "nats/image"), ising_entropy(), 3);
    pixelrnn(0, "eval %s", trained_ising.file);
    check_printed("eval: true entropy", printed("out", "true entropy", "nats/image"), ising_entropy(), 3);
    pixelrnn(0, "eval %s --json", trained_ising.file);
    check_share("eval --json: true_entropy", json_number("true_entropy"), ising_entropy(), 1e-12);
    settings_write_ising(PX_SPLIT_TEST, 46, 2, "ising");
    px_config config = trained_ising.config;
    settings_apply(&config, "seed=46 data.test=@ising data.size=0");
    trained_ising.test = oracle_read_images(config.data.test);
    trained_ising.model = oracle_model_create(&config, &trained_ising.test);
    oracle_model_load(&trained_ising.model, trained_ising.file);
    pixelrnn(0, "eval %s --json --per-image nats.npy --set seed=46", trained_ising.file);
    check_eval(&trained_ising, &config, &trained_ising.test);
}

/* ---- Sample and complete ---- */

/* The arguments of a sampling command. Image n completes image n / completions of `given`. */
typedef struct request {
    uint64_t seed;
    double temperature;
    const uint8_t *keep; /* [H, W], or NULL */
    const oracle_images *given;
    size_t completions;
} request;

/* Samples image n by the oracle into levels, and returns the NLL of the sampled values. */
static double sample(const trained *t, const request *r, size_t n, uint8_t *levels) {
    const oracle_model *m = &t->model;
    const size_t values = values_of(m);
    double nll[64], sum = 0;
    memset(levels, 0, values);
    if (r->given) {
        px_config quantised = t->config; /* given pixels are quantised, never binarised at random */
        quantised.data.binarize = false;
        oracle_levels(&quantised, r->given, n / r->completions, levels);
    }
    oracle_sample(m, m->weights, r->seed, n, r->temperature, r->keep, levels);
    oracle_nats(m, m->weights, levels, nll);
    for (size_t i = 0; i < values; i++) sum += r->keep && r->keep[i / (size_t)m->channels] ? 0 : nll[i];
    return sum;
}

/* out.npy must hold `count` images as the oracle samples them, with given pixels unchanged, and the printed results
 * must be those of these images. */
static void check_samples(const trained *t, const request *r, size_t count, const char *line) {
    const oracle_model *m = &t->model;
    const size_t values = values_of(m), channels = (size_t)m->channels;
    oracle_images found = oracle_read_images(settings_path("out.npy"));
    double *nats = malloc(count * sizeof *nats);
    uint8_t levels[64];
    size_t kept = 0;
    assert_non_null(nats);
    assert_int_equal(found.count, count);
    oracle_sample_margin();
    for (size_t n = 0; n < count; n++) {
        nats[n] = sample(t, r, n, levels);
        for (size_t i = 0; i < values; i++) {
            const bool given = r->keep && r->keep[i / channels];
            const int expected = given ? r->given->pixels[n / r->completions * values + i]
                                       : oracle_intensity(levels[i], m->levels);
            if (found.pixels[n * values + i] != expected)
                fail_msg("image %zu, value %zu: found %d, expected %d", n, i, found.pixels[n * values + i], expected);
        }
    }
    if (oracle_sample_margin() < 5e-7)
        fail_msg("found a sample at the boundary between two levels: choose another seed");
    for (size_t p = 0; r->keep && p < values / channels; p++) kept += r->keep[p] ? channels : 0;
    const oracle_evaluation e = oracle_summary(nats, count, values - kept);
    check_printed("NLL of samples", printed("out", line, "nats"), e.nats, 3);
    check_printed("its standard error", printed("out", line, "standard error "), e.standard_error, 3);
    check_printed("its bits/dim", printed("out", line, "bits/dim"), e.bits, 4);
    free(nats);
    free(found.pixels);
}

static void sample_matches_the_oracle(void **state) {
    const trained *t = trained_once(*state);
    const uint64_t seed = (uint64_t)t->config.seed;
    pixelrnn(0, "sample %s -n 5 -o out.npy", t->file);
    check_samples(t, &(request){.seed = seed, .temperature = 1}, 5, "NLL");
    pixelrnn(0, "sample %s -n 4 --seed 0 -o out.npy", t->file);
    check_samples(t, &(request){.seed = 0, .temperature = 1}, 4, "NLL");
    pixelrnn(0, "sample %s -n 4 --seed 9 --temperature 0.6 -o out.npy --set eval.batch_size=3", t->file);
    check_samples(t, &(request){.seed = 9, .temperature = 0.6}, 4, "NLL");
    pixelrnn(0, "sample %s -n 3 -o out.npy --set seed=8", t->file);
    check_samples(t, &(request){.seed = 8, .temperature = 1}, 3, "NLL");
    assert_int_equal((int)strtol(text_of("out"), NULL, 10), 3);
}

static void images_past_a_batch_match_the_oracle(void **state) {
    (void)state;
    const trained *t = trained_once(&trained_binary);
    pixelrnn(0, "sample %s -n 67 --seed 5 -o out.npy", t->file);
    check_samples(t, &(request){.seed = 5, .temperature = 1}, 67, "NLL");
}

/* out.png must show these images, `columns` a row. */
static void check_image_grid(const oracle_images *images, int columns) {
    const size_t values = (size_t)(images->height * images->width * images->channels);
    figures found = {0}, expected = {0};
    for (size_t i = 0; i < images->count * values; i++)
        figures_add(&expected, images->pixels[i], 0, "samples 0: image %zu value %zu", i / values, i % values);
    observe_image_grid(images, (int)images->count, columns, settings_path("out.png"), 0, &found);
    figures_sort(&found);
    figures_sort(&expected);
    compare(&found, &expected);
    figures_free(&found);
    figures_free(&expected);
}

/* The PNG of `sample` shows the images of its npy file. */
static void png_shows_the_samples(void **state) {
    (void)state;
    const trained *t = trained_once(&trained_colour);
    pixelrnn(0, "sample %s -n 5 -o out.npy", t->file);
    pixelrnn(0, "sample %s -n 5 -o out.png", t->file);
    oracle_images images = oracle_read_images(settings_path("out.npy"));
    check_image_grid(&images, 0);
    free(images.pixels);
}

/* The images of a file that `complete` uses: `limit` images, chosen by the seed. The caller frees the pixels. */
static oracle_images chosen_images(const char *file, uint64_t seed, size_t limit) {
    oracle_images images = oracle_read_images(settings_path(file));
    const size_t bytes = (size_t)(images.height * images.width * images.channels);
    size_t indices[16];
    assert_true(images.count <= 16);
    images.count = oracle_choose(seed, images.count, limit, indices);
    for (size_t i = 0; i < images.count; i++) /* ascending, so no image is overwritten before it is moved */
        memmove(images.pixels + i * bytes, images.pixels + indices[i] * bytes, bytes);
    return images;
}

static void complete_matches_the_oracle(void **state) {
    const trained *t = trained_once(*state);
    const char *data = t->model.channels == 3 ? "colour.npy" : "grey.npy";
    static const uint8_t top[12] = {1, 1, 1, 1, 1, 1, 1, 1, 1}, left[12] = {1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0};
    oracle_images given = chosen_images(data, (uint64_t)t->config.seed, 3);
    request r = {.seed = (uint64_t)t->config.seed, .temperature = 1, .keep = top, .given = &given, .completions = 2};
    pixelrnn(0, "complete %s --data %s --keep top:0.7 --completions 2 -n 3 -o out.npy", t->file, data);
    check_samples(t, &r, 6, "what was drawn");
    assert_int_equal((int)strtol(text_of("out"), NULL, 10), 6);
    assert_int_equal((int)printed("out", "6 ", "completions of "), 3);
    free(given.pixels);
    given = chosen_images(data, 0, 4);
    r.seed = 0, r.keep = left, r.completions = 1, r.temperature = 0.7;
    pixelrnn(0, "complete %s --data %s --keep left:0.4 --completions 1 -n 4 --seed 0 --temperature 0.7 -o out.npy",
             t->file, data);
    check_samples(t, &r, 4, "what was drawn");
    free(given.pixels);
}

/* A row of the PNG of `complete` shows an image, the image with its missing pixels grey, and its completions. */
static void png_shows_the_completions(void **state) {
    (void)state;
    enum { IMAGES = 3, EACH = 2, COLUMNS = EACH + 2, KEPT = 9 * 3, VALUES = 12 * 3 };
    const trained *t = trained_once(&trained_colour);
    pixelrnn(0, "complete %s --data colour.npy --keep top:0.75 --completions %d -n %d -o out.npy", t->file, EACH,
             IMAGES);
    pixelrnn(0, "complete %s --data colour.npy --keep top:0.75 --completions %d -n %d -o out.png", t->file, EACH,
             IMAGES);
    oracle_images given = chosen_images("colour.npy", (uint64_t)t->config.seed, IMAGES);
    oracle_images completed = oracle_read_images(settings_path("out.npy")), shown = given;
    uint8_t pixels[IMAGES][COLUMNS][VALUES];
    for (int n = 0; n < IMAGES; n++) {
        memcpy(pixels[n][0], given.pixels + n * VALUES, VALUES);
        memset(pixels[n][1], 128, VALUES);
        memcpy(pixels[n][1], given.pixels + n * VALUES, KEPT);
        memcpy(pixels[n][2], completed.pixels + n * EACH * VALUES, EACH * VALUES);
    }
    shown.count = (size_t)IMAGES * COLUMNS;
    shown.pixels = pixels[0][0];
    check_image_grid(&shown, COLUMNS);
    free(given.pixels);
    free(completed.pixels);
}

/* ---- Settings of other models ---- */

/* A setting that contradicts the model of the file is refused. */
static void settings_of_another_model_are_refused(void **state) {
    (void)state;
    const trained *t = trained_once(&trained_base);
    for (int i = 0; i < KEY_CASES; i++) {
        const key_case *c = &key_cases[i];
        if (strncmp(c->key, "model.", 6) != 0 && strcmp(c->key, "data.levels") != 0) continue;
        pixelrnn(2, "eval %s --set %s=%s", t->file, c->key, c->value);
        pixelrnn(2, "sample %s -n 1 -o refused.npy --set %s=%s", t->file, c->key, c->value);
    }
}

int main(void) {
#define TEST_ON(function, model)                                                                                       \
    { #function ": " #model, function, NULL, NULL, &trained_##model }
    const struct CMUnitTest tests[] = {
        TEST_ON(train_matches_the_oracle, base),
        TEST_ON(train_matches_the_oracle, colour),
        TEST_ON(train_matches_the_oracle, binary),
        TEST_ON(eval_matches_the_oracle, base),
        TEST_ON(eval_matches_the_oracle, colour),
        TEST_ON(eval_matches_the_oracle, binary),
        TEST_ON(sample_matches_the_oracle, base),
        TEST_ON(sample_matches_the_oracle, colour),
        TEST_ON(complete_matches_the_oracle, base),
        TEST_ON(complete_matches_the_oracle, colour),
        TEST_ON(complete_matches_the_oracle, binary),
        cmocka_unit_test(eval_uses_the_seed),
        cmocka_unit_test(eval_uses_the_best_checkpoint),
        cmocka_unit_test(builtin_matches_the_oracle),
        cmocka_unit_test(init_uses_the_weights_of_a_model),
        cmocka_unit_test(images_past_a_batch_match_the_oracle),
        cmocka_unit_test(png_shows_the_samples),
        cmocka_unit_test(png_shows_the_completions),
        cmocka_unit_test(settings_of_another_model_are_refused),
    };
    return cmocka_run_group_tests_name("oracle_commands", tests, trained_make, settings_remove);
}
