/* Checks of the operations that are kernels: pointwise, rows, optimisers, sampling. */
#include "host/check/cases.h"
#include "host/check/sides.h"

void px_check_im2col(px_sides *sides) {
    for (size_t t = 0; t < PX_COUNT(px_taps_cases); t++)
        for (size_t g = 0; g < PX_COUNT(px_grid_cases); g++)
            for (int variant = 0; variant < 8; variant++) {
                const px_grid grid = px_grid_cases[g];
                const px_taps taps = px_taps_of(&px_taps_cases[t]);
                const bool relu = variant & 1, mirror = variant & 2;
                const size_t pixels = px_grid_pixels(&grid), first = variant & 4 ? pixels / 2 : 0;
                const int features = px_width_cases[g % PX_COUNT(px_width_cases)].in;
                px_sides_case(sides, "%s, %d images of %d x %d, %d features, relu %d, mirror %d, from %zu",
                              px_taps_cases[t].name, grid.images, grid.height, grid.width, features, relu, mirror,
                              first);
                const px_pair x = px_sides_activations(sides, pixels, features, PX_RANDOM);
                const px_pair y = px_sides_activations(sides, (pixels - first) * (size_t)taps.live, features,
                                                       PX_POISONED);
                PX_BOTH(sides, im2col, .grid = grid, .taps = taps, .relu = relu, .mirror = mirror, .first = first,
                        .x = x.on[side], .y = y.on[side]);
                PX_EXPECT(sides, im2col, y);
            }
}

void px_check_bias_add_relu(px_sides *sides) {
    for (size_t i = 0; i < PX_COUNT(px_tensor_cases); i++)
        for (int variant = 0; variant < 32; variant++) {
            const px_tensor_case m = px_tensor_cases[i];
            px_sides_case(sides, "%zu x %d, variant %d", m.rows, m.columns, variant);
            const px_pair x = px_sides_activations(sides, m.rows, m.columns, PX_RANDOM),
                          other = px_sides_activations(sides, m.rows, m.columns, PX_RANDOM);
            const size_t biases = m.rows > 1 && variant & 2 ? m.rows : 1;
            const px_pair bias = variant & 1 ? px_sides_activations(sides, biases, m.columns, PX_RANDOM)
                                             : px_pair_absent;
            const px_pair relu_mask = variant & 2 ? px_sides_activations(sides, m.rows, m.columns, PX_RANDOM)
                                                  : px_pair_absent;
            const px_pair y = variant & 4 ? px_sides_activations(sides, m.rows, m.columns, PX_POISONED)
                                          : x; /* in place: sum, or add, is y */
            const px_pair sum = variant & 8 ? x : other, add = variant & 8 ? (m.rows % 2 ? px_pair_absent : other) : x;
            PX_BOTH(sides, bias_add_relu, .relu = variant & 16, .sum = sum.on[side], .bias = bias.on[side],
                    .add = add.on[side], .relu_mask = relu_mask.on[side], .y = y.on[side]);
            PX_EXPECT(sides, bias_add_relu, y);
        }
}

void px_check_cast(px_sides *sides) {
    for (size_t i = 0; i < PX_COUNT(px_tensor_cases); i++) {
        px_sides_case(sides, "%zu x %d", px_tensor_cases[i].rows, px_tensor_cases[i].columns);
        const px_pair x = px_sides_reals(sides, px_tensor_cases[i].rows, px_tensor_cases[i].columns, PX_RANDOM);
        const px_pair y = px_sides_activations(sides, px_tensor_cases[i].rows, px_tensor_cases[i].columns, PX_POISONED);
        PX_BOTH(sides, cast, .x = x.on[side], .y = y.on[side]);
        PX_EXPECT(sides, cast, y);
    }
}

void px_check_sum_rows(px_sides *sides) {
    for (size_t i = 0; i < PX_COUNT(px_tensor_cases); i++)
        for (size_t segments = 1; segments <= 6; segments += 5) {
            const px_tensor_case m = px_tensor_cases[i];
            px_sides_case(sides, "%zu x %d in %zu segments", m.rows, m.columns, segments);
            const px_pair x = px_sides_activations(sides, m.rows, m.columns, PX_RANDOM),
                          y = px_sides_reals(sides, segments, m.columns, PX_POISONED);
            PX_BOTH(sides, sum_rows, .x = x.on[side], .y = y.on[side]);
            PX_EXPECT(sides, sum_rows, y);
        }
}

void px_check_shift_rows(px_sides *sides) {
    for (size_t g = 0; g < PX_COUNT(px_grid_cases); g++)
        for (int variant = 0; variant < 6; variant++) {
            const px_grid grid = px_grid_cases[g];
            const size_t pixels = px_grid_pixels(&grid);
            const int features = px_width_cases[g % PX_COUNT(px_width_cases)].in, down = variant % 2 ? 1 : -1;
            px_sides_case(sides, "%d images of %d x %d, %d features, down %d, variant %d", grid.images, grid.height,
                          grid.width, features, down, variant);
            const px_pair x = px_sides_activations(sides, pixels, features, PX_RANDOM),
                          y = px_sides_activations(sides, pixels, features, variant / 2 == 2 ? PX_RANDOM : PX_POISONED);
            const px_pair add = variant / 2 == 0   ? px_pair_absent
                                : variant / 2 == 1 ? px_sides_activations(sides, pixels, features, PX_RANDOM)
                                                   : y;
            PX_BOTH(sides, shift_rows, .grid = grid, .down = down, .x = x.on[side], .add = add.on[side],
                    .y = y.on[side]);
            PX_EXPECT(sides, shift_rows, y);
        }
}

void px_check_one_hot(px_sides *sides) {
    for (size_t i = 0; i < PX_COUNT(px_tensor_cases); i++) {
        const px_tensor_case m = px_tensor_cases[i];
        px_sides_case(sides, "%zu labels of %d classes", m.rows, m.columns);
        const px_pair labels = px_sides_levels(sides, m.rows, PX_LABEL_BYTES, m.columns > 256 ? 4 : m.columns),
                      y = px_sides_activations(sides, m.rows, m.columns, PX_POISONED);
        PX_BOTH(sides, one_hot, .labels = labels.on[side], .y = y.on[side]);
        PX_EXPECT(sides, one_hot, y);
    }
}

/* The shapes of pixel shuffles: the grid of the small image and the features of the large one. */
static void each_shuffle(px_sides *sides, void (*check)(px_sides *sides, px_grid grid, int features)) {
    for (size_t g = 0; g < PX_COUNT(px_grid_cases); g++)
        for (size_t w = 0; w < PX_COUNT(px_width_cases); w++) {
            const px_grid grid = px_grid_cases[g];
            px_sides_case(sides, "%d images of %d x %d, %d features", grid.images, grid.height, grid.width,
                          px_width_cases[w].out);
            check(sides, grid, px_width_cases[w].out);
        }
}

static void check_one_shuffle(px_sides *sides, px_grid grid, int features) {
    const size_t pixels = px_grid_pixels(&grid);
    const px_pair x = px_sides_activations(sides, pixels, 4 * features, PX_RANDOM),
                  bias = px_sides_activations(sides, 1, features, PX_RANDOM),
                  y = px_sides_activations(sides, 4 * pixels, features, PX_POISONED);
    PX_BOTH(sides, pixel_shuffle, .grid = grid, .x = x.on[side], .bias = bias.on[side], .y = y.on[side]);
    PX_EXPECT(sides, pixel_shuffle, y);
}

void px_check_pixel_shuffle(px_sides *sides) { each_shuffle(sides, check_one_shuffle); }

static void check_one_unshuffle(px_sides *sides, px_grid grid, int features) {
    const size_t pixels = px_grid_pixels(&grid);
    const px_pair y = px_sides_activations(sides, 4 * pixels, features, PX_RANDOM),
                  x = px_sides_activations(sides, pixels, 4 * features, PX_POISONED);
    PX_BOTH(sides, pixel_unshuffle, .grid = grid, .y = y.on[side], .x = x.on[side]);
    PX_EXPECT(sides, pixel_unshuffle, x);
}

void px_check_pixel_unshuffle(px_sides *sides) { each_shuffle(sides, check_one_unshuffle); }

void px_check_mask(px_sides *sides) {
    static const struct {
        int out, inputs, taps, centre, colours, period;
    } cases[] = {
        {1, 1, 1, 0, 1, 1}, {7, 5, 28, 24, 3, 7}, {12, 3, 6, 4, 3, 12}, {20, 5, 2, 1, 3, 5}, {64, 16, 6, 4, 1, 64}};
    for (size_t i = 0; i < PX_COUNT(cases); i++)
        for (int strict = 0; strict < 2; strict++) {
            px_sides_case(sides, "%d x %d taps of %d, %d colours, strict %d", cases[i].out, cases[i].taps,
                          cases[i].inputs, cases[i].colours, strict);
            const px_pair weight = px_sides_reals(sides, (size_t)cases[i].out, cases[i].taps * cases[i].inputs,
                                                  PX_RANDOM);
            PX_BOTH(sides, mask, .weight = weight.on[side], .inputs = cases[i].inputs, .centre = cases[i].centre,
                    .colours = cases[i].colours, .period = cases[i].period, .strict = strict);
            PX_EXPECT(sides, mask, weight);
        }
}

/* The numbers of a row that is sampled. */
static px_pair sample_numbers(px_sides *sides, int row, double temperature) {
    const px_pair numbers = px_sides_doubles(sides, 1, PX_SAMPLE_NUMBERS, PX_POISONED);
    PX_BOTH(sides, upload_scalars, .y = numbers.on[side],
            .value = {[PX_SAMPLE_ROW] = row,
                      [PX_SAMPLE_SEED_HIGH] = 0xfedcba98u,
                      [PX_SAMPLE_SEED_LOW] = 0xffffffffu,
                      [PX_SAMPLE_FIRST_IMAGE] = 1000,
                      [PX_SAMPLE_TEMPERATURE] = temperature});
    return numbers;
}

void px_check_normalize(px_sides *sides) {
    for (size_t i = 0; i < PX_COUNT(px_tensor_cases); i++) {
        const int count = i % 2 ? 256 : 2;
        px_sides_case(sides, "%zu x %d of %d levels", px_tensor_cases[i].rows, px_tensor_cases[i].columns, count);
        const px_pair image = px_sides_levels(sides, px_tensor_cases[i].rows, px_tensor_cases[i].columns, count);
        const px_pair values = px_sides_activations(sides, px_tensor_cases[i].rows, px_tensor_cases[i].columns,
                                                    PX_POISONED);
        PX_BOTH(sides, normalize, .image = image.on[side], .values = values.on[side], .levels = count);
        PX_EXPECT(sides, normalize, values);
    }
    px_sides_case(sides, "%s", "3 columns of 7");
    const px_pair image = px_sides_levels(sides, 5, 7, 256), values = px_sides_activations(sides, 5, 3, PX_POISONED);
    PX_BOTH(sides, normalize, .image = image.on[side], .values = values.on[side], .levels = 256, .first = 2);
    PX_EXPECT(sides, normalize, values);
    px_sides_case(sides, "%s", "values 1 to 3 of row 1");
    const px_pair numbers = sample_numbers(sides, 1, 1);
    PX_BOTH(sides, normalize, .image = image.on[side], .values = values.on[side], .numbers = numbers.on[side],
            .levels = 256, .row_values = 3, .first = 1);
    PX_EXPECT(sides, normalize, values);
}

void px_check_gather_row(px_sides *sides) {
    for (size_t g = 0; g < PX_COUNT(px_grid_cases); g++) {
        const px_grid grid = px_grid_cases[g];
        px_sides_case(sides, "%d images of %d x %d", grid.images, grid.height, grid.width);
        const px_pair numbers = sample_numbers(sides, grid.height / 2, 1);
        const px_pair x = px_sides_activations(sides, px_grid_pixels(&grid), 5, PX_RANDOM),
                      y = px_sides_activations(sides, (size_t)(grid.width * grid.images), 5, PX_POISONED);
        PX_BOTH(sides, gather_row, .grid = grid, .x = x.on[side], .numbers = numbers.on[side], .y = y.on[side]);
        PX_EXPECT(sides, gather_row, y);
    }
}

void px_check_activate(px_sides *sides) {
    for (size_t i = 0; i < PX_COUNT(px_tensor_cases) * 4; i++) {
        const size_t rows = px_tensor_cases[i / 4].rows;
        const int columns = px_tensor_cases[i / 4].columns, first = i % 2 ? columns / 3 : 0;
        const bool plain = i / 2 % 2;
        px_sides_case(sides, "%zu x %d from column %d, %s", rows, columns, first,
                      plain ? "in place" : "added, copied, with relu");
        const px_pair sum = px_sides_reals(sides, rows, columns, PX_RANDOM),
                      bias = px_sides_activations(sides, plain && rows > 0 ? rows : 1, columns, PX_RANDOM);
        const px_pair add = plain ? px_pair_absent : px_sides_activations(sides, rows, columns, PX_RANDOM);
        const px_pair y = plain ? px_pair_absent : px_sides_activations(sides, rows, columns, PX_RANDOM);
        const px_pair relu_out = plain ? px_pair_absent : px_sides_activations(sides, rows, columns, PX_RANDOM);
        PX_BOTH(sides, activate, .sum = sum.on[side], .bias = bias.on[side], .add = add.on[side], .y = y.on[side],
                .relu_out = relu_out.on[side], .first = first, .count = columns - first);
        PX_EXPECT(sides, activate, sum);
        if (!plain) PX_EXPECT(sides, activate, y);
        if (!plain) PX_EXPECT(sides, activate, relu_out);
    }
}

void px_check_lstm_update(px_sides *sides) {
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
        px_sides_case(sides, "%zu rows of %d layers, %d features from %d of %d", cases[i].rows, cases[i].layers,
                      cases[i].count, cases[i].first, D);
        const px_pair pre = px_sides_reals(sides, all, 4 * D, PX_RANDOM),
                      bias = px_sides_activations(sides, (size_t)cases[i].layers, 4 * D, PX_RANDOM);
        const px_pair c = px_sides_reals(sides, all, D, PX_RANDOM), h = px_sides_activations(sides, all, D, PX_RANDOM);
        const px_pair add = cases[i].added ? px_sides_activations(sides, all, D, PX_RANDOM) : px_pair_absent;
        const px_pair sum = cases[i].summed ? px_sides_activations(sides, all, D, PX_RANDOM) : px_pair_absent;
        PX_BOTH(sides, lstm_update, .pre = px_tensor_first_rows(pre.on[side], cases[i].rows),
                .bias = px_tensor_first_rows(bias.on[side], 1), .c = c.on[side], .h = h.on[side], .add = add.on[side],
                .sum = sum.on[side], .first = cases[i].first, .count = cases[i].count, .layers = cases[i].layers,
                .stride_pre = cases[i].apart, .stride_bias = (size_t)(4 * D), .stride_c = cases[i].apart,
                .stride_h = cases[i].apart);
        PX_EXPECT(sides, lstm_update, c);
        PX_EXPECT(sides, lstm_update, h);
        if (cases[i].summed) PX_EXPECT(sides, lstm_update, sum);
    }
}

void px_check_softmax_nll(px_sides *sides) {
    static const int counts[] = {2, 3, 32, 33, 255, 256};
    static const size_t rows[] = {0, 1, 7, 1000};
    for (size_t i = 0; i < PX_COUNT(counts) * PX_COUNT(rows) * 2; i++) {
        const int count = counts[i / 2 / PX_COUNT(rows)];
        const size_t values = rows[i / 2 % PX_COUNT(rows)];
        px_sides_case(sides, "%zu values of %d levels, gradient %zu", values, count, i % 2);
        const px_pair logits = px_sides_activations(sides, values, count, PX_RANDOM),
                      target = px_sides_levels(sides, values, 1, count);
        const px_pair nll = px_sides_reals(sides, values, 1, PX_POISONED);
        PX_BOTH(sides, softmax_nll, .logits = logits.on[side], .target = target.on[side], .nll = nll.on[side],
                .gradient = i % 2 != 0, .scale = (px_real)0.125);
        PX_EXPECT(sides, softmax_nll, logits);
        PX_EXPECT(sides, softmax_nll, nll);
    }
}

void px_check_sum_columns(px_sides *sides) {
    for (size_t i = 0; i < PX_COUNT(px_tensor_cases); i++) {
        px_sides_case(sides, "%zu x %d", px_tensor_cases[i].rows, px_tensor_cases[i].columns);
        const px_pair x = px_sides_reals(sides, px_tensor_cases[i].rows, px_tensor_cases[i].columns, PX_RANDOM);
        const px_pair sum = px_sides_doubles(sides, px_tensor_cases[i].rows, 1, PX_POISONED);
        PX_BOTH(sides, sum_columns, .x = x.on[side], .sum = sum.on[side]);
        PX_EXPECT(sides, sum_columns, sum);
    }
}

void px_check_sample(px_sides *sides) {
    static const int counts[] = {2, 5, 256};
    for (size_t i = 0; i < PX_COUNT(counts) * 2; i++) {
        const int count = counts[i / 2];
        const size_t images = i % 2 ? 65 : 1;
        px_sides_case(sides, "%zu images, %d levels", images, count);
        const px_pair logits = px_sides_activations(sides, images, 3 * count + 1, PX_RANDOM),
                      image = px_sides_levels(sides, images, 6, count);
        const px_pair nats = px_sides_doubles(sides, images, 1, PX_RANDOM);
        const px_pair numbers = sample_numbers(sides, 2, i % 4 ? 0.5 : 1);
        PX_BOTH(sides, sample, .logits = logits.on[side], .image = image.on[side], .nats = nats.on[side],
                .numbers = numbers.on[side], .offset = (size_t)count + 1, .levels = count, .row_values = 2, .value = 1,
                .key = i);
        PX_EXPECT(sides, sample, image);
        PX_EXPECT(sides, sample, nats);
    }
}

void px_check_add_gradients(px_sides *sides) {
    for (size_t i = 0; i < PX_COUNT(px_tensor_cases); i++) {
        px_sides_case(sides, "%zu x %d", px_tensor_cases[i].rows, px_tensor_cases[i].columns);
        const px_pair x = px_sides_reals(sides, px_tensor_cases[i].rows, px_tensor_cases[i].columns, PX_RANDOM);
        const px_pair sum = px_sides_reals(sides, px_tensor_cases[i].rows, px_tensor_cases[i].columns, PX_RANDOM);
        PX_BOTH(sides, add_gradients, .x = x.on[side], .sum = sum.on[side]);
        PX_EXPECT(sides, add_gradients, sum);
    }
}

void px_check_sum_squares(px_sides *sides) {
    for (size_t i = 0; i < PX_COUNT(px_tensor_cases); i++) {
        px_sides_case(sides, "%zu x %d", px_tensor_cases[i].rows, px_tensor_cases[i].columns);
        const px_pair x = px_sides_reals(sides, px_tensor_cases[i].rows, px_tensor_cases[i].columns, PX_RANDOM);
        const px_pair sum = px_sides_doubles(sides, px_tensor_cases[i].rows, 1, PX_POISONED);
        PX_BOTH(sides, sum_squares, .x = x.on[side], .sum = sum.on[side]);
        PX_EXPECT(sides, sum_squares, sum);
    }
}

void px_check_clip(px_sides *sides) {
    static const double clips[] = {0, 0.5, 1e9};
    for (size_t i = 0; i < PX_COUNT(px_tensor_cases) * PX_COUNT(clips); i++) {
        const size_t rows = px_tensor_cases[i % PX_COUNT(px_tensor_cases)].rows;
        px_sides_case(sides, "%zu squares, clip %g", rows, clips[i / PX_COUNT(px_tensor_cases)]);
        const px_pair squares = px_sides_doubles(sides, rows, 1, PX_POSITIVE),
                      scale = px_sides_doubles(sides, 1, 2, PX_POISONED);
        PX_BOTH(sides, clip, .squares = squares.on[side], .scale = scale.on[side],
                .clip = clips[i / PX_COUNT(px_tensor_cases)]);
        PX_EXPECT(sides, clip, scale);
    }
}

void px_check_upload_scalars(px_sides *sides) {
    for (int columns = 1; columns <= PX_MAX_SCALARS; columns++) {
        px_sides_case(sides, "%d numbers", columns);
        const px_pair y = px_sides_doubles(sides, 1, columns, PX_POISONED);
        PX_BOTH(sides, upload_scalars, .y = y.on[side], .value = {0.1, -3, 1e-300, 7, 0xffffffffu});
        PX_EXPECT(sides, upload_scalars, y);
    }
}

/* The tensors of an optimiser update. */
typedef struct update {
    px_pair weights, gradients, first, second, scale, numbers;
} update;

static update update_of(px_sides *sides, const px_tensor_case *m) {
    px_sides_case(sides, "%zu x %d", m->rows, m->columns);
    return (update){px_sides_reals(sides, m->rows, m->columns, PX_RANDOM),
                    px_sides_reals(sides, m->rows, m->columns, PX_RANDOM),
                    px_sides_reals(sides, m->rows, m->columns, PX_RANDOM),
                    px_sides_reals(sides, m->rows, m->columns, PX_POSITIVE),
                    px_sides_doubles(sides, 1, 2, PX_POSITIVE),
                    px_sides_doubles(sides, 1, PX_UPDATE_NUMBERS, PX_POSITIVE)};
}

void px_check_sgd(px_sides *sides) {
    for (size_t i = 0; i < PX_COUNT(px_tensor_cases); i++) {
        const update u = update_of(sides, &px_tensor_cases[i]);
        PX_BOTH(sides, sgd, .weights = u.weights.on[side], .gradients = u.gradients.on[side], .scale = u.scale.on[side],
                .numbers = u.numbers.on[side]);
        PX_EXPECT(sides, sgd, u.weights);
    }
}

void px_check_rmsprop(px_sides *sides) {
    for (size_t i = 0; i < PX_COUNT(px_tensor_cases); i++) {
        const update u = update_of(sides, &px_tensor_cases[i]);
        PX_BOTH(sides, rmsprop, .weights = u.weights.on[side], .gradients = u.gradients.on[side],
                .second = u.second.on[side], .scale = u.scale.on[side], .numbers = u.numbers.on[side],
                .rho = (px_real)0.95, .epsilon = (px_real)1e-4);
        PX_EXPECT(sides, rmsprop, u.weights);
        PX_EXPECT(sides, rmsprop, u.second);
    }
}

void px_check_adam(px_sides *sides) {
    for (size_t i = 0; i < PX_COUNT(px_tensor_cases); i++) {
        const update u = update_of(sides, &px_tensor_cases[i]);
        PX_BOTH(sides, adam, .weights = u.weights.on[side], .gradients = u.gradients.on[side],
                .first = u.first.on[side], .second = u.second.on[side], .scale = u.scale.on[side],
                .numbers = u.numbers.on[side], .beta1 = (px_real)0.9, .beta2 = (px_real)0.999,
                .epsilon = (px_real)1e-8);
        PX_EXPECT(sides, adam, u.weights);
        PX_EXPECT(sides, adam, u.first);
        PX_EXPECT(sides, adam, u.second);
    }
}

void px_check_ema(px_sides *sides) {
    for (size_t i = 0; i < PX_COUNT(px_tensor_cases); i++) {
        const update u = update_of(sides, &px_tensor_cases[i]);
        PX_BOTH(sides, ema, .weights = u.weights.on[side], .average = u.first.on[side], .scale = u.scale.on[side],
                .decay = (px_real)0.9);
        PX_EXPECT(sides, ema, u.first);
    }
}
