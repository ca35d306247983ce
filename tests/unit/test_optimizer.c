/* Optimisers. Five updates of each on every kind of model, with and without clipping and averaging, are compared with
 * the equations of host/device/backend.h computed in double from the same gradients. Masked elements must stay exactly
 * 0 in the weights and in every state. */
#include "host/train/optimizer.h"
#include "tests/support/model.h"
#include <math.h>
#include <omp.h>
#include <string.h>

enum { UPDATES = 5, IMAGES = 2 };

/* In float32, 1 - beta2 = 0.001 is computed from a rounded 0.999, which loses three of its seven digits. An update
 * moves a weight by little, so weights lose less. */
#ifdef PX_DOUBLE
static const double state_tolerance = 1e-12, weight_tolerance = 1e-12, norm_tolerance = 1e-12;
#else
static const double state_tolerance = 1e-4, weight_tolerance = 2e-6, norm_tolerance = 1e-6;
#endif

/* The reference optimiser in double, with flat vectors like the model's. */
typedef struct reference_optimizer {
    px_optimizer_spec spec;
    size_t count;
    double *weights, *first, *second, *average;
    double norm;
} reference_optimizer;

static void update_reference(reference_optimizer *r, const px_real *gradients, int update, double rate) {
    const px_optimizer_spec *s = &r->spec;
    double squares = 0;
    for (size_t e = 0; e < r->count; e++) squares += (double)gradients[e] * (double)gradients[e];
    r->norm = sqrt(squares);
    const double scale = s->clip_norm > 0 && r->norm > s->clip_norm ? s->clip_norm / r->norm : 1;
    for (size_t e = 0; e < r->count; e++) {
        const double g = scale * (double)gradients[e];
        switch (s->kind) {
        case PX_OPTIMIZER_SGD: r->weights[e] -= rate * g; break;
        case PX_OPTIMIZER_RMSPROP:
            r->second[e] = s->rho * r->second[e] + (1 - s->rho) * g * g;
            r->weights[e] -= rate * g / (sqrt(r->second[e]) + s->epsilon);
            break;
        case PX_OPTIMIZER_ADAM:
            r->first[e] = s->beta1 * r->first[e] + (1 - s->beta1) * g;
            r->second[e] = s->beta2 * r->second[e] + (1 - s->beta2) * g * g;
            r->weights[e] -= rate * (r->first[e] / (1 - pow(s->beta1, update))) /
                             (sqrt(r->second[e] / (1 - pow(s->beta2, update))) + s->epsilon);
        }
        r->average[e] = s->ema_decay * r->average[e] + (1 - s->ema_decay) * r->weights[e];
    }
}

typedef struct test_run {
    px_context ctx;
    px_device *device;
    px_model *model;
    px_optimizer *optimizer;
    reference_optimizer reference;
    char name[256];
} test_run;

static void create_reference(test_run *run, const px_optimizer_spec *spec) {
    reference_optimizer *r = &run->reference;
    r->spec = *spec;
    r->count = px_model_parameters(run->model)->elements;
    double **vectors[] = {&r->weights, &r->first, &r->second, &r->average};
    for (int i = 0; i < 4; i++) {
        *vectors[i] = calloc(r->count, sizeof(double));
        assert_non_null(*vectors[i]);
    }
    px_real *weights = px_test_download(run->device, px_model_weights(run->model));
    for (size_t e = 0; e < r->count; e++) r->weights[e] = r->average[e] = (double)weights[e];
    free(weights);
}

/* Masked elements and gaps of a flat tensor must be exactly 0, all others within the tolerance of the reference. */
static void expect_flat(test_run *run, const char *name, px_tensor flat, const double *want, double tolerance,
                        int update) {
    const px_parameters *parameters = px_model_parameters(run->model);
    px_real *found = px_test_download(run->device, flat);
    size_t e = 0;
    for (int i = 0; i < parameters->count; i++) {
        const px_parameter *p = &parameters->items[i];
        const size_t end = i + 1 < parameters->count ? p[1].offset : parameters->elements;
        for (; e < end; e++)
            if (found[e] != 0 && (e - p->offset >= p->count || !px_parameter_live(parameters, p, e - p->offset)))
                fail_msg("%s: after update %d, %s of %s[%zu], masked or a gap, is %.9g, expected exactly 0", run->name,
                         update, name, p->name, e - p->offset, (double)found[e]);
    }
    const px_difference d = px_compare(run->reference.count, px_element_real, found, px_element_double, want);
    if (!(d.relative <= tolerance))
        fail_msg("%s: after update %d, %s[%zu] is %.12g, expected %.12g by the equations: error %.3g of the largest "
                 "value, tolerance %.1g for rounding",
                 run->name, update, name, d.index, d.found, d.want, d.relative, tolerance);
    free(found);
}

static void check_update(test_run *run, int update) {
    const reference_optimizer *r = &run->reference;
    px_optimizer_state states[PX_OPTIMIZER_STATES];
    const int count = px_optimizer_states(run->optimizer, states);
    assert_int_equal(count, (int)r->spec.kind + (r->spec.ema_decay > 0)); /* SGD keeps none, RMSProp one, Adam two */
    double norm;
    px_device *device = px_model_device(run->model);
    assert_ok(&run->ctx, device->ops->download(device, &norm, px_optimizer_norm(run->optimizer).data, sizeof norm));
    if (!(fabs(norm - r->norm) <= norm_tolerance * r->norm))
        fail_msg("%s: norm of update %d is %.12g, expected %.12g within %.1g", run->name, update, norm, r->norm,
                 norm_tolerance);
    expect_flat(run, "weights", px_model_weights(run->model), r->weights, weight_tolerance, update);
    for (int i = 0; i < count; i++) {
        const bool average = strcmp(states[i].name, "average") == 0;
        const double *want = average ? r->average : strcmp(states[i].name, "first") == 0 ? r->first : r->second;
        expect_flat(run, states[i].name, states[i].tensor, want, average ? weight_tolerance : state_tolerance, update);
    }
    assert_true(!px_optimizer_average(run->optimizer).data == (r->spec.ema_decay == 0));
}

static void run_updates(test_run *run, const px_model_spec *spec, const px_optimizer_spec *optimizer) {
    uint8_t *levels = px_test_images(spec, IMAGES, 4);
    bool clipped = false;
    for (int update = 1; update <= UPDATES; update++) {
        const double rate = 0.02 / update;
        assert_ok(&run->ctx, px_model_forward(run->model, levels, NULL, IMAGES, true));
        assert_ok(&run->ctx, px_model_backward(run->model));
        px_real *gradients = px_test_download(run->device, px_model_gradients(run->model));
        update_reference(&run->reference, gradients, update, rate);
        clipped = clipped || run->reference.norm > optimizer->clip_norm;
        free(gradients);
        assert_ok(&run->ctx, px_optimizer_upload_scalars(run->optimizer, update, rate));
        assert_ok(&run->ctx, px_optimizer_update(run->optimizer));
        check_update(run, update);
    }
    if (optimizer->clip_norm > 0 && !clipped)
        fail_msg("%s: no gradient was clipped, so clipping was not tested", run->name);
    free(levels);
}

/* A gradient that is not finite changes neither weights nor state: the host may have issued the next step already. */
static void check_skipped(test_run *run) {
    px_optimizer_state states[1 + PX_OPTIMIZER_STATES] = {{"weights", px_model_weights(run->model)}};
    const int count = 1 + px_optimizer_states(run->optimizer, states + 1);
    const px_real bad = (px_real)INFINITY;
    px_real *before[1 + PX_OPTIMIZER_STATES];
    for (int i = 0; i < count; i++) before[i] = px_test_download(run->device, states[i].tensor);
    assert_ok(&run->ctx, run->device->ops->upload(run->device, px_model_gradients(run->model).data, &bad, sizeof bad));
    assert_ok(&run->ctx, px_optimizer_update(run->optimizer));
    for (int i = 0; i < count; i++) {
        px_real *after = px_test_download(run->device, states[i].tensor);
        if (memcmp(before[i], after, px_tensor_bytes(&states[i].tensor)) != 0)
            fail_msg("%s: a gradient that is infinite changed the %s", run->name, states[i].name);
        free(before[i]), free(after);
    }
}

static void updates_follow_the_equations(void **state) {
    const int index = (int)(intptr_t)*state, kind = index % 3;
    const bool plain = index >= 9; /* neither clipping nor averaging */
    const px_optimizer_spec optimizer = {.kind = (px_optimizer_kind)(index / 3 % 3),
                                         .rho = 0.95,
                                         .beta1 = 0.9,
                                         .beta2 = 0.999,
                                         .epsilon = 1e-8,
                                         .clip_norm = plain ? 0 : 0.1,
                                         .ema_decay = plain ? 0 : 0.9};
    const px_model_spec spec = {.kind = (px_model_kind)kind,
                                .layers = 2,
                                .hidden = 5,
                                .head = 7,
                                .residual = true,
                                .skip = true,
                                .height = 4,
                                .width = 3,
                                .channels = 3,
                                .levels = 5};
    test_run run = {0};
    run.device = px_test_device(&run.ctx);
    run.model = px_test_model(run.device, &spec, 3);
    snprintf(run.name, sizeof run.name, "%s with %s", px_test_name(&spec),
             px_config_word("train.optimizer", (int)optimizer.kind));
    assert_ok(&run.ctx, px_model_reserve(run.model, IMAGES, PX_PURPOSE_TRAIN));
    assert_ok(&run.ctx, px_optimizer_create(run.model, &optimizer, &run.optimizer));
    create_reference(&run, &optimizer);
    run_updates(&run, &spec, &optimizer);
    check_skipped(&run);
    reference_optimizer *r = &run.reference;
    double *vectors[] = {r->weights, r->first, r->second, r->average};
    for (int i = 0; i < 4; i++) free(vectors[i]);
    px_optimizer_destroy(run.optimizer);
    px_model_destroy(run.model);
    px_device_close(run.device);
}

/* The gradient (0, 0, 3, 0, ..., -4) has norm 5. It is scaled only if the clip is smaller than that. */
static void only_long_gradients_are_scaled(void **state) {
    (void)state;
    static const double clips[] = {0, 2.5, 5, 10}, scales[] = {1, 0.5, 1, 1};
    px_context ctx = {0};
    px_device *device = px_test_device(&ctx);
    px_arena arena;
    assert_ok(&ctx, px_arena_allocate(&arena, device, 1 << 16));
    const px_tensor x = px_test_tensor(&arena, 3, 7, 1, 0), sum = px_arena_tensor(&arena, 3, 1, PX_FLOAT64);
    const px_tensor scale = px_arena_tensor(&arena, 1, 2, PX_FLOAT64);
    const px_real three = 3, four = -4;
    assert_ok(&ctx, device->ops->upload(device, (px_real *)x.data + 2, &three, sizeof three));
    assert_ok(&ctx, device->ops->upload(device, (px_real *)x.data + 20, &four, sizeof four));
    assert_ok(&ctx, px_run(device, sum_squares, .x = x, .sum = sum));
    for (int i = 0; i < 4; i++) {
        double found[2];
        assert_ok(&ctx, px_run(device, clip, .squares = sum, .scale = scale, .clip = clips[i]));
        assert_ok(&ctx, device->ops->download(device, found, scale.data, sizeof found));
        if (found[0] != scales[i] || found[1] != 5)
            fail_msg("clip %g: scale %.17g and norm %.17g, expected exactly %g and 5", clips[i], found[0], found[1],
                     scales[i]);
    }
    px_arena_free(&arena);
    px_device_close(device);
}

enum { CASES = 18 };

int main(void) {
    static char names[CASES][96];
    struct CMUnitTest tests[CASES + 1];
    omp_set_num_threads(1); /* for models this small, starting threads takes longer than the work */
    for (int i = 0; i < CASES; i++) {
        snprintf(names[i], sizeof names[i], "%s, %s%s", px_config_word("model.kind", i % 3),
                 px_config_word("train.optimizer", i / 3 % 3), i < 9 ? ", clipped and averaged" : "");
        tests[i] = (struct CMUnitTest){names[i], updates_follow_the_equations, NULL, NULL, (void *)(intptr_t)i};
    }
    tests[CASES] = (struct CMUnitTest)cmocka_unit_test(only_long_gradients_are_scaled);
    return _cmocka_run_group_tests("optimizer", tests, CASES + 1, NULL, NULL);
}
