/* Training passes as graphs: the same gradients as without, recorded once, and again when what they depend on changes.
 *
 * CUDA records itself. For the CPU a table stands before the device's that records calls and repeats them. */
#include "tests/model_support.h"
#include <string.h>

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

static struct {
    px_device_ops table;
    const px_device_ops *real;
    graph *recording;                 /* NULL: operations run */
    int recorded, ran, released, ops; /* graphs; operations that ran as they are */
    bool refuses;
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

static px_status begin(px_device *device) {
    if (the.refuses) return px_fail(device->ctx, PX_ERR_DEVICE, "no graph today");
    the.recording = calloc(1, sizeof *the.recording);
    assert_non_null(the.recording);
    return PX_OK;
}
static px_status end(px_device *device, void **made) {
    (void)device;
    *made = the.recording;
    the.recording = NULL;
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
static px_device *open_device(px_context *ctx, bool graphs) {
    px_device *device = px_test_device(ctx);
    memset(&the, 0, sizeof the);
    the.real = device->ops;
    device->graphs = graphs;
    if (!graphs || strcmp(device->kind, "cpu") != 0) return device;
    the.table = *device->ops;
#define PLACE(name) the.table.name = record_##name;
    PX_DEVICE_OPS(PLACE)
    the.table.graph_begin = begin, the.table.graph_end = end, the.table.graph_run = run;
    the.table.graph_release = release;
    device->ops = &the.table;
    return device;
}

static bool counts(const px_device *device) {
    return device->ops == &the.table;
}

static const px_model_spec specs[] = {{PX_MODEL_PIXELCNN, 2, 6, 5, true, true, 5, 4, 3, 4},
                                      {PX_MODEL_ROW_LSTM, 2, 6, 5, true, false, 5, 4, 1, 2},
                                      {PX_MODEL_DIAGONAL_BILSTM, 2, 6, 5, false, true, 5, 4, 3, 4}};
enum { SPECS = sizeof specs / sizeof *specs, PASSES = 5, MOST = 3 };

/* Batches of 3, 3, 3, 2 and 2 images, no two alike; all gradients and nats, to be freed. */
static px_real *gradients(px_device *device, px_model *model, const px_model_spec *spec, double nats[PASSES][MOST]) {
    const size_t elements = px_model_parameters(model)->elements;
    px_real *all = malloc(PASSES * elements * sizeof *all);
    assert_non_null(all);
    for (int i = 0; i < PASSES; i++) {
        const int images = i < 3 ? MOST : MOST - 1;
        uint8_t *levels = px_test_images(spec, images, 20 + (uint64_t)i);
        assert_ok(device->ctx, px_model_forward(model, levels, images, true));
        assert_ok(device->ctx, px_model_backward(model));
        assert_ok(device->ctx, px_model_nats(model, nats[i]));
        px_real *one = px_test_download(device, px_model_gradients(model));
        memcpy(all + (size_t)i * elements, one, elements * sizeof *all);
        free(one);
        free(levels);
    }
    return all;
}

static void test_same_bits(void **state) {
    (void)state;
    for (int i = 0; i < SPECS; i++) {
        px_context ctx;
        px_real *all[2];
        double nats[2][PASSES][MOST] = {{{0}}};
        size_t elements = 0;
        for (int graphs = 0; graphs < 2; graphs++) {
            px_device *device = open_device(&ctx, graphs);
            px_model *model = px_test_model(device, &specs[i], 3);
            elements = px_model_parameters(model)->elements * PASSES;
            assert_ok(&ctx, px_model_reserve(model, MOST, PX_PURPOSE_TRAIN));
            all[graphs] = gradients(device, model, &specs[i], nats[graphs]);
            if (counts(device)) { /* 3 images: as it is, recorded, replayed; 2 images: as it is, recorded */
                assert_int_equal(the.recorded, 4);
                assert_int_equal(the.ran, 6);
            }
            px_model_destroy(model);
            if (counts(device)) assert_int_equal(the.released, 4);
            px_device_close(device);
        }
        assert_memory_equal(nats[0], nats[1], sizeof nats[0]);
        for (size_t e = 0; e < elements; e++)
            if (all[0][e] != all[1][e])
                fail_msg("%s: gradient %zu of pass %zu is %.9g as a graph, %.9g without", px_test_name(&specs[i]),
                         e % (elements / PASSES), e / (elements / PASSES), (double)all[1][e], (double)all[0][e]);
        free(all[0]);
        free(all[1]);
    }
}

/* Another reservation frees what graphs point to. */
static void test_reservation(void **state) {
    (void)state;
    px_context ctx;
    px_device *device = open_device(&ctx, true);
    double nats[PASSES][MOST];
    px_model *model = px_test_model(device, &specs[0], 3);
    assert_ok(&ctx, px_model_reserve(model, MOST, PX_PURPOSE_TRAIN));
    free(gradients(device, model, &specs[0], nats));
    assert_ok(&ctx, px_model_reserve(model, 2 * MOST, PX_PURPOSE_TRAIN));
    if (counts(device)) assert_int_equal(the.released, the.recorded);
    free(gradients(device, model, &specs[0], nats));
    px_model_destroy(model);
    px_device_close(device);
}

/* A device that cannot record runs on as it is, and is not asked again. */
static void test_refusal(void **state) {
    (void)state;
    px_context ctx;
    px_device *device = open_device(&ctx, true);
    double nats[PASSES][MOST];
    if (!counts(device)) {
        px_device_close(device);
        skip();
    }
    px_model *model = px_test_model(device, &specs[1], 3);
    the.refuses = true;
    assert_ok(&ctx, px_model_reserve(model, MOST, PX_PURPOSE_TRAIN));
    free(gradients(device, model, &specs[1], nats));
    assert_int_equal(the.ran, 0);
    assert_string_equal(ctx.message, "");
    px_model_destroy(model);
    px_device_close(device);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_bits), cmocka_unit_test(test_reservation),
                                       cmocka_unit_test(test_refusal)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
