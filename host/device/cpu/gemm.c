/* Matrix products on the CPU: tiles of a fixed shape, each one CBLAS call on one thread.
 *
 * Tiles are cut by the problem's shape alone, so results are the same bits for any number of threads. bfloat16 goes
 * through reals, block by block: its products are exact there, sums are float32, and a result is rounded once. */
#include "host/device/cpu/cpu.h"
#include "kernels/portable/bfloat16.h"
#include <cblas.h>

#ifdef PX_DOUBLE
#define px_cblas_gemm cblas_dgemm
#else
#define px_cblas_gemm cblas_sgemm
#endif

enum {
    PX_TILE_ROWS = 1024,
    PX_TILE_COLUMNS = 1024,
    PX_TILE_MIN = 64,    /* no dimension is cut below this */
    PX_TILES_ENOUGH = 8, /* tiles that keep a few threads busy */
};

static void product_of_reals(const px_gemm_args *g) {
    px_cblas_gemm(CblasRowMajor, g->transpose_a ? CblasTrans : CblasNoTrans, g->transpose_b ? CblasTrans : CblasNoTrans,
                  (int)g->m, (int)g->n, (int)g->k, 1, g->a, (int)g->ld_a, g->b, (int)g->ld_b, g->beta, g->c,
                  (int)g->ld_c);
}

enum { PX_BLOCK_ROWS = 128, PX_BLOCK_COLUMNS = 256, PX_BLOCK_DEPTH = 256 };
_Static_assert(PX_BLOCK_ROWS *PX_BLOCK_DEPTH + PX_BLOCK_DEPTH * PX_BLOCK_COLUMNS + PX_BLOCK_ROWS * PX_BLOCK_COLUMNS ==
                   PX_CPU_FLOAT32,
               "blocks of a, b and c fill a thread's reals");

/* A block of a matrix: rows first .. of its columns. */
typedef struct px_block {
    size_t row, rows, column, columns;
} px_block;

/* A block of op(x) as reals, stored transposed as x is; returns its leading dimension. */
static size_t to_real(px_real *to, const void *x, size_t ld, bool transposed, px_block b) {
    if (transposed) b = (px_block){b.column, b.columns, b.row, b.rows};
    for (size_t r = 0; r < b.rows; r++) {
        const uint16_t *from = (const uint16_t *)x + (b.row + r) * ld + b.column;
        for (size_t c = 0; c < b.columns; c++) to[r * b.columns + c] = px_from_bfloat16(from[c]);
    }
    return b.columns > 0 ? b.columns : 1;
}

static void to_bf16(void *x, size_t ld, const px_real *from, px_block b) {
    for (size_t r = 0; r < b.rows; r++) {
        uint16_t *to = (uint16_t *)x + (b.row + r) * ld + b.column;
        for (size_t c = 0; c < b.columns; c++) to[c] = px_to_bfloat16((float)from[r * b.columns + c]);
    }
}

static size_t px_extent(size_t all, size_t first, size_t most) {
    return all - first < most ? all - first : most;
}

/* A block of c, summed over all of k. */
static void product_block(const px_gemm_args *g, px_block at, px_real *reals) {
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
    const bool narrow = g->result == PX_BF16;
    if (!narrow) part.c = (px_real *)g->c + at.row * g->ld_c + at.column, part.ld_c = g->ld_c;
    if (narrow && g->beta != 0) to_real(c, g->c, g->ld_c, false, at);
    size_t depth = 0;
    do { /* once for k = 0 too: c = beta c */
        part.k = px_extent(g->k, depth, PX_BLOCK_DEPTH);
        part.ld_a = to_real(a, g->a, g->ld_a, g->transpose_a, (px_block){at.row, at.rows, depth, part.k});
        part.ld_b = to_real(b, g->b, g->ld_b, g->transpose_b, (px_block){depth, part.k, at.column, at.columns});
        product_of_reals(&part);
        part.beta = 1;
        depth += part.k;
    } while (depth < g->k);
    if (narrow) to_bf16(g->c, g->ld_c, c, at);
}

void px_cpu_gemm_serial(px_device *device, const px_gemm_args *g) {
    if (g->operands == PX_REAL) {
        product_of_reals(g);
        return;
    }
    px_block at;
    for (at.row = 0; at.row < g->m; at.row += at.rows) {
        at.rows = px_extent(g->m, at.row, PX_BLOCK_ROWS);
        for (at.column = 0; at.column < g->n; at.column += at.columns) {
            at.columns = px_extent(g->n, at.column, PX_BLOCK_COLUMNS);
            product_block(g, at, px_cpu_float32(device));
        }
    }
}

static size_t px_tiles(size_t extent, size_t tile) {
    return (extent + tile - 1) / tile;
}

/* The part of problem `index` of the batch that tile (row, column) computes. */
static px_gemm_args gemm_tile(const px_gemm_args *g, int index, size_t row, size_t rows, size_t column,
                              size_t columns) {
    px_gemm_args tile = *g;
    const size_t a = row * (g->transpose_a ? 1 : g->ld_a), b = column * (g->transpose_b ? g->ld_b : 1);
    tile.a = px_element(g->a, g->operands, index * g->stride_a + (ptrdiff_t)a);
    tile.b = px_element(g->b, g->operands, index * g->stride_b + (ptrdiff_t)b);
    tile.c = px_element(g->c, g->result, index * g->stride_c + (ptrdiff_t)(row * g->ld_c + column));
    tile.m = px_extent(g->m, row, rows);
    tile.n = px_extent(g->n, column, columns);
    return tile;
}

px_status px_cpu_gemm(px_device *device, const px_gemm_args *g) {
    if (g->m == 0 || g->n == 0 || g->batch == 0) return PX_OK;
    size_t rows = PX_TILE_ROWS, columns = PX_TILE_COLUMNS;
    const size_t batch = (size_t)g->batch;
    while (rows > PX_TILE_MIN && batch * px_tiles(g->m, rows) * px_tiles(g->n, columns) < PX_TILES_ENOUGH) rows /= 2;
    const size_t down = px_tiles(g->m, rows), across = px_tiles(g->n, columns), tiles = batch * down * across;
#pragma omp parallel for schedule(dynamic) if (batch * g->m * g->n * g->k > PX_SERIAL_WORK)
    for (size_t tile = 0; tile < tiles; tile++) {
        const size_t in_problem = tile % (down * across);
        const px_gemm_args part = gemm_tile(g, (int)(tile / (down * across)), in_problem / across * rows, rows,
                                            in_problem % across * columns, columns);
        px_cpu_gemm_serial(device, &part);
    }
    return PX_OK;
}
