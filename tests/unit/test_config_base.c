/* Configs with bases: order of keys, paths, and errors with their whole messages. */
#include "tests/support/config.h"
#include "host/io/file.h"
#include <sys/stat.h>

/* Writes a file of the current folder. */
static void put(const char *path, const char *text) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void keys_replace_those_of_the_base(void **state) {
    (void)state;
    put("deep/mnist.yaml", "seed: 5\nmodel: {layers: 7, hidden: 20}\ndata: {train: [a.npy, b.npy]}\ntrain.steps: 3\n");
    put("deep/cpu.yaml", "base: mnist.yaml\ndevice: cpu\nmodel: {hidden: 30}\n");
    put("run.yaml", "# a comment\nbase: deep/cpu.yaml\nmodel: {layers: 9}\ndata: {train: c.npy}\n");
    px_config config = defaults();
    set(&config, "train.batch_size", "4"); /* a key that no file contains stays */
    assert_ok(px_config_load(&ctx, "run.yaml", &config));
    assert_int_equal(config.seed, 5);
    assert_int_equal(config.device, PX_DEVICE_CPU);
    assert_int_equal(config.model.layers, 9);
    assert_int_equal(config.model.hidden, 30);
    assert_string_equal(config.data.train, "c.npy"); /* a list is replaced, too */
    assert_int_equal(config.train.steps, 3);
    assert_int_equal(config.train.batch_size, 4);
    assert_round_trip(&config);

    char *text = px_config_text(&config), path[64], here[512];
    assert_null(strstr(text, "base"));
    free(text);
    assert_non_null(getcwd(here, sizeof here));
    put("absolute.yaml", "");
    FILE *file = fopen("deep/absolute.yaml", "wb");
    fprintf(file, "base: %s/run.yaml\nseed: 6\n", here);
    fclose(file);
    px_config other = defaults();
    strcpy(path, "./deep/../deep/absolute.yaml");
    assert_ok(px_config_load(&ctx, path, &other));
    assert_int_equal(other.seed, 6);
    assert_int_equal(other.model.layers, 9);
}

static void bases_may_share_a_base(void **state) {
    (void)state;
    put("twice.yaml", "base: deep/cpu.yaml\n"); /* a file is read again for another config */
    px_config config = defaults();
    assert_ok(px_config_load(&ctx, "twice.yaml", &config));
    assert_ok(px_config_load(&ctx, "run.yaml", &config));
    assert_int_equal(config.model.layers, 9);
}

static void errors_name_the_file_and_line(void **state) {
    (void)state;
#define PATH  "expected the path of a config, relative to this one"
#define CYCLE "expected a base that does not need this file"
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"base: deep/wrong.yaml\n", "deep/wrong.yaml:3: seed: found \"x\", expected an integer from 0 to "
                                    "9223372036854775807"},
        {"base: deep/unknown.yaml\n",
         "deep/unknown.yaml:1: found unknown key \"sead\", expected a known one (nearest: seed)"},
        {"base: deep/to_wrong.yaml\nseed: 1\n", "deep/wrong.yaml:3: seed: found \"x\", expected an integer from 0 to "
                                                "9223372036854775807"},
        {"base: deep/mnist.yaml\nseed: y\n", "case.yaml:2: seed: found \"y\", expected an integer from 0 to "
                                             "9223372036854775807"},
        {"\n\nbase: none.yaml\n", "case.yaml:3: base: none.yaml: No such file or directory"},
        {"base: deep/to_none.yaml\n", "deep/to_none.yaml:2: base: deep/none.yaml: No such file or directory"},
        {"base: deep\n", "case.yaml:1: base: deep: Is a directory"},
        {"base: deep/zero.yaml\n", "case.yaml:1: base: deep/zero.yaml: found 0 at byte 0, expected a text file"},
        {"base:\n", "case.yaml:1: base: found nothing, " PATH},
        {"base: ''\n", "case.yaml:1: base: found nothing, " PATH},
        {"base: [deep/mnist.yaml]\n", "case.yaml:1: base: found a list, " PATH},
        {"base: {a: b}\n", "case.yaml:1: base: found a mapping, " PATH},
        {"seed: 1\nbase: deep/mnist.yaml\n",
         "case.yaml:2: base: found it in another place, expected it as the first key of the file"},
        {"base: deep/mnist.yaml\nbase: deep/mnist.yaml\n",
         "case.yaml:2: base: found it in another place, expected it as the first key of the file"},
        {"model:\n  base: deep/mnist.yaml\n",
         "case.yaml:2: model.base: found it in another place, expected it as the first key of the file"},
        {"base: case.yaml\n", "case.yaml:1: base: found a cycle: case.yaml, case.yaml, " CYCLE},
        {"base: deep/cycle.yaml\n",
         "deep/cycle.yaml:1: base: found a cycle: case.yaml, deep/cycle.yaml, deep/../case.yaml, " CYCLE},
        {"base: deep/own_cycle.yaml\n",
         "deep/own_cycle.yaml:1: base: found a cycle: case.yaml, deep/own_cycle.yaml, deep/own_cycle.yaml, " CYCLE},
    };
    put("deep/wrong.yaml", "name: a\n\nseed: x\n");
    put("deep/unknown.yaml", "sead: 1\n");
    put("deep/to_wrong.yaml", "base: wrong.yaml\n");
    put("deep/to_none.yaml", "# a comment\nbase: none.yaml\n");
    put("deep/cycle.yaml", "base: ../case.yaml\n");
    put("deep/own_cycle.yaml", "base: own_cycle.yaml\n");
    FILE *zero = fopen("deep/zero.yaml", "wb");
    fputc(0, zero);
    fclose(zero);
    for (size_t i = 0; i < COUNT(cases); i++) {
        px_config config = defaults(), untouched = config;
        put("case.yaml", cases[i].text);
        if (px_config_load(&ctx, "case.yaml", &config) != PX_ERR_CONFIG) fail_msg("read:\n%s", cases[i].text);
        assert_string_equal(ctx.message, cases[i].message);
        assert_same(&untouched, &config);
    }
}

/* A text in memory, such as the config of a model file, opens no other file. */
static void texts_have_no_base(void **state) {
    (void)state;
    px_config config = defaults(), untouched = config;
    assert_int_equal(px_config_parse(&ctx, "run.yaml", "base: deep/mnist.yaml\n", &config), PX_ERR_CONFIG);
    assert_string_equal(ctx.message,
                        "run.yaml:1: base: found a base, expected no base in a config that is not a file of its own");
    assert_same(&untouched, &config);
    assert_int_equal(px_config_set(&ctx, "base=deep/mnist.yaml", &config), PX_ERR_CONFIG);
}

static void chains_have_a_limit(void **state) {
    (void)state;
    char path[32], text[64];
    put("chain17.yaml", "seed: 9\n");
    for (int i = 0; i < 17; i++) {
        snprintf(path, sizeof path, "chain%d.yaml", i);
        snprintf(text, sizeof text, "base: chain%d.yaml\n", i + 1);
        put(path, text);
    }
    px_config config = defaults();
    assert_ok(px_config_load(&ctx, "chain1.yaml", &config)); /* 16 bases */
    assert_int_equal(config.seed, 9);
    assert_int_equal(px_config_load(&ctx, "chain0.yaml", &config), PX_ERR_CONFIG);
    assert_string_equal(ctx.message, "chain16.yaml:1: base: found more than 16 bases in a chain, expected fewer");
}

static char folder[] = "/tmp/test_config_base_XXXXXX";

static int enter_folder(void **state) {
    (void)state;
    return !mkdtemp(folder) || chdir(folder) != 0 || mkdir("deep", 0777) != 0;
}

static int remove_folder(void **state) {
    (void)state;
    return px_file_remove_folder(&ctx, folder) != PX_OK;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_replace_those_of_the_base),
        cmocka_unit_test(bases_may_share_a_base),
        cmocka_unit_test(errors_name_the_file_and_line),
        cmocka_unit_test(texts_have_no_base),
        cmocka_unit_test(chains_have_a_limit),
    };
    return cmocka_run_group_tests(tests, enter_folder, remove_folder);
}
