/* Training steps as captured graphs give bitwise the same losses, norms, weights, moments and averages as steps
 * without. Each step is captured once, and again when its key changes.
 *
 * CUDA captures graphs itself. For the CPU, a mock table of operations captures calls and executes them later. */
#include "host/distributed/ranks.h"
#include "host/train/step.h"
#include "tests/support/model.h"
#include <string.h>

/* ---- A device that captures ---- */

typedef struct operation {
    int op;
    union {
#define ARGS(name) px_##name##_args name;
        PX_DEVICE_OPS(ARGS)
    } args;
} operation;
enum {
#define INDEX(name) OP_##name,
    PX_DEVICE_OPS(INDEX) MAX_OPERATIONS = 4096
};
typedef struct graph {
    int count;
    operation operations[MAX_OPERATIONS];
} graph;

typedef enum { NO_GRAPHS, GRAPHS, BEGIN_FAILS, END_FAILS, WRONG_GRAPHS } mode;

static struct {
    px_device_ops table;
    const px_device_ops *real;
    mode mode;
    graph *capturing;                    /* NULL: operations run directly */
    int begun, captured, run, destroyed; /* numbers of graphs */
} mock;

#define CAPTURE(name)                                                                                                  \
    static px_status capture_##name(px_device *device, const px_##name##_args *args) {                                 \
        if (!mock.capturing) return mock.real->name(device, args);                                                     \
        assert_true(mock.capturing->count < MAX_OPERATIONS);                                                           \
        mock.capturing->operations[mock.capturing->count++] = (operation){.op = OP_##name, .args.name = *args};        \
        return PX_OK;                                                                                                  \
    }
PX_DEVICE_OPS(CAPTURE)

/* Functions that must not be called during a capture. */
#define CHECK_NOT_CAPTURING(name, signature, ...)                                                                      \
    static px_status check_##name signature {                                                                          \
        if (mock.capturing) fail_msg("%s while a graph is captured", #name);                                           \
        return mock.real->name(__VA_ARGS__);                                                                           \
    }
CHECK_NOT_CAPTURING(upload, (px_device * device, void *to, const void *from, size_t bytes), device, to, from, bytes)
CHECK_NOT_CAPTURING(download, (px_device * device, void *to, const void *from, size_t bytes), device, to, from, bytes)
CHECK_NOT_CAPTURING(copy, (px_device * device, void *to, const void *from, size_t bytes), device, to, from, bytes)
CHECK_NOT_CAPTURING(clear, (px_device * device, void *memory, size_t bytes), device, memory, bytes)
CHECK_NOT_CAPTURING(synchronize, (px_device * device), device)

static px_status graph_begin(px_device *device) {
    mock.begun++;
    if (mock.mode == BEGIN_FAILS) return px_fail(device->ctx, PX_ERR_DEVICE, "mock: graph_begin fails");
    mock.capturing = calloc(1, sizeof *mock.capturing);
    assert_non_null(mock.capturing);
    return PX_OK;
}
static px_status graph_end(px_device *device, void **captured) {
    *captured = mock.mode == END_FAILS ? NULL : mock.capturing;
    if (!*captured) free(mock.capturing);
    mock.capturing = NULL;
    if (!*captured) return px_fail(device->ctx, PX_ERR_DEVICE, "mock: graph_end fails");
    mock.captured++;
    return PX_OK;
}
static px_status run_operation(px_device *device, const operation *o) {
    switch (o->op) {
#define RUN(name)                                                                                                      \
    case OP_##name: return mock.real->name(device, &o->args.name);
        PX_DEVICE_OPS(RUN)
    }
    return PX_ERR_DEVICE;
}
static px_status graph_run(px_device *device, void *captured) {
    const graph *g = captured;
    mock.run++;
    for (int i = 0; i < g->count - (mock.mode == WRONG_GRAPHS); i++) PX_TRY(run_operation(device, &g->operations[i]));
    return PX_OK;
}
static px_status graph_destroy(px_device *device, void *captured) {
    (void)device;
    mock.destroyed++;
    free(captured);
    return PX_OK;
}

/* Opens the device under test. With graphs, a CPU device gets the mock table. */
static px_device *open_device(px_context *ctx, px_type activation, mode how) {
    px_device *device = px_test_device_of(ctx, activation);
    memset(&mock, 0, sizeof mock);
    mock.real = device->ops;
    mock.mode = how;
    device->paths = how != NO_GRAPHS ? device->paths | PX_PATH_GRAPHS : device->paths & ~(unsigned)PX_PATH_GRAPHS;
    if (how == NO_GRAPHS || strcmp(device->kind, "cpu") != 0) return device;
    mock.table = *device->ops;
#define REPLACE(name) mock.table.name = capture_##name;
    PX_DEVICE_OPS(REPLACE)
    mock.table.upload = check_upload, mock.table.download = check_download;
    mock.table.copy = check_copy, mock.table.clear = check_clear, mock.table.synchronize = check_synchronize;
    mock.table.graph_begin = graph_begin, mock.table.graph_end = graph_end;
    mock.table.graph_run = graph_run, mock.table.graph_destroy = graph_destroy;
    device->ops = &mock.table;
    return device;
}

static bool is_mock(const px_device *device) { return device->ops == &mock.table; }

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
static void evaluate(trace *t, px_device *device, px_model *model, px_tensor average, const uint8_t *levels) {
    double nats[MAX_IMAGES];
    assert_ok(device->ctx, px_model_use_weights(model, average));
    assert_ok(device->ctx, px_model_forward(model, levels, MAX_IMAGES - 1, false));
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
    assert_ok(device->ctx, px_model_reserve(model, script[i].reserve, PX_PURPOSE_TRAIN));
    px_model_set_global_batch(model, script[i].part_of);
    if (script[i].evaluated) evaluate(t, device, model, average, levels);
    if (script[i].evaluated || (i > 0 && script[i].averaged != script[i - 1].averaged))
        assert_ok(device->ctx, px_model_use_weights(model, script[i].averaged ? average : (px_tensor){0}));
    assert_ok(device->ctx, px_step_run(step, levels, script[i].images, i + 1, 0.02 / (i + 1)));
    assert_ok(device->ctx, px_model_nats(model, nats));
    assert_ok(device->ctx, device->ops->download(device, &norm, px_optimizer_norm(optimizer).data, sizeof norm));
    trace_add(t, (size_t)script[i].images, px_element_double, nats);
    trace_add(t, 1, px_element_double, &norm);
    trace_add_tensor(t, device, px_model_weights(model));
    const int count = px_optimizer_states(optimizer, states);
    for (int s = 0; s < count; s++) trace_add_tensor(t, device, states[s].tensor);
    t->ends[i] = t->count;
    free(levels);
}

static trace trace_of(const test_case *c, mode how) {
    px_context ctx = {0};
    trace t = {0};
    px_optimizer *optimizer;
    px_device *device = open_device(&ctx, c->activation, how);
    px_model *model = px_test_model(device, &c->model, 3);
    assert_ok(&ctx, px_model_reserve(model, MAX_IMAGES, PX_PURPOSE_TRAIN));
    assert_ok(&ctx, px_optimizer_create(model, &c->optimizer, &optimizer));
    px_step step = {.model = model, .optimizer = optimizer};
    for (int i = 0; i < STEPS; i++) run_step(&t, &step, &c->model, i);
    assert_string_equal(ctx.message, "");
    px_graph_release(&step.graph, device);
    if (is_mock(device)) {
        assert_int_equal(mock.begun, KEYS);
        assert_int_equal(mock.captured, how == GRAPHS || how == WRONG_GRAPHS ? KEYS : 0);
        assert_int_equal(mock.run, how == GRAPHS ? LAUNCHES : how == WRONG_GRAPHS ? KEYS : 0);
        assert_int_equal(mock.destroyed, mock.captured);
        assert_int_equal(device->warning[0] != '\0', how == WRONG_GRAPHS);
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

static void compare(const test_case *c, mode how) {
    trace plain = trace_of(c, NO_GRAPHS), graphs = trace_of(c, how);
    expect_same(c, &plain, &graphs);
    free(plain.values);
    free(graphs.values);
}

/* ---- Tests ---- */

/* The PixelCNN has enough features for cuDNN to run its convolutions in bfloat16. */
static const px_model_spec specs[] = {{PX_MODEL_PIXELCNN, 2, 8, 5, true, true, 5, 4, 3, 4},
                                      {PX_MODEL_ROW_LSTM, 2, 6, 5, true, false, 5, 4, 1, 2},
                                      {PX_MODEL_DIAGONAL_BILSTM, 2, 6, 5, false, true, 5, 4, 3, 4}};
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
        compare(&c, GRAPHS);
    }
}

/* If a capture cannot begin or end, the steps are issued directly, and no other capture of the same key is tried. */
static void a_failed_capture_is_not_repeated(void **state) {
    (void)state;
    for (int i = 0; i < SPECS; i++) {
        const test_case c = case_of(i + 2 * SPECS);
        compare(&c, BEGIN_FAILS);
        compare(&c, END_FAILS);
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
        compare(&c, WRONG_GRAPHS);
    }
    if (!is_cpu) print_message("SKIP a wrong graph: only the mock table of operations can make one\n");
}

static int sums, finishes;
static px_status count_sum(px_mpi *mpi, px_context *ctx, px_real *values, size_t count) {
    (void)mpi, (void)ctx, (void)values, (void)count;
    sums++;
    return PX_OK;
}
static px_status count_finish(px_mpi *mpi, px_context *ctx, px_reduction_times *times) {
    (void)mpi, (void)ctx, (void)times;
    finishes++;
    return PX_OK;
}

/* With a reduction, the forward pass alone is captured, and the gradients of every step are summed over the ranks. */
static void gradients_are_reduced_in_every_step(void **state) {
    (void)state;
    enum { REDUCED_STEPS = 4 };
    static const px_mpi_ops ops = {.sum = count_sum, .finish = count_finish};
    px_mpi mpi = {.ops = &ops, .count = 1};
    px_context ctx = {0};
    px_ranks ranks = {.ctx = &ctx, .mpi = &mpi};
    const test_case c = case_of(1);
    px_device *device = open_device(&ctx, PX_REAL, GRAPHS);
    if (!is_mock(device)) { /* CUDA would need NCCL */
        px_device_close(device);
        skip();
    }
    px_model *model = px_test_model(device, &c.model, 3);
    px_optimizer *optimizer;
    px_reduction *reduction;
    uint8_t *levels = px_test_images(&c.model, MAX_IMAGES, 4);
    assert_ok(&ctx, px_model_reserve(model, MAX_IMAGES, PX_PURPOSE_TRAIN));
    assert_ok(&ctx, px_optimizer_create(model, &c.optimizer, &optimizer));
    assert_ok(&ctx, px_reduction_create(&ranks, device, px_model_gradients(model), 1, &reduction));
    px_step step = {.model = model, .optimizer = optimizer, .reduction = reduction};
    for (int i = 1; i <= REDUCED_STEPS; i++) {
        const int before = sums;
        assert_ok(&ctx, px_step_run(&step, levels, MAX_IMAGES, i, 0.01));
        assert_true(sums > before);
        assert_int_equal(finishes, i);
    }
    assert_int_equal(mock.captured, 1);
    assert_int_equal(mock.run, REDUCED_STEPS - 1);
    px_graph_release(&step.graph, device);
    px_reduction_destroy(reduction);
    px_optimizer_destroy(optimizer);
    px_model_destroy(model);
    px_device_close(device);
    free(levels);
}

enum { PARTS = 3, ACCUMULATED_STEPS = 5 };

/* Steps of three micro-batches: two graphs are captured, of a pass and of the last pass with the update. */
static trace trace_of_accumulation(const test_case *c, mode how) {
    px_context ctx = {0};
    trace t = {0};
    px_optimizer *optimizer;
    px_accumulation *accumulation;
    px_device *device = open_device(&ctx, c->activation, how);
    px_model *model = px_test_model(device, &c->model, 3);
    assert_ok(&ctx, px_model_reserve(model, MAX_IMAGES, PX_PURPOSE_TRAIN));
    assert_ok(&ctx, px_optimizer_create(model, &c->optimizer, &optimizer));
    assert_ok(&ctx, px_accumulation_create(model, PARTS, MAX_IMAGES, &accumulation));
    px_model_set_global_batch(model, PARTS * MAX_IMAGES);
    px_step step = {.model = model, .optimizer = optimizer, .accumulation = accumulation};
    for (int i = 0; i < ACCUMULATED_STEPS; i++) {
        double nats[PARTS * MAX_IMAGES];
        uint8_t *levels = px_test_images(&c->model, PARTS * MAX_IMAGES, 40 + (uint64_t)i);
        assert_ok(&ctx, px_step_run(&step, levels, PARTS * MAX_IMAGES, i + 1, 0.01));
        assert_ok(&ctx, device->ops->download(device, nats, px_step_nats(&step).data, sizeof nats));
        trace_add(&t, PARTS * MAX_IMAGES, px_element_double, nats);
        trace_add_tensor(&t, device, px_model_weights(model));
        t.ends[i] = t.count;
        free(levels);
    }
    if (is_mock(device)) assert_int_equal(mock.captured, how == GRAPHS ? 2 : 0);
    if (is_mock(device) && how == GRAPHS) /* the second pass of the first step proves the graph of a pass */
        assert_int_equal(mock.run, (PARTS - 1) * ACCUMULATED_STEPS - 1 + ACCUMULATED_STEPS - 1);
    px_graph_release(&step.graph, device);
    px_accumulation_destroy(accumulation);
    px_optimizer_destroy(optimizer);
    px_model_destroy(model);
    px_device_close(device);
    return t;
}

static void accumulation_with_graphs_gives_the_same_bits(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++) {
        const test_case c = case_of(i);
        trace plain = trace_of_accumulation(&c, NO_GRAPHS), graphs = trace_of_accumulation(&c, GRAPHS);
        expect_same(&c, &plain, &graphs);
        free(plain.values);
        free(graphs.values);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accumulation_with_graphs_gives_the_same_bits), cmocka_unit_test(graphs_give_the_same_bits),
        cmocka_unit_test(a_failed_capture_is_not_repeated), cmocka_unit_test(a_wrong_graph_is_not_used),
        cmocka_unit_test(gradients_are_reduced_in_every_step)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
