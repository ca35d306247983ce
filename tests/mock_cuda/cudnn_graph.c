/* From a graph's descriptors to a convolution with ends, and what is wrong with either. */
#include "tests/mock_cuda/cudnn_mock.h"
#include <string.h>

/* The two passes, which differ in the names of their attributes. */
static const struct {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t convolution, alpha, beta, tensor[3];
} passes[] = {
    [STANDIN_FORWARD] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
                         {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y}},
    [STANDIN_INPUT_GRADIENT] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
                                {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
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

static bool read_tensor(const standin_descriptor *d, standin_tensor *t) {
    if (!d || d->type != CUDNN_BACKEND_TENSOR_DESCRIPTOR) return false;
    *t = (standin_tensor){.id = standin_number(d, CUDNN_ATTR_TENSOR_UNIQUE_ID),
                          .alignment = standin_number(d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT),
                          .passed = standin_number(d, CUDNN_ATTR_TENSOR_IS_VIRTUAL) != 0,
                          .narrow = standin_number(d, CUDNN_ATTR_TENSOR_DATA_TYPE) == CUDNN_DATA_BFLOAT16};
    memcpy(t->size, standin_values(d, CUDNN_ATTR_TENSOR_DIMENSIONS, STANDIN_DIMENSIONS), sizeof t->size);
    memcpy(t->stride, standin_values(d, CUDNN_ATTR_TENSOR_STRIDES, STANDIN_DIMENSIONS), sizeof t->stride);
    return true;
}

static bool are(const int64_t *values, int64_t first, int64_t second) {
    return values[0] == first && values[1] == second;
}

/* Padding, and that the three tensors fit together under it. */
static cudnnStatus_t read_padding(const standin_descriptor *d, standin_convolution *c) {
    const int64_t *before = standin_values(d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, 2);
    const int64_t *after = standin_values(d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, 2);
    const int64_t *x = c->tensor[0].size, *weight = c->tensor[1].size, *y = c->tensor[2].size;
    if (d->type != CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR) return CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE;
    if (standin_number(d, CUDNN_ATTR_CONVOLUTION_CONV_MODE) != CUDNN_CROSS_CORRELATION ||
        standin_number(d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE) != CUDNN_DATA_FLOAT ||
        standin_number(d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS) != 2 ||
        !are(standin_values(d, CUDNN_ATTR_CONVOLUTION_DILATIONS, 2), 1, 1) ||
        !are(standin_values(d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, 2), 1, 1))
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

static cudnnStatus_t read_pass(const standin_descriptor *d, standin_convolution *c) {
    int pass = STANDIN_FORWARD;
    while (pass < STANDIN_PASSES && passes[pass].type != d->type) pass++;
    if (pass == STANDIN_PASSES) return CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN;
    c->pass = (standin_pass)pass;
    for (int i = 0; i < 3; i++)
        if (!read_tensor(standin_part(d, passes[pass].tensor[i]), &c->tensor[i]))
            return CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE;
    const float *alpha = standin_values(d, passes[pass].alpha, 1), *beta = standin_values(d, passes[pass].beta, 1);
    if (*alpha != 1 || *beta != 0) return CUDNN_STATUS_NOT_SUPPORTED;
    return read_padding(standin_part(d, passes[pass].convolution), c);
}

/* `all` as `part`, or part in a dimension where it is 1 and broadcast. */
static bool spreads(const standin_tensor *part, const standin_tensor *all) {
    for (int i = 0; i < STANDIN_DIMENSIONS; i++)
        if (part->size[i] != all->size[i] && part->size[i] != 1) return false;
    return true;
}

/* An end takes what the operation before passes on, and gives a tensor of that size. */
static cudnnStatus_t read_end(const standin_descriptor *d, const standin_tensor *before, standin_end *end) {
    const standin_descriptor *pointwise = standin_part(d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
    if (d->type != CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR) return CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN;
    if (standin_number(pointwise, CUDNN_ATTR_POINTWISE_MATH_PREC) != CUDNN_DATA_FLOAT)
        return CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE;
    const int64_t mode = standin_number(pointwise, CUDNN_ATTR_POINTWISE_MODE);
    const int modes = sizeof ends / sizeof *ends;
    int i = 0;
    while (i < modes && ends[i].mode != mode) i++;
    if (i == modes) return CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN;
    standin_tensor from;
    end->mode = (cudnnPointwiseMode_t)mode;
    if (!read_tensor(standin_part(d, ends[i].from), &from) || !read_tensor(standin_part(d, ends[i].to), &end->to) ||
        (ends[i].beside && !read_tensor(standin_part(d, ends[i].beside), &end->beside)))
        return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    if (from.id != before->id || !before->passed || before->narrow || (ends[i].beside && end->beside.passed))
        return CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN;
    if (memcmp(end->to.size, before->size, sizeof before->size) != 0 ||
        (ends[i].beside && !spreads(&end->beside, before)))
        return CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t standin_graph(const standin_descriptor *graph, standin_convolution *c) {
    const int64_t operations = standin_count_of(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS);
    standin_descriptor *const *operation = standin_values(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, 1);
    *c = (standin_convolution){0};
    if (operations > 1 + STANDIN_ENDS) return CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN;
    cudnnStatus_t status = read_pass(operation[0], c);
    for (int i = 1; i < operations && status == CUDNN_STATUS_SUCCESS; i++) {
        status = read_end(operation[i], standin_result(c), &c->end[c->ends]);
        c->ends++;
    }
    if (status != CUDNN_STATUS_SUCCESS) return status;
    for (int i = 0; i < 3; i++) /* what is read lies in memory */
        if (i != standin_made(c->pass) && c->tensor[i].passed) return CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN;
    return standin_result(c)->passed ? CUDNN_STATUS_BAD_PARAM : CUDNN_STATUS_SUCCESS;
}
