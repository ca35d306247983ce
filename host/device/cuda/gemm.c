/* GEMM on CUDA through cuBLASLt, with float32 accumulation. One heuristic search is made for each shape and epilogue.
 *
 * cuBLASLt is column-major. A row-major matrix read as column-major is its transpose, so that C = op(A) op(B) is
 * computed as C^T = op(B)^T op(A)^T: the operands change places and keep their transposition. */
#include "host/device/cuda/cuda.h"
#include <stdlib.h>

typedef struct gemm_plan {
    px_gemm_shape shape; /* the key: see px_cuda_cache */
    bool none;           /* cuBLASLt has no algorithm for this epilogue */
    cublasLtMatmulDescOpaque_t operation;
    cublasLtMatrixLayoutOpaque_t a, b, c;
    cublasLtMatmulAlgo_t algorithm;
} gemm_plan;

#define PX_BLAS_TRY(call)                                                                                              \
    do {                                                                                                               \
        cublasStatus_t status_ = (call);                                                                               \
        if (status_ != CUBLAS_STATUS_SUCCESS) return status_;                                                          \
    } while (0)

static uint64_t alignment(const void *pointer, px_type type) {
    return (uintptr_t)pointer % PX_CUDA_VECTOR == 0 ? PX_CUDA_VECTOR : px_type_size(type);
}

static cublasLtEpilogue_t epilogue_of(const px_gemm_epilogue *epilogue) {
    if (epilogue->bias) return epilogue->relu ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS;
    return epilogue->relu ? CUBLASLT_EPILOGUE_RELU : CUBLASLT_EPILOGUE_DEFAULT;
}

static px_gemm_shape gemm_shape_of(const px_gemm_args *g, const px_gemm_epilogue *epilogue) {
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
                           .epilogue = epilogue_of(epilogue),
                           .align_add = alignment(epilogue->add ? epilogue->add : g->c, g->result),
                           .align_end = alignment(epilogue->bias, g->result)};
    if (g->batch > 1) shape.stride_a = g->stride_a, shape.stride_b = g->stride_b, shape.stride_c = g->stride_c;
    return shape;
}

/* Describes a row-major matrix of rows x columns as its column-major transpose. */
static cublasStatus_t describe_matrix(cublasLtMatrixLayoutOpaque_t *layout, uint64_t type, uint64_t rows,
                                      uint64_t columns, uint64_t ld, uint64_t batch, int64_t step) {
    const int32_t count = (int32_t)batch;
    const cudaDataType_t element = type == PX_BF16 ? CUDA_R_16BF : CUDA_R_32F;
    PX_BLAS_TRY(cublasLtMatrixLayoutInit(layout, element, columns, rows, (int64_t)ld));
    PX_BLAS_TRY(cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count));
    return cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &step, sizeof step);
}

/* Sets the address of the bias. The search for an algorithm reads it too, for its alignment. */
static cublasStatus_t gemm_set_bias(gemm_plan *p, const px_gemm_epilogue *epilogue) {
    if (!epilogue->bias) return CUBLAS_STATUS_SUCCESS;
    return cublasLtMatmulDescSetAttribute(&p->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &epilogue->bias,
                                          sizeof epilogue->bias);
}

static cublasStatus_t gemm_describe(const px_cuda *cuda, gemm_plan *p) {
    const px_gemm_shape *shape = &p->shape;
    const cublasLtEpilogue_t epilogue = (cublasLtEpilogue_t)shape->epilogue;
    const int32_t first = shape->transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    const int32_t second = shape->transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    const bool tf32 = cuda->base.tf32 && shape->operands == PX_REAL;
    PX_BLAS_TRY(
        cublasLtMatmulDescInit(&p->operation, tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F));
    PX_BLAS_TRY(cublasLtMatmulDescSetAttribute(&p->operation, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first));
    PX_BLAS_TRY(cublasLtMatmulDescSetAttribute(&p->operation, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second));
    PX_BLAS_TRY(
        cublasLtMatmulDescSetAttribute(&p->operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue));
    if (shape->batch > 1 && (epilogue == CUBLASLT_EPILOGUE_BIAS || epilogue == CUBLASLT_EPILOGUE_RELU_BIAS)) {
        const int64_t stride_bias = (int64_t)shape->n;
        PX_BLAS_TRY(cublasLtMatmulDescSetAttribute(&p->operation, CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, &stride_bias,
                                                   sizeof stride_bias));
    }
    PX_BLAS_TRY(describe_matrix(&p->a, shape->operands, shape->transpose_a ? shape->k : shape->m,
                                shape->transpose_a ? shape->m : shape->k, shape->ld_a, shape->batch, shape->stride_a));
    PX_BLAS_TRY(describe_matrix(&p->b, shape->operands, shape->transpose_b ? shape->n : shape->k,
                                shape->transpose_b ? shape->k : shape->n, shape->ld_b, shape->batch, shape->stride_b));
    return describe_matrix(&p->c, shape->result, shape->m, shape->n, shape->ld_c, shape->batch, shape->stride_c);
}

static cublasStatus_t gemm_choose(cublasLtHandle_t blas, gemm_plan *p) {
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
    /* split-K must not round partial sums to bfloat16 */
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

static px_status gemm_fail(px_cuda *cuda, const px_gemm_args *g, cublasStatus_t status) {
    return px_fail(cuda->base.ctx, PX_ERR_DEVICE, "cuBLASLt: GEMM of %zu x %zu x %zu, batch %d: %s", g->m, g->n, g->k,
                   g->batch, cublasLtGetStatusString(status));
}

/* Finds or creates the GEMM of this shape. Its `none` is set if only the epilogue is not supported. */
static px_status gemm_find(px_cuda *cuda, const px_gemm_args *g, const px_gemm_epilogue *epilogue, gemm_plan **plan) {
    const px_gemm_shape shape = gemm_shape_of(g, epilogue);
    *plan = px_cuda_cache_find(&cuda->gemms, &shape);
    if (*plan) return PX_OK;
    gemm_plan *made = calloc(1, sizeof *made);
    if (!made) return px_fail_memory(cuda->base.ctx, "cuda", sizeof *made);
    made->shape = shape;
    cublasStatus_t status = gemm_describe(cuda, made);
    if (status == CUBLAS_STATUS_SUCCESS) status = gemm_set_bias(made, epilogue);
    if (status == CUBLAS_STATUS_SUCCESS) status = gemm_choose(cuda->blas, made);
    const bool lacks = status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE;
    made->none = lacks && shape.epilogue != CUBLASLT_EPILOGUE_DEFAULT;
    if (status != CUBLAS_STATUS_SUCCESS && !made->none) {
        free(made);
        return gemm_fail(cuda, g, status);
    }
    px_cuda_cache_add(&cuda->gemms, made);
    *plan = made;
    return PX_OK;
}

/* k = 0: C = beta C. */
static px_status gemm_without_k(px_cuda *cuda, const px_gemm_args *g) {
    if (g->beta == 1) return PX_OK;
    if (g->beta != 0)
        return px_fail(cuda->base.ctx, PX_ERR_SHAPE, "gemm: k = 0 with beta %g, want 0 or 1", (double)g->beta);
    for (int i = 0; i < g->batch; i++) {
        const size_t size = px_type_size(g->result);
        void *c = px_element(g->c, g->result, i * g->stride_c);
        const cudaError_t error = cudaMemset2DAsync(c, g->ld_c * size, 0, g->n * size, g->m, cuda->stream);
        PX_TRY(px_cuda_check(&cuda->base, error, "clear the result of a GEMM"));
    }
    return PX_OK;
}

/* Runs the problems of a batch one by one. cuBLASLt does not document negative strides. */
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

/* Runs one GEMM that is not empty. *fused is false, and nothing has run, if the epilogue is not supported. */
static px_status gemm_run(px_cuda *cuda, const px_gemm_args *g, const px_gemm_epilogue *epilogue, bool *fused) {
    gemm_plan *p;
    const px_real one = 1;
    PX_TRY(gemm_find(cuda, g, epilogue, &p));
    *fused = !p->none;
    if (p->none) return PX_OK;
    const void *added = epilogue->add ? epilogue->add : g->c;
    cublasStatus_t status = gemm_set_bias(p, epilogue);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmul(cuda->blas, &p->operation, &one, g->b, &p->b, g->a, &p->a,
                                epilogue->add ? &one : &g->beta, added, &p->c, g->c, &p->c, &p->algorithm,
                                cuda->library_workspace, PX_CUDA_LIBRARY_WORKSPACE, cuda->stream);
    return status == CUBLAS_STATUS_SUCCESS ? PX_OK : gemm_fail(cuda, g, status);
}

px_status px_cuda_gemm(px_device *device, const px_gemm_args *g) {
    px_cuda *cuda = (px_cuda *)device;
    if (g->m == 0 || g->n == 0 || g->batch == 0) return PX_OK;
    if (g->k == 0) return gemm_without_k(cuda, g);
    if (g->batch > 1 && (g->stride_a < 0 || g->stride_b < 0 || g->stride_c < 0)) return gemm_one_by_one(device, g);
    bool fused;
    return gemm_run(cuda, g, &(px_gemm_epilogue){0}, &fused);
}

px_status px_cuda_gemm_epilogue(px_cuda *cuda, const px_gemm_args *g, const px_gemm_epilogue *epilogue, bool *fused) {
    *fused = false;
    if (cuda->base.paths & PX_PATH_LIBRARIES && g->m > 0 && g->n > 0 && g->k > 0)
        PX_TRY(gemm_run(cuda, g, epilogue, fused));
    return *fused ? PX_OK : px_cuda_gemm(&cuda->base, g);
}
