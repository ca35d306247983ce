#include "tests/support/graph_device.h"
#include "tests/support/support.h"
#include <stdlib.h>
#include <string.h>

enum {
#define INDEX(name) OP_##name,
    PX_DEVICE_OPS(INDEX) OP_copy,
    OP_clear
};
typedef struct memory_args {
    void *to;
    const void *from; /* NULL for clear */
    size_t bytes;
} memory_args;
typedef struct operation {
    int op;
    union {
#define ARGS(name) px_##name##_args name;
        PX_DEVICE_OPS(ARGS)
        memory_args memory;
    } args;
} operation;
typedef struct graph {
    size_t count, capacity;
    operation *operations;
} graph;

px_test_graph_counts px_test_graph_count;
static struct {
    px_device_ops table;
    const px_device_ops *real;
    px_test_graph_mode mode;
    graph *capturing; /* NULL: operations run directly */
} mock;

static px_status record(const operation *o) {
    graph *g = mock.capturing;
    if (g->count == g->capacity) {
        g->capacity = 2 * g->capacity + 64;
        g->operations = realloc(g->operations, g->capacity * sizeof *g->operations);
        assert_non_null(g->operations);
    }
    g->operations[g->count++] = *o;
    return PX_OK;
}

static px_status run_operation(px_device *device, const operation *o) {
    const memory_args *memory = &o->args.memory;
    switch (o->op) {
#define RUN(name)                                                                                                      \
    case OP_##name: return mock.real->name(device, &o->args.name);
        PX_DEVICE_OPS(RUN)
    case OP_copy: return mock.real->copy(device, memory->to, memory->from, memory->bytes);
    case OP_clear: return mock.real->clear(device, memory->to, memory->bytes);
    }
    return PX_ERR_DEVICE;
}

static px_status run_or_record(px_device *device, const operation *o) {
    if (mock.capturing) return record(o);
    px_test_graph_count.issued++;
    return run_operation(device, o);
}

#define CAPTURE(name)                                                                                                  \
    static px_status capture_##name(px_device *device, const px_##name##_args *args) {                                 \
        return run_or_record(device, &(operation){.op = OP_##name, .args.name = *args});                               \
    }
PX_DEVICE_OPS(CAPTURE)

static px_status capture_copy(px_device *device, void *to, const void *from, size_t bytes) {
    return run_or_record(device, &(operation){.op = OP_copy, .args.memory = {to, from, bytes}});
}
static px_status capture_clear(px_device *device, void *memory, size_t bytes) {
    return run_or_record(device, &(operation){.op = OP_clear, .args.memory = {memory, NULL, bytes}});
}

/* Functions that must not be called during a capture. */
#define CHECK_NOT_CAPTURING(name, signature, ...)                                                                      \
    static px_status check_##name signature {                                                                          \
        if (mock.capturing) fail_msg("%s while a graph is captured", #name);                                           \
        return mock.real->name(__VA_ARGS__);                                                                           \
    }
CHECK_NOT_CAPTURING(upload, (px_device * device, void *to, const void *from, size_t bytes), device, to, from, bytes)
CHECK_NOT_CAPTURING(download, (px_device * device, void *to, const void *from, size_t bytes), device, to, from, bytes)
CHECK_NOT_CAPTURING(synchronize, (px_device * device), device)

static void free_graph(graph *g) {
    free(g->operations);
    free(g);
}

static px_status graph_begin(px_device *device) {
    px_test_graph_count.begun++;
    if (mock.mode == PX_TEST_BEGIN_FAILS ||
        (mock.mode == PX_TEST_BEGIN_FAILS_LATER && px_test_graph_count.begun % 2 == 0))
        return px_fail(device->ctx, PX_ERR_DEVICE, "mock: graph_begin fails");
    mock.capturing = calloc(1, sizeof *mock.capturing);
    assert_non_null(mock.capturing);
    return PX_OK;
}

static px_status graph_end(px_device *device, void **captured) {
    graph *g = mock.capturing;
    mock.capturing = NULL;
    *captured = NULL;
    if (mock.mode == PX_TEST_END_FAILS) {
        free_graph(g);
        return px_fail(device->ctx, PX_ERR_DEVICE, "mock: graph_end fails");
    }
    px_test_graph_count.captured++;
    *captured = g;
    return PX_OK;
}

static px_status graph_run(px_device *device, void *captured) {
    const graph *g = captured;
    const size_t count = g->count - (mock.mode == PX_TEST_WRONG_GRAPHS);
    px_test_graph_count.run++;
    for (size_t i = 0; i < count; i++) PX_TRY(run_operation(device, &g->operations[i]));
    return PX_OK;
}

static px_status graph_destroy(px_device *device, void *captured) {
    (void)device;
    px_test_graph_count.destroyed++;
    free_graph(captured);
    return PX_OK;
}

px_device *px_test_graph_device(px_context *ctx, px_type activation, px_test_graph_mode mode, bool *is_mock) {
    px_device *device = px_test_device_of(ctx, activation);
    const bool is_cpu = strcmp(device->kind, "cpu") == 0;
    px_test_graph_count = (px_test_graph_counts){0};
    *is_mock = is_cpu && mode != PX_TEST_NO_GRAPHS;
    device->paths |= PX_PATH_GRAPHS;
    if (mode == PX_TEST_NO_GRAPHS) device->paths &= ~(unsigned)PX_PATH_GRAPHS;
    if (is_cpu) device->workers = 1;
    if (!*is_mock) return device;
    memset(&mock, 0, sizeof mock);
    mock.real = device->ops;
    mock.mode = mode;
    mock.table = *device->ops;
#define REPLACE(name) mock.table.name = capture_##name;
    PX_DEVICE_OPS(REPLACE)
    mock.table.copy = capture_copy, mock.table.clear = capture_clear;
    mock.table.upload = check_upload, mock.table.download = check_download, mock.table.synchronize = check_synchronize;
    mock.table.graph_begin = graph_begin, mock.table.graph_end = graph_end;
    mock.table.graph_run = graph_run, mock.table.graph_destroy = graph_destroy;
    device->ops = &mock.table;
    return device;
}
