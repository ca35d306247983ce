/* Fused recurrences of CUDA, without a GPU. Every index function of kernels/sm90/cluster.h is compared with its
 * definition; the kernels' source, on an emulated cluster or block, with the stepwise recurrence. */
#include "host/check/cases.h"
#include "tests/support/support.h"
#include "tests/support/emulated_recurrence.h"
#include "tests/support/emulated_step.h"
#include "host/device/recurrence.h"
#include "kernels/portable/bfloat16.h"
#include "kernels/portable/random.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Index functions ---- */

static const int sizes[] = {1, 2, 4, 8};
static const int hiddens[] = {16, 32, 48, 64, 80, 112, 128, 144, 256};

/* Calls check for every possible division. */
static void each_cluster(void (*check)(const px_cluster *)) {
    for (size_t h = 0; h < PX_COUNT(hiddens); h++)
        for (size_t n = 0; n < PX_COUNT(sizes); n++)
            for (int variant = 0; variant < 2; variant++) {
                const px_grid one = {1, 1, 1};
                const px_recurrence_args s = variant ? px_row_recurrence(one, hiddens[h])
                                                     : px_diagonal_recurrence(one, hiddens[h]);
                const px_cluster c = px_cluster_split(&s, sizes[n], 1);
                if (c.warpgroups > 0) check(&c);
            }
}

/* The accumulator of m64nNk16 by the PTX manual: warp w holds the rows 16 w .. 16 w + 15. Lane l holds the columns
 * 2 (l mod 4) and 2 (l mod 4) + 1 of every eight, in rows l / 4 (sums 0 and 1 of four) and l / 4 + 8 (2 and 3). */
static void test_fragment(void **state) {
    (void)state;
    enum { COLUMNS = 256 };
    static int seen[PX_CLUSTER_POSITIONS][COLUMNS];
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
    for (int row = 0; row < PX_CLUSTER_POSITIONS; row++)
        for (int column = 0; column < COLUMNS; column++)
            EXPECT_EQUAL(seen[row][column], 1, "row %d, column %d", row, column);
}

/* The sums of a thread in a tile belong to its two positions and eight channels, one sum each. */
static void test_tile(void **state) {
    (void)state;
    enum { TILES = 8 };
    for (int thread = 0; thread < PX_WARPGROUP_THREADS; thread++)
        for (int tile = 0; tile < TILES; tile++) {
            bool used[PX_TILE_SUMS * TILES] = {false};
            for (int second = 0; second < 2; second++)
                for (int u = 0; u < PX_CHUNK; u++) {
                    const int sum = px_tile_sum(tile, second, u), column = px_wgmma_column(thread, sum);
                    EXPECT_EQUAL(px_wgmma_row(thread, sum), px_wgmma_row(thread, 0) + 8 * second, "thread %d, sum %d",
                                 thread, sum);
                    EXPECT_EQUAL(column / PX_TILE_CHANNELS, tile, "thread %d, sum %d", thread, sum);
                    EXPECT_EQUAL(px_tile_column_channel(column % PX_TILE_CHANNELS), thread % 4 * PX_CHUNK + u,
                                 "thread %d, sum %d", thread, sum);
                    EXPECT_EQUAL(used[sum], false, "thread %d, sum %d", thread, sum);
                    used[sum] = true;
                }
        }
}

/* Every hidden channel has one block, warpgroup and thread; every block owns at least one. */
static void check_owners(const px_cluster *c) {
    int owners[256] = {0};
    for (int block = 0; block < c->blocks; block++) {
        int own = 0;
        for (int thread = 0; thread < c->warpgroups * PX_WARPGROUP_THREADS; thread++) {
            const px_cluster_thread at = px_cluster_thread_at(c, block, thread);
            EXPECT_EQUAL(at.channel % PX_CHUNK, at.channel < 0 ? -1 : 0, "block %d, thread %d", block, thread);
            for (int u = 0; at.channel >= 0 && at.thread < 4 && u < PX_CHUNK; u++, own++) {
                assert_in_range(at.channel + u, 0, c->hidden - 1);
                owners[at.channel + u]++;
            }
        }
        EXPECT_EQUAL(own, c->first_channel[block + 1] - c->first_channel[block], "block %d of %d", block, c->blocks);
        assert_true(own > 0);
    }
    for (int d = 0; d < c->hidden; d++) EXPECT_EQUAL(owners[d], 1, "channel %d of %d", d, c->hidden);
}

/* Every (gate, channel) is a column of one block forward and a value of depth of one block backward. Every channel is a
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
            if (px_backward_column_channel(c, block, column) >= 0)
                columns[px_backward_column_channel(c, block, column)]++;
        for (int d = 0; d < c->hidden; d++) EXPECT_EQUAL(columns[d], 1, "block %d, channel %d", block, d);
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

/* The parts of shared memory do not overlap, nor do the rows in them. All offsets are multiples of 16 bytes. */
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
                         PX_CHUNK_BYTES, shared.weights, shared.operand);
        for (int buffer = 0; buffer < 2; buffer++)
            for (int chunk = 0; chunk < chunks; chunk++)
                for (int position = -1; position <= PX_CLUSTER_POSITIONS; position++)
                    mark(bytes, px_operand_buffer(&shared, buffer) + px_operand_row(chunk, position), PX_CHUNK_BYTES,
                         shared.operand, shared.receive);
        for (int thread = 0; backward && thread < c->warpgroups * PX_WARPGROUP_THREADS; thread++) {
            const px_cluster_thread at = px_cluster_thread_at(c, 0, thread);
            for (int owner = 1; owner < c->blocks; owner++)
                for (int v = 0; v < PX_PARTS; v++)
                    mark(bytes, shared.receive + px_receive_offset(c, &at) + px_receive_part(owner, v), 16,
                         shared.receive, shared.barriers);
        }
        for (int buffer = 0; buffer < 2; buffer++)
            for (int source = 0; source < PX_CLUSTER_MAX_BLOCKS; source++)
                mark(bytes, shared.barriers + px_forward_barrier(buffer, source), sizeof(uint64_t), shared.barriers,
                     shared.bytes);
        free(bytes);
    }
    /* a tile copy is the rows of the block's own channels */
    for (int block = 0; block < c->blocks; block++) {
        EXPECT_EQUAL(px_forward_copy_offset(c, block), px_operand_row(c->first_channel[block] / PX_CHUNK, -1),
                     "block %d", block);
        EXPECT_EQUAL(px_forward_copy_offset(c, block) + px_forward_copy_bytes(c, block),
                     px_operand_row((c->first_channel[block + 1] - 1) / PX_CHUNK, PX_CLUSTER_POSITIONS) +
                         PX_CHUNK_BYTES,
                     "block %d", block);
    }
}

static void test_clusters(void **state) {
    (void)state;
    each_cluster(check_owners);
    each_cluster(check_columns);
    each_cluster(check_shared);
}

/* The tensor row of a pixel, or -1 outside the image. Columns count from the side at which the direction begins. */
static long pixel_at(const px_recurrence_args *s, int direction, int image, int row, int column) {
    if (row < 0 || row >= s->grid.height || column < 0 || column >= s->grid.width) return -1;
    return ((long)image * s->grid.height + row) * s->grid.width + (direction ? s->grid.width - 1 - column : column);
}

/* A live position is at its pixel, and its taps are that pixel's neighbours or positions that are not live. */
static void check_position(const px_recurrence_args *s, const px_image_pipeline *q, int image, int position, int k) {
    const bool diagonal = s->skew == 1;
    const int step = image * (s->length + 1) + s->skew * position + k;
    const int row = diagonal ? position : k, column = diagonal ? k : position;
    EXPECT_EQUAL(px_pipeline_pixel(s, q, step, position), pixel_at(s, q->direction, q->first + image, row, column),
                 "image %d, position %d, step %d", image, position, k);
    for (int tap = s->first_tap; tap < s->first_tap + s->taps; tap++) {
        const int above = diagonal ? row + tap : row - 1, beside = diagonal ? column - 1 - tap : column + tap;
        if (position + tap < 0) continue; /* a guard */
        EXPECT_EQUAL(px_pipeline_pixel(s, q, step - 1, position + tap),
                     pixel_at(s, q->direction, q->first + image, above, beside),
                     "image %d, position %d, step %d, tap %d", image, position, k, tap);
    }
}

/* Every pixel is reached once within the pipeline's steps, and its last step is needed. */
static void check_pipeline(const px_recurrence_args *s, int images) {
    const px_cluster c = px_cluster_split(s, 1, images);
    const size_t pixels = px_grid_pixels(&s->grid);
    int *seen = calloc((size_t)s->directions * pixels, sizeof *seen);
    assert_non_null(seen);
    for (int number = 0; number < px_cluster_count(s, &c); number++) {
        const px_image_pipeline q = px_image_pipeline_at(s, &c, number);
        int last = 0;
        assert_in_range(q.images, 1, images);
        for (int image = 0; image < q.images; image++)
            for (int position = 0; position < s->positions; position++)
                for (int k = 0; k < s->length; k++) check_position(s, &q, image, position, k);
        for (int step = -1; step <= q.steps + s->length; step++)
            for (int position = 0; position < PX_CLUSTER_POSITIONS; position++) {
                const int pixel = px_pipeline_pixel(s, &q, step, position);
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

static void test_pipeline(void **state) {
    (void)state;
    static const px_grid grids[] = {{2, 1, 1}, {3, 1, 7}, {4, 7, 1}, {5, 5, 3}, {2, 3, 64}, {2, 64, 5}};
    for (size_t i = 0; i < PX_COUNT(grids); i++)
        for (int images = 1; images <= 3; images++) {
            const px_recurrence_args rows = px_row_recurrence(grids[i], 16),
                                     diagonals = px_diagonal_recurrence(grids[i], 16);
            check_pipeline(&rows, images);
            check_pipeline(&diagonals, images);
        }
}

/* ---- Comparison with the stepwise recurrence ---- */

/* bfloat16 has 8 significant bits: states are rounded by up to 2^-9 at every step, and so are the compared values; the
 * errors of several steps add up. A fault channel, position, tap or step has an error near the largest value. */
static const double tolerance = 0.02;

typedef struct fixture {
    px_context ctx;
    px_device *device;
    uint64_t values;
} fixture;

/* Two tensors with the same random numbers, which are exact in bfloat16: one of px_real, one of bfloat16. */
static void make_pair(fixture *d, size_t rows, int columns, double scale, px_tensor *real, px_tensor *bf16) {
    *real = (px_tensor){malloc(rows * (size_t)columns * sizeof(px_real)), rows, columns, PX_REAL};
    *bf16 = (px_tensor){aligned_alloc(64, (rows * (size_t)columns * 2 + 63) / 64 * 64), rows, columns, PX_BF16};
    assert_true(real->data && bf16->data);
    for (size_t i = 0; i < px_tensor_elements(real); i++) {
        const px_random4 word = px_random(7, PX_RANDOM_DATA, 1, d->values++);
        const double value = (2 * px_uniform(word.word[0], word.word[1]) - 1) * scale;
        ((uint16_t *)bf16->data)[i] = px_to_bfloat16((float)value);
        ((px_real *)real->data)[i] = (px_real)px_from_bfloat16(((uint16_t *)bf16->data)[i]);
    }
}

/* c is float32 in the double build too: the sources of CUDA have no double. */
static double element_float(const void *data, size_t index) { return (double)((const float *)data)[index]; }

static void expect_close(const char *name, const char *what, const px_tensor *found, const px_tensor *want) {
    const px_element_reader reader = found->type == PX_BF16 ? px_element_reader_of(PX_BF16) : element_float;
    const px_difference d = px_compare(px_tensor_elements(want), reader, found->data, px_element_real, want->data);
    if (!(d.relative <= tolerance))
        fail_msg("%s, %s: element %zu is %g, stepwise %g; error %.3g of the largest value, tolerance %g (bfloat16)",
                 name, what, d.index, d.found, d.want, d.relative, tolerance);
}

typedef struct both_recurrences {
    px_recurrence_args stepwise, fused;
} both_recurrences;

static both_recurrences make_recurrences(fixture *d, px_recurrence_args shape) {
    both_recurrences s = {shape, shape};
    const size_t pixels = px_grid_pixels(&shape.grid);
    px_tensor weight[2];
    make_pair(d, (size_t)(shape.directions * PX_GATES * shape.hidden), shape.taps * shape.hidden,
              3 / sqrt(shape.taps * shape.hidden), &weight[0], &weight[1]);
    for (int i = 0; i < shape.directions; i++) {
        px_recurrence_direction *real = &s.stepwise.direction[i], *bf16 = &s.fused.direction[i];
        const size_t rows = (size_t)(PX_GATES * shape.hidden);
        real->weight = px_tensor_slice(weight[0], (size_t)i * rows, rows);
        bf16->weight = px_tensor_slice(weight[1], (size_t)i * rows, rows);
        make_pair(d, pixels, PX_GATES * shape.hidden, 1, &real->gates, &bf16->gates);
        make_pair(d, pixels, shape.hidden, 1, &real->h, &bf16->h);
        make_pair(d, pixels, shape.hidden, 1, &real->dh, &bf16->dh);
        make_pair(d, pixels, 2 * shape.hidden, 1, &real->c, &bf16->c); /* a float has the size of two bfloat16 */
        real->c.columns = bf16->c.columns = shape.hidden;
        bf16->c.type = PX_REAL;
        memset(bf16->c.data, 0xff, px_tensor_bytes(&bf16->c)); /* NaN */
        memset(bf16->h.data, 0xff, px_tensor_bytes(&bf16->h));
    }
    s.stepwise.temporary = (px_tensor){malloc(px_recurrence_bytes_stepwise(&shape)),
                                       px_recurrence_bytes_stepwise(&shape), 1, PX_UINT8};
    assert_non_null(s.stepwise.temporary.data);
    return s;
}

static void release_recurrences(both_recurrences *s) {
    px_recurrence_args *sides[] = {&s->stepwise, &s->fused};
    free(s->stepwise.temporary.data);
    for (int side = 0; side < 2; side++) {
        free(sides[side]->direction[0].weight.data);
        for (int i = 0; i < sides[side]->directions; i++) {
            px_recurrence_direction *direction = &sides[side]->direction[i];
            void *tensors[] = {direction->gates.data, direction->h.data, direction->dh.data, direction->c.data};
            for (int k = 0; k < 4; k++) free(tensors[k]);
        }
    }
}

static void expect_forward(const char *name, const both_recurrences *s) {
    for (int i = 0; i < s->fused.directions; i++) {
        expect_close(name, "gates", &s->fused.direction[i].gates, &s->stepwise.direction[i].gates);
        expect_close(name, "c", &s->fused.direction[i].c, &s->stepwise.direction[i].c);
        expect_close(name, "h", &s->fused.direction[i].h, &s->stepwise.direction[i].h);
    }
}
static void expect_backward(const char *name, const both_recurrences *s) {
    for (int i = 0; i < s->fused.directions; i++)
        expect_close(name, "gradients of gates", &s->fused.direction[i].gates, &s->stepwise.direction[i].gates);
}

static void check_clusters(fixture *d, px_recurrence_args shape, px_cluster c, uint64_t seed) {
    char name[160];
    snprintf(name, sizeof name,
             "%d images of %d x %d, %d channels, %d taps on %d blocks of %d warpgroups, %d images each",
             shape.grid.images, shape.grid.height, shape.grid.width, shape.hidden, shape.taps, c.blocks, c.warpgroups,
             c.images);
    both_recurrences s = make_recurrences(d, shape);
    assert_ok(&d->ctx, px_recurrence_forward_stepwise(d->device, &s.stepwise));
    const char *fault = px_recurrence_emulated(&s.fused, &c, false, seed);
    if (fault) fail_msg("%s, forward: %s", name, fault);
    expect_forward(name, &s);
    assert_ok(&d->ctx, px_recurrence_backward_stepwise(d->device, &s.stepwise));
    fault = px_recurrence_emulated(&s.fused, &c, true, seed);
    if (fault) fail_msg("%s, backward: %s", name, fault);
    expect_backward(name, &s);
    release_recurrences(&s);
}

static void skip_without_fibers(void) {
#ifdef __SANITIZE_THREAD__
    print_message("SKIP recurrences on an emulated GPU: ThreadSanitizer does not support fibers\n");
    skip();
#endif
}

static void test_cluster_emulation(void **state) {
    (void)state;
    skip_without_fibers();
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
    fixture d = {0};
    assert_ok(&d.ctx, px_cpu_open(&d.ctx, PX_REAL, &d.device));
    for (size_t i = 0; i < 2 * PX_COUNT(cases); i++) {
        if (!(cases[i / 2].kinds & (i % 2 ? DIAGONALS : ROWS))) continue;
        const px_grid grid = cases[i / 2].grid;
        const px_recurrence_args s = i % 2 ? px_diagonal_recurrence(grid, cases[i / 2].hidden)
                                           : px_row_recurrence(grid, cases[i / 2].hidden);
        check_clusters(&d, s, px_cluster_split(&s, cases[i / 2].blocks, cases[i / 2].images), i);
    }
    px_device_close(d.device);
}

/* All launches of a fused recurrence, each on an emulated block after the other. */
static void run_steps(const char *name, const px_recurrence_args *s, bool backward, uint64_t seed) {
    const void *kernel = px_recurrence_step_sm80(px_step_channels(s), backward);
    for (int i = 0; i < s->steps; i++) {
        const int step = backward ? s->steps - 1 - i : i;
        const px_step_launch launch = px_step_launch_of(s, step, backward);
        const char *fault = px_step_emulated(kernel, &launch, s, step, seed + (uint64_t)i);
        if (fault) fail_msg("%s, %s, step %d: %s", name, backward ? "backward" : "forward", step, fault);
    }
}

static void check_steps(fixture *d, px_recurrence_args shape, uint64_t seed) {
    char name[160];
    snprintf(name, sizeof name, "fused, %d images of %d x %d, %d channels, %d taps", shape.grid.images,
             shape.grid.height, shape.grid.width, shape.hidden, shape.taps);
    both_recurrences s = make_recurrences(d, shape);
    const size_t bytes = px_step_temporary_bytes(&shape);
    s.fused.temporary = (px_tensor){malloc(bytes), bytes, 1, PX_UINT8};
    assert_non_null(s.fused.temporary.data);
    memset(s.fused.temporary.data, 0xff, bytes); /* NaN */
    assert_ok(&d->ctx, px_recurrence_forward_stepwise(d->device, &s.stepwise));
    run_steps(name, &s.fused, false, seed);
    expect_forward(name, &s);
    assert_ok(&d->ctx, px_recurrence_backward_stepwise(d->device, &s.stepwise));
    run_steps(name, &s.fused, true, seed);
    expect_backward(name, &s);
    free(s.fused.temporary.data);
    release_recurrences(&s);
}

/* 16 and 32 channels a block; one block of rows, filled in part or exactly, and several; fewer and more stages of K
 * than the pipeline has; K that ends within a stage, and taps that begin within one. */
static void test_step_emulation(void **state) {
    (void)state;
    skip_without_fibers();
    static const px_recurrence_case cases[] = {
        {{1, 1, 1}, 16}, {{3, 5, 3}, 16}, {{70, 3, 1}, 16}, {{1, 1, 9}, 32},  {{13, 5, 5}, 32}, {{1, 7, 4}, 48},
        {{8, 8, 2}, 64}, {{9, 3, 8}, 80}, {{2, 1, 3}, 144}, {{1, 3, 1}, 128}, {{1, 2, 3}, 256},
    };
    fixture d = {0};
    assert_ok(&d.ctx, px_cpu_open(&d.ctx, PX_REAL, &d.device));
    for (size_t i = 0; i < 2 * PX_COUNT(cases); i++) {
        const px_recurrence_case *c = &cases[i / 2];
        check_steps(&d, i % 2 ? px_diagonal_recurrence(c->grid, c->hidden) : px_row_recurrence(c->grid, c->hidden), i);
    }
    px_device_close(d.device);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fragment),          cmocka_unit_test(test_tile),
        cmocka_unit_test(test_clusters),          cmocka_unit_test(test_pipeline),
        cmocka_unit_test(test_cluster_emulation), cmocka_unit_test(test_step_emulation),
    };
    return cmocka_run_group_tests_name("fused recurrences", tests, NULL, NULL);
}
