/* oneDNN's C API, versions 2.5 to 3.x, for onednn.c and onednn_convolution.c. The two versions differ in how
 * descriptors are passed and how primitive descriptors are created. */
#ifndef PIXELRNN_DEVICE_ONEDNN_API_H
#define PIXELRNN_DEVICE_ONEDNN_API_H

#include "host/device/cpu/onednn.h"
#include <dnnl.h>
#include <string.h>

enum { PX_ONEDNN_CONVOLUTIONS = 32 };

struct px_onednn {
    void *scratch;
    size_t bytes; /* of scratch */
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    struct px_onednn_table *table; /* of matmul primitives */
    px_onednn_convolution *convolution[PX_ONEDNN_CONVOLUTIONS];
    int convolutions;
};

void px_onednn_free_convolutions(px_onednn *onednn);

static inline dnnl_data_type_t px_dnnl_type(px_type type) { return type == PX_BF16 ? dnnl_bf16 : dnnl_f32; }

/* Whether oneDNN chose its slow reference code, which exists for every shape. */
static inline bool px_dnnl_is_reference(const_dnnl_primitive_desc_t primitive) {
    const char *name = "";
    return dnnl_primitive_desc_query(primitive, dnnl_query_impl_info_str, 0, (void *)&name) ||
           strncmp(name, "ref", 3) == 0;
}

#if DNNL_VERSION_MAJOR >= 3

typedef dnnl_memory_desc_t px_dnnl_descriptor;
typedef const_dnnl_memory_desc_t px_dnnl_pointer;
#define PX_DNNL_POINTER(descriptor) (descriptor)

static inline dnnl_status_t px_dnnl_describe_matrix(px_dnnl_descriptor *d, int64_t rows, int64_t columns, int64_t row,
                                                    int64_t column, bool bf16) {
    return dnnl_memory_desc_create_with_strides(d, 2, (dnnl_dims_t){rows, columns}, bf16 ? dnnl_bf16 : dnnl_f32,
                                                (dnnl_dims_t){row, column});
}
static inline dnnl_status_t px_dnnl_describe(px_dnnl_descriptor *d, int rank, const dnnl_dims_t size,
                                             dnnl_data_type_t type, dnnl_format_tag_t format) {
    return dnnl_memory_desc_create_with_tag(d, rank, size, type, format);
}
static inline void px_dnnl_free_descriptor(px_dnnl_descriptor *d) {
    if (*d) dnnl_memory_desc_destroy(*d);
}
static inline dnnl_status_t px_dnnl_append_sum(dnnl_post_ops_t operations, float beta) {
    return dnnl_post_ops_append_sum(operations, beta, 0, dnnl_data_type_undef);
}
static inline dnnl_status_t px_dnnl_append_relu(dnnl_post_ops_t operations) {
    return dnnl_post_ops_append_eltwise(operations, dnnl_eltwise_relu, 0, 0);
}
static inline dnnl_status_t px_dnnl_create_matmul(dnnl_primitive_desc_t *matmul, dnnl_engine_t engine,
                                                  px_dnnl_pointer a, px_dnnl_pointer b, px_dnnl_pointer bias,
                                                  px_dnnl_pointer c, dnnl_primitive_attr_t attributes) {
    return dnnl_matmul_primitive_desc_create(matmul, engine, a, b, bias, c, attributes);
}
static inline dnnl_status_t px_dnnl_create_forward(dnnl_primitive_desc_t *forward, dnnl_engine_t engine,
                                                   px_dnnl_pointer x, px_dnnl_pointer weight, px_dnnl_pointer bias,
                                                   px_dnnl_pointer y, const dnnl_dims_t before, const dnnl_dims_t after,
                                                   dnnl_primitive_attr_t attributes) {
    const dnnl_dims_t strides = {1, 1}, dilates = {0, 0};
    return dnnl_convolution_forward_primitive_desc_create(forward, engine, dnnl_forward_training,
                                                          dnnl_convolution_direct, x, weight, bias, y, strides, dilates,
                                                          before, after, attributes);
}
static inline dnnl_status_t px_dnnl_create_input_gradient(dnnl_primitive_desc_t *gradient, dnnl_engine_t engine,
                                                          px_dnnl_pointer x, px_dnnl_pointer weight, px_dnnl_pointer y,
                                                          const dnnl_dims_t before, const dnnl_dims_t after,
                                                          dnnl_primitive_attr_t attributes,
                                                          const_dnnl_primitive_desc_t forward) {
    const dnnl_dims_t strides = {1, 1}, dilates = {0, 0};
    return dnnl_convolution_backward_data_primitive_desc_create(gradient, engine, dnnl_convolution_direct, x, weight, y,
                                                                strides, dilates, before, after, forward, attributes);
}

#else

typedef dnnl_memory_desc_t px_dnnl_descriptor;
typedef const dnnl_memory_desc_t *px_dnnl_pointer;
#define PX_DNNL_POINTER(descriptor) (&(descriptor))

static inline dnnl_status_t px_dnnl_describe_matrix(px_dnnl_descriptor *d, int64_t rows, int64_t columns, int64_t row,
                                                    int64_t column, bool bf16) {
    return dnnl_memory_desc_init_by_strides(d, 2, (dnnl_dims_t){rows, columns}, bf16 ? dnnl_bf16 : dnnl_f32,
                                            (dnnl_dims_t){row, column});
}
static inline dnnl_status_t px_dnnl_describe(px_dnnl_descriptor *d, int rank, const dnnl_dims_t size,
                                             dnnl_data_type_t type, dnnl_format_tag_t format) {
    return dnnl_memory_desc_init_by_tag(d, rank, size, type, format);
}
static inline void px_dnnl_free_descriptor(px_dnnl_descriptor *d) { (void)d; }
static inline dnnl_status_t px_dnnl_append_sum(dnnl_post_ops_t operations, float beta) {
    return dnnl_post_ops_append_sum(operations, beta);
}
static inline dnnl_status_t px_dnnl_append_relu(dnnl_post_ops_t operations) {
    return dnnl_post_ops_append_eltwise(operations, 1, dnnl_eltwise_relu, 0, 0);
}
static inline dnnl_status_t px_dnnl_create_matmul(dnnl_primitive_desc_t *matmul, dnnl_engine_t engine,
                                                  px_dnnl_pointer a, px_dnnl_pointer b, px_dnnl_pointer bias,
                                                  px_dnnl_pointer c, dnnl_primitive_attr_t attributes) {
    dnnl_matmul_desc_t operation;
    const dnnl_status_t status = dnnl_matmul_desc_init(&operation, a, b, bias, c);
    return status ? status : dnnl_primitive_desc_create(matmul, &operation, attributes, engine, NULL);
}
static inline dnnl_status_t px_dnnl_create_forward(dnnl_primitive_desc_t *forward, dnnl_engine_t engine,
                                                   px_dnnl_pointer x, px_dnnl_pointer weight, px_dnnl_pointer bias,
                                                   px_dnnl_pointer y, const dnnl_dims_t before, const dnnl_dims_t after,
                                                   dnnl_primitive_attr_t attributes) {
    const dnnl_dims_t strides = {1, 1};
    dnnl_convolution_desc_t operation;
    const dnnl_status_t status = dnnl_convolution_forward_desc_init(
        &operation, dnnl_forward_training, dnnl_convolution_direct, x, weight, bias, y, strides, before, after);
    return status ? status : dnnl_primitive_desc_create(forward, &operation, attributes, engine, NULL);
}
static inline dnnl_status_t px_dnnl_create_input_gradient(dnnl_primitive_desc_t *gradient, dnnl_engine_t engine,
                                                          px_dnnl_pointer x, px_dnnl_pointer weight, px_dnnl_pointer y,
                                                          const dnnl_dims_t before, const dnnl_dims_t after,
                                                          dnnl_primitive_attr_t attributes,
                                                          const_dnnl_primitive_desc_t forward) {
    const dnnl_dims_t strides = {1, 1};
    dnnl_convolution_desc_t operation;
    const dnnl_status_t status = dnnl_convolution_backward_data_desc_init(&operation, dnnl_convolution_direct, x,
                                                                          weight, y, strides, before, after);
    return status ? status : dnnl_primitive_desc_create(gradient, &operation, attributes, engine, forward);
}

#endif
#endif
