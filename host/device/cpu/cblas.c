/* GEMM through CBLAS, on one thread: for the double build, and where oneDNN is missing or has no kernel.
 *
 * bfloat16 blocks are converted to float32: products are then exact, sums are float32, and a result is rounded once. */
#include "host/device/cpu/cpu.h"
#include "kernels/portable/bfloat16.h"
#include <cblas.h>
#include <string.h>

#ifdef PX_DOUBLE
#define cblas_gemm cblas_dgemm
#else
#define cblas_gemm cblas_sgemm
#endif

/* A rectangular block of a matrix. */
typedef struct block {
    size_t row, rows, column, columns;
} block;

/* c = beta c + bias + add, for the block `at` of the whole C. Returns the beta of the GEMM that follows. */
static px_real begin_block(const px_gemm_args *g, const px_cpu_epilogue *e, block at, px_real *c, size_t ld_c) {
    if (!e->bias && !e->add) return g->beta;
    for (size_t r = 0; r < at.rows; r++) {
        px_real *row = c + r * ld_c;
        if (g->beta == 0) memset(row, 0, at.columns * sizeof *row);
        if (e->bias) px_cpu_add(row, px_element(e->bias, g->operands, (ptrdiff_t)at.column), g->operands, at.columns);
        const size_t add = (at.row + r) * e->ld_add + at.column;
        if (e->add) px_cpu_add(row, px_element(e->add, e->add_type, (ptrdiff_t)add), e->add_type, at.columns);
    }
    return 1;
}

static void gemm_float32(const px_gemm_args *g) {
    cblas_gemm(CblasRowMajor, g->transpose_a ? CblasTrans : CblasNoTrans, g->transpose_b ? CblasTrans : CblasNoTrans,
               (int)g->m, (int)g->n, (int)g->k, 1, g->a, (int)g->ld_a, g->b, (int)g->ld_b, g->beta, g->c, (int)g->ld_c);
}

enum { PX_BLOCK_ROWS = 128, PX_BLOCK_COLUMNS = 256, PX_BLOCK_DEPTH = 256 };
_Static_assert((PX_BLOCK_ROWS * PX_BLOCK_DEPTH + PX_BLOCK_DEPTH * PX_BLOCK_COLUMNS + PX_BLOCK_ROWS * PX_BLOCK_COLUMNS) *
                       sizeof(px_real) <=
                   PX_CPU_SCRATCH,
               "blocks of a, b and c fit a thread's scratch memory");

/* Copies a block of op(x) as px_real, with the transposition of x. Returns its leading dimension. */
static size_t to_real(px_real *to, const void *x, size_t ld, bool transposed, block b) {
    if (transposed) b = (block){b.column, b.columns, b.row, b.rows};
    for (size_t r = 0; r < b.rows; r++) {
        const uint16_t *from = (const uint16_t *)x + (b.row + r) * ld + b.column;
        for (size_t c = 0; c < b.columns; c++) to[r * b.columns + c] = px_from_bfloat16(from[c]);
    }
    return b.columns > 0 ? b.columns : 1;
}

static void to_bf16(void *x, size_t ld, const px_real *from, block b) {
    for (size_t r = 0; r < b.rows; r++) {
        uint16_t *to = (uint16_t *)x + (b.row + r) * ld + b.column;
        for (size_t c = 0; c < b.columns; c++) to[c] = px_to_bfloat16((float)from[r * b.columns + c]);
    }
}

/* Computes a block of c over all of k, through float32 copies in `reals`. */
static void gemm_block(const px_gemm_args *g, const px_cpu_epilogue *e, block at, px_real *reals) {
    px_real *a = reals, *b = a + PX_BLOCK_ROWS * PX_BLOCK_DEPTH, *c = b + PX_BLOCK_DEPTH * PX_BLOCK_COLUMNS;
    px_gemm_args part = {.transpose_a = g->transpose_a,
                         .transpose_b = g->transpose_b,
                         .m = at.rows,
                         .n = at.columns,
                         .a = a,
                         .b = b,
                         .c = c,
                         .ld_c = at.columns};
    const bool is_bf16 = g->result == PX_BF16;
    if (!is_bf16) part.c = (px_real *)g->c + at.row * g->ld_c + at.column, part.ld_c = g->ld_c;
    if (is_bf16 && g->beta != 0) to_real(c, g->c, g->ld_c, false, at);
    part.beta = begin_block(g, e, at, part.c, part.ld_c);
    size_t depth = 0;
    do { /* also once for k = 0: c = beta c */
        part.k = px_extent(g->k, depth, PX_BLOCK_DEPTH);
        part.ld_a = to_real(a, g->a, g->ld_a, g->transpose_a, (block){at.row, at.rows, depth, part.k});
        part.ld_b = to_real(b, g->b, g->ld_b, g->transpose_b, (block){depth, part.k, at.column, at.columns});
        gemm_float32(&part);
        part.beta = 1;
        depth += part.k;
    } while (depth < g->k);
    if (is_bf16) to_bf16(g->c, g->ld_c, c, at);
}

void px_cblas_gemm(const px_gemm_args *g, const px_cpu_epilogue *e, void *scratch) {
    if (g->operands == PX_REAL) {
        px_gemm_args whole = *g;
        whole.beta = begin_block(g, e, (block){0, g->m, 0, g->n}, g->c, g->ld_c);
        gemm_float32(&whole);
        return;
    }
    block at;
    for (at.row = 0; at.row < g->m; at.row += at.rows) {
        at.rows = px_extent(g->m, at.row, PX_BLOCK_ROWS);
        for (at.column = 0; at.column < g->n; at.column += at.columns) {
            at.columns = px_extent(g->n, at.column, PX_BLOCK_COLUMNS);
            gemm_block(g, e, at, scratch);
        }
    }
}
