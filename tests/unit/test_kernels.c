/* Kernels on small tensors whose results are known exactly, and the random numbers behind them. Whatever device the
 * tests run on. */
#include "tests/support/model.h"
#include "host/sample/decode.h"
#include <math.h>
#include <omp.h>
#include <string.h>

typedef struct px_desk {
    px_context ctx;
    px_device *device;
    px_arena arena;
} px_desk;

static void begin(px_desk *desk) {
    *desk = (px_desk){0};
    desk->device = px_test_device(&desk->ctx);
    assert_ok(&desk->ctx, px_arena_allocate(&desk->arena, desk->device, 16 << 20));
}

static void end(px_desk *desk) {
    px_arena_free(&desk->arena);
    px_device_close(desk->device);
}

static void put(px_desk *desk, px_tensor tensor, const void *host) {
    assert_ok(&desk->ctx, desk->device->ops->upload(desk->device, tensor.data, host, px_tensor_bytes(&tensor)));
    assert_ok(&desk->ctx, desk->device->ops->synchronize(desk->device));
}

/* A map of reals first, first + 1, first + 2, ... */
static px_tensor counting_from(px_desk *desk, int first, size_t rows, int columns) {
    const px_tensor tensor = px_arena_tensor(&desk->arena, rows, columns, PX_REAL);
    px_real *host = malloc(px_tensor_bytes(&tensor));
    assert_non_null(host);
    for (size_t e = 0; e < px_tensor_elements(&tensor); e++) host[e] = (px_real)first + (px_real)e;
    put(desk, tensor, host);
    free(host);
    return tensor;
}

static px_tensor counting(px_desk *desk, size_t rows, int columns) { return counting_from(desk, 1, rows, columns); }

static void expect(const char *what, size_t element, double found, double want) {
    if (found != want) fail_msg("%s: element %zu is %.17g, expected exactly %.17g", what, element, found, want);
}

/* --- Masks -------------------------------------------------------------------------------------------------------- */

/* Spec: group(f) = floor(f * C / F); kept at the centre when group(a) < group(b), mask A, or <=, mask B; taps before
 * the centre are kept whole, those after it not at all. */
static void check_mask(px_desk *desk, int taps, int centre, int inputs, int gates, int period, int colours,
                       bool strict) {
    const size_t mark = desk->arena.used, outputs = (size_t)(gates * period);
    const px_tensor weight = counting(desk, outputs, taps * inputs);
    assert_ok(&desk->ctx, px_run(desk->device, mask, .weight = weight, .inputs = inputs, .centre = centre,
                                 .colours = colours, .period = period, .strict = strict));
    px_real *found = px_test_download(desk->device, weight);
    char what[128];
    snprintf(what, sizeof what, "mask %c of %d x %d outputs, tap %d of %d, %d inputs, %d colours", strict ? 'A' : 'B',
             gates, period, centre, taps, inputs, colours);
    size_t e = 0;
    for (size_t b = 0; b < outputs; b++)
        for (int t = 0; t < taps; t++)
            for (int a = 0; a < inputs; a++, e++) {
                const double from = floor((double)a * colours / inputs);
                const double to = floor((double)(b % (size_t)period) * colours / period);
                const bool kept = t < centre || (t == centre && (strict ? from < to : from <= to));
                expect(what, e, (double)found[e], kept ? (double)(e + 1) : 0);
            }
    free(found);
    px_arena_rewind(&desk->arena, mark);
}

static void test_mask(void **state) {
    (void)state;
    static const int features[] = {1, 2, 3, 4, 5, 7, 10, 16, 33};
    enum { FEATURES = sizeof features / sizeof features[0] };
    px_desk desk;
    begin(&desk);
    for (int i = 0; i < FEATURES * FEATURES; i++)
        for (int variant = 0; variant < 8; variant++) {
            const int inputs = features[i % FEATURES], period = features[i / FEATURES];
            const int colours = variant & 1 ? 3 : 1, gates = variant & 2 ? 4 : 1;
            check_mask(&desk, 1, 0, inputs, gates, period, colours, variant & 4);
            check_mask(&desk, 6, 4, inputs, gates, period, colours, variant & 4);
        }
    check_mask(&desk, 28, 24, 3, 1, 10, 3, true); /* the stem's */
    end(&desk);
}

/* --- Pixels ------------------------------------------------------------------------------------------------------- */

static void check_im2col(px_desk *desk, px_grid grid, bool mirror, bool relu, size_t first) {
    static const px_taps taps = {.stored = 6, .live = 5, .at = {{-1, -1}, {-1, 0}, {-1, 1}, {0, -1}, {0, 0}, {9, 9}}};
    enum { FEATURES = 3 };
    const size_t pixels = px_grid_pixels(&grid), rows = pixels - first, mark = desk->arena.used;
    const px_tensor x = px_test_tensor(&desk->arena, pixels, FEATURES, 1, 1);
    const px_tensor y = px_test_tensor(&desk->arena, rows * 5, FEATURES, 2, 1);
    assert_ok(&desk->ctx, px_run(desk->device, im2col, .grid = grid, .taps = taps, .relu = relu, .mirror = mirror,
                                 .first = first, .x = x, .y = y));
    px_real *from = px_test_download(desk->device, x), *found = px_test_download(desk->device, y);
    char what[128];
    snprintf(what, sizeof what, "im2col from %d x %d x %d, pixel %zu on%s%s", grid.images, grid.height, grid.width,
             first, mirror ? ", mirrored" : "", relu ? ", with relu" : "");
    const int H = grid.height, W = grid.width;
    for (size_t e = 0; e < rows * 5 * FEATURES; e++) {
        const px_tap tap = taps.at[e / FEATURES % 5];
        const int pixel = (int)(first + e / FEATURES / 5), sign = mirror ? -1 : 1;
        const int i = pixel / W % H + sign * tap.row, j = pixel % W + sign * tap.column;
        px_real want = 0;
        if (i >= 0 && i < H && j >= 0 && j < W)
            want = from[(size_t)((pixel / (H * W) * H + i) * W + j) * FEATURES + e % FEATURES];
        expect(what, e, (double)found[e], relu && want < 0 ? 0 : (double)want);
    }
    free(from);
    free(found);
    px_arena_rewind(&desk->arena, mark);
}

static const px_grid grids[] = {{1, 1, 1}, {2, 3, 4}, {3, 1, 5}, {2, 5, 1}, {0, 3, 4}};
enum { GRIDS = sizeof grids / sizeof grids[0] };

static void test_im2col(void **state) {
    (void)state;
    px_desk desk;
    begin(&desk);
    for (int i = 0; i < 4 * GRIDS; i++) {
        const px_grid grid = grids[i / 4];
        check_im2col(&desk, grid, i & 1, i & 2, 0);
        check_im2col(&desk, grid, i & 1, i & 2, px_grid_pixels(&grid) / 2);
    }
    end(&desk);
}

enum { ADD_ABSENT, ADD_PRESENT, ADD_ALIASED, ADDS };

static void test_shift_rows(void **state) {
    (void)state;
    static const int downs[] = {-2, -1, 0, 1, 2, 7};
    enum { FEATURES = 3, DOWNS = sizeof downs / sizeof downs[0] };
    px_desk desk;
    begin(&desk);
    for (int i = 0; i < GRIDS * DOWNS * ADDS; i++) {
        const px_grid grid = grids[i / DOWNS / ADDS];
        const int down = downs[i / ADDS % DOWNS], add = i % ADDS;
        const size_t pixels = px_grid_pixels(&grid), mark = desk.arena.used;
        const px_tensor x = px_test_tensor(&desk.arena, pixels, FEATURES, 1, 1);
        const px_tensor added = px_test_tensor(&desk.arena, pixels, FEATURES, 2, 1);
        const px_tensor y = px_test_tensor(&desk.arena, pixels, FEATURES, 2, 1); /* as added, for the alias */
        const px_tensor adds[ADDS] = {{0}, added, y};
        assert_ok(&desk.ctx,
                  px_run(desk.device, shift_rows, .grid = grid, .down = down, .x = x, .add = adds[add], .y = y));
        px_real *from = px_test_download(desk.device, x), *plus = px_test_download(desk.device, added);
        px_real *found = px_test_download(desk.device, y);
        const size_t row = (size_t)grid.width * FEATURES;
        for (size_t e = 0; e < pixels * FEATURES; e++) {
            const int source = (int)(e / row % (size_t)grid.height) - down;
            const bool inside = source >= 0 && source < grid.height;
            const px_real moved = inside ? from[(ptrdiff_t)e - down * (ptrdiff_t)row] : 0;
            expect("shift_rows", e, (double)found[e], (double)(moved + (add == ADD_ABSENT ? 0 : plus[e])));
        }
        free(from);
        free(plus);
        free(found);
        px_arena_rewind(&desk.arena, mark);
    }
    end(&desk);
}

static void test_normalize(void **state) {
    (void)state;
    static const int levels[] = {2, 3, 5, 16, 256};
    px_desk desk;
    begin(&desk);
    for (int i = 0; i < 5; i++) {
        const int count = levels[i];
        const px_tensor image = px_arena_tensor(&desk.arena, (size_t)count, 1, PX_UINT8);
        const px_tensor values = px_arena_tensor(&desk.arena, (size_t)count, 1, PX_REAL);
        uint8_t host[256];
        for (int l = 0; l < count; l++) host[l] = (uint8_t)l;
        put(&desk, image, host);
        assert_ok(&desk.ctx, px_run(desk.device, normalize, .image = image, .values = values, .levels = count));
        px_real *found = px_test_download(desk.device, values);
        expect("value of level 0", 0, (double)found[0], -1);
        expect("value of the last level", (size_t)count - 1, (double)found[count - 1], 1);
        for (int l = 0; l < count; l++) {
            const double want = 2.0 * l / (count - 1) - 1, most = sizeof(px_real) == sizeof(float) ? 1.2e-7 : 2.3e-16;
            if (!(fabs((double)found[l] - want) <= most))
                fail_msg("level %d of %d is %.9g, expected %.9g within %.2g: one rounding near 1", l, count,
                         (double)found[l], want, most);
        }
        free(found);
    }
    end(&desk);
}

/* --- Conditions --------------------------------------------------------------------------------------------------- */

/* Labels of one and of two bytes. */
static void test_one_hot(void **state) {
    (void)state;
    static const int classes[] = {1, 2, 7, 256, 1000};
    px_desk desk;
    begin(&desk);
    for (int i = 0; i < 5; i++) {
        const int K = classes[i], labels[] = {K - 1, 0, K / 2, K - 1, K / 3};
        enum { LABELS = 5 };
        const px_tensor label = px_arena_tensor(&desk.arena, LABELS, PX_LABEL_BYTES, PX_UINT8);
        const px_tensor y = px_test_tensor(&desk.arena, LABELS, K, 1, 1);
        uint8_t bytes[LABELS * PX_LABEL_BYTES];
        for (int n = 0; n < LABELS; n++) px_condition_set_label(bytes + PX_LABEL_BYTES * n, labels[n]);
        put(&desk, label, bytes);
        assert_ok(&desk.ctx, px_run(desk.device, one_hot, .labels = label, .y = y));
        px_real *found = px_test_download(desk.device, y);
        for (int e = 0; e < LABELS * K; e++) expect("one_hot", (size_t)e, (double)found[e], e % K == labels[e / K]);
        free(found);
    }
    end(&desk);
}

/* y(2 i + a, 2 j + b, f) = relu(x(i, j, 4 f + 2 a + b) + bias(f)), and back. */
static void check_shuffle(px_desk *desk, px_grid grid, int features) {
    const size_t pixels = px_grid_pixels(&grid), F = (size_t)features, mark = desk->arena.used;
    const int least = -(int)pixels * 2 * features; /* half of x is negative */
    const px_tensor x = counting_from(desk, least, pixels, 4 * features), bias = counting(desk, 1, features);
    const px_tensor y = px_test_tensor(&desk->arena, 4 * pixels, features, 1, 1);
    const px_tensor back = px_test_tensor(&desk->arena, pixels, 4 * features, 2, 1);
    assert_ok(&desk->ctx, px_run(desk->device, pixel_shuffle, .grid = grid, .x = x, .bias = bias, .y = y));
    assert_ok(&desk->ctx, px_run(desk->device, pixel_unshuffle, .grid = grid, .y = y, .x = back));
    px_real *large = px_test_download(desk->device, y), *small = px_test_download(desk->device, back);
    const size_t W = (size_t)grid.width, H = (size_t)grid.height;
    for (size_t e = 0; e < pixels * 4 * F; e++) {
        const size_t pixel = e / (4 * F), f = e / 4 % F, a = e / 2 % 2, b = e % 2; /* x(pixel, 4 f + 2 a + b) */
        const size_t image = pixel / (H * W), i = pixel / W % H, j = pixel % W;
        const size_t at = ((image * 2 * H + 2 * i + a) * 2 * W + 2 * j + b) * F + f;
        const double want = fmax(least + (double)e + (double)(f + 1), 0);
        expect("pixel_shuffle", at, (double)large[at], want);
        expect("pixel_unshuffle", e, (double)small[e], want);
    }
    free(large);
    free(small);
    px_arena_rewind(&desk->arena, mark);
}

static void test_pixel_shuffle(void **state) {
    (void)state;
    px_desk desk;
    begin(&desk);
    for (int i = 0; i < GRIDS; i++)
        for (int features = 1; features < 140; features += 46) check_shuffle(&desk, grids[i], features);
    end(&desk);
}

/* --- Rows and columns --------------------------------------------------------------------------------------------- */

/* y = relu(mask(sum) + bias + add), in whole numbers, so that every order of additions is exact.
 */
static void test_bias_add_relu(void **state) {
    (void)state;
    px_desk desk;
    begin(&desk);
    for (int i = 0; i < 128; i++) {
        const int rows = 6, features = i < 64 ? 7 : 133, least = -rows * features - 5;
        const size_t mark = desk.arena.used;
        const px_tensor sum = counting_from(&desk, least, (size_t)rows, features),
                        relu_mask = counting_from(&desk, -rows * features / 2, (size_t)rows,
                                                  features); /* 0 among them */
        const size_t F = (size_t)features, biases = i < 64 ? 3 : 1;
        const px_tensor bias = counting(&desk, biases, features), add = counting(&desk, (size_t)rows, features);
        const px_tensor none = {0}, other = counting(&desk, (size_t)rows, features);
        const bool biased = i & 1, added = i & 2, masked = i & 4, relu_out = i & 8;
        const px_tensor y = i / 16 % 4 == 1   ? sum
                            : i / 16 % 4 == 2 ? add
                                              : other; /* aliased with one, the other, or none */
        assert_ok(&desk.ctx,
                  px_run(desk.device, bias_add_relu, .relu = relu_out, .sum = sum, .bias = biased ? bias : none,
                         .add = added ? add : none, .relu_mask = masked ? relu_mask : none, .y = y));
        px_real *open = px_test_download(desk.device, relu_mask), *found = px_test_download(desk.device, y);
        for (size_t e = 0; e < px_tensor_elements(&y); e++) {
            const double of_sum = masked && open[e] <= 0 ? 0 : least + (double)e;
            const double all = of_sum + (biased ? (double)(e / F * biases / (size_t)rows * F + e % F + 1) : 0) +
                               (added ? (double)(e + 1) : 0);
            expect("bias_add_relu", e, (double)found[e], relu_out ? fmax(all, 0) : all);
        }
        free(open);
        free(found);
        px_arena_rewind(&desk.arena, mark);
    }
    end(&desk);
}

/* y with relu is the relu of y without, whatever else is in it. CUDA's libraries may take two kernels, which sum in two
 * orders: 1.2e-6 was seen on an H200. */
static void test_convolve_rectified(void **state) {
    (void)state;
    enum { IN = 5, OUT = 7 };
    px_desk desk;
    begin(&desk);
    const double tolerance = strcmp(desk.device->kind, "cpu") == 0 ? 0 : 1e-5;
    for (int i = 0; i < 16; i++) {
        const px_grid grid = {3, 4, 5};
        const px_taps taps = i & 1 ? px_taps_rectangle(2, 3, 1) : px_taps_rectangle(1, 1, 0);
        const size_t mark = desk.arena.used, pixels = px_grid_pixels(&grid);
        const px_tensor x = px_test_tensor(&desk.arena, pixels, IN, 1, 1), none = {0};
        const px_tensor weight = px_test_tensor(&desk.arena, OUT, taps.stored * IN, 2, 1);
        const px_tensor bias = i & 2 ? px_test_tensor(&desk.arena, i & 8 ? 3 : 1, OUT, 3, 1) : none;
        const px_tensor add = i & 4 ? px_test_tensor(&desk.arena, pixels, OUT, 4, 1) : none;
        px_real *y[2];
        for (int relu_out = 0; relu_out < 2; relu_out++) {
            const px_tensor to = px_test_tensor(&desk.arena, pixels, OUT, 5, 1);
            assert_ok(&desk.ctx, px_run(desk.device, convolve, .grid = grid, .taps = taps, .relu_y = relu_out, .x = x,
                                        .weight = weight, .bias = bias, .add = add, .y = to));
            y[relu_out] = px_test_download(desk.device, to);
        }
        int below = 0;
        for (size_t e = 0; e < pixels * OUT; e++) {
            below += y[0][e] < 0;
            const double want = y[0][e] < 0 ? 0 : (double)y[0][e];
            if (fabs((double)y[1][e] - want) > tolerance)
                fail_msg("convolve with relu: element %zu is %.9g, expected %.9g, tolerance %g", e, (double)y[1][e],
                         want, tolerance);
        }
        assert_true(below > 0);
        free(y[0]);
        free(y[1]);
        px_arena_rewind(&desk.arena, mark);
    }
    end(&desk);
}

/* Images with a bias each are convolved as one by one with their own. 16 x 16 pixels suffice for oneDNN's primitives.
 */
static void test_convolve_with_biases_of_images(void **state) {
    (void)state;
    enum { IN = 5, OUT = 7, IMAGES = 3 };
    px_desk desk;
    begin(&desk);
    for (int i = 0; i < 4; i++) {
        const px_grid grid = {IMAGES, i & 1 ? 16 : 4, i & 1 ? 17 : 3}, one = {1, grid.height, grid.width};
        const px_taps taps = i & 2 ? px_taps_rectangle(2, 3, 1) : px_taps_rectangle(1, 1, 0);
        const size_t pixels = px_grid_pixels(&one), mark = desk.arena.used;
        const px_tensor x = px_test_tensor(&desk.arena, IMAGES * pixels, IN, 1, 1),
                        weight = px_test_tensor(&desk.arena, OUT, taps.stored * IN, 2, 1),
                        bias = px_test_tensor(&desk.arena, IMAGES, OUT, 3, 1),
                        together = px_test_tensor(&desk.arena, IMAGES * pixels, OUT, 4, 1),
                        alone = px_test_tensor(&desk.arena, IMAGES * pixels, OUT, 5, 1);
        assert_ok(&desk.ctx, px_run(desk.device, convolve, .grid = grid, .taps = taps, .x = x, .weight = weight,
                                    .bias = bias, .y = together));
        for (size_t n = 0; n < IMAGES; n++)
            assert_ok(&desk.ctx,
                      px_run(desk.device, convolve, .grid = one, .taps = taps,
                             .x = px_tensor_slice(x, n * pixels, pixels), .weight = weight,
                             .bias = px_tensor_slice(bias, n, 1), .y = px_tensor_slice(alone, n * pixels, pixels)));
        px_real *found = px_test_download(desk.device, together), *want = px_test_download(desk.device, alone);
        for (size_t e = 0; e < IMAGES * pixels * OUT; e++)
            if (!(fabs((double)found[e] - (double)want[e]) <= 1e-5))
                fail_msg("element %zu is %.9g with the biases of 3 images, expected %.9g as of an image alone, within "
                         "1e-5 for sums of 25 terms near 1",
                         e, (double)found[e], (double)want[e]);
        free(found);
        free(want);
        px_arena_rewind(&desk.arena, mark);
    }
    end(&desk);
}

/* The gradient of a bias, for all pixels and for each image, alone and beside that of a weight. Sums are whole numbers
 * below 2^24, so that every order is exact. */
static void test_bias_gradients(void **state) {
    (void)state;
    static const px_grid shapes[] = {{1, 1, 1}, {3, 4, 5}, {3, 20, 21}, {7, 10, 11}, {2, 1, 700}};
    enum { FEATURES = 5 };
    px_desk desk;
    begin(&desk);
    for (int i = 0; i < 4 * 5; i++) {
        const px_grid grid = shapes[i / 4];
        const px_taps taps = px_taps_rectangle(1, 1, 0);
        const size_t pixels = px_grid_pixels(&grid), biases = i & 1 ? (size_t)grid.images : 1, mark = desk.arena.used;
        const px_tensor dy = counting(&desk, pixels, FEATURES), none = {0};
        const px_tensor dbias = counting(&desk, biases, FEATURES), dweight = counting(&desk, FEATURES, FEATURES);
        assert_ok(&desk.ctx, px_run(desk.device, convolve_weight_gradient, .grid = grid, .taps = taps, .x = dy,
                                    .dy = dy, .dweight = i & 2 ? dweight : none, .dbias = dbias));
        px_real *found = px_test_download(desk.device, dbias);
        double want[7 * FEATURES] = {0};
        for (size_t e = 0; e < pixels * FEATURES; e++)
            want[e / FEATURES / (pixels / biases) * FEATURES + e % FEATURES] += (double)(e + 1);
        for (size_t e = 0; e < biases * FEATURES; e++) expect("gradient of a bias", e, (double)found[e], want[e]);
        free(found);
        px_arena_rewind(&desk.arena, mark);
    }
    end(&desk);
}

static void test_sums(void **state) {
    (void)state;
    static const int shapes[][2] = {{1, 1}, {3, 7}, {70, 1}, {5, 129}, {0, 4}, {2, 90000}}; /* the last: above 2^24 */
    px_desk desk;
    begin(&desk);
    for (int i = 0; i < 6; i++) {
        const size_t rows = (size_t)shapes[i][0], columns = (size_t)shapes[i][1];
        const px_tensor x = counting(&desk, rows, (int)columns), down = counting(&desk, 1, (int)columns);
        const px_tensor across = px_arena_tensor(&desk.arena, rows, 1, PX_FLOAT64);
        const px_tensor squares = px_arena_tensor(&desk.arena, rows, 1, PX_FLOAT64);
        assert_ok(&desk.ctx, px_run(desk.device, sum_rows, .x = x, .y = down));
        assert_ok(&desk.ctx, px_run(desk.device, sum_columns, .x = x, .sum = across));
        assert_ok(&desk.ctx, px_run(desk.device, sum_squares, .x = x, .sum = squares));
        double found[2][128];
        assert_ok(&desk.ctx, desk.device->ops->download(desk.device, found[0], across.data, rows * sizeof(double)));
        assert_ok(&desk.ctx, desk.device->ops->download(desk.device, found[1], squares.data, rows * sizeof(double)));
        px_real *of_columns = px_test_download(desk.device, down);
        for (size_t r = 0; r < rows; r++) {
            double sum = 0, square = 0;
            for (size_t c = 0; c < columns; c++) {
                const double value = (double)(r * columns + c + 1);
                sum += value, square += value * value;
            }
            expect("sum_columns", r, found[0][r], sum);
            expect("sum_squares", r, found[1][r], square);
        }
        for (size_t c = 0; c < columns; c++) {
            double sum = 0;
            for (size_t r = 0; r < rows; r++) sum += (double)(r * columns + c + 1);
            expect("sum_rows", c, (double)of_columns[c], sum);
        }
        free(of_columns);
    }
    end(&desk);
}

/* --- Drawing ------------------------------------------------------------------------------------------------------ */

enum { DRAWS = 100000, LEVELS = 7, STRIDE = 11, OFFSET = 3, ROWS = 3, ROW = 2, VALUES = 2 };
static const double drawn_logits[LEVELS] = {0.5, -1, 2, 0, -3, 1.5, -0.25};

/* Samples value 1 of row ROW of `count` images from the same logits into levels. `key` is the key within the row. */
static void sample(px_desk *desk, size_t count, double temperature, uint64_t seed, uint64_t first_image, uint64_t key,
                   uint8_t *levels) {
    const size_t mark = desk->arena.used;
    const px_tensor numbers = px_arena_tensor(&desk->arena, 1, PX_SAMPLE_NUMBERS, PX_FLOAT64);
    const px_tensor logits = px_arena_tensor(&desk->arena, count, STRIDE, PX_REAL);
    const px_tensor image = px_arena_tensor(&desk->arena, count, ROWS * VALUES, PX_UINT8);
    px_real *host = malloc(px_tensor_bytes(&logits));
    uint8_t *bytes = malloc(px_tensor_bytes(&image));
    assert_true(host && bytes);
    memset(bytes, 99, px_tensor_bytes(&image));
    for (size_t r = 0; r < count; r++)
        for (int l = 0; l < STRIDE; l++) /* what stands beside the value's own logits would draw itself if read */
            host[r * STRIDE + (size_t)l] = (px_real)(l < OFFSET || l >= OFFSET + LEVELS ? 30
                                                                                        : drawn_logits[l - OFFSET]);
    put(desk, logits, host);
    put(desk, image, bytes);
    assert_ok(&desk->ctx, px_sample_upload_scalars(desk->device, numbers, ROW, temperature, seed, first_image));
    assert_ok(&desk->ctx, px_run(desk->device, sample, .logits = logits, .image = image, .numbers = numbers,
                                 .offset = OFFSET, .levels = LEVELS, .row_values = VALUES, .value = 1, .key = key));
    assert_ok(&desk->ctx, desk->device->ops->download(desk->device, bytes, image.data, px_tensor_bytes(&image)));
    for (size_t r = 0; r < count; r++)
        for (int v = 0; v < ROWS * VALUES; v++) {
            const uint8_t level = bytes[r * ROWS * VALUES + (size_t)v];
            if (v == ROW * VALUES + 1)
                levels[r] = level;
            else if (level != 99)
                fail_msg("sample wrote value %d of image %zu, expected value %d alone", v, r, ROW * VALUES + 1);
        }
    free(host);
    free(bytes);
    px_arena_rewind(&desk->arena, mark);
}

static void test_sample_frequencies(void **state) {
    (void)state;
    static const double temperatures[] = {1, 0.5, 2};
    static uint8_t levels[DRAWS];
    px_desk desk;
    begin(&desk);
    for (int i = 0; i < 3; i++) {
        double share[LEVELS], total = 0;
        size_t count[256] = {0};
        for (int l = 0; l < LEVELS; l++) total += share[l] = exp(drawn_logits[l] / temperatures[i]);
        sample(&desk, DRAWS, temperatures[i], 5, 0, 77, levels);
        for (size_t r = 0; r < DRAWS; r++) count[levels[r]]++;
        for (int l = 0; l < LEVELS; l++) {
            const double p = share[l] / total, sigma = sqrt(DRAWS * p * (1 - p));
            if (!(fabs((double)count[l] - DRAWS * p) <= 5 * sigma))
                fail_msg("temperature %g: level %d was drawn %zu times, expected %.1f within 5 sigma, %.1f",
                         temperatures[i], l, count[l], DRAWS * p, 5 * sigma);
            count[l] = 0;
        }
        for (int l = 0; l < 256; l++)
            if (count[l]) fail_msg("level %d was drawn; there are %d", l, LEVELS);
    }
    sample(&desk, 1000, 1e-3, 5, 0, 77, levels); /* nearly cold: the likeliest alone */
    for (size_t r = 0; r < 1000; r++) expect("level drawn at temperature 0.001", r, levels[r], 2);
    end(&desk);
}

/* The number is a function of seed, image and key: whatever the batch, and another for any other of them. */
static void test_sample_is_a_function(void **state) {
    (void)state;
    enum { COUNT = 400 };
    static uint8_t whole[COUNT], part[COUNT];
    px_desk desk;
    begin(&desk);
    sample(&desk, COUNT, 1, 5, 1000, 77, whole);
    sample(&desk, COUNT, 1, 5, 1000, 77, part);
    assert_memory_equal(whole, part, COUNT);
    sample(&desk, COUNT - 123, 1, 5, 1123, 77, part);
    assert_memory_equal(whole + 123, part, COUNT - 123);
    for (int i = 0; i < 3; i++) {
        sample(&desk, COUNT, 1, i == 0 ? 6 : 5, i == 1 ? 5000 : 1000, i == 2 ? 78 : 77, part);
        int same = 0;
        for (int r = 0; r < COUNT; r++) same += whole[r] == part[r];
        if (same > COUNT / 2)
            fail_msg("with another %s, %d of %d draws are the same; about a third is chance",
                     i == 0   ? "seed"
                     : i == 1 ? "image"
                              : "key",
                     same, COUNT);
    }
    end(&desk);
}

/* Inversion with the documented number: what the program drew once it draws always. All bits of the seed count. */
static void test_sample_is_inversion(void **state) {
    (void)state;
    enum { COUNT = 2000 };
    static uint8_t levels[COUNT];
    px_desk desk;
    begin(&desk);
    const uint64_t seed = 0xfedcba9876543211u;
    sample(&desk, COUNT, 1, seed, 40, 77, levels);
    double total = 0;
    for (int l = 0; l < LEVELS; l++) total += exp(drawn_logits[l]);
    for (size_t r = 0; r < COUNT; r++) {
        const px_random4 random = px_random(seed, PX_RANDOM_SAMPLE, 40 + r, (uint64_t)ROW << 32 | 77);
        const double at = px_uniform(random.word[0], random.word[1]);
        double below = 0;
        int want = 0;
        while (want < LEVELS - 1 && at >= (below += exp(drawn_logits[want]) / total)) want++;
        if (fabs(at - below) > 1e-5) expect("level drawn by inversion", r, levels[r], want); /* else rounding decides */
    }
    end(&desk);
}

/* Philox 4x32-10's known answers, from Random123's kat_vectors. */
static void test_philox(void **state) {
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], want[4];
    } known[] = {
        {{0}, {0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (int i = 0; i < 3; i++) {
        const uint32_t *c = known[i].counter, *k = known[i].key;
        const px_random4 r = px_philox(k[0] | (uint64_t)k[1] << 32, c[0] | (uint64_t)c[1] << 32,
                                       c[2] | (uint64_t)c[3] << 32);
        for (int w = 0; w < 4; w++)
            if (r.word[w] != known[i].want[w])
                fail_msg("vector %d, word %d is %08x, expected %08x", i, w, (unsigned)r.word[w],
                         (unsigned)known[i].want[w]);
    }
    assert_true(px_uniform(0, 0) > 0 && px_uniform(0xffffffff, 0xffffffff) < 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mask),
        cmocka_unit_test(test_im2col),
        cmocka_unit_test(test_shift_rows),
        cmocka_unit_test(test_normalize),
        cmocka_unit_test(test_one_hot),
        cmocka_unit_test(test_pixel_shuffle),
        cmocka_unit_test(test_bias_add_relu),
        cmocka_unit_test(test_convolve_rectified),
        cmocka_unit_test(test_convolve_with_biases_of_images),
        cmocka_unit_test(test_bias_gradients),
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_sample_frequencies),
        cmocka_unit_test(test_sample_is_a_function),
        cmocka_unit_test(test_sample_is_inversion),
        cmocka_unit_test(test_philox),
    };
    omp_set_num_threads(1); /* waking others costs more than most of these tensors do */
    return cmocka_run_group_tests_name("kernels", tests, NULL, NULL);
}
