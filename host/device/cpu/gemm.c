/* GEMM on the CPU: tiles of a fixed shape, each one CBLAS call on one thread.
 *
 * Tiles depend on the problem's shape alone, so that results are bitwise equal for any number of threads. bfloat16
 * blocks are converted to float32: products are then exact, sums are float32, and a result is rounded once. */
#include "host/device/cpu/cpu.h"
#include "kernels/portable/bfloat16.h"
#include <cblas.h>

#ifdef PX_DOUBLE
#define cblas_gemm cblas_dgemm
#else
#define cblas_gemm cblas_sgemm
#endif

enum {
    PX_TILE_ROWS = 1024,
    PX_TILE_COLUMNS = 1024,
    PX_TILE_MIN = 64, /* minimum extent of a tile */
    MIN_TILES = 8,    /* tiles that keep a few threads busy */
};

static void gemm_float32(const px_gemm_args *g) {
    cblas_gemm(CblasRowMajor, g->transpose_a ? CblasTrans : CblasNoTrans, g->transpose_b ? CblasTrans : CblasNoTrans,
               (int)g->m, (int)g->n, (int)g->k, 1, g->a, (int)g->ld_a, g->b, (int)g->ld_b, g->beta, g->c, (int)g->ld_c);
}

enum { PX_BLOCK_ROWS = 128, PX_BLOCK_COLUMNS = 256, PX_BLOCK_DEPTH = 256 };
_Static_assert(PX_BLOCK_ROWS *PX_BLOCK_DEPTH + PX_BLOCK_DEPTH * PX_BLOCK_COLUMNS + PX_BLOCK_ROWS * PX_BLOCK_COLUMNS ==
                   PX_CPU_FLOAT32,
               "blocks of a, b and c fill a thread's float32 elements");

/* A rectangular block of a matrix. */
typedef struct block {
    size_t row, rows, column, columns;
} block;

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

static size_t extent_of(size_t all, size_t first, size_t max) { return all - first < max ? all - first : max; }

/* Computes a block of c over all of k, through the float32 copies in `reals`. */
static void gemm_block(const px_gemm_args *g, block at, px_real *reals) {
    px_real *a = reals, *b = a + PX_BLOCK_ROWS * PX_BLOCK_DEPTH, *c = b + PX_BLOCK_DEPTH * PX_BLOCK_COLUMNS;
    px_gemm_args part = {.transpose_a = g->transpose_a,
                         .transpose_b = g->transpose_b,
                         .m = at.rows,
                         .n = at.columns,
                         .a = a,
                         .b = b,
                         .c = c,
                         .ld_c = at.columns,
                         .beta = g->beta};
    const bool is_bf16 = g->result == PX_BF16;
    if (!is_bf16) part.c = (px_real *)g->c + at.row * g->ld_c + at.column, part.ld_c = g->ld_c;
    if (is_bf16 && g->beta != 0) to_real(c, g->c, g->ld_c, false, at);
    size_t depth = 0;
    do { /* also once for k = 0: c = beta c */
        part.k = extent_of(g->k, depth, PX_BLOCK_DEPTH);
        part.ld_a = to_real(a, g->a, g->ld_a, g->transpose_a, (block){at.row, at.rows, depth, part.k});
        part.ld_b = to_real(b, g->b, g->ld_b, g->transpose_b, (block){depth, part.k, at.column, at.columns});
        gemm_float32(&part);
        part.beta = 1;
        depth += part.k;
    } while (depth < g->k);
    if (is_bf16) to_bf16(g->c, g->ld_c, c, at);
}

void px_cpu_gemm_serial(px_device *device, const px_gemm_args *g) {
    if (g->operands == PX_REAL) {
        gemm_float32(g);
        return;
    }
    block at;
    for (at.row = 0; at.row < g->m; at.row += at.rows) {
        at.rows = extent_of(g->m, at.row, PX_BLOCK_ROWS);
        for (at.column = 0; at.column < g->n; at.column += at.columns) {
            at.columns = extent_of(g->n, at.column, PX_BLOCK_COLUMNS);
            gemm_block(g, at, px_cpu_float32(device));
        }
    }
}

static size_t tile_count(size_t extent, size_t tile) { return (extent + tile - 1) / tile; }

/* The part of problem `index` of the batch that tile (row, column) computes. */
static px_gemm_args gemm_tile(const px_gemm_args *g, int index, size_t row, size_t rows, size_t column,
                              size_t columns) {
    px_gemm_args tile = *g;
    const size_t a = row * (g->transpose_a ? 1 : g->ld_a), b = column * (g->transpose_b ? g->ld_b : 1);
    tile.a = px_element(g->a, g->operands, index * g->stride_a + (ptrdiff_t)a);
    tile.b = px_element(g->b, g->operands, index * g->stride_b + (ptrdiff_t)b);
    tile.c = px_element(g->c, g->result, index * g->stride_c + (ptrdiff_t)(row * g->ld_c + column));
    tile.m = extent_of(g->m, row, rows);
    tile.n = extent_of(g->n, column, columns);
    return tile;
}

px_status px_cpu_gemm(px_device *device, const px_gemm_args *g) {
    if (g->m == 0 || g->n == 0 || g->batch == 0) return PX_OK;
    size_t rows = PX_TILE_ROWS, columns = PX_TILE_COLUMNS;
    const size_t batch = (size_t)g->batch;
    while (rows > PX_TILE_MIN && batch * tile_count(g->m, rows) * tile_count(g->n, columns) < MIN_TILES) rows /= 2;
    const size_t down = tile_count(g->m, rows), across = tile_count(g->n, columns), tiles = batch * down * across;
#pragma omp parallel for schedule(dynamic) if (batch * g->m * g->n * g->k > PX_SERIAL_WORK)
    for (size_t tile = 0; tile < tiles; tile++) {
        const size_t in_problem = tile % (down * across);
        const px_gemm_args part = gemm_tile(g, (int)(tile / (down * across)), in_problem / across * rows, rows,
                                            in_problem % across * columns, columns);
        px_cpu_gemm_serial(device, &part);
    }
    return PX_OK;
}
