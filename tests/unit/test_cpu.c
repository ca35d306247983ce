/* The CPU backend alone: GEMMs with their epilogues through oneDNN and through CBLAS, blocks of colour groups,
 * convolutions, and recurrences in tasks. Operands are small integers, so that every sum is exact in float32 and in
 * bfloat16. */
#include "host/device/cpu/onednn.h"
#include "host/device/recurrence.h"
#include "kernels/portable/bfloat16.h"
#include "host/check/cases.h"
#include "tests/support/model.h"
#include <omp.h>
#include <string.h>

static px_context ctx;

static px_device *open_cpu(px_type activation) {
    px_device *device;
    assert_ok(&ctx, px_cpu_open(&ctx, activation, &device));
    return device;
}

/* -1, 0 or 1, mostly 0 with `sparse`. */
static int pick(uint64_t stream, size_t index, bool sparse) {
    const int n = (int)px_test_pick(stream, index, sparse ? 9 : 3);
    return n > 2 ? 0 : n - 1;
}

static void store(void *x, px_type type, size_t index, double value) {
    if (type == PX_BF16)
        ((uint16_t *)x)[index] = px_to_bfloat16((float)value);
    else
        ((px_real *)x)[index] = (px_real)value;
}

static double load(const void *x, px_type type, size_t index) {
    return type == PX_BF16 ? (double)px_from_bfloat16(((const uint16_t *)x)[index])
                           : (double)((const px_real *)x)[index];
}

static void *picks(size_t count, px_type type, uint64_t stream, bool sparse) {
    void *x = malloc(count * sizeof(px_real) + 64);
    assert_non_null(x);
    for (size_t i = 0; i < count; i++) store(x, type, i, pick(stream, i, sparse));
    return x;
}

/* ---- GEMM ---- */

typedef struct gemm_test {
    px_gemm_args args;
    px_cpu_epilogue epilogue;
    size_t size_c; /* elements, with the gaps between rows */
    void *c;       /* before the GEMM */
} gemm_test;

/* The exact element of the result. */
static double exact(const gemm_test *t, size_t row, size_t column) {
    const px_gemm_args *g = &t->args;
    const px_cpu_epilogue *e = &t->epilogue;
    double sum = (double)g->beta * load(t->c, g->result, row * g->ld_c + column);
    for (size_t k = 0; k < g->k; k++)
        sum += load(g->a, g->operands, g->transpose_a ? k * g->ld_a + row : row * g->ld_a + k) *
               load(g->b, g->operands, g->transpose_b ? column * g->ld_b + k : k * g->ld_b + column);
    if (e->bias) sum += load(e->bias, g->operands, column);
    if (e->add) sum += load(e->add, e->add_type, row * e->ld_add + column);
    return sum;
}

/* Elements of C outside the matrix must keep their values. */
static void expect_exact(const gemm_test *t, const void *found, const char *library) {
    const px_gemm_args *g = &t->args;
    for (size_t i = 0; i < t->size_c; i++) {
        const size_t row = i / g->ld_c, column = i % g->ld_c;
        const double want = column < g->n ? exact(t, row, column) : load(t->c, g->result, i);
        if (load(found, g->result, i) != want)
            fail_msg("%s: %zu x %zu x %zu, transposed %d %d, types %d to %d, beta %g%s%s: element (%zu, %zu) is %g, "
                     "expected exactly %g",
                     library, g->m, g->n, g->k, g->transpose_a, g->transpose_b, g->operands, g->result, (double)g->beta,
                     t->epilogue.bias ? ", bias" : "", t->epilogue.add ? ", add" : "", row, column,
                     load(found, g->result, i), want);
    }
}

static void check_gemm(px_device *device, const px_gemm_case *c, px_type operands, px_type result, bool bias, bool add,
                       px_type add_type) {
    const size_t ld_a = (c->transpose_a ? c->m : c->k) + c->pad, ld_b = (c->transpose_b ? c->k : c->n) + c->pad;
    const size_t ld_c = c->n + c->pad, rows_a = c->transpose_a ? c->k : c->m, rows_b = c->transpose_b ? c->n : c->k;
    void *a = picks(rows_a * ld_a, operands, 1, false), *b = picks(rows_b * ld_b, operands, 2, true);
    void *bias_row = picks(c->n, operands, 3, false), *added = picks(c->m * ld_c, add_type, 4, false);
    gemm_test t = {.size_c = c->m * ld_c, .c = picks(c->m * ld_c, result, 5, false)};
    t.args = (px_gemm_args){.transpose_a = c->transpose_a,
                            .transpose_b = c->transpose_b,
                            .m = c->m,
                            .n = c->n,
                            .k = c->k,
                            .operands = operands,
                            .result = result,
                            .a = a,
                            .b = b,
                            .ld_a = ld_a > 0 ? ld_a : 1,
                            .ld_b = ld_b > 0 ? ld_b : 1,
                            .ld_c = ld_c > 0 ? ld_c : 1,
                            .beta = c->beta};
    t.epilogue = (px_cpu_epilogue){
        .bias = bias ? bias_row : NULL, .add = add ? added : NULL, .ld_add = t.args.ld_c, .add_type = add_type};
    const size_t bytes = t.size_c * px_type_size(result);
    void *found = malloc(bytes + 64);
    assert_non_null(found);
    const px_cpu_thread *thread = px_cpu_thread_of(device);
    const bool is_empty = c->m == 0 || c->n == 0;
    for (int library = 0; library < 3; library++) { /* the library that the backend chooses, oneDNN, CBLAS */
        memcpy(found, t.c, bytes);
        t.args.c = found;
        if (library == 0) px_cpu_gemm_serial(device, &t.args, &t.epilogue);
        if (library == 1 && (!thread->onednn || is_empty || c->k == 0)) continue;
        if (library == 1) assert_true(px_onednn_gemm(thread->onednn, &t.args, &t.epilogue));
        if (library == 2 && !is_empty) px_cblas_gemm(&t.args, &t.epilogue, thread->scratch);
        expect_exact(&t, found, library == 0 ? "chosen" : library == 1 ? "oneDNN" : "CBLAS");
    }
    free(found);
    free(t.c);
    free(added);
    free(bias_row);
    free(b);
    free(a);
}

static void gemm_is_exact_with_its_epilogue(void **state) {
    (void)state;
    for (int bf16 = 0; bf16 < (sizeof(px_real) == sizeof(float) ? 2 : 1); bf16++) {
        const px_type operands = bf16 ? PX_BF16 : PX_REAL;
        px_device *device = open_cpu(operands);
        for (size_t i = 0; i < PX_COUNT(px_gemm_cases); i++)
            for (int epilogue = 0; epilogue < 4; epilogue++)
                for (int type = 0; type <= bf16; type++) {
                    const px_type result = type ? PX_BF16 : PX_REAL;
                    check_gemm(device, &px_gemm_cases[i], operands, result, epilogue & 1, epilogue & 2, result);
                    if (type && epilogue & 2)
                        check_gemm(device, &px_gemm_cases[i], operands, result, epilogue & 1, true, PX_REAL);
                }
        px_device_close(device);
    }
}

/* ---- Colour groups ---- */

enum { PIXELS = 70, INPUTS = 75, OUTPUTS = 400, COLOURS = 3 };

static px_tensor tensor_of(size_t rows, int columns, px_type type, uint64_t stream) {
    return px_tensor_of(picks(rows * (size_t)columns, type, stream, false), rows, columns, type);
}

static void expect_same(const char *what, px_tensor found, px_tensor want) {
    for (size_t i = 0; i < px_tensor_elements(&want); i++)
        if (load(found.data, found.type, i) != load(want.data, want.type, i))
            fail_msg("%s: element %zu is %g by colour groups, %g without", what, i, load(found.data, found.type, i),
                     load(want.data, want.type, i));
}

/* Convolutions of a masked weight give the same with and without `colours`. */
static void check_colours(px_type type, bool relu, bool add) {
    px_device *device = open_cpu(type);
    const px_grid grid = {1, 1, PIXELS};
    const px_taps taps = px_taps_rectangle(1, 1, 0);
    const px_tensor none = {0}, x = tensor_of(PIXELS, INPUTS, type, 1), dy = tensor_of(PIXELS, OUTPUTS, type, 2);
    const px_tensor weight = tensor_of(OUTPUTS, INPUTS, type, 3), bias = tensor_of(1, OUTPUTS, type, 4);
    const px_tensor add_y = tensor_of(PIXELS, OUTPUTS, type, 5), add_x = tensor_of(PIXELS, INPUTS, type, 6);
    for (size_t o = 0; o < OUTPUTS; o++)
        for (size_t i = 0; i < INPUTS; i++)
            if (i * COLOURS / INPUTS > o * COLOURS / OUTPUTS) store(weight.data, type, o * INPUTS + i, 0);
    px_tensor y[2], dx[2], dweight[2], dbias[2];
    for (int grouped = 0; grouped < 2; grouped++) {
        const int colours = grouped ? COLOURS : 0;
        y[grouped] = tensor_of(PIXELS, OUTPUTS, type, 7), dx[grouped] = tensor_of(PIXELS, INPUTS, type, 8);
        dweight[grouped] = tensor_of(OUTPUTS, INPUTS, PX_REAL, 9), dbias[grouped] = tensor_of(1, OUTPUTS, PX_REAL, 10);
        assert_ok(&ctx,
                  px_run(device, convolve, .grid = grid, .taps = taps, .colours = colours, .relu = relu, .relu_y = relu,
                         .x = x, .weight = weight, .bias = bias, .add = add ? add_y : none, .y = y[grouped]));
        assert_ok(&ctx,
                  px_run(device, convolve_input_gradient, .grid = grid, .taps = taps, .colours = colours, .relu = relu,
                         .dy = dy, .weight = weight, .x = x, .add = add ? add_x : none, .dx = dx[grouped]));
        assert_ok(&ctx, px_run(device, convolve_weight_gradient, .grid = grid, .taps = taps, .colours = colours,
                               .relu = relu, .x = x, .dy = dy, .dweight = dweight[grouped], .dbias = dbias[grouped]));
        assert_ok(&ctx, px_run(device, mask, .weight = dweight[grouped], .inputs = INPUTS, .colours = COLOURS,
                               .period = OUTPUTS));
    }
    expect_same("y", y[1], y[0]);
    expect_same("dx", dx[1], dx[0]);
    expect_same("dweight", dweight[1], dweight[0]);
    expect_same("dbias", dbias[1], dbias[0]);
    const px_tensor all[] = {x,    dy,    weight, bias,       add_y,      add_x,    y[0],
                             y[1], dx[0], dx[1],  dweight[0], dweight[1], dbias[0], dbias[1]};
    for (size_t i = 0; i < PX_COUNT(all); i++) free(all[i].data);
    px_device_close(device);
}

static void colour_groups_change_no_result(void **state) {
    (void)state;
    for (int bf16 = 0; bf16 < (sizeof(px_real) == sizeof(float) ? 2 : 1); bf16++)
        for (int i = 0; i < 4; i++) check_colours(bf16 ? PX_BF16 : PX_REAL, i & 1, i & 2);
}

/* ---- Convolution primitives ---- */

typedef struct convolution_case {
    px_grid grid;
    int rows, columns, centre, in, out;
} convolution_case;
/* The first ones have enough pixels for primitives, the last one does not. */
static const convolution_case convolution_cases[] = {
    {{3, 17, 19}, 2, 3, 1, 16, 20}, {{2, 16, 16}, 4, 7, 3, 1, 32}, {{5, 20, 13}, 4, 7, 3, 3, 7},
    {{1, 40, 8}, 2, 3, 1, 21, 16},  {{4, 5, 6}, 2, 3, 1, 16, 16},
};

/* The sum over live taps of the products of x and weight at one pixel (gradient: of dy and the transposed weight). */
static double exact_sum(const convolution_case *c, const px_taps *taps, px_tensor from, px_tensor weight, size_t pixel,
                        size_t channel, bool gradient) {
    const int sign = gradient ? -1 : 1, H = c->grid.height, W = c->grid.width;
    const int row = (int)pixel / W % H, column = (int)pixel % W;
    double sum = 0;
    for (int t = 0; t < taps->live; t++) {
        const int down = sign * taps->at[t].row, right = sign * taps->at[t].column;
        if (row + down < 0 || row + down >= H || column + right < 0 || column + right >= W) continue;
        const size_t there = (size_t)((int)pixel + down * W + right);
        for (int i = 0; i < from.columns; i++) {
            const size_t out = gradient ? (size_t)i : channel, in = gradient ? channel : (size_t)i;
            const size_t element = (out * (size_t)taps->stored + (size_t)t) * (size_t)c->in + in;
            sum += load(from.data, from.type, there * (size_t)from.columns + (size_t)i) *
                   load(weight.data, weight.type, element);
        }
    }
    return sum;
}

/* What a case adds to the products. */
enum { BIAS = 1, RELU = 2, ONTO = 4, BIAS_BY_IMAGE = 8 };

static void check_convolution(const convolution_case *c, px_type type, int with) {
    const bool relu = with & RELU, bias = with & (BIAS | BIAS_BY_IMAGE);
    const size_t biases = with & BIAS_BY_IMAGE ? (size_t)c->grid.images : 1;
    px_device *device = open_cpu(type);
    const px_taps taps = px_taps_rectangle(c->rows, c->columns, c->centre);
    const size_t pixels = px_grid_pixels(&c->grid);
    const px_tensor x = tensor_of(pixels, c->in, type, 51), dy = tensor_of(pixels, c->out, type, 52),
                    b = tensor_of(biases, c->out, type, 53), y = tensor_of(pixels, c->out, type, 54),
                    before = tensor_of(pixels, c->out, type, 54), dx = tensor_of(pixels, c->in, type, 55),
                    weight = tensor_of((size_t)c->out, taps.stored * c->in, type, 56);
    for (size_t o = 0; o < (size_t)c->out; o++) /* dead taps have weight 0 */
        for (int i = taps.live * c->in; i < weight.columns; i++)
            store(weight.data, type, o * (size_t)weight.columns + (size_t)i, 0);
    assert_ok(&ctx, px_run(device, convolve, .grid = c->grid, .taps = taps, .x = x, .weight = weight,
                           .bias = bias ? b : (px_tensor){0}, .add = with & ONTO ? y : (px_tensor){0}, .relu_y = relu,
                           .y = y));
    assert_ok(&ctx, px_run(device, convolve_input_gradient, .grid = c->grid, .taps = taps, .relu = relu, .dy = dy,
                           .weight = weight, .x = x, .dx = dx));
    for (size_t i = 0; i < px_tensor_elements(&y); i++) {
        const size_t channel = i % (size_t)c->out;
        const double sum = exact_sum(c, &taps, x, weight, i / (size_t)c->out, channel, false) +
                           (bias ? load(b.data, type, i * biases / px_tensor_elements(&y) * (size_t)c->out + channel)
                                 : 0) +
                           (with & ONTO ? load(before.data, type, i) : 0);
        const double want = relu && sum < 0 ? 0 : sum;
        if (load(y.data, type, i) != want)
            fail_msg("%d x %d taps, %d to %d features, with %d: y %zu is %g, expected %g", c->rows, c->columns, c->in,
                     c->out, with, i, load(y.data, type, i), want);
    }
    for (size_t i = 0; i < px_tensor_elements(&dx); i++) {
        const double sum = exact_sum(c, &taps, dy, weight, i / (size_t)c->in, i % (size_t)c->in, true);
        const double want = relu && load(x.data, type, i) <= 0 ? 0 : sum;
        if (load(dx.data, type, i) != want)
            fail_msg("%d x %d taps, %d to %d features: dx %zu is %g, expected %g", c->rows, c->columns, c->in, c->out,
                     i, load(dx.data, type, i), want);
    }
    const px_tensor all[] = {x, dy, b, y, before, dx, weight};
    for (size_t i = 0; i < PX_COUNT(all); i++) free(all[i].data);
    px_device_close(device);
}

static void convolutions_are_exact(void **state) {
    (void)state;
    static const int with[] = {0,    BIAS,        RELU,          BIAS | RELU,
                               ONTO, ONTO | RELU, BIAS_BY_IMAGE, BIAS_BY_IMAGE | ONTO | RELU};
    for (int bf16 = 0; bf16 < (sizeof(px_real) == sizeof(float) ? 2 : 1); bf16++)
        for (size_t c = 0; c < PX_COUNT(convolution_cases); c++)
            for (size_t i = 0; i < PX_COUNT(with); i++)
                check_convolution(&convolution_cases[c], bf16 ? PX_BF16 : PX_REAL, with[i]);
}

/* oneDNN has primitives for the models' convolutions, in both types; without them the test above tests im2col alone. */
static void convolutions_have_primitives(void **state) {
    (void)state;
    for (int bf16 = 0; bf16 < 2; bf16++) {
        px_device *device = open_cpu(bf16 ? PX_BF16 : PX_REAL);
        px_onednn *onednn = px_cpu_thread_of(device)->onednn;
        px_onednn_shape shape = {.height = 28, .width = 28, .in = 16, .out = 16, .rows = 2, .columns = 3, .centre = 1};
        shape.type = device->activation;
        for (shape.gradient = 0; onednn && shape.gradient < 2; shape.gradient++) {
            px_onednn_convolution *c = px_onednn_convolution_find(onednn, &shape, PX_CPU_WORKSPACE);
            assert_non_null(c);
            assert_ptr_equal(px_onednn_convolution_find(onednn, &shape, PX_CPU_WORKSPACE), c);
            assert_null(px_onednn_convolution_find(onednn, &shape, 100)); /* too little memory for the weight */
        }
        px_device_close(device);
        if (!onednn) print_message("SKIP primitives of %s: oneDNN has none here\n", bf16 ? "bfloat16" : "float32");
    }
}

/* ---- Recurrences ---- */

enum { TENSORS = 4 };

/* Runs a recurrence forward and backward on `threads` threads. all receives gates, c, h and dh of each direction. */
static void run_recurrence(px_recurrence_args s, px_type type, int threads, bool stepwise,
                           px_tensor all[PX_MAX_DIRECTIONS][TENSORS]) {
    const int before = omp_get_max_threads();
    const size_t pixels = px_grid_pixels(&s.grid);
    omp_set_num_threads(threads);
    px_device *device = open_cpu(type);
    const px_tensor weights = tensor_of((size_t)s.directions * PX_GATES * (size_t)s.hidden, s.taps * s.hidden, type,
                                        20);
    for (size_t i = 0; i < px_tensor_elements(&weights); i++) /* small, so that gates do not saturate */
        store(weights.data, type, i, 0.125 * load(weights.data, type, i));
    for (int d = 0; d < s.directions; d++) {
        px_recurrence_direction *at = &s.direction[d];
        const uint64_t stream = 30 + 10 * (uint64_t)d;
        at->weight = px_tensor_slice(weights, (size_t)(d * PX_GATES * s.hidden), (size_t)(PX_GATES * s.hidden));
        at->gates = all[d][0] = tensor_of(pixels, PX_GATES * s.hidden, type, stream);
        at->c = all[d][1] = tensor_of(pixels, s.hidden, PX_REAL, stream + 1);
        at->h = all[d][2] = tensor_of(pixels, s.hidden, type, stream + 2);
        at->dh = all[d][3] = tensor_of(pixels, s.hidden, type, stream + 3);
    }
    const size_t bytes = stepwise ? px_recurrence_bytes_stepwise(&s) : device->ops->recurrence_bytes(device, &s);
    s.temporary = px_tensor_of(aligned_alloc(256, (bytes + 255) / 256 * 256), bytes, 1, PX_UINT8);
    memset(s.temporary.data, 0xff, bytes);
    assert_ok(&ctx, (stepwise ? px_recurrence_forward_stepwise : device->ops->recurrence_forward)(device, &s));
    assert_ok(&ctx, (stepwise ? px_recurrence_backward_stepwise : device->ops->recurrence_backward)(device, &s));
    free(s.temporary.data);
    free(weights.data);
    px_device_close(device);
    omp_set_num_threads(before);
}

/* The same bits with 1, 2 and 3 threads, and the same values as stepwise over all images at once. The tolerance is a
 * few roundings of the type, because GEMMs of another shape may sum in another order. */
static void recurrence_is_independent_of_threads(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        const px_grid grid = {50, 12, 10}; /* several groups */
        const px_type type = i / 2 && sizeof(px_real) == sizeof(float) ? PX_BF16 : PX_REAL;
        const px_recurrence_args s = i % 2 ? px_diagonal_recurrence(grid, 64) : px_row_recurrence(grid, 64);
        const double tolerance = type == PX_BF16 ? 4.0 / 256 : sizeof(px_real) == sizeof(float) ? 1e-5 : 1e-13;
        px_tensor want[PX_MAX_DIRECTIONS][TENSORS], first[PX_MAX_DIRECTIONS][TENSORS],
            found[PX_MAX_DIRECTIONS][TENSORS];
        run_recurrence(s, type, 2, true, want);
        run_recurrence(s, type, 1, false, first);
        for (int d = 0; d < s.directions; d++)
            for (int t = 0; t < TENSORS; t++)
                for (size_t e = 0; e < px_tensor_elements(&want[d][t]); e++) {
                    const double a = load(first[d][t].data, first[d][t].type, e);
                    const double b = load(want[d][t].data, want[d][t].type, e);
                    if (!(a - b <= tolerance && b - a <= tolerance))
                        fail_msg("case %d, direction %d, tensor %d, element %zu: %g, stepwise %g, tolerance %g", i, d,
                                 t, e, a, b, tolerance);
                }
        for (int threads = 2; threads <= 3; threads++) {
            run_recurrence(s, type, threads, false, found);
            for (int d = 0; d < s.directions; d++)
                for (int t = 0; t < TENSORS; t++) {
                    assert_memory_equal(found[d][t].data, first[d][t].data, px_tensor_bytes(&first[d][t]));
                    free(found[d][t].data);
                }
        }
        for (int d = 0; d < s.directions; d++)
            for (int t = 0; t < TENSORS; t++) free(want[d][t].data), free(first[d][t].data);
    }
}

/* A model reserves memory for its largest batch; smaller ones must fit. */
static void smaller_batches_need_no_more_memory(void **state) {
    (void)state;
    px_device *device = open_cpu(PX_REAL);
    for (int images = 1; images < 60; images++)
        for (int diagonal = 0; diagonal < 2; diagonal++) {
            const px_grid fewer = {images, 6, 5}, more = {images + 1, 6, 5};
            const px_recurrence_args a = diagonal ? px_diagonal_recurrence(fewer, 40) : px_row_recurrence(fewer, 40);
            const px_recurrence_args b = diagonal ? px_diagonal_recurrence(more, 40) : px_row_recurrence(more, 40);
            assert_true(device->ops->recurrence_bytes(device, &a) <= device->ops->recurrence_bytes(device, &b));
        }
    px_device_close(device);
}

/* Each thread of a team has memory of its own, also within a region of one thread, as a sampler of one group has. */
static void threads_share_no_memory(void **state) {
    enum { THREADS = 3 };
    int found[THREADS] = {0};
    const int before = omp_get_max_threads();
    (void)state;
    omp_set_num_threads(THREADS);
    px_device *device = open_cpu(PX_REAL);
#pragma omp parallel num_threads(1)
#pragma omp parallel num_threads(THREADS)
    found[omp_get_thread_num()] = px_cpu_thread_of(device)->index;
    for (int i = 0; i < THREADS; i++) assert_int_equal(found[i], i);
    px_device_close(device);
    omp_set_num_threads(before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gemm_is_exact_with_its_epilogue),
        cmocka_unit_test(colour_groups_change_no_result),
        cmocka_unit_test(convolutions_are_exact),
        cmocka_unit_test(convolutions_have_primitives),
        cmocka_unit_test(recurrence_is_independent_of_threads),
        cmocka_unit_test(smaller_batches_need_no_more_memory),
        cmocka_unit_test(threads_share_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
