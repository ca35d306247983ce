/* Compares CUDA with the CPU: every operation of the device table, in float32, TF32 and bfloat16, on the same random
 * inputs, over the cases of tests/support/cases.h.
 *
 * Outputs are filled with NaN first, so that elements that an operation does not write are found. An operation without
 * a check_NAME does not compile, and a check that does not run its operation fails.
 *
 * PX_PARITY=cpu compares the CPU with itself, for machines without a GPU. PX_PARITY=precision compares the CPU's
 * bfloat16 with its float32. PX_PARITY=float32, tf32 or bfloat16 runs one precision alone. */
#include "tests/gpu/check_convolutions.h"
#include "tests/gpu/check_recurrences.h"
#include "tests/gpu/parity.h"
#include "tests/support/cases.h"
#include "kernels/portable/bfloat16.h"

static void check_im2col(void) {
    for (size_t t = 0; t < PX_COUNT(px_taps_cases); t++)
        for (size_t g = 0; g < PX_COUNT(px_grid_cases); g++)
            for (int variant = 0; variant < 8; variant++) {
                const px_grid grid = px_grid_cases[g];
                const px_taps taps = px_taps_of(&px_taps_cases[t]);
                const bool relu = variant & 1, mirror = variant & 2;
                const size_t pixels = px_grid_pixels(&grid), first = variant & 4 ? pixels / 2 : 0;
                const int features = px_width_cases[g % PX_COUNT(px_width_cases)].in;
                CASE("%s, %d images of %d x %d, %d features, relu %d, mirror %d, from %zu", px_taps_cases[t].name,
                     grid.images, grid.height, grid.width, features, relu, mirror, first);
                const pair x = activations(pixels, features, RANDOM);
                const pair y = activations((pixels - first) * (size_t)taps.live, features, POISONED);
                BOTH(im2col, .grid = grid, .taps = taps, .relu = relu, .mirror = mirror, .first = first,
                     .x = x.on[side], .y = y.on[side]);
                EXPECT(im2col, y);
            }
}

static void check_bias_add_relu(void) {
    for (size_t i = 0; i < PX_COUNT(px_tensor_cases); i++)
        for (int variant = 0; variant < 32; variant++) {
            const px_tensor_case m = px_tensor_cases[i];
            CASE("%zu x %d, variant %d", m.rows, m.columns, variant);
            const pair x = activations(m.rows, m.columns, RANDOM), other = activations(m.rows, m.columns, RANDOM);
            const pair bias = variant & 1 ? activations(1, m.columns, RANDOM) : absent;
            const pair relu_mask = variant & 2 ? activations(m.rows, m.columns, RANDOM) : absent;
            const pair y = variant & 4 ? activations(m.rows, m.columns, POISONED) : x; /* in place: sum, or add, is y */
            const pair sum = variant & 8 ? x : other, add = variant & 8 ? (m.rows % 2 ? absent : other) : x;
            BOTH(bias_add_relu, .relu = variant & 16, .sum = sum.on[side], .bias = bias.on[side], .add = add.on[side],
                 .relu_mask = relu_mask.on[side], .y = y.on[side]);
            EXPECT(bias_add_relu, y);
        }
}

static void check_cast(void) {
    for (size_t i = 0; i < PX_COUNT(px_tensor_cases); i++) {
        CASE("%zu x %d", px_tensor_cases[i].rows, px_tensor_cases[i].columns);
        const pair x = reals(px_tensor_cases[i].rows, px_tensor_cases[i].columns, RANDOM);
        const pair y = activations(px_tensor_cases[i].rows, px_tensor_cases[i].columns, POISONED);
        BOTH(cast, .x = x.on[side], .y = y.on[side]);
        EXPECT(cast, y);
    }
}

static void check_sum_rows(void) {
    for (size_t i = 0; i < PX_COUNT(px_tensor_cases); i++)
        for (size_t segments = 1; segments <= 6; segments += 5) {
            const px_tensor_case m = px_tensor_cases[i];
            CASE("%zu x %d in %zu segments", m.rows, m.columns, segments);
            const pair x = activations(m.rows, m.columns, RANDOM), y = reals(segments, m.columns, POISONED);
            BOTH(sum_rows, .x = x.on[side], .y = y.on[side]);
            EXPECT(sum_rows, y);
        }
}

static void check_shift_rows(void) {
    for (size_t g = 0; g < PX_COUNT(px_grid_cases); g++)
        for (int variant = 0; variant < 6; variant++) {
            const px_grid grid = px_grid_cases[g];
            const size_t pixels = px_grid_pixels(&grid);
            const int features = px_width_cases[g % PX_COUNT(px_width_cases)].in, down = variant % 2 ? 1 : -1;
            CASE("%d images of %d x %d, %d features, down %d, variant %d", grid.images, grid.height, grid.width,
                 features, down, variant);
            const pair x = activations(pixels, features, RANDOM),
                       y = activations(pixels, features, variant / 2 == 2 ? RANDOM : POISONED);
            const pair add = variant / 2 == 0 ? absent : variant / 2 == 1 ? activations(pixels, features, RANDOM) : y;
            BOTH(shift_rows, .grid = grid, .down = down, .x = x.on[side], .add = add.on[side], .y = y.on[side]);
            EXPECT(shift_rows, y);
        }
}

static void check_mask(void) {
    static const struct {
        int out, inputs, taps, centre, colours, period;
    } cases[] = {
        {1, 1, 1, 0, 1, 1}, {7, 5, 28, 24, 3, 7}, {12, 3, 6, 4, 3, 12}, {20, 5, 2, 1, 3, 5}, {64, 16, 6, 4, 1, 64}};
    for (size_t i = 0; i < PX_COUNT(cases); i++)
        for (int strict = 0; strict < 2; strict++) {
            CASE("%d x %d taps of %d, %d colours, strict %d", cases[i].out, cases[i].taps, cases[i].inputs,
                 cases[i].colours, strict);
            const pair weight = reals((size_t)cases[i].out, cases[i].taps * cases[i].inputs, RANDOM);
            BOTH(mask, .weight = weight.on[side], .inputs = cases[i].inputs, .centre = cases[i].centre,
                 .colours = cases[i].colours, .period = cases[i].period, .strict = strict);
            EXPECT(mask, weight);
        }
}

/* The numbers of a row that is sampled. */
static pair sample_numbers(int row, double temperature) {
    const pair numbers = doubles(1, PX_SAMPLE_NUMBERS, POISONED);
    BOTH(upload_scalars, .y = numbers.on[side],
         .value = {[PX_SAMPLE_ROW] = row,
                   [PX_SAMPLE_SEED_HIGH] = 0xfedcba98u,
                   [PX_SAMPLE_SEED_LOW] = 0xffffffffu,
                   [PX_SAMPLE_FIRST_IMAGE] = 1000,
                   [PX_SAMPLE_TEMPERATURE] = temperature});
    return numbers;
}

static void check_normalize(void) {
    for (size_t i = 0; i < PX_COUNT(px_tensor_cases); i++) {
        const int count = i % 2 ? 256 : 2;
        CASE("%zu x %d of %d levels", px_tensor_cases[i].rows, px_tensor_cases[i].columns, count);
        const pair image = levels(px_tensor_cases[i].rows, px_tensor_cases[i].columns, count);
        const pair values = activations(px_tensor_cases[i].rows, px_tensor_cases[i].columns, POISONED);
        BOTH(normalize, .image = image.on[side], .values = values.on[side], .levels = count);
        EXPECT(normalize, values);
    }
    CASE("%s", "3 columns of 7");
    const pair image = levels(5, 7, 256), values = activations(5, 3, POISONED);
    BOTH(normalize, .image = image.on[side], .values = values.on[side], .levels = 256, .first = 2);
    EXPECT(normalize, values);
    CASE("%s", "columns 4 to 6 of 7, of row 1");
    const pair numbers = sample_numbers(1, 1);
    BOTH(normalize, .image = image.on[side], .values = values.on[side], .numbers = numbers.on[side], .levels = 256,
         .row_values = 3, .first = 1);
    EXPECT(normalize, values);
}

static void check_activate(void) {
    for (size_t i = 0; i < PX_COUNT(px_tensor_cases) * 4; i++) {
        const size_t rows = px_tensor_cases[i / 4].rows;
        const int columns = px_tensor_cases[i / 4].columns, first = i % 2 ? columns / 3 : 0;
        const bool plain = i / 2 % 2;
        CASE("%zu x %d from column %d, %s", rows, columns, first, plain ? "in place" : "added, copied, with relu");
        const pair sum = reals(rows, columns, RANDOM), bias = activations(1, columns, RANDOM);
        const pair add = plain ? absent : activations(rows, columns, RANDOM);
        const pair y = plain ? absent : activations(rows, columns, RANDOM);
        const pair relu_out = plain ? absent : activations(rows, columns, RANDOM);
        BOTH(activate, .sum = sum.on[side], .bias = bias.on[side], .add = add.on[side], .y = y.on[side],
             .relu_out = relu_out.on[side], .first = first, .count = columns - first);
        EXPECT(activate, sum);
        if (!plain) EXPECT(activate, y);
        if (!plain) EXPECT(activate, relu_out);
    }
}

static void check_lstm_update(void) {
    static const struct {
        size_t rows, apart;
        int hidden, first, count, layers;
        bool summed, added;
    } cases[] = {{1, 1, 1, 0, 1, 1, false, false},
                 {5, 5, 7, 3, 2, 1, true, false},
                 {3, 9, 6, 0, 6, 4, false, false},
                 {33, 33, 64, 22, 21, 1, true, true},
                 {2, 4, 5, 5, 0, 2, true, true}};
    for (size_t i = 0; i < PX_COUNT(cases); i++) {
        const size_t all = cases[i].apart * (size_t)cases[i].layers;
        const int D = cases[i].hidden;
        CASE("%zu rows of %d layers, %d features from %d of %d", cases[i].rows, cases[i].layers, cases[i].count,
             cases[i].first, D);
        const pair pre = reals(all, 4 * D, RANDOM), bias = activations((size_t)cases[i].layers, 4 * D, RANDOM);
        const pair c = reals(all, D, RANDOM), h = activations(all, D, RANDOM);
        const pair add = cases[i].added ? activations(all, D, RANDOM) : absent;
        const pair sum = cases[i].summed ? activations(all, D, RANDOM) : absent;
        BOTH(lstm_update, .pre = px_tensor_first_rows(pre.on[side], cases[i].rows),
             .bias = px_tensor_first_rows(bias.on[side], 1), .c = c.on[side], .h = h.on[side], .add = add.on[side],
             .sum = sum.on[side], .first = cases[i].first, .count = cases[i].count, .layers = cases[i].layers,
             .stride_pre = cases[i].apart, .stride_bias = (size_t)(4 * D), .stride_c = cases[i].apart,
             .stride_h = cases[i].apart);
        EXPECT(lstm_update, c);
        EXPECT(lstm_update, h);
        if (cases[i].summed) EXPECT(lstm_update, sum);
    }
}

static void check_softmax_nll(void) {
    static const int counts[] = {2, 3, 32, 33, 255, 256};
    static const size_t rows[] = {0, 1, 7, 1000};
    for (size_t i = 0; i < PX_COUNT(counts) * PX_COUNT(rows) * 2; i++) {
        const int count = counts[i / 2 / PX_COUNT(rows)];
        const size_t values = rows[i / 2 % PX_COUNT(rows)];
        CASE("%zu values of %d levels, gradient %zu", values, count, i % 2);
        const pair logits = activations(values, count, RANDOM), target = levels(values, 1, count);
        const pair nll = reals(values, 1, POISONED);
        BOTH(softmax_nll, .logits = logits.on[side], .target = target.on[side], .nll = nll.on[side],
             .gradient = i % 2 != 0, .scale = (px_real)0.125);
        EXPECT(softmax_nll, logits);
        EXPECT(softmax_nll, nll);
    }
}

static void check_sum_columns(void) {
    for (size_t i = 0; i < PX_COUNT(px_tensor_cases); i++) {
        CASE("%zu x %d", px_tensor_cases[i].rows, px_tensor_cases[i].columns);
        const pair x = reals(px_tensor_cases[i].rows, px_tensor_cases[i].columns, RANDOM);
        const pair sum = doubles(px_tensor_cases[i].rows, 1, POISONED);
        BOTH(sum_columns, .x = x.on[side], .sum = sum.on[side]);
        EXPECT(sum_columns, sum);
    }
}

static void check_sample(void) {
    static const int counts[] = {2, 5, 256};
    for (size_t i = 0; i < PX_COUNT(counts) * 2; i++) {
        const int count = counts[i / 2];
        const size_t images = i % 2 ? 65 : 1;
        CASE("%zu images, %d levels", images, count);
        const pair logits = activations(images, 3 * count + 1, RANDOM), image = levels(images, 6, count);
        const pair nats = doubles(images, 1, RANDOM), numbers = sample_numbers(2, i % 4 ? 0.5 : 1);
        BOTH(sample, .logits = logits.on[side], .image = image.on[side], .nats = nats.on[side],
             .numbers = numbers.on[side], .offset = (size_t)count + 1, .levels = count, .row_values = 2, .value = 1,
             .key = i);
        EXPECT(sample, image);
        EXPECT(sample, nats);
    }
}

static void check_sum_squares(void) {
    for (size_t i = 0; i < PX_COUNT(px_tensor_cases); i++) {
        CASE("%zu x %d", px_tensor_cases[i].rows, px_tensor_cases[i].columns);
        const pair x = reals(px_tensor_cases[i].rows, px_tensor_cases[i].columns, RANDOM);
        const pair sum = doubles(px_tensor_cases[i].rows, 1, POISONED);
        BOTH(sum_squares, .x = x.on[side], .sum = sum.on[side]);
        EXPECT(sum_squares, sum);
    }
}

static void check_clip(void) {
    static const double clips[] = {0, 0.5, 1e9};
    for (size_t i = 0; i < PX_COUNT(px_tensor_cases) * PX_COUNT(clips); i++) {
        const size_t rows = px_tensor_cases[i % PX_COUNT(px_tensor_cases)].rows;
        CASE("%zu squares, clip %g", rows, clips[i / PX_COUNT(px_tensor_cases)]);
        const pair squares = doubles(rows, 1, POSITIVE), scale = doubles(1, 2, POISONED);
        BOTH(clip, .squares = squares.on[side], .scale = scale.on[side], .clip = clips[i / PX_COUNT(px_tensor_cases)]);
        EXPECT(clip, scale);
    }
}

static void check_upload_scalars(void) {
    for (int columns = 1; columns <= PX_MAX_SCALARS; columns++) {
        CASE("%d numbers", columns);
        const pair y = doubles(1, columns, POISONED);
        BOTH(upload_scalars, .y = y.on[side], .value = {0.1, -3, 1e-300, 7, 0xffffffffu});
        EXPECT(upload_scalars, y);
    }
}

/* The tensors of an optimiser update. */
typedef struct update {
    pair weights, gradients, first, second, scale, numbers;
} update;

static update update_of(const px_tensor_case *m) {
    CASE("%zu x %d", m->rows, m->columns);
    return (update){reals(m->rows, m->columns, RANDOM),
                    reals(m->rows, m->columns, RANDOM),
                    reals(m->rows, m->columns, RANDOM),
                    reals(m->rows, m->columns, POSITIVE),
                    doubles(1, 2, POSITIVE),
                    doubles(1, PX_UPDATE_NUMBERS, POSITIVE)};
}

static void check_sgd(void) {
    for (size_t i = 0; i < PX_COUNT(px_tensor_cases); i++) {
        const update u = update_of(&px_tensor_cases[i]);
        BOTH(sgd, .weights = u.weights.on[side], .gradients = u.gradients.on[side], .scale = u.scale.on[side],
             .numbers = u.numbers.on[side]);
        EXPECT(sgd, u.weights);
    }
}

static void check_rmsprop(void) {
    for (size_t i = 0; i < PX_COUNT(px_tensor_cases); i++) {
        const update u = update_of(&px_tensor_cases[i]);
        BOTH(rmsprop, .weights = u.weights.on[side], .gradients = u.gradients.on[side], .second = u.second.on[side],
             .scale = u.scale.on[side], .numbers = u.numbers.on[side], .rho = (px_real)0.95, .epsilon = (px_real)1e-4);
        EXPECT(rmsprop, u.weights);
        EXPECT(rmsprop, u.second);
    }
}

static void check_adam(void) {
    for (size_t i = 0; i < PX_COUNT(px_tensor_cases); i++) {
        const update u = update_of(&px_tensor_cases[i]);
        BOTH(adam, .weights = u.weights.on[side], .gradients = u.gradients.on[side], .first = u.first.on[side],
             .second = u.second.on[side], .scale = u.scale.on[side], .numbers = u.numbers.on[side],
             .beta1 = (px_real)0.9, .beta2 = (px_real)0.999, .epsilon = (px_real)1e-8);
        EXPECT(adam, u.weights);
        EXPECT(adam, u.first);
        EXPECT(adam, u.second);
    }
}

static void check_ema(void) {
    for (size_t i = 0; i < PX_COUNT(px_tensor_cases); i++) {
        const update u = update_of(&px_tensor_cases[i]);
        BOTH(ema, .weights = u.weights.on[side], .average = u.first.on[side], .scale = u.scale.on[side],
             .decay = (px_real)0.9);
        EXPECT(ema, u.first);
    }
}

/* Memory operations: uploads, copies, clears and downloads keep the bytes, also through page-locked memory. */
static void memory(void **state) {
    (void)state;
    enum { BYTES = 1000 };
    CASE("memory");
    for (int side = 0; side < SIDES; side++) {
        px_device *device = the.device[side];
        void *from, *to, *host;
        assert_ok(&the.ctx, device->ops->allocate(device, BYTES, &from));
        assert_ok(&the.ctx, device->ops->allocate(device, BYTES, &to));
        assert_ok(&the.ctx, device->ops->allocate_host(device, BYTES, &host));
        assert_int_equal((uintptr_t)from % 64, 0);
        for (int i = 0; i < BYTES; i++) ((uint8_t *)host)[i] = (uint8_t)(i * 7);
        assert_ok(&the.ctx, device->ops->upload(device, from, host, BYTES));
        assert_ok(&the.ctx, device->ops->copy(device, to, from, BYTES));
        assert_ok(&the.ctx, device->ops->clear(device, (char *)to + 1, BYTES / 2));
        assert_ok(&the.ctx, device->ops->synchronize(device));
        memset(host, 0xff, BYTES);
        assert_ok(&the.ctx, device->ops->download(device, host, to, BYTES));
        for (int i = 0; i < BYTES; i++)
            assert_int_equal(((uint8_t *)host)[i], i < 1 || i > BYTES / 2 ? (uint8_t)(i * 7) : 0);
        assert_ok(&the.ctx, device->ops->free_host(device, host));
        assert_ok(&the.ctx, device->ops->free(device, to));
        assert_ok(&the.ctx, device->ops->free(device, from));
    }
}

#define TEST(op)                                                                                                       \
    static void parity_##op(void **state) {                                                                            \
        (void)state;                                                                                                   \
        check_##op();                                                                                                  \
        if (the.ran[OP_##op] == 0) fail_msg("%s: check_%s never ran it", #op, #op);                                    \
        print_message("%-26s %4d cases, off by %.2g at most\n", #op, the.ran[OP_##op], the.worst[OP_##op]);            \
    }
PX_DEVICE_OPS(TEST)

/* All operations in one mode. */
static int run_operations(void) {
#define ENTRY(op) cmocka_unit_test(parity_##op),
    const struct CMUnitTest tests[] = {cmocka_unit_test(memory), PX_DEVICE_OPS(ENTRY)};
    return cmocka_run_group_tests_name(the.mode->name, tests, NULL, NULL);
}

/* Convolutions once more, with epilogues in kernels of their own. */
static int run_without_epilogues(void) {
    char name[64];
    const struct CMUnitTest tests[] = {cmocka_unit_test(parity_convolve),
                                       cmocka_unit_test(parity_convolve_input_gradient),
                                       cmocka_unit_test(parity_convolve_weight_gradient)};
    snprintf(name, sizeof name, "%s, PX_EPILOGUES=0", the.mode->name);
    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

/* PX_PARITY selects what is compared; see the top of this file. */
int main(void) {
    const char *chosen = getenv("PX_PARITY") ? getenv("PX_PARITY") : "";
    const bool precision = strcmp(chosen, "precision") == 0, cuda = !precision && strcmp(chosen, "cpu") != 0;
    int exit_status = EXIT_SUCCESS;
    for (size_t i = 0; i < PX_COUNT(modes) && exit_status != EXIT_SKIP; i++) {
        const bool named = strcmp(chosen, modes[i].name) == 0, one = !precision && cuda && chosen[0];
        const bool across = modes[i].type[0] != modes[i].type[1];
        if (across != precision || (one && !named) || (modes[i].tf32 && !cuda)) continue;
        int result = with_sides(&modes[i], cuda, run_operations);
        if (cuda && result != EXIT_SKIP && !getenv("PX_TEST_SHORT")) {
            setenv("PX_EPILOGUES", "0", 1);
            if (with_sides(&modes[i], cuda, run_without_epilogues) != EXIT_SUCCESS) result = EXIT_FAILURE;
            unsetenv("PX_EPILOGUES");
        }
        if (result != EXIT_SUCCESS) exit_status = result;
    }
    return exit_status;
}
