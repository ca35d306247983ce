/* Training steps as captured graphs give bitwise the same losses, norms, weights, moments and averages as steps
 * without. Each step is captured once, and again when its key changes. */
#include "host/distributed/ranks.h"
#include "host/train/step.h"
#include "tests/support/graph_device.h"
#include "tests/support/model.h"
#include <string.h>

/* ---- A series of steps, and their results ---- */

/* Learning rates fall, and all batches differ. One part of the key changes at a time: batches become smaller, become
 * parts of larger ones, train with the averaged weights, and get another reservation. Each key is issued directly, then
 * captured, then launched if there is a third step. Some steps follow an evaluation with the averaged weights. */
enum { MAX_IMAGES = 3 };
static const struct {
    int images, part_of;
    bool averaged;
    int reserve;
    bool evaluated;
} script[] = {
    {3, 0, false, MAX_IMAGES, false},    {3, 0, false, MAX_IMAGES, false},    {3, 0, false, MAX_IMAGES, false},
    {3, 0, false, MAX_IMAGES, true},     {2, 0, false, MAX_IMAGES, false},    {2, 0, false, MAX_IMAGES, false},
    {2, 5, false, MAX_IMAGES, false},    {2, 5, false, MAX_IMAGES, true},     {2, 5, false, MAX_IMAGES, false},
    {2, 5, true, MAX_IMAGES, false},     {2, 5, true, MAX_IMAGES, false},     {2, 5, true, MAX_IMAGES, true},
    {2, 5, true, MAX_IMAGES, false},     {2, 5, true, 2 * MAX_IMAGES, false}, {2, 5, true, 2 * MAX_IMAGES, true},
    {2, 5, true, 2 * MAX_IMAGES, false},
};
enum { STEPS = sizeof script / sizeof *script, KEYS = 5, LAUNCHES = STEPS - KEYS };

/* All values that the steps leave; those of step i end before values[ends[i]]. */
typedef struct trace {
    size_t count, capacity, ends[STEPS];
    double *values;
} trace;

static void trace_add(trace *t, size_t count, double (*element)(const void *, size_t), const void *data) {
    while (t->count + count > t->capacity) {
        t->capacity = 2 * t->capacity + count;
        t->values = realloc(t->values, t->capacity * sizeof *t->values);
        assert_non_null(t->values);
    }
    for (size_t i = 0; i < count; i++) t->values[t->count++] = element(data, i);
}

static void trace_add_tensor(trace *t, px_device *device, px_tensor tensor) {
    px_real *host = px_test_download(device, tensor);
    trace_add(t, px_tensor_elements(&tensor), px_element_real, host);
    free(host);
}

typedef struct test_case {
    px_model_spec model;
    px_optimizer_spec optimizer;
    px_type activation;
} test_case;

/* Evaluates with the averaged weights. The evaluation and the captured steps must not affect each other. */
static void evaluate(trace *t, px_device *device, px_model *model, px_tensor average, const uint8_t *levels,
                     const uint8_t *conditions) {
    double nats[MAX_IMAGES];
    assert_ok(device->ctx, px_model_use_weights(model, average));
    assert_ok(device->ctx, px_model_forward(model, levels, conditions, MAX_IMAGES - 1, false));
    assert_ok(device->ctx, px_model_nats(model, nats));
    trace_add(t, MAX_IMAGES - 1, px_element_double, nats);
}

static void run_step(trace *t, px_step *step, const px_model_spec *spec, int i) {
    px_model *model = step->model;
    px_optimizer *optimizer = step->optimizer;
    px_device *device = px_model_device(model);
    px_optimizer_state states[PX_OPTIMIZER_STATES];
    const px_tensor average = px_optimizer_average(optimizer);
    double nats[MAX_IMAGES], norm;
    uint8_t *levels = px_test_images(spec, MAX_IMAGES, 20 + (uint64_t)i);
    uint8_t *conditions = px_test_conditions(spec, MAX_IMAGES, 20 + (uint64_t)i);
    assert_ok(device->ctx, px_model_reserve(model, script[i].reserve, PX_PURPOSE_TRAIN));
    px_model_set_global_batch(model, script[i].part_of);
    if (script[i].evaluated) evaluate(t, device, model, average, levels, conditions);
    if (script[i].evaluated || (i > 0 && script[i].averaged != script[i - 1].averaged))
        assert_ok(device->ctx, px_model_use_weights(model, script[i].averaged ? average : (px_tensor){0}));
    assert_ok(device->ctx, px_step_run(step, levels, conditions, script[i].images, i + 1, 0.02 / (i + 1)));
    assert_ok(device->ctx, px_model_nats(model, nats));
    assert_ok(device->ctx, device->ops->download(device, &norm, px_optimizer_norm(optimizer).data, sizeof norm));
    trace_add(t, (size_t)script[i].images, px_element_double, nats);
    trace_add(t, 1, px_element_double, &norm);
    trace_add_tensor(t, device, px_model_weights(model));
    const int count = px_optimizer_states(optimizer, states);
    for (int s = 0; s < count; s++) trace_add_tensor(t, device, states[s].tensor);
    t->ends[i] = t->count;
    free(levels);
    free(conditions);
}

static trace trace_of(const test_case *c, px_test_graph_mode how) {
    const px_test_graph_counts *count = &px_test_graph_count;
    px_context ctx = {0};
    bool is_mock;
    trace t = {0};
    px_optimizer *optimizer;
    px_device *device = px_test_graph_device(&ctx, c->activation, how, &is_mock);
    px_model *model = px_test_model(device, &c->model, 3);
    assert_ok(&ctx, px_model_reserve(model, MAX_IMAGES, PX_PURPOSE_TRAIN));
    assert_ok(&ctx, px_optimizer_create(model, &c->optimizer, &optimizer));
    px_step step = {.model = model, .optimizer = optimizer};
    for (int i = 0; i < STEPS; i++) run_step(&t, &step, &c->model, i);
    assert_string_equal(ctx.message, "");
    px_graph_release(&step.graph, device);
    if (is_mock) {
        const bool captures = how == PX_TEST_GRAPHS || how == PX_TEST_WRONG_GRAPHS;
        assert_int_equal(count->begun, KEYS);
        assert_int_equal(count->captured, captures ? KEYS : 0);
        assert_int_equal(count->run, how == PX_TEST_GRAPHS ? LAUNCHES + KEYS : how == PX_TEST_WRONG_GRAPHS ? KEYS : 0);
        assert_int_equal(count->destroyed, count->captured);
        assert_int_equal(device->warning[0] != '\0', how == PX_TEST_WRONG_GRAPHS);
    }
    px_optimizer_destroy(optimizer);
    px_model_destroy(model);
    px_device_close(device);
    return t;
}

static void expect_same(const test_case *c, const trace *plain, const trace *graphs) {
    assert_int_equal(plain->count, graphs->count);
    for (size_t i = 0; i < plain->count; i++) {
        if (plain->values[i] == graphs->values[i]) continue;
        int at = 0;
        while (plain->ends[at] <= i) at++;
        fail_msg("%s, %s, %s: value %zu of step %d is %.17g with graphs, expected exactly %.17g as without",
                 px_test_name(&c->model), px_config_word("train.optimizer", (int)c->optimizer.kind),
                 c->activation == PX_BF16 ? "bf16" : "real", i - (at > 0 ? plain->ends[at - 1] : 0), at + 1,
                 graphs->values[i], plain->values[i]);
    }
}

static void compare(const test_case *c, px_test_graph_mode how) {
    trace plain = trace_of(c, PX_TEST_NO_GRAPHS), graphs = trace_of(c, how);
    expect_same(c, &plain, &graphs);
    free(plain.values);
    free(graphs.values);
}

/* ---- Tests ---- */

/* The PixelCNN has enough features for cuDNN to run its convolutions in bfloat16. */
static const px_model_spec specs[] = {PX_SPEC(PIXELCNN, 2, 8, 5, true, true, 5, 4, 3, 4),
                                      PX_SPEC(ROW_LSTM, 2, 6, 5, true, false, 5, 4, 1, 2),
                                      PX_SPEC(DIAGONAL_BILSTM, 2, 6, 5, false, true, 5, 4, 3, 4),
                                      PX_SPEC(PIXELCNN, 1, 8, 5, true, false, 4, 4, 1, 4, PX_SCALE(4)),
                                      PX_SPEC(DIAGONAL_BILSTM, 1, 6, 5, true, false, 3, 4, 1, 2, PX_CLASSES(3))};
enum { SPECS = sizeof specs / sizeof *specs, KINDS = 3, CASES = SPECS * KINDS * 2 };

static test_case case_of(int index) {
    return (test_case){.model = specs[index % SPECS],
                       .optimizer = {.kind = (px_optimizer_kind)(index / SPECS % KINDS),
                                     .rho = 0.95,
                                     .beta1 = 0.9,
                                     .beta2 = 0.999,
                                     .epsilon = 1e-8,
                                     .clip_norm = 0.1,
                                     .ema_decay = 0.9},
                       .activation = index / SPECS / KINDS ? PX_BF16 : PX_REAL};
}

static void graphs_give_the_same_bits(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++) {
        const test_case c = case_of(i);
        compare(&c, PX_TEST_GRAPHS);
    }
}

/* If a capture cannot begin or end, the steps are issued directly, and no other capture of the same key is tried. */
static void a_failed_capture_is_not_repeated(void **state) {
    (void)state;
    for (int i = 0; i < SPECS; i++) {
        const test_case c = case_of(i + 2 * SPECS);
        compare(&c, PX_TEST_BEGIN_FAILS);
        compare(&c, PX_TEST_END_FAILS);
    }
}

/* A graph that leaves out an operation is not used: every step has the results of the operations issued directly. */
static void a_wrong_graph_is_not_used(void **state) {
    (void)state;
    px_context ctx = {0};
    px_device *device = px_test_device(&ctx);
    const bool is_cpu = strcmp(device->kind, "cpu") == 0;
    px_device_close(device);
    for (int i = 0; i < SPECS && is_cpu; i++) {
        const test_case c = case_of(i + 2 * SPECS);
        compare(&c, PX_TEST_WRONG_GRAPHS);
    }
    if (!is_cpu) print_message("SKIP a wrong graph: only the mock table of operations can make one\n");
}

/* ---- Micro-batches and ranks ---- */

enum { PARTS = 3, ITERATIONS = 5 };

/* The other rank has the same gradients. */
static int sums, finishes;
static px_status double_values(px_mpi *mpi, px_context *ctx, px_real *values, size_t count) {
    (void)mpi, (void)ctx;
    for (size_t i = 0; i < count; i++) values[i] *= 2;
    sums++;
    return PX_OK;
}
static px_status count_finish(px_mpi *mpi, px_context *ctx, px_reduction_times *times) {
    (void)mpi, (void)ctx, (void)times;
    finishes++;
    return PX_OK;
}

/* How a step is divided. */
typedef struct division {
    int parts;     /* micro-batches */
    size_t bucket; /* bytes */
    bool reduced;  /* over ranks */
} division;

static void run_iteration(trace *t, px_step *step, const px_model_spec *spec, const division *by, int i) {
    px_device *device = px_model_device(step->model);
    const int images = by->parts * MAX_IMAGES;
    double nats[PARTS * MAX_IMAGES];
    uint8_t *levels = px_test_images(spec, images, 40 + (uint64_t)i);
    uint8_t *conditions = px_test_conditions(spec, images, 50 + (uint64_t)i);
    assert_ok(device->ctx, px_step_run(step, levels, conditions, images, i + 1, 0.01));
    assert_ok(device->ctx, device->ops->download(device, nats, px_step_nats(step).data, (size_t)images * sizeof *nats));
    trace_add(t, (size_t)images, px_element_double, nats);
    trace_add_tensor(t, device, px_model_weights(step->model));
    if (by->reduced) {
        const px_tensor norm = px_reduction_norm(step->reduction);
        assert_ok(device->ctx, device->ops->download(device, nats, norm.data, sizeof *nats));
        trace_add(t, 1, px_element_double, nats);
        assert_int_equal(finishes, i + 1);
        assert_int_equal(sums % (i + 1), 0); /* the same number in each step, whether it is captured or not */
    }
    t->ends[i] = t->count;
    free(conditions);
    free(levels);
}

/* A step has a graph of the first micro-batches, and one of the last micro-batch and the update. Ranks divide the
 * latter after each bucket, and before the update. Each is launched twice in its second run. */
static void expect_launches(const division *by, px_test_graph_mode how) {
    const px_test_graph_counts *count = &px_test_graph_count;
    const int whole = by->parts > 1, parts = by->reduced ? sums / ITERATIONS + 2 : 1;
    if (how == PX_TEST_GRAPHS) {
        assert_int_equal(count->captured, whole + parts);
        assert_int_equal(count->run, ITERATIONS * ((by->parts - 1) * whole + parts));
    } else if (how == PX_TEST_WRONG_GRAPHS) {
        assert_int_equal(count->run, whole + parts);
    } else { /* the capture of the step fails */
        assert_int_equal(count->run, how == PX_TEST_BEGIN_FAILS_LATER ? ITERATIONS * (by->parts - 1) : 0);
    }
    assert_int_equal(count->destroyed, count->captured);
}

static trace trace_of_divided(const test_case *c, const division *by, px_test_graph_mode how) {
    static const px_mpi_ops ops = {.sum = double_values, .finish = count_finish};
    px_mpi mpi = {.ops = &ops, .count = 1};
    px_context ctx = {0};
    px_ranks ranks = {.ctx = &ctx, .mpi = &mpi};
    trace t = {0};
    px_optimizer *optimizer;
    px_accumulation *accumulation = NULL;
    px_reduction *reduction = NULL;
    bool is_mock;
    px_device *device = px_test_graph_device(&ctx, c->activation, how, &is_mock);
    px_model *model = px_test_model(device, &c->model, 3);
    sums = finishes = 0;
    assert_ok(&ctx, px_model_reserve(model, MAX_IMAGES, PX_PURPOSE_TRAIN));
    assert_ok(&ctx, px_optimizer_create(model, &c->optimizer, &optimizer));
    if (by->parts > 1) assert_ok(&ctx, px_accumulation_create(model, by->parts, MAX_IMAGES, &accumulation));
    if (by->reduced)
        assert_ok(&ctx, px_reduction_create(&ranks, device, px_model_gradients(model), by->bucket, &reduction));
    px_model_set_global_batch(model, by->parts * MAX_IMAGES);
    px_step step = {.model = model, .optimizer = optimizer, .reduction = reduction, .accumulation = accumulation};
    for (int i = 0; i < ITERATIONS; i++) run_iteration(&t, &step, &c->model, by, i);
    assert_string_equal(ctx.message, "");
    assert_int_equal(device->warning[0] != '\0', how == PX_TEST_WRONG_GRAPHS);
    px_graph_release(&step.graph, device);
    px_accumulation_destroy(accumulation);
    px_reduction_destroy(reduction);
    if (is_mock) expect_launches(by, how);
    px_optimizer_destroy(optimizer);
    px_model_destroy(model);
    px_device_close(device);
    return t;
}

static void compare_divided(const test_case *c, const division *by, px_test_graph_mode how) {
    trace plain = trace_of_divided(c, by, PX_TEST_NO_GRAPHS), graphs = trace_of_divided(c, by, how);
    expect_same(c, &plain, &graphs);
    free(plain.values);
    free(graphs.values);
}

static void accumulation_with_graphs_gives_the_same_bits(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++) {
        const test_case c = case_of(i);
        compare_divided(&c, &(division){.parts = PARTS}, PX_TEST_GRAPHS);
    }
}

/* Whether captures succeed, fail at some part or give other results, each rank sums its gradients once a step. */
static void ranks_with_graphs_give_the_same_bits(void **state) {
    (void)state;
    if (!px_test_is_cpu()) skip(); /* CUDA would need NCCL */
    for (int i = 0; i < CASES; i++) {
        const test_case c = case_of(i);
        const division by = {.parts = i & 1 ? PARTS : 1, .bucket = i & 2 ? 1 : 1 << 30, .reduced = true};
        for (px_test_graph_mode how = PX_TEST_GRAPHS; how < PX_TEST_GRAPH_MODES; how++)
            if (how == PX_TEST_GRAPHS || i < 4) compare_divided(&c, &by, how);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accumulation_with_graphs_gives_the_same_bits), cmocka_unit_test(graphs_give_the_same_bits),
        cmocka_unit_test(a_failed_capture_is_not_repeated), cmocka_unit_test(a_wrong_graph_is_not_used),
        cmocka_unit_test(ranks_with_graphs_give_the_same_bits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
