/* Causality by perturbation: a changed value reaches the logits that it should, and no others.
 *
 * Which values each logit may read is worked out here from the equations alone, tap by tap and feature by feature,
 * as sets of values. Then every value of an image is changed in turn, and each value's logits must differ exactly if
 * the set says so: bit for bit the same where it does not, whatever stands between. A relu can hide a dependency, so it
 * counts as seen if it shows with any of a few weights and images. */
#include "tests/support/model.h"
#include <omp.h>
#include <string.h>

/* --- What can be seen --------------------------------------------------------------------------------------------- */

enum { WORDS = 4, MOST_VALUES = 64 * WORDS, MOST_TAPS = 28 };

/* A set of an image's values. */
typedef struct px_set {
    uint64_t word[WORDS];
} px_set;

static void join(px_set *to, const px_set *from) {
    for (int w = 0; w < WORDS; w++) to->word[w] |= from->word[w];
}
static bool holds(const px_set *set, size_t value) {
    return set->word[value / 64] >> (value % 64) & 1;
}

/* A map of F sets a pixel: what each feature can depend on. */
typedef struct px_sets {
    int features;
    px_set *set; /* (H W, F) */
} px_sets;

static px_sets make_sets(const px_model_spec *s, int features) {
    px_sets sets = {features, calloc((size_t)(s->height * s->width * features), sizeof(px_set))};
    assert_non_null(sets.set);
    return sets;
}

/* The set of a feature at a pixel; NULL outside the image. */
static px_set *at(const px_model_spec *s, const px_sets *sets, int i, int j, int feature) {
    if (i < 0 || i >= s->height || j < 0 || j >= s->width) return NULL;
    return &sets->set[(i * s->width + j) * sets->features + feature];
}

typedef enum { CENTRE_NONE, CENTRE_A, CENTRE_B } px_centre;
typedef struct px_wires {
    px_centre centre;     /* how the pixel itself is read */
    int whole;            /* taps that read another pixel's features, all of them */
    px_tap at[MOST_TAPS]; /* where */
} px_wires;

/* What the taps beside the pixel read there. */
static px_set read_whole(const px_model_spec *s, const px_wires *wires, const px_sets *from, int i, int j) {
    px_set all = {0};
    for (int t = 0; t < wires->whole; t++) {
        const px_set *pixel = at(s, from, i + wires->at[t].row, j + wires->at[t].column, 0);
        for (int a = 0; pixel && a < from->features; a++) join(&all, &pixel[a]);
    }
    return all;
}

/* What output b's centre tap reads at a pixel, of the `from` features there. Outputs are grouped anew every `period`.
 */
static void read_centre(const px_model_spec *s, px_centre centre, const px_set *from, int features, int b, int period,
                        px_set *reads) {
    const int group = b % period * s->channels / period;
    for (int a = 0; a < features; a++) {
        const int other = a * s->channels / features;
        if (centre == CENTRE_A ? other < group : centre == CENTRE_B && other <= group) join(reads, &from[a]);
    }
}

/* A masked convolution: adds to what `to` can depend on. Outputs are `parts` tensors (gates), each grouped on its own.
 */
static void connect(const px_model_spec *s, const px_wires *wires, const px_sets *from, px_sets *to, int parts) {
    for (int i = 0; i < s->height; i++)
        for (int j = 0; j < s->width; j++) {
            const px_set beside = read_whole(s, wires, from, i, j);
            for (int b = 0; b < to->features; b++) {
                join(at(s, to, i, j, b), &beside);
                read_centre(s, wires->centre, at(s, from, i, j, 0), from->features, b, to->features / parts,
                            at(s, to, i, j, b));
            }
        }
}

/* The LSTM: a += state_to_state(h), unmasked; c from f, i, g and the cell at `before`; h from o and c. Rows from the
 * top, columns in the direction that `before` and the wires look back in. */
static void recur(const px_model_spec *s, const px_wires *wires, px_tap before, bool from_right, px_sets *a,
                  px_sets *h) {
    const int D = h->features;
    px_sets c = make_sets(s, D);
    for (int i = 0; i < s->height; i++)
        for (int place = 0; place < s->width; place++) {
            const int j = from_right ? s->width - 1 - place : place;
            const px_set states = read_whole(s, wires, h, i, j);
            for (int d = 0; d < D; d++) {
                px_set *cell = at(s, &c, i, j, d), *state = at(s, h, i, j, d);
                const px_set *old = at(s, &c, i + before.row, j + before.column, d);
                join(cell, &states);
                for (int gate = 1; gate < 4; gate++) join(cell, at(s, a, i, j, gate * D + d)); /* f, i, g */
                if (old) join(cell, old);
                join(state, cell);
                join(state, at(s, a, i, j, d)); /* o */
            }
        }
    free(c.set);
}

static void see_pixelcnn(const px_model_spec *s, const px_sets *u, px_sets *y) {
    const px_wires one = {.centre = CENTRE_B};
    const px_wires top = {CENTRE_B, 4, {{-1, -1}, {-1, 0}, {-1, 1}, {0, -1}}};
    px_sets reduced = make_sets(s, s->hidden), convolved = make_sets(s, s->hidden);
    connect(s, &one, u, &reduced, 1);
    connect(s, &top, &reduced, &convolved, 1);
    connect(s, &one, &convolved, y, 1);
    free(reduced.set);
    free(convolved.set);
}

static void see_row_lstm(const px_model_spec *s, const px_sets *u, px_sets *y) {
    const px_wires input = {CENTRE_B, 1, {{0, -1}}}, state = {CENTRE_NONE, 3, {{-1, -1}, {-1, 0}, {-1, 1}}};
    const px_wires one = {.centre = CENTRE_B};
    px_sets a = make_sets(s, 4 * s->hidden), h = make_sets(s, s->hidden);
    connect(s, &input, u, &a, 4);
    recur(s, &state, (px_tap){-1, 0}, false, &a, &h);
    connect(s, &one, &h, y, 1);
    free(a.set);
    free(h.set);
}

static void see_diagonal_bilstm(const px_model_spec *s, const px_sets *u, px_sets *y) {
    const px_wires one = {.centre = CENTRE_B};
    px_sets sum = make_sets(s, s->hidden);
    for (int side = 0; side < 2; side++) {
        const int beside = side ? 1 : -1;
        const px_wires state = {CENTRE_NONE, 2, {{-1, 0}, {0, beside}}};
        px_sets a = make_sets(s, 4 * s->hidden), h = make_sets(s, s->hidden);
        connect(s, &one, u, &a, 4);
        recur(s, &state, (px_tap){0, beside}, side, &a, &h);
        for (int i = side; i < s->height; i++) /* the right tensor moves down by a row */
            for (int j = 0; j < s->width; j++)
                for (int d = 0; d < s->hidden; d++) join(at(s, &sum, i, j, d), at(s, &h, i - side, j, d));
        free(a.set);
        free(h.set);
    }
    connect(s, &one, &sum, y, 1);
    free(sum.set);
}

static void copy_sets(const px_model_spec *s, const px_sets *from, px_sets *to) {
    memcpy(to->set, from->set, (size_t)(s->height * s->width * from->features) * sizeof(px_set));
}

/* What the logits of every value can depend on: (H W, C) sets, to be freed. */
static px_sets see(const px_model_spec *s) {
    static void (*const blocks[])(const px_model_spec *, const px_sets *,
                                  px_sets *) = {[PX_MODEL_PIXELCNN] = see_pixelcnn,
                                                [PX_MODEL_ROW_LSTM] = see_row_lstm,
                                                [PX_MODEL_DIAGONAL_BILSTM] = see_diagonal_bilstm};
    const px_wires one = {.centre = CENTRE_B};
    px_wires stem = {.centre = CENTRE_A};
    for (int i = -3; i <= 0; i++)
        for (int j = -3; j <= 3 && !(i == 0 && j == 0); j++) stem.at[stem.whole++] = (px_tap){i, j};
    px_sets image = make_sets(s, s->channels), u = make_sets(s, 2 * s->hidden), skips = make_sets(s, 2 * s->hidden);
    for (size_t v = 0; v < px_test_values(s); v++) image.set[v].word[v / 64] |= (uint64_t)1 << (v % 64);
    connect(s, &stem, &image, &u, 1);
    for (int l = 0; l < s->layers; l++) {
        px_sets y = make_sets(s, 2 * s->hidden);
        if (s->residual) copy_sets(s, &u, &y);
        blocks[s->kind](s, &u, &y);
        if (s->skip) connect(s, &one, &y, &skips, 1);
        free(u.set);
        u = y;
    }
    for (size_t e = 0; e < px_test_values(s) / (size_t)s->channels * 2 * (size_t)s->hidden; e++)
        join(&u.set[e], &skips.set[e]);
    px_sets head[] = {make_sets(s, s->head), make_sets(s, s->head), make_sets(s, s->channels)};
    connect(s, &one, &u, &head[0], 1);
    connect(s, &one, &head[0], &head[1], 1);
    connect(s, &one, &head[1], &head[2], 1); /* all L logits of a value are of its own group */
    px_sets *done[] = {&image, &u, &skips, &head[0], &head[1]};
    for (int i = 0; i < 5; i++) free(done[i]->set);
    return head[2];
}

/* --- What is seen ------------------------------------------------------------------------------------------------- */

enum { LEAST_TRIALS = 6, MOST_TRIALS = 300 }; /* more than the least only while something expected is yet unseen */

/* Logits of a batch, (N, H W C L); to be freed. */
static px_real *logits_of(px_model *model, const uint8_t *levels, int images) {
    px_device *device = px_model_device(model);
    px_tensor logits;
    assert_ok(device->ctx, device->ops->upload(device, px_model_images(model).data, levels,
                                               px_test_values(px_model_spec_of(model)) * (size_t)images));
    assert_ok(device->ctx, px_model_logits(model, images, &logits));
    return px_test_download(device, logits);
}

/* One trial: image n of a batch has value n changed, and stands where it stood unchanged in the batch before, so that
 * equal inputs take the same path to the last bit. seen[target] gathers the changes that show in its logits. */
static void perturb(px_device *device, const px_model_spec *s, uint64_t seed, px_set *seen) {
    const size_t values = px_test_values(s), L = (size_t)s->levels;
    px_model *model = px_test_model(device, s, seed);
    assert_ok(device->ctx, px_model_reserve(model, (int)values, PX_PURPOSE_EVALUATE));
    uint8_t *image = px_test_images(s, 1, seed), *batch = malloc(values * values);
    assert_non_null(batch);
    for (size_t n = 0; n < values; n++) memcpy(batch + n * values, image, values);
    px_real *before = logits_of(model, batch, (int)values);
    for (size_t n = 0; n < values; n++) {
        uint8_t *value = batch + n * values + n;
        *value = *value < s->levels / 2 ? (uint8_t)(s->levels - 1) : 0;
    }
    px_real *after = logits_of(model, batch, (int)values);
    for (size_t n = 0; n < values; n++)
        for (size_t target = 0; target < values; target++) {
            const size_t place = (n * values + target) * L;
            if (memcmp(before + place, after + place, L * sizeof *before) != 0)
                seen[target].word[n / 64] |= (uint64_t)1 << (n % 64);
        }
    free(before);
    free(after);
    free(image);
    free(batch);
    px_model_destroy(model);
}

/* "(row, column, channel)" of a value; two may be in use. */
static const char *place_text(const px_model_spec *s, size_t value) {
    static char text[2][48];
    static int turn;
    const int v = (int)value, pixel = v / s->channels;
    turn = !turn;
    snprintf(text[turn], sizeof text[turn], "(%d, %d, %d)", pixel / s->width, pixel % s->width, v % s->channels);
    return text[turn];
}

static void check_seen(const px_model_spec *s, const px_sets *expected, const px_set *seen) {
    const size_t values = px_test_values(s);
    for (size_t target = 0; target < values; target++)
        for (size_t source = 0; source < values; source++) {
            const bool found = holds(&seen[target], source), want = holds(&expected->set[target], source);
            if (want && source >= target)
                fail_msg("%s: by the equations value %s reads %s, which does not stand before it", px_test_name(s),
                         place_text(s, target), place_text(s, source));
            if (found && !want)
                fail_msg("%s: changing value %s changes the logits of %s, %s; expected the same bits", px_test_name(s),
                         place_text(s, source), place_text(s, target),
                         source >= target ? "which may not see it" : "which lies outside its reach");
            if (want && !found)
                fail_msg("%s: changing value %s leaves all bits of the logits of %s in %d trials; expected a change",
                         px_test_name(s), place_text(s, source), place_text(s, target), MOST_TRIALS);
        }
}

static bool all_seen(const px_model_spec *s, const px_sets *expected, const px_set *seen) {
    for (size_t target = 0; target < px_test_values(s); target++)
        for (int w = 0; w < WORDS; w++)
            if (expected->set[target].word[w] & ~seen[target].word[w]) return false;
    return true;
}

static void check_model(px_device *device, const px_model_spec *s, const px_sets *expected) {
    px_set seen[MOST_VALUES] = {0};
    assert_true(px_test_values(s) <= MOST_VALUES);
    for (uint64_t trial = 0; trial < MOST_TRIALS; trial++) {
        if (trial >= LEAST_TRIALS && all_seen(s, expected, seen)) break;
        perturb(device, s, trial + 1, seen);
    }
    check_seen(s, expected, seen);
}

static void test_case(void **state) {
    const px_model_spec *s = *state;
    px_context ctx = {0};
    px_device *device = px_test_device(&ctx);
    px_sets expected = see(s);
    check_model(device, s, &expected);
    free(expected.set);
    px_device_close(device);
}

/* --- Claims ------------------------------------------------------------------------------------------------------- */

/* What a Diagonal BiLSTM misses: the last value of the row above, from every pixel so far left that the stem does not
 * reach over, and nothing else. (Of that last pixel, the stem's mask A lets the later colours see the earlier ones; its
 * last value is read by later pixels alone, and there is none left in its row to carry it down.) */
static bool missed(const px_model_spec *s, size_t target, size_t source) {
    const int C = s->channels, pixel = (int)target / C, from = (int)source / C;
    const int i = pixel / s->width, j = pixel % s->width;
    return from / s->width == i - 1 && from % s->width == s->width - 1 && (int)source % C == C - 1 &&
           j + 3 < s->width - 1;
}

static void test_diagonal_misses(void **state) {
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
        px_sets expected = see(&s);
        const size_t values = px_test_values(&s);
        int count = 0;
        for (size_t target = 0; target < values; target++)
            for (size_t source = 0; source < target; source++) {
                const bool found = !holds(&expected.set[target], source), want = missed(&s, target, source);
                if (found != want)
                    fail_msg("%s: the equations let value %s %s %s", px_test_name(&s), place_text(&s, target),
                             found ? "miss" : "see", place_text(&s, source));
                count += found;
            }
        print_message("  %s: %d pairs missed, all of them the last value of a row from columns 0..%d of the next\n",
                      px_test_name(&s), count, s.width - 5);
        assert_int_equal(count, (s.height - 1) * (s.width - 4) * s.channels);
        check_model(device, &s, &expected);
        free(expected.set);
    }
    px_device_close(device);
}

/* px_model_receptive_field is never too small, and exact for a PixelCNN. */
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
        px_sets expected = see(&s);
        for (int target = 0; target < s.height * s.width; target++)
            for (int source = 0; source < target; source++) {
                if (!holds(&expected.set[target], (size_t)source)) continue;
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

enum { CASES = 3 * 2 * 4 };

int main(void) {
    static const int sides[][2] = {{4, 7}, {7, 4}, {3, 9}, {5, 6}, {1, 10}, {9, 1}};
    static px_model_spec specs[CASES];
    static char names[CASES][160];
    struct CMUnitTest tests[CASES + 2];
    omp_set_num_threads(1); /* waking others costs more than these models do */
    for (int i = 0; i < CASES; i++) {
        specs[i] = (px_model_spec){.kind = (px_model_kind)(i / 8),
                                   .layers = 1 + i % 3,
                                   .hidden = i % 4 < 2 ? 7 : 5,
                                   .head = 7,
                                   .residual = i % 2,
                                   .skip = i / 2 % 2,
                                   .height = sides[i % 6][0],
                                   .width = sides[i % 6][1],
                                   .channels = i / 4 % 2 ? 3 : 1,
                                   .levels = 5};
        snprintf(names[i], sizeof names[i], "%s", px_test_name(&specs[i]));
        tests[i] = (struct CMUnitTest){names[i], test_case, NULL, NULL, &specs[i]};
    }
    tests[CASES] = (struct CMUnitTest)cmocka_unit_test(test_diagonal_misses);
    tests[CASES + 1] = (struct CMUnitTest)cmocka_unit_test(test_receptive_field);
    return _cmocka_run_group_tests("causality", tests, CASES + 2, NULL, NULL);
}
