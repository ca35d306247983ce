/* From a graph's descriptors to a convolution with ends, and what is wrong with either. */
#include "tests/mock_cuda/cudnn_mock.h"
#include <string.h>

/* The two passes, which differ in the names of their attributes. */
static const struct {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t convolution, alpha, beta, tensor[3];
} passes[] = {
    [MOCK_FORWARD] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
                      {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                       CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y}},
    [MOCK_INPUT_GRADIENT] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
                             {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY}},
};

/* The pointwise operations: what they take from the operation before, what they read beside it, where it goes. */
static const struct {
    cudnnPointwiseMode_t mode;
    cudnnBackendAttributeName_t from, beside, to; /* beside 0: nothing */
} ends[] = {
    {CUDNN_POINTWISE_ADD, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_ATTR_OPERATION_POINTWISE_BDESC,
     CUDNN_ATTR_OPERATION_POINTWISE_YDESC},
    {CUDNN_POINTWISE_RELU_FWD, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, 0, CUDNN_ATTR_OPERATION_POINTWISE_YDESC},
    {CUDNN_POINTWISE_RELU_BWD, CUDNN_ATTR_OPERATION_POINTWISE_DYDESC, CUDNN_ATTR_OPERATION_POINTWISE_XDESC,
     CUDNN_ATTR_OPERATION_POINTWISE_DXDESC},
};

static bool read_tensor(const mock_descriptor *d, mock_tensor *t) {
    if (!d || d->type != CUDNN_BACKEND_TENSOR_DESCRIPTOR) return false;
    *t = (mock_tensor){.id = mock_number(d, CUDNN_ATTR_TENSOR_UNIQUE_ID),
                       .alignment = mock_number(d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT),
                       .passed = mock_number(d, CUDNN_ATTR_TENSOR_IS_VIRTUAL) != 0,
                       .narrow = mock_number(d, CUDNN_ATTR_TENSOR_DATA_TYPE) == CUDNN_DATA_BFLOAT16};
    memcpy(t->size, mock_values(d, CUDNN_ATTR_TENSOR_DIMENSIONS, MOCK_DIMENSIONS), sizeof t->size);
    memcpy(t->stride, mock_values(d, CUDNN_ATTR_TENSOR_STRIDES, MOCK_DIMENSIONS), sizeof t->stride);
    return true;
}

static bool are(const int64_t *values, int64_t first, int64_t second) {
    return values[0] == first && values[1] == second;
}

/* Padding, and that the three tensors fit together under it. */
static cudnnStatus_t read_padding(const mock_descriptor *d, mock_convolution *c) {
    const int64_t *before = mock_values(d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, 2);
    const int64_t *after = mock_values(d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, 2);
    const int64_t *x = c->tensor[0].size, *weight = c->tensor[1].size, *y = c->tensor[2].size;
    if (d->type != CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR) return CUDNN_STATUS_BAD_PARAM;
    if (mock_number(d, CUDNN_ATTR_CONVOLUTION_CONV_MODE) != CUDNN_CROSS_CORRELATION ||
        mock_number(d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE) != CUDNN_DATA_FLOAT ||
        mock_number(d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS) != 2 ||
        !are(mock_values(d, CUDNN_ATTR_CONVOLUTION_DILATIONS, 2), 1, 1) ||
        !are(mock_values(d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, 2), 1, 1))
        return CUDNN_STATUS_NOT_SUPPORTED;
    if (y[0] != x[0] || y[1] != weight[0] || x[1] != weight[1]) return CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH;
    for (int i = 0; i < 2; i++) {
        c->before[i] = before[i];
        if (before[i] < 0 || after[i] < 0) return CUDNN_STATUS_BAD_PARAM_OUT_OF_BOUND;
        if (y[2 + i] != x[2 + i] + before[i] + after[i] - weight[2 + i] + 1)
            return CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH;
    }
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t read_pass(const mock_descriptor *d, mock_convolution *c) {
    int pass = MOCK_FORWARD;
    while (pass < MOCK_PASSES && passes[pass].type != d->type) pass++;
    if (pass == MOCK_PASSES) return CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN;
    c->pass = (mock_pass)pass;
    for (int i = 0; i < 3; i++)
        if (!read_tensor(mock_part(d, passes[pass].tensor[i]), &c->tensor[i])) return CUDNN_STATUS_BAD_PARAM;
    const float *alpha = mock_values(d, passes[pass].alpha, 1), *beta = mock_values(d, passes[pass].beta, 1);
    if (*alpha != 1 || *beta != 0) return CUDNN_STATUS_NOT_SUPPORTED;
    return read_padding(mock_part(d, passes[pass].convolution), c);
}

/* `all` as `part`, or part in a dimension where it is 1 and broadcast. */
static bool spreads(const mock_tensor *part, const mock_tensor *all) {
    for (int i = 0; i < MOCK_DIMENSIONS; i++)
        if (part->size[i] != all->size[i] && part->size[i] != 1) return false;
    return true;
}

/* An end takes what the operation before passes on, and gives a tensor of that size. */
static cudnnStatus_t read_end(const mock_descriptor *d, const mock_tensor *before, mock_end *end) {
    const mock_descriptor *pointwise = mock_part(d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
    if (d->type != CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR) return CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN;
    if (mock_number(pointwise, CUDNN_ATTR_POINTWISE_MATH_PREC) != CUDNN_DATA_FLOAT)
        return CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE;
    const int64_t mode = mock_number(pointwise, CUDNN_ATTR_POINTWISE_MODE);
    const int modes = sizeof ends / sizeof *ends;
    int i = 0;
    while (i < modes && ends[i].mode != mode) i++;
    if (i == modes) return CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN;
    mock_tensor from;
    end->mode = (cudnnPointwiseMode_t)mode;
    if (!read_tensor(mock_part(d, ends[i].from), &from) || !read_tensor(mock_part(d, ends[i].to), &end->to) ||
        (ends[i].beside && !read_tensor(mock_part(d, ends[i].beside), &end->beside)))
        return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    if (from.id != before->id || !before->passed || before->narrow || (ends[i].beside && end->beside.passed))
        return CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN;
    if (memcmp(end->to.size, before->size, sizeof before->size) != 0 ||
        (ends[i].beside && !spreads(&end->beside, before)))
        return CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t mock_graph(const mock_descriptor *graph, mock_convolution *c) {
    const int64_t operations = mock_count_of(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS);
    mock_descriptor *const *operation = mock_values(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, 1);
    *c = (mock_convolution){0};
    if (operations > 1 + MOCK_ENDS) return CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN;
    cudnnStatus_t status = read_pass(operation[0], c);
    for (int i = 1; i < operations && status == CUDNN_STATUS_SUCCESS; i++) {
        status = read_end(operation[i], mock_result(c), &c->end[c->ends]);
        c->ends++;
    }
    if (status != CUDNN_STATUS_SUCCESS) return status;
    for (int i = 0; i < 3; i++) /* what is read lies in memory */
        if (i != mock_made(c->pass) && c->tensor[i].passed) return CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN;
    return mock_result(c)->passed ? CUDNN_STATUS_BAD_PARAM : CUDNN_STATUS_SUCCESS;
}
