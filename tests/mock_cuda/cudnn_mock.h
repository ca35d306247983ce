/* cuDNN's graph API within the mock: descriptors, and the convolutions that plans run. */
#ifndef PIXELRNN_TESTS_CUDNN_MOCK_H
#define PIXELRNN_TESTS_CUDNN_MOCK_H

#include "tests/mock_cuda/mock.h"
#include <cudnn.h>

struct cudnnContext {
    cudaStream_t stream;
};

/* A tensor, its dimensions in cuDNN's order: n, features, height, width. */
enum { MOCK_DIMENSIONS = 4 };
typedef struct mock_tensor {
    int64_t id, alignment;
    bool passed, narrow; /* virtual; bfloat16 */
    int64_t size[MOCK_DIMENSIONS], stride[MOCK_DIMENSIONS];
} mock_tensor;

/* One pass of a convolution, and its pointwise epilogues. */
enum { MOCK_ENDS = 4, MOCK_OPERANDS = 3 + MOCK_ENDS };
typedef enum { MOCK_FORWARD, MOCK_INPUT_GRADIENT, MOCK_PASSES } mock_pass;
typedef struct mock_end {
    cudnnPointwiseMode_t mode;
    mock_tensor beside, to; /* beside: not of RELU_FWD */
} mock_end;
typedef struct mock_convolution {
    mock_pass pass;
    mock_tensor tensor[3]; /* x, weight, y */
    int64_t before[2];     /* padding: rows, columns */
    int ends;
    mock_end end[MOCK_ENDS];
    bool poisoned; /* the engine must not be chosen: produce NaN */
} mock_convolution;

/* The index of the tensor that a pass writes. */
static inline int mock_made(mock_pass pass) { return pass == MOCK_FORWARD ? 2 : 0; }

/* The tensor that the whole graph leaves in memory. */
static inline const mock_tensor *mock_result(const mock_convolution *c) {
    return c->ends > 0 ? &c->end[c->ends - 1].to : &c->tensor[mock_made(c->pass)];
}

/* A convolution to run: where its tensors lie. */
typedef struct mock_run {
    mock_convolution convolution;
    void *tensor[3]; /* x, weight, y; not the one that the pass makes */
    void *beside[MOCK_ENDS], *result;
} mock_run;
void mock_convolve(const void *run);

/* ---- Descriptors: cudnn_descriptors.c ---- */

typedef struct mock_value {
    struct mock_value *next;
    cudnnBackendAttributeName_t name;
    cudnnBackendAttributeType_t type;
    int64_t count;
    void *data;
} mock_value;
typedef struct mock_descriptor {
    cudnnBackendDescriptorType_t type;
    int users; /* the caller, and descriptors that hold it */
    bool final;
    mock_value *values;
} mock_descriptor;

/* The attribute's values, `count` at least, or NULL. */
const void *mock_values(const mock_descriptor *d, cudnnBackendAttributeName_t name, int64_t count);
/* The first of them: a descriptor; or an enum or a number, 0 if there is none. */
const mock_descriptor *mock_part(const mock_descriptor *d, cudnnBackendAttributeName_t name);
int64_t mock_number(const mock_descriptor *d, cudnnBackendAttributeName_t name);
/* How many there are. */
int64_t mock_count_of(const mock_descriptor *d, cudnnBackendAttributeName_t name);
/* Sets an attribute, of whatever type; *target must not be final yet. */
cudnnStatus_t mock_put(mock_descriptor *target, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                       int64_t count, const void *values);

/* ---- Rules: cudnn_rules.c ---- */

/* Whether this attribute belongs to a descriptor of this type, as these values. */
cudnnStatus_t mock_allows(cudnnBackendDescriptorType_t of, cudnnBackendAttributeName_t name,
                          cudnnBackendAttributeType_t type, int64_t count);
/* Whether a descriptor has all that it needs, and makes sense. */
cudnnStatus_t mock_complete(const mock_descriptor *d);

/* ---- Graphs and engines: cudnn_graph.c, cudnn_engines.c ---- */

/* What a graph computes; NOT_SUPPORTED if it is not a convolution with epilogues. */
cudnnStatus_t mock_graph(const mock_descriptor *graph, mock_convolution *convolution);
/* Ranks the engines for a graph; prepares a plan. */
cudnnStatus_t mock_rank(mock_descriptor *ranking);
cudnnStatus_t mock_ready(mock_descriptor *plan);

#endif
