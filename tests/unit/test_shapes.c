/* Operations on shapes that are cut into several tiles, panels and segments, and on values at the ends of their range.
 * Operands are small whole numbers, so that every order of additions gives the same sum and results are exact. */
#include "tests/support/model.h"
#include "kernels/portable/bfloat16.h"
#include "host/sample/decode.h"
#include <math.h>
#include <string.h>

typedef struct bench {
    px_context ctx;
    px_device *device;
    px_arena arena;
} bench;

static void open_bench(bench *b, px_type activation) {
    *b = (bench){0};
    b->device = px_test_device_of(&b->ctx, activation);
    assert_ok(&b->ctx, px_arena_allocate(&b->arena, b->device, 64 << 20));
}

static void close_bench(bench *b) {
    px_arena_free(&b->arena);
    px_device_close(b->device);
}

/* A tensor on the device, and the same numbers on the host. */
typedef struct numbers {
    px_tensor tensor;
    double *host;
} numbers;

static void upload(bench *b, const numbers *n) {
    const size_t count = px_tensor_elements(&n->tensor);
    void *stored = malloc(px_tensor_bytes(&n->tensor) + 1);
    assert_non_null(stored);
    for (size_t i = 0; i < count; i++) {
        if (n->tensor.type == PX_BF16)
            ((uint16_t *)stored)[i] = px_to_bfloat16((float)n->host[i]);
        else
            ((px_real *)stored)[i] = (px_real)n->host[i];
    }
    assert_ok(&b->ctx, b->device->ops->upload(b->device, n->tensor.data, stored, px_tensor_bytes(&n->tensor)));
    assert_ok(&b->ctx, b->device->ops->synchronize(b->device));
    free(stored);
}

/* Whole numbers from -2 to 2. */
static numbers whole(bench *b, size_t rows, size_t columns, px_type type, uint64_t seed) {
    numbers n = {.tensor = px_arena_tensor(&b->arena, rows, (int)columns, type)};
    const size_t count = px_tensor_elements(&n.tensor);
    n.host = malloc(count * sizeof *n.host + 1);
    assert_non_null(n.host);
    for (size_t i = 0; i < count; i++) n.host[i] = (double)px_test_pick(seed, i, 5) - 2;
    upload(b, &n);
    return n;
}

/* The tensor must hold what the host's copy holds. */
static void expect(bench *b, const numbers *n, const char *what) {
    px_real *found = px_test_download(b->device, n->tensor);
    for (size_t i = 0; i < px_tensor_elements(&n->tensor); i++)
        if ((double)found[i] != n->host[i])
            fail_msg("%s: element %zu (row %zu, column %zu) is %.9g, expected exactly %.9g", what, i,
                     i / (size_t)n->tensor.columns, i % (size_t)n->tensor.columns, (double)found[i], n->host[i]);
    free(found);
}

/* --- Matrix products ---------------------------------------------------------------------------------------------- */

typedef struct product {
    size_t m, n, k;
    bool transpose_a, transpose_b;
    int batch;
} product;

static double element_of_product(const product *p, const double *a, const double *b, size_t row, size_t column) {
    double sum = 0;
    for (size_t i = 0; i < p->k; i++)
        sum += a[p->transpose_a ? i * p->m + row : row * p->k + i] *
               b[p->transpose_b ? column * p->k + i : i * p->n + column];
    return sum;
}

static void check_product(bench *b, const product *p, px_type operands, px_type result) {
    const size_t mark = b->arena.used, batch = (size_t)p->batch;
    const numbers a = whole(b, batch * p->m, p->k, operands, 1), second = whole(b, batch * p->k, p->n, operands, 2);
    const numbers c = whole(b, batch * p->m, p->n, result, 3);
    assert_ok(&b->ctx, px_run(b->device, gemm, .transpose_a = p->transpose_a, .transpose_b = p->transpose_b, .m = p->m,
                              .n = p->n, .k = p->k, .operands = operands, .result = result, .a = a.tensor.data,
                              .b = second.tensor.data, .c = c.tensor.data, .ld_a = p->transpose_a ? p->m : p->k,
                              .ld_b = p->transpose_b ? p->k : p->n, .ld_c = p->n, .beta = 1, .batch = p->batch,
                              .stride_a = (ptrdiff_t)(p->m * p->k), .stride_b = (ptrdiff_t)(p->k * p->n),
                              .stride_c = (ptrdiff_t)(p->m * p->n)));
    for (size_t i = 0; i < px_tensor_elements(&c.tensor); i++) {
        const size_t problem = i / (p->m * p->n), in_problem = i % (p->m * p->n);
        c.host[i] += element_of_product(p, a.host + problem * p->m * p->k, second.host + problem * p->k * p->n,
                                        in_problem / p->n, in_problem % p->n);
        if (result == PX_BF16) c.host[i] = (double)px_from_bfloat16(px_to_bfloat16((float)c.host[i]));
    }
    char what[128];
    snprintf(what, sizeof what, "gemm %zu x %zu x %zu, transposed %d %d, %s to %s", p->m, p->n, p->k, p->transpose_a,
             p->transpose_b, operands == PX_BF16 ? "bfloat16" : "real", result == PX_BF16 ? "bfloat16" : "real");
    expect(b, &c, what);
    free(a.host), free(second.host), free(c.host);
    px_arena_rewind(&b->arena, mark);
}

/* Rows, columns and depth past one tile and one block, in each transposition. */
static void test_products(void **state) {
    (void)state;
    static const product products[] = {
        {150, 70, 9, false, false, 1},  {150, 70, 9, true, false, 2},    {70, 1100, 5, false, true, 1},
        {1100, 3, 4, true, true, 1},    {300, 270, 280, false, true, 1}, {300, 270, 280, true, false, 1},
        {130, 3, 520, false, false, 3},
    };
    bench b;
    open_bench(&b, PX_BF16);
    for (size_t i = 0; i < sizeof products / sizeof *products; i++) {
        check_product(&b, &products[i], PX_REAL, PX_REAL);
        check_product(&b, &products[i], PX_BF16, PX_REAL);
        check_product(&b, &products[i], PX_BF16, PX_BF16);
    }
    close_bench(&b);
}

/* --- Convolutions ------------------------------------------------------------------------------------------------- */

enum { IN = 5, OUT = 150 };

/* The pixel that a tap reads from `pixel`, or -1 outside the image. */
static long neighbour(const px_grid *grid, size_t pixel, px_tap tap) {
    const int W = grid->width, in_image = (int)(pixel % (size_t)(grid->height * W));
    const int row = in_image / W + tap.row, column = in_image % W + tap.column;
    if (row < 0 || row >= grid->height || column < 0 || column >= W) return -1;
    return (long)pixel + tap.row * W + tap.column;
}

typedef struct convolution {
    px_grid grid;
    px_taps taps;
    size_t pixels, width; /* of a row of the weight */
    numbers x, weight, dy, y, dx, dweight, dbias;
} convolution;

/* All three results by definition, tap by tap. */
static void compute(convolution *c) {
    memset(c->y.host, 0, c->pixels * OUT * sizeof(double));
    memset(c->dx.host, 0, c->pixels * IN * sizeof(double));
    memset(c->dbias.host, 0, OUT * sizeof(double));
    for (size_t o = 0; o < OUT; o++)
        memset(c->dweight.host + o * c->width, 0, (size_t)c->taps.live * IN * sizeof(double));
    for (size_t p = 0; p < c->pixels; p++)
        for (size_t o = 0; o < OUT; o++) {
            const double slope = c->dy.host[p * OUT + o];
            c->dbias.host[o] += slope;
            for (int t = 0; t < c->taps.live; t++) {
                const long from = neighbour(&c->grid, p, c->taps.at[t]);
                for (size_t i = 0; from >= 0 && i < IN; i++) {
                    const size_t w = o * c->width + (size_t)t * IN + i, x = (size_t)from * IN + i;
                    c->y.host[p * OUT + o] += c->weight.host[w] * c->x.host[x];
                    c->dx.host[x] += c->weight.host[w] * slope;
                    c->dweight.host[w] += slope * c->x.host[x];
                }
            }
        }
}

static void check_convolution(px_grid grid, px_taps taps) {
    bench b;
    open_bench(&b, PX_REAL);
    convolution c = {.grid = grid, .taps = taps, .pixels = px_grid_pixels(&grid), .width = (size_t)taps.stored * IN};
    c.x = whole(&b, c.pixels, IN, PX_REAL, 1), c.dy = whole(&b, c.pixels, OUT, PX_REAL, 2);
    c.weight = whole(&b, OUT, c.width, PX_REAL, 3);
    for (size_t w = 0; w < OUT * c.width; w++) /* what is not live is 0 */
        if (w % c.width >= (size_t)taps.live * IN) c.weight.host[w] = 0;
    upload(&b, &c.weight);
    c.y = whole(&b, c.pixels, OUT, PX_REAL, 4), c.dx = whole(&b, c.pixels, IN, PX_REAL, 5);
    c.dweight = whole(&b, OUT, c.width, PX_REAL, 6), c.dbias = whole(&b, 1, OUT, PX_REAL, 7);
    assert_ok(&b.ctx, px_run(b.device, convolve, .grid = grid, .taps = taps, .x = c.x.tensor, .weight = c.weight.tensor,
                             .y = c.y.tensor));
    assert_ok(&b.ctx, px_run(b.device, convolve_input_gradient, .grid = grid, .taps = taps, .dy = c.dy.tensor,
                             .weight = c.weight.tensor, .dx = c.dx.tensor));
    assert_ok(&b.ctx, px_run(b.device, convolve_weight_gradient, .grid = grid, .taps = taps, .x = c.x.tensor,
                             .dy = c.dy.tensor, .dweight = c.dweight.tensor, .dbias = c.dbias.tensor));
    compute(&c);
    expect(&b, &c.y, "convolve");
    expect(&b, &c.dx, "gradient of a convolution's input");
    expect(&b, &c.dweight, "gradient of a convolution's weight");
    expect(&b, &c.dbias, "gradient of a convolution's bias");
    numbers *const all[] = {&c.x, &c.dy, &c.weight, &c.y, &c.dx, &c.dweight, &c.dbias};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]->host);
    close_bench(&b);
}

/* 75 pixels are one panel, whose outputs are cut into tiles; 675 are several panels and segments, of unequal lengths.
 */
static void test_convolutions(void **state) {
    (void)state;
    static const px_grid grids[] = {{1, 5, 15}, {3, 15, 15}, {1, 1, 75}};
    for (size_t i = 0; i < sizeof grids / sizeof *grids; i++) {
        check_convolution(grids[i], px_taps_rectangle(2, 3, 1));
        check_convolution(grids[i], px_taps_rectangle(1, 1, 0));
    }
}

/* Segments of 75 rows, and lengths that differ by one. */
static void test_segments(void **state) {
    (void)state;
    static const size_t shapes[][2] = {{75, 1}, {75, 2}, {150, 2}, {301, 4}, {2049, 33}};
    bench b;
    open_bench(&b, PX_REAL);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const size_t rows = shapes[i][0], segments = shapes[i][1];
        enum { COLUMNS = 7 };
        const numbers x = whole(&b, rows, COLUMNS, PX_REAL, i), y = whole(&b, segments, COLUMNS, PX_REAL, 9);
        assert_ok(&b.ctx, px_run(b.device, sum_rows, .x = x.tensor, .y = y.tensor));
        memset(y.host, 0, segments * COLUMNS * sizeof(double));
        for (size_t s = 0; s < segments; s++)
            for (size_t r = s * rows / segments; r < (s + 1) * rows / segments; r++)
                for (size_t c = 0; c < COLUMNS; c++) y.host[s * COLUMNS + c] += x.host[r * COLUMNS + c];
        expect(&b, &y, "sum_rows");
        free(x.host), free(y.host);
    }
    close_bench(&b);
}

/* --- Values ------------------------------------------------------------------------------------------------------- */

/* A NaN must reach the loss, where it is reported: relu may not turn it into 0. cuBLASLt's and cuDNN's relu may, so the
 * convolution is asked on the CPU alone. */
static void test_nan_passes_relu(void **state) {
    (void)state;
    const px_grid grid = {1, 1, 3};
    const px_taps pixel = px_taps_rectangle(1, 1, 0);
    bench b;
    open_bench(&b, PX_REAL);
    const numbers x = whole(&b, 3, 1, PX_REAL, 1), weight = whole(&b, 1, 1, PX_REAL, 2);
    x.host[0] = -1, x.host[1] = NAN, x.host[2] = 2, weight.host[0] = 1;
    upload(&b, &x), upload(&b, &weight);
    px_tensor y[4];
    for (int i = 0; i < 4; i++) y[i] = px_arena_tensor(&b.arena, 3, 1, PX_REAL);
    const px_tensor zero = px_arena_tensor(&b.arena, 3, 1, PX_REAL), bias = px_arena_tensor(&b.arena, 1, 1, PX_REAL);
    assert_ok(&b.ctx, b.device->ops->clear(b.device, zero.data, px_tensor_bytes(&zero)));
    assert_ok(&b.ctx, b.device->ops->clear(b.device, bias.data, px_tensor_bytes(&bias)));
    assert_ok(&b.ctx, px_run(b.device, im2col, .grid = grid, .taps = pixel, .relu = true, .x = x.tensor, .y = y[0]));
    assert_ok(&b.ctx, px_run(b.device, bias_add_relu, .relu = true, .sum = x.tensor, .y = y[1]));
    assert_ok(&b.ctx, px_run(b.device, convolve, .grid = grid, .taps = pixel, .relu_y = true, .x = x.tensor,
                             .weight = weight.tensor, .y = y[2]));
    assert_ok(&b.ctx,
              px_run(b.device, activate, .sum = zero, .bias = bias, .add = x.tensor, .relu_out = y[3], .count = 1));
    static const char *const names[] = {"im2col", "bias_add_relu", "convolve", "activate"};
    for (int i = 0; i < 4; i++) {
        if (i == 2 && strcmp(b.device->kind, "cpu") != 0) continue;
        px_real *found = px_test_download(b.device, y[i]);
        if (found[0] != 0 || !isnan(found[1]) || found[2] != 2)
            fail_msg("%s: relu of -1, NaN, 2 is %g, %g, %g", names[i], (double)found[0], (double)found[1],
                     (double)found[2]);
        free(found);
    }
    free(x.host), free(weight.host);
    close_bench(&b);
}

/* Logits whose exponentials are 0 in float32 when the largest is not taken off first. */
static void test_low_logits(void **state) {
    (void)state;
    enum { ROWS = 4, LEVELS = 5 };
    static const double base[ROWS] = {-88, -120, -1000, 95};
    bench b;
    open_bench(&b, PX_REAL);
    const numbers logits = whole(&b, ROWS, LEVELS, PX_REAL, 1), nll = whole(&b, ROWS, 1, PX_REAL, 2);
    const px_tensor target = px_arena_tensor(&b.arena, ROWS, 1, PX_UINT8),
                    image = px_arena_tensor(&b.arena, ROWS, 1, PX_UINT8),
                    sampling = px_arena_tensor(&b.arena, 1, PX_SAMPLE_NUMBERS, PX_FLOAT64);
    const uint8_t levels[ROWS] = {0, 4, 2, 3};
    for (size_t e = 0; e < ROWS * LEVELS; e++) logits.host[e] += base[e / LEVELS];
    upload(&b, &logits);
    assert_ok(&b.ctx, b.device->ops->upload(b.device, target.data, levels, ROWS));
    uint8_t drawn[ROWS];
    assert_ok(&b.ctx, px_sample_upload_scalars(b.device, sampling, 0, 0.01, 1, 0));
    assert_ok(&b.ctx, px_run(b.device, sample, .logits = logits.tensor, .image = image, .numbers = sampling,
                             .levels = LEVELS, .row_values = 1));
    assert_ok(&b.ctx, b.device->ops->download(b.device, drawn, image.data, ROWS));
    assert_ok(&b.ctx, px_run(b.device, softmax_nll, .logits = logits.tensor, .target = target, .nll = nll.tensor));
    px_real *found = px_test_download(b.device, nll.tensor);
    for (size_t r = 0; r < ROWS; r++) {
        const double *row = logits.host + r * LEVELS;
        double most = row[0], sum = 0;
        for (int l = 0; l < LEVELS; l++) most = row[l] > most ? row[l] : most;
        for (int l = 0; l < LEVELS; l++) sum += exp(row[l] - most);
        const double want = log(sum) + most - row[levels[r]];
        if (!(fabs((double)found[r] - want) <= 1e-4))
            fail_msg("row %zu, logits near %g: %.9g nats, expected %.9g", r, base[r], (double)found[r], want);
        if (row[drawn[r]] != most)
            fail_msg("row %zu, logits near %g: level %d was sampled, which is not the likeliest", r, base[r], drawn[r]);
    }
    free(found), free(logits.host), free(nll.host);
    close_bench(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),        cmocka_unit_test(test_convolutions), cmocka_unit_test(test_segments),
        cmocka_unit_test(test_nan_passes_relu), cmocka_unit_test(test_low_logits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
