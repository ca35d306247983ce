/* The decoder compared with the full forward pass: logits of every value, sampled images, nats, and cost. */
#include "pixelrnn/sample.h"
#include "tests/support/model.h"
#include <math.h>
#include <string.h>

static const px_model_spec specs[] = {
    PX_SPEC(PIXELCNN, 2, 5, 6, true, false, 6, 5, 1, 2),
    PX_SPEC(PIXELCNN, 3, 7, 8, true, true, 5, 8, 3, 256),
    PX_SPEC(PIXELCNN, 1, 1, 1, false, true, 3, 4, 3, 5),
    PX_SPEC(PIXELCNN, 2, 4, 5, false, false, 7, 2, 3, 4),
    PX_SPEC(ROW_LSTM, 2, 5, 6, true, false, 6, 5, 1, 2),
    PX_SPEC(ROW_LSTM, 3, 7, 8, true, true, 5, 8, 3, 256),
    PX_SPEC(ROW_LSTM, 1, 1, 1, false, true, 3, 4, 3, 5),
    PX_SPEC(ROW_LSTM, 2, 4, 5, false, false, 7, 2, 3, 4),
    PX_SPEC(DIAGONAL_BILSTM, 2, 5, 6, true, false, 6, 5, 1, 2),
    PX_SPEC(DIAGONAL_BILSTM, 3, 7, 8, true, true, 5, 8, 3, 256),
    PX_SPEC(DIAGONAL_BILSTM, 1, 1, 1, false, true, 3, 4, 3, 5),
    PX_SPEC(DIAGONAL_BILSTM, 2, 4, 5, false, false, 7, 2, 3, 4),
    PX_SPEC(DIAGONAL_BILSTM, 2, 6, 4, true, true, 1, 7, 1, 256),
    PX_SPEC(ROW_LSTM, 2, 6, 4, true, false, 7, 1, 3, 3),
    PX_SPEC(PIXELCNN, 2, 6, 4, true, false, 1, 1, 3, 3),
    /* A head that is wider than every other layer */
    PX_SPEC(PIXELCNN, 1, 2, 40, true, false, 3, 4, 1, 2),
    PX_SPEC(ROW_LSTM, 1, 2, 40, true, false, 3, 4, 1, 2),
    PX_SPEC(DIAGONAL_BILSTM, 1, 2, 40, true, false, 3, 4, 1, 2),
    PX_SPEC(PIXELCNN, 2, 5, 6, true, false, 6, 5, 1, 2, PX_CLASSES(3)),
    PX_SPEC(ROW_LSTM, 3, 7, 8, true, true, 5, 8, 3, 256, PX_CLASSES(10)),
    PX_SPEC(DIAGONAL_BILSTM, 2, 5, 6, false, false, 6, 5, 3, 4, PX_CLASSES(2)),
    PX_SPEC(PIXELCNN, 2, 6, 6, true, true, 4, 8, 3, 4, PX_SCALE(4)),
    PX_SPEC(ROW_LSTM, 2, 5, 6, true, false, 6, 2, 1, 2, PX_SCALE(2)),
    PX_SPEC(DIAGONAL_BILSTM, 3, 7, 8, true, false, 4, 8, 3, 256, PX_SCALE(2)),
};
/* The decoder sums in another order than the full pass. Of logits, relative to the largest one. Of nats, relative to
 * the image's nats plus one nat for each value, because the rounding of a logit is an absolute error of a value's nats.
 */
static const double sum_tolerance = sizeof(px_real) == sizeof(float) ? 1e-5 : 1e-12;
/* In bfloat16 the full pass also rounds what the decoder keeps as reals: one rounding by 2^-8 for each of the 14 cells
 * that a state can pass in these networks (7 rows of 2 layers). */
static const double bf16_logits_tolerance = 14.0 / 256;
/* Errors of nats have both signs. On CUDA the tolerance is bf16_logits_tolerance: there the epilogue of a product adds
 * before it rounds, and an image's nats differ by 2.7 % (H200), as much as bfloat16's from float32's (2.8 %). */
static const double bf16_nats_tolerance = 3.5 / 256;

enum { IMAGES = 3, MANY = 19, LARGEST = 8, SPECS = sizeof specs / sizeof *specs };

typedef struct fixture {
    px_context ctx;
    px_device *device;
    px_model *model;
    px_sampler *sampler;
    const px_model_spec *spec;
    size_t values;
} fixture;

/* The logits of the full pass, (images, values, L). The caller frees them. */
static px_real *full_logits(fixture *f, const uint8_t *levels, const uint8_t *conditions, int images) {
    const px_tensor image = px_model_images(f->model);
    px_tensor logits;
    assert_ok(&f->ctx, f->device->ops->upload(f->device, image.data, levels, (size_t)images * f->values));
    assert_ok(&f->ctx, px_model_upload_conditions(f->model, conditions, images));
    assert_ok(&f->ctx, px_model_logits(f->model, images, &logits));
    return px_test_download(f->device, logits);
}

/* Scales the last layer so that the largest logit of an image is LARGEST. The softmax is then neither uniform nor
 * certain, and not so steep that the rounding of a sum decides which level is sampled. */
static void scale_logits(fixture *f) {
    const size_t logits = f->values * (size_t)f->spec->levels;
    uint8_t *levels = px_test_images(f->spec, 1, 1), *conditions = px_test_conditions(f->spec, 1, 1);
    px_real *full = full_logits(f, levels, conditions, 1),
            *host = px_test_download(f->device, px_model_weights(f->model));
    double largest = 0;
    for (size_t i = 0; i < logits; i++) largest = fmax(largest, fabs((double)full[i]));
    const px_parameters *parameters = px_model_parameters(f->model);
    for (int i = 0; i < parameters->count; i++) {
        const px_parameter *p = &parameters->items[i];
        if (strncmp(p->name, "head.2.", 7) != 0) continue;
        for (size_t e = p->offset; e < p->offset + p->count; e++) host[e] *= (px_real)(LARGEST / largest);
    }
    px_test_upload_weights(f->model, host);
    free(full);
    free(levels);
    free(conditions);
}

static fixture open_fixture_of(const px_model_spec *spec, int images, px_type activation) {
    static fixture f;
    f = (fixture){.spec = spec, .values = px_test_values(spec)};
    f.device = px_test_device_of(&f.ctx, activation);
    f.model = px_test_model(f.device, spec, 11);
    assert_ok(&f.ctx, px_model_reserve(f.model, images, PX_PURPOSE_EVALUATE));
    scale_logits(&f);
    if (strcmp(f.device->kind, "cpu") == 0) f.device->workers = 3; /* MANY images are groups of 8, 8 and 3 */
    assert_ok(&f.ctx, px_sampler_create(f.model, images, &f.sampler));
    return f;
}

static fixture open_fixture(const px_model_spec *spec, int images) { return open_fixture_of(spec, images, PX_REAL); }

static void close_fixture(fixture *f) {
    px_sampler_destroy(f->sampler);
    px_model_destroy(f->model);
    px_device_close(f->device);
}

/* Compares all logits: they differ by at most the tolerance times the largest magnitude. With skip, every third pixel
 * is skipped by px_decoder_skip. */
static void compare_logits(const px_model_spec *spec, bool skip, px_type activation, double tolerance) {
    fixture f = open_fixture_of(spec, IMAGES, activation);
    px_decoder *decoder;
    const int channels = spec->channels, pixels = spec->height * spec->width;
    const size_t levels_each = (size_t)spec->levels;
    assert_ok(&f.ctx, px_decoder_create(f.model, IMAGES, &decoder));
    for (int images = IMAGES; images > 0; images -= 2) { /* at the capacity, and below it */
        uint8_t *levels = px_test_images(spec, images, 5 + (uint64_t)images);
        uint8_t *conditions = px_test_conditions(spec, images, 6);
        px_real *full = full_logits(&f, levels, conditions, images);
        double scale = 0;
        for (size_t i = 0; i < (size_t)images * f.values * levels_each; i++) scale = fmax(scale, fabs((double)full[i]));
        assert_ok(&f.ctx, px_decoder_begin(decoder, images, levels, conditions));
        for (int pixel = 0; pixel < pixels; pixel++) {
            assert_ok(&f.ctx, px_decoder_next(decoder));
            if (skip && pixel % 3 == 0) {
                assert_ok(&f.ctx, px_decoder_skip(decoder));
                continue;
            }
            for (int channel = 0; channel < channels; channel++) {
                px_tensor logits;
                assert_ok(&f.ctx, px_decoder_logits(decoder, channel, &logits));
                px_real *found = px_test_download(f.device, logits);
                for (size_t n = 0; n < (size_t)images; n++)
                    for (size_t l = 0; l < levels_each; l++) {
                        const size_t value = (size_t)(pixel * channels + channel);
                        const double want = (double)full[(n * f.values + value) * levels_each + l];
                        const double got = (double)found[(n * (size_t)channels + (size_t)channel) * levels_each + l];
                        if (!(fabs(got - want) <= tolerance * scale))
                            fail_msg(
                                "%s, image %zu of %d, row %d, column %d, channel %d, level %zu: logit %.9g, the full "
                                "pass gives %.9g; tolerance %.0e of the largest, %.3g",
                                px_test_name(spec), n, images, pixel / spec->width, pixel % spec->width, channel, l,
                                got, want, tolerance, scale);
                    }
                free(found);
            }
        }
        free(full);
        free(levels);
        free(conditions);
    }
    px_decoder_destroy(decoder);
    close_fixture(&f);
}

static void test_logits(void **state) {
    (void)state;
    for (int i = 0; i < SPECS; i++) compare_logits(&specs[i], false, PX_REAL, sum_tolerance);
}

static void test_logits_after_given_pixels(void **state) {
    (void)state;
    for (int i = 0; i < SPECS; i++) compare_logits(&specs[i], true, PX_REAL, sum_tolerance);
}

static void test_logits_in_bfloat16(void **state) {
    (void)state;
    for (int i = 0; i < SPECS; i++) compare_logits(&specs[i], i % 2, PX_BF16, bf16_logits_tolerance);
}

/* The pixels of an image that are given: none, some, or all but the last. */
typedef enum { NOTHING, SOME, ALL_BUT_THE_LAST, GIVENS } givens;

/* Samples with the naive sampler and with decoders from one seed. Returns the number of images that differ. */
static int compare_images(const px_model_spec *spec, int images, givens given) {
    fixture f = open_fixture(spec, images);
    const size_t all = (size_t)images * f.values;
    uint8_t *levels = px_test_images(spec, images, 3), *naive = malloc(all), *decoded = malloc(all);
    uint8_t *keep = calloc((size_t)spec->height, (size_t)spec->width),
            *conditions = px_test_conditions(spec, images, 4);
    assert_true(naive && decoded && keep);
    const int pixels = spec->height * spec->width;
    for (int p = 0; p < pixels; p++) keep[p] = (uint8_t)(given == SOME ? p % 5 < 2 : p + 1 < pixels);
    const px_sample_request request = {.seed = 7,
                                       .first_image = 40,
                                       .images = images,
                                       .temperature = 0.8,
                                       .given = given ? levels : NULL,
                                       .keep = given ? keep : NULL,
                                       .conditions = conditions};
    assert_ok(&f.ctx, px_sample_naive(f.model, &request, naive));
    assert_ok(&f.ctx, px_sample(f.sampler, &request, decoded, NULL, NULL));
    int differing = 0;
    for (int n = 0; n < images; n++) {
        const uint8_t *want = naive + (size_t)n * f.values, *found = decoded + (size_t)n * f.values;
        size_t v = 0;
        while (v < f.values && found[v] == want[v]) v++;
        if (v == f.values) continue;
        print_message("%s%s: value %zu of image %d is level %d, the naive sampler gives %d\n", px_test_name(spec),
                      given ? given == SOME ? ", some given" : ", all but the last given" : "", v, n, found[v],
                      want[v]);
        differing++;
    }
    if (given)
        for (size_t v = 0; v < all; v++)
            if (keep[v % f.values / (size_t)spec->channels]) assert_int_equal(decoded[v], levels[v]);
    free(conditions);
    free(keep);
    free(decoded);
    free(naive);
    free(levels);
    close_fixture(&f);
    return differing;
}

/* A random number may be so close to the boundary between two levels that sums in another order select the other level.
 * In float32 that happens to one image in 10,000 (2 of 20 sets of weights, 1,008 images each); in double it does not.
 */
static void test_images(void **state) {
    (void)state;
    const int allowed = sizeof(px_real) == sizeof(float) ? 2 : 0;
    int differing = 0;
    for (int i = 0; i < SPECS; i++)
        for (int given = NOTHING; given < GIVENS; given++) {
            differing += compare_images(&specs[i], IMAGES, (givens)given);
            if (given != ALL_BUT_THE_LAST) differing += compare_images(&specs[i], MANY, (givens)given);
        }
    if (differing > allowed) fail_msg("%d images differ, expected %d at most", differing, allowed);
}

/* Image n of a seed is the same in any batch, and on a sampler that was used before. */
static void test_batches(void **state) {
    (void)state;
    for (int i = 0; i < 2 * SPECS; i++) {
        fixture f = open_fixture_of(&specs[i / 2], MANY, i % 2 ? PX_BF16 : PX_REAL);
        uint8_t *whole = malloc(MANY * f.values), *one = malloc(f.values);
        uint8_t *conditions = px_test_conditions(f.spec, MANY, 4);
        const size_t condition = px_condition_bytes(&f.spec->condition, f.spec->height, f.spec->width,
                                                    f.spec->channels);
        assert_true(whole && one);
        px_sample_request request = {.seed = 7, .images = MANY, .temperature = 1, .conditions = conditions};
        assert_ok(&f.ctx, px_sample(f.sampler, &request, whole, NULL, NULL));
        request.images = 1;
        for (int n = MANY - 1; n >= 0; n--) {
            request.first_image = (uint64_t)n;
            if (conditions) request.conditions = conditions + (size_t)n * condition;
            assert_ok(&f.ctx, px_sample(f.sampler, &request, one, NULL, NULL));
            if (memcmp(one, whole + (size_t)n * f.values, f.values) != 0)
                fail_msg("%s: image %d sampled alone differs from image %d of the batch", px_test_name(f.spec), n, n);
        }
        free(conditions);
        free(one);
        free(whole);
        close_fixture(&f);
    }
}

/* The nats of sampled images equal those of the full pass on the same images. With given pixels they are smaller. */
static void compare_nats(px_type activation, double tolerance, double on_cuda) {
    static const double temperatures[] = {1.5, 1, 0.6};
    for (int i = 0; i < SPECS; i++) {
        fixture f = open_fixture_of(&specs[i], MANY, activation);
        const px_model_spec *spec = &specs[i];
        uint8_t *levels = malloc(MANY * f.values), *keep = calloc((size_t)spec->height, (size_t)spec->width);
        double found[MANY], want[MANY], partial[MANY], all = 0, sampled = 0;
        assert_true(levels && keep);
        uint8_t *conditions = px_test_conditions(spec, MANY, 4);
        px_sample_request request = {
            .seed = 7, .images = MANY, .temperature = temperatures[i % 3], .conditions = conditions};
        assert_ok(&f.ctx, px_sample(f.sampler, &request, levels, found, NULL));
        assert_ok(&f.ctx, px_model_forward(f.model, levels, conditions, MANY, false));
        assert_ok(&f.ctx, px_model_nats(f.model, want));
        keep[0] = 1;
        request.given = levels, request.keep = keep;
        assert_ok(&f.ctx, px_sample(f.sampler, &request, levels, partial, NULL));
        for (int n = 0; n < MANY; n++) {
            const double allowed = strcmp(f.device->kind, "cpu") == 0 ? tolerance : on_cuda;
            if (!(fabs(found[n] - want[n]) <= allowed * (want[n] + (double)f.values)))
                fail_msg(
                    "%s: image %d was sampled with %.9g nats, evaluated with %.9g; tolerance %.0e of them, and as much "
                    "for each of %zu values",
                    px_test_name(spec), n, found[n], want[n], allowed, f.values);
            assert_true(partial[n] <= found[n] && partial[n] >= 0);
            all += found[n], sampled += partial[n];
        }
        if (spec->height * spec->width > 1) assert_true(sampled < all && sampled > 0);
        assert_int_equal(px_sample_values(spec, &request), f.values - (size_t)spec->channels);
        free(conditions);
        free(keep);
        free(levels);
        close_fixture(&f);
    }
}

static void test_nats(void **state) {
    (void)state;
    compare_nats(PX_REAL, sum_tolerance, sum_tolerance);
    compare_nats(PX_BF16, bf16_nats_tolerance, bf16_logits_tolerance);
}

/* ---- Cost ---- */

static const px_device_ops *real_ops;
static double gemm_flops;

static px_status count_gemm(px_device *device, const px_gemm_args *g) {
    gemm_flops += 2.0 * (double)g->m * (double)g->n * (double)g->k * g->batch;
    return real_ops->gemm(device, g);
}

/* Floating-point operations of sampling one image, divided by those of one forward pass. */
static double relative_cost(px_model_kind kind, int side) {
    const px_model_spec spec = {.kind = kind,
                                .layers = 3,
                                .hidden = 24,
                                .head = 24,
                                .residual = true,
                                .height = side,
                                .width = side,
                                .channels = 3,
                                .levels = 8};
    fixture f = open_fixture(&spec, 1);
    uint8_t *levels = malloc(f.values);
    assert_non_null(levels);
    px_device_ops counting = *f.device->ops;
    real_ops = f.device->ops;
    counting.gemm = count_gemm;
    f.device->ops = &counting;
    f.device->paths &= ~(unsigned)PX_PATH_GRAPHS; /* a graph calls no operation */
    gemm_flops = 0;
    const px_sample_request request = {.seed = 7, .images = 1, .temperature = 1};
    assert_ok(&f.ctx, px_sample(f.sampler, &request, levels, NULL, NULL));
    f.device->ops = real_ops;
    const double cost = gemm_flops / px_model_flops(f.model, PX_PURPOSE_EVALUATE);
    free(levels);
    close_fixture(&f);
    return cost;
}

/* Sampling an image costs about one forward pass, whatever its size. It costs less where taps are outside of small
 * images. It costs more for the right direction of a Diagonal BiLSTM, which computes whole rows, masked weights
 * included. */
static void test_cost(void **state) {
    (void)state;
    for (int kind = PX_MODEL_PIXELCNN; kind <= PX_MODEL_DIAGONAL_BILSTM; kind++)
        for (int side = 4; side <= 32; side *= 2) {
            const double cost = relative_cost((px_model_kind)kind, side);
            if (!(cost > 0.5 && cost < 1.25))
                fail_msg("%s, %d pixels a side: an image costs %.3f passes, expected 0.5 to 1.25",
                         px_config_word("model.kind", kind), side, cost);
            print_message("%-18s %2d pixels a side: %.3f passes\n", px_config_word("model.kind", kind), side, cost);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits),
        cmocka_unit_test(test_logits_after_given_pixels),
        cmocka_unit_test(test_images),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_nats),
        cmocka_unit_test(test_cost),
        cmocka_unit_test(test_logits_in_bfloat16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
