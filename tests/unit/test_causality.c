/* Causality by perturbation: a changed value changes the logits that may depend on it, and no others. A changed number
 * of the condition may change any logit, but of an image only those near enough.
 *
 * The dependencies are computed here from the equations alone, tap by tap and feature by feature, as sets of values.
 * Then each value of an image is changed in turn, and each number of its condition. Logits that may not depend on it
 * must keep all bits; the others must change. A relu can hide a dependency, so a dependency counts if it shows for any
 * of several weights and images. */
#include "tests/support/model.h"
#include <omp.h>
#include <string.h>

/* ---- Expected dependencies ---- */

enum { WORDS = 4, MAX_VALUES = 64 * WORDS, MAX_TAPS = 28 };

/* A set of an image's values, then the label or the values of the smaller image: the sources of a logit. */
typedef struct value_set {
    uint64_t word[WORDS];
} value_set;

static void join(value_set *to, const value_set *from) {
    for (int w = 0; w < WORDS; w++) to->word[w] |= from->word[w];
}
static void insert(value_set *set, size_t value) { set->word[value / 64] |= (uint64_t)1 << (value % 64); }
static bool contains(const value_set *set, size_t value) { return set->word[value / 64] >> (value % 64) & 1; }

/* A set for each feature of each pixel: the values it may depend on. */
typedef struct set_tensor {
    int features;
    value_set *set; /* (H W, features) */
} set_tensor;

static set_tensor make_sets(const px_model_spec *s, int features) {
    set_tensor sets = {features, calloc((size_t)(s->height * s->width * features), sizeof(value_set))};
    assert_non_null(sets.set);
    return sets;
}

/* The set of a feature at pixel (i, j); NULL outside the image. */
static value_set *at(const px_model_spec *s, const set_tensor *sets, int i, int j, int feature) {
    if (i < 0 || i >= s->height || j < 0 || j >= s->width) return NULL;
    return &sets->set[(i * s->width + j) * sets->features + feature];
}

typedef enum { CENTRE_NONE, CENTRE_A, CENTRE_B } centre_tap;
typedef struct convolution {
    centre_tap centre; /* mask of the tap at the pixel itself; CENTRE_NONE: there is no such tap */
    int others;        /* the number of other taps, which have no mask */
    px_tap at[MAX_TAPS];
} convolution;

/* The union of the features that the other taps read at pixel (i, j). */
static value_set read_others(const px_model_spec *s, const convolution *conv, const set_tensor *from, int i, int j) {
    value_set all = {0};
    for (int t = 0; t < conv->others; t++) {
        const value_set *pixel = at(s, from, i + conv->at[t].row, j + conv->at[t].column, 0);
        for (int a = 0; pixel && a < from->features; a++) join(&all, &pixel[a]);
    }
    return all;
}

/* Adds the features that the centre tap of output b reads. Outputs are grouped by colour anew every `period`. */
static void read_centre(const px_model_spec *s, centre_tap centre, const value_set *from, int features, int b,
                        int period, value_set *reads) {
    const int group = b % period * s->channels / period;
    for (int a = 0; a < features; a++) {
        const int other = a * s->channels / features;
        if (centre == CENTRE_A ? other < group : centre == CENTRE_B && other <= group) join(reads, &from[a]);
    }
}

/* A masked convolution. Outputs are `parts` tensors (gates), each grouped by colour on its own. */
static void convolve(const px_model_spec *s, const convolution *conv, const set_tensor *from, set_tensor *to,
                     int parts) {
    for (int i = 0; i < s->height; i++)
        for (int j = 0; j < s->width; j++) {
            const value_set beside = read_others(s, conv, from, i, j);
            for (int b = 0; b < to->features; b++) {
                join(at(s, to, i, j, b), &beside);
                read_centre(s, conv->centre, at(s, from, i, j, 0), from->features, b, to->features / parts,
                            at(s, to, i, j, b));
            }
        }
}

/* An LSTM: a += state_to_state(h), unmasked; c from f, i, g and the cell at offset `before`; h from o and c. Rows are
 * visited from the top, columns from the left or from the right. */
static void lstm(const px_model_spec *s, const convolution *conv, px_tap before, bool from_right, set_tensor *a,
                 set_tensor *h) {
    const int D = h->features;
    set_tensor c = make_sets(s, D);
    for (int i = 0; i < s->height; i++)
        for (int k = 0; k < s->width; k++) {
            const int j = from_right ? s->width - 1 - k : k;
            const value_set states = read_others(s, conv, h, i, j);
            for (int d = 0; d < D; d++) {
                value_set *cell = at(s, &c, i, j, d), *state = at(s, h, i, j, d);
                const value_set *old = at(s, &c, i + before.row, j + before.column, d);
                join(cell, &states);
                for (int gate = 1; gate < 4; gate++) join(cell, at(s, a, i, j, gate * D + d)); /* f, i, g */
                if (old) join(cell, old);
                join(state, cell);
                join(state, at(s, a, i, j, d)); /* o */
            }
        }
    free(c.set);
}

/* ---- Conditions ---- */

static size_t conditions_of(const px_model_spec *s) {
    return s->condition.kind == PX_CONDITION_CLASS ? 1 : px_test_condition_bytes(s);
}
static size_t sources_of(const px_model_spec *s) { return px_test_values(s) + conditions_of(s); }

/* The first and the last pixel of the smaller image, along an axis of `size` pixels, that reach pixel `at` of the
 * conditioning map: 3 x 3 convolutions, each of which follows a step to twice the size, and the stem. */
static void reach(int size, int scale, int at, int ends[2]) {
    ends[0] = ends[1] = at;
    for (int f = 1; f <= scale; f *= 2) {
        ends[0] = ends[0] > 0 ? ends[0] - 1 : 0;
        ends[1] = ends[1] + 1 < size / f ? ends[1] + 1 : size / f - 1;
        for (int e = 0; e < 2 && f < scale; e++) ends[e] /= 2;
    }
}

/* What biases pixel (i, j). */
static value_set condition_at(const px_model_spec *s, int i, int j) {
    value_set set = {0};
    const size_t values = px_test_values(s);
    const int f = s->condition.scale;
    int rows[2], columns[2];
    if (s->condition.kind == PX_CONDITION_CLASS) insert(&set, values);
    if (s->condition.kind != PX_CONDITION_IMAGE) return set;
    reach(s->height, f, i, rows);
    reach(s->width, f, j, columns);
    for (int row = rows[0]; row <= rows[1]; row++)
        for (int v = columns[0] * s->channels; v < (columns[1] + 1) * s->channels; v++)
            insert(&set, values + (size_t)(row * (s->width / f) * s->channels + v));
    return set;
}

static void add_condition(const px_model_spec *s, set_tensor *a) {
    for (int i = 0; i < s->height; i++)
        for (int j = 0; j < s->width; j++) {
            const value_set condition = condition_at(s, i, j);
            for (int feature = 0; feature < a->features; feature++) join(at(s, a, i, j, feature), &condition);
        }
}

/* ---- Blocks ---- */

static void depend_pixelcnn(const px_model_spec *s, const set_tensor *u, set_tensor *y) {
    const convolution one = {.centre = CENTRE_B};
    const convolution top = {CENTRE_B, 4, {{-1, -1}, {-1, 0}, {-1, 1}, {0, -1}}};
    set_tensor reduced = make_sets(s, s->hidden), convolved = make_sets(s, s->hidden);
    convolve(s, &one, u, &reduced, 1);
    convolve(s, &top, &reduced, &convolved, 1);
    add_condition(s, &convolved);
    convolve(s, &one, &convolved, y, 1);
    free(reduced.set);
    free(convolved.set);
}

static void depend_row_lstm(const px_model_spec *s, const set_tensor *u, set_tensor *y) {
    const convolution input = {CENTRE_B, 1, {{0, -1}}}, state = {CENTRE_NONE, 3, {{-1, -1}, {-1, 0}, {-1, 1}}};
    const convolution one = {.centre = CENTRE_B};
    set_tensor a = make_sets(s, 4 * s->hidden), h = make_sets(s, s->hidden);
    convolve(s, &input, u, &a, 4);
    add_condition(s, &a);
    lstm(s, &state, (px_tap){-1, 0}, false, &a, &h);
    convolve(s, &one, &h, y, 1);
    free(a.set);
    free(h.set);
}

static void depend_diagonal_bilstm(const px_model_spec *s, const set_tensor *u, set_tensor *y) {
    const convolution one = {.centre = CENTRE_B};
    set_tensor sum = make_sets(s, s->hidden);
    for (int side = 0; side < 2; side++) {
        const int beside = side ? 1 : -1;
        const convolution state = {CENTRE_NONE, 2, {{-1, 0}, {0, beside}}};
        set_tensor a = make_sets(s, 4 * s->hidden), h = make_sets(s, s->hidden);
        convolve(s, &one, u, &a, 4);
        add_condition(s, &a);
        lstm(s, &state, (px_tap){0, beside}, side, &a, &h);
        for (int i = side; i < s->height; i++) /* h_right moves down by a row */
            for (int j = 0; j < s->width; j++)
                for (int d = 0; d < s->hidden; d++) join(at(s, &sum, i, j, d), at(s, &h, i - side, j, d));
        free(a.set);
        free(h.set);
    }
    convolve(s, &one, &sum, y, 1);
    free(sum.set);
}

static void copy_sets(const px_model_spec *s, const set_tensor *from, set_tensor *to) {
    memcpy(to->set, from->set, (size_t)(s->height * s->width * from->features) * sizeof(value_set));
}

/* The sources that the logits of each value may depend on: (H W, C) sets, which the caller frees. */
static set_tensor expected_dependencies(const px_model_spec *s) {
    static void (*const blocks[])(const px_model_spec *, const set_tensor *,
                                  set_tensor *) = {[PX_MODEL_PIXELCNN] = depend_pixelcnn,
                                                   [PX_MODEL_ROW_LSTM] = depend_row_lstm,
                                                   [PX_MODEL_DIAGONAL_BILSTM] = depend_diagonal_bilstm};
    const convolution one = {.centre = CENTRE_B};
    convolution stem = {.centre = CENTRE_A};
    for (int i = -3; i <= 0; i++)
        for (int j = -3; j <= 3 && !(i == 0 && j == 0); j++) stem.at[stem.others++] = (px_tap){i, j};
    set_tensor image = make_sets(s, s->channels), u = make_sets(s, 2 * s->hidden), skips = make_sets(s, 2 * s->hidden);
    for (size_t v = 0; v < px_test_values(s); v++) insert(&image.set[v], v);
    convolve(s, &stem, &image, &u, 1);
    for (int l = 0; l < s->layers; l++) {
        set_tensor y = make_sets(s, 2 * s->hidden);
        if (s->residual) copy_sets(s, &u, &y);
        blocks[s->kind](s, &u, &y);
        if (s->skip) convolve(s, &one, &y, &skips, 1);
        free(u.set);
        u = y;
    }
    for (size_t e = 0; e < px_test_values(s) / (size_t)s->channels * 2 * (size_t)s->hidden; e++)
        join(&u.set[e], &skips.set[e]);
    set_tensor head[] = {make_sets(s, s->head), make_sets(s, s->head), make_sets(s, s->channels)};
    convolve(s, &one, &u, &head[0], 1);
    convolve(s, &one, &head[0], &head[1], 1);
    convolve(s, &one, &head[1], &head[2], 1); /* all L logits of a value are of its own group */
    set_tensor *done[] = {&image, &u, &skips, &head[0], &head[1]};
    for (int i = 0; i < 5; i++) free(done[i]->set);
    return head[2];
}

/* ---- Measured dependencies ---- */

enum { MIN_TRIALS = 6, MAX_TRIALS = 300 }; /* more than the minimum while an expected dependency has not shown */

typedef struct batch {
    int images;
    uint8_t *levels, *conditions;
} batch;

/* Copies of one image and its condition, one for each source. */
static batch make_batch(const px_model_spec *s, uint64_t seed) {
    const size_t values = px_test_values(s), bytes = px_test_condition_bytes(s), images = sources_of(s);
    uint8_t *image = px_test_images(s, 1, seed), *condition = px_test_conditions(s, 1, seed);
    const batch b = {(int)images, malloc(images * values), malloc(images * bytes + 1)};
    assert_true(b.levels && b.conditions);
    for (size_t n = 0; n < images; n++) {
        memcpy(b.levels + n * values, image, values);
        memcpy(b.conditions + n * bytes, condition, bytes);
    }
    free(image);
    free(condition);
    return b;
}

/* Changes source n of image n. */
static void change_batch(const px_model_spec *s, batch *b) {
    const size_t values = px_test_values(s), bytes = px_test_condition_bytes(s);
    for (size_t n = 0; n < (size_t)b->images; n++) {
        uint8_t *source = n < values ? b->levels + n * values + n : b->conditions + n * bytes + n - values;
        if (n >= values && s->condition.kind == PX_CONDITION_CLASS)
            px_condition_set_label(source, (px_condition_label(source) + 1) % s->condition.classes);
        else
            *source = *source < s->levels / 2 ? (uint8_t)(s->levels - 1) : 0;
    }
}

/* The logits of a batch, (N, H W C L). The caller frees them. */
static px_real *logits_of(px_model *model, const batch *b) {
    px_device *device = px_model_device(model);
    px_tensor logits;
    assert_ok(device->ctx, px_model_upload_batch(model, b->levels, b->conditions, b->images));
    assert_ok(device->ctx, px_model_logits(model, b->images, &logits));
    return px_test_download(device, logits);
}

/* One trial. The first batch has copies of one image; in the second, source n of image n is changed. Equal inputs at
 * the same place of a batch give the same bits. Adds to seen[target] the sources that changed its logits. */
static void perturb(px_device *device, const px_model_spec *s, uint64_t seed, value_set *seen) {
    const size_t values = px_test_values(s), L = (size_t)s->levels;
    px_model *model = px_test_model(device, s, seed);
    batch b = make_batch(s, seed);
    assert_ok(device->ctx, px_model_reserve(model, b.images, PX_PURPOSE_EVALUATE));
    px_real *before = logits_of(model, &b);
    change_batch(s, &b);
    px_real *after = logits_of(model, &b);
    for (size_t n = 0; n < (size_t)b.images; n++)
        for (size_t target = 0; target < values; target++) {
            const size_t logits = (n * values + target) * L;
            if (memcmp(before + logits, after + logits, L * sizeof *before) != 0) insert(&seen[target], n);
        }
    free(before);
    free(after);
    free(b.levels);
    free(b.conditions);
    px_model_destroy(model);
}

/* "(row, column, channel)" of a value, or a number of the condition. Two results are valid at a time. */
static const char *position_text(const px_model_spec *s, size_t value) {
    static char text[2][48];
    static int turn;
    const int v = (int)value, pixel = v / s->channels;
    turn = !turn;
    if (value >= px_test_values(s)) {
        snprintf(text[turn], sizeof text[turn], "%zu of the condition", value - px_test_values(s));
        return text[turn];
    }
    snprintf(text[turn], sizeof text[turn], "(%d, %d, %d)", pixel / s->width, pixel % s->width, v % s->channels);
    return text[turn];
}

static void check_seen(const px_model_spec *s, const set_tensor *expected, const value_set *seen) {
    const size_t values = px_test_values(s);
    for (size_t target = 0; target < values; target++)
        for (size_t source = 0; source < sources_of(s); source++) {
            const bool found = contains(&seen[target], source), want = contains(&expected->set[target], source);
            if (want && source >= target && source < values)
                fail_msg("%s: by the equations value %s depends on %s, which is not before it", px_test_name(s),
                         position_text(s, target), position_text(s, source));
            if (found && !want)
                fail_msg("%s: changing value %s changes the logits of %s, %s; expected the same bits", px_test_name(s),
                         position_text(s, source), position_text(s, target),
                         source >= target && source < values ? "which must not depend on it"
                                                             : "whose receptive field does not contain it");
            if (want && !found)
                fail_msg("%s: changing value %s keeps all bits of the logits of %s in %d trials; expected a change",
                         px_test_name(s), position_text(s, source), position_text(s, target), MAX_TRIALS);
        }
}

static bool all_seen(const px_model_spec *s, const set_tensor *expected, const value_set *seen) {
    for (size_t target = 0; target < px_test_values(s); target++)
        for (int w = 0; w < WORDS; w++)
            if (expected->set[target].word[w] & ~seen[target].word[w]) return false;
    return true;
}

static void check_model(px_device *device, const px_model_spec *s, const set_tensor *expected) {
    value_set seen[MAX_VALUES] = {0};
    assert_true(sources_of(s) <= MAX_VALUES);
    for (uint64_t trial = 0; trial < MAX_TRIALS; trial++) {
        if (trial >= MIN_TRIALS && all_seen(s, expected, seen)) break;
        perturb(device, s, trial + 1, seen);
    }
    check_seen(s, expected, seen);
}

static void test_case(void **state) {
    const px_model_spec *s = *state;
    px_context ctx = {0};
    px_device *device = px_test_device(&ctx);
    set_tensor expected = expected_dependencies(s);
    check_model(device, s, &expected);
    free(expected.set);
    px_device_close(device);
}

/* ---- Documented properties ---- */

/* The dependencies that a Diagonal BiLSTM lacks: the last value of the row above, for pixels so far to the left that
 * the stem does not reach it. Only later pixels read that value, and its row has none that could pass it on. (Earlier
 * colours of the same pixel are read by its later colours, because of mask A, and so reach all pixels.) */
static bool lacks(const px_model_spec *s, size_t target, size_t source) {
    const int C = s->channels, pixel = (int)target / C, from = (int)source / C;
    const int i = pixel / s->width, j = pixel % s->width;
    return from / s->width == i - 1 && from % s->width == s->width - 1 && (int)source % C == C - 1 &&
           j + 3 < s->width - 1;
}

static void test_diagonal_bilstm_lacks_one_value(void **state) {
    (void)state;
    px_context ctx = {0};
    px_device *device = px_test_device(&ctx);
    for (int i = 0; i < 6; i++) {
        const px_model_spec s = {.kind = PX_MODEL_DIAGONAL_BILSTM,
                                 .layers = 1 + i / 2,
                                 .hidden = 5,
                                 .head = 7,
                                 .residual = true,
                                 .height = 3,
                                 .width = 12,
                                 .channels = i % 2 ? 3 : 1,
                                 .levels = 5};
        set_tensor expected = expected_dependencies(&s);
        const size_t values = px_test_values(&s);
        int count = 0;
        for (size_t target = 0; target < values; target++)
            for (size_t source = 0; source < target; source++) {
                const bool found = !contains(&expected.set[target], source), want = lacks(&s, target, source);
                if (found != want)
                    fail_msg("%s: by the equations value %s %s %s", px_test_name(&s), position_text(&s, target),
                             found ? "does not depend on" : "depends on", position_text(&s, source));
                count += found;
            }
        print_message("  %s: %d pairs are independent: the last value of a row, and columns 0..%d of the next\n",
                      px_test_name(&s), count, s.width - 5);
        assert_int_equal(count, (s.height - 1) * (s.width - 4) * s.channels);
        check_model(device, &s, &expected);
        free(expected.set);
    }
    px_device_close(device);
}

/* px_model_receptive_field covers all dependencies, and is exact for a PixelCNN. */
static void test_receptive_field(void **state) {
    (void)state;
    for (int i = 0; i < 12; i++) {
        const px_model_spec s = {.kind = (px_model_kind)(i % 3),
                                 .layers = 1 + i / 6,
                                 .hidden = 3,
                                 .head = 3,
                                 .residual = i / 3 % 2,
                                 .height = 7,
                                 .width = 11,
                                 .channels = 1,
                                 .levels = 2};
        const px_receptive_field field = px_model_receptive_field(&s);
        px_receptive_field found = {0, 0, 0};
        set_tensor expected = expected_dependencies(&s);
        for (int target = 0; target < s.height * s.width; target++)
            for (int source = 0; source < target; source++) {
                if (!contains(&expected.set[target], (size_t)source)) continue;
                const int above = target / s.width - source / s.width, right = source % s.width - target % s.width;
                if (above > found.above) found.above = above;
                if (right > found.right) found.right = right;
                if (-right > found.left) found.left = -right;
            }
        free(expected.set);
        const bool exact = s.kind == PX_MODEL_PIXELCNN;
        if (exact ? found.above != field.above || found.left != field.left || found.right != field.right
                  : found.above > field.above || found.left > field.left || found.right > field.right)
            fail_msg("%s: the equations reach %d up, %d left, %d right; px_model_receptive_field says %d, %d, %d",
                     px_test_name(&s), found.above, found.left, found.right, field.above, field.left, field.right);
    }
}

enum { KINDS = 3, PLAIN = KINDS * 2 * 4, CONDITIONS = 5, CASES = PLAIN + KINDS * CONDITIONS };

static px_model_spec case_of(int i) {
    static const int sides[][2] = {{4, 7}, {7, 4}, {3, 9}, {5, 6}, {1, 10}, {9, 1}};
    static const struct {
        int height, width, channels;
        px_condition condition;
    } conditional[CONDITIONS] = {{3, 5, 1, PX_TEST_CLASS(4)},
                                 {4, 2, 3, PX_TEST_CLASS(2)},
                                 {4, 8, 1, PX_TEST_IMAGE(2)},
                                 {6, 2, 3, PX_TEST_IMAGE(2)},
                                 {4, 16, 1, PX_TEST_IMAGE(4)}};
    px_model_spec s = {.kind = (px_model_kind)(i / 8),
                       .layers = 1 + i % 3,
                       .hidden = i % 4 < 2 ? 7 : 5,
                       .head = 7,
                       .residual = i % 2,
                       .skip = i / 2 % 2,
                       .height = sides[i % 6][0],
                       .width = sides[i % 6][1],
                       .channels = i / 4 % 2 ? 3 : 1,
                       .levels = 5};
    if (i < PLAIN) return s;
    const int c = (i - PLAIN) % CONDITIONS;
    s.kind = (px_model_kind)((i - PLAIN) / CONDITIONS);
    s.height = conditional[c].height, s.width = conditional[c].width, s.channels = conditional[c].channels;
    s.condition = conditional[c].condition;
    return s;
}

int main(void) {
    static px_model_spec specs[CASES];
    static char names[CASES][192];
    struct CMUnitTest tests[CASES + 2];
    omp_set_num_threads(1); /* these models take less time than starting threads */
    for (int i = 0; i < CASES; i++) {
        specs[i] = case_of(i);
        snprintf(names[i], sizeof names[i], "%s", px_test_name(&specs[i]));
        tests[i] = (struct CMUnitTest){names[i], test_case, NULL, NULL, &specs[i]};
    }
    tests[CASES] = (struct CMUnitTest)cmocka_unit_test(test_diagonal_bilstm_lacks_one_value);
    tests[CASES + 1] = (struct CMUnitTest)cmocka_unit_test(test_receptive_field);
    return _cmocka_run_group_tests("causality", tests, CASES + 2, NULL, NULL);
}
