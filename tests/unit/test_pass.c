/* Training steps as graphs: the same weights, moments, averages and figures as without, to the bit, recorded once, and
 * again when what they depend on changes.
 *
 * CUDA records itself. For the CPU a table stands before the device's that records calls and repeats them. */
#include "host/distributed/ranks.h"
#include "host/train/step.h"
#include "tests/support/model.h"
#include <string.h>

/* --- A device that records ---------------------------------------------------------------------------------------- */

typedef struct step {
    int op;
    union {
#define ARGS(name) px_##name##_args name;
        PX_DEVICE_OPS(ARGS)
    } args;
} step;
enum {
#define INDEX(name) OP_##name,
    PX_DEVICE_OPS(INDEX) MOST_STEPS = 4096
};
typedef struct graph {
    int count;
    step steps[MOST_STEPS];
} graph;

typedef enum { PLAIN, GRAPHS, REFUSES_TO_BEGIN, REFUSES_TO_END } mode;

static struct {
    px_device_ops table;
    const px_device_ops *real;
    mode mode;
    graph *recording;                   /* NULL: operations run */
    int begun, recorded, ran, released; /* graphs */
    int ops;                            /* operations that ran as they are */
} the;

#define RECORD(name)                                                                                                   \
    static px_status record_##name(px_device *device, const px_##name##_args *args) {                                  \
        if (!the.recording) {                                                                                          \
            the.ops++;                                                                                                 \
            return the.real->name(device, args);                                                                       \
        }                                                                                                              \
        assert_true(the.recording->count < MOST_STEPS);                                                                \
        the.recording->steps[the.recording->count++] = (step){.op = OP_##name, .args.name = *args};                    \
        return PX_OK;                                                                                                  \
    }
PX_DEVICE_OPS(RECORD)

/* What the recorder does not know, or no graph can hold. */
#define REFUSE_TO_RECORD(name, signature, ...)                                                                         \
    static px_status refuse_##name signature {                                                                         \
        if (the.recording) fail_msg("%s while a graph is recorded", #name);                                            \
        return the.real->name(__VA_ARGS__);                                                                            \
    }
REFUSE_TO_RECORD(upload, (px_device * device, void *to, const void *from, size_t bytes), device, to, from, bytes)
REFUSE_TO_RECORD(download, (px_device * device, void *to, const void *from, size_t bytes), device, to, from, bytes)
REFUSE_TO_RECORD(copy, (px_device * device, void *to, const void *from, size_t bytes), device, to, from, bytes)
REFUSE_TO_RECORD(clear, (px_device * device, void *memory, size_t bytes), device, memory, bytes)
REFUSE_TO_RECORD(synchronize, (px_device * device), device)

static px_status begin(px_device *device) {
    the.begun++;
    if (the.mode == REFUSES_TO_BEGIN) return px_fail(device->ctx, PX_ERR_DEVICE, "no graph today");
    the.recording = calloc(1, sizeof *the.recording);
    assert_non_null(the.recording);
    return PX_OK;
}
static px_status end(px_device *device, void **made) {
    *made = the.mode == REFUSES_TO_END ? NULL : the.recording;
    if (!*made) free(the.recording);
    the.recording = NULL;
    if (!*made) return px_fail(device->ctx, PX_ERR_DEVICE, "no such graph");
    the.recorded++;
    return PX_OK;
}
static px_status run_step(px_device *device, const step *s) {
    switch (s->op) {
#define REPEAT(name)                                                                                                   \
    case OP_##name: return the.real->name(device, &s->args.name);
        PX_DEVICE_OPS(REPEAT)
    }
    return PX_ERR_DEVICE;
}
static px_status run(px_device *device, void *made) {
    const graph *g = made;
    the.ran++;
    for (int i = 0; i < g->count; i++) PX_TRY(run_step(device, &g->steps[i]));
    return PX_OK;
}
static px_status release(px_device *device, void *made) {
    (void)device;
    the.released++;
    free(made);
    return PX_OK;
}

/* The device under test; with graphs, those of its own or those above. */
static px_device *open_device(px_context *ctx, px_type activation, mode how) {
    px_device *device = px_test_device_of(ctx, activation);
    memset(&the, 0, sizeof the);
    the.real = device->ops;
    the.mode = how;
    device->graphs = how != PLAIN;
    if (how == PLAIN || strcmp(device->kind, "cpu") != 0) return device;
    the.table = *device->ops;
#define PLACE(name) the.table.name = record_##name;
    PX_DEVICE_OPS(PLACE)
    the.table.upload = refuse_upload, the.table.download = refuse_download, the.table.synchronize = refuse_synchronize;
    the.table.copy = refuse_copy, the.table.clear = refuse_clear;
    the.table.graph_begin = begin, the.table.graph_end = end, the.table.graph_run = run;
    the.table.graph_destroy = release;
    device->ops = &the.table;
    return device;
}

static bool counts(const px_device *device) {
    return device->ops == &the.table;
}

/* --- A run of steps, and all that it leaves ----------------------------------------------------------------------- */

/* Rates fall and no two batches are alike. One thing changes at a time: batches become smaller, become parts of larger
 * ones, are learnt with the averaged weights, and get other memory. Each is run as it is, then recorded, then replayed
 * where there is a third. Some steps come after an evaluation by the averaged weights. */
enum { MOST = 3 };
static const struct {
    int images, part_of;
    bool averaged;
    int reserve;
    bool evaluated;
} script[] = {
    {3, 0, false, MOST, false},    {3, 0, false, MOST, false},    {3, 0, false, MOST, false},
    {3, 0, false, MOST, true},     {2, 0, false, MOST, false},    {2, 0, false, MOST, false},
    {2, 5, false, MOST, false},    {2, 5, false, MOST, true},     {2, 5, false, MOST, false},
    {2, 5, true, MOST, false},     {2, 5, true, MOST, false},     {2, 5, true, MOST, true},
    {2, 5, true, MOST, false},     {2, 5, true, 2 * MOST, false}, {2, 5, true, 2 * MOST, true},
    {2, 5, true, 2 * MOST, false},
};
enum { STEPS = sizeof script / sizeof *script, SHAPES = 5, RAN = STEPS - SHAPES };

typedef struct trace {
    size_t count, room, ends[STEPS];
    double *values;
} trace;

static void note(trace *t, size_t count, double (*element)(const void *, size_t), const void *data) {
    while (t->count + count > t->room) {
        t->room = 2 * t->room + count;
        t->values = realloc(t->values, t->room * sizeof *t->values);
        assert_non_null(t->values);
    }
    for (size_t i = 0; i < count; i++) t->values[t->count++] = element(data, i);
}

static void note_tensor(trace *t, px_device *device, px_tensor tensor) {
    px_real *host = px_test_download(device, tensor);
    note(t, px_tensor_elements(&tensor), px_element_real, host);
    free(host);
}

typedef struct course {
    px_model_spec model;
    px_optimizer_spec optimizer;
    px_type activation;
} course;

/* What the averaged weights say in between; it must not disturb the steps, nor they it. */
static void evaluate(trace *t, px_device *device, px_model *model, px_tensor average, const uint8_t *levels) {
    double nats[MOST];
    assert_ok(device->ctx, px_model_use_weights(model, average));
    assert_ok(device->ctx, px_model_forward(model, levels, MOST - 1, false));
    assert_ok(device->ctx, px_model_nats(model, nats));
    note(t, MOST - 1, px_element_double, nats);
}

static void take_step(trace *t, px_step *one, px_model *model, px_optimizer *optimizer, const px_model_spec *spec,
                      int i) {
    px_device *device = px_model_device(model);
    px_optimizer_state states[PX_OPTIMIZER_STATES];
    const px_tensor average = px_optimizer_average(optimizer);
    double nats[MOST], norm;
    uint8_t *levels = px_test_images(spec, MOST, 20 + (uint64_t)i);
    assert_ok(device->ctx, px_model_reserve(model, script[i].reserve, PX_PURPOSE_TRAIN));
    px_model_set_global_batch(model, script[i].part_of);
    if (script[i].evaluated) evaluate(t, device, model, average, levels);
    if (script[i].evaluated || (i > 0 && script[i].averaged != script[i - 1].averaged))
        assert_ok(device->ctx, px_model_use_weights(model, script[i].averaged ? average : (px_tensor){0}));
    assert_ok(device->ctx, px_step_run(one, levels, script[i].images, i + 1, 0.02 / (i + 1)));
    assert_ok(device->ctx, px_model_nats(model, nats));
    assert_ok(device->ctx, px_optimizer_norm(optimizer, &norm));
    note(t, (size_t)script[i].images, px_element_double, nats);
    note(t, 1, px_element_double, &norm);
    note_tensor(t, device, px_model_weights(model));
    const int count = px_optimizer_states(optimizer, states);
    for (int s = 0; s < count; s++) note_tensor(t, device, states[s].tensor);
    t->ends[i] = t->count;
    free(levels);
}

static trace trace_of(const course *c, mode how) {
    px_context ctx = {0};
    trace t = {0};
    px_optimizer *optimizer;
    px_step *one;
    px_device *device = open_device(&ctx, c->activation, how);
    px_model *model = px_test_model(device, &c->model, 3);
    assert_ok(&ctx, px_model_reserve(model, MOST, PX_PURPOSE_TRAIN));
    assert_ok(&ctx, px_optimizer_create(model, &c->optimizer, &optimizer));
    assert_ok(&ctx, px_step_create(model, optimizer, NULL, &one));
    for (int i = 0; i < STEPS; i++) take_step(&t, one, model, optimizer, &c->model, i);
    assert_string_equal(ctx.message, "");
    px_step_destroy(one);
    if (counts(device)) {
        assert_int_equal(the.begun, SHAPES);
        assert_int_equal(the.recorded, how == GRAPHS ? SHAPES : 0);
        assert_int_equal(the.ran, how == GRAPHS ? RAN : 0);
        assert_int_equal(the.released, the.recorded);
    }
    px_optimizer_destroy(optimizer);
    px_model_destroy(model);
    px_device_close(device);
    return t;
}

static void expect_same(const course *c, const trace *plain, const trace *graphs) {
    assert_int_equal(plain->count, graphs->count);
    for (size_t i = 0; i < plain->count; i++) {
        if (plain->values[i] == graphs->values[i]) continue;
        int at = 0;
        while (plain->ends[at] <= i) at++;
        fail_msg("%s, %s, %s: figure %zu of step %d is %.17g as a graph, %.17g without", px_test_name(&c->model),
                 px_config_word("train.optimizer", (int)c->optimizer.kind), c->activation == PX_BF16 ? "bf16" : "real",
                 i - (at > 0 ? plain->ends[at - 1] : 0), at + 1, graphs->values[i], plain->values[i]);
    }
}

static void compare(const course *c, mode how) {
    trace plain = trace_of(c, PLAIN), graphs = trace_of(c, how);
    expect_same(c, &plain, &graphs);
    free(plain.values);
    free(graphs.values);
}

/* --- Tests -------------------------------------------------------------------------------------------------------- */

/* The PixelCNN's features are such that cuDNN takes its convolutions in bfloat16. */
static const px_model_spec specs[] = {{PX_MODEL_PIXELCNN, 2, 8, 5, true, true, 5, 4, 3, 4},
                                      {PX_MODEL_ROW_LSTM, 2, 6, 5, true, false, 5, 4, 1, 2},
                                      {PX_MODEL_DIAGONAL_BILSTM, 2, 6, 5, false, true, 5, 4, 3, 4}};
enum { SPECS = sizeof specs / sizeof *specs, KINDS = 3, COURSES = SPECS * KINDS * 2 };

static course course_of(int index) {
    return (course){.model = specs[index % SPECS],
                    .optimizer = {.kind = (px_optimizer_kind)(index / SPECS % KINDS),
                                  .rho = 0.95,
                                  .beta1 = 0.9,
                                  .beta2 = 0.999,
                                  .epsilon = 1e-8,
                                  .clip_norm = 0.1,
                                  .ema_decay = 0.9},
                    .activation = index / SPECS / KINDS ? PX_BF16 : PX_REAL};
}

static void test_same_bits(void **state) {
    (void)state;
    for (int i = 0; i < COURSES; i++) {
        const course c = course_of(i);
        compare(&c, GRAPHS);
    }
}

/* A device that cannot record, or make a graph of what was recorded, runs on as it is and is not asked again. */
static void test_refusal(void **state) {
    (void)state;
    for (int i = 0; i < SPECS; i++) {
        const course c = course_of(i + 2 * SPECS);
        compare(&c, REFUSES_TO_BEGIN);
        compare(&c, REFUSES_TO_END);
    }
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

/* Other ranks hear of every step's gradients, also where its forward pass is a graph. */
static void test_reduction(void **state) {
    (void)state;
    enum { HEARD = 4 };
    static const px_mpi_ops ops = {.sum = count_sum, .finish = count_finish};
    px_mpi mpi = {.ops = &ops, .count = 1};
    px_context ctx = {0};
    px_ranks ranks = {.ctx = &ctx, .mpi = &mpi};
    const course c = course_of(1);
    px_device *device = open_device(&ctx, PX_REAL, GRAPHS);
    if (!counts(device)) { /* there NCCL would be wanted */
        px_device_close(device);
        skip();
    }
    px_model *model = px_test_model(device, &c.model, 3);
    px_optimizer *optimizer;
    px_reduction *reduction;
    px_step *one;
    uint8_t *levels = px_test_images(&c.model, MOST, 4);
    assert_ok(&ctx, px_model_reserve(model, MOST, PX_PURPOSE_TRAIN));
    assert_ok(&ctx, px_optimizer_create(model, &c.optimizer, &optimizer));
    assert_ok(&ctx, px_reduction_create(&ranks, device, px_model_gradients(model), 1, &reduction));
    assert_ok(&ctx, px_step_create(model, optimizer, reduction, &one));
    for (int i = 1; i <= HEARD; i++) {
        const int heard = sums;
        assert_ok(&ctx, px_step_run(one, levels, MOST, i, 0.01));
        assert_true(sums > heard);
        assert_int_equal(finishes, i);
    }
    assert_int_equal(the.recorded, 1);
    assert_int_equal(the.ran, HEARD - 1);
    px_step_destroy(one);
    px_reduction_destroy(reduction);
    px_optimizer_destroy(optimizer);
    px_model_destroy(model);
    px_device_close(device);
    free(levels);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_bits), cmocka_unit_test(test_refusal),
                                       cmocka_unit_test(test_reduction)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
