/* The config keys whose effect only commands show: what they print, refuse and write. */
#include "tests/oracle/cases.h"
#include "tests/oracle/program.h"
#include "tests/oracle/settings.h"
#include "tests/oracle/trained.h"
#include "tests/support/support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void name_names_the_run(const key_case *c) {
    trained_once(&trained_base);
    pixelrnn(0, "train base.yaml --set %s=%s --set train.steps=2 --set train.samples=0", c->key, c->value);
    char path[128];
    snprintf(path, sizeof path, "runs/%s/config.yaml", c->value);
    assert_non_null(strstr(text_of(path), "name: another"));
}

/* The device is used and named, or the error message names it. */
static void device_is_opened(const key_case *c) {
    trained_once(&trained_base);
    const int status = shell("\"$PIXELRNN\" train base.yaml --set train.steps=2 -o elsewhere --set %s=%s", c->key,
                             c->value);
    const char *messages = text_of("err");
    if (!strstr(messages, "cuda") && (status == 0 || !strstr(messages, "CUDA")))
        fail_msg("%s=%s: exit status %d, and found no mention of it in\n%s", c->key, c->value, status, messages);
}

/* A run in bfloat16 gives nearly, but not exactly, the results of float32. */
static void precision_changes_results(const key_case *c) {
    const trained *t = trained_once(&trained_colour);
    pixelrnn(0, "train colour.yaml -o bfloat16 --set %s=%s", c->key, c->value);
    const double bfloat16 = printed("out", "test NLL", "nats/image");
    pixelrnn(0, "eval %s --json", t->file);
    const double difference = fabs(bfloat16 / json_number("nats_per_image") - 1);
    if (!(difference > 2e-5 && difference < 0.02)) fail_msg("found a difference of %.3g in NLL", difference);
}

/* The parameters of base.yaml's model for images of 8 x 8, with these settings: NULL, or KEY=VALUE. */
static double parameters_with(const char *first, const char *second) {
    pixelrnn(0, "info base.yaml --json --height 8 --width 8 --channels 1 %s %s %s %s", first ? "--set" : "",
             first ? first : "", second ? "--set" : "", second ? second : "");
    return json_number("parameters");
}

/* The model has the tensors of its condition: h is 3, one block has 4 h outputs, of K classes or 2 h features; each
 * stage of upsampling has a deconvolution of 2 x 2 taps and a convolution of 3 x 3, from 2 h to 2 h features. */
static void condition_adds_parameters(const key_case *c) {
    const double outputs = 12, features = 6, stem = features * 9 + features, block = outputs * features;
    const double stage = features * features * (4 + 9) + 2 * features;
    const bool is_condition = strcmp(c->key, "model.condition") == 0, is_scale = strcmp(c->key, "model.scale") == 0;
    char setting[64];
    trained_once(&trained_base);
    snprintf(setting, sizeof setting, "%s=%s", c->key, c->value);
    const double without = parameters_with(NULL, NULL), with = parameters_with(setting, *c->with ? c->with : NULL);
    const double expected = is_condition ? stem + stage + block : is_scale ? stem + 2 * stage + block : outputs * 3;
    if (with - without != expected)
        fail_msg("%s: found %.0f parameters, expected %.0f and %.0f more", setting, with, without, expected);
}

/* Memory is planned for this many images, and a plan above all memory is refused. */
static void batch_size_is_planned(const key_case *c) {
    trained_once(&trained_base);
    pixelrnn(0, "info base.yaml --set %s=%s", c->key, c->value);
    assert_non_null(strstr(text_of("out"), "memory, evaluation, 3 images"));
    assert_non_null(strstr(text_of("out"), "memory, sampling, 3 images at a time"));
    oracle_images large = {.count = 2, .height = 64, .width = 64, .channels = 1, .pixels = calloc(2, 64 * 64)};
    assert_non_null(large.pixels);
    oracle_write_images(settings_path("large.npy"), &large);
    free(large.pixels);
    pixelrnn(0, "train base.yaml -o large --set model.kind=pixelcnn --set model.hidden=32 --set data.train=large.npy "
                "--set data.test= --set train.steps=0 --set train.samples=0 --set train.warmup_steps=0");
    pixelrnn(0, "eval large --data large.npy --set %s=%s", c->key, c->value);
    pixelrnn(1, "eval large --data large.npy --set %s=1000000", c->key);
    assert_non_null(strstr(text_of("err"), "memory"));
}

/* Memory is planned for a micro-batch: a batch that is above all memory can be trained in many. */
static void micro_batches_are_planned(const key_case *c) {
    static const char arguments[] = "train base.yaml -o %s --set model.kind=pixelcnn --set model.hidden=32 "
                                    "--set data.train=wide.npy --set data.test= --set train.steps=0 --set "
                                    "train.samples=0 --set train.warmup_steps=0 --set train.batch_size=90000";
    char refused[512], planned[512];
    trained_once(&trained_base);
    oracle_images wide = {.count = 2, .height = 64, .width = 64, .channels = 1, .pixels = calloc(2, 64 * 64)};
    assert_non_null(wide.pixels);
    oracle_write_images(settings_path("wide.npy"), &wide);
    free(wide.pixels);
    snprintf(refused, sizeof refused, arguments, "refused");
    snprintf(planned, sizeof planned, arguments, "planned");
    pixelrnn(1, "%s", refused);
    assert_non_null(strstr(text_of("err"), "memory: 90000 images need"));
    pixelrnn(1, "%s --set %s=%s", refused, c->key, c->value);
    assert_non_null(strstr(text_of("err"), "memory: 30000 images need"));
    pixelrnn(0, "%s --set %s=90000", planned, c->key);
}

/* Recurrences run stepwise on the plain paths alone. */
static void paths_choose_the_recurrence(const key_case *c) {
    trained_once(&trained_base);
    pixelrnn(0, "info base.yaml --verbose --height 6 --width 5 --channels 1");
    assert_null(strstr(text_of("out"), "stepwise: skewed rows"));
    pixelrnn(0, "info base.yaml --verbose --height 6 --width 5 --channels 1 --set %s=%s", c->key, c->value);
    assert_non_null(strstr(text_of("out"), "stepwise: skewed rows"));
}

/* The labels of the key's own split come from the file, which has too few. */
static void labels_are_read_from_files(const key_case *c) {
    char message[128];
    const int images = strcmp(c->key, "data.train_labels") == 0 ? 60000 : 1000;
    trained_once(&trained_base);
    assert_int_equal(shell("printf '\\0\\0\\10\\1\\0\\0\\0\\3abc' >%s", c->value), 0);
    pixelrnn(1,
             "train base.yaml -o labelled --set data.train=builtin:digits --set data.validation=builtin:digits --set "
             "data.test=builtin:digits --set data.size=8 --set model.condition=class --set %s=%s",
             c->key, c->value);
    snprintf(message, sizeof message, "%s: found 3 labels, expected %d", c->key, images);
    assert_non_null(strstr(text_of("err"), message));
}

/* Whether several ranks can be started here. MPI does not run under sanitizers. */
static bool ranks_start(void) {
    return shell("[ \"$DEVICE\" = cpu ] && mpirun --version | grep -q \"Open MPI\" && "
                 "{ [ -e \"${PIXELRNN%%/*}/libpixelrnn_mpi.so\" ] || [ -e "
                 "\"${PIXELRNN%%/*}/../lib/libpixelrnn_mpi.so\" ]; } && "
                 "! ldd \"$PIXELRNN\" | grep -q 'libasan\\|libtsan'") == 0;
}

/* Starts two ranks. `before` is a shell command that runs before each rank executes the program. The job must fail with
 * a message that gives the timeout. */
static void check_timeout(const key_case *c, const char *before, const char *settings) {
    char seconds[32];
    if (!ranks_start()) skip();
    trained_once(&trained_base);
    const int status =
        shell("timeout 30 mpirun --allow-run-as-root --oversubscribe --bind-to none -n 2 sh -c '%s exec \"$@\"' "
              "sh \"$PIXELRNN\" train base.yaml -o ranks_%s --set device=cpu --set data.test= %s --set %s=%s",
              before, c->key, settings, c->key, c->value);
    snprintf(seconds, sizeof seconds, " %s s", c->value);
    if (status == 0 || !strstr(text_of("err"), seconds))
        fail_msg("%s=%s: exit status %d, expected a failure after%s\n%s", c->key, c->value, status, seconds,
                 text_of("err"));
}

/* Rank 1 is stopped by a signal while it trains. */
static void silence_ends_a_job(const key_case *c) {
    check_timeout(
        c,
        "[ $OMPI_COMM_WORLD_RANK = 0 ] || "
        "{ until [ -e ranks_parallel.silence_s/config.yaml ]; do sleep 0.1; done; kill -STOP $$; } &",
        "--set train.steps=1000000 --set train.checkpoint_every=0 --set train.samples=0 --set train.log_every=0");
}

/* Rank 1 waits while rank 0 samples for seconds. */
static void a_stall_ends_a_job(const key_case *c) {
    check_timeout(c, "",
                  "--set train.steps=2 --set train.sample_every=1 --set train.samples=30000 --set "
                  "parallel.silence_s=2 --set train.warmup_steps=0 --set train.ema_decay=0");
}

static const struct {
    const char *key;
    void (*check)(const key_case *c);
} effects[] = {
    {"name", name_names_the_run},
    {"device", device_is_opened},
    {"precision", precision_changes_results},
    {"model.condition", condition_adds_parameters},
    {"model.classes", condition_adds_parameters},
    {"model.scale", condition_adds_parameters},
    {"paths", paths_choose_the_recurrence},
    {"eval.batch_size", batch_size_is_planned},
    {"train.accumulate", micro_batches_are_planned},
    {"data.train_labels", labels_are_read_from_files},
    {"data.validation_labels", labels_are_read_from_files},
    {"data.test_labels", labels_are_read_from_files},
    {"parallel.silence_s", silence_ends_a_job},
    {"parallel.stall_s", a_stall_ends_a_job},
};

static void key_has_its_effect(void **state) {
    const key_case *c = *state;
    for (size_t i = 0; i < sizeof effects / sizeof *effects; i++)
        if (strcmp(effects[i].key, c->key) == 0) {
            effects[i].check(c);
            return;
        }
    fail_msg("%s: found no function that tests its effect", c->key);
}

int main(void) {
    struct CMUnitTest tests[KEY_CASES];
    static char names[KEY_CASES][128];
    size_t count = 0;
    for (int i = 0; i < KEY_CASES; i++) {
        const key_case *c = &key_cases[i];
        snprintf(names[i], sizeof names[i], "key %s=%s", c->key, c->value);
        if (c->effect == SEEN_IN_COMMANDS)
            tests[count++] = (struct CMUnitTest){names[i], key_has_its_effect, NULL, NULL, (void *)(uintptr_t)c};
    }
    return _cmocka_run_group_tests("oracle_keys", tests, count, trained_make, settings_remove);
}
