/* The choice of a recurrence's strategy (host/device/recurrence_strategy.c): stepwise or on clusters, and the division
 * of the work among clusters. */
#include "tests/support/cases.h"
#include "tests/support/support.h"
#include "host/device/recurrence.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The properties of an H200. */
static const px_device hopper = {
    .capability = 90, .multiprocessors = 132, .shared = 232448, .clusters = {128, 64, 32, 16}};

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
        {true, false, 1, 128, 4, 1, 1, 65536 + 33792 + 128}, /* 8 blocks take the same time */
        {true, false, 16, 128, 4, 1, 1, 65536 + 33792 + 128},
        {true, true, 16, 128, 4, 1, 1, 65536 + 33792 + 24576 + 128},
        {true, false, 32, 128, 2, 2, 1, 131072 + 33792 + 128}, /* 127 steps of 5328 cycles; 4 blocks: 192 of 3664 */
        {true, false, 64, 128, 2, 2, 2, 131072 + 33792 + 128}, /* 192 steps of 5328; 4 blocks: 322 of 3664 */
        {true, true, 64, 128, 2, 2, 2, 131072 + 67584 + 16384 + 128},
        {true, false, 32, 64, 2, 1, 1, 32768 + 16896 + 128}, /* 127 steps of 3152; 1 block: 127 of 4304 */
        {true, false, 64, 64, 1, 2, 1, 65536 + 16896 + 128}, /* 127 steps of 4304; 2 blocks: 192 of 3152 */
        {false, false, 64, 128, 2, 2, 1, 196608 + 33792 + 128},
        {false, true, 64, 128, 4, 1, 2, 98304 + 33792 + 24576 + 128}, /* 2 blocks have too little shared memory */
        {true, false, 1, 256, 8, 1, 1, 131072 + 67584 + 128},
        {true, true, 61, 256, 8, 1, 8, 131072 + 33792 + 57344 + 128},
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
    EXPECT_EQUAL(strategy_of(&other, &s), PX_RECURRENCE_STEPWISE, "8.0");
    other.capability = 100;
    EXPECT_EQUAL(strategy_of(&other, &s), PX_RECURRENCE_STEPWISE, "10.0");
    other = hopper, memset(other.clusters, 0, sizeof other.clusters);
    EXPECT_EQUAL(strategy_of(&other, &s), PX_RECURRENCE_STEPWISE, "no cluster fits");
    s.direction[1].h.data = (char *)16 + 4;
    EXPECT_EQUAL(strategy_of(&hopper, &s), PX_RECURRENCE_STEPWISE, "a tensor off by 4 bytes");
    px_recurrence_args skew2 = as_bf16(px_diagonal_recurrence((px_grid){1, 64, 5}, 32));
    skew2.skew = 2;
    const px_recurrence_args refused[] = {
        skew2,
        px_diagonal_recurrence((px_grid){1, 64, 5}, 32),
        as_bf16(px_diagonal_recurrence((px_grid){1, 65, 5}, 32)),
        as_bf16(px_diagonal_recurrence((px_grid){0, 64, 5}, 32)),
        as_bf16(px_diagonal_recurrence((px_grid){1, 64, 5}, 24)),
        as_bf16(px_diagonal_recurrence((px_grid){1, 64, 5}, 512)),
        as_bf16(px_row_recurrence((px_grid){1, 5, 64}, 256)),
    };
    for (size_t i = 0; i < PX_COUNT(refused); i++)
        EXPECT_EQUAL(strategy_of(&hopper, &refused[i]), PX_RECURRENCE_STEPWISE, "refused %zu", i);
    s = as_bf16(px_diagonal_recurrence((px_grid){1, 64, 5}, 32));
    other = hopper, other.recurrence = "stepwise";
    EXPECT_EQUAL(strategy_of(&other, &s), PX_RECURRENCE_STEPWISE, "PX_RECURRENCE=stepwise");
    EXPECT_EQUAL(strategy_of(&hopper, &s), PX_RECURRENCE_CLUSTER, "PX_RECURRENCE is not set");
}

/* The explanation lists the conditions that the device does not meet, and the first strategy that misses nothing is
 * used. */
static void test_explanation(void **state) {
    (void)state;
    const px_grid grid = {2, 64, 5};
    const px_recurrence_args good = as_bf16(px_diagonal_recurrence(grid, 32));
    px_recurrence_args evaluating = good;
    for (int d = 0; d < evaluating.directions; d++) evaluating.direction[d].dh = (px_tensor){0};
    px_device older = hopper;
    older.capability = 80;
    static const char *const named = "cluster", *const capability = "compute capability 9.0",
                             *const fit = "weights that fit in the shared memory of its blocks";
    const struct {
        const px_device *device;
        px_recurrence_args recurrence;
        bool backward;
        const char *named, *missing;
    } cases[] = {
        {&hopper, good, false, named, ""},
        {&hopper, good, true, named, ""},
        {&hopper, good, true, "stepwise", "PX_RECURRENCE=cluster"},
        {&older, good, false, named, capability},
        {&hopper, px_diagonal_recurrence(grid, 32), false, named, "bfloat16"},
        {&older, px_diagonal_recurrence(grid, 32), true, named, "compute capability 9.0, bfloat16"},
        {&hopper, evaluating, false, named, ""},
        {&hopper, evaluating, true, named, "bfloat16"},
        {&hopper, as_bf16(px_diagonal_recurrence(grid, 40)), false, named, "16 to 512 features in steps of 16"},
        {&hopper, as_bf16(px_diagonal_recurrence((px_grid){2, 65, 5}, 32)), false, named, "up to 64 positions"},
        {&hopper, as_bf16(px_diagonal_recurrence((px_grid){0, 64, 5}, 32)), false, named,
         "images and taps onto neighbours"},
        {&hopper, as_bf16(px_diagonal_recurrence(grid, 512)), true, named, fit},
        {&hopper, as_bf16(px_row_recurrence(grid, 256)), true, named, fit},
    };
    for (size_t i = 0; i < PX_COUNT(cases); i++) {
        px_recurrence_explanation e;
        px_device device = *cases[i].device;
        device.recurrence = cases[i].named;
        px_recurrence_explain(&device, &cases[i].recurrence, cases[i].backward, &e);
        const px_recurrence_choice choice = px_recurrence_choose(&device, &cases[i].recurrence, cases[i].backward);
        const int chosen = cases[i].missing[0] ? 2 : 0;
        EXPECT_EQUAL(e.chosen, chosen, "case %zu", i);
        EXPECT_EQUAL(choice.strategy, chosen ? PX_RECURRENCE_STEPWISE : PX_RECURRENCE_CLUSTER, "case %zu", i);
        assert_string_equal(e.words, choice.words);
        assert_string_equal(e.option[0].name, "cluster");
        assert_string_equal(e.option[0].missing, cases[i].missing);
        const char *requires = e.option[0].requires;
        if (strcmp(cases[i].named, "stepwise") == 0) requires += strlen("PX_RECURRENCE=cluster, ");
        assert_string_equal(requires,
                            "compute capability 9.0, bfloat16, 16 to 512 features in steps of 16, up to 64 positions, "
                            "images and taps onto neighbours, weights that fit in the shared memory of its blocks");
        assert_string_equal(e.option[1].name, "fused");
        assert_string_equal(e.option[2].name, "stepwise");
        assert_string_equal(e.option[2].requires, "");
        assert_string_equal(e.option[2].missing, "");
    }
}

/* The CPU runs any recurrence fused, unless PX_RECURRENCE=stepwise. */
static void test_cpu(void **state) {
    (void)state;
    px_device cpu = {.capability = 0};
    px_recurrence_explanation e;
    const px_recurrence_args s = px_row_recurrence((px_grid){2, 4, 70}, 5);
    px_recurrence_explain(&cpu, &s, true, &e);
    assert_string_equal(e.option[e.chosen].name, "fused");
    assert_string_equal(e.option[e.chosen].requires, "the CPU");
    EXPECT_EQUAL(strategy_of(&cpu, &s), PX_RECURRENCE_FUSED, "%s", "default");
    cpu.recurrence = "stepwise";
    EXPECT_EQUAL(strategy_of(&cpu, &s), PX_RECURRENCE_STEPWISE, "%s", cpu.recurrence);
    px_recurrence_explain(&hopper, &s, true, &e);
    assert_string_equal(e.option[1].missing, "the CPU");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_explanation),
        cmocka_unit_test(test_cpu),
    };
    return cmocka_run_group_tests_name("strategies of recurrences", tests, NULL, NULL);
}
