/* The choice of a recurrence's strategy (host/device/recurrence_strategy.c): stepwise, fused or on clusters, and the
 * division of the work among clusters. */
#include "host/check/cases.h"
#include "tests/support/support.h"
#include "host/device/recurrence.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The properties of an H200. */
static const px_device hopper = {.paths = PX_PATH_CUDA | PX_PATH_CLUSTER,
                                 .capability = 90,
                                 .multiprocessors = 132,
                                 .shared = 232448,
                                 .clusters = {128, 64, 32, 16}};

static const char *const verdict = "paths: auto and a verdict of `pixelrnn check`",
                         *const agreement = "paths: auto and agreement with the stepwise recurrence";

static px_recurrence_args as_bf16(px_recurrence_args s) {
    for (int d = 0; d < s.directions; d++) {
        px_tensor *tensors[] = {&s.direction[d].weight, &s.direction[d].gates, &s.direction[d].h, &s.direction[d].dh};
        for (int i = 0; i < 4; i++) tensors[i]->type = PX_BF16;
    }
    return s;
}

static px_recurrence_strategy strategy_of(const px_device *device, const px_recurrence_args *s) {
    const px_recurrence_choice forward = px_recurrence_choose(device, s, false),
                               backward = px_recurrence_choose(device, s, true);
    assert_int_equal(forward.strategy, backward.strategy);
    return forward.strategy;
}

/* Expected values worked out by hand: blocks of a cluster, warpgroups of a block, images of a cluster, and bytes of
 * weights + operands + receive buffers + barriers. */
static void test_choice(void **state) {
    (void)state;
    static const struct {
        bool diagonal, backward;
        int images, hidden, blocks, warpgroups, each;
        size_t shared;
    } cases[] = {
        {true, false, 1, 128, 4, 1, 1, 65536 + 33792 + 128}, /* 127 steps of 4816 cycles; 8 blocks: 5008 */
        {true, false, 16, 128, 4, 1, 1, 65536 + 33792 + 128},
        {true, true, 16, 128, 4, 1, 1, 65536 + 33792 + 12288 + 128},
        {true, false, 32, 128, 2, 2, 1, 131072 + 33792 + 128}, /* 127 steps of 6096; 4 blocks: 192 of 4816 */
        {true, false, 48, 128, 2, 2, 2, 131072 + 33792 + 128}, /* 192 steps of 6096; 4 blocks: 257 of 4816 */
        {true, false, 64, 128, 2, 2, 2, 131072 + 33792 + 128}, /* 192 steps of 6096; 4 blocks: 322 of 4816 */
        {true, true, 64, 128, 2, 2, 2, 131072 + 67584 + 8192 + 128},
        {true, false, 32, 64, 2, 1, 1, 32768 + 16896 + 128}, /* 127 steps of 3536; 1 block: 127 of 4304 */
        {true, false, 64, 64, 1, 2, 1, 65536 + 16896 + 128}, /* 127 steps of 4304; 2 blocks: 192 of 3536 */
        {false, false, 64, 128, 2, 2, 1, 196608 + 33792 + 128},
        {false, true, 64, 128, 4, 1, 2, 98304 + 33792 + 12288 + 128}, /* 2 blocks have too little shared memory */
        {true, false, 1, 256, 8, 1, 1, 131072 + 67584 + 128},
        {true, true, 61, 256, 8, 1, 8, 131072 + 33792 + 28672 + 128},
        {true, true, 3, 16, 1, 1, 1, 16384 + 33792 + 128},
        {true, true, 129, 16, 1, 1, 3, 16384 + 33792 + 128},
    };
    for (size_t i = 0; i < PX_COUNT(cases); i++) {
        const px_grid grid = {cases[i].images, 64, 64};
        const px_recurrence_args s = as_bf16(cases[i].diagonal ? px_diagonal_recurrence(grid, cases[i].hidden)
                                                               : px_row_recurrence(grid, cases[i].hidden));
        const px_recurrence_choice choice = px_recurrence_choose(&hopper, &s, cases[i].backward);
        EXPECT_EQUAL(choice.strategy, PX_RECURRENCE_CLUSTER, "case %zu", i);
        EXPECT_EQUAL(choice.cluster.blocks, cases[i].blocks, "case %zu", i);
        EXPECT_EQUAL(choice.cluster.warpgroups, cases[i].warpgroups, "case %zu", i);
        EXPECT_EQUAL(choice.cluster.images, cases[i].each, "case %zu", i);
        EXPECT_EQUAL(choice.shared, cases[i].shared, "case %zu", i);
        char words[32];
        snprintf(words, sizeof words, "%d image%s a cluster", cases[i].each, cases[i].each > 1 ? "s" : "");
        if (!strstr(choice.words, words)) fail_msg("\"%s\" does not say \"%s\"", choice.words, words);
    }
    px_device other = hopper;
    px_recurrence_args s = as_bf16(px_diagonal_recurrence((px_grid){1, 64, 5}, 32));
    EXPECT_EQUAL(strategy_of(&other, &s), PX_RECURRENCE_CLUSTER, "64 positions");
    other.capability = 80;
    EXPECT_EQUAL(strategy_of(&other, &s), PX_RECURRENCE_FUSED, "8.0");
    other.capability = 100;
    EXPECT_EQUAL(strategy_of(&other, &s), PX_RECURRENCE_FUSED, "10.0");
    other.capability = 75;
    EXPECT_EQUAL(strategy_of(&other, &s), PX_RECURRENCE_STEPWISE, "7.5");
    other = hopper, memset(other.clusters, 0, sizeof other.clusters);
    EXPECT_EQUAL(strategy_of(&other, &s), PX_RECURRENCE_FUSED, "no cluster fits");
    s.direction[1].h.data = (char *)16 + 4;
    EXPECT_EQUAL(strategy_of(&hopper, &s), PX_RECURRENCE_STEPWISE, "a tensor off by 4 bytes");
    px_recurrence_args skew2 = as_bf16(px_diagonal_recurrence((px_grid){1, 64, 5}, 32)), taps4 = skew2;
    skew2.skew = 2, taps4.taps = 4;
    px_recurrence_args temporary = as_bf16(px_diagonal_recurrence((px_grid){1, 65, 5}, 32));
    temporary.temporary.data = (char *)16 + 4;
    const struct {
        px_recurrence_args recurrence;
        px_recurrence_strategy strategy;
    } others[] = {
        {skew2, PX_RECURRENCE_FUSED},
        {taps4, PX_RECURRENCE_STEPWISE},
        {temporary, PX_RECURRENCE_STEPWISE},
        {px_diagonal_recurrence((px_grid){1, 64, 5}, 32), PX_RECURRENCE_STEPWISE}, /* float32 */
        {as_bf16(px_diagonal_recurrence((px_grid){1, 65, 5}, 32)), PX_RECURRENCE_FUSED},
        {as_bf16(px_diagonal_recurrence((px_grid){0, 64, 5}, 32)), PX_RECURRENCE_STEPWISE},
        {as_bf16(px_diagonal_recurrence((px_grid){1, 64, 5}, 24)), PX_RECURRENCE_STEPWISE},
        {as_bf16(px_diagonal_recurrence((px_grid){1, 64, 5}, 512)), PX_RECURRENCE_FUSED},
        {as_bf16(px_row_recurrence((px_grid){1, 5, 64}, 256)), PX_RECURRENCE_FUSED},
        {as_bf16(px_diagonal_recurrence((px_grid){1 << 19, 64, 64}, 32)), PX_RECURRENCE_CLUSTER},
        {as_bf16(px_diagonal_recurrence((px_grid){1 << 19, 65, 64}, 32)), PX_RECURRENCE_STEPWISE}, /* 2^31 pixels */
    };
    for (size_t i = 0; i < PX_COUNT(others); i++)
        EXPECT_EQUAL(strategy_of(&hopper, &others[i].recurrence), others[i].strategy, "recurrence %zu", i);
    s = as_bf16(px_diagonal_recurrence((px_grid){1, 64, 5}, 32));
    other = hopper, other.paths = 0;
    EXPECT_EQUAL(strategy_of(&other, &s), PX_RECURRENCE_STEPWISE, "paths: plain");
    other.paths = PX_PATH_CUDA;
    EXPECT_EQUAL(strategy_of(&other, &s), PX_RECURRENCE_FUSED, "no verdict");
    const px_recurrence_choice choice = px_recurrence_choose(&other, &s, false);
    assert_string_equal(choice.words, "fused: one kernel a step");
    EXPECT_EQUAL(strategy_of(&hopper, &s), PX_RECURRENCE_CLUSTER, "all paths");
}

/* The explanation lists the conditions that are not met, and the first strategy that misses nothing is used. */
static void test_explanation(void **state) {
    (void)state;
    const px_grid grid = {2, 64, 5};
    const px_recurrence_args good = as_bf16(px_diagonal_recurrence(grid, 32)), real = px_diagonal_recurrence(grid, 40);
    px_recurrence_args evaluating = good;
    for (int d = 0; d < evaluating.directions; d++) evaluating.direction[d].dh = (px_tensor){0};
    px_device older = hopper;
    older.capability = 80;
    static const char *const fit = "weights that fit in the shared memory of its blocks";
    const struct {
        const px_device *device;
        px_recurrence_args recurrence;
        bool backward;
        unsigned not_allowed;        /* paths */
        const char *cluster, *fused; /* what the strategies miss */
    } cases[] = {
        {&hopper, good, false, 0, "", ""},
        {&hopper, good, true, 0, "", ""},
        {&hopper, good, false, PX_PATH_FUSED, "", agreement},
        {&hopper, good, true, PX_PATH_CLUSTER, verdict, ""},
        {&hopper, good, true, PX_PATH_CLUSTER | PX_PATH_FUSED, verdict, agreement},
        {&older, good, false, 0, "compute capability 9.0", ""},
        {&hopper, px_diagonal_recurrence(grid, 32), false, 0, "bfloat16", "bfloat16"},
        {&older, px_diagonal_recurrence(grid, 32), true, 0, "compute capability 9.0, bfloat16", "bfloat16"},
        {&hopper, evaluating, false, 0, "", ""},
        {&hopper, evaluating, true, 0, "bfloat16", "bfloat16"},
        {&hopper, real, true, 0, "bfloat16, 16 to 512 features in steps of 16",
         "bfloat16, features in multiples of 16"},
        {&hopper, as_bf16(px_diagonal_recurrence((px_grid){2, 65, 5}, 32)), false, 0, "up to 64 positions", ""},
        {&hopper, as_bf16(px_diagonal_recurrence((px_grid){0, 64, 5}, 32)), false, 0, "images and taps onto neighbours",
         "images and 1 to 3 taps"},
        {&hopper, as_bf16(px_diagonal_recurrence(grid, 512)), true, 0, fit, ""},
        {&hopper, as_bf16(px_row_recurrence(grid, 256)), true, 0, fit, ""},
    };
    for (size_t i = 0; i < PX_COUNT(cases); i++) {
        px_recurrence_explanation e;
        px_device device = *cases[i].device;
        device.paths &= ~cases[i].not_allowed;
        px_recurrence_explain(&device, &cases[i].recurrence, cases[i].backward, &e);
        const px_recurrence_choice choice = px_recurrence_choose(&device, &cases[i].recurrence, cases[i].backward);
        static const px_recurrence_strategy strategies[] = {PX_RECURRENCE_CLUSTER, PX_RECURRENCE_FUSED,
                                                            PX_RECURRENCE_STEPWISE};
        const int chosen = !cases[i].cluster[0] ? 0 : !cases[i].fused[0] ? 1 : 2;
        EXPECT_EQUAL(e.chosen, chosen, "case %zu", i);
        EXPECT_EQUAL(choice.strategy, strategies[chosen], "case %zu", i);
        assert_string_equal(e.words, choice.words);
        assert_string_equal(e.option[0].name, "cluster");
        assert_string_equal(e.option[0].missing, cases[i].cluster);
        assert_string_equal(e.option[1].name, "fused");
        assert_string_equal(e.option[1].missing, cases[i].fused);
        assert_string_equal(e.option[2].name, "stepwise");
        assert_string_equal(e.option[2].requires, "");
        assert_string_equal(e.option[2].missing, "");
        assert_string_equal(e.option[0].requires,
                            "paths: auto and a verdict of `pixelrnn check`, compute capability 9.0, bfloat16, 16 to "
                            "512 features in steps of 16, up to 64 positions, "
                            "images and taps onto neighbours, weights that fit in the shared memory of its blocks");
        assert_string_equal(e.option[1].requires, "paths: auto and agreement with the stepwise recurrence, compute "
                                                  "capability 8.0 or later, bfloat16, features in multiples of "
                                                  "16, images and 1 to 3 taps");
    }
}

/* The CPU runs any recurrence fused, unless its paths are plain. */
static void test_cpu(void **state) {
    (void)state;
    px_device cpu = {.paths = PX_PATH_CPU};
    px_recurrence_explanation e;
    const px_recurrence_args s = px_row_recurrence((px_grid){2, 4, 70}, 5);
    px_recurrence_explain(&cpu, &s, true, &e);
    assert_string_equal(e.option[e.chosen].name, "fused");
    assert_string_equal(e.option[e.chosen].requires, "paths: auto");
    EXPECT_EQUAL(strategy_of(&cpu, &s), PX_RECURRENCE_FUSED, "%s", "default");
    cpu.paths = 0;
    EXPECT_EQUAL(strategy_of(&cpu, &s), PX_RECURRENCE_STEPWISE, "%s", "paths: plain");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_explanation),
        cmocka_unit_test(test_cpu),
    };
    return cmocka_run_group_tests_name("strategies of recurrences", tests, NULL, NULL);
}
