/* cuDNN's graph interface within the stand-in: descriptors, and the convolutions that plans come down to. */
#ifndef PIXELRNN_TESTS_STANDIN_CUDNN_STANDIN_H
#define PIXELRNN_TESTS_STANDIN_CUDNN_STANDIN_H

#include "tests/mock_cuda/mock.h"
#include <cudnn.h>

struct cudnnContext {
    cudaStream_t stream;
};

/* A tensor, its dimensions in cuDNN's order: n, features, height, width. */
enum { STANDIN_DIMENSIONS = 4 };
typedef struct standin_tensor {
    int64_t id, alignment;
    bool passed, narrow; /* virtual; bfloat16 */
    int64_t size[STANDIN_DIMENSIONS], stride[STANDIN_DIMENSIONS];
} standin_tensor;

/* One pass of a convolution, and the pointwise operations that end it. */
enum { STANDIN_ENDS = 4, STANDIN_OPERANDS = 3 + STANDIN_ENDS };
typedef enum { STANDIN_FORWARD, STANDIN_INPUT_GRADIENT, STANDIN_PASSES } standin_pass;
typedef struct standin_end {
    cudnnPointwiseMode_t mode;
    standin_tensor beside, to; /* beside: not of RELU_FWD */
} standin_end;
typedef struct standin_convolution {
    standin_pass pass;
    standin_tensor tensor[3]; /* x, weight, y */
    int64_t before[2];        /* padding: rows, columns */
    int ends;
    standin_end end[STANDIN_ENDS];
    bool poisoned; /* by an engine that must not be chosen */
} standin_convolution;

/* Which of the three tensors a pass makes. */
static inline int standin_made(standin_pass pass) {
    return pass == STANDIN_FORWARD ? 2 : 0;
}

/* The tensor that the whole graph leaves in memory. */
static inline const standin_tensor *standin_result(const standin_convolution *c) {
    return c->ends > 0 ? &c->end[c->ends - 1].to : &c->tensor[standin_made(c->pass)];
}

/* A convolution to run: where its tensors lie. */
typedef struct standin_run {
    standin_convolution convolution;
    void *tensor[3]; /* x, weight, y; not the one that the pass makes */
    void *beside[STANDIN_ENDS], *result;
} standin_run;
void standin_convolve(const void *run);

/* --- Descriptors: cudnn_descriptors.c ------------------------------------------------------------------------------- */

typedef struct standin_value {
    struct standin_value *next;
    cudnnBackendAttributeName_t name;
    cudnnBackendAttributeType_t type;
    int64_t count;
    void *data;
} standin_value;
typedef struct standin_descriptor {
    cudnnBackendDescriptorType_t type;
    int users; /* the caller, and descriptors that hold it */
    bool final;
    standin_value *values;
} standin_descriptor;

/* The attribute's values, `count` at least, or NULL. */
const void *standin_values(const standin_descriptor *d, cudnnBackendAttributeName_t name, int64_t count);
/* The first of them: a descriptor; or an enum or a number, 0 if there is none. */
const standin_descriptor *standin_part(const standin_descriptor *d, cudnnBackendAttributeName_t name);
int64_t standin_number(const standin_descriptor *d, cudnnBackendAttributeName_t name);
/* How many there are. */
int64_t standin_count_of(const standin_descriptor *d, cudnnBackendAttributeName_t name);
/* Sets an attribute, of whatever type; *target must not be final yet. */
cudnnStatus_t standin_put(standin_descriptor *target, cudnnBackendAttributeName_t name,
                          cudnnBackendAttributeType_t type, int64_t count, const void *values);

/* --- Rules: cudnn_rules.c ------------------------------------------------------------------------------------------- */

/* Whether this attribute belongs to a descriptor of this type, as these values. */
cudnnStatus_t standin_allows(cudnnBackendDescriptorType_t of, cudnnBackendAttributeName_t name,
                             cudnnBackendAttributeType_t type, int64_t count);
/* Whether a descriptor has all that it needs, and makes sense. */
cudnnStatus_t standin_complete(const standin_descriptor *d);

/* --- Graphs and engines: cudnn_graph.c, cudnn_engines.c --------------------------------------------------------------- */

/* What a graph computes; NOT_SUPPORTED if it is not a convolution with ends. */
cudnnStatus_t standin_graph(const standin_descriptor *graph, standin_convolution *convolution);
/* Ranks engines for a graph; readies a plan.. */
cudnnStatus_t standin_rank(standin_descriptor *ranking);
cudnnStatus_t standin_ready(standin_descriptor *plan);

#endif
