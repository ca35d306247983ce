/* Whole models: initial weights, batches, memory, and reproducibility. test_optimizer.c tests optimisers. */
#include "tests/support/model.h"
#include <math.h>
#include <omp.h>
#include <string.h>

/* The rounding of sums of a few hundred terms. */
static const double rounding = sizeof(px_real) == sizeof(float) ? 4e-6 : 1e-13;

typedef struct fixture {
    px_context ctx;
    px_device *device;
} fixture;

static px_model_spec spec_of(int kind, int layers, int hidden, int height, int width, int channels) {
    return (px_model_spec){.kind = (px_model_kind)kind,
                           .layers = layers,
                           .hidden = hidden,
                           .head = hidden + 2,
                           .residual = true,
                           .skip = true,
                           .height = height,
                           .width = width,
                           .channels = channels,
                           .levels = 5};
}

/* Spec number i of each kind without a condition, with a class, and with an image at 1/2. */
enum { CONDITIONED = 9 };
static px_model_spec conditioned_spec(int i, int layers, int channels) {
    static const px_condition conditions[] = {{0}, PX_TEST_CLASS(3), PX_TEST_IMAGE(2)};
    px_model_spec spec = spec_of(i % 3, layers, 5, 4, 6, channels);
    spec.condition = conditions[i / 3];
    return spec;
}

static void train(px_model *model, const uint8_t *levels, const uint8_t *conditions, int images) {
    px_context *ctx = px_model_device(model)->ctx;
    assert_ok(ctx, px_model_forward(model, levels, conditions, images, true));
    assert_ok(ctx, px_model_backward(model));
}

static void expect_same_bits(const char *what, const px_model_spec *spec, const px_real *found, const px_real *want,
                             size_t count) {
    for (size_t i = 0; i < count; i++)
        if (memcmp(&found[i], &want[i], sizeof *found) != 0)
            fail_msg("%s: %s[%zu] is %.9g, expected exactly %.9g", px_test_name(spec), what, i, (double)found[i],
                     (double)want[i]);
}

/* ---- Initial weights ---- */

static int live_inputs(const px_parameters *parameters, const px_parameter *p, int output) {
    const size_t row = p->count / (size_t)p->outputs;
    int live = 0;
    for (size_t e = 0; e < row; e++) live += px_parameter_live(parameters, p, (size_t)output * row + e);
    return live;
}

/* Divided by their standard deviation, weights are standard normal: their mean and mean square are within 5 sigma of
 * the expected ones, and no weight is beyond 7 sigma. */
static void check_weight(const px_model_spec *spec, const px_parameters *parameters, const px_parameter *p,
                         const px_real *values) {
    const size_t row = p->count / (size_t)p->outputs;
    double count = 0, sum = 0, squares = 0;
    for (int output = 0; output < p->outputs; output++) {
        const double deviation = sqrt(p->gain / live_inputs(parameters, p, output));
        for (size_t e = (size_t)output * row; e < (size_t)(output + 1) * row; e++) {
            if (!px_parameter_live(parameters, p, e)) {
                if (values[e] != 0)
                    fail_msg("%s: %s[%zu] is masked but %.9g, expected 0", px_test_name(spec), p->name, e,
                             (double)values[e]);
                continue;
            }
            const double z = (double)values[e] / deviation;
            count += 1, sum += z, squares += z * z;
            if (!(fabs(z) < 7)) fail_msg("%s: %s[%zu] is %.3g deviations", px_test_name(spec), p->name, e, z);
        }
    }
    const double mean = sum / count, square = squares / count;
    if (!(fabs(mean) < 5 / sqrt(count)))
        fail_msg("%s: %s: mean of %.0f weights is %.3g deviations, expected 0 within 5 sigma, %.3g", px_test_name(spec),
                 p->name, count, mean, 5 / sqrt(count));
    if (!(fabs(square - 1) < 5 * sqrt(2 / count)))
        fail_msg("%s: %s: mean square of %.0f weights is %.4g of gain / live fan-in, expected 1 within 5 sigma, %.3g",
                 px_test_name(spec), p->name, count, square, 5 * sqrt(2 / count));
}

static void check_bias(const px_model_spec *spec, const px_parameter *p, const px_real *values) {
    const bool gates = strstr(p->name, "input_to_state") != NULL;
    const size_t h = (size_t)spec->hidden;
    for (size_t e = 0; e < p->count; e++) {
        const double want = gates && e >= h && e < 2 * h; /* gates o, f, i, g */
        if ((double)values[e] != want)
            fail_msg("%s: %s[%zu] is %.9g, expected %g", px_test_name(spec), p->name, e, (double)values[e], want);
    }
}

/* A conditional model begins as an unconditional one. */
static void expect_zeros(const px_model_spec *spec, const px_parameter *p, const px_real *values) {
    for (size_t e = 0; e < p->count; e++)
        if (values[e] != 0)
            fail_msg("%s: %s[%zu] is %.9g, expected 0", px_test_name(spec), p->name, e, (double)values[e]);
}

static void test_initialise(void **state) {
    (void)state;
    fixture f = {0};
    f.device = px_test_device(&f.ctx);
    for (int i = 0; i < 12; i++) {
        px_model_spec spec = spec_of(i / 2 % 3, 2, i % 2 ? 20 : 17, 6, 4, i % 2 ? 3 : 1);
        if (i >= 6) spec.condition = (px_condition)PX_TEST_IMAGE(2);
        px_model *model;
        assert_ok(&f.ctx, px_model_create(f.device, &spec, &model));
        const px_parameters *parameters = px_model_parameters(model);
        px_real *values[3];
        for (int n = 0; n < 3; n++) {
            assert_ok(&f.ctx, px_model_initialise(model, n < 2 ? 7 : 8));
            values[n] = px_test_download(f.device, px_model_weights(model));
        }
        expect_same_bits("weights of the same seed", &spec, values[1], values[0], parameters->elements);
        for (int t = 0; t < parameters->count; t++) {
            const px_parameter *p = &parameters->items[t];
            if (p->rank == 1) {
                check_bias(&spec, p, values[0] + p->offset);
                continue;
            }
            if (strstr(p->name, ".condition.")) {
                expect_zeros(&spec, p, values[0] + p->offset);
                continue;
            }
            check_weight(&spec, parameters, p, values[0] + p->offset);
            if (memcmp(values[0] + p->offset, values[2] + p->offset, p->count * sizeof **values) == 0)
                fail_msg("%s: %s is the same for seeds 7 and 8", px_test_name(&spec), p->name);
        }
        for (int n = 0; n < 3; n++) free(values[n]);
        px_model_destroy(model);
    }
    px_device_close(f.device);
}

static void test_impossible_specs(void **state) {
    (void)state;
    fixture f = {0};
    f.device = px_test_device(&f.ctx);
    const px_model_spec good = spec_of(0, 1, 3, 4, 3, 1);
    static const px_condition impossible[] = {PX_TEST_CLASS(0), PX_TEST_CLASS(PX_MAX_CLASSES + 1),
                                              PX_TEST_IMAGE(0), PX_TEST_IMAGE(1),
                                              PX_TEST_IMAGE(6), PX_TEST_IMAGE(128),
                                              PX_TEST_IMAGE(2)};
    static const char *const messages[] = {"channels",
                                           "data.levels",
                                           "data.levels",
                                           "0 x 3",
                                           "4 x 0",
                                           "0 layers",
                                           "hidden 0",
                                           "head 0",
                                           "model.classes: found 0, expected 1 to 65536",
                                           "model.classes: found 65537, expected 1 to 65536",
                                           "model.scale: found 0, expected a power of two from 2 to 64",
                                           "model.scale: found 1, expected a power of two from 2 to 64",
                                           "model.scale: found 6, expected a power of two from 2 to 64",
                                           "model.scale: found 128, expected a power of two from 2 to 64",
                                           "model.scale: found 2, expected a divisor of the image's sides, 4 x 3"};
    enum { BAD = 15 };
    px_model_spec bad[BAD];
    for (int i = 0; i < BAD; i++) bad[i] = good;
    bad[0].channels = 2, bad[1].levels = 1, bad[2].levels = 257, bad[3].height = 0, bad[4].width = 0;
    bad[5].layers = 0, bad[6].hidden = 0, bad[7].head = 0;
    for (int i = 8; i < BAD; i++) bad[i].condition = impossible[i - 8];
    for (int i = 0; i < BAD; i++) {
        px_model *model;
        assert_int_equal(px_model_create(f.device, &bad[i], &model), PX_ERR_CONFIG);
        assert_null(model);
        if (!strstr(f.ctx.message, messages[i]))
            fail_msg("message is \"%s\", expected it to name \"%s\"", f.ctx.message, messages[i]);
    }
    px_device_close(f.device);
}

/* ---- Batches ---- */

enum { IMAGES = 5 };

static void expect_nats(const px_model_spec *spec, const char *how, const double *found, const double *want,
                        int images) {
    const px_difference d = px_compare((size_t)images, px_element_double, found, px_element_double, want);
    if (!(d.relative <= rounding))
        fail_msg("%s: nats[%zu] %s is %.12g, of the whole batch %.12g: off by %.3g of the largest, tolerance %.1g for "
                 "products cut elsewhere",
                 px_test_name(spec), d.index, how, d.found, d.want, d.relative, rounding);
}

static void test_batches(void **state) {
    (void)state;
    fixture f = {0};
    f.device = px_test_device(&f.ctx);
    for (int i = 0; i < CONDITIONED; i++) {
        const px_model_spec spec = conditioned_spec(i, 2, 3);
        const size_t values = px_test_values(&spec), bytes = px_test_condition_bytes(&spec);
        px_model *model = px_test_model(f.device, &spec, 3);
        uint8_t *levels = px_test_images(&spec, IMAGES, 4), *conditions = px_test_conditions(&spec, IMAGES, 4);
        double whole[IMAGES], parts[IMAGES];
        assert_ok(&f.ctx, px_model_reserve(model, IMAGES, PX_PURPOSE_TRAIN));
        assert_ok(&f.ctx, px_model_forward(model, levels, conditions, IMAGES, false));
        assert_ok(&f.ctx, px_model_nats(model, whole));
        for (int size = 1; size < IMAGES; size++) {
            for (int first = 0; first < IMAGES; first += size) {
                const int images = IMAGES - first < size ? IMAGES - first : size;
                assert_ok(&f.ctx, px_model_forward(model, levels + (size_t)first * values,
                                                   conditions + (size_t)first * bytes, images, false));
                assert_ok(&f.ctx, px_model_nats(model, parts + first));
            }
            expect_nats(&spec, "in parts", parts, whole, IMAGES);
        }
        assert_ok(&f.ctx, px_model_reserve(model, IMAGES, PX_PURPOSE_EVALUATE));
        assert_ok(&f.ctx, px_model_forward(model, levels, conditions, IMAGES, false));
        assert_ok(&f.ctx, px_model_nats(model, parts));
        expect_nats(&spec, "evaluated", parts, whole, IMAGES);
        free(levels);
        free(conditions);
        px_model_destroy(model);
    }
    px_device_close(f.device);
}

/* A batch of 0 images is valid and sets all gradients to 0, whether 0 or more images are reserved. */
static void test_empty_batch(void **state) {
    (void)state;
    fixture f = {0};
    f.device = px_test_device(&f.ctx);
    for (int i = 0; i < 2 * CONDITIONED; i++) {
        const px_model_spec spec = conditioned_spec(i % CONDITIONED, 2, 3);
        const bool reserved = i >= CONDITIONED;
        px_model *model = px_test_model(f.device, &spec, 3);
        uint8_t *levels = px_test_images(&spec, 2, 4), *conditions = px_test_conditions(&spec, 2, 4);
        double nats[2] = {-1, -1};
        assert_ok(&f.ctx, px_model_reserve(model, reserved ? 2 : 0, PX_PURPOSE_TRAIN));
        if (reserved) train(model, levels, conditions, 2); /* the gradients that the empty batch must clear */
        train(model, levels, conditions, 0);
        assert_ok(&f.ctx, px_model_nats(model, nats));
        assert_true(nats[0] == -1);
        px_real *found = px_test_download(f.device, px_model_gradients(model));
        for (size_t e = 0; e < px_model_parameters(model)->elements; e++)
            if (found[e] != 0)
                fail_msg("%s: gradient element %zu of an empty batch is %.9g, expected 0", px_test_name(&spec), e,
                         (double)found[e]);
        free(found);
        free(levels);
        free(conditions);
        px_model_destroy(model);
    }
    px_device_close(f.device);
}

/* px_model_use_weights selects the weights of another model, and then those of the model itself again. */
static void test_use_weights(void **state) {
    (void)state;
    fixture f = {0};
    f.device = px_test_device(&f.ctx);
    const px_model_spec spec = spec_of(PX_MODEL_ROW_LSTM, 1, 5, 4, 3, 1);
    px_model *models[] = {px_test_model(f.device, &spec, 1), px_test_model(f.device, &spec, 2)};
    uint8_t *levels = px_test_images(&spec, 1, 4);
    double own[2], other, after;
    for (int i = 0; i < 2; i++) {
        assert_ok(&f.ctx, px_model_reserve(models[i], 1, PX_PURPOSE_EVALUATE));
        assert_ok(&f.ctx, px_model_forward(models[i], levels, NULL, 1, false));
        assert_ok(&f.ctx, px_model_nats(models[i], &own[i]));
    }
    assert_ok(&f.ctx, px_model_use_weights(models[0], px_model_weights(models[1])));
    assert_ok(&f.ctx, px_model_forward(models[0], levels, NULL, 1, false));
    assert_ok(&f.ctx, px_model_nats(models[0], &other));
    assert_ok(&f.ctx, px_model_use_weights(models[0], (px_tensor){0}));
    assert_ok(&f.ctx, px_model_forward(models[0], levels, NULL, 1, false));
    assert_ok(&f.ctx, px_model_nats(models[0], &after));
    if (other != own[1] || after != own[0] || own[0] == own[1])
        fail_msg("nats of the models: %.12g and %.12g; of model 0 with the weights of model 1: %.12g, with its own "
                 "again: %.12g",
                 own[0], own[1], other, after);
    for (int i = 0; i < 2; i++) px_model_destroy(models[i]);
    free(levels);
    px_device_close(f.device);
}

/* ---- Memory ---- */

static const px_device_ops *counted_ops;
static size_t counted_bytes;

static px_status counting_allocate(px_device *device, size_t bytes, void **memory) {
    counted_bytes += bytes;
    return counted_ops->allocate(device, bytes, memory);
}

static size_t reserve_counted(fixture *f, px_model *model, int images, px_purpose purpose) {
    counted_bytes = 0;
    assert_ok(&f->ctx, px_model_reserve(model, images, purpose));
    return counted_bytes;
}

static void expect_bytes(const px_model_spec *spec, const char *what, size_t found, size_t want) {
    if (found != want) fail_msg("%s: %s: found %zu bytes, expected exactly %zu", px_test_name(spec), what, found, want);
}

/* px_model_reserve allocates exactly the planned bytes, and training allocates nothing more. */
static void check_plan(fixture *f, const px_model_spec *spec) {
    px_model *model = px_test_model(f->device, spec, 1);
    const px_memory_plan small = px_model_plan(model, 3, PX_PURPOSE_EVALUATE);
    const px_memory_plan large = px_model_plan(model, 3, PX_PURPOSE_TRAIN);
    const size_t weights = px_model_parameters(model)->elements * sizeof(px_real);
    expect_bytes(spec, "weights planned", large.weights, weights);
    expect_bytes(spec, "gradients planned to train", large.gradients, weights);
    expect_bytes(spec, "gradients planned to evaluate", small.gradients, 0);
    if (small.activations >= large.activations)
        fail_msg("%s: evaluation plans %zu bytes, training %zu; expected less", px_test_name(spec), small.activations,
                 large.activations);
    expect_bytes(spec, "reserved to evaluate", reserve_counted(f, model, 3, PX_PURPOSE_EVALUATE), small.activations);
    expect_bytes(spec, "reserved to train", reserve_counted(f, model, 3, PX_PURPOSE_TRAIN),
                 large.activations + weights);
    expect_bytes(spec, "reserved again for less", reserve_counted(f, model, 2, PX_PURPOSE_TRAIN), 0);

    uint8_t *levels = px_test_images(spec, 3, 1), *conditions = px_test_conditions(spec, 3, 1);
    double nats[2][3];
    counted_bytes = 0;
    for (int n = 0; n < 2; n++) {
        train(model, levels, conditions, 3);
        assert_ok(&f->ctx, px_model_nats(model, nats[n]));
        px_model_plan(model, 100, PX_PURPOSE_TRAIN); /* a dry run does not change the reserved buffers */
    }
    expect_bytes(spec, "allocated in training", counted_bytes, 0);
    for (int n = 0; n < 3; n++)
        if (nats[0][n] != nats[1][n])
            fail_msg("%s: nats[%d] is %.17g after another plan, expected exactly %.17g", px_test_name(spec), n,
                     nats[1][n], nats[0][n]);
    free(levels);
    free(conditions);
    px_model_destroy(model);
}

static void test_plan(void **state) {
    (void)state;
    fixture f = {0};
    f.device = px_test_device(&f.ctx);
    counted_ops = f.device->ops;
    px_device_ops ops = *counted_ops;
    ops.allocate = counting_allocate;
    f.device->ops = &ops;
    for (int i = 0; i < 2 * CONDITIONED; i++) {
        px_model_spec spec = conditioned_spec(i % CONDITIONED, 3, i % 2 ? 3 : 1);
        spec.skip = i / CONDITIONED;
        check_plan(&f, &spec);
    }
    f.device->ops = counted_ops;
    px_device_close(f.device);
}

/* A plan above the device's memory fails, even where the operating system would grant the allocation. */
static void test_plan_above_all_memory(void **state) {
    (void)state;
    fixture f = {0};
    f.device = px_test_device(&f.ctx);
    const px_model_spec spec = spec_of(PX_MODEL_ROW_LSTM, 2, 5, 6, 7, 1);
    px_model *model = px_test_model(f.device, &spec, 1), *too_large;
    const px_memory_plan plan = px_model_plan(model, 3, PX_PURPOSE_TRAIN);
    const size_t all = f.device->memory;
    f.device->memory = plan.weights + plan.gradients + plan.activations + plan.workspace - 1;
    assert_int_equal(px_model_reserve(model, 3, PX_PURPOSE_TRAIN), PX_ERR_MEMORY);
    assert_non_null(strstr(f.ctx.message, "out of memory: 3 images need "));
    f.device->memory++;
    assert_ok(&f.ctx, px_model_reserve(model, 3, PX_PURPOSE_TRAIN));
    f.device->memory = plan.weights - 1;
    assert_int_equal(px_model_create(f.device, &spec, &too_large), PX_ERR_MEMORY);
    assert_non_null(strstr(f.ctx.message, "out of memory: the model needs "));
    f.device->memory = all;
    px_model_destroy(model);
    px_device_close(f.device);
}

/* Blocks share their memory in evaluation, so a deeper model needs no more. */
static void test_evaluation_memory_is_independent_of_depth(void **state) {
    (void)state;
    fixture f = {0};
    f.device = px_test_device(&f.ctx);
    for (int kind = 0; kind < CONDITIONED; kind++) {
        size_t bytes[2];
        const px_model_spec spec[] = {conditioned_spec(kind, 1, 3), conditioned_spec(kind, 4, 3)};
        for (int i = 0; i < 2; i++) {
            px_model *model = px_test_model(f.device, &spec[i], 1);
            bytes[i] = px_model_plan(model, 3, PX_PURPOSE_EVALUATE).activations;
            px_model_destroy(model);
        }
        expect_bytes(&spec[1], "planned to evaluate 4 layers instead of 1", bytes[1], bytes[0]);
    }
    px_device_close(f.device);
}

/* ---- Reproducibility ---- */

/* The logits of a batch, then its gradients, in one array. The caller frees it. */
static px_real *run_once(px_model *model, const uint8_t *levels, const uint8_t *conditions, int images, size_t *count) {
    px_device *device = px_model_device(model);
    px_tensor logits;
    train(model, levels, conditions, images);
    px_real *gradients = px_test_download(device, px_model_gradients(model));
    assert_ok(device->ctx, px_model_logits(model, images, &logits));
    px_real *forward = px_test_download(device, logits);
    const size_t first = px_tensor_elements(&logits), second = px_model_parameters(model)->elements;
    px_real *both = malloc((first + second) * sizeof *both);
    assert_non_null(both);
    memcpy(both, forward, first * sizeof *both);
    memcpy(both + first, gradients, second * sizeof *both);
    free(forward);
    free(gradients);
    *count = first + second;
    return both;
}

/* Runs with 1, 2, 3 threads, and twice on one model, give the same bits. The model is large enough that all products
 * and kernels are divided between threads. */
static void test_same_bits(void **state) {
    static const px_condition conditions_of[] = {{0}, PX_TEST_CLASS(9), PX_TEST_IMAGE(4)};
    const int number = (int)(intptr_t)*state;
    px_model_spec spec = spec_of(number % 3, 2, 33, 12, 16, 3);
    spec.condition = conditions_of[number / 3];
    enum { BATCH = 6, RUNS = 4 };
    static const int threads[RUNS] = {1, 2, 3, 3};
    px_real *results[RUNS];
    uint8_t *levels = px_test_images(&spec, BATCH, 4), *conditions = px_test_conditions(&spec, BATCH, 4);
    size_t count = 0;
    const int threads_before = omp_get_max_threads();
    for (int run = 0; run < RUNS - 1; run++) {
        fixture f = {0};
        omp_set_num_threads(threads[run]);
        f.device = px_test_device(&f.ctx);
        px_model *model = px_test_model(f.device, &spec, 3);
        assert_ok(&f.ctx, px_model_reserve(model, BATCH, PX_PURPOSE_TRAIN));
        results[run] = run_once(model, levels, conditions, BATCH, &count);
        if (run == RUNS - 2) results[RUNS - 1] = run_once(model, levels, conditions, BATCH, &count);
        px_model_destroy(model);
        px_device_close(f.device);
    }
    omp_set_num_threads(threads_before);
    for (int run = 1; run < RUNS; run++) {
        char what[64];
        snprintf(what, sizeof what, "logits, gradients of run %d, %d threads,", run, threads[run]);
        expect_same_bits(what, &spec, results[run], results[0], count);
    }
    for (int run = 0; run < RUNS; run++) free(results[run]);
    free(levels);
    free(conditions);
}

/* ---- Masks ---- */

static int masks;
static px_status count_mask(px_device *device, const px_mask_args *args) {
    (void)device, (void)args;
    masks++;
    return PX_OK;
}

/* The gradients of a grey image's layers are masked only where mask A or stored taps that are not live require it: in
 * the stem, and in the 3 x 3 convolution of a PixelCNN's block. */
static void test_masks_that_keep_all_are_skipped(void **state) {
    (void)state;
    enum { LAYERS = 2 };
    static const int want[] = {
        [PX_MODEL_PIXELCNN] = 1 + LAYERS, [PX_MODEL_ROW_LSTM] = 1, [PX_MODEL_DIAGONAL_BILSTM] = 1};
    for (int i = 0; i < 6; i++) {
        fixture f = {0};
        px_model *model;
        const px_model_spec spec = spec_of(i / 2, LAYERS, 5, 4, 3, i % 2 ? 3 : 1);
        uint8_t *levels = px_test_images(&spec, 2, 1);
        int masked = 0;
        f.device = px_test_device(&f.ctx);
        px_device_ops ops = *f.device->ops;
        ops.mask = count_mask;
        f.device->ops = &ops;
        assert_ok(&f.ctx, px_model_create(f.device, &spec, &model));
        assert_ok(&f.ctx, px_model_initialise(model, 1));
        assert_ok(&f.ctx, px_model_reserve(model, 2, PX_PURPOSE_TRAIN));
        const px_parameters *parameters = px_model_parameters(model);
        for (int t = 0; t < parameters->count; t++)
            masked += parameters->items[t].rank > 1 && parameters->items[t].mask != PX_MASK_NONE;
        masks = 0;
        train(model, levels, NULL, 2);
        if (masks != (spec.channels == 1 ? want[spec.kind] : masked))
            fail_msg("%s: found %d masked gradients, expected %d", px_test_name(&spec), masks,
                     spec.channels == 1 ? want[spec.kind] : masked);
        px_model_destroy(model);
        px_device_close(f.device);
        free(levels);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_initialise),
        cmocka_unit_test(test_impossible_specs),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_empty_batch),
        cmocka_unit_test(test_use_weights),
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_plan_above_all_memory),
        cmocka_unit_test(test_evaluation_memory_is_independent_of_depth),
        cmocka_unit_test(test_masks_that_keep_all_are_skipped),
        {"test_same_bits, pixelcnn", test_same_bits, NULL, NULL, (void *)0},
        {"test_same_bits, row_lstm", test_same_bits, NULL, NULL, (void *)1},
        {"test_same_bits, diagonal_bilstm", test_same_bits, NULL, NULL, (void *)2},
        {"test_same_bits, pixelcnn with a class", test_same_bits, NULL, NULL, (void *)3},
        {"test_same_bits, row_lstm with a class", test_same_bits, NULL, NULL, (void *)4},
        {"test_same_bits, diagonal_bilstm with a class", test_same_bits, NULL, NULL, (void *)5},
        {"test_same_bits, pixelcnn with an image", test_same_bits, NULL, NULL, (void *)6},
        {"test_same_bits, row_lstm with an image", test_same_bits, NULL, NULL, (void *)7},
        {"test_same_bits, diagonal_bilstm with an image", test_same_bits, NULL, NULL, (void *)8},
    };
    omp_set_num_threads(1); /* most of these models take less time than starting threads */
    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
