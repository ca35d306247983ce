/* Errors of configs: every kind, with its whole message. */
#include "tests/support/config.h"

static void errors_name_line_key_found_and_expected(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"model:\n  layers: many\n", "a.yaml:2: model.layers: found \"many\", expected an integer from 1 to 1000"},
        {"model:\n\n  layers: 1e3\n", "a.yaml:3: model.layers: found \"1e3\", expected an integer from 1 to 1000"},
        {"model: {layers: 2.0}", "a.yaml:1: model.layers: found \"2.0\", expected an integer from 1 to 1000"},
        {"model: {layers: 0x10}", "a.yaml:1: model.layers: found \"0x10\", expected an integer from 1 to 1000"},
        {"model: {layers: 0}", "a.yaml:1: model.layers: found \"0\", expected an integer from 1 to 1000"},
        {"model: {layers: }", "a.yaml:1: model.layers: found nothing, expected an integer from 1 to 1000"},
        {"model: {layers: 4294967297}",
         "a.yaml:1: model.layers: found \"4294967297\", expected an integer from 1 to 1000"},
        {"seed: 9223372036854775808",
         "a.yaml:1: seed: found \"9223372036854775808\", expected an integer from 0 to 9223372036854775807"},
        {"train: {learning_rate: .nan}",
         "a.yaml:1: train.learning_rate: found \".nan\", expected a finite number above 0"},
        {"train: {learning_rate: nan}",
         "a.yaml:1: train.learning_rate: found \"nan\", expected a finite number above 0"},
        {"train: {learning_rate: inf}",
         "a.yaml:1: train.learning_rate: found \"inf\", expected a finite number above 0"},
        {"train: {learning_rate: 1e999}",
         "a.yaml:1: train.learning_rate: found \"1e999\", expected a finite number above 0"},
        {"train: {learning_rate: 1e-3x}",
         "a.yaml:1: train.learning_rate: found \"1e-3x\", expected a finite number above 0"},
        {"train: {rho: 1}", "a.yaml:1: train.rho: found \"1\", expected a number from 0 to below 1"},
        {"model: {skip: 1}", "a.yaml:1: model.skip: found \"1\", expected one of true, false"},
        {"device: gpu", "a.yaml:1: device: found \"gpu\", expected one of auto, cpu, cuda"},
        {"name: ''",
         "a.yaml:1: name: found nothing, expected UTF-8 text without control characters, from 1 to 255 bytes"},
        {"name: |\n  a\n  b\n",
         "a.yaml:1: name: found \"a?b?\", expected UTF-8 text without control characters, from 1 to 255 bytes"},
        {"name: \"a\\0b\"",
         "a.yaml:1: name: found a zero byte, expected UTF-8 text without control characters, from 1 to 255 bytes"},
        {"seed: 1\nmodel:\n  layer: 3\n",
         "a.yaml:3: found unknown key \"model.layer\", expected a known one (nearest: model.layers)"},
        {"layers: 3", "a.yaml:1: found unknown key \"layers\", expected a known one (nearest: model.layers)"},
        {"model: {learning_rate: 1}", "a.yaml:1: found unknown key \"model.learning_rate\", expected a known one "
                                      "(nearest: train.learning_rate)"},
        {"Seed: 3", "a.yaml:1: found unknown key \"Seed\", expected a known one (nearest: seed)"},
        {"trian: {steps: 3}", "a.yaml:1: found unknown key \"trian\", expected a known one (nearest: train.steps)"},
        {"\"see\\nd\": 3", "a.yaml:1: found unknown key \"see?d\", expected a known one (nearest: seed)"},
        {"model: {layers: 3}\nseed: 4\nseed: 5", "a.yaml:3: seed: found it again after line 2, expected each key once"},
        {"model:\n  layers: 3\nmodel.layers: 4",
         "a.yaml:3: model.layers: found it again after line 2, expected each key once"},
        {"model:\n  layers: 3\nmodel:\n  skip: true\n",
         "a.yaml:3: model: found it again after line 1, expected each key once"},
        {"model:\n  layers:\n    - 3\n", "a.yaml:2: model.layers: found a list, expected an integer from 1 to 1000"},
        {"model: {layers: {}}", "a.yaml:1: model.layers: found a mapping, expected an integer from 1 to 1000"},
        {"model: 3", "a.yaml:1: model: found \"3\", expected a mapping of its keys"},
        {"model: []", "a.yaml:1: model: found a list, expected a mapping of its keys"},
        {"- model", "a.yaml:1: found a list, expected a mapping of keys"},
        {"\nmodel", "a.yaml:2: found \"model\", expected a mapping of keys"},
        {"---\n", "a.yaml:2: found nothing, expected a mapping of keys"},
        {"? [a]\n: 3\n", "a.yaml:1: found a list, expected a key"},
        {"? {a: b}\n: 3\n", "a.yaml:1: found a mapping, expected a key"},
        {"model: {layers: &n 3}", "a.yaml:1: model.layers: found an anchor, expected an integer from 1 to 1000"},
        {"model: &m {layers: 3}", "a.yaml:1: model: found an anchor, expected a mapping of its keys"},
        {"model: {layers: *n}", "a.yaml:1: model.layers: found an alias, expected an integer from 1 to 1000"},
        {"model: {layers: !env N}", "a.yaml:1: model.layers: found a tag, expected an integer from 1 to 1000"},
        {"seed: 1\n---\nseed: 2\n", "a.yaml:2: found a second document, expected one"},
        {"name: x\nseed: @1\n", "a.yaml:2: found broken syntax at column 7 (found character that cannot start any "
                                "token), expected YAML"},
        {"model: {layers: 3\n", "a.yaml:2: found broken syntax at column 1 (did not find expected ',' or '}'), "
                                "expected YAML"},
        {"name: x\nseed: \xFF\n",
         "a.yaml:2: found bytes that are not text (invalid leading UTF-8 octet), expected YAML "
         "in UTF-8"},
        {"name: x\n\nseed: \x01\n", "a.yaml:3: found bytes that are not text (control characters are not allowed), "
                                    "expected YAML in UTF-8"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        px_config config = defaults(), untouched = config;
        px_status status = px_config_parse(&ctx, "a.yaml", cases[i].text, &config);
        if (status != PX_ERR_CONFIG) fail_msg("status %d for:\n%s", status, cases[i].text);
        assert_string_equal(ctx.message, cases[i].message);
        assert_same(&untouched, &config);
    }
}

static void too_long_strings(void **state) {
    (void)state;
    px_config config = defaults();
    char longest[PX_CONFIG_STRING + 1], text[PX_CONFIG_STRING + 32];
    memset(longest, 'x', PX_CONFIG_STRING);
    longest[PX_CONFIG_STRING] = 0;
    snprintf(text, sizeof text, "\ndata: {train: %s}", longest);
    assert_int_equal(px_config_parse(&ctx, "a.yaml", text, &config), PX_ERR_CONFIG);
    assert_string_equal(ctx.message,
                        "a.yaml:2: data.train: found "
                        "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...\", expected "
                        "paths (UTF-8 text without control characters, commas between them), from 0 to 4095 bytes");
    longest[PX_CONFIG_STRING - 1] = 0;
    set(&config, "data.train", longest);
    assert_string_equal(config.data.train, longest);
    assert_round_trip(&config);
}

static void overrides_that_are_wrong(void **state) {
    (void)state;
    static const struct {
        const char *assignment;
        px_status status;
        const char *message;
    } cases[] = {
        {"model.layers", PX_ERR_USAGE, "--set: found \"model.layers\", expected key=value"},
        {"", PX_ERR_USAGE, "--set: found nothing, expected key=value"},
        {"model.layers=many", PX_ERR_CONFIG, "--set: model.layers: found \"many\", expected an integer from 1 to 1000"},
        {"model.layers= 3", PX_ERR_CONFIG, "--set: model.layers: found \" 3\", expected an integer from 1 to 1000"},
        {"model.depth=3", PX_ERR_CONFIG,
         "--set: found unknown key \"model.depth\", expected a known one (nearest: model.layers)"},
        {"=3", PX_ERR_CONFIG, "--set: found unknown key nothing, expected a known one (pixelrnn keys lists them)"},
        {"name=\xC3", PX_ERR_CONFIG,
         "--set: name: found \"?\", expected UTF-8 text without control characters, from 1 to 255 bytes"},
        {"name=\xE2\x82"
         "A",
         PX_ERR_CONFIG, /* cut off */
         "--set: name: found \"??A\", expected UTF-8 text without control characters, from 1 to 255 bytes"},
        {"name=\xED\xA0\x80", PX_ERR_CONFIG, /* a surrogate */
         "--set: name: found \"???\", expected UTF-8 text without control characters, from 1 to 255 bytes"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        px_config config = defaults(), untouched = config;
        assert_int_equal(px_config_set(&ctx, cases[i].assignment, &config), cases[i].status);
        assert_string_equal(ctx.message, cases[i].message);
        assert_same(&untouched, &config);
    }
    px_config config = defaults();
    assert_ok(px_config_set(&ctx, "data.train=a=b", &config)); /* the first = counts */
    assert_string_equal(config.data.train, "a=b");
}

static void lists_that_are_wrong(void **state) {
    (void)state;
#define LIST "expected paths (UTF-8 text without control characters, commas between them), from 0 to 4095 bytes"
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"data: {train: [a, '']}", "a.yaml:1: data.train: found an empty value in a list, " LIST},
        {"data: {train: [a, ~]}", "a.yaml:1: data.train: found an empty value in a list, " LIST},
        {"data: {train: [a, [b]]}", "a.yaml:1: data.train: found a list, " LIST},
        {"data: {train: [a, {b: c}]}", "a.yaml:1: data.train: found a mapping, " LIST},
        {"data: {train: [a, \"b\\tc\"]}", "a.yaml:1: data.train: found a tab in a list, " LIST},
        {"data: {train: \"b\\tc\"}", "a.yaml:1: data.train: found a tab, " LIST},
        {"data: {train: &x [a]}", "a.yaml:1: data.train: found a list, " LIST},
        {"data: {levels: [2]}", "a.yaml:1: data.levels: found a list, expected an integer from 2 to 256"},
        {"name: [a]",
         "a.yaml:1: name: found a list, expected UTF-8 text without control characters, from 1 to 255 bytes"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        px_config config = defaults(), untouched = config;
        assert_int_equal(px_config_parse(&ctx, "a.yaml", cases[i].text, &config), PX_ERR_CONFIG);
        assert_string_equal(ctx.message, cases[i].message);
        assert_same(&untouched, &config);
    }
    static const char *const settings[] = {"data.train=a,,b", "data.train=,a", "data.train=a,", "data.train=a\tb"};
    for (size_t i = 0; i < COUNT(settings); i++) {
        px_config config = defaults();
        assert_int_equal(px_config_set(&ctx, settings[i], &config), PX_ERR_CONFIG);
        assert_non_null(strstr(ctx.message, "--set: data.train: found \""));
        assert_non_null(strstr(ctx.message, LIST));
    }
    char text[2 * PX_CONFIG_STRING] = "data: {train: [";
    for (int i = 0; i < 100; i++) strcat(text, "a_path_of_forty_characters/and_a_file.npy, ");
    strcat(text, "b]}");
    px_config config = defaults();
    assert_int_equal(px_config_parse(&ctx, "a.yaml", text, &config), PX_ERR_CONFIG);
    assert_string_equal(ctx.message, "a.yaml:1: data.train: found a longer list, " LIST);
    for (int more = 0; more < 2; more++) { /* 4095 bytes and a tab among them; one more */
        snprintf(text, sizeof text, "data: {train: [%0*d, %095d]}", 3999 + more, 0, 0);
        config = defaults();
        assert_int_equal(px_config_parse(&ctx, "a.yaml", text, &config), more ? PX_ERR_CONFIG : PX_OK);
        assert_int_equal(strlen(config.data.train), more ? 0 : 4095);
    }
}

static void contradictions(void **state) {
    (void)state;
    px_config config = defaults();
    set(&config, "precision", "bfloat16");
    if (sizeof(px_real) == sizeof(float)) {
        assert_ok(px_config_check(&ctx, "a.yaml", &config));
    } else {
        assert_int_equal(px_config_check(&ctx, "a.yaml", &config), PX_ERR_CONFIG);
        assert_string_equal(ctx.message,
                            "a.yaml: precision: found bfloat16, expected float32 in a build with BUILD=double");
    }
    config = defaults();
    set(&config, "train.steps", "100");
    set(&config, "train.warmup_steps", "100");
    assert_ok(px_config_check(&ctx, "a.yaml", &config));
    set(&config, "train.warmup_steps", "101");
    assert_int_equal(px_config_check(&ctx, "a.yaml", &config), PX_ERR_CONFIG);
    assert_string_equal(ctx.message, "a.yaml: train.warmup_steps: found 101, expected at most train.steps, 100");
    for (int channels = 0; channels < 4; channels++) {
        config = defaults();
        config.data.channels = channels;
        assert_int_equal(px_config_check(&ctx, "a.yaml", &config), channels == 2 ? PX_ERR_CONFIG : PX_OK);
    }
    assert_string_equal(ctx.message, "a.yaml: data.channels: found 2, expected 0, 1 or 3");
}

/* The places of data may differ among ranks, whose contents are compared; nothing else may. */
static void ranks_agree(void **state) {
    (void)state;
    static const struct {
        const char *assignment, *message; /* NULL: they agree */
    } cases[] = {{"data.train=there.npy", NULL},
                 {"data.test=there.npy", NULL},
                 {"data.values=levels", "data.values: found levels, expected auto as on rank 0"},
                 {"train.log_every=7", "train.log_every: found 7, expected 100 as on rank 0"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        px_config first = defaults(), mine = defaults();
        assert_int_equal(px_config_set(&ctx, "train.log_every=100", &first), PX_OK);
        mine = first;
        assert_int_equal(px_config_set(&ctx, cases[i].assignment, &mine), PX_OK);
        assert_int_equal(px_config_check_ranks(&ctx, &first, &mine), cases[i].message ? PX_ERR_CONFIG : PX_OK);
        if (cases[i].message) assert_string_equal(ctx.message, cases[i].message);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_name_line_key_found_and_expected),
        cmocka_unit_test(too_long_strings),
        cmocka_unit_test(overrides_that_are_wrong),
        cmocka_unit_test(lists_that_are_wrong),
        cmocka_unit_test(contradictions),
        cmocka_unit_test(ranks_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
