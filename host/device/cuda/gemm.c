/* Matrix products on CUDA through cuBLASLt: float32 sums of float32 or bfloat16 products, one heuristic search per
 * shape and end.
 *
 * cuBLASLt counts columns first. A row-major matrix read column-major is its transpose, so C = op(A) op(B) is computed
 * as C^T = op(B)^T op(A)^T: the operands change places and keep their transposition. */
#include "host/device/cuda/cuda.h"
#include <stdlib.h>

typedef struct px_product {
    px_gemm_shape shape; /* the key: see px_cuda_cache */
    bool none;           /* there is no algorithm for this end */
    cublasLtMatmulDescOpaque_t operation;
    cublasLtMatrixLayoutOpaque_t a, b, c;
    cublasLtMatmulAlgo_t algorithm;
} px_product;

#define PX_BLAS_TRY(call)                                                                                              \
    do {                                                                                                               \
        cublasStatus_t status_ = (call);                                                                               \
        if (status_ != CUBLAS_STATUS_SUCCESS) return status_;                                                          \
    } while (0)

static uint64_t alignment(const void *pointer, px_type type) {
    return (uintptr_t)pointer % PX_CUDA_VECTOR == 0 ? PX_CUDA_VECTOR : px_type_size(type);
}

static cublasLtEpilogue_t px_epilogue(const px_gemm_epilogue *end) {
    if (end->bias) return end->relu ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS;
    return end->relu ? CUBLASLT_EPILOGUE_RELU : CUBLASLT_EPILOGUE_DEFAULT;
}

static px_gemm_shape gemm_shape_of(const px_gemm_args *g, const px_gemm_epilogue *end) {
    px_gemm_shape shape = {.m = g->m,
                           .n = g->n,
                           .k = g->k,
                           .batch = (uint64_t)g->batch,
                           .ld_a = g->ld_a,
                           .ld_b = g->ld_b,
                           .ld_c = g->ld_c,
                           .transpose_a = g->transpose_a,
                           .transpose_b = g->transpose_b,
                           .operands = g->operands,
                           .result = g->result,
                           .align_a = alignment(g->a, g->operands),
                           .align_b = alignment(g->b, g->operands),
                           .align_c = alignment(g->c, g->result),
                           .epilogue = px_epilogue(end),
                           .align_add = alignment(end->add ? end->add : g->c, g->result),
                           .align_end = alignment(end->bias, g->result)};
    if (g->batch > 1) shape.stride_a = g->stride_a, shape.stride_b = g->stride_b, shape.stride_c = g->stride_c;
    return shape;
}

/* A row-major matrix of rows x columns, as cuBLASLt sees it: its transpose. */
static cublasStatus_t px_layout(cublasLtMatrixLayoutOpaque_t *layout, uint64_t type, uint64_t rows, uint64_t columns,
                                uint64_t ld, uint64_t batch, int64_t step) {
    const int32_t count = (int32_t)batch;
    const cudaDataType_t element = type == PX_BF16 ? CUDA_R_16BF : CUDA_R_32F;
    PX_BLAS_TRY(cublasLtMatrixLayoutInit(layout, element, columns, rows, (int64_t)ld));
    PX_BLAS_TRY(cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count));
    return cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &step, sizeof step);
}

/* Where this call's bias lies. Also the search for an algorithm looks at the address, for its alignment. */
static cublasStatus_t product_point(px_product *p, const px_gemm_epilogue *end) {
    if (!end->bias) return CUBLAS_STATUS_SUCCESS;
    return cublasLtMatmulDescSetAttribute(&p->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &end->bias,
                                          sizeof end->bias);
}

static cublasStatus_t product_describe(px_product *p) {
    const px_gemm_shape *shape = &p->shape;
    const cublasLtEpilogue_t epilogue = (cublasLtEpilogue_t)shape->epilogue;
    const int32_t first = shape->transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    const int32_t second = shape->transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    PX_BLAS_TRY(cublasLtMatmulDescInit(&p->operation, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    PX_BLAS_TRY(cublasLtMatmulDescSetAttribute(&p->operation, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first));
    PX_BLAS_TRY(cublasLtMatmulDescSetAttribute(&p->operation, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second));
    PX_BLAS_TRY(
        cublasLtMatmulDescSetAttribute(&p->operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue));
    PX_BLAS_TRY(px_layout(&p->a, shape->operands, shape->transpose_a ? shape->k : shape->m,
                          shape->transpose_a ? shape->m : shape->k, shape->ld_a, shape->batch, shape->stride_a));
    PX_BLAS_TRY(px_layout(&p->b, shape->operands, shape->transpose_b ? shape->n : shape->k,
                          shape->transpose_b ? shape->k : shape->n, shape->ld_b, shape->batch, shape->stride_b));
    return px_layout(&p->c, shape->result, shape->m, shape->n, shape->ld_c, shape->batch, shape->stride_c);
}

static cublasStatus_t product_choose(cublasLtHandle_t blas, px_product *p) {
    const struct {
        cublasLtMatmulPreferenceAttributes_t name;
        uint64_t bytes;
    } alignments[] = {
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, p->shape.align_b},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, p->shape.align_a},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, p->shape.align_add},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, p->shape.align_c},
    };
    const uint64_t workspace = PX_CUDA_LIBRARY_WORKSPACE;
    /* a sum cut in parts may not be rounded to bfloat16 part by part */
    const uint32_t reduction = p->shape.result == PX_BF16 ? CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE
                                                          : CUBLASLT_REDUCTION_SCHEME_MASK;
    cublasLtMatmulPreferenceOpaque_t preference;
    cublasLtMatmulHeuristicResult_t best;
    int found = 0;
    PX_BLAS_TRY(cublasLtMatmulPreferenceInit(&preference));
    PX_BLAS_TRY(cublasLtMatmulPreferenceSetAttribute(&preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                                     sizeof workspace));
    PX_BLAS_TRY(cublasLtMatmulPreferenceSetAttribute(&preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                                     &reduction, sizeof reduction));
    for (int i = 0; i < 4; i++) {
        const uint32_t bytes = (uint32_t)alignments[i].bytes;
        PX_BLAS_TRY(cublasLtMatmulPreferenceSetAttribute(&preference, alignments[i].name, &bytes, sizeof bytes));
    }
    PX_BLAS_TRY(
        cublasLtMatmulAlgoGetHeuristic(blas, &p->operation, &p->b, &p->a, &p->c, &p->c, &preference, 1, &best, &found));
    if (found == 0) return CUBLAS_STATUS_NOT_SUPPORTED;
    p->algorithm = best.algo;
    return best.state;
}

static px_status product_fail(px_cuda *cuda, const px_gemm_args *g, cublasStatus_t status) {
    return px_fail(cuda->base.ctx, PX_ERR_DEVICE, "cuBLASLt: product of %zu x %zu x %zu, batch %d: %s", g->m, g->n,
                   g->k, g->batch, cublasLtGetStatusString(status));
}

/* The product of this shape; *product is one with `none` set if only its end is not to be had. */
static px_status product_find(px_cuda *cuda, const px_gemm_args *g, const px_gemm_epilogue *end, px_product **product) {
    const px_gemm_shape shape = gemm_shape_of(g, end);
    *product = px_cuda_cache_find(&cuda->gemms, &shape);
    if (*product) return PX_OK;
    px_product *made = calloc(1, sizeof *made);
    if (!made) return px_fail(cuda->base.ctx, PX_ERR_MEMORY, "cuda: cannot allocate %zu bytes", sizeof *made);
    made->shape = shape;
    cublasStatus_t status = product_describe(made);
    if (status == CUBLAS_STATUS_SUCCESS) status = product_point(made, end);
    if (status == CUBLAS_STATUS_SUCCESS) status = product_choose(cuda->blas, made);
    const bool lacks = status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE;
    made->none = lacks && shape.epilogue != CUBLASLT_EPILOGUE_DEFAULT;
    if (status != CUBLAS_STATUS_SUCCESS && !made->none) {
        free(made);
        return product_fail(cuda, g, status);
    }
    px_cuda_cache_add(&cuda->gemms, made);
    *product = made;
    return PX_OK;
}

/* C = beta C, where there is nothing to sum. */
static px_status gemm_of_nothing(px_cuda *cuda, const px_gemm_args *g) {
    if (g->beta == 1) return PX_OK;
    if (g->beta != 0)
        return px_fail(cuda->base.ctx, PX_ERR_SHAPE, "gemm: k = 0 with beta %g, want 0 or 1", (double)g->beta);
    for (int i = 0; i < g->batch; i++) {
        const size_t size = px_type_size(g->result);
        void *c = px_element(g->c, g->result, i * g->stride_c);
        const cudaError_t error = cudaMemset2DAsync(c, g->ld_c * size, 0, g->n * size, g->m, cuda->stream);
        PX_TRY(px_cuda_check(&cuda->base, error, "clear a product"));
    }
    return PX_OK;
}

/* The problems of a batch, one after the other: cuBLASLt does not promise to take negative distances. */
static px_status gemm_one_by_one(px_device *device, const px_gemm_args *g) {
    px_gemm_args one = *g;
    one.batch = 1;
    one.stride_a = one.stride_b = one.stride_c = 0;
    for (int i = 0; i < g->batch; i++) {
        one.a = px_element(g->a, g->operands, i * g->stride_a);
        one.b = px_element(g->b, g->operands, i * g->stride_b);
        one.c = px_element(g->c, g->result, i * g->stride_c);
        PX_TRY(px_cuda_gemm(device, &one));
    }
    return PX_OK;
}

/* Not for an empty product. */
static px_status product_run(px_cuda *cuda, const px_gemm_args *g, const px_gemm_epilogue *end, bool *ended) {
    px_product *p;
    const px_real one = 1;
    PX_TRY(product_find(cuda, g, end, &p));
    *ended = !p->none;
    if (p->none) return PX_OK;
    const void *added = end->add ? end->add : g->c;
    cublasStatus_t status = product_point(p, end);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmul(cuda->blas, &p->operation, &one, g->b, &p->b, g->a, &p->a, end->add ? &one : &g->beta,
                                added, &p->c, g->c, &p->c, &p->algorithm, cuda->library_workspace,
                                PX_CUDA_LIBRARY_WORKSPACE, cuda->stream);
    return status == CUBLAS_STATUS_SUCCESS ? PX_OK : product_fail(cuda, g, status);
}

px_status px_cuda_gemm(px_device *device, const px_gemm_args *g) {
    px_cuda *cuda = (px_cuda *)device;
    if (g->m == 0 || g->n == 0 || g->batch == 0) return PX_OK;
    if (g->k == 0) return gemm_of_nothing(cuda, g);
    if (g->batch > 1 && (g->stride_a < 0 || g->stride_b < 0 || g->stride_c < 0)) return gemm_one_by_one(device, g);
    bool ended;
    return product_run(cuda, g, &(px_gemm_epilogue){0}, &ended);
}

px_status px_cuda_gemm_epilogue(px_cuda *cuda, const px_gemm_args *g, const px_gemm_epilogue *end, bool *ended) {
    *ended = false;
    if (cuda->epilogues && g->m > 0 && g->n > 0 && g->k > 0) PX_TRY(product_run(cuda, g, end, ended));
    return *ended ? PX_OK : px_cuda_gemm(&cuda->base, g);
}
