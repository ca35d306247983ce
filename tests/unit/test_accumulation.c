/* A step in micro-batches gives the losses, norm, weights, moments and averages of a step with the whole batch, within
 * rounding, also with a reduction over ranks. */
#include "host/distributed/ranks.h"
#include "host/train/step.h"
#include "tests/support/model.h"
#include <float.h>
#include <math.h>
#include <string.h>

enum { BATCH = 12, STEPS = 3 };

static const px_model_spec specs[] = {PX_SPEC(PIXELCNN, 2, 8, 5, true, true, 5, 4, 3, 4),
                                      PX_SPEC(ROW_LSTM, 2, 6, 5, true, false, 5, 4, 1, 2),
                                      PX_SPEC(DIAGONAL_BILSTM, 2, 6, 5, false, true, 5, 4, 3, 4),
                                      PX_SPEC(PIXELCNN, 1, 6, 5, true, false, 4, 4, 1, 2, PX_SCALE(2)),
                                      PX_SPEC(ROW_LSTM, 1, 6, 5, true, false, 4, 3, 3, 4, PX_CLASSES(3))};

/* The optimisers divide by no small root, so that rounding errors of gradients stay small in weights. */
static px_optimizer_spec rule_of(px_optimizer_kind kind) {
    return (px_optimizer_spec){
        .kind = kind, .rho = 0.9, .beta1 = 0.9, .beta2 = 0.99, .epsilon = 0.01, .clip_norm = 0.05, .ema_decay = 0.8};
}

/* ---- A job of one rank whose sums double every value, as if another rank had the same gradients ---- */

static px_status double_values(px_mpi *mpi, px_context *ctx, px_real *values, size_t count) {
    (void)mpi, (void)ctx;
    for (size_t i = 0; i < count; i++) values[i] *= 2;
    return PX_OK;
}
static px_status finish(px_mpi *mpi, px_context *ctx, px_reduction_times *times) {
    (void)mpi, (void)ctx, (void)times;
    return PX_OK;
}

/* ---- Steps ---- */

/* What a few steps leave. */
typedef struct outcome {
    double nats[STEPS][BATCH], norm[STEPS];
    int tensors;
    size_t count;
    px_real *tensor[1 + PX_OPTIMIZER_STATES]; /* weights, then the optimiser's state */
} outcome;

static void run_steps(px_step *step, const px_model_spec *spec, outcome *o) {
    px_device *device = px_model_device(step->model);
    px_optimizer_state states[PX_OPTIMIZER_STATES];
    for (int i = 0; i < STEPS; i++) {
        uint8_t *levels = px_test_images(spec, BATCH, 20 + (uint64_t)i);
        uint8_t *conditions = px_test_conditions(spec, BATCH, 20 + (uint64_t)i);
        assert_ok(device->ctx, px_step_run(step, levels, conditions, BATCH, i + 1, 0.02));
        const px_tensor nats = px_step_nats(step);
        assert_int_equal((int)nats.rows, BATCH);
        assert_ok(device->ctx, device->ops->download(device, o->nats[i], nats.data, px_tensor_bytes(&nats)));
        assert_ok(device->ctx, device->ops->download(device, &o->norm[i], px_optimizer_norm(step->optimizer).data,
                                                     sizeof o->norm[i]));
        free(levels);
        free(conditions);
    }
    const px_tensor weights = px_model_weights(step->model);
    o->count = px_tensor_elements(&weights);
    o->tensors = 1 + px_optimizer_states(step->optimizer, states);
    o->tensor[0] = px_test_download(device, weights);
    for (int s = 1; s < o->tensors; s++) o->tensor[s] = px_test_download(device, states[s - 1].tensor);
}

static outcome outcome_of(const px_model_spec *spec, px_optimizer_kind kind, int parts, bool reduced) {
    static const px_mpi_ops ops = {.sum = double_values, .finish = finish};
    px_mpi mpi = {.ops = &ops, .count = 1};
    px_context ctx = {0};
    px_ranks ranks = {.ctx = &ctx, .mpi = &mpi};
    px_device *device = px_test_device(&ctx);
    px_model *model = px_test_model(device, spec, 3);
    const px_optimizer_spec rule = rule_of(kind);
    outcome o = {0};
    px_optimizer *optimizer;
    px_reduction *reduction = NULL;
    px_accumulation *accumulation = NULL;
    assert_ok(&ctx, px_model_reserve(model, BATCH / parts, PX_PURPOSE_TRAIN));
    px_model_set_global_batch(model, BATCH);
    assert_ok(&ctx, px_optimizer_create(model, &rule, &optimizer));
    if (reduced) assert_ok(&ctx, px_reduction_create(&ranks, device, px_model_gradients(model), 1, &reduction));
    if (parts > 1) assert_ok(&ctx, px_accumulation_create(model, parts, BATCH / parts, &accumulation));
    px_step step = {.model = model, .optimizer = optimizer, .reduction = reduction, .accumulation = accumulation};
    run_steps(&step, spec, &o);
    px_graph_release(&step.graph, device);
    px_accumulation_destroy(accumulation);
    px_reduction_destroy(reduction);
    px_optimizer_destroy(optimizer);
    px_model_destroy(model);
    px_device_close(device);
    return o;
}

/* ---- Comparison ---- */

static void expect_near(const char *what, size_t index, double found, double expected, double scale) {
    const double tolerance = 2000 * (sizeof(px_real) == sizeof(float) ? FLT_EPSILON : DBL_EPSILON) * scale;
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("%s %zu: found %.17g in micro-batches, expected %.17g as in one batch, within %.3g", what, index,
                 found, expected, tolerance);
}

static void compare(const px_model_spec *spec, px_optimizer_kind kind, int parts, bool reduced) {
    outcome whole = outcome_of(spec, kind, 1, reduced), split = outcome_of(spec, kind, parts, reduced);
    for (int i = 0; i < STEPS; i++) {
        for (size_t n = 0; n < BATCH; n++)
            expect_near("nats of image", n, split.nats[i][n], whole.nats[i][n], whole.nats[i][n]);
        expect_near("norm of step", (size_t)i, split.norm[i], whole.norm[i], whole.norm[i]);
    }
    for (int s = 0; s < whole.tensors; s++) {
        double largest = 0;
        for (size_t e = 0; e < whole.count; e++) largest = fmax(largest, fabs((double)whole.tensor[s][e]));
        for (size_t e = 0; e < whole.count; e++)
            expect_near(s ? "state" : "weight", e, (double)split.tensor[s][e], (double)whole.tensor[s][e], largest);
        free(whole.tensor[s]);
        free(split.tensor[s]);
    }
}

static void micro_batches_equal_the_batch(void **state) {
    (void)state;
    for (size_t m = 0; m < sizeof specs / sizeof *specs; m++)
        for (px_optimizer_kind kind = PX_OPTIMIZER_SGD; kind <= PX_OPTIMIZER_ADAM; kind++)
            for (int parts = 2; parts <= BATCH; parts *= parts == 2 ? 2 : 3) compare(&specs[m], kind, parts, false);
}

static void reduced_micro_batches_equal_the_batch(void **state) {
    (void)state;
    if (!px_test_is_cpu()) skip(); /* CUDA would need NCCL */
    for (size_t m = 0; m < sizeof specs / sizeof *specs; m++) compare(&specs[m], PX_OPTIMIZER_RMSPROP, 3, true);
}

/* The sum of gradients and the nats of the batch are the memory that a run has beside a micro-batch's. */
static void memory_is_planned(void **state) {
    (void)state;
    px_context ctx = {0};
    px_device *device = px_test_device(&ctx);
    px_model *model = px_test_model(device, &specs[0], 3);
    const px_tensor weights = px_model_weights(model);
    const size_t bytes = px_accumulation_bytes(model, 4, 3), expected = px_tensor_bytes(&weights) + 12 * sizeof(double);
    assert_true(bytes >= expected && bytes < expected + 4 * PX_TENSOR_ALIGN);
    px_model_destroy(model);
    px_device_close(device);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(micro_batches_equal_the_batch),
                                       cmocka_unit_test(reduced_micro_batches_equal_the_batch),
                                       cmocka_unit_test(memory_is_planned)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
