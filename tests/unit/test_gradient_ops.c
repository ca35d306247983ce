/* Every pair of differentiable operations: backward against central differences of a random linear functional <r, y>
 * of what forward gives, in double.
 *
 * Convolutions and shifts are linear in each of their inputs, so that any step is exact up to rounding; 1e-3 keeps that
 * small. (Rectified inputs keep 0.1 away from relu's kink.) The others take 1e-5, where truncation and rounding are
 * both about 1e-10. Tolerance: 1e-6 of the gradient's largest element, four digits above either. */
#include "host/model/network.h"
#include "tests/support/model.h"
#include <math.h>
#include <omp.h>
#include <string.h>

static const double tolerance = 1e-6, linear_step = 1e-3, curved_step = 1e-5;
enum { PICKED = 40 }; /* elements of a tensor that are checked: all of a smaller one */

typedef struct px_bench {
    px_context ctx;
    px_device *device;
    px_arena arena;
    px_tensor weighting; /* r */
    char name[160];
    int elements;
    double worst; /* of the differences accepted, relative to the gradient's largest element */
} px_bench;

/* A functional of everything a case holds: runs forward and gives <r, y>. */
typedef double (*px_functional)(px_bench *bench, const void *args);

static bool begin(px_bench *bench) {
    if (sizeof(px_real) != sizeof(double)) {
        print_message("gradients are checked in double: needs BUILD=double\n");
        return false;
    }
    *bench = (px_bench){0};
    bench->device = px_test_device(&bench->ctx);
    assert_ok(&bench->ctx, px_arena_allocate(&bench->arena, bench->device, 8 << 20));
    return true;
}

static void end(px_bench *bench) {
    print_message("  worst %.2g of the largest over %d elements\n", bench->worst, bench->elements);
    px_arena_free(&bench->arena);
    px_device_close(bench->device);
}

static px_tensor number_tensor(px_bench *bench, size_t rows, int columns, uint64_t seed, double scale) {
    return px_test_tensor(&bench->arena, rows, columns, seed, scale);
}

static double dot(px_bench *bench, px_tensor y, px_tensor weighting) {
    px_real *a = px_test_download(bench->device, y), *b = px_test_download(bench->device, weighting);
    double sum = 0;
    for (size_t i = 0; i < px_tensor_elements(&y); i++) sum += (double)a[i] * (double)b[i];
    free(a);
    free(b);
    return sum;
}

static void put(px_bench *bench, px_tensor tensor, size_t element, px_real value) {
    assert_ok(&bench->ctx,
              bench->device->ops->upload(bench->device, (px_real *)tensor.data + element, &value, sizeof value));
    assert_ok(&bench->ctx, bench->device->ops->synchronize(bench->device));
}

/* Holds `found`, the gradient with respect to input (on the host), to differences of the functional. */
static void check(px_bench *bench, const char *what, px_tensor input, const px_real *found, double step,
                  px_functional functional, const void *args) {
    const size_t count = px_tensor_elements(&input), checked = count < PICKED ? count : PICKED;
    px_real *values = px_test_download(bench->device, input);
    double largest = 0;
    for (size_t e = 0; e < count; e++) largest = fmax(largest, fabs((double)found[e]));
    for (size_t i = 0; i < checked; i++) {
        const size_t e = checked == count ? i : px_test_pick(99, i, count);
        const px_real more = values[e] + (px_real)step, less = values[e] - (px_real)step;
        put(bench, input, e, more);
        const double high = functional(bench, args);
        put(bench, input, e, less);
        const double want = (high - functional(bench, args)) / (double)(more - less);
        put(bench, input, e, values[e]);
        /* what rounding of the functional, a sum of up to thousands of terms near 1, can leave of a slope of 0 */
        const double rounding = 1e-14 * (1 + fabs(high)) / step;
        const double off = fabs((double)found[e] - want);
        if (!(off <= tolerance * largest + rounding))
            fail_msg("%s: gradient of %s[%zu] is %.12g, central differences give %.12g: off by %.3g, tolerance %.1g of "
                     "the largest, %.3g, plus %.1g of rounding",
                     bench->name, what, e, (double)found[e], want, off, tolerance, largest, rounding);
        if (off > bench->worst * largest && largest > 0) bench->worst = off / largest;
        bench->elements++;
    }
    free(values);
}

static void subtract(px_bench *bench, px_real *found, px_tensor tensor) {
    px_real *other = px_test_download(bench->device, tensor);
    for (size_t e = 0; e < px_tensor_elements(&tensor); e++) found[e] -= other[e];
    free(other);
}

/* --- Convolutions ------------------------------------------------------------------------------------------------- */

enum { ADD_ABSENT, ADD_PRESENT, ADD_ALIASED, ADDS };
static const char *const adds[] = {"no add", "add", "add aliased"};

typedef struct px_shape {
    px_grid grid;
    int in, out;
} px_shape;
static const px_shape shapes[] = {{{2, 3, 4}, 3, 5}, {{1, 1, 1}, 1, 4}, {{3, 1, 5}, 7, 1},
                                  {{1, 5, 1}, 2, 3}, {{1, 9, 8}, 1, 6}, {{5, 8, 9}, 5, 7}};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

/* All that the models use: stem, 3 x 3, left and centre, centre; taps of states: row above, left and right diagonal. */
enum { TAPS = 7 };
static px_taps taps_of(int index) {
    static const px_tap above[] = {{-1, -1}, {-1, 0}, {-1, 1}}, left[] = {{-1, 0}, {0, -1}},
                        right[] = {{-1, 0}, {0, 1}};
    switch (index) {
    case 0: return px_taps_rectangle(4, 7, 3);
    case 1: return px_taps_rectangle(2, 3, 1);
    case 2: return px_taps_rectangle(1, 2, 1);
    case 3: return px_taps_rectangle(1, 1, 0);
    case 4: return px_taps_list(3, above);
    case 5: return px_taps_list(2, left);
    default: return px_taps_list(2, right);
    }
}

typedef struct convolution {
    px_convolve_args forward;
    px_tensor input_of_y; /* what y holds before the convolution: add, when add is aliased */
} convolution;

static double convolve(px_bench *bench, const void *args) {
    const convolution *c = args;
    px_device *device = bench->device;
    if (c->input_of_y.data)
        assert_ok(&bench->ctx,
                  device->ops->copy(device, c->forward.y.data, c->input_of_y.data, px_tensor_bytes(&c->input_of_y)));
    assert_ok(&bench->ctx, device->ops->convolve(device, &c->forward));
    return dot(bench, c->forward.y, bench->weighting);
}

static void away_from_zero(px_bench *bench, px_tensor tensor) {
    px_real *host = px_test_download(bench->device, tensor);
    for (size_t e = 0; e < px_tensor_elements(&tensor); e++) host[e] += host[e] < 0 ? (px_real)-0.1 : (px_real)0.1;
    assert_ok(&bench->ctx, bench->device->ops->upload(bench->device, tensor.data, host, px_tensor_bytes(&tensor)));
    assert_ok(&bench->ctx, bench->device->ops->synchronize(bench->device));
    free(host);
}

static void check_input_gradient(px_bench *bench, const convolution *c, int add) {
    const px_convolve_args *f = &c->forward;
    const px_tensor dx = number_tensor(bench, f->x.rows, f->x.columns, 11, 1);
    const px_tensor added = number_tensor(bench, f->x.rows, f->x.columns, add == ADD_ALIASED ? 11 : 12, 1);
    assert_ok(&bench->ctx,
              px_run(bench->device, convolve_input_gradient, .grid = f->grid, .taps = f->taps, .relu = f->relu,
                     .dy = bench->weighting, .weight = f->weight, .x = f->relu ? f->x : (px_tensor){0},
                     .add = add == ADD_ABSENT    ? (px_tensor){0}
                            : add == ADD_ALIASED ? dx
                                                 : added,
                     .dx = dx));
    px_real *found = px_test_download(bench->device, dx);
    if (add != ADD_ABSENT) subtract(bench, found, added);
    check(bench, "x", f->x, found, linear_step, convolve, c);
    free(found);
}

static void check_weight_gradient(px_bench *bench, const convolution *c) {
    const px_convolve_args *f = &c->forward;
    const px_tensor dweight = number_tensor(bench, f->weight.rows, f->weight.columns, 13, 1);
    const px_tensor dbias = f->bias.data ? number_tensor(bench, 1, f->bias.columns, 14, 1) : (px_tensor){0};
    px_real *before = px_test_download(bench->device, dweight);
    assert_ok(&bench->ctx,
              px_run(bench->device, convolve_weight_gradient, .grid = f->grid, .taps = f->taps, .relu = f->relu,
                     .x = f->x, .dy = bench->weighting, .dweight = dweight, .dbias = dbias));
    px_real *found = px_test_download(bench->device, dweight);
    const size_t row = (size_t)dweight.columns, live = (size_t)(f->taps.live * f->x.columns);
    for (size_t e = 0; e < px_tensor_elements(&dweight); e++) {
        if (e % row < live) continue;
        if (found[e] != before[e])
            fail_msg("%s: dweight[%zu], past the live taps, was %.9g and became %.9g; it must keep what it held",
                     bench->name, e, (double)before[e], (double)found[e]);
        found[e] = 0; /* forward never reads that weight */
    }
    check(bench, "weight", f->weight, found, linear_step, convolve, c);
    free(before);
    free(found);
    if (!dbias.data) return;
    found = px_test_download(bench->device, dbias);
    check(bench, "bias", f->bias, found, linear_step, convolve, c);
    free(found);
}

static void check_convolution(px_bench *bench, const px_shape *shape, px_taps taps, bool relu, int add) {
    const size_t pixels = px_grid_pixels(&shape->grid), mark = bench->arena.used;
    convolution c = {.forward = {.grid = shape->grid, .taps = taps, .relu = relu}};
    snprintf(bench->name, sizeof bench->name,
             "convolve %d x %d x %d, %d to %d features, %d taps at (%d, %d)..., %s, %s", shape->grid.images,
             shape->grid.height, shape->grid.width, shape->in, shape->out, taps.live, taps.at[0].row, taps.at[0].column,
             relu ? "rectified" : "plain", adds[add]);
    c.forward.x = number_tensor(bench, pixels, shape->in, 1, 1);
    if (relu) away_from_zero(bench, c.forward.x);
    c.forward.weight = number_tensor(bench, (size_t)shape->out, taps.stored * shape->in, 2, 1);
    c.forward.bias = number_tensor(bench, 1, shape->out, 3, 1);
    if (add == ADD_ABSENT) c.forward.bias = (px_tensor){0};
    c.forward.y = number_tensor(bench, pixels, shape->out, 4, 1);
    bench->weighting = number_tensor(bench, pixels, shape->out, 5, 1);
    const px_tensor added = number_tensor(bench, pixels, shape->out, 6, 1);
    if (add == ADD_PRESENT) c.forward.add = added;
    if (add == ADD_ALIASED) c.forward.add = c.forward.y, c.input_of_y = added;
    check_input_gradient(bench, &c, add);
    check_weight_gradient(bench, &c);
    if (add != ADD_ABSENT) {
        px_real *found = px_test_download(bench->device, bench->weighting);
        check(bench, "add", added, found, linear_step, convolve, &c);
        free(found);
    }
    px_arena_rewind(&bench->arena, mark);
}

static void test_convolve(void **state) {
    (void)state;
    px_bench bench;
    if (!begin(&bench)) skip();
    for (int s = 0; s < SHAPES; s++)
        for (int t = 0; t < TAPS; t++)
            for (int variant = 0; variant < 2 * ADDS; variant++)
                check_convolution(&bench, &shapes[s], taps_of(t), variant >= ADDS, variant % ADDS);
    end(&bench);
}

/* --- Recurrences
 * ------------------------------------------------------------------------------------------------------- */

enum { ROW, LEFT, RIGHT, BOTH_ROWS, BOTH_DIAGONALS, GEOMETRIES };
static const char *const geometries[] = {"rows", "left diagonals", "right diagonals", "rows twice",
                                         "diagonals from both sides"};

typedef struct px_swept {
    px_recurrence_args recurrence;
    px_tensor input[PX_MAX_DIRECTIONS];     /* pre-activations before the recurrent part, (P, 4 D) */
    px_tensor weighting[PX_MAX_DIRECTIONS]; /* of h, (P, D) */
} px_swept;

static double recurrence(px_bench *bench, const void *args) {
    const px_swept *swept = args;
    px_device *device = bench->device;
    double sum = 0;
    for (int d = 0; d < swept->recurrence.directions; d++)
        assert_ok(&bench->ctx, device->ops->copy(device, swept->recurrence.direction[d].gates.data,
                                                 swept->input[d].data, px_tensor_bytes(&swept->input[d])));
    assert_ok(&bench->ctx, device->ops->recurrence_forward(device, &swept->recurrence));
    for (int d = 0; d < swept->recurrence.directions; d++)
        sum += dot(bench, swept->recurrence.direction[d].h, swept->weighting[d]);
    return sum;
}

static px_swept make_recurrence(px_bench *bench, px_grid grid, int hidden, int geometry) {
    const bool rows = geometry == ROW || geometry == BOTH_ROWS;
    px_swept swept = {.recurrence = {.grid = grid, .hidden = hidden, .first_tap = -1}};
    px_recurrence_args *s = &swept.recurrence;
    s->directions = geometry >= BOTH_ROWS ? 2 : 1;
    s->steps = rows ? grid.height : grid.height + grid.width - 1;
    s->positions = rows ? grid.width : grid.height;
    s->skew = rows ? 0 : 1;
    s->length = rows ? grid.height : grid.width;
    s->taps = rows ? 3 : 2;
    s->temporary = px_arena_tensor(&bench->arena, px_recurrence_temporary_bytes(s), 1, PX_UINT8);
    const size_t pixels = px_grid_pixels(&grid);
    for (int d = 0; d < s->directions; d++) {
        const bool right = geometry == RIGHT || (geometry == BOTH_DIAGONALS && d == 1);
        const uint64_t seed = (uint64_t)(10 * d);
        px_recurrence_direction *line = &s->direction[d];
        *line = (px_recurrence_direction){.stride_step = grid.width, .stride_position = 1};
        if (!rows) *line = (px_recurrence_direction){.stride_step = 1, .stride_position = grid.width - 1};
        if (right)
            *line = (px_recurrence_direction){
                .origin = grid.width - 1, .stride_step = -1, .stride_position = grid.width + 1};
        line->weight = number_tensor(bench, (size_t)(4 * hidden), s->taps * hidden, seed + 1, 1);
        line->gates = number_tensor(bench, pixels, 4 * hidden, seed + 2, 1);
        line->c = number_tensor(bench, pixels, hidden, seed + 3, 1);
        line->h = number_tensor(bench, pixels, hidden, seed + 4, 1);
        line->dh = number_tensor(bench, pixels, hidden, seed + 5, 1);
        swept.weighting[d] = line->dh;
        swept.input[d] = number_tensor(bench, pixels, 4 * hidden, seed + 6, 2);
    }
    return swept;
}

/* The taps that a line's weights have as a convolution over its h. */
static px_taps taps_of_line(int geometry, int direction) {
    if (geometry == ROW || geometry == BOTH_ROWS) return taps_of(4);
    return taps_of(geometry == RIGHT || (geometry == BOTH_DIAGONALS && direction == 1) ? 6 : 5);
}

static void check_recurrence(px_bench *bench, px_grid grid, int hidden, int geometry) {
    const size_t mark = bench->arena.used;
    snprintf(bench->name, sizeof bench->name, "recurrence of %s over %d x %d x %d, hidden %d", geometries[geometry],
             grid.images, grid.height, grid.width, hidden);
    const px_swept swept = make_recurrence(bench, grid, hidden, geometry);
    px_device *device = bench->device;
    recurrence(bench, &swept);
    assert_ok(&bench->ctx, device->ops->recurrence_backward(device, &swept.recurrence));
    px_real *dinput[PX_MAX_DIRECTIONS], *dweight[PX_MAX_DIRECTIONS];
    for (int d = 0; d < swept.recurrence.directions; d++) {
        const px_recurrence_direction *line = &swept.recurrence.direction[d];
        const px_tensor gradient = number_tensor(bench, line->weight.rows, line->weight.columns, 7, 1);
        assert_ok(&bench->ctx, px_run(device, convolve_weight_gradient, .grid = grid, .taps = taps_of_line(geometry, d),
                                      .x = line->h, .dy = line->gates, .dweight = gradient));
        dinput[d] = px_test_download(device, line->gates);
        dweight[d] = px_test_download(device, gradient);
    }
    for (int d = 0; d < swept.recurrence.directions; d++) {
        check(bench, d ? "input of line 1" : "input of line 0", swept.input[d], dinput[d], curved_step, recurrence,
              &swept);
        check(bench, d ? "weight of line 1" : "weight of line 0", swept.recurrence.direction[d].weight, dweight[d],
              curved_step, recurrence, &swept);
        free(dinput[d]);
        free(dweight[d]);
    }
    px_arena_rewind(&bench->arena, mark);
}

static void test_recurrence(void **state) {
    (void)state;
    static const px_grid grids[] = {{1, 1, 1}, {2, 1, 5}, {3, 5, 1}, {2, 3, 4}, {1, 6, 4}, {1, 2, 7}};
    static const int hiddens[] = {1, 5, 7};
    px_bench bench;
    if (!begin(&bench)) skip();
    for (int geometry = 0; geometry < GEOMETRIES; geometry++)
        for (int i = 0; i < 18; i++) check_recurrence(&bench, grids[i / 3], hiddens[i % 3], geometry);
    end(&bench);
}

/* --- Softmax and shifts ------------------------------------------------------------------------------------------- */

enum { VALUES = 9 };
static const px_real nll_scale = (px_real)0.37;
typedef struct px_likelihood {
    px_tensor logits, work, target, nll;
} px_likelihood;

static double likelihood(px_bench *bench, const void *args) {
    const px_likelihood *l = args;
    px_device *device = bench->device;
    double sum = 0;
    assert_ok(&bench->ctx, device->ops->copy(device, l->work.data, l->logits.data, px_tensor_bytes(&l->logits)));
    assert_ok(&bench->ctx, px_run(device, softmax_nll, .logits = l->work, .target = l->target, .nll = l->nll));
    px_real *nll = px_test_download(device, l->nll);
    for (int r = 0; r < VALUES; r++) sum += (double)(nll_scale * nll[r]);
    free(nll);
    return sum;
}

static void test_softmax_nll(void **state) {
    (void)state;
    static const int levels[] = {2, 5, 256};
    static const double scales[] = {1, 40}; /* of the logits: plain, and nearly certain */
    px_bench bench;
    if (!begin(&bench)) skip();
    for (int i = 0; i < 6; i++) {
        const int count = levels[i / 2];
        uint8_t target[VALUES];
        for (size_t r = 0; r < VALUES; r++) target[r] = (uint8_t)px_test_pick(5, r, (size_t)count);
        snprintf(bench.name, sizeof bench.name, "softmax_nll, %d levels, logits within %g", count, scales[i % 2]);
        px_likelihood l = {.logits = number_tensor(&bench, VALUES, count, 1, scales[i % 2]),
                           .work = number_tensor(&bench, VALUES, count, 2, 1),
                           .target = px_arena_tensor(&bench.arena, VALUES, 1, PX_UINT8),
                           .nll = number_tensor(&bench, VALUES, 1, 3, 1)};
        assert_ok(&bench.ctx, bench.device->ops->upload(bench.device, l.target.data, target, sizeof target));
        likelihood(&bench, &l);
        assert_ok(&bench.ctx, px_run(bench.device, softmax_nll, .logits = l.work, .target = l.target, .nll = l.nll,
                                     .gradient = true, .scale = nll_scale));
        px_real *found = px_test_download(bench.device, l.work);
        check(&bench, "logits", l.logits, found, curved_step, likelihood, &l);
        free(found);
    }
    end(&bench);
}

static double shift(px_bench *bench, const void *args) {
    const px_shift_rows_args *s = args;
    assert_ok(&bench->ctx, bench->device->ops->shift_rows(bench->device, s));
    return dot(bench, s->y, bench->weighting);
}

static void test_shift_rows(void **state) {
    (void)state;
    static const int downs[] = {1, -1, 0, 2};
    px_bench bench;
    if (!begin(&bench)) skip();
    for (int i = 0; i < 4 * SHAPES * 2; i++) {
        const px_grid grid = shapes[i / 8].grid;
        const size_t pixels = px_grid_pixels(&grid), mark = bench.arena.used;
        px_shift_rows_args s = {.grid = grid, .down = downs[i % 4], .x = number_tensor(&bench, pixels, 3, 1, 1)};
        s.y = number_tensor(&bench, pixels, 3, 2, 1);
        if (i / 4 % 2) s.add = number_tensor(&bench, pixels, 3, 3, 1);
        bench.weighting = number_tensor(&bench, pixels, 3, 4, 1);
        snprintf(bench.name, sizeof bench.name, "shift_rows by %d over %d x %d x %d", s.down, grid.images, grid.height,
                 grid.width);
        const px_tensor dx = number_tensor(&bench, pixels, 3, 5, 1);
        assert_ok(&bench.ctx, px_run(bench.device, shift_rows, .grid = grid, .down = -s.down, .x = bench.weighting,
                                     .y = dx)); /* the backward that the Diagonal BiLSTM uses */
        px_real *found = px_test_download(bench.device, dx);
        check(&bench, "x", s.x, found, linear_step, shift, &s);
        free(found);
        px_arena_rewind(&bench.arena, mark);
    }
    end(&bench);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_convolve),
        cmocka_unit_test(test_recurrence),
        cmocka_unit_test(test_softmax_nll),
        cmocka_unit_test(test_shift_rows),
    };
    omp_set_num_threads(1); /* waking others costs more than these tensors do */
    return cmocka_run_group_tests_name("gradient of operations", tests, NULL, NULL);
}
