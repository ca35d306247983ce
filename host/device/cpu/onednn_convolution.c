/* oneDNN's convolution primitives of one thread: a list, found by shape. A model has few shapes.
 *
 * Images are channels last. Taps end at the output pixel's row and at `centre` columns from the left, so padding is
 * uneven: rows - 1 above and none below, centre to the left and the rest to the right. */
#include "host/device/cpu/onednn_api.h"
#include <omp.h>
#include <stdlib.h>

enum { X, WEIGHT, Y, SCRATCHPAD, BIAS, ARGUMENTS };

struct px_onednn_convolution {
    px_onednn_shape shape;
    dnnl_primitive_t primitive; /* NULL: oneDNN has none for this shape */
    dnnl_exec_arg_t argument[ARGUMENTS];
    int arguments;
    dnnl_primitive_t reorder; /* of the weight */
    dnnl_memory_t from;       /* the weight in the model's format */
    size_t weight_bytes;
};

static void free_convolution(px_onednn_convolution *c) {
    for (int i = 0; i < c->arguments; i++)
        if (c->argument[i].memory) dnnl_memory_destroy(c->argument[i].memory);
    if (c->from) dnnl_memory_destroy(c->from);
    if (c->reorder) dnnl_primitive_destroy(c->reorder);
    if (c->primitive) dnnl_primitive_destroy(c->primitive);
    free(c);
}

void px_onednn_free_convolutions(px_onednn *o) {
    for (int i = 0; i < o->convolutions; i++) free_convolution(o->convolution[i]);
    o->convolutions = 0;
}

/* onto: the result is added to y. Then relu. */
static dnnl_status_t create_attributes(bool onto, bool relu, dnnl_primitive_attr_t *attributes) {
    dnnl_post_ops_t operations = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(attributes);
    if (!status) status = dnnl_primitive_attr_set_scratchpad_mode(*attributes, dnnl_scratchpad_mode_user);
    if (!status) status = dnnl_post_ops_create(&operations);
    if (!status && onto) status = px_dnnl_append_sum(operations, 1);
    if (!status && relu) status = px_dnnl_append_relu(operations);
    if (!status) status = dnnl_primitive_attr_set_post_ops(*attributes, operations);
    if (operations) dnnl_post_ops_destroy(operations);
    return status;
}

/* Describes the tensors, and the primitive for them. The primitive chooses the format of the weight. */
static dnnl_status_t describe(const px_onednn *o, const px_onednn_shape *s, px_dnnl_descriptor d[ARGUMENTS],
                              dnnl_primitive_desc_t *primitive) {
    const int64_t h = (int64_t)s->height, w = (int64_t)s->width, in = (int64_t)s->in, out = (int64_t)s->out;
    const int64_t rows = (int64_t)s->rows, columns = (int64_t)s->columns, centre = (int64_t)s->centre;
    const dnnl_dims_t before = {rows - 1, centre}, after = {0, columns - 1 - centre};
    const dnnl_data_type_t type = px_dnnl_type((px_type)s->type);
    dnnl_primitive_attr_t attributes = NULL, plain = NULL;
    dnnl_primitive_desc_t forward = NULL;
    dnnl_status_t status = px_dnnl_describe(&d[X], 4, (dnnl_dims_t){1, in, h, w}, type, dnnl_nhwc);
    if (!status)
        status = px_dnnl_describe(&d[WEIGHT], 4, (dnnl_dims_t){out, in, rows, columns}, type, dnnl_format_tag_any);
    if (!status) status = px_dnnl_describe(&d[Y], 4, (dnnl_dims_t){1, out, h, w}, type, dnnl_nhwc);
    if (!status) status = px_dnnl_describe(&d[BIAS], 1, (dnnl_dims_t){out}, type, dnnl_a);
    if (!status) status = create_attributes(s->onto, s->relu_y, &attributes);
    if (!status) status = create_attributes(false, false, &plain);
    const px_dnnl_pointer bias = s->has_bias ? PX_DNNL_POINTER(d[BIAS]) : NULL;
    if (!status)
        status = px_dnnl_create_forward(&forward, o->engine, PX_DNNL_POINTER(d[X]), PX_DNNL_POINTER(d[WEIGHT]), bias,
                                        PX_DNNL_POINTER(d[Y]), before, after, attributes);
    if (!status && s->gradient) {
        status = px_dnnl_create_input_gradient(primitive, o->engine, PX_DNNL_POINTER(d[X]), PX_DNNL_POINTER(d[WEIGHT]),
                                               PX_DNNL_POINTER(d[Y]), before, after, plain, forward);
        dnnl_primitive_desc_destroy(forward);
    } else if (!status) {
        *primitive = forward;
    }
    if (plain) dnnl_primitive_attr_destroy(plain);
    if (attributes) dnnl_primitive_attr_destroy(attributes);
    return status;
}

static dnnl_status_t add_argument(const px_onednn *o, px_onednn_convolution *c, int name, px_dnnl_pointer d,
                                  void *data) {
    dnnl_exec_arg_t *argument = &c->argument[c->arguments++];
    argument->arg = name;
    return dnnl_memory_create(&argument->memory, d, o->engine, data);
}

/* Creates the memory objects, in the order of X .. BIAS, and the reorder of the weight. */
static dnnl_status_t create_arguments(const px_onednn *o, px_onednn_convolution *c,
                                      const_dnnl_primitive_desc_t primitive, px_dnnl_descriptor d[ARGUMENTS]) {
    const px_onednn_shape *s = &c->shape;
    const bool gradient = s->gradient;
    const px_dnnl_pointer scratchpad = dnnl_primitive_desc_query_md(primitive, dnnl_query_scratchpad_md, 0);
    const px_dnnl_pointer weight = dnnl_primitive_desc_query_md(primitive, dnnl_query_weights_md, 0);
    const dnnl_dims_t size = {(int64_t)s->out, (int64_t)s->in, (int64_t)s->rows, (int64_t)s->columns};
    px_dnnl_descriptor from = {0};
    dnnl_primitive_desc_t reorder = NULL;
    c->weight_bytes = dnnl_memory_desc_get_size(weight);
    if (dnnl_memory_desc_get_size(scratchpad) > o->bytes) return dnnl_unimplemented;
    dnnl_status_t status = add_argument(o, c, gradient ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, PX_DNNL_POINTER(d[X]),
                                        DNNL_MEMORY_NONE);
    if (!status) status = add_argument(o, c, DNNL_ARG_WEIGHTS, weight, DNNL_MEMORY_NONE);
    if (!status)
        status = add_argument(o, c, gradient ? DNNL_ARG_DIFF_DST : DNNL_ARG_DST, PX_DNNL_POINTER(d[Y]),
                              DNNL_MEMORY_NONE);
    if (!status) status = add_argument(o, c, DNNL_ARG_SCRATCHPAD, scratchpad, o->scratch);
    if (!status && s->has_bias) status = add_argument(o, c, DNNL_ARG_BIAS, PX_DNNL_POINTER(d[BIAS]), DNNL_MEMORY_NONE);
    if (!status) status = px_dnnl_describe(&from, 4, size, px_dnnl_type((px_type)s->type), dnnl_ohwi);
    if (!status) status = dnnl_memory_create(&c->from, PX_DNNL_POINTER(from), o->engine, DNNL_MEMORY_NONE);
    if (!status)
        status = dnnl_reorder_primitive_desc_create(&reorder, PX_DNNL_POINTER(from), o->engine, weight, o->engine,
                                                    NULL);
    if (!status) status = dnnl_primitive_create(&c->reorder, reorder);
    if (reorder) dnnl_primitive_desc_destroy(reorder);
    px_dnnl_free_descriptor(&from);
    return status;
}

static dnnl_status_t create_primitive(const px_onednn *o, px_onednn_convolution *c) {
    px_dnnl_descriptor d[ARGUMENTS] = {0};
    dnnl_primitive_desc_t primitive = NULL;
    dnnl_status_t status = describe(o, &c->shape, d, &primitive);
    if (!status && px_dnnl_is_reference(primitive)) status = dnnl_unimplemented;
    if (!status) status = create_arguments(o, c, primitive, d);
    if (!status) status = dnnl_primitive_create(&c->primitive, primitive);
    if (primitive) dnnl_primitive_desc_destroy(primitive);
    for (int i = 0; i < ARGUMENTS; i++) px_dnnl_free_descriptor(&d[i]);
    return status;
}

/* oneDNN splits a primitive among as many threads as OpenMP would start. Returns the number before. */
static int use_one_thread(void) {
    const int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    return threads;
}

px_onednn_convolution *px_onednn_convolution_find(px_onednn *o, const px_onednn_shape *shape, size_t bytes) {
    px_onednn_convolution *c = NULL;
    for (int i = 0; o && i < o->convolutions && !c; i++)
        if (memcmp(&o->convolution[i]->shape, shape, sizeof *shape) == 0) c = o->convolution[i];
    if (!c && o && o->convolutions < PX_ONEDNN_CONVOLUTIONS) c = calloc(1, sizeof *c);
    if (!c) return NULL;
    if (c->shape.height == 0) { /* a new one */
        const int threads = use_one_thread();
        c->shape = *shape;
        if (create_primitive(o, c)) {
            free_convolution(c);
            c = calloc(1, sizeof *c);
            if (c) c->shape = *shape;
        }
        omp_set_num_threads(threads);
        if (c) o->convolution[o->convolutions++] = c;
    }
    return c && c->primitive && c->weight_bytes <= bytes ? c : NULL;
}

bool px_onednn_reorder(px_onednn *o, px_onednn_convolution *c, const void *weight, void *to) {
    const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, c->from}, {DNNL_ARG_TO, c->argument[WEIGHT].memory}};
    const int threads = use_one_thread();
    dnnl_status_t status = dnnl_memory_set_data_handle(c->from, (void *)(uintptr_t)weight);
    if (!status) status = dnnl_memory_set_data_handle(c->argument[WEIGHT].memory, to);
    if (!status) status = dnnl_primitive_execute(c->reorder, o->stream, 2, arguments);
    omp_set_num_threads(threads);
    return !status;
}

bool px_onednn_convolve(px_onednn *o, px_onednn_convolution *c, void *x, const void *weight, const void *bias,
                        void *y) {
    const void *const data[ARGUMENTS] = {x, weight, y, o->scratch, bias};
    const int threads = use_one_thread();
    dnnl_status_t status = dnnl_success;
    for (int i = 0; i < c->arguments && !status; i++)
        status = dnnl_memory_set_data_handle(c->argument[i].memory, (void *)(uintptr_t)data[i]);
    if (!status) status = dnnl_primitive_execute(c->primitive, o->stream, c->arguments, c->argument);
    omp_set_num_threads(threads);
    return !status;
}
