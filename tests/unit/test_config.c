/* The configuration: defaults, reading and writing of every key, lists, and the files in configs/. */
#include "tests/support/config.h"
#include <float.h>
#include <glob.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static void default_text_is_the_documented_layout(void **state) {
    (void)state;
    static const char expected[] =
        "name: run\nseed: 1\ndevice: auto\nprecision: float32\npaths: auto\n"
        "model:\n  kind: diagonal_bilstm\n  layers: 7\n  hidden: 16\n  head: 32\n"
        "  residual: true\n  skip: false\n  condition: none\n  classes: 10\n  scale: 2\n"
        "data:\n  train: \"\"\n  validation: \"\"\n  test: \"\"\n"
        "  train_labels: \"\"\n  validation_labels: \"\"\n  test_labels: \"\"\n  levels: 256\n  values: auto\n  size: "
        "0\n  channels: "
        "0\n  shuffle: "
        "true\n  flip: false\n "
        " binarize: "
        "false\n"
        "train:\n  steps: 20000\n  batch_size: 16\n  accumulate: 1\n  optimizer: rmsprop\n"
        "  learning_rate: 0.001\n  rho: 0.95\n  beta1: 0.9\n  beta2: 0.999\n"
        "  epsilon: 1.0e-08\n  clip_norm: 1.0\n  ema_decay: 0.0\n  schedule: constant\n"
        "  warmup_steps: 0\n  decay_every: 10000\n  decay_factor: 0.5\n  final_rate: 0.0\n"
        "  log_every: 10\n  evaluate_every: 1000\n  evaluate_images: 0\n  sample_every: 1000\n"
        "  checkpoint_every: 1000\n  samples: 16\n  keep_checkpoints: 3\n"
        "eval:\n  batch_size: 0\n"
        "parallel:\n  bucket_mib: 0.25\n  silence_s: 15.0\n  stall_s: 1800.0\n";
    px_config config = defaults();
    char *text = px_config_text(&config);
    assert_string_equal(text, expected);
    free(text);
}

static void defaults_land_in_their_fields(void **state) {
    (void)state;
    px_config config = defaults();
    assert_string_equal(config.name, "run");
    assert_int_equal(config.model.kind, PX_MODEL_DIAGONAL_BILSTM);
    assert_int_equal(config.model.head, 32);
    assert_true(config.model.residual && !config.model.skip && config.data.shuffle);
    assert_int_equal(config.data.levels, 256);
    assert_int_equal(config.train.optimizer, PX_OPTIMIZER_RMSPROP);
    assert_true(config.train.rho == 0.95 && config.train.epsilon == 1e-8 && config.train.clip_norm == 1);
    assert_int_equal(config.train.keep_checkpoints, 3);
    assert_ok(px_config_check(&ctx, "default", &config));
}

static void every_key_is_documented(void **state) {
    (void)state;
    for (const px_key *key = px_keys; key->name; key++) {
        if (!key->help || !*key->help || strchr(key->help, '\n')) fail_msg("%s: the help is not a line", key->name);
        assert_ptr_equal(px_key_find(key->name), key); /* no name twice */
    }
}

/* A suggestion for a name that is no key, and that the suggestion is a key. */
static void names_of_other_programs_are_known(void **state) {
    (void)state;
    static const struct {
        const char *name, *suggestion;
    } cases[] = {
        {"lr", "nearest: train.learning_rate"},
        {"train.lr", "nearest: train.learning_rate"},
        {"optimizer.LR", "nearest: train.learning_rate"},
        {"batch", "nearest: train.batch_size"},
        {"bs", "nearest: train.batch_size"},
        {"train.epochs", "nearest: train.steps = epochs x images / train.batch_size"},
        {"opt", "nearest: train.optimizer"},
        {"depth", "nearest: model.layers"},
        {"h", "nearest: model.hidden"},
        {"dtype", "nearest: precision"},
        {"val", "nearest: data.validation"},
        {"gradient_accumulation_steps", "nearest: train.accumulate"},
        {"gpu", "nearest: device"},
        {"model.layerz", "nearest: model.layers"},
        {"wd", "pixelrnn keys lists them"}, /* there is no weight decay */
        {"dropout", "pixelrnn keys lists them"},
        {"", "pixelrnn keys lists them"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char phrase[PX_KEY_PHRASE], key[PX_KEY_PHRASE] = "";
        px_key_suggest(cases[i].name, phrase);
        assert_string_equal(phrase, cases[i].suggestion);
        if (sscanf(phrase, "nearest: %s", key) == 1 && !px_key_find(key)) fail_msg("%s: not a key", key);
    }
}

/* Values at both ends of the key's range, or all that it has; others than the default. */
static size_t samples_of(const px_key *key, char values[4][PX_CONFIG_STRING]) {
    switch (key->type) {
    case PX_KEY_BOOLEAN:
        strcpy(values[0], "true");
        strcpy(values[1], "false");
        return 2;
    case PX_KEY_STRING: strcpy(values[0], "a: \"b\" # \\ 'c' ä"); return 1;
    case PX_KEY_WORD:
        for (size_t i = 0;; i++) {
            if (!key->words[i]) return i;
            strcpy(values[i], key->words[i]);
        }
    case PX_KEY_INTEGER:
        snprintf(values[0], PX_CONFIG_STRING, "%.0f", key->min);
        if (isinf(key->max))
            strcpy(values[1], "9223372036854775807");
        else
            snprintf(values[1], PX_CONFIG_STRING, "%.0f", key->max);
        return 2;
    case PX_KEY_REAL:
        snprintf(values[0], PX_CONFIG_STRING, "%.17g", key->above ? nextafter(key->min, 1) : key->min);
        snprintf(values[1], PX_CONFIG_STRING, "%.17g",
                 isinf(key->max) ? DBL_MAX
                 : key->below    ? nextafter(key->max, 0)
                                 : key->max);
        strcpy(values[2], "0.1");
        return 3;
    }
    return 0;
}

static void every_key_goes_there_and_back(void **state) {
    (void)state;
    for (const px_key *key = px_keys; key->name; key++) {
        static char values[4][PX_CONFIG_STRING];
        size_t count = samples_of(key, values), changed = 0;
        for (size_t i = 0; i < count; i++) {
            px_config config = defaults();
            set(&config, key->name, values[i]);
            assert_round_trip(&config);
            char before[PX_CONFIG_STRING], after[PX_CONFIG_STRING];
            px_config initial = defaults();
            px_key_write(key, &initial, before);
            px_key_write(key, &config, after);
            changed += strcmp(before, after) != 0;
        }
        if (changed == 0) fail_msg("%s: no value changes the field", key->name);
    }
}

/* One past either end is refused, and so is every bound that does not belong to the range. */
static void every_range_ends(void **state) {
    (void)state;
    for (const px_key *key = px_keys; key->name; key++) {
        char low[512] = "", high[512] = "inf";
        if (key->type == PX_KEY_INTEGER) {
            snprintf(low, sizeof low, "%.0f", key->min - 1);
            snprintf(high, sizeof high, "%.0f", isinf(key->max) ? 0x1p63 : key->max + 1);
        } else if (key->type == PX_KEY_REAL) {
            snprintf(low, sizeof low, "%.17g", key->above ? key->min : nextafter(key->min, -1));
            if (!isinf(key->max))
                snprintf(high, sizeof high, "%.17g", key->below ? key->max : nextafter(key->max, INFINITY));
        } else if (key->type == PX_KEY_STRING) {
            memset(high, 'x', 300);
            if (key->max > 300 || key->min == 0) continue; /* too_long_strings has these */
        } else {
            strcpy(low, "automatic");
        }
        const char *const values[] = {low, high};
        for (size_t i = 0; i < COUNT(values); i++) {
            px_config config = defaults(), untouched = config;
            if (px_key_read(&ctx, "test", key, values[i], &config) != PX_ERR_CONFIG)
                fail_msg("%s takes \"%s\"", key->name, values[i]);
            assert_same(&untouched, &config);
        }
    }
}

static void reals_keep_every_bit(void **state) {
    (void)state;
    static const double values[] = {0.1, 1.0 / 3, 3e-4, 5e-324, DBL_MIN, DBL_MAX, 123456789.123456789, 1e22, 1e15, 2};
    for (size_t i = 0; i < COUNT(values); i++) {
        px_config config = defaults();
        config.train.learning_rate = values[i];
        assert_round_trip(&config);
    }
    static const struct {
        double value;
        const char *line;
    } spelt[] = {{0.1, "  learning_rate: 0.1\n"},
                 {3e-4, "  learning_rate: 0.0003\n"},
                 {2, "  learning_rate: 2.0\n"},
                 {1e22, "  learning_rate: 1.0e+22\n"},
                 {2.5e-9, "  learning_rate: 2.5e-09\n"}};
    for (size_t i = 0; i < COUNT(spelt); i++) {
        px_config config = defaults();
        config.train.learning_rate = spelt[i].value;
        char *text = px_config_text(&config);
        if (!strstr(text, spelt[i].line)) fail_msg("no line \"%s\" in:\n%s", spelt[i].line, text);
        free(text);
    }
}

static void strings_are_quoted_only_where_they_must_be(void **state) {
    (void)state;
    static const struct {
        const char *value, *line;
    } cases[] = {{"data/train.npy", "name: data/train.npy\n"},
                 {"../a b.npy", "name: ../a b.npy\n"},
                 {"builtin:digits", "name: builtin:digits\n"},
                 {"größe", "name: größe\n"},
                 {"7", "name: \"7\"\n"},
                 {"-1.5e3", "name: \"-1.5e3\"\n"},
                 {"2016-01-25", "name: \"2016-01-25\"\n"},
                 {".inf", "name: \".inf\"\n"},
                 {"Yes", "name: \"Yes\"\n"},
                 {"null", "name: \"null\"\n"},
                 {"a: b", "name: 'a: b'\n"},
                 {"a #b", "name: 'a #b'\n"},
                 {"it's", "name: it's\n"},
                 {"*x", "name: '*x'\n"},
                 {"a name of many words that would go past the eightieth column and be folded right there",
                  "name: a name of many words that would go past the eightieth column and be folded right there\n"},
                 {"~", NULL},
                 {" padded ", NULL},
                 {"- x", NULL},
                 {"%TAG", NULL},
                 {"\xC2\x85\xE2\x80\xA8\xEF\xBB\xBF", NULL}, /* line breaks of Unicode, byte order mark */
                 {"\xF0\x9F\x98\x80 \xEF\xBF\xBF", NULL}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        px_config config = defaults();
        set(&config, "name", cases[i].value);
        assert_string_equal(config.name, cases[i].value);
        assert_round_trip(&config);
        char *text = px_config_text(&config);
        if (cases[i].line && strncmp(text, cases[i].line, strlen(cases[i].line)) != 0)
            fail_msg("no line \"%s\" in:\n%s", cases[i].line, text);
        free(text);
    }
}

static void spellings_that_are_allowed(void **state) {
    (void)state;
    px_config config = defaults();
    assert_ok(px_config_parse(&ctx, "text", "", &config));
    assert_ok(px_config_parse(&ctx, "text", "# only a comment\n", &config));
    px_config untouched = defaults();
    assert_same(&untouched, &config);
    assert_ok(
        px_config_parse(&ctx, "text",
                        "\xEF\xBB\xBF%YAML 1.1\n---\r\nmodel.layers: 3\r\nmodel: {skip: on, residual: NO}\n"
                        "data:\n  train: ~\n  test:\n  shuffle: False\n"
                        "train: {steps: \"+30\", learning_rate: 1, clip_norm: .5, ema_decay: 0}\nseed: 007\n...\n",
                        &config));
    assert_int_equal(config.model.layers, 3);
    assert_true(config.model.skip && !config.model.residual && !config.data.shuffle);
    assert_string_equal(config.data.train, "");
    assert_int_equal(config.train.steps, 30);
    assert_true(config.train.learning_rate == 1 && config.train.clip_norm == 0.5 && config.seed == 7);
}

/* A list is a YAML sequence, or values with commas between them for --set; it is written back as a sequence. */
static void lists_are_read_and_written(void **state) {
    (void)state;
    static const struct {
        const char *text, *value, *line;
    } cases[] = {
        {"data: {train: [a.npy, 'b, c.npy']}", "a.npy\tb, c.npy",
         "  train:\n  - a.npy\n  - b, c.npy\n  validation: \"\"\n  test: \"\"\n"},
        {"data:\n  train:\n  - a.npy\n  - \"7\"\n", "a.npy\t7", "  train:\n  - a.npy\n  - \"7\"\n"},
        {"data: {train: [one.npy]}", "one.npy", "  train: one.npy\n"},
        {"data: {train: []}", "", "  train: \"\"\n"},
        {"data: {train: 'a,b.npy'}", "a,b.npy", "  train: a,b.npy\n"}, /* of a scalar a comma is a part */
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        px_config config = defaults();
        assert_ok(px_config_parse(&ctx, "a.yaml", cases[i].text, &config));
        assert_string_equal(config.data.train, cases[i].value);
        assert_round_trip(&config);
        char *text = px_config_text(&config);
        if (!strstr(text, cases[i].line)) fail_msg("no \"%s\" in:\n%s", cases[i].line, text);
        free(text);
    }
    px_config config = defaults();
    set(&config, "data.test", "a b.npy,builtin:digits");
    assert_string_equal(config.data.test, "a b.npy\tbuiltin:digits");
    assert_round_trip(&config);
    set(&config, "data.test", "");
    assert_string_equal(config.data.test, "");
    set(&config, "name", "a,b"); /* other keys have one value */
    assert_string_equal(config.name, "a,b");
}

static void words(void **state) {
    (void)state;
    assert_string_equal(px_config_word("model.kind", PX_MODEL_ROW_LSTM), "row_lstm");
    assert_string_equal(px_config_word("device", PX_DEVICE_CUDA), "cuda");
    assert_null(px_config_word("model.kind", 3));
    assert_null(px_config_word("model.kind", -1));
    assert_null(px_config_word("model.layers", 1));
    assert_null(px_config_word("model.form", 1));
}

/* Writes the bytes to a file, loads it, and returns the status. */
static px_status load_bytes(const char *bytes, size_t count, px_config *config) {
    char path[] = "/tmp/test_config_XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, bytes, count), count);
    close(file);
    px_status status = px_config_load(&ctx, path, config);
    unlink(path);
    if (status != PX_OK && strncmp(ctx.message, path, strlen(path)) != 0) fail_msg("no file in: %s", ctx.message);
    return status;
}

static void files(void **state) {
    (void)state;
    px_config config = defaults();
    assert_int_equal(px_config_load(&ctx, "no/such.yaml", &config), PX_ERR_FILE);
    assert_string_equal(ctx.message, "no/such.yaml: No such file or directory");
    assert_int_equal(px_config_load(&ctx, "/", &config), PX_ERR_FILE);

    set(&config, "name", "kept"); /* keys that the file does not name stay */
    assert_ok(load_bytes("seed: 12\n", 9, &config));
    assert_int_equal(config.seed, 12);
    assert_string_equal(config.name, "kept");
    assert_int_equal(load_bytes("seed: 1\0003\n", 10, &config), PX_ERR_CONFIG); /* not 1 */
    assert_int_equal(load_bytes("\x93NUMPY\x01\0", 8, &config), PX_ERR_CONFIG);
    assert_int_equal(config.seed, 12);

    size_t limit = 1 << 20;
    char *spaces = malloc(limit + 1);
    memset(spaces, '\n', limit + 1);
    assert_ok(load_bytes(spaces, limit, &config));
    assert_int_equal(load_bytes(spaces, limit + 1, &config), PX_ERR_CONFIG);
    free(spaces);
}

/* Every config in the repository is right, named after its file, and says what to train on. */
static void configs_of_the_repository(void **state) {
    (void)state;
    glob_t found;
    assert_int_equal(glob("configs/*.yaml", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        const char *path = found.gl_pathv[i];
        px_config config = defaults();
        assert_ok(px_config_load(&ctx, path, &config));
        assert_ok(px_config_check(&ctx, path, &config));
        assert_round_trip(&config);
        char named[PX_CONFIG_STRING + 16];
        snprintf(named, sizeof named, "configs/%s.yaml", config.name);
        assert_string_equal(path, named);
        if (!*config.data.train) fail_msg("%s: data.train is empty", path);
    }
    globfree(&found);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default_text_is_the_documented_layout),
        cmocka_unit_test(defaults_land_in_their_fields),
        cmocka_unit_test(every_key_is_documented),
        cmocka_unit_test(names_of_other_programs_are_known),
        cmocka_unit_test(every_key_goes_there_and_back),
        cmocka_unit_test(every_range_ends),
        cmocka_unit_test(reals_keep_every_bit),
        cmocka_unit_test(strings_are_quoted_only_where_they_must_be),
        cmocka_unit_test(spellings_that_are_allowed),
        cmocka_unit_test(lists_are_read_and_written),
        cmocka_unit_test(words),
        cmocka_unit_test(files),
        cmocka_unit_test(configs_of_the_repository),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
