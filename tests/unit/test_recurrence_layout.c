/* Recurrences on clusters, without a GPU: every index function of kernels/sm90/cluster.h against its definition; the
 * kernels' own text on an emulated cluster (sweep_emulated.cc) against the stepwise recurrence; and the choice among
 * strategies. */
#include "tests/support/cases.h"
#include "tests/support/support.h"
#include "tests/support/emulated_recurrence.h"
#include "host/device/recurrence.h"
#include "kernels/portable/random.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Index functions ---------------------------------------------------------------------------------------------- */

static const int sizes[] = {1, 2, 4, 8};
static const int hiddens[] = {16, 32, 48, 64, 80, 112, 128, 144, 256};

/* Calls check for every split that there is. */
static void each_cluster(void (*check)(const px_cluster *)) {
    for (size_t h = 0; h < PX_COUNT(hiddens); h++)
        for (size_t n = 0; n < PX_COUNT(sizes); n++)
            for (int variant = 0; variant < 2; variant++) {
                const px_grid one = {1, 1, 1};
                const px_recurrence_args s = variant ? px_row_recurrence(one, hiddens[h])
                                                     : px_diagonal_recurrence(one, hiddens[h]);
                const px_cluster c = px_cluster_split(&s, sizes[n], 1);
                if (c.groups > 0) check(&c);
            }
}

#define EXPECT_EQUAL(found, want, ...)                                                                                 \
    do {                                                                                                               \
        const long found_ = (long)(found), want_ = (long)(want);                                                       \
        if (found_ != want_) {                                                                                         \
            char where_[160];                                                                                          \
            snprintf(where_, sizeof where_, __VA_ARGS__);                                                              \
            fail_msg("%s: %s is %ld, expected %ld", where_, #found, found_, want_);                                    \
        }                                                                                                              \
    } while (0)

/* The accumulator of m64nNk16 as PTX pictures it: warp w holds rows 16 w .. 16 w + 15, its lane l the columns
 * 2 (l mod 4), + 1 of every eight, in rows l / 4 (sums 0 and 1 of four) and l / 4 + 8 (2 and 3). */
static void test_fragment(void **state) {
    (void)state;
    enum { COLUMNS = 256 };
    static int seen[PX_CLUSTER_LANES][COLUMNS];
    memset(seen, 0, sizeof seen);
    for (int warp = 0; warp < 4; warp++)
        for (int lane = 0; lane < 32; lane++)
            for (int eight = 0; eight < COLUMNS / 8; eight++)
                for (int i = 0; i < 4; i++) {
                    const int thread = warp * 32 + lane, sum = eight * 4 + i;
                    EXPECT_EQUAL(px_wgmma_row(thread, sum), warp * 16 + lane / 4 + (i < 2 ? 0 : 8), "thread %d, sum %d",
                                 thread, sum);
                    EXPECT_EQUAL(px_wgmma_column(thread, sum), eight * 8 + lane % 4 * 2 + i % 2, "thread %d, sum %d",
                                 thread, sum);
                    seen[px_wgmma_row(thread, sum)][px_wgmma_column(thread, sum)]++;
                }
    for (int row = 0; row < PX_CLUSTER_LANES; row++)
        for (int column = 0; column < COLUMNS; column++)
            EXPECT_EQUAL(seen[row][column], 1, "row %d, column %d", row, column);
}

/* A thread's sums of a slot are its two lanes' for its eight units, and nobody else's. */
static void test_slot(void **state) {
    (void)state;
    enum { SLOTS = 8 };
    for (int thread = 0; thread < PX_CLUSTER_GROUP; thread++)
        for (int slot = 0; slot < SLOTS; slot++) {
            bool used[PX_SLOT_SUMS * SLOTS] = {false};
            for (int second = 0; second < 2; second++)
                for (int u = 0; u < PX_CHUNK; u++) {
                    const int sum = px_cluster_sum(slot, second, u), column = px_wgmma_column(thread, sum);
                    EXPECT_EQUAL(px_wgmma_row(thread, sum), px_wgmma_row(thread, 0) + 8 * second, "thread %d, sum %d",
                                 thread, sum);
                    EXPECT_EQUAL(column / PX_SLOT, slot, "thread %d, sum %d", thread, sum);
                    EXPECT_EQUAL(px_slot_unit(column % PX_SLOT), thread % 4 * PX_CHUNK + u, "thread %d, sum %d", thread,
                                 sum);
                    EXPECT_EQUAL(used[sum], false, "thread %d, sum %d", thread, sum);
                    used[sum] = true;
                }
        }
}

/* Every unit has one block, slot and thread; every block has one at least. */
static void check_owners(const px_cluster *c) {
    int owners[256] = {0};
    for (int block = 0; block < c->blocks; block++) {
        int own = 0;
        for (int thread = 0; thread < c->groups * PX_CLUSTER_GROUP; thread++) {
            const px_cluster_thread at = px_cluster_thread_at(c, block, thread);
            EXPECT_EQUAL(at.unit % PX_CHUNK, at.unit < 0 ? -1 : 0, "block %d, thread %d", block, thread);
            for (int u = 0; at.unit >= 0 && at.thread < 4 && u < PX_CHUNK; u++, own++) {
                assert_in_range(at.unit + u, 0, c->hidden - 1);
                owners[at.unit + u]++;
            }
        }
        EXPECT_EQUAL(own, c->unit[block + 1] - c->unit[block], "block %d of %d", block, c->blocks);
        assert_true(own > 0);
    }
    for (int unit = 0; unit < c->hidden; unit++) EXPECT_EQUAL(owners[unit], 1, "unit %d of %d", unit, c->hidden);
}

/* Every (gate, unit) is a column of one block forward and a value of depth of one block backward; every unit is a
 * column of every block backward. */
static void check_columns(const px_cluster *c) {
    static int forward[4 * 256], depth[4 * 256], columns[256];
    memset(forward, 0, sizeof forward);
    memset(depth, 0, sizeof depth);
    for (int block = 0; block < c->blocks; block++) {
        for (int column = 0; column < px_forward_columns(c); column++)
            if (px_forward_column_row(c, block, column) >= 0) forward[px_forward_column_row(c, block, column)]++;
        for (int k = 0; k < px_backward_depth(c); k++)
            if (px_backward_depth_row(c, block, k) >= 0) depth[px_backward_depth_row(c, block, k)]++;
        memset(columns, 0, sizeof columns);
        for (int column = 0; column < px_backward_columns(c); column++)
            if (px_backward_column_unit(c, block, column) >= 0) columns[px_backward_column_unit(c, block, column)]++;
        for (int unit = 0; unit < c->hidden; unit++) EXPECT_EQUAL(columns[unit], 1, "block %d, unit %d", block, unit);
    }
    for (int row = 0; row < PX_GATES * c->hidden; row++) {
        EXPECT_EQUAL(forward[row], 1, "row %d of the weights", row);
        EXPECT_EQUAL(depth[row], 1, "row %d of the weights", row);
    }
}

static void mark(unsigned char *bytes, uint32_t at, uint32_t count, uint32_t from, uint32_t end) {
    for (uint32_t i = at; i < at + count; i++) {
        if (i < from || i >= end) fail_msg("byte %u lies outside %u .. %u", i, from, end);
        EXPECT_EQUAL(bytes[i]++, 0, "byte %u", i);
    }
}

/* Parts of shared memory do not overlap, nor do the rows in them; all lie in 16 byte steps. */
static void check_shared(const px_cluster *c) {
    for (int backward = 0; backward < 2; backward++) {
        const px_cluster_shared shared = backward ? px_backward_shared(c) : px_forward_shared(c);
        unsigned char *bytes = calloc(shared.bytes, 1);
        assert_non_null(bytes);
        const int chunks = backward ? px_backward_depth(c) / PX_CHUNK : c->hidden / PX_CHUNK;
        const int columns = backward ? px_backward_columns(c) : px_forward_columns(c);
        for (int tap = 0; tap < c->taps; tap++)
            for (int chunk = 0; chunk < chunks; chunk++)
                for (int column = 0; column < columns; column++)
                    mark(bytes,
                         shared.weights + (backward ? px_backward_weight(c, tap, chunk, column)
                                                    : px_forward_weight(c, tap, chunk, column)),
                         PX_CHUNK_BYTES, shared.weights, shared.rows);
        for (int buffer = 0; buffer < 2; buffer++)
            for (int chunk = 0; chunk < chunks; chunk++)
                for (int lane = -1; lane <= PX_CLUSTER_LANES; lane++)
                    mark(bytes, px_cluster_rows(&shared, buffer) + px_cluster_row(chunk, lane), PX_CHUNK_BYTES,
                         shared.rows, shared.mailbox);
        for (int thread = 0; backward && thread < c->groups * PX_CLUSTER_GROUP; thread++) {
            const px_cluster_thread at = px_cluster_thread_at(c, 0, thread);
            for (int owner = 1; owner < c->blocks; owner++)
                for (int v = 0; v < 4; v++)
                    mark(bytes, shared.mailbox + px_mailbox(c, &at) + px_mailbox_part(owner, v), 16, shared.mailbox,
                         shared.barriers);
        }
        for (int buffer = 0; buffer < 2; buffer++)
            for (int source = 0; source < PX_CLUSTER_MAX; source++)
                mark(bytes, shared.barriers + px_forward_barrier(buffer, source), sizeof(uint64_t), shared.barriers,
                     shared.bytes);
        free(bytes);
    }
    /* what a block sends of the state is the rows of its own units */
    for (int block = 0; block < c->blocks; block++) {
        EXPECT_EQUAL(px_forward_parcel(c, block), px_cluster_row(c->unit[block] / PX_CHUNK, -1), "block %d", block);
        EXPECT_EQUAL(px_forward_parcel(c, block) + px_forward_parcel_bytes(c, block),
                     px_cluster_row((c->unit[block + 1] - 1) / PX_CHUNK, PX_CLUSTER_LANES) + PX_CHUNK_BYTES, "block %d",
                     block);
    }
}

static void test_clusters(void **state) {
    (void)state;
    each_cluster(check_owners);
    each_cluster(check_columns);
    each_cluster(check_shared);
}

/* Row of the tensors, -1 outside of the image. Columns count from the side from which the direction comes. */
static long pixel_at(const px_recurrence_args *s, int direction, int image, int row, int column) {
    if (row < 0 || row >= s->grid.height || column < 0 || column >= s->grid.width) return -1;
    return ((long)image * s->grid.height + row) * s->grid.width + (direction ? s->grid.width - 1 - column : column);
}

/* A lane that lives stands on its pixel, and its taps lead to that pixel's neighbours or to lanes that do not live. */
static void check_lane(const px_recurrence_args *s, const px_cluster_queue *q, int image, int lane, int place) {
    const bool diagonal = s->skew == 1;
    const int step = image * (s->length + 1) + s->skew * lane + place;
    const int row = diagonal ? lane : place, column = diagonal ? place : lane;
    EXPECT_EQUAL(px_lane_pixel(s, q, step, lane), pixel_at(s, q->direction, q->first + image, row, column),
                 "image %d, lane %d, place %d", image, lane, place);
    for (int tap = s->first_tap; tap < s->first_tap + s->taps; tap++) {
        const int above = diagonal ? row + tap : row - 1, beside = diagonal ? column - 1 - tap : column + tap;
        if (lane + tap < 0) continue; /* a guard */
        EXPECT_EQUAL(px_lane_pixel(s, q, step - 1, lane + tap),
                     pixel_at(s, q->direction, q->first + image, above, beside), "image %d, lane %d, place %d, tap %d",
                     image, lane, place, tap);
    }
}

/* Every pixel is met once, in the steps there are, the last of which is needed. */
static void check_lanes(const px_recurrence_args *s, int images) {
    const px_cluster c = px_cluster_split(s, 1, images);
    const size_t pixels = px_grid_pixels(&s->grid);
    int *seen = calloc((size_t)s->directions * pixels, sizeof *seen);
    assert_non_null(seen);
    for (int number = 0; number < px_cluster_count(s, &c); number++) {
        const px_cluster_queue q = px_cluster_queue_of(s, &c, number);
        int last = 0;
        assert_in_range(q.images, 1, images);
        for (int image = 0; image < q.images; image++)
            for (int lane = 0; lane < s->positions; lane++)
                for (int place = 0; place < s->length; place++) check_lane(s, &q, image, lane, place);
        for (int step = -1; step <= q.steps + s->length; step++)
            for (int lane = 0; lane < PX_CLUSTER_LANES; lane++) {
                const int pixel = px_lane_pixel(s, &q, step, lane);
                if (pixel < 0) continue;
                seen[(size_t)q.direction * pixels + (size_t)pixel]++;
                last = step;
            }
        EXPECT_EQUAL(q.steps, last + 1, "%d images", q.images);
    }
    for (size_t i = 0; i < (size_t)s->directions * pixels; i++) EXPECT_EQUAL(seen[i], 1, "pixel %zu", i);
    EXPECT_EQUAL(px_cluster_steps(s, 1), s->steps, "one image");
    free(seen);
}

static void test_lanes(void **state) {
    (void)state;
    static const px_grid grids[] = {{2, 1, 1}, {3, 1, 7}, {4, 7, 1}, {5, 5, 3}, {2, 3, 64}, {2, 64, 5}};
    for (size_t i = 0; i < PX_COUNT(grids); i++)
        for (int images = 1; images <= 3; images++) {
            const px_recurrence_args rows = px_row_recurrence(grids[i], 16),
                                     diagonals = px_diagonal_recurrence(grids[i], 16);
            check_lanes(&rows, images);
            check_lanes(&diagonals, images);
        }
}

/* --- Against the stepwise recurrence
 * ----------------------------------------------------------------------------------- */

/* bfloat16 keeps 8 bits: states are rounded by 2^-9 at every step, and what is compared by as much again; errors of
 * several steps add up. A wrong unit, lane, tap or step is off by the order of the largest value. */
static const double tolerance = 0.02;

typedef struct desk {
    px_context ctx;
    px_device *device;
    uint64_t values;
} desk;

/* Random numbers that are bfloat16 exactly, as reals and as they are. */
static void make_pair(desk *d, size_t rows, int columns, double scale, px_tensor *real, px_tensor *half) {
    *real = (px_tensor){malloc(rows * (size_t)columns * sizeof(px_real)), rows, columns, PX_REAL};
    *half = (px_tensor){aligned_alloc(64, (rows * (size_t)columns * 2 + 63) / 64 * 64), rows, columns, PX_BF16};
    assert_true(real->data && half->data);
    for (size_t i = 0; i < px_tensor_elements(real); i++) {
        const px_random4 word = px_random(7, PX_RANDOM_DATA, 1, d->values++);
        const double value = (2 * px_uniform(word.word[0], word.word[1]) - 1) * scale;
        ((uint16_t *)half->data)[i] = px_to_bfloat16((float)value);
        ((px_real *)real->data)[i] = (px_real)px_from_bfloat16(((uint16_t *)half->data)[i]);
    }
}

static double element_half(const void *data, size_t index) {
    return (double)px_from_bfloat16(((const uint16_t *)data)[index]);
}
static double element_float(const void *data, size_t index) {
    return (double)((const float *)data)[index];
}

static void expect_close(const char *name, const char *what, const px_tensor *found, const px_tensor *want) {
    const px_difference d = px_compare(px_tensor_elements(want), found->type == PX_BF16 ? element_half : element_float,
                                       found->data, px_element_real, want->data);
    if (!(d.relative <= tolerance))
        fail_msg("%s, %s: element %zu is %g, stepwise %g; off by %.3g of the largest, at most %g (bfloat16)", name,
                 what, d.index, d.found, d.want, d.relative, tolerance);
}

typedef struct both_recurrences {
    px_recurrence_args stepwise, cluster;
} both_recurrences;

static both_recurrences make_recurrences(desk *d, px_recurrence_args shape) {
    both_recurrences s = {shape, shape};
    const size_t pixels = px_grid_pixels(&shape.grid);
    px_tensor weight[2];
    make_pair(d, (size_t)(shape.directions * PX_GATES * shape.hidden), shape.taps * shape.hidden,
              3 / sqrt(shape.taps * shape.hidden), &weight[0], &weight[1]);
    for (int i = 0; i < shape.directions; i++) {
        px_recurrence_direction *real = &s.stepwise.direction[i], *half = &s.cluster.direction[i];
        const size_t rows = (size_t)(PX_GATES * shape.hidden);
        real->weight = px_tensor_slice(weight[0], (size_t)i * rows, rows);
        half->weight = px_tensor_slice(weight[1], (size_t)i * rows, rows);
        make_pair(d, pixels, PX_GATES * shape.hidden, 1, &real->gates, &half->gates);
        make_pair(d, pixels, shape.hidden, 1, &real->h, &half->h);
        make_pair(d, pixels, shape.hidden, 1, &real->dh, &half->dh);
        make_pair(d, pixels, 2 * shape.hidden, 1, &real->c, &half->c); /* floats in the room of two bfloat16 */
        real->c.columns = half->c.columns = shape.hidden;
        half->c.type = PX_REAL;
    }
    s.stepwise.temporary = (px_tensor){malloc(px_recurrence_temporary_bytes(&shape)),
                                       px_recurrence_temporary_bytes(&shape), 1, PX_UINT8};
    assert_non_null(s.stepwise.temporary.data);
    return s;
}

static void release_recurrences(both_recurrences *s) {
    px_recurrence_args *sides[] = {&s->stepwise, &s->cluster};
    free(s->stepwise.temporary.data);
    for (int side = 0; side < 2; side++) {
        free(sides[side]->direction[0].weight.data);
        for (int i = 0; i < sides[side]->directions; i++) {
            px_recurrence_direction *line = &sides[side]->direction[i];
            void *tensors[] = {line->gates.data, line->h.data, line->dh.data, line->c.data};
            for (int k = 0; k < 4; k++) free(tensors[k]);
        }
    }
}

static void check_emulation(desk *d, px_recurrence_args shape, px_cluster c, uint64_t seed) {
    char name[160];
    snprintf(name, sizeof name, "%d images of %d x %d, %d units, %d taps on %d blocks of %d slots, %d images each",
             shape.grid.images, shape.grid.height, shape.grid.width, shape.hidden, shape.taps, c.blocks, c.groups,
             c.images);
    both_recurrences s = make_recurrences(d, shape);
    const int lines = shape.directions;
    assert_ok(&d->ctx, px_recurrence_forward_stepwise(d->device, &s.stepwise));
    const char *wrong = px_recurrence_emulated(&s.cluster, &c, false, seed);
    if (wrong) fail_msg("%s, forward: %s", name, wrong);
    for (int i = 0; i < lines; i++) {
        expect_close(name, "gates", &s.cluster.direction[i].gates, &s.stepwise.direction[i].gates);
        expect_close(name, "c", &s.cluster.direction[i].c, &s.stepwise.direction[i].c);
        expect_close(name, "h", &s.cluster.direction[i].h, &s.stepwise.direction[i].h);
    }
    assert_ok(&d->ctx, px_recurrence_backward_stepwise(d->device, &s.stepwise));
    wrong = px_recurrence_emulated(&s.cluster, &c, true, seed);
    if (wrong) fail_msg("%s, backward: %s", name, wrong);
    for (int i = 0; i < lines; i++)
        expect_close(name, "gradients of gates", &s.cluster.direction[i].gates, &s.stepwise.direction[i].gates);
    release_recurrences(&s);
}

static void test_emulation(void **state) {
    (void)state;
#ifdef __SANITIZE_THREAD__
    print_message("SKIP recurrences on an emulated cluster: the race detector does not know fibres\n");
    skip();
#endif
    enum { ROWS = 1, DIAGONALS = 2, BOTH = ROWS | DIAGONALS };
    static const struct {
        px_grid grid;
        int hidden, blocks, images, kinds;
    } cases[] = {
        {{1, 1, 1}, 16, 1, 1, BOTH},       {{3, 3, 5}, 16, 1, 2, BOTH},       {{5, 1, 4}, 16, 1, 3, BOTH},
        {{1, 64, 3}, 32, 2, 1, DIAGONALS}, {{3, 5, 1}, 32, 2, 2, BOTH},       {{1, 3, 64}, 48, 2, 1, ROWS},
        {{1, 7, 4}, 48, 1, 1, BOTH},       {{1, 5, 20}, 80, 4, 1, BOTH},      {{3, 3, 2}, 128, 4, 3, BOTH},
        {{1, 6, 9}, 112, 2, 1, DIAGONALS}, {{3, 2, 2}, 144, 8, 2, DIAGONALS},
    };
    desk d = {0};
    assert_ok(&d.ctx, px_cpu_open(&d.ctx, PX_REAL, &d.device));
    for (size_t i = 0; i < 2 * PX_COUNT(cases); i++) {
        if (!(cases[i / 2].kinds & (i % 2 ? DIAGONALS : ROWS))) continue;
        const px_grid grid = cases[i / 2].grid;
        const px_recurrence_args s = i % 2 ? px_diagonal_recurrence(grid, cases[i / 2].hidden)
                                           : px_row_recurrence(grid, cases[i / 2].hidden);
        check_emulation(&d, s, px_cluster_split(&s, cases[i / 2].blocks, cases[i / 2].images), i);
    }
    px_device_close(d.device);
}

/* --- The choice --------------------------------------------------------------------------------------------------- */

/* What an H200 says of itself. */
static const px_device hopper = {.capability = 90, .multiprocessors = 132, .shared = 232448};

static px_recurrence_args narrow(px_recurrence_args s) {
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

/* Worked out by hand: blocks of the cluster, slots of a block, images of a cluster, bytes of weights + rows + mailbox +
 * barriers. */
static void test_choice(void **state) {
    (void)state;
    static const struct {
        bool diagonal, backward;
        int images, hidden, blocks, groups, each;
        size_t shared;
    } cases[] = {
        {true, false, 1, 128, 4, 1, 1, 65536 + 33792 + 128}, /* 8 blocks take as long */
        {true, false, 16, 128, 4, 1, 1, 65536 + 33792 + 128},
        {true, true, 16, 128, 4, 1, 1, 65536 + 33792 + 24576 + 128},
        {true, false, 32, 128, 2, 2, 1, 131072 + 33792 + 128}, /* 127 steps of 5328 cycles; 4 blocks: 192 of 3664 */
        {true, false, 64, 128, 2, 2, 2, 131072 + 33792 + 128}, /* 192 steps of 5328; 4 blocks: 322 of 3664 */
        {true, true, 64, 128, 2, 2, 2, 131072 + 67584 + 16384 + 128},
        {true, false, 32, 64, 2, 1, 1, 32768 + 16896 + 128}, /* 127 steps of 3152; 1 block: 127 of 4304 */
        {true, false, 64, 64, 1, 2, 1, 65536 + 16896 + 128}, /* 127 steps of 4304; 2 blocks: 192 of 3152 */
        {false, false, 64, 128, 2, 2, 1, 196608 + 33792 + 128},
        {false, true, 64, 128, 4, 1, 2, 98304 + 33792 + 24576 + 128}, /* 2 blocks have no room */
        {true, false, 1, 256, 8, 1, 1, 131072 + 67584 + 128},
        {true, true, 61, 256, 8, 1, 8, 131072 + 33792 + 57344 + 128},
        {true, true, 3, 16, 1, 1, 1, 16384 + 33792 + 128},
        {true, true, 129, 16, 1, 1, 3, 16384 + 33792 + 128},
    };
    for (size_t i = 0; i < PX_COUNT(cases); i++) {
        const px_grid grid = {cases[i].images, 64, 64};
        const px_recurrence_args s = narrow(cases[i].diagonal ? px_diagonal_recurrence(grid, cases[i].hidden)
                                                              : px_row_recurrence(grid, cases[i].hidden));
        const px_recurrence_choice choice = px_recurrence_choose(&hopper, &s, cases[i].backward);
        EXPECT_EQUAL(choice.strategy, PX_RECURRENCE_CLUSTER, "case %zu", i);
        EXPECT_EQUAL(choice.cluster.blocks, cases[i].blocks, "case %zu", i);
        EXPECT_EQUAL(choice.cluster.groups, cases[i].groups, "case %zu", i);
        EXPECT_EQUAL(choice.cluster.images, cases[i].each, "case %zu", i);
        EXPECT_EQUAL(choice.shared, cases[i].shared, "case %zu", i);
        char words[32];
        snprintf(words, sizeof words, "%d image%s a cluster", cases[i].each, cases[i].each > 1 ? "s" : "");
        if (!strstr(choice.words, words)) fail_msg("\"%s\" does not say \"%s\"", choice.words, words);
    }
    px_device other = hopper;
    px_recurrence_args s = narrow(px_diagonal_recurrence((px_grid){1, 64, 5}, 32));
    EXPECT_EQUAL(strategy_of(&other, &s), PX_RECURRENCE_CLUSTER, "64 lanes");
    other.capability = 80;
    EXPECT_EQUAL(strategy_of(&other, &s), PX_RECURRENCE_STEPWISE, "8.0");
    other.capability = 100;
    EXPECT_EQUAL(strategy_of(&other, &s), PX_RECURRENCE_STEPWISE, "10.0");
    other = hopper, other.multiprocessors = 15;
    EXPECT_EQUAL(strategy_of(&other, &s), PX_RECURRENCE_STEPWISE, "no cluster in so few multiprocessors");
    s.direction[1].h.data = (char *)16 + 4;
    EXPECT_EQUAL(strategy_of(&hopper, &s), PX_RECURRENCE_STEPWISE, "a tensor off by 4 bytes");
    px_recurrence_args slow = narrow(px_diagonal_recurrence((px_grid){1, 64, 5}, 32));
    slow.skew = 2;
    const px_recurrence_args refused[] = {
        slow,
        px_diagonal_recurrence((px_grid){1, 64, 5}, 32),
        narrow(px_diagonal_recurrence((px_grid){1, 65, 5}, 32)),
        narrow(px_diagonal_recurrence((px_grid){0, 64, 5}, 32)),
        narrow(px_diagonal_recurrence((px_grid){1, 64, 5}, 24)),
        narrow(px_diagonal_recurrence((px_grid){1, 64, 5}, 512)),
        narrow(px_row_recurrence((px_grid){1, 5, 64}, 256)),
    };
    for (size_t i = 0; i < PX_COUNT(refused); i++)
        EXPECT_EQUAL(strategy_of(&hopper, &refused[i]), PX_RECURRENCE_STEPWISE, "refused %zu", i);
    s = narrow(px_diagonal_recurrence((px_grid){1, 64, 5}, 32));
    other = hopper, other.recurrence = "stepwise";
    EXPECT_EQUAL(strategy_of(&other, &s), PX_RECURRENCE_STEPWISE, "PX_RECURRENCE=stepwise");
    EXPECT_EQUAL(strategy_of(&hopper, &s), PX_RECURRENCE_CLUSTER, "PX_RECURRENCE is not set");
}

/* What a strategy lacks is what the choice refused it for; the first that lacks nothing is taken. */
static void test_explanation(void **state) {
    (void)state;
    const px_grid grid = {2, 64, 5};
    const px_recurrence_args good = narrow(px_diagonal_recurrence(grid, 32));
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
        const char *named, *lacks;
    } cases[] = {
        {&hopper, good, false, named, ""},
        {&hopper, good, true, named, ""},
        {&hopper, good, true, "stepwise", "PX_RECURRENCE=cluster"},
        {&older, good, false, named, capability},
        {&hopper, px_diagonal_recurrence(grid, 32), false, named, "bfloat16"},
        {&older, px_diagonal_recurrence(grid, 32), true, named, "compute capability 9.0, bfloat16"},
        {&hopper, evaluating, false, named, ""},
        {&hopper, evaluating, true, named, "bfloat16"},
        {&hopper, narrow(px_diagonal_recurrence(grid, 40)), false, named, "16 to 512 features in steps of 16"},
        {&hopper, narrow(px_diagonal_recurrence((px_grid){2, 65, 5}, 32)), false, named, "up to 64 lanes"},
        {&hopper, narrow(px_diagonal_recurrence((px_grid){0, 64, 5}, 32)), false, named,
         "images and taps onto neighbours"},
        {&hopper, narrow(px_diagonal_recurrence(grid, 512)), true, named, fit},
        {&hopper, narrow(px_row_recurrence(grid, 256)), true, named, fit},
    };
    for (size_t i = 0; i < PX_COUNT(cases); i++) {
        px_recurrence_explanation e;
        px_device device = *cases[i].device;
        device.recurrence = cases[i].named;
        px_recurrence_explain(&device, &cases[i].recurrence, cases[i].backward, &e);
        const px_recurrence_choice choice = px_recurrence_choose(&device, &cases[i].recurrence, cases[i].backward);
        const int taken = cases[i].lacks[0] ? 1 : 0;
        EXPECT_EQUAL(e.chosen, taken, "case %zu", i);
        EXPECT_EQUAL(choice.strategy, taken ? PX_RECURRENCE_STEPWISE : PX_RECURRENCE_CLUSTER, "case %zu", i);
        assert_string_equal(e.words, choice.words);
        assert_string_equal(e.option[0].name, "cluster");
        assert_string_equal(e.option[0].missing, cases[i].lacks);
        const char *asks = e.option[0].requires;
        if (strcmp(cases[i].named, "stepwise") == 0) asks += strlen("PX_RECURRENCE=cluster, ");
        assert_string_equal(asks,
                            "compute capability 9.0, bfloat16, 16 to 512 features in steps of 16, up to 64 lanes, "
                            "images and taps onto neighbours, weights that fit in the shared memory of its blocks");
        assert_string_equal(e.option[1].name, "stepwise");
        assert_string_equal(e.option[1].requires, "");
        assert_string_equal(e.option[1].missing, "");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fragment),    cmocka_unit_test(test_slot),      cmocka_unit_test(test_clusters),
        cmocka_unit_test(test_lanes),       cmocka_unit_test(test_emulation), cmocka_unit_test(test_choice),
        cmocka_unit_test(test_explanation),
    };
    return cmocka_run_group_tests_name("recurrences on clusters", tests, NULL, NULL);
}
