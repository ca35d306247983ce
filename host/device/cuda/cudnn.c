/* Convolutions through cuDNN's graph API: one plan for each shape, created once and cached.
 *
 * Masked convolutions read rows above the pixel and none below. Only the graph API supports such asymmetric padding.
 * The first acceptable engine of cuDNN's heuristic ranking is used. Engines that round their inputs, approximate
 * (Winograd, FFT), accumulate in less than float32 or sum in no fixed order are rejected. With float32 tensors, engines
 * on tensor cores multiply in TF32, so such tensors come here only if px_device.tf32 is set. */
#include "host/device/cuda/cuda.h"
#include <stdio.h>
#include <stdlib.h>

struct px_cudnn_plan {
    px_cudnn_shape shape;            /* the key: see px_cuda_cache */
    cudnnBackendDescriptor_t config; /* the engine's configuration; NULL if cuDNN has no engine for this shape */
    cudnnBackendDescriptor_t plan;
};

/* Tensor ids: tensors in memory, and from PX_ID_VIRTUAL on the virtual tensors between operations of a graph. */
enum { PX_ID_X = 1, PX_ID_WEIGHT, PX_ID_Y, PX_ID_BIAS, PX_ID_RELU_MASK, PX_ID_ADD, PX_ID_VIRTUAL, PX_TENSORS = 6 };
enum { PX_MAX_ENGINES = 64, PX_MAX_DESCRIPTORS = 24 };

/* The attribute names of the two passes. */
static const struct {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t convolution, alpha, beta, x, weight, y;
} pass_attributes[] = {
    [PX_CUDNN_FORWARD] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y},
    [PX_CUDNN_INPUT_GRADIENT] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY},
};

/* Backend descriptors under construction. After the first failure, all further calls do nothing. */
typedef struct builder {
    cudnnStatus_t status;
    int count;
    cudnnBackendDescriptor_t made[PX_MAX_DESCRIPTORS];
} builder;

static cudnnBackendDescriptor_t make(builder *b, cudnnBackendDescriptorType_t type) {
    cudnnBackendDescriptor_t descriptor = NULL;
    if (b->status == CUDNN_STATUS_SUCCESS) b->status = cudnnBackendCreateDescriptor(type, &descriptor);
    if (descriptor) b->made[b->count++] = descriptor;
    return descriptor;
}

static void put(builder *b, cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                cudnnBackendAttributeType_t type, int64_t count, const void *values) {
    if (b->status == CUDNN_STATUS_SUCCESS) b->status = cudnnBackendSetAttribute(descriptor, name, type, count, values);
}

static void put_descriptor(builder *b, cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                           cudnnBackendDescriptor_t value) {
    put(b, descriptor, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static void finalize(builder *b, cudnnBackendDescriptor_t descriptor) {
    if (b->status == CUDNN_STATUS_SUCCESS) b->status = cudnnBackendFinalize(descriptor);
}

static void builder_release(builder *b) {
    while (b->count > 0) cudnnBackendDestroyDescriptor(b->made[--b->count]);
}

/* Describes a dense NHWC tensor in cuDNN's order of dimensions, NCHW; or a filter (out, rows, columns, in) likewise.
 * Tensors in memory are of the shape's type, virtual ones float32. */
static cudnnBackendDescriptor_t describe_tensor(builder *b, const px_cudnn_shape *s, int64_t id, int64_t n,
                                                int64_t height, int64_t width, int64_t channels) {
    const int64_t alignment = PX_CUDA_VECTOR;
    const int64_t dimensions[4] = {n, channels, height, width};
    const int64_t strides[4] = {height * width * channels, 1, width * channels, channels};
    const bool is_virtual = id >= PX_ID_VIRTUAL;
    const cudnnDataType_t type = is_virtual || s->type == PX_REAL ? CUDNN_DATA_FLOAT : CUDNN_DATA_BFLOAT16;
    cudnnBackendDescriptor_t tensor = make(b, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    put(b, tensor, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual);
    put(b, tensor, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id);
    put(b, tensor, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    put(b, tensor, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
    put(b, tensor, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dimensions);
    put(b, tensor, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
    finalize(b, tensor);
    return tensor;
}

static cudnnBackendDescriptor_t describe_convolution(builder *b, const px_cudnn_shape *s) {
    const cudnnDataType_t type = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const int64_t dimensions = 2, ones[2] = {1, 1};
    const int64_t before[2] = {s->rows - 1, s->centre}, after[2] = {0, s->columns - 1 - s->centre};
    cudnnBackendDescriptor_t convolution = make(b, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    put(b, convolution, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    put(b, convolution, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    put(b, convolution, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &dimensions);
    put(b, convolution, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, ones);
    put(b, convolution, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, ones);
    put(b, convolution, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, before);
    put(b, convolution, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, after);
    finalize(b, convolution);
    return convolution;
}

/* The result after `done` of `count` epilogues: virtual, or in memory after the last one. */
static cudnnBackendDescriptor_t describe_result(builder *b, const px_cudnn_shape *s, int done, int count) {
    const bool forward = s->pass == PX_CUDNN_FORWARD, last = done == count;
    const int64_t id = !last ? PX_ID_VIRTUAL + done : forward ? PX_ID_Y : PX_ID_X;
    return describe_tensor(b, s, id, s->images, s->height, s->width, forward ? s->out : s->in);
}

/* The pointwise operation of one epilogue: to = epilogue(from). */
static cudnnBackendDescriptor_t describe_pointwise(builder *b, const px_cudnn_shape *s, px_cudnn_epilogue epilogue,
                                                   cudnnBackendDescriptor_t from, cudnnBackendDescriptor_t to) {
    static const struct {
        cudnnPointwiseMode_t mode;
        int64_t id; /* of its second input; 0: none */
        cudnnBackendAttributeName_t from, second, to;
    } modes[] = {
        [PX_CUDNN_BIAS] = {CUDNN_POINTWISE_ADD, PX_ID_BIAS, CUDNN_ATTR_OPERATION_POINTWISE_XDESC,
                           CUDNN_ATTR_OPERATION_POINTWISE_BDESC, CUDNN_ATTR_OPERATION_POINTWISE_YDESC},
        [PX_CUDNN_RELU_MASK] = {CUDNN_POINTWISE_RELU_BWD, PX_ID_RELU_MASK, CUDNN_ATTR_OPERATION_POINTWISE_DYDESC,
                                CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_ATTR_OPERATION_POINTWISE_DXDESC},
        [PX_CUDNN_ADD] = {CUDNN_POINTWISE_ADD, PX_ID_ADD, CUDNN_ATTR_OPERATION_POINTWISE_XDESC,
                          CUDNN_ATTR_OPERATION_POINTWISE_BDESC, CUDNN_ATTR_OPERATION_POINTWISE_YDESC},
        [PX_CUDNN_RELU] = {CUDNN_POINTWISE_RELU_FWD, 0, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, 0,
                           CUDNN_ATTR_OPERATION_POINTWISE_YDESC},
    };
    const cudnnDataType_t type = CUDNN_DATA_FLOAT;
    const int64_t channels = s->pass == PX_CUDNN_FORWARD ? s->out : s->in;
    cudnnBackendDescriptor_t pointwise = make(b, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    put(b, pointwise, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &modes[epilogue].mode);
    put(b, pointwise, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &type);
    finalize(b, pointwise);
    cudnnBackendDescriptor_t second = NULL;
    if (epilogue == PX_CUDNN_BIAS) second = describe_tensor(b, s, PX_ID_BIAS, 1, 1, 1, channels);
    if (epilogue == PX_CUDNN_RELU_MASK || epilogue == PX_CUDNN_ADD)
        second = describe_tensor(b, s, modes[epilogue].id, s->images, s->height, s->width, channels);
    cudnnBackendDescriptor_t operation = make(b, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    put_descriptor(b, operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, pointwise);
    put_descriptor(b, operation, modes[epilogue].from, from);
    if (second) put_descriptor(b, operation, modes[epilogue].second, second);
    put_descriptor(b, operation, modes[epilogue].to, to);
    finalize(b, operation);
    return operation;
}

/* The convolution operation itself, which writes `result`. */
static cudnnBackendDescriptor_t describe_pass(builder *b, const px_cudnn_shape *s, cudnnBackendDescriptor_t result) {
    const float one = 1, zero = 0;
    cudnnBackendDescriptor_t convolution = describe_convolution(b, s);
    cudnnBackendDescriptor_t x = s->pass == PX_CUDNN_INPUT_GRADIENT
                                     ? result
                                     : describe_tensor(b, s, PX_ID_X, s->images, s->height, s->width, s->in);
    cudnnBackendDescriptor_t weight = describe_tensor(b, s, PX_ID_WEIGHT, s->out, s->rows, s->columns, s->in);
    cudnnBackendDescriptor_t y = s->pass == PX_CUDNN_FORWARD
                                     ? result
                                     : describe_tensor(b, s, PX_ID_Y, s->images, s->height, s->width, s->out);
    cudnnBackendDescriptor_t operation = make(b, pass_attributes[s->pass].type);
    put_descriptor(b, operation, pass_attributes[s->pass].convolution, convolution);
    put_descriptor(b, operation, pass_attributes[s->pass].x, x);
    put_descriptor(b, operation, pass_attributes[s->pass].weight, weight);
    put_descriptor(b, operation, pass_attributes[s->pass].y, y);
    put(b, operation, pass_attributes[s->pass].alpha, CUDNN_TYPE_FLOAT, 1, &one);
    put(b, operation, pass_attributes[s->pass].beta, CUDNN_TYPE_FLOAT, 1, &zero);
    finalize(b, operation);
    return operation;
}

/* The operation graph: the convolution, then its epilogues in the order of px_cudnn_epilogue. */
static cudnnBackendDescriptor_t describe_graph(builder *b, const px_cuda *cuda, const px_cudnn_shape *s) {
    cudnnBackendDescriptor_t operations[1 + PX_CUDNN_EPILOGUES];
    int count = 0, done = 0;
    for (int e = 0; e < PX_CUDNN_EPILOGUES; e++) count += s->epilogues[e] != 0;
    cudnnBackendDescriptor_t result = describe_result(b, s, 0, count);
    operations[0] = describe_pass(b, s, result);
    for (int e = 0; e < PX_CUDNN_EPILOGUES; e++) {
        if (!s->epilogues[e]) continue;
        cudnnBackendDescriptor_t next = describe_result(b, s, ++done, count);
        operations[done] = describe_pointwise(b, s, (px_cudnn_epilogue)e, result, next);
        result = next;
    }
    cudnnBackendDescriptor_t graph = make(b, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    put(b, graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1 + count, operations);
    if (!cuda->described) put(b, graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &cuda->dnn);
    finalize(b, graph);
    return graph;
}

/* Whether the engine of this configuration reads exact inputs, accumulates in float32 and sums in a fixed order. For
 * float32 tensors it must also use tensor cores: measured, the other engines are slower than im2col. */
static bool engine_is_accepted(cudnnBackendDescriptor_t config, int64_t type) {
    static const bool refused[CUDNN_NUMERICAL_NOTE_TYPE_COUNT] = {
        [CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS] = true,
        [CUDNN_NUMERICAL_NOTE_FFT] = true,
        [CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION] = true,
        [CUDNN_NUMERICAL_NOTE_WINOGRAD] = true,
        [CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC] = true,
        [CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4] = true,
        [CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6] = true,
        [CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13] = true};
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    int64_t count = 0;
    builder b = {0};
    cudnnBackendDescriptor_t engine = make(&b, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    if (b.status == CUDNN_STATUS_SUCCESS)
        b.status = cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                            &count, &engine);
    if (b.status == CUDNN_STATUS_SUCCESS)
        b.status = cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                            CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count, notes);
    bool exact = b.status == CUDNN_STATUS_SUCCESS, fast = type != PX_REAL;
    for (int64_t i = 0; exact && i < count; i++) {
        exact = notes[i] < CUDNN_NUMERICAL_NOTE_TYPE_COUNT && !refused[notes[i]];
        fast = fast || notes[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
    }
    builder_release(&b);
    return exact && fast;
}

/* The plan of this configuration, or NULL if its engine rejects the shape or needs more than the workspace. */
static cudnnBackendDescriptor_t plan_of(const px_cuda *cuda, cudnnBackendDescriptor_t config) {
    int64_t bytes = 0, count = 0;
    builder b = {0};
    cudnnBackendDescriptor_t plan = make(&b, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
#if CUDNN_VERSION >= PX_CUDNN_DESCRIBES
    if (cuda->described) put_descriptor(&b, plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, cuda->described);
#endif
    if (!cuda->described) put(&b, plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &cuda->dnn);
    put_descriptor(&b, plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
    finalize(&b, plan);
    if (b.status == CUDNN_STATUS_SUCCESS)
        b.status = cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &count,
                                            &bytes);
    if (b.status == CUDNN_STATUS_SUCCESS && bytes <= PX_CUDA_LIBRARY_WORKSPACE) return plan;
    builder_release(&b);
    return NULL;
}

/* Sets the plan to the first acceptable configuration of this heuristic mode's ranking. */
static cudnnStatus_t plan_choose(const px_cuda *cuda, cudnnBackendDescriptor_t graph, cudnnBackendHeurMode_t mode,
                                 px_cudnn_plan *plan) {
    cudnnBackendDescriptor_t configs[PX_MAX_ENGINES] = {0};
    int64_t count = 0;
    builder b = {0};
    cudnnBackendDescriptor_t ranking = make(&b, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    put_descriptor(&b, ranking, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
#if CUDNN_VERSION >= PX_CUDNN_DESCRIBES
    if (cuda->described) put_descriptor(&b, ranking, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, cuda->described);
#endif
    put(&b, ranking, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    finalize(&b, ranking);
    for (int i = 0; i < PX_MAX_ENGINES && b.status == CUDNN_STATUS_SUCCESS; i++)
        b.status = cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &configs[i]);
    if (b.status == CUDNN_STATUS_SUCCESS)
        b.status = cudnnBackendGetAttribute(ranking, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                            PX_MAX_ENGINES, &count, configs);
    if (b.status != CUDNN_STATUS_SUCCESS) count = 0;
    for (int64_t i = 0; i < count && i < PX_MAX_ENGINES && !plan->plan; i++) {
        if (engine_is_accepted(configs[i], plan->shape.type)) plan->plan = plan_of(cuda, configs[i]);
        if (!plan->plan) continue;
        plan->config = configs[i]; /* owned by the plan from now on */
        configs[i] = NULL;
    }
    for (int i = 0; i < PX_MAX_ENGINES; i++)
        if (configs[i]) cudnnBackendDestroyDescriptor(configs[i]);
    builder_release(&b);
    return b.status;
}

static cudnnStatus_t plan_make(const px_cuda *cuda, px_cudnn_plan *plan) {
    static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK};
    builder b = {0};
    cudnnBackendDescriptor_t graph = describe_graph(&b, cuda, &plan->shape);
    cudnnStatus_t status = b.status;
    for (int i = 0; b.status == CUDNN_STATUS_SUCCESS && i < 2 && !plan->plan; i++)
        status = plan_choose(cuda, graph, modes[i], plan);
    builder_release(&b);
    return status;
}

/* Creates cuDNN's handle before the first plan. Models in float32 do not pay for it. */
static cudnnStatus_t cudnn_start(px_cuda *cuda) {
    if (cuda->dnn || cuda->described) return CUDNN_STATUS_SUCCESS;
    cudnnHandle_t handle;
    cudnnStatus_t status = cudnnCreate(&handle);
    if (status != CUDNN_STATUS_SUCCESS) return status;
    status = cudnnSetStream(handle, cuda->stream);
    if (status == CUDNN_STATUS_SUCCESS)
        cuda->dnn = handle;
    else
        cudnnDestroy(handle);
    return status;
}

/* Leaves a warning in the device after the first error of cuDNN. Its convolutions are then computed without cuDNN. */
static void warn_once(px_cuda *cuda, cudnnStatus_t status) {
    (void)cudaGetLastError(); /* clears an error that cuDNN may have left, which the next launch would report */
    if (cuda->dnn_warned) return;
    cuda->dnn_warned = true;
    snprintf(cuda->base.warning, sizeof cuda->base.warning,
             "warning: cuDNN %zu cannot plan a convolution: %s; im2col and cuBLASLt compute it, which may be slower",
             cudnnGetVersion(), cudnnGetErrorString(status));
}

px_status px_cudnn_plan_find(px_cuda *cuda, const px_cudnn_shape *shape, const px_cudnn_plan **plan) {
    px_cudnn_plan *found = px_cuda_cache_find(&cuda->convolutions, shape);
    if (!found) {
        found = calloc(1, sizeof *found);
        if (!found) return px_fail_memory(cuda->base.ctx, "cuda", sizeof *found);
        found->shape = *shape;
        cudnnStatus_t status = cudnn_start(cuda);
        if (status == CUDNN_STATUS_SUCCESS) status = plan_make(cuda, found);
        px_cuda_cache_add(&cuda->convolutions, found); /* without a plan if cuDNN has none */
        if (status != CUDNN_STATUS_SUCCESS && CUDNN_STATUS_CATEGORY(status) != CUDNN_STATUS_NOT_SUPPORTED &&
            !found->plan)
            warn_once(cuda, status);
    }
    *plan = found->plan ? found : NULL;
    return PX_OK;
}

px_status px_cudnn_plan_run(px_cuda *cuda, const px_cudnn_plan *plan, const px_cudnn_tensors *tensors) {
    const int64_t *epilogues = plan->shape.epilogues;
    int64_t ids[PX_TENSORS] = {PX_ID_X, PX_ID_WEIGHT, PX_ID_Y};
    void *pointers[PX_TENSORS] = {tensors->x, tensors->weight, tensors->y};
    int count = 3;
    if (epilogues[PX_CUDNN_BIAS]) ids[count] = PX_ID_BIAS, pointers[count++] = tensors->bias;
    if (epilogues[PX_CUDNN_RELU_MASK]) ids[count] = PX_ID_RELU_MASK, pointers[count++] = tensors->relu_mask;
    if (epilogues[PX_CUDNN_ADD]) ids[count] = PX_ID_ADD, pointers[count++] = tensors->add;
    builder b = {0};
    cudnnBackendDescriptor_t pack = make(&b, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    put(&b, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, ids);
    put(&b, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, pointers);
    put(&b, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &cuda->library_workspace);
    finalize(&b, pack);
    if (b.status == CUDNN_STATUS_SUCCESS) b.status = cudnnBackendExecute(cuda->dnn, plan->plan, pack);
    builder_release(&b);
    if (b.status == CUDNN_STATUS_SUCCESS) return PX_OK;
    return px_fail(cuda->base.ctx, PX_ERR_DEVICE, "cuDNN: run a convolution: %s", cudnnGetErrorString(b.status));
}

void px_cudnn_plan_release(void *entry) {
    px_cudnn_plan *plan = entry;
    if (plan->plan) cudnnBackendDestroyDescriptor(plan->plan);
    if (plan->config) cudnnBackendDestroyDescriptor(plan->config);
    free(plan);
}
