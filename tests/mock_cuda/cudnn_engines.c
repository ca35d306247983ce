/* cuDNN's engines, ranked so that those come first which must not be chosen: they give NaN. And plans, run. */
#include "tests/mock_cuda/cudnn_mock.h"
#include <stdlib.h>
#include <string.h>

enum { NOTES = 2, WORKSPACE = 1 << 16, LEAST_ALIGNMENT = 16 };

/* What an engine says of itself. */
static const struct {
    int notes;
    cudnnBackendNumericalNote_t note[NOTES];
    cudnnBackendHeurMode_t mode;
    int64_t workspace;
    bool turns_down, poisons;
} engines[] = {
    {2, {CUDNN_NUMERICAL_NOTE_TENSOR_CORE, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC}, CUDNN_HEUR_MODE_A, 0, false, true},
    {1, {CUDNN_NUMERICAL_NOTE_WINOGRAD}, CUDNN_HEUR_MODE_A, 0, false, true},
    {1, {CUDNN_NUMERICAL_NOTE_TENSOR_CORE}, CUDNN_HEUR_MODE_A, WORKSPACE, false, false},
    {0, {0}, CUDNN_HEUR_MODE_A, (int64_t)4 << 30, false, true},
    {0, {0}, CUDNN_HEUR_MODE_A, 0, true, true},
    {1, {CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION}, CUDNN_HEUR_MODE_FALLBACK, 0, false, true},
    {0, {0}, CUDNN_HEUR_MODE_FALLBACK, WORKSPACE, false, false},
};
enum { ENGINES = sizeof engines / sizeof *engines };

const char *cudnnGetErrorString(cudnnStatus_t status) {
    return CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_NOT_SUPPORTED ? "not supported (mock)"
           : CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_BAD_PARAM   ? "bad parameter (mock)"
                                                                       : "error (mock)";
}

size_t cudnnGetVersion(void) { return CUDNN_VERSION; }

cudnnStatus_t cudnnCreate(cudnnHandle_t *handle) {
    *handle = mock_memory(sizeof **handle);
    **handle = (struct cudnnContext){NULL};
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
    mock_free(handle);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
    handle->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}

/* A configuration of this engine for this graph. */
static mock_descriptor *config_of(const mock_descriptor *graph, int64_t index) {
    cudnnBackendDescriptor_t engine, config;
    cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine);
    cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &config);
    mock_descriptor *made = engine;
    mock_put(made, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph);
    mock_put(made, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &index);
    mock_put(made, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, engines[index].notes,
             engines[index].note);
    made->final = true;
    mock_put(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &engine);
    ((mock_descriptor *)config)->final = true;
    cudnnBackendDestroyDescriptor(engine);
    return config;
}

cudnnStatus_t mock_rank(mock_descriptor *ranking) {
    const mock_descriptor *graph = mock_part(ranking, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
    const char *plans = getenv("PX_MOCK_PLANS");
    mock_convolution c;
    const cudnnStatus_t status = mock_graph(graph, &c);
    if (status != CUDNN_STATUS_SUCCESS) return status;
    if (plans && strcmp(plans, "fail") == 0) return CUDNN_STATUS_INTERNAL_ERROR;
    if (!mock_takes(c.tensor[0].size[0]) || (c.ends > 0 && !mock_ends(mock_result(&c)->size[1]))) {
        mock_counted(MOCK_convolutions_refused);
        return CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN;
    }
    mock_descriptor *configs[ENGINES];
    int count = 0;
    for (int64_t i = 0; i < ENGINES; i++)
        if (engines[i].mode == mock_number(ranking, CUDNN_ATTR_ENGINEHEUR_MODE)) configs[count++] = config_of(graph, i);
    mock_put(ranking, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, configs);
    while (count > 0) cudnnBackendDestroyDescriptor(configs[--count]);
    return CUDNN_STATUS_SUCCESS;
}

static const mock_descriptor *engine_of(const mock_descriptor *plan) {
    return mock_part(mock_part(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG), CUDNN_ATTR_ENGINECFG_ENGINE);
}

cudnnStatus_t mock_ready(mock_descriptor *plan) {
    const int64_t index = mock_number(engine_of(plan), CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
    if (engines[index].turns_down) return CUDNN_STATUS_NOT_SUPPORTED;
    return mock_put(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &engines[index].workspace);
}

/* ---- Running a plan ------------------------------------------------------------------------------------------------
 */

static size_t bytes_of(const mock_tensor *t) {
    int64_t last = 0;
    for (int i = 0; i < MOCK_DIMENSIONS; i++) last += (t->size[i] - 1) * t->stride[i];
    return (size_t)(last + 1) * (t->narrow ? 2 : 4);
}

/* The tensors of a convolution that lie in memory, and where the pack's pointers to them belong. */
typedef struct place {
    const mock_tensor *tensor;
    void **pointer;
} place;

static int places_of(mock_run *run, place *places) {
    mock_convolution *c = &run->convolution;
    int count = 0;
    places[count++] = (place){mock_result(c), &run->result};
    for (int i = 0; i < 3; i++)
        if (i != mock_made(c->pass)) places[count++] = (place){&c->tensor[i], &run->tensor[i]};
    for (int i = 0; i < c->ends; i++)
        if (c->end[i].mode != CUDNN_POINTWISE_RELU_FWD) places[count++] = (place){&c->end[i].beside, &run->beside[i]};
    return count;
}

/* Fills in the pack's pointers: one for each tensor, and no other. What is read does not overlap the result. */
static cudnnStatus_t place_tensors(mock_run *run, const mock_descriptor *pack) {
    const int64_t given = mock_count_of(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    const int64_t *ids = mock_values(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, given);
    void *const *pointers = mock_values(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, given);
    place places[MOCK_OPERANDS];
    const int count = places_of(run, places);
    if (given != count || !pointers) return CUDNN_STATUS_BAD_PARAM;
    for (int i = 0; i < count; i++) {
        const mock_tensor *t = places[i].tensor;
        int64_t at = 0;
        while (at < given && ids[at] != t->id) at++;
        if (at == given) return CUDNN_STATUS_BAD_PARAM;
        *places[i].pointer = pointers[at];
        if ((uintptr_t)pointers[at] % (uintptr_t)t->alignment != 0) return CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER;
        if (!mock_on_card(pointers[at], bytes_of(t))) return CUDNN_STATUS_EXECUTION_FAILED;
        if (i > 0 && mock_overlap(pointers[at], bytes_of(t), run->result, bytes_of(mock_result(&run->convolution))))
            return CUDNN_STATUS_BAD_PARAM;
    }
    return CUDNN_STATUS_SUCCESS;
}

static void count_run(const mock_convolution *c) {
    mock_counted(MOCK_convolutions);
    if (!c->tensor[1].narrow) mock_counted(MOCK_convolutions_in_tf32);
    for (int i = 0; i < c->ends; i++) {
        const mock_end *end = &c->end[i];
        const bool bias = end->beside.size[0] * end->beside.size[2] * end->beside.size[3] == 1;
        mock_counted(end->mode == CUDNN_POINTWISE_RELU_FWD   ? MOCK_convolutions_with_relu
                     : end->mode == CUDNN_POINTWISE_RELU_BWD ? MOCK_convolutions_with_relu_mask
                     : bias                                  ? MOCK_convolutions_with_bias
                                                             : MOCK_convolutions_with_add);
    }
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan_of,
                                  cudnnBackendDescriptor_t pack_of) {
    const mock_descriptor *plan = plan_of, *pack = pack_of;
    if (!handle || !plan || !pack || !plan->final || !pack->final) return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
    const int64_t index = mock_number(engine_of(plan), CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
    void *const *workspace = mock_values(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, 1);
    mock_run run = {0};
    cudnnStatus_t status = mock_graph(mock_part(engine_of(plan), CUDNN_ATTR_ENGINE_OPERATION_GRAPH), &run.convolution);
    if (status == CUDNN_STATUS_SUCCESS) status = place_tensors(&run, pack);
    if (status != CUDNN_STATUS_SUCCESS) return status;
    if (engines[index].workspace > 0 &&
        (!mock_on_card(*workspace, (size_t)engines[index].workspace) || (uintptr_t)*workspace % LEAST_ALIGNMENT != 0))
        return CUDNN_STATUS_BAD_PARAM;
    run.convolution.poisoned = engines[index].poisons;
    count_run(&run.convolution);
    return mock_give(handle->stream, mock_convolve, &run, sizeof run) == cudaSuccess ? CUDNN_STATUS_SUCCESS
                                                                                     : CUDNN_STATUS_EXECUTION_FAILED;
}
