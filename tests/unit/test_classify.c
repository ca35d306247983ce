/* Classification by p(image | class): px_classify on batches of pairs equals a search over one class after another. */
#include "tests/support/model.h"
#include "pixelrnn/evaluate.h"
#include <math.h>
#include <string.h>

enum { CLASSES = 3, IMAGES = 7 };

static const px_model_spec specs[] = {
    PX_SPEC(PIXELCNN, 1, 5, 6, true, false, 4, 5, 1, 4, PX_CLASSES(CLASSES)),
    PX_SPEC(ROW_LSTM, 2, 3, 4, true, true, 3, 4, 3, 2, PX_CLASSES(CLASSES)),
    PX_SPEC(DIAGONAL_BILSTM, 1, 4, 5, false, false, 4, 3, 1, 3, PX_CLASSES(CLASSES)),
};

/* The images of a source whose bytes are the values of levels. */
static const px_model_spec *spec;
static uint8_t *images;

static px_status read_image(px_source *source, px_context *ctx, size_t index, uint8_t *pixels) {
    (void)source, (void)ctx;
    for (size_t i = 0; i < px_test_values(spec); i++)
        pixels[i] = (uint8_t)((images[index * px_test_values(spec) + i] * 256 + 128) / spec->levels);
    return PX_OK;
}

/* The class with the fewest nats, one pass for each class of one image. */
static int best_class(px_model *model, const uint8_t *levels) {
    px_context *ctx = px_model_device(model)->ctx;
    double least = INFINITY, nats;
    int best = -1;
    for (int k = 0; k < CLASSES; k++) {
        uint8_t label[PX_LABEL_BYTES];
        px_condition_set_label(label, k);
        assert_ok(ctx, px_model_forward(model, levels, label, 1, false));
        assert_ok(ctx, px_model_nats(model, &nats));
        if (nats < least) least = nats, best = k;
    }
    return best;
}

static px_classification classify(px_model *model, uint16_t *labels, int batch) {
    px_source source = {.name = "images",
                        .count = IMAGES,
                        .height = spec->height,
                        .width = spec->width,
                        .channels = spec->channels,
                        .labels = labels,
                        .read = read_image};
    const px_evaluate_options options = {.batch = batch, .levels = spec->levels};
    px_context *ctx = px_model_device(model)->ctx;
    px_classification found;
    assert_ok(ctx, px_model_reserve(model, batch, PX_PURPOSE_EVALUATE));
    assert_ok(ctx, px_classify(model, &source, &options, NULL, &found));
    return found;
}

/* Every third image gets a wrong label, so that 4 of 7 are classified correctly. */
static void pairs_equal_single_passes(void **state) {
    static const int batches[] = {1, 2, 4, 5, 64};
    px_context ctx;
    px_device *device = px_test_device(&ctx);
    uint16_t labels[IMAGES];
    (void)state;
    for (size_t s = 0; s < sizeof specs / sizeof *specs; s++) {
        spec = &specs[s];
        px_model *model = px_test_model(device, spec, 5 + s);
        images = px_test_images(spec, IMAGES, s);
        assert_ok(&ctx, px_model_reserve(model, 1, PX_PURPOSE_EVALUATE));
        int classes_seen = 0;
        for (int n = 0; n < IMAGES; n++) {
            const int best = best_class(model, images + (size_t)n * px_test_values(spec));
            classes_seen |= 1 << best;
            labels[n] = (uint16_t)((best + (n % 3 == 0)) % CLASSES);
        }
        if ((classes_seen & (classes_seen - 1)) == 0) fail_msg("spec %zu: all images have one class", s);
        for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
            const px_classification found = classify(model, labels, batches[b]);
            assert_int_equal(found.images, IMAGES);
            if (fabs(found.accuracy - 4.0 / 7) > 1e-12)
                fail_msg("spec %zu, batch %d: found accuracy %.4f, expected 4 of 7", s, batches[b], found.accuracy);
            assert_float_equal(found.standard_error, sqrt(4.0 / 7 * 3 / 7 / 6), 1e-12);
        }
        free(images);
        px_model_destroy(model);
    }
    px_device_close(device);
}

/* The weights of the condition begin as 0: all classes are equally good. */
static void smallest_of_equal_classes(void **state) {
    px_context ctx;
    px_device *device = px_test_device(&ctx);
    px_model *model;
    uint16_t labels[IMAGES] = {0, 1, 0, 2, 0, 1, 2};
    (void)state;
    spec = &specs[0];
    images = px_test_images(spec, IMAGES, 3);
    assert_ok(&ctx, px_model_create(device, spec, &model));
    assert_ok(&ctx, px_model_initialise(model, 1));
    assert_float_equal(classify(model, labels, 1).accuracy, 3.0 / 7, 1e-12);
    free(images);
    px_model_destroy(model);
    px_device_close(device);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_equal_single_passes),
        cmocka_unit_test(smallest_of_equal_classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
