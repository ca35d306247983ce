/* cuBLASLt: descriptors, what it turns down, and D = epilogue(alpha op(A) op(B) + beta C), columns first.
 *
 * An algorithm remembers what it was chosen for; a product that keeps less is refused, as on a card, where it would be
 * refused or spoilt. */
#include "tests/mock_cuda/mock.h"
#include <cblas.h>
#include <cublasLt.h>
#include <stdlib.h>
#include <string.h>

enum { LAYOUT = 0x1a, OPERATION, PREFERENCE, ALGORITHM, WORKSPACE = 1 << 16, LEAST_ALIGNMENT = 16 };

/* What the opaque structs hold. */
typedef struct layout {
    int32_t kind, type, batch;
    uint64_t rows, columns;
    int64_t ld, step;
} layout;
typedef struct operation {
    int32_t kind, compute, scale, transposed[2], epilogue; /* transposed: A, B, as cublasOperation_t */
    void *vector;                                          /* bias */
    int64_t vector_step;                                   /* elements between the biases of a batch's problems */
} operation;
typedef struct preference {
    int32_t kind;
    uint32_t reduction, alignment[4]; /* of A, B, C, D */
    uint64_t workspace;
} preference;
typedef struct algorithm {
    int32_t kind, epilogue;
    uint32_t alignment[4], of_vector;
    bool poisoned; /* it rounds parts of sums */
    uint64_t workspace;
} algorithm;
_Static_assert(sizeof(layout) <= sizeof(cublasLtMatrixLayoutOpaque_t) &&
                   sizeof(operation) <= sizeof(cublasLtMatmulDescOpaque_t) &&
                   sizeof(preference) <= sizeof(cublasLtMatmulPreferenceOpaque_t) &&
                   sizeof(algorithm) <= sizeof(cublasLtMatmulAlgo_t),
               "they fit");

/* A struct of the above out of an opaque one. */
#define OPEN(type, opaque) (*(type *)memcpy(&(type){0}, (opaque), sizeof(type)))

struct cublasLtContext {
    int unused;
};

size_t cublasLtGetVersion(void) { return CUBLAS_VERSION; }

const char *cublasLtGetStatusString(cublasStatus_t status) {
    return status == CUBLAS_STATUS_NOT_SUPPORTED   ? "not supported (mock)"
           : status == CUBLAS_STATUS_INVALID_VALUE ? "invalid value (mock)"
                                                   : "error (mock)";
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle) {
    *handle = mock_memory(sizeof **handle);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
    mock_free(handle);
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- Descriptors ---------------------------------------------------------------------------------------------------
 */

cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t opaque, size_t size, cudaDataType type,
                                                 uint64_t rows, uint64_t columns, int64_t ld) {
    const layout made = {LAYOUT, (int32_t)type, 1, rows, columns, ld, 0};
    if (size < sizeof made) return CUBLAS_STATUS_ALLOC_FAILED;
    memcpy(opaque, &made, sizeof made);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t opaque, size_t size, cublasComputeType_t compute,
                                               cudaDataType_t scale) {
    const operation made = {.kind = OPERATION,
                            .compute = (int32_t)compute,
                            .scale = (int32_t)scale,
                            .transposed = {CUBLAS_OP_N, CUBLAS_OP_N},
                            .epilogue = CUBLASLT_EPILOGUE_DEFAULT};
    if (size < sizeof made) return CUBLAS_STATUS_ALLOC_FAILED;
    memcpy(opaque, &made, sizeof made);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t opaque, size_t size) {
    const preference made = {
        .kind = PREFERENCE, .reduction = CUBLASLT_REDUCTION_SCHEME_MASK, .alignment = {256, 256, 256, 256}};
    if (size < sizeof made) return CUBLAS_STATUS_ALLOC_FAILED;
    memcpy(opaque, &made, sizeof made);
    return CUBLAS_STATUS_SUCCESS;
}

/* Where an attribute lies in its descriptor. */
typedef struct field {
    int attribute;
    size_t at, size;
} field;
#define FIELD(attribute, type, member)                                                                                 \
    { attribute, offsetof(type, member), sizeof((type *)0)->member }

static cublasStatus_t set(void *opaque, int32_t kind, const field *fields, size_t count, int attribute,
                          const void *value, size_t size) {
    if (OPEN(int32_t, opaque) != kind || !value) return CUBLAS_STATUS_INVALID_VALUE;
    for (size_t i = 0; i < count; i++) {
        if (fields[i].attribute != attribute) continue;
        if (fields[i].size != size) return CUBLAS_STATUS_INVALID_VALUE;
        memcpy((char *)opaque + fields[i].at, value, size);
        return CUBLAS_STATUS_SUCCESS;
    }
    return CUBLAS_STATUS_NOT_SUPPORTED; /* by the mock */
}
#define SET(kind, opaque, fields, attribute, value, size)                                                              \
    set(opaque, kind, fields, sizeof(fields) / sizeof *(fields), (int)(attribute), value, size)

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t opaque,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void *value,
                                                size_t size) {
    static const field fields[] = {FIELD(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, layout, batch),
                                   FIELD(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, layout, step)};
    return SET(LAYOUT, opaque, fields, attribute, value, size);
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t opaque, cublasLtMatmulDescAttributes_t attribute,
                                              const void *value, size_t size) {
    static const field fields[] = {FIELD(CUBLASLT_MATMUL_DESC_TRANSA, operation, transposed[0]),
                                   FIELD(CUBLASLT_MATMUL_DESC_TRANSB, operation, transposed[1]),
                                   FIELD(CUBLASLT_MATMUL_DESC_EPILOGUE, operation, epilogue),
                                   FIELD(CUBLASLT_MATMUL_DESC_BIAS_POINTER, operation, vector),
                                   FIELD(CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, operation, vector_step)};
    return SET(OPERATION, opaque, fields, attribute, value, size);
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t opaque,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void *value,
                                                    size_t size) {
    static const field fields[] = {FIELD(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, preference, workspace),
                                   FIELD(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, preference, reduction),
                                   FIELD(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, preference, alignment[0]),
                                   FIELD(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, preference, alignment[1]),
                                   FIELD(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, preference, alignment[2]),
                                   FIELD(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, preference, alignment[3])};
    return SET(PREFERENCE, opaque, fields, attribute, value, size);
}

/* ---- A product -----------------------------------------------------------------------------------------------------
 */

/* A product with all that it takes to run it. */
typedef struct product {
    operation op;
    layout a, b, c, d;
    const void *at_a, *at_b, *at_c;
    void *at_d, *workspace;
    float alpha, beta;
    bool poisoned;
} product;

static bool narrow(const layout *l) { return l->type == CUDA_R_16BF; }

static size_t element(const layout *l) { return narrow(l) ? 2 : 4; }

static bool in_tf32(const product *p) { return p->op.compute == CUBLAS_COMPUTE_32F_FAST_TF32; }

static uint64_t depth(const product *p) { return p->op.transposed[0] == CUBLAS_OP_N ? p->a.columns : p->a.rows; }

static bool has_bias(int32_t epilogue) {
    return epilogue == CUBLASLT_EPILOGUE_BIAS || epilogue == CUBLASLT_EPILOGUE_RELU_BIAS;
}

static bool has_relu(int32_t epilogue) {
    return epilogue == CUBLASLT_EPILOGUE_RELU || epilogue == CUBLASLT_EPILOGUE_RELU_BIAS;
}

static bool is_layout(const layout *l, int32_t batch) {
    return l->kind == LAYOUT && (l->type == CUDA_R_32F || l->type == CUDA_R_16BF) && l->rows > 0 && l->columns > 0 &&
           l->ld >= (int64_t)l->rows && l->batch == batch && l->step >= 0;
}

static bool fits(const layout *l, int32_t transposed, uint64_t rows, uint64_t columns) {
    const bool plain = transposed == CUBLAS_OP_N;
    return (plain || transposed == CUBLAS_OP_T) && l->rows == (plain ? rows : columns) &&
           l->columns == (plain ? columns : rows);
}

/* What any algorithm asks of a product. */
static cublasStatus_t check(const product *p) {
    const layout *all[] = {&p->a, &p->b, &p->c, &p->d};
    const bool vector = has_bias(p->op.epilogue);
    for (int i = 0; i < 4; i++)
        if (!is_layout(all[i], p->d.batch)) return CUBLAS_STATUS_INVALID_VALUE;
    if (p->op.kind != OPERATION || !fits(&p->a, p->op.transposed[0], p->d.rows, depth(p)) ||
        !fits(&p->b, p->op.transposed[1], depth(p), p->d.columns) || !fits(&p->c, CUBLAS_OP_N, p->d.rows, p->d.columns))
        return CUBLAS_STATUS_INVALID_VALUE;
    if ((p->op.compute != CUBLAS_COMPUTE_32F && !(in_tf32(p) && p->a.type == CUDA_R_32F)) ||
        p->op.scale != CUDA_R_32F || p->a.type != p->b.type || p->c.type != p->d.type ||
        (narrow(&p->d) && !narrow(&p->a)))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if (vector && (!p->op.vector || (p->d.batch != 1 && p->op.vector_step < (int64_t)p->d.rows)))
        return CUBLAS_STATUS_INVALID_VALUE;
    const char *products = getenv("PX_MOCK_PRODUCTS");
    if (products && strcmp(products, "none") == 0) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (p->op.epilogue == CUBLASLT_EPILOGUE_DEFAULT) return CUBLAS_STATUS_SUCCESS;
    if (!vector && !has_relu(p->op.epilogue)) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (mock_ends((int64_t)p->d.rows)) return CUBLAS_STATUS_SUCCESS;
    mock_counted(MOCK_products_refused);
    return CUBLAS_STATUS_NOT_SUPPORTED;
}

static uint32_t alignment_of(const void *pointer) {
    return (uintptr_t)pointer % LEAST_ALIGNMENT == 0 ? LEAST_ALIGNMENT
                                                     : (uint32_t)((uintptr_t)pointer & 15 & -(uintptr_t)pointer);
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation_of,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference_of, int wanted,
                                              cublasLtMatmulHeuristicResult_t results[], int *found) {
    const product p = {.op = OPEN(operation, operation_of),
                       .a = OPEN(layout, a),
                       .b = OPEN(layout, b),
                       .c = OPEN(layout, c),
                       .d = OPEN(layout, d)};
    const preference asked = OPEN(preference, preference_of);
    const cublasStatus_t status = check(&p);
    *found = 0;
    if (!handle || wanted < 1 || asked.kind != PREFERENCE) return CUBLAS_STATUS_INVALID_VALUE;
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    algorithm best = {.kind = ALGORITHM,
                      .epilogue = p.op.epilogue,
                      .of_vector = alignment_of(p.op.vector),
                      .poisoned = narrow(&p.d) && (asked.reduction & CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE),
                      .workspace = asked.workspace < WORKSPACE ? 0 : WORKSPACE};
    memcpy(best.alignment, asked.alignment, sizeof best.alignment);
    results[0] = (cublasLtMatmulHeuristicResult_t){.workspaceSize = best.workspace, .state = CUBLAS_STATUS_SUCCESS};
    memcpy(&results[0].algo, &best, sizeof best);
    *found = 1;
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- Running it ----------------------------------------------------------------------------------------------------
 */

/* A matrix of the batch as dense float32, rounded to TF32 if that is asked for. */
static float *widened(const layout *l, const void *data, int64_t index, bool tf32) {
    const int64_t rows = (int64_t)l->rows, columns = (int64_t)l->columns;
    float *wide = mock_memory((size_t)(rows * columns) * sizeof *wide);
    for (int64_t column = 0; column < columns; column++)
        for (int64_t row = 0; row < rows; row++)
            wide[column * rows + row] = mock_read(data, index * l->step + column * l->ld + row, narrow(l));
    for (int64_t i = 0; tf32 && i < rows * columns; i++) wide[i] = mock_tf32(wide[i]);
    return wide;
}

static void end_product(const product *p, float *sums, int64_t index) {
    const int64_t rows = (int64_t)p->d.rows, columns = (int64_t)p->d.columns;
    for (int64_t column = 0; column < columns; column++)
        for (int64_t row = 0; row < rows; row++) {
            float x = p->alpha * sums[column * rows + row];
            if (p->beta != 0)
                x += p->beta * mock_read(p->at_c, index * p->c.step + column * p->c.ld + row, narrow(&p->c));
            if (has_bias(p->op.epilogue)) x += mock_read(p->op.vector, index * p->op.vector_step + row, narrow(&p->d));
            if (has_relu(p->op.epilogue)) x = x > 0 ? x : 0;
            if (p->poisoned) mock_spoil(&x, sizeof x);
            mock_write(p->at_d, index * p->d.step + column * p->d.ld + row, narrow(&p->d), x);
        }
}

static void run(const void *args) {
    const product *p = args;
    const int rows = (int)p->d.rows, columns = (int)p->d.columns, k = (int)depth(p);
    const enum CBLAS_TRANSPOSE transposed[] = {p->op.transposed[0] == CUBLAS_OP_N ? CblasNoTrans : CblasTrans,
                                               p->op.transposed[1] == CUBLAS_OP_N ? CblasNoTrans : CblasTrans};
    mock_spoil(p->workspace, p->workspace ? WORKSPACE : 0);
    for (int64_t i = 0; i < p->d.batch; i++) {
        float *a = widened(&p->a, p->at_a, i, in_tf32(p)), *b = widened(&p->b, p->at_b, i, in_tf32(p));
        float *sums = mock_memory((size_t)rows * (size_t)columns * sizeof *sums);
        cblas_sgemm(CblasColMajor, transposed[0], transposed[1], rows, columns, k, 1, a, (int)p->a.rows, b,
                    (int)p->b.rows, 0, sums, rows);
        end_product(p, sums, i);
        mock_free(sums);
        mock_free(b);
        mock_free(a);
    }
}

/* A matrix as it lies in memory. */
typedef struct stretch {
    const void *from;
    size_t bytes;
    uint32_t alignment;
} stretch;

static stretch stretch_of(const void *from, const layout *l, uint32_t alignment) {
    const int64_t elements = (l->batch - 1) * l->step + ((int64_t)l->columns - 1) * l->ld + (int64_t)l->rows;
    return (stretch){from, (size_t)elements * element(l), alignment};
}

static bool is_usable(stretch s) {
    return s.alignment && (uintptr_t)s.from % s.alignment == 0 && mock_on_card(s.from, s.bytes);
}

/* Whether the product keeps what its algorithm was promised, and reads nothing that it writes; C, which is not read
 * with beta = 0, may be D itself. */
static bool keeps(const product *p, const algorithm *algo) {
    const stretch a = stretch_of(p->at_a, &p->a, algo->alignment[0]),
                  b = stretch_of(p->at_b, &p->b, algo->alignment[1]),
                  c = stretch_of(p->at_c, &p->c, algo->alignment[2]),
                  d = stretch_of(p->at_d, &p->d, algo->alignment[3]);
    const bool in_place = c.from == d.from && p->c.ld == p->d.ld && p->c.step == p->d.step;
    if (algo->kind != ALGORITHM || algo->epilogue != p->op.epilogue || !is_usable(a) || !is_usable(b) ||
        !is_usable(d) || (p->beta != 0 && !is_usable(c)))
        return false;
    if (has_bias(p->op.epilogue) && !is_usable((stretch){p->op.vector, p->d.rows * element(&p->d), algo->of_vector}))
        return false;
    return !mock_overlap(a.from, a.bytes, d.from, d.bytes) && !mock_overlap(b.from, b.bytes, d.from, d.bytes) &&
           (p->beta == 0 || in_place || !mock_overlap(c.from, c.bytes, d.from, d.bytes));
}

static void count_product(const product *p) {
    mock_counted(MOCK_products);
    if (in_tf32(p)) mock_counted(MOCK_products_in_tf32);
    if (p->beta != 0 && p->at_c != p->at_d) mock_counted(MOCK_products_with_add);
    if (has_bias(p->op.epilogue)) mock_counted(MOCK_products_with_bias);
    if (has_relu(p->op.epilogue)) mock_counted(MOCK_products_with_relu);
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation_of, const void *alpha,
                              const void *at_a, cublasLtMatrixLayout_t a, const void *at_b, cublasLtMatrixLayout_t b,
                              const void *beta, const void *at_c, cublasLtMatrixLayout_t c, void *at_d,
                              cublasLtMatrixLayout_t d, const cublasLtMatmulAlgo_t *algo, void *workspace,
                              size_t workspace_size, cudaStream_t stream) {
    product p = {.op = OPEN(operation, operation_of),
                 .a = OPEN(layout, a),
                 .b = OPEN(layout, b),
                 .c = OPEN(layout, c),
                 .d = OPEN(layout, d),
                 .at_a = at_a,
                 .at_b = at_b,
                 .at_c = at_c,
                 .at_d = at_d,
                 .alpha = *(const float *)alpha,
                 .beta = *(const float *)beta};
    if (!handle || !algo || check(&p) != CUBLAS_STATUS_SUCCESS) return CUBLAS_STATUS_INVALID_VALUE;
    const algorithm chosen = OPEN(algorithm, algo);
    if (!keeps(&p, &chosen) || chosen.workspace > workspace_size) return CUBLAS_STATUS_INVALID_VALUE;
    if (chosen.workspace && !is_usable((stretch){workspace, workspace_size, LEAST_ALIGNMENT}))
        return CUBLAS_STATUS_INVALID_VALUE;
    p.workspace = chosen.workspace ? workspace : NULL;
    p.poisoned = chosen.poisoned;
    count_product(&p);
    return mock_give(stream, run, &p, sizeof p) == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}
