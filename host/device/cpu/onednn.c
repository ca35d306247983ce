/* oneDNN's matmul primitives of one thread: an open-addressing hash table by shape. */
#include "host/device/cpu/onednn_api.h"
#include <omp.h>
#include <stdlib.h>
#include <string.h>

/* The properties of a GEMM that a primitive depends on. All members have 8 bytes, so that there is no padding. */
typedef struct shape {
    uint64_t m, n, k, ld_a, ld_b, ld_c, ld_add;
    uint64_t transpose_a, transpose_b, operands, result, has_bias, has_add, add_type;
    double beta;
} shape;

enum { SOURCE, WEIGHTS, RESULT, SCRATCHPAD, BIAS, ADD, ARGUMENTS };

typedef struct entry {
    shape key;
    bool used;
    dnnl_primitive_t primitive; /* NULL: oneDNN has none for this shape */
    int arguments;
    dnnl_exec_arg_t argument[ARGUMENTS];
} entry;

enum { SLOTS = 1 << 10, MAX_USED = SLOTS * 3 / 4 };

struct px_onednn_table {
    size_t used;
    entry slot[SLOTS];
};

/* ---- Primitives ---- */

/* The post-operations: beta C first, then add. */
static dnnl_status_t create_attributes(const shape *key, const px_dnnl_descriptor *add,
                                       dnnl_primitive_attr_t *attributes) {
    dnnl_post_ops_t operations = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(attributes);
    if (!status) status = dnnl_primitive_attr_set_scratchpad_mode(*attributes, dnnl_scratchpad_mode_user);
    if (!status) status = dnnl_post_ops_create(&operations);
    if (!status && key->beta != 0) status = px_dnnl_append_sum(operations, (float)key->beta);
    if (!status && key->has_add)
        status = dnnl_post_ops_append_binary(operations, dnnl_binary_add, PX_DNNL_POINTER(*add));
    if (!status) status = dnnl_primitive_attr_set_post_ops(*attributes, operations);
    if (operations) dnnl_post_ops_destroy(operations);
    return status;
}

static dnnl_status_t add_argument(const px_onednn *o, entry *e, int name, px_dnnl_pointer d, void *data) {
    dnnl_exec_arg_t *argument = &e->argument[e->arguments++];
    argument->arg = name;
    return dnnl_memory_create(&argument->memory, d, o->engine, data);
}

/* Creates the memory objects, in the order of SOURCE .. ADD. Their addresses are set by each call. */
static dnnl_status_t create_arguments(const px_onednn *o, entry *e, const_dnnl_primitive_desc_t matmul,
                                      px_dnnl_descriptor *d) {
    const px_dnnl_pointer scratchpad = dnnl_primitive_desc_query_md(matmul, dnnl_query_scratchpad_md, 0);
    if (dnnl_memory_desc_get_size(scratchpad) > o->bytes) return dnnl_unimplemented;
    const int add = DNNL_ARG_ATTR_MULTIPLE_POST_OP(e->key.beta != 0 ? 1 : 0) | DNNL_ARG_SRC_1;
    dnnl_status_t status = add_argument(o, e, DNNL_ARG_SRC, PX_DNNL_POINTER(d[SOURCE]), DNNL_MEMORY_NONE);
    if (!status) status = add_argument(o, e, DNNL_ARG_WEIGHTS, PX_DNNL_POINTER(d[WEIGHTS]), DNNL_MEMORY_NONE);
    if (!status) status = add_argument(o, e, DNNL_ARG_DST, PX_DNNL_POINTER(d[RESULT]), DNNL_MEMORY_NONE);
    if (!status) status = add_argument(o, e, DNNL_ARG_SCRATCHPAD, scratchpad, o->scratch);
    if (!status && e->key.has_bias)
        status = add_argument(o, e, DNNL_ARG_BIAS, PX_DNNL_POINTER(d[BIAS]), DNNL_MEMORY_NONE);
    if (!status && e->key.has_add) status = add_argument(o, e, add, PX_DNNL_POINTER(d[ADD]), DNNL_MEMORY_NONE);
    return status;
}

static void free_entry(entry *e) {
    for (int i = 0; i < e->arguments; i++)
        if (e->argument[i].memory) dnnl_memory_destroy(e->argument[i].memory);
    if (e->primitive) dnnl_primitive_destroy(e->primitive);
    *e = (entry){0};
}

/* Fills in an entry for its key. The primitive stays NULL if there is none. */
static void create_entry(const px_onednn *o, entry *e) {
    const shape *s = &e->key;
    const bool bf16 = s->operands == PX_BF16;
    const int64_t m = (int64_t)s->m, n = (int64_t)s->n, k = (int64_t)s->k;
    const int64_t a = (int64_t)s->ld_a, b = (int64_t)s->ld_b;
    px_dnnl_descriptor d[ARGUMENTS] = {0};
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t matmul = NULL;
    dnnl_status_t status = px_dnnl_describe_matrix(&d[SOURCE], m, k, s->transpose_a ? 1 : a, s->transpose_a ? a : 1,
                                                   bf16);
    if (!status)
        status = px_dnnl_describe_matrix(&d[WEIGHTS], k, n, s->transpose_b ? 1 : b, s->transpose_b ? b : 1, bf16);
    if (!status) status = px_dnnl_describe_matrix(&d[RESULT], m, n, (int64_t)s->ld_c, 1, s->result == PX_BF16);
    if (!status && s->has_bias) status = px_dnnl_describe_matrix(&d[BIAS], 1, n, n, 1, bf16);
    if (!status && s->has_add)
        status = px_dnnl_describe_matrix(&d[ADD], m, n, (int64_t)s->ld_add, 1, s->add_type == PX_BF16);
    if (!status) status = create_attributes(s, &d[ADD], &attributes);
    if (!status)
        status = px_dnnl_create_matmul(&matmul, o->engine, PX_DNNL_POINTER(d[SOURCE]), PX_DNNL_POINTER(d[WEIGHTS]),
                                       s->has_bias ? PX_DNNL_POINTER(d[BIAS]) : NULL, PX_DNNL_POINTER(d[RESULT]),
                                       attributes);
    if (!status && px_dnnl_is_reference(matmul)) status = dnnl_unimplemented;
    if (!status) status = create_arguments(o, e, matmul, d);
    if (!status) status = dnnl_primitive_create(&e->primitive, matmul);
    if (matmul) dnnl_primitive_desc_destroy(matmul);
    if (attributes) dnnl_primitive_attr_destroy(attributes);
    for (int i = 0; i < ARGUMENTS; i++) px_dnnl_free_descriptor(&d[i]);
    if (status) {
        const shape key = *s;
        free_entry(e);
        e->key = key;
    }
    e->used = true;
}

/* FNV-1a, by words. */
static size_t slot_of(const shape *key) {
    uint64_t words[sizeof *key / sizeof(uint64_t)], hash = UINT64_C(0xcbf29ce484222325);
    memcpy(words, key, sizeof words);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) hash = (hash ^ words[i]) * UINT64_C(0x100000001b3);
    return (size_t)(hash ^ hash >> 32) % SLOTS;
}

static entry *find_slot(px_onednn *o, const shape *key) {
    size_t at = slot_of(key);
    while (o->table->slot[at].used && memcmp(&o->table->slot[at].key, key, sizeof *key) != 0) at = (at + 1) % SLOTS;
    return &o->table->slot[at];
}

/* The entry of this key. A table that is full is cleared first. */
static const entry *find(px_onednn *o, const shape *key) {
    entry *e = find_slot(o, key);
    if (e->used) return e;
    if (o->table->used == MAX_USED) {
        for (size_t i = 0; i < SLOTS; i++) free_entry(&o->table->slot[i]);
        o->table->used = 0;
        e = find_slot(o, key);
    }
    e->key = *key;
    create_entry(o, e);
    o->table->used++;
    return e;
}

bool px_onednn_gemm(px_onednn *o, const px_gemm_args *g, const px_cpu_epilogue *epilogue) {
    if (!o) return false;
    const shape key = {.m = g->m,
                       .n = g->n,
                       .k = g->k,
                       .ld_a = g->ld_a,
                       .ld_b = g->ld_b,
                       .ld_c = g->ld_c,
                       .ld_add = epilogue->add ? epilogue->ld_add : 0,
                       .transpose_a = g->transpose_a,
                       .transpose_b = g->transpose_b,
                       .operands = g->operands,
                       .result = g->result,
                       .has_bias = epilogue->bias != NULL,
                       .has_add = epilogue->add != NULL,
                       .add_type = epilogue->add ? epilogue->add_type : 0,
                       .beta = (double)g->beta};
    const void *const data[] = {g->a, g->b, g->c, o->scratch, epilogue->bias, epilogue->add};
    const int threads = omp_get_max_threads();
    omp_set_num_threads(1); /* of this thread; otherwise oneDNN splits a GEMM among a team, by the size of the team */
    const entry *e = find(o, &key);
    dnnl_status_t status = e->primitive ? dnnl_success : dnnl_unimplemented;
    for (int i = 0, argument = 0; i < ARGUMENTS && !status; i++)
        if (data[i]) status = dnnl_memory_set_data_handle(e->argument[argument++].memory, (void *)(uintptr_t)data[i]);
    if (!status) status = dnnl_primitive_execute(e->primitive, o->stream, e->arguments, e->argument);
    omp_set_num_threads(threads);
    return status == dnnl_success;
}

px_onednn *px_onednn_create(px_type operands, void *scratch, size_t bytes) {
    enum { SIDE = 64 };
    px_onednn *o = calloc(1, sizeof *o);
    if (!o) return NULL;
    *o = (px_onednn){.scratch = scratch, .bytes = bytes, .table = calloc(1, sizeof *o->table)};
    const shape key = {.m = SIDE,
                       .n = SIDE,
                       .k = SIDE,
                       .ld_a = SIDE,
                       .ld_b = SIDE,
                       .ld_c = SIDE,
                       .operands = operands,
                       .result = operands};
    if (o->table && !dnnl_engine_create(&o->engine, dnnl_cpu, 0) &&
        !dnnl_stream_create(&o->stream, o->engine, dnnl_stream_default_flags) && find(o, &key)->primitive)
        return o;
    px_onednn_destroy(o);
    return NULL;
}

void px_onednn_destroy(px_onednn *o) {
    if (!o) return;
    for (size_t i = 0; o->table && i < SLOTS; i++) free_entry(&o->table->slot[i]);
    px_onednn_free_convolutions(o);
    free(o->table);
    if (o->stream) dnnl_stream_destroy(o->stream);
    if (o->engine) dnnl_engine_destroy(o->engine);
    free(o);
}
