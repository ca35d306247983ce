/* What cuDNN's descriptors must hold, and when that makes sense. */
#include "tests/mock_cuda/cudnn_mock.h"

enum { ANY = 0 };

/* Every attribute that a descriptor can be given: its type, how many values, and whether it may be left out. */
typedef struct rule {
    cudnnBackendDescriptorType_t of;
    cudnnBackendAttributeName_t name;
    cudnnBackendAttributeType_t type;
    int count;
    bool optional;
} rule;

#define RULE(descriptor, attribute, type, count, optional)                                                             \
    { CUDNN_BACKEND_##descriptor##_DESCRIPTOR, CUDNN_ATTR_##attribute, CUDNN_TYPE_##type, count, optional }
#define MUST(descriptor, attribute, type, count) RULE(descriptor, attribute, type, count, false)
#define MAY(descriptor, attribute, type)         RULE(descriptor, attribute, type, 1, true)
#define PASS(pass, name, x, w, y)                                                                                      \
    MUST(OPERATION_CONVOLUTION_##pass, OPERATION_CONVOLUTION_##name##_CONV_DESC, BACKEND_DESCRIPTOR, 1),               \
        MUST(OPERATION_CONVOLUTION_##pass, OPERATION_CONVOLUTION_##name##_ALPHA, FLOAT, 1),                            \
        MUST(OPERATION_CONVOLUTION_##pass, OPERATION_CONVOLUTION_##name##_BETA, FLOAT, 1),                             \
        MUST(OPERATION_CONVOLUTION_##pass, OPERATION_CONVOLUTION_##name##_##x, BACKEND_DESCRIPTOR, 1),                 \
        MUST(OPERATION_CONVOLUTION_##pass, OPERATION_CONVOLUTION_##name##_##w, BACKEND_DESCRIPTOR, 1),                 \
        MUST(OPERATION_CONVOLUTION_##pass, OPERATION_CONVOLUTION_##name##_##y, BACKEND_DESCRIPTOR, 1)
static const rule rules[] = {
    MUST(TENSOR, TENSOR_UNIQUE_ID, INT64, 1),
    MUST(TENSOR, TENSOR_DATA_TYPE, DATA_TYPE, 1),
    MUST(TENSOR, TENSOR_BYTE_ALIGNMENT, INT64, 1),
    MUST(TENSOR, TENSOR_DIMENSIONS, INT64, MOCK_DIMENSIONS),
    MUST(TENSOR, TENSOR_STRIDES, INT64, MOCK_DIMENSIONS),
    MAY(TENSOR, TENSOR_IS_VIRTUAL, BOOLEAN),
    MUST(CONVOLUTION, CONVOLUTION_COMP_TYPE, DATA_TYPE, 1),
    MUST(CONVOLUTION, CONVOLUTION_CONV_MODE, CONVOLUTION_MODE, 1),
    MUST(CONVOLUTION, CONVOLUTION_SPATIAL_DIMS, INT64, 1),
    MUST(CONVOLUTION, CONVOLUTION_DILATIONS, INT64, 2),
    MUST(CONVOLUTION, CONVOLUTION_FILTER_STRIDES, INT64, 2),
    MUST(CONVOLUTION, CONVOLUTION_PRE_PADDINGS, INT64, 2),
    MUST(CONVOLUTION, CONVOLUTION_POST_PADDINGS, INT64, 2),
    PASS(FORWARD, FORWARD, X, W, Y),
    PASS(BACKWARD_DATA, BWD_DATA, DX, W, DY),
    PASS(BACKWARD_FILTER, BWD_FILTER, X, DW, DY),
    MUST(POINTWISE, POINTWISE_MODE, POINTWISE_MODE, 1),
    MUST(POINTWISE, POINTWISE_MATH_PREC, DATA_TYPE, 1),
    MUST(OPERATION_POINTWISE, OPERATION_POINTWISE_PW_DESCRIPTOR, BACKEND_DESCRIPTOR, 1),
    MUST(OPERATION_POINTWISE, OPERATION_POINTWISE_XDESC, BACKEND_DESCRIPTOR, 1),
    MAY(OPERATION_POINTWISE, OPERATION_POINTWISE_BDESC, BACKEND_DESCRIPTOR),
    MAY(OPERATION_POINTWISE, OPERATION_POINTWISE_YDESC, BACKEND_DESCRIPTOR),
    MAY(OPERATION_POINTWISE, OPERATION_POINTWISE_DYDESC, BACKEND_DESCRIPTOR),
    MAY(OPERATION_POINTWISE, OPERATION_POINTWISE_DXDESC, BACKEND_DESCRIPTOR),
    MUST(OPERATIONGRAPH, OPERATIONGRAPH_OPS, BACKEND_DESCRIPTOR, ANY),
    MUST(OPERATIONGRAPH, OPERATIONGRAPH_HANDLE, HANDLE, 1),
    MUST(ENGINEHEUR, ENGINEHEUR_OPERATION_GRAPH, BACKEND_DESCRIPTOR, 1),
    MUST(ENGINEHEUR, ENGINEHEUR_MODE, HEUR_MODE, 1),
    MUST(EXECUTION_PLAN, EXECUTION_PLAN_HANDLE, HANDLE, 1),
    MUST(EXECUTION_PLAN, EXECUTION_PLAN_ENGINE_CONFIG, BACKEND_DESCRIPTOR, 1),
    MUST(VARIANT_PACK, VARIANT_PACK_UNIQUE_IDS, INT64, ANY),
    MUST(VARIANT_PACK, VARIANT_PACK_DATA_POINTERS, VOID_PTR, ANY),
    MUST(VARIANT_PACK, VARIANT_PACK_WORKSPACE, VOID_PTR, 1),
};
enum { RULES = sizeof rules / sizeof *rules };

cudnnStatus_t mock_allows(cudnnBackendDescriptorType_t of, cudnnBackendAttributeName_t name,
                          cudnnBackendAttributeType_t type, int64_t count) {
    for (int i = 0; i < RULES; i++) {
        if (rules[i].of != of || rules[i].name != name) continue;
        if (rules[i].type != type) return CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE;
        return rules[i].count == ANY || rules[i].count == count ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
    }
    return CUDNN_STATUS_BAD_PARAM; /* not this descriptor's, or unknown to the mock */
}

/* No two elements share a place: each dimension steps over all of the next smaller one's. */
static bool is_apart(const int64_t *size, const int64_t *stride) {
    for (int i = 0; i < MOCK_DIMENSIONS; i++)
        for (int j = 0; j < MOCK_DIMENSIONS; j++)
            if (stride[j] > stride[i] && stride[j] < stride[i] * size[i] && size[j] > 1) return false;
    return true;
}

static cudnnStatus_t complete_tensor(const mock_descriptor *d) {
    const int64_t *size = mock_values(d, CUDNN_ATTR_TENSOR_DIMENSIONS, MOCK_DIMENSIONS);
    const int64_t *stride = mock_values(d, CUDNN_ATTR_TENSOR_STRIDES, MOCK_DIMENSIONS);
    const int64_t type = mock_number(d, CUDNN_ATTR_TENSOR_DATA_TYPE);
    const int64_t alignment = mock_number(d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT);
    const int64_t element = type == CUDNN_DATA_BFLOAT16 ? 2 : 4;
    for (int i = 0; i < MOCK_DIMENSIONS; i++)
        if (size[i] < 1 || stride[i] < 1) return CUDNN_STATUS_BAD_PARAM_OUT_OF_BOUND;
    if (type != CUDNN_DATA_BFLOAT16 && type != CUDNN_DATA_FLOAT) return CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE;
    if (alignment < 1 || alignment % element != 0) return CUDNN_STATUS_BAD_PARAM;
    return is_apart(size, stride) ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}

cudnnStatus_t mock_complete(const mock_descriptor *d) {
    if (d->final) return CUDNN_STATUS_BAD_PARAM;
    for (int i = 0; i < RULES; i++)
        if (rules[i].of == d->type && !rules[i].optional && mock_count_of(d, rules[i].name) == 0)
            return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    return d->type == CUDNN_BACKEND_TENSOR_DESCRIPTOR ? complete_tensor(d) : CUDNN_STATUS_SUCCESS;
}
