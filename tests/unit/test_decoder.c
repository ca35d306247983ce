/* Incremental evaluation against the full pass: the logits of every value, and the pictures drawn. */
#include "pixelrnn/sample.h"
#include "tests/support/model.h"
#include <math.h>
#include <string.h>

static const px_model_spec specs[] = {
    {PX_MODEL_PIXELCNN, 2, 5, 6, true, false, 6, 5, 1, 2},
    {PX_MODEL_PIXELCNN, 3, 7, 8, true, true, 5, 8, 3, 256},
    {PX_MODEL_PIXELCNN, 1, 1, 1, false, true, 3, 4, 3, 5},
    {PX_MODEL_PIXELCNN, 2, 4, 5, false, false, 7, 2, 3, 4},
    {PX_MODEL_ROW_LSTM, 2, 5, 6, true, false, 6, 5, 1, 2},
    {PX_MODEL_ROW_LSTM, 3, 7, 8, true, true, 5, 8, 3, 256},
    {PX_MODEL_ROW_LSTM, 1, 1, 1, false, true, 3, 4, 3, 5},
    {PX_MODEL_ROW_LSTM, 2, 4, 5, false, false, 7, 2, 3, 4},
    {PX_MODEL_DIAGONAL_BILSTM, 2, 5, 6, true, false, 6, 5, 1, 2},
    {PX_MODEL_DIAGONAL_BILSTM, 3, 7, 8, true, true, 5, 8, 3, 256},
    {PX_MODEL_DIAGONAL_BILSTM, 1, 1, 1, false, true, 3, 4, 3, 5},
    {PX_MODEL_DIAGONAL_BILSTM, 2, 4, 5, false, false, 7, 2, 3, 4},
    {PX_MODEL_DIAGONAL_BILSTM, 2, 6, 4, true, true, 1, 7, 1, 256},
    {PX_MODEL_ROW_LSTM, 2, 6, 4, true, false, 7, 1, 3, 3},
    {PX_MODEL_PIXELCNN, 2, 6, 4, true, false, 1, 1, 3, 3},
    /* a head wider than every other layer */
    {PX_MODEL_PIXELCNN, 1, 2, 40, true, false, 3, 4, 1, 2},
    {PX_MODEL_ROW_LSTM, 1, 2, 40, true, false, 3, 4, 1, 2},
    {PX_MODEL_DIAGONAL_BILSTM, 1, 2, 40, true, false, 3, 4, 1, 2},
};
/* Sums in another order, relative to the largest logit, and to an image's nats plus one nat a value: the rounding of a
 * logit is an absolute error of a value's nats, however likely the value is. In bfloat16 the full pass also rounds what
 * a decoder keeps as reals: a rounding for each of the 14 cells that a state can pass in these networks (7 rows of 2
 * layers). Nats are sums of errors to either side, which leave less on the CPU, where both round alike. On CUDA they do
 * not, because a product's epilogue adds before it rounds: there one image's nats differ by 2.7 % (H200), as bfloat16's
 * differ from float32's (2.8 %), and the tolerance is that of the logits. */
static const double of_sums = sizeof(px_real) == sizeof(float) ? 1e-5 : 1e-12, of_roundings = 14.0 / 256,
                    of_rounded_nats = 3.5 / 256;

enum { IMAGES = 3, MANY = 19, LARGEST = 8, SPECS = sizeof specs / sizeof *specs };

typedef struct bench {
    px_context ctx;
    px_device *device;
    px_model *model;
    px_decoder *decoder;
    const px_model_spec *spec;
    size_t values;
} bench;

/* The full pass's logits, (images, values, L). */
static px_real *full_logits(bench *b, const uint8_t *levels, int images) {
    const px_tensor image = px_model_images(b->model);
    px_tensor logits;
    assert_ok(&b->ctx, b->device->ops->upload(b->device, image.data, levels, (size_t)images * b->values));
    assert_ok(&b->ctx, px_model_logits(b->model, images, &logits));
    return px_test_download(b->device, logits);
}

/* Scales the last layer so that the largest logit of an image is LARGEST: a softmax is then neither uniform, nor
 * certain, nor so steep that the last bit of a sum decides which level is drawn. */
static void scale_logits(bench *b) {
    const size_t logits = b->values * (size_t)b->spec->levels;
    uint8_t *levels = px_test_images(b->spec, 1, 1);
    px_real *full = full_logits(b, levels, 1), *host = px_test_download(b->device, px_model_weights(b->model));
    double largest = 0;
    for (size_t i = 0; i < logits; i++) largest = fmax(largest, fabs((double)full[i]));
    const px_parameters *parameters = px_model_parameters(b->model);
    for (int i = 0; i < parameters->count; i++) {
        const px_parameter *p = &parameters->items[i];
        if (strncmp(p->name, "head.2.", 7) != 0) continue;
        for (size_t e = p->offset; e < p->offset + p->count; e++) host[e] *= (px_real)(LARGEST / largest);
    }
    px_test_upload_weights(b->model, host);
    free(full);
    free(levels);
}

static bench open_bench_of(const px_model_spec *spec, int images, px_decoder_mode mode, px_type activation) {
    static bench b;
    b = (bench){.spec = spec, .values = px_test_values(spec)};
    b.device = px_test_device_of(&b.ctx, activation);
    b.model = px_test_model(b.device, spec, 11);
    assert_ok(&b.ctx, px_model_reserve(b.model, images, PX_PURPOSE_EVALUATE));
    scale_logits(&b);
    if (b.device->workers > 0) b.device->workers = 3; /* MANY images become groups of 8, 8 and 3 */
    assert_ok(&b.ctx, px_decoder_create(b.model, images, mode, &b.decoder));
    return b;
}

static bench open_bench(const px_model_spec *spec, int images, px_decoder_mode mode) {
    return open_bench_of(spec, images, mode, PX_REAL);
}

static void close_bench(bench *b) {
    px_decoder_destroy(b->decoder);
    px_model_destroy(b->model);
    px_device_close(b->device);
}

/* No logit differs by more than the tolerance times the largest in magnitude, for pixels
 * that are drawn and, with `pass`, after pixels that are passed: every third. */
static void compare_logits(const px_model_spec *spec, bool pass, px_type activation, double tolerance) {
    bench b = open_bench_of(spec, IMAGES, PX_DECODER_DIRECT, activation);
    const int channels = spec->channels, pixels = spec->height * spec->width;
    const size_t levels_each = (size_t)spec->levels;
    for (int images = IMAGES; images > 0; images -= 2) { /* a full decoder, and one not full */
        uint8_t *levels = px_test_images(spec, images, 5 + (uint64_t)images);
        px_real *full = full_logits(&b, levels, images);
        double scale = 0;
        for (size_t i = 0; i < (size_t)images * b.values * levels_each; i++) scale = fmax(scale, fabs((double)full[i]));
        assert_ok(&b.ctx, px_decoder_begin(b.decoder, images, levels));
        for (int pixel = 0; pixel < pixels; pixel++) {
            assert_ok(&b.ctx, px_decoder_next(b.decoder));
            if (pass && pixel % 3 == 0) {
                assert_ok(&b.ctx, px_decoder_skip(b.decoder));
                continue;
            }
            for (int channel = 0; channel < channels; channel++) {
                px_tensor logits;
                assert_ok(&b.ctx, px_decoder_logits(b.decoder, channel, &logits));
                px_real *found = px_test_download(b.device, logits);
                for (size_t n = 0; n < (size_t)images; n++)
                    for (size_t l = 0; l < levels_each; l++) {
                        const size_t value = (size_t)(pixel * channels + channel);
                        const double want = (double)full[(n * b.values + value) * levels_each + l];
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
    }
    close_bench(&b);
}

static void test_logits(void **state) {
    (void)state;
    for (int i = 0; i < SPECS; i++) compare_logits(&specs[i], false, PX_REAL, of_sums);
}

static void test_logits_after_given_pixels(void **state) {
    (void)state;
    for (int i = 0; i < SPECS; i++) compare_logits(&specs[i], true, PX_REAL, of_sums);
}

static void test_logits_in_bfloat16(void **state) {
    (void)state;
    for (int i = 0; i < SPECS; i++) compare_logits(&specs[i], i % 2, PX_BF16, of_roundings);
}

/* What of an image is given: nothing, some pixels, or all but the last. */
typedef enum { NOTHING, SOME, ALL_BUT_THE_LAST, GIVENS } givens;

/* One seed, one picture: the naive sampler and the decoder, direct and recorded. Returns how many images differ. */
static int compare_pictures(const px_model_spec *spec, int images, givens given, px_decoder_mode mode) {
    bench b = open_bench(spec, images, mode);
    const size_t all = (size_t)images * b.values;
    uint8_t *levels = px_test_images(spec, images, 3), *plain = malloc(all), *fast = malloc(all);
    uint8_t *keep = calloc((size_t)spec->height, (size_t)spec->width);
    assert_true(plain && fast && keep);
    const int pixels = spec->height * spec->width;
    for (int p = 0; p < pixels; p++) keep[p] = (uint8_t)(given == SOME ? p % 5 < 2 : p + 1 < pixels);
    const px_sample_request request = {.seed = 7,
                                       .first_image = 40,
                                       .images = images,
                                       .temperature = 0.8,
                                       .given = given ? levels : NULL,
                                       .keep = given ? keep : NULL};
    assert_ok(&b.ctx, px_sample_naive(b.model, &request, plain));
    assert_ok(&b.ctx, px_sample(b.decoder, &request, fast, NULL, NULL));
    int differing = 0;
    for (int n = 0; n < images; n++) {
        const uint8_t *want = plain + (size_t)n * b.values, *found = fast + (size_t)n * b.values;
        size_t v = 0;
        while (v < b.values && found[v] == want[v]) v++;
        if (v == b.values) continue;
        print_message("%s%s%s: value %zu of image %d is level %d, the naive sampler draws %d\n", px_test_name(spec),
                      given ? given == SOME ? ", some given" : ", all but the last given" : "",
                      mode == PX_DECODER_DIRECT ? ", direct" : "", v, n, found[v], want[v]);
        differing++;
    }
    if (given)
        for (size_t v = 0; v < all; v++)
            if (keep[v % b.values / (size_t)spec->channels]) assert_int_equal(fast[v], levels[v]);
    free(keep);
    free(fast);
    free(plain);
    free(levels);
    close_bench(&b);
    return differing;
}

/* A random number may lie so near to the boundary of two levels that sums in another order choose the other one. In
 * float32 that is one image in 10,000 (2 of 20 sets of weights, 1,008 images each); in double it does not happen. */
static void test_pictures(void **state) {
    (void)state;
    const int allowed = sizeof(px_real) == sizeof(float) ? 2 : 0;
    int differing = 0;
    for (int i = 0; i < SPECS; i++)
        for (int given = NOTHING; given < GIVENS; given++) {
            differing += compare_pictures(&specs[i], IMAGES, (givens)given, PX_DECODER_DIRECT);
            differing += compare_pictures(&specs[i], IMAGES, (givens)given, PX_DECODER_RECORDED);
            if (given == ALL_BUT_THE_LAST) continue;
            differing += compare_pictures(&specs[i], MANY, (givens)given, PX_DECODER_RECORDED);
        }
    if (differing > allowed) fail_msg("%d images differ, expected %d at most", differing, allowed);
}

/* Image n of a seed is the same picture in any batch, on a decoder that was used before. */
static void test_batches(void **state) {
    (void)state;
    for (int i = 0; i < 2 * SPECS; i++) {
        bench b = open_bench_of(&specs[i / 2], MANY, PX_DECODER_RECORDED, i % 2 ? PX_BF16 : PX_REAL);
        uint8_t *whole = malloc(MANY * b.values), *one = malloc(b.values);
        assert_true(whole && one);
        px_sample_request request = {.seed = 7, .images = MANY, .temperature = 1};
        assert_ok(&b.ctx, px_sample(b.decoder, &request, whole, NULL, NULL));
        request.images = 1;
        for (int n = MANY - 1; n >= 0; n--) {
            request.first_image = (uint64_t)n;
            assert_ok(&b.ctx, px_sample(b.decoder, &request, one, NULL, NULL));
            if (memcmp(one, whole + (size_t)n * b.values, b.values) != 0)
                fail_msg("%s: image %d drawn alone is another picture", px_test_name(b.spec), n);
        }
        free(one);
        free(whole);
        close_bench(&b);
    }
}

/* The nats that sampling adds up are those of the full pass on the drawn images; with given pixels, less than those. */
static void compare_nats(px_type activation, double tolerance, double on_cuda) {
    static const double temperatures[] = {1.5, 1, 0.6};
    for (int i = 0; i < SPECS; i++) {
        bench b = open_bench_of(&specs[i], MANY, PX_DECODER_RECORDED, activation);
        const px_model_spec *spec = &specs[i];
        uint8_t *levels = malloc(MANY * b.values), *keep = calloc((size_t)spec->height, (size_t)spec->width);
        double drawn[MANY], want[MANY], rest[MANY], all = 0, ungiven = 0;
        assert_true(levels && keep);
        px_sample_request request = {.seed = 7, .images = MANY, .temperature = temperatures[i % 3]};
        assert_ok(&b.ctx, px_sample(b.decoder, &request, levels, drawn, NULL));
        assert_ok(&b.ctx, px_model_forward(b.model, levels, MANY, false));
        assert_ok(&b.ctx, px_model_nats(b.model, want));
        keep[0] = 1;
        request.given = levels, request.keep = keep;
        assert_ok(&b.ctx, px_sample(b.decoder, &request, levels, rest, NULL));
        for (int n = 0; n < MANY; n++) {
            const double share = strcmp(b.device->kind, "cpu") == 0 ? tolerance : on_cuda;
            if (!(fabs(drawn[n] - want[n]) <= share * (want[n] + (double)b.values)))
                fail_msg(
                    "%s: image %d was drawn with %.9g nats, evaluated with %.9g; tolerance %.0e of them, and as much "
                    "for each of %zu values",
                    px_test_name(spec), n, drawn[n], want[n], share, b.values);
            assert_true(rest[n] <= drawn[n] && rest[n] >= 0);
            all += drawn[n], ungiven += rest[n];
        }
        if (spec->height * spec->width > 1) assert_true(ungiven < all && ungiven > 0);
        assert_int_equal(px_sample_values(spec, &request), b.values - (size_t)spec->channels);
        free(keep);
        free(levels);
        close_bench(&b);
    }
}

static void test_nats(void **state) {
    (void)state;
    compare_nats(PX_REAL, of_sums, of_sums);
    compare_nats(PX_BF16, of_rounded_nats, of_roundings);
}

/* --- Cost --------------------------------------------------------------------------------------------------------- */

static const px_device_ops *real_ops;
static double multiplied; /* floating-point operations of products */

static px_status count_gemm(px_device *device, const px_gemm_args *g) {
    multiplied += 2.0 * (double)g->m * (double)g->n * (double)g->k * g->batch;
    return real_ops->gemm(device, g);
}

/* Operations that drawing an image takes, over those of one pass. */
static double cost_of_drawing(px_model_kind kind, int side) {
    const px_model_spec spec = {kind, 3, 24, 24, true, false, side, side, 3, 8};
    bench b = open_bench(&spec, 1, PX_DECODER_DIRECT);
    uint8_t *levels = malloc(b.values);
    assert_non_null(levels);
    px_device_ops counting = *b.device->ops;
    real_ops = b.device->ops;
    counting.gemm = count_gemm;
    b.device->ops = &counting;
    multiplied = 0;
    const px_sample_request request = {.seed = 7, .images = 1, .temperature = 1};
    assert_ok(&b.ctx, px_sample(b.decoder, &request, levels, NULL, NULL));
    b.device->ops = real_ops;
    const double share = multiplied / px_model_flops(b.model, PX_PURPOSE_EVALUATE);
    free(levels);
    close_bench(&b);
    return share;
}

/* An image costs one pass, whatever its size: less where the masks are cut along (taps outside of small images), more
 * where a Diagonal BiLSTM's right half takes whole rows, masked weights too. The plain way costs H W C passes. */
static void test_cost(void **state) {
    (void)state;
    for (int kind = PX_MODEL_PIXELCNN; kind <= PX_MODEL_DIAGONAL_BILSTM; kind++)
        for (int side = 4; side <= 32; side *= 2) {
            const double share = cost_of_drawing((px_model_kind)kind, side);
            if (!(share > 0.5 && share < 1.25))
                fail_msg("%s, %d pixels a side: an image costs %.3f passes, expected 0.5 to 1.25",
                         px_config_word("model.kind", kind), side, share);
            print_message("%-18s %2d pixels a side: %.3f passes\n", px_config_word("model.kind", kind), side, share);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits),
        cmocka_unit_test(test_logits_after_given_pixels),
        cmocka_unit_test(test_pictures),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_nats),
        cmocka_unit_test(test_cost),
        cmocka_unit_test(test_logits_in_bfloat16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
