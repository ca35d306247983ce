/* Incremental evaluation against the full pass: the logits of every value, and the pictures drawn. */
#include "pixelrnn/sample.h"
#include "tests/model_support.h"
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
};
enum { IMAGES = 3, SPECS = sizeof specs / sizeof *specs };

typedef struct bench {
    px_context ctx;
    px_device *device;
    px_model *model;
    px_decoder *decoder;
    const px_model_spec *spec;
    size_t values;
} bench;

static bench open_bench_of(const px_model_spec *spec, int images, px_type activation) {
    static bench b;
    b = (bench){.spec = spec, .values = px_test_values(spec)};
    b.device = px_test_device_of(&b.ctx, activation);
    b.model = px_test_model(b.device, spec, 11);
    assert_ok(&b.ctx, px_model_reserve(b.model, images, PX_PURPOSE_EVALUATE));
    assert_ok(&b.ctx, px_decoder_create(b.model, images, &b.decoder));
    return b;
}

static bench open_bench(const px_model_spec *spec, int images) {
    return open_bench_of(spec, images, PX_REAL);
}

static void close_bench(bench *b) {
    px_decoder_destroy(b->decoder);
    px_model_destroy(b->model);
    px_device_close(b->device);
}

/* The full pass's logits, (images, values, L). */
static px_real *full_logits(bench *b, const uint8_t *levels, int images) {
    const px_map image = px_model_images(b->model);
    px_map logits;
    assert_ok(&b->ctx, b->device->ops->upload(b->device, image.data, levels, (size_t)images * b->values));
    assert_ok(&b->ctx, px_model_logits(b->model, images, &logits));
    return px_test_download(b->device, logits);
}

/* A logit differs by less than `tolerance` of the largest in magnitude, for pixels that are drawn and, with `pass`, after
 * pixels that are passed: every third. */
static void compare_logits(const px_model_spec *spec, bool pass, px_type activation, double tolerance) {
    bench b = open_bench_of(spec, IMAGES, activation);
    const int channels = spec->channels, pixels = spec->height * spec->width;
    const size_t levels_each = (size_t)spec->levels;
    for (int images = IMAGES; images > 0; images -= 2) { /* a full decoder, and one not full */
        uint8_t *levels = px_test_images(spec, images, 5 + (uint64_t)images);
        px_real *full = full_logits(&b, levels, images);
        double scale = 0;
        for (size_t i = 0; i < (size_t)images * b.values * levels_each; i++) scale = fmax(scale, fabs((double)full[i]));
        const px_map image = px_decoder_images(b.decoder);
        assert_ok(&b.ctx, b.device->ops->upload(b.device, image.data, levels, (size_t)images * b.values));
        assert_ok(&b.ctx, px_decoder_begin(b.decoder, images));
        for (int pixel = 0; pixel < pixels; pixel++) {
            assert_ok(&b.ctx, px_decoder_next(b.decoder));
            if (pass && pixel % 3 == 0) {
                assert_ok(&b.ctx, px_decoder_pass(b.decoder));
                continue;
            }
            for (int channel = 0; channel < channels; channel++) {
                px_map logits;
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
                                "pass gives %.9g; tolerance %g of the largest, %.3g",
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

/* float32 sums in another order; and in bfloat16, where the full pass also rounds what a decoder keeps as reals, a rounding
 * for each of the 14 cells that a state can pass in these networks: 7 rows of 2 layers. */
static const double of_sums = 1e-5, of_roundings = 14.0 / 256;

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

/* One seed, one picture: both ways, with and without given pixels. */
static void test_pictures(void **state) {
    (void)state;
    for (int i = 0; i < SPECS; i++)
        for (int given = 0; given < 2; given++) {
            const px_model_spec *spec = &specs[i];
            bench b = open_bench(spec, IMAGES);
            uint8_t *levels = px_test_images(spec, IMAGES, 3), *plain = malloc(IMAGES * b.values);
            uint8_t *fast = malloc(IMAGES * b.values), *keep = calloc((size_t)spec->height, (size_t)spec->width);
            assert_true(plain && fast && keep);
            for (int p = 0; p < spec->height * spec->width; p++) keep[p] = p % 5 < 2;
            const px_sample_request request = {.seed = 7,
                                               .first_image = 40,
                                               .images = IMAGES,
                                               .temperature = 0.8,
                                               .given = given ? levels : NULL,
                                               .keep = given ? keep : NULL};
            assert_ok(&b.ctx, px_sample_plain(b.model, &request, plain));
            assert_ok(&b.ctx, px_sample(b.decoder, &request, fast, NULL, NULL));
            for (size_t v = 0; v < IMAGES * b.values; v++)
                if (plain[v] != fast[v])
                    fail_msg("%s%s: value %zu of image %zu is level %d, the plain way draws %d", px_test_name(spec),
                             given ? ", some given" : "", v % b.values, v / b.values, fast[v], plain[v]);
            if (given)
                for (size_t v = 0; v < IMAGES * b.values; v++)
                    if (keep[v % b.values / (size_t)spec->channels]) assert_int_equal(fast[v], levels[v]);
            free(keep);
            free(fast);
            free(plain);
            free(levels);
            close_bench(&b);
        }
}

/* Image n of a seed is the same picture in any batch, on a decoder that was used before. */
static void test_batches(void **state) {
    (void)state;
    for (int i = 0; i < 2 * SPECS; i++) {
        bench b = open_bench_of(&specs[i / 2], IMAGES, i % 2 ? PX_BF16 : PX_REAL);
        uint8_t *whole = malloc(IMAGES * b.values), *one = malloc(b.values);
        assert_true(whole && one);
        px_sample_request request = {.seed = 7, .images = IMAGES, .temperature = 1};
        assert_ok(&b.ctx, px_sample(b.decoder, &request, whole, NULL, NULL));
        request.images = 1;
        for (int n = IMAGES - 1; n >= 0; n--) {
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
static void compare_nats(px_type activation, double tolerance) {
    for (int i = 0; i < SPECS; i++) {
        bench b = open_bench_of(&specs[i], IMAGES, activation);
        const px_model_spec *spec = &specs[i];
        uint8_t *levels = malloc(IMAGES * b.values), *keep = calloc((size_t)spec->height, (size_t)spec->width);
        double drawn[IMAGES], want[IMAGES], rest[IMAGES];
        assert_true(levels && keep);
        px_sample_request request = {.seed = 7, .images = IMAGES, .temperature = i % 2 ? 1 : 1.5};
        assert_ok(&b.ctx, px_sample(b.decoder, &request, levels, drawn, NULL));
        assert_ok(&b.ctx, px_model_forward(b.model, levels, IMAGES, false));
        assert_ok(&b.ctx, px_model_nats(b.model, want));
        keep[0] = 1;
        request.given = levels, request.keep = keep;
        assert_ok(&b.ctx, px_sample(b.decoder, &request, levels, rest, NULL));
        for (int n = 0; n < IMAGES; n++) {
            if (!(fabs(drawn[n] - want[n]) <= tolerance * want[n]))
                fail_msg("%s: image %d was drawn with %.9g nats, evaluated with %.9g; tolerance %g of them",
                         px_test_name(spec), n, drawn[n], want[n], tolerance);
            if (spec->height * spec->width > 1) assert_true(rest[n] < drawn[n] && rest[n] > 0);
        }
        assert_int_equal(px_sample_values(spec, &request), b.values - (size_t)spec->channels);
        free(keep);
        free(levels);
        close_bench(&b);
    }
}

static void test_nats(void **state) {
    (void)state;
    compare_nats(PX_REAL, of_sums);
}

/* Logits are off to either side, so that less is left in a sum over the 7 values and more of an image. */
static void test_nats_in_bfloat16(void **state) {
    (void)state;
    compare_nats(PX_BF16, of_roundings / 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits),
        cmocka_unit_test(test_logits_after_given_pixels),
        cmocka_unit_test(test_pictures),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_nats),
        cmocka_unit_test(test_logits_in_bfloat16),
        cmocka_unit_test(test_nats_in_bfloat16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
