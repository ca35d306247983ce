/* Checks of the fused recurrences of CUDA in bfloat16, step by step and on clusters, against the stepwise recurrence on
 * the CPU in float32. */
#include "host/check/cases.h"
#include "host/check/cluster_trial.h"
#include "host/check/sides.h"
#include "host/device/recurrence.h"
#include "host/io/clock.h"
#include <stdlib.h>
#include <string.h>

/* bfloat16 keeps 8 bits: states are rounded by 2^-9 at every step, and so is what is compared; errors of several steps
 * add up. A wrong channel, lane, tap or step is off by the order of the largest value. */
static const double tolerance = 0.02;

/* The path under test. */
typedef struct tested_path {
    const char *name;
    unsigned path; /* px_path */
    px_recurrence_strategy strategy;
} tested_path;
static const tested_path fused = {"fused recurrence", PX_PATH_FUSED, PX_RECURRENCE_FUSED},
                         cluster = {"cluster recurrence", PX_PATH_CLUSTER, PX_RECURRENCE_CLUSTER};

/* Both paths require tensors that are aligned to 16 bytes. */
static px_recurrence_pair make_recurrence(px_sides *sides, px_recurrence_args args) {
    sides->skewed = 0;
    return px_recurrence_pair_make(sides, args, false, PX_POISONED);
}

/* Runs forward, then backward, on side 1 alone. */
static bool run_on_device(px_sides *sides, const px_recurrence_pair *s, const char *name) {
    px_device *device = sides->device[1];
    return px_sides_ok(sides, name, device->ops->recurrence_forward(device, &s->on[1])) &&
           px_sides_ok(sides, name, device->ops->recurrence_backward(device, &s->on[1]));
}

/* The same inputs once more give the same bits: the first direction's, since the other's are not put back. */
static void expect_repeated(px_sides *sides, const px_recurrence_pair *s, const tested_path *tested, const void *inputs,
                            int repeats) {
    px_device *device = sides->device[1];
    const px_tensor *gates = &s->gates[0].on[1];
    const size_t bytes = px_tensor_bytes(gates);
    void *first = malloc(bytes);
    if (!first) px_sides_fail(sides, tested->name, "%s", "out of memory");
    if (first) px_sides_ok(sides, tested->name, device->ops->download(device, first, gates->data, bytes));
    for (int run = 0; run < repeats && !sides->failure[0]; run++) {
        px_sides_ok(sides, tested->name, device->ops->upload(device, gates->data, inputs, bytes));
        if (!run_on_device(sides, s, tested->name)) break;
        px_sides_ok(sides, tested->name, device->ops->download(device, sides->host[1], gates->data, bytes));
        if (memcmp(first, sides->host[1], bytes) != 0)
            px_sides_fail(sides, tested->name, "run %d of %d gave other bits", run + 2, repeats + 1);
    }
    free(first);
}

static void expect_path(px_sides *sides, const px_recurrence_args *s, const tested_path *tested, bool several) {
    for (int backward = 0; backward < 2; backward++) {
        const px_recurrence_choice choice = px_recurrence_choose(sides->device[1], s, backward);
        if (choice.strategy != tested->strategy)
            px_sides_fail(sides, tested->name, "another was chosen: %s; %s", choice.words, sides->device[1]->warning);
        if (several && choice.cluster.images < 2)
            px_sides_fail(sides, tested->name, "not several images a cluster: %s", choice.words);
    }
}

/* several: more than one image a cluster. */
static void check_path(px_sides *sides, px_recurrence_args args, const tested_path *tested, bool several, int repeats) {
    const px_recurrence_pair s = make_recurrence(sides, args);
    px_device *device = sides->device[1];
    const size_t bytes = px_tensor_bytes(&s.gates[0].on[1]);
    void *inputs = malloc(bytes);
    if (!inputs) px_sides_fail(sides, tested->name, "%s", "out of memory");
    if (sides->failure[0]) return free(inputs);
    expect_path(sides, &s.on[1], tested, several);
    px_sides_ok(sides, tested->name, device->ops->download(device, inputs, s.gates[0].on[1].data, bytes));
    px_recurrence_pair_run(sides, &s, false);
    for (int d = 0; d < args.directions; d++) {
        px_sides_within(sides, &s.gates[d], tolerance, tested->name, "gates");
        px_sides_within(sides, &s.c[d], tolerance, tested->name, "c");
        px_sides_within(sides, &s.h[d], tolerance, tested->name, "h");
    }
    px_recurrence_pair_run(sides, &s, true);
    for (int d = 0; d < args.directions; d++)
        px_sides_within(sides, &s.gates[d], tolerance, tested->name, "gradients of gates");
    if (!sides->failure[0]) expect_repeated(sides, &s, tested, inputs, repeats);
    free(inputs);
}

/* If brief, only cases of few pixels and features run, which a simulator of a GPU executes in minutes. */
static void check_cases(px_sides *sides, const px_path_case *cases, size_t count, const tested_path *tested,
                        int repeats) {
    enum { BRIEF = 20000 };
    sides->device[1]->paths = tested->path;
    for (size_t i = 0; i < 2 * count; i++) {
        const px_path_case *c = &cases[i / 2];
        if (!(c->kinds & (i % 2 ? PX_DIAGONALS : PX_ROWS))) continue;
        if (sides->brief && px_grid_pixels(&c->grid) * (size_t)c->hidden > BRIEF) continue;
        px_sides_case(sides, "%s, %d images of %d x %d, D %d", i % 2 ? "diagonals" : "rows", c->grid.images,
                      c->grid.height, c->grid.width, c->hidden);
        check_path(sides, i % 2 ? px_diagonal_recurrence(c->grid, c->hidden) : px_row_recurrence(c->grid, c->hidden),
                   tested, c->several, repeats);
    }
}

/* One pixel, one row, one column, H != W; fewer rows than one block of 64 has, exactly 64, one more, and several
 * blocks; 16 and 32 channels a block; K that ends within a stage, and taps that begin within one. */
void px_check_fused_path(px_sides *sides, int repeats) {
    static const px_path_case cases[] = {
        {{1, 1, 1}, 16, PX_ROWS_DIAGONALS, false},   {{3, 5, 3}, 16, PX_ROWS_DIAGONALS, false},
        {{70, 4, 1}, 16, PX_ROWS_DIAGONALS, false},  {{1, 1, 9}, 32, PX_ROWS_DIAGONALS, false},
        {{13, 5, 5}, 32, PX_ROWS_DIAGONALS, false},  {{1, 7, 4}, 48, PX_ROWS_DIAGONALS, false},
        {{40, 1, 3}, 48, PX_ROWS_DIAGONALS, false},  {{8, 8, 9}, 64, PX_ROWS_DIAGONALS, false},
        {{9, 9, 8}, 80, PX_ROWS_DIAGONALS, false},   {{1, 6, 66}, 128, PX_ROWS_DIAGONALS, false},
        {{5, 9, 1}, 128, PX_ROWS_DIAGONALS, false},  {{33, 4, 5}, 128, PX_ROWS_DIAGONALS, false},
        {{2, 3, 7}, 144, PX_ROWS_DIAGONALS, false},  {{1, 5, 8}, 256, PX_ROWS_DIAGONALS, false},
        {{3, 2, 40}, 272, PX_ROWS_DIAGONALS, false},
    };
    check_cases(sides, cases, PX_COUNT(cases), &fused, repeats);
}

void px_check_cluster_path(px_sides *sides, int repeats) {
    check_cases(sides, px_cluster_trial.cases, (size_t)px_cluster_trial.count, &cluster, repeats);
}

double px_check_path_seconds(px_sides *sides, unsigned path) {
    enum { RUNS = 5 };
    const px_grid grid = px_cluster_trial.timed.grid;
    const int hidden = px_cluster_trial.timed.hidden;
    px_sides_case(sides, "%d images of %d x %d, D %d", grid.images, grid.height, grid.width, hidden);
    sides->device[1]->paths = path;
    const px_recurrence_args args = px_diagonal_recurrence(grid, hidden);
    const px_recurrence_pair s = make_recurrence(sides, args);
    double seconds = 0;
    for (int run = 0; run <= RUNS && !sides->failure[0]; run++) { /* the first one prepares */
        const double began = px_clock_seconds();
        if (!run_on_device(sides, &s, "recurrence")) return 0;
        px_sides_ok(sides, "synchronize", sides->device[1]->ops->synchronize(sides->device[1]));
        if (run > 0) seconds += px_clock_seconds() - began;
    }
    return sides->failure[0] ? 0 : seconds / RUNS / args.steps;
}
