/* Every pair of differentiable operations: backward compared with central differences of <r, forward(x)> for a random
 * r, in double.
 *
 * Convolutions, shifts and shuffles are linear in each input, so any step is exact up to rounding; a step of 1e-3 keeps
 * that small. Inputs of a relu keep 0.1 away from 0. Other operations use a step of 1e-5, at which truncation and
 * rounding are both about 1e-10. The tolerance is 1e-6 of the largest element of the gradient, four digits above
 * either. */
#include "host/model/network.h"
#include "tests/support/model.h"
#include <math.h>
#include <omp.h>
#include <string.h>

static const double tolerance = 1e-6, linear_step = 1e-3, nonlinear_step = 1e-5;
enum { PICKED = 40 }; /* the maximum number of elements of a tensor that are checked */

typedef struct fixture {
    px_context ctx;
    px_device *device;
    px_arena arena;
    px_tensor weighting; /* r */
    char name[160];
    int elements;
    double worst; /* the largest accepted difference, relative to the gradient's largest element */
} fixture;

/* Runs the forward operation of a case and returns <r, y>. */
typedef double (*functional_fn)(fixture *test, const void *args);

static bool begin(fixture *test) {
    if (sizeof(px_real) != sizeof(double)) {
        print_message("gradients are checked in double: needs BUILD=double\n");
        return false;
    }
    *test = (fixture){0};
    test->device = px_test_device(&test->ctx);
    assert_ok(&test->ctx, px_arena_allocate(&test->arena, test->device, 8 << 20));
    return true;
}

static void end(fixture *test) {
    print_message("  largest difference %.2g of the largest element, %d elements\n", test->worst, test->elements);
    px_arena_free(&test->arena);
    px_device_close(test->device);
}

static px_tensor number_tensor(fixture *test, size_t rows, int columns, uint64_t seed, double scale) {
    return px_test_tensor(&test->arena, rows, columns, seed, scale);
}

static double dot(fixture *test, px_tensor y, px_tensor weighting) {
    px_real *a = px_test_download(test->device, y), *b = px_test_download(test->device, weighting);
    double sum = 0;
    for (size_t i = 0; i < px_tensor_elements(&y); i++) sum += (double)a[i] * (double)b[i];
    free(a);
    free(b);
    return sum;
}

static void set_element(fixture *test, px_tensor tensor, size_t element, px_real value) {
    assert_ok(&test->ctx,
              test->device->ops->upload(test->device, (px_real *)tensor.data + element, &value, sizeof value));
    assert_ok(&test->ctx, test->device->ops->synchronize(test->device));
}

/* Compares `found`, the gradient with respect to `input` in host memory, with differences of the functional. */
static void check(fixture *test, const char *what, px_tensor input, const px_real *found, double step,
                  functional_fn functional, const void *args) {
    const size_t count = px_tensor_elements(&input), checked = count < PICKED ? count : PICKED;
    px_real *values = px_test_download(test->device, input);
    double largest = 0;
    for (size_t e = 0; e < count; e++) largest = fmax(largest, fabs((double)found[e]));
    for (size_t i = 0; i < checked; i++) {
        const size_t e = checked == count ? i : px_test_pick(99, i, count);
        const px_real more = values[e] + (px_real)step, less = values[e] - (px_real)step;
        set_element(test, input, e, more);
        const double high = functional(test, args);
        set_element(test, input, e, less);
        const double want = (high - functional(test, args)) / (double)(more - less);
        set_element(test, input, e, values[e]);
        /* The rounding of the functional, a sum of up to thousands of terms near 1, divided by the step */
        const double rounding = 1e-14 * (1 + fabs(high)) / step;
        const double difference = fabs((double)found[e] - want);
        if (!(difference <= tolerance * largest + rounding))
            fail_msg("%s: gradient of %s[%zu] is %.12g, central differences give %.12g: off by %.3g, tolerance %.1g of "
                     "the largest, %.3g, plus %.1g of rounding",
                     test->name, what, e, (double)found[e], want, difference, tolerance, largest, rounding);
        if (difference > test->worst * largest && largest > 0) test->worst = difference / largest;
        test->elements++;
    }
    free(values);
}

static void subtract(fixture *test, px_real *found, px_tensor tensor) {
    px_real *other = px_test_download(test->device, tensor);
    for (size_t e = 0; e < px_tensor_elements(&tensor); e++) found[e] -= other[e];
    free(other);
}

/* ---- Convolutions ---- */

enum { ADD_ABSENT, ADD_PRESENT, ADD_ALIASED, ADDS };
static const char *const adds[] = {"no add", "add", "add aliased"};

typedef struct shape_case {
    px_grid grid;
    int in, out;
} shape_case;
static const shape_case shapes[] = {{{2, 3, 4}, 3, 5}, {{1, 1, 1}, 1, 4}, {{3, 1, 5}, 7, 1},
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
    px_tensor input_of_y; /* the contents of y before the convolution: add, when add is aliased to y */
} convolution;

static double convolve(fixture *test, const void *args) {
    const convolution *c = args;
    px_device *device = test->device;
    if (c->input_of_y.data)
        assert_ok(&test->ctx,
                  device->ops->copy(device, c->forward.y.data, c->input_of_y.data, px_tensor_bytes(&c->input_of_y)));
    assert_ok(&test->ctx, device->ops->convolve(device, &c->forward));
    return dot(test, c->forward.y, test->weighting);
}

static void away_from_zero(fixture *test, px_tensor tensor) {
    px_real *host = px_test_download(test->device, tensor);
    for (size_t e = 0; e < px_tensor_elements(&tensor); e++) host[e] += host[e] < 0 ? (px_real)-0.1 : (px_real)0.1;
    assert_ok(&test->ctx, test->device->ops->upload(test->device, tensor.data, host, px_tensor_bytes(&tensor)));
    assert_ok(&test->ctx, test->device->ops->synchronize(test->device));
    free(host);
}

static void check_input_gradient(fixture *test, const convolution *c, int add) {
    const px_convolve_args *f = &c->forward;
    const px_tensor dx = number_tensor(test, f->x.rows, f->x.columns, 11, 1);
    const px_tensor added = number_tensor(test, f->x.rows, f->x.columns, add == ADD_ALIASED ? 11 : 12, 1);
    assert_ok(&test->ctx,
              px_run(test->device, convolve_input_gradient, .grid = f->grid, .taps = f->taps, .relu = f->relu,
                     .dy = test->weighting, .weight = f->weight, .x = f->relu ? f->x : (px_tensor){0},
                     .add = add == ADD_ABSENT    ? (px_tensor){0}
                            : add == ADD_ALIASED ? dx
                                                 : added,
                     .dx = dx));
    px_real *found = px_test_download(test->device, dx);
    if (add != ADD_ABSENT) subtract(test, found, added);
    check(test, "x", f->x, found, linear_step, convolve, c);
    free(found);
}

static void check_weight_gradient(fixture *test, const convolution *c) {
    const px_convolve_args *f = &c->forward;
    const px_tensor dweight = number_tensor(test, f->weight.rows, f->weight.columns, 13, 1);
    const px_tensor dbias = f->bias.data ? number_tensor(test, f->bias.rows, f->bias.columns, 14, 1) : (px_tensor){0};
    px_real *before = px_test_download(test->device, dweight);
    assert_ok(&test->ctx,
              px_run(test->device, convolve_weight_gradient, .grid = f->grid, .taps = f->taps, .relu = f->relu,
                     .x = f->x, .dy = test->weighting, .dweight = dweight, .dbias = dbias));
    px_real *found = px_test_download(test->device, dweight);
    const size_t row = (size_t)dweight.columns, live = (size_t)(f->taps.live * f->x.columns);
    for (size_t e = 0; e < px_tensor_elements(&dweight); e++) {
        if (e % row < live) continue;
        if (found[e] != before[e])
            fail_msg("%s: dweight[%zu], past the live taps, was %.9g and became %.9g; it must keep what it held",
                     test->name, e, (double)before[e], (double)found[e]);
        found[e] = 0; /* forward never reads that weight */
    }
    check(test, "weight", f->weight, found, linear_step, convolve, c);
    free(before);
    free(found);
    if (!dbias.data) return;
    found = px_test_download(test->device, dbias);
    check(test, "bias", f->bias, found, linear_step, convolve, c);
    free(found);
}

/* With relu, each image has a bias of its own. */
static void check_convolution(fixture *test, const shape_case *shape, px_taps taps, bool relu, int add) {
    const size_t pixels = px_grid_pixels(&shape->grid), mark = test->arena.used;
    const size_t biases = relu ? (size_t)shape->grid.images : 1;
    convolution c = {.forward = {.grid = shape->grid, .taps = taps, .relu = relu}};
    snprintf(test->name, sizeof test->name,
             "convolve %d x %d x %d, %d to %d features, %d taps at (%d, %d)..., %s, %s, %zu biases", shape->grid.images,
             shape->grid.height, shape->grid.width, shape->in, shape->out, taps.live, taps.at[0].row, taps.at[0].column,
             relu ? "relu" : "no relu", adds[add], biases);
    c.forward.x = number_tensor(test, pixels, shape->in, 1, 1);
    if (relu) away_from_zero(test, c.forward.x);
    c.forward.weight = number_tensor(test, (size_t)shape->out, taps.stored * shape->in, 2, 1);
    c.forward.bias = number_tensor(test, biases, shape->out, 3, 1);
    if (add == ADD_ABSENT) c.forward.bias = (px_tensor){0};
    c.forward.y = number_tensor(test, pixels, shape->out, 4, 1);
    test->weighting = number_tensor(test, pixels, shape->out, 5, 1);
    const px_tensor added = number_tensor(test, pixels, shape->out, 6, 1);
    if (add == ADD_PRESENT) c.forward.add = added;
    if (add == ADD_ALIASED) c.forward.add = c.forward.y, c.input_of_y = added;
    check_input_gradient(test, &c, add);
    check_weight_gradient(test, &c);
    if (add != ADD_ABSENT) {
        px_real *found = px_test_download(test->device, test->weighting);
        check(test, "add", added, found, linear_step, convolve, &c);
        free(found);
    }
    px_arena_rewind(&test->arena, mark);
}

static void test_convolve(void **state) {
    (void)state;
    fixture test;
    if (!begin(&test)) skip();
    for (int s = 0; s < SHAPES; s++)
        for (int t = 0; t < TAPS; t++)
            for (int variant = 0; variant < 2 * ADDS; variant++)
                check_convolution(&test, &shapes[s], taps_of(t), variant >= ADDS, variant % ADDS);
    end(&test);
}

/* ---- Recurrences ---- */

enum { ROW, LEFT, RIGHT, BOTH_ROWS, BOTH_DIAGONALS, GEOMETRIES };
static const char *const geometries[] = {"rows", "left diagonals", "right diagonals", "rows twice",
                                         "diagonals from both sides"};

typedef struct recurrence_case {
    px_recurrence_args recurrence;
    px_tensor input[PX_MAX_DIRECTIONS];     /* pre-activations before the recurrent part, (P, 4 D) */
    px_tensor weighting[PX_MAX_DIRECTIONS]; /* of h, (P, D) */
} recurrence_case;

static double recurrence(fixture *test, const void *args) {
    const recurrence_case *c = args;
    px_device *device = test->device;
    double sum = 0;
    for (int d = 0; d < c->recurrence.directions; d++)
        assert_ok(&test->ctx, device->ops->copy(device, c->recurrence.direction[d].gates.data, c->input[d].data,
                                                px_tensor_bytes(&c->input[d])));
    assert_ok(&test->ctx, device->ops->recurrence_forward(device, &c->recurrence));
    for (int d = 0; d < c->recurrence.directions; d++) sum += dot(test, c->recurrence.direction[d].h, c->weighting[d]);
    return sum;
}

static recurrence_case make_recurrence(fixture *test, px_grid grid, int hidden, int geometry) {
    const bool rows = geometry == ROW || geometry == BOTH_ROWS;
    recurrence_case c = {.recurrence = {.grid = grid, .hidden = hidden, .first_tap = -1}};
    px_recurrence_args *s = &c.recurrence;
    s->directions = geometry >= BOTH_ROWS ? 2 : 1;
    s->steps = rows ? grid.height : grid.height + grid.width - 1;
    s->positions = rows ? grid.width : grid.height;
    s->skew = rows ? 0 : 1;
    s->length = rows ? grid.height : grid.width;
    s->taps = rows ? 3 : 2;
    s->temporary = px_arena_tensor(&test->arena, test->device->ops->recurrence_bytes(test->device, s), 1, PX_UINT8);
    const size_t pixels = px_grid_pixels(&grid);
    for (int d = 0; d < s->directions; d++) {
        const bool right = geometry == RIGHT || (geometry == BOTH_DIAGONALS && d == 1);
        const uint64_t seed = (uint64_t)(10 * d);
        px_recurrence_direction *direction = &s->direction[d];
        *direction = (px_recurrence_direction){.stride_step = grid.width, .stride_position = 1};
        if (!rows) *direction = (px_recurrence_direction){.stride_step = 1, .stride_position = grid.width - 1};
        if (right)
            *direction = (px_recurrence_direction){
                .origin = grid.width - 1, .stride_step = -1, .stride_position = grid.width + 1};
        direction->weight = number_tensor(test, (size_t)(4 * hidden), s->taps * hidden, seed + 1, 1);
        direction->gates = number_tensor(test, pixels, 4 * hidden, seed + 2, 1);
        direction->c = number_tensor(test, pixels, hidden, seed + 3, 1);
        direction->h = number_tensor(test, pixels, hidden, seed + 4, 1);
        direction->dh = number_tensor(test, pixels, hidden, seed + 5, 1);
        c.weighting[d] = direction->dh;
        c.input[d] = number_tensor(test, pixels, 4 * hidden, seed + 6, 2);
    }
    return c;
}

/* The taps of state_to_state as a convolution over h. */
static px_taps taps_of_direction(int geometry, int direction) {
    if (geometry == ROW || geometry == BOTH_ROWS) return taps_of(4);
    return taps_of(geometry == RIGHT || (geometry == BOTH_DIAGONALS && direction == 1) ? 6 : 5);
}

static void check_recurrence(fixture *test, px_grid grid, int hidden, int geometry) {
    const size_t mark = test->arena.used;
    snprintf(test->name, sizeof test->name, "recurrence of %s over %d x %d x %d, hidden %d", geometries[geometry],
             grid.images, grid.height, grid.width, hidden);
    const recurrence_case c = make_recurrence(test, grid, hidden, geometry);
    px_device *device = test->device;
    recurrence(test, &c);
    assert_ok(&test->ctx, device->ops->recurrence_backward(device, &c.recurrence));
    px_real *dinput[PX_MAX_DIRECTIONS], *dweight[PX_MAX_DIRECTIONS];
    for (int d = 0; d < c.recurrence.directions; d++) {
        const px_recurrence_direction *direction = &c.recurrence.direction[d];
        const px_tensor gradient = number_tensor(test, direction->weight.rows, direction->weight.columns, 7, 1);
        assert_ok(&test->ctx,
                  px_run(device, convolve_weight_gradient, .grid = grid, .taps = taps_of_direction(geometry, d),
                         .x = direction->h, .dy = direction->gates, .dweight = gradient));
        dinput[d] = px_test_download(device, direction->gates);
        dweight[d] = px_test_download(device, gradient);
    }
    for (int d = 0; d < c.recurrence.directions; d++) {
        check(test, d ? "input of direction 1" : "input of direction 0", c.input[d], dinput[d], nonlinear_step,
              recurrence, &c);
        check(test, d ? "weight of direction 1" : "weight of direction 0", c.recurrence.direction[d].weight, dweight[d],
              nonlinear_step, recurrence, &c);
        free(dinput[d]);
        free(dweight[d]);
    }
    px_arena_rewind(&test->arena, mark);
}

static void test_recurrence(void **state) {
    (void)state;
    static const px_grid grids[] = {{1, 1, 1}, {2, 1, 5}, {3, 5, 1}, {2, 3, 4}, {1, 6, 4}, {1, 2, 7}};
    static const int hiddens[] = {1, 5, 7};
    fixture test;
    if (!begin(&test)) skip();
    for (int geometry = 0; geometry < GEOMETRIES; geometry++)
        for (int i = 0; i < 18; i++) check_recurrence(&test, grids[i / 3], hiddens[i % 3], geometry);
    end(&test);
}

/* ---- Softmax and shifts ---- */

enum { VALUES = 9 };
static const px_real nll_scale = (px_real)0.37;
typedef struct likelihood_case {
    px_tensor logits, work, target, nll;
} likelihood_case;

static double likelihood(fixture *test, const void *args) {
    const likelihood_case *l = args;
    px_device *device = test->device;
    double sum = 0;
    assert_ok(&test->ctx, device->ops->copy(device, l->work.data, l->logits.data, px_tensor_bytes(&l->logits)));
    assert_ok(&test->ctx, px_run(device, softmax_nll, .logits = l->work, .target = l->target, .nll = l->nll));
    px_real *nll = px_test_download(device, l->nll);
    for (int r = 0; r < VALUES; r++) sum += (double)(nll_scale * nll[r]);
    free(nll);
    return sum;
}

static void test_softmax_nll(void **state) {
    (void)state;
    static const int levels[] = {2, 5, 256};
    static const double scales[] = {1, 40}; /* of the logits; with 40 the softmax is nearly certain */
    fixture test;
    if (!begin(&test)) skip();
    for (int i = 0; i < 6; i++) {
        const int count = levels[i / 2];
        uint8_t target[VALUES];
        for (size_t r = 0; r < VALUES; r++) target[r] = (uint8_t)px_test_pick(5, r, (size_t)count);
        snprintf(test.name, sizeof test.name, "softmax_nll, %d levels, logits within %g", count, scales[i % 2]);
        likelihood_case l = {.logits = number_tensor(&test, VALUES, count, 1, scales[i % 2]),
                             .work = number_tensor(&test, VALUES, count, 2, 1),
                             .target = px_arena_tensor(&test.arena, VALUES, 1, PX_UINT8),
                             .nll = number_tensor(&test, VALUES, 1, 3, 1)};
        assert_ok(&test.ctx, test.device->ops->upload(test.device, l.target.data, target, sizeof target));
        likelihood(&test, &l);
        assert_ok(&test.ctx, px_run(test.device, softmax_nll, .logits = l.work, .target = l.target, .nll = l.nll,
                                    .gradient = true, .scale = nll_scale));
        px_real *found = px_test_download(test.device, l.work);
        check(&test, "logits", l.logits, found, nonlinear_step, likelihood, &l);
        free(found);
    }
    end(&test);
}

static double shift(fixture *test, const void *args) {
    const px_shift_rows_args *s = args;
    assert_ok(&test->ctx, test->device->ops->shift_rows(test->device, s));
    return dot(test, s->y, test->weighting);
}

static void test_shift_rows(void **state) {
    (void)state;
    static const int downs[] = {1, -1, 0, 2};
    fixture test;
    if (!begin(&test)) skip();
    for (int i = 0; i < 4 * SHAPES * 2; i++) {
        const px_grid grid = shapes[i / 8].grid;
        const size_t pixels = px_grid_pixels(&grid), mark = test.arena.used;
        px_shift_rows_args s = {.grid = grid, .down = downs[i % 4], .x = number_tensor(&test, pixels, 3, 1, 1)};
        s.y = number_tensor(&test, pixels, 3, 2, 1);
        if (i / 4 % 2) s.add = number_tensor(&test, pixels, 3, 3, 1);
        test.weighting = number_tensor(&test, pixels, 3, 4, 1);
        snprintf(test.name, sizeof test.name, "shift_rows by %d over %d x %d x %d", s.down, grid.images, grid.height,
                 grid.width);
        const px_tensor dx = number_tensor(&test, pixels, 3, 5, 1);
        assert_ok(&test.ctx, px_run(test.device, shift_rows, .grid = grid, .down = -s.down, .x = test.weighting,
                                    .y = dx)); /* the backward that the Diagonal BiLSTM uses */
        px_real *found = px_test_download(test.device, dx);
        check(&test, "x", s.x, found, linear_step, shift, &s);
        free(found);
        px_arena_rewind(&test.arena, mark);
    }
    end(&test);
}

/* ---- Pixel shuffle ---- */

static double shuffle(fixture *test, const void *args) {
    const px_pixel_shuffle_args *s = args;
    assert_ok(&test->ctx, test->device->ops->pixel_shuffle(test->device, s));
    return dot(test, s->y, test->weighting);
}

/* The backward pass is that of the upsampling network: the relu's mask, then a sum of rows, and pixel_unshuffle. The
 * bias is too small to move an input of the relu to 0. */
static void check_shuffle(fixture *test, px_grid grid, int features) {
    const size_t pixels = px_grid_pixels(&grid), mark = test->arena.used;
    snprintf(test->name, sizeof test->name, "pixel_shuffle of %d x %d x %d, %d features", grid.images, grid.height,
             grid.width, features);
    const px_pixel_shuffle_args s = {.grid = grid,
                                     .x = number_tensor(test, pixels, 4 * features, 1, 1),
                                     .bias = number_tensor(test, 1, features, 2, 0.05),
                                     .y = number_tensor(test, 4 * pixels, features, 3, 1)};
    away_from_zero(test, s.x);
    test->weighting = number_tensor(test, 4 * pixels, features, 4, 1);
    shuffle(test, &s);
    const px_tensor masked = number_tensor(test, 4 * pixels, features, 5, 1),
                    dbias = number_tensor(test, 1, features, 6, 1),
                    dx = number_tensor(test, pixels, 4 * features, 7, 1);
    px_device *device = test->device;
    assert_ok(&test->ctx, px_run(device, bias_add_relu, .sum = test->weighting, .relu_mask = s.y, .y = masked));
    assert_ok(&test->ctx, px_run(device, sum_rows, .x = masked, .y = dbias));
    assert_ok(&test->ctx, px_run(device, pixel_unshuffle, .grid = grid, .y = masked, .x = dx));
    px_real *of_x = px_test_download(device, dx), *of_bias = px_test_download(device, dbias);
    check(test, "x", s.x, of_x, linear_step, shuffle, &s);
    check(test, "bias", s.bias, of_bias, linear_step, shuffle, &s);
    free(of_x);
    free(of_bias);
    px_arena_rewind(&test->arena, mark);
}

static void test_pixel_shuffle(void **state) {
    (void)state;
    fixture test;
    if (!begin(&test)) skip();
    for (int s = 0; s < SHAPES; s++) check_shuffle(&test, shapes[s].grid, shapes[s].out);
    end(&test);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_convolve),   cmocka_unit_test(test_recurrence),    cmocka_unit_test(test_softmax_nll),
        cmocka_unit_test(test_shift_rows), cmocka_unit_test(test_pixel_shuffle),
    };
    omp_set_num_threads(1); /* these tensors take less time than starting threads */
    return cmocka_run_group_tests_name("gradient of operations", tests, NULL, NULL);
}
