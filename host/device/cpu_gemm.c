/* Matrix products on the CPU: tiles of a fixed shape, each one CBLAS call on one thread.
 *
 * Tiles are cut by the problem's shape alone, so results are the same bits for any number of threads. */
#include "host/device/cpu.h"
#include <cblas.h>

#ifdef PX_DOUBLE
#define px_cblas_gemm cblas_dgemm
#else
#define px_cblas_gemm cblas_sgemm
#endif

enum {
    PX_TILE_ROWS = 1024,
    PX_TILE_COLUMNS = 1024,
    PX_TILE_LEAST = 64,  /* no dimension is cut below this */
    PX_TILES_ENOUGH = 8, /* tiles that keep a few threads busy */
};

void px_cpu_gemm_serial(const px_gemm_args *g) {
    px_cblas_gemm(CblasRowMajor, g->transpose_a ? CblasTrans : CblasNoTrans, g->transpose_b ? CblasTrans : CblasNoTrans,
                  (int)g->m, (int)g->n, (int)g->k, 1, g->a, (int)g->ld_a, g->b, (int)g->ld_b, g->beta, g->c,
                  (int)g->ld_c);
}

static size_t px_tiles(size_t extent, size_t tile) {
    return (extent + tile - 1) / tile;
}

/* The part of problem `index` of the batch that tile (row, column) computes. */
static px_gemm_args px_gemm_tile(const px_gemm_args *g, int index, size_t row, size_t rows, size_t column,
                                 size_t columns) {
    px_gemm_args tile = *g;
    const size_t a = row * (g->transpose_a ? 1 : g->ld_a), b = column * (g->transpose_b ? g->ld_b : 1);
    tile.a = (const px_real *)g->a + index * g->step_a + a;
    tile.b = (const px_real *)g->b + index * g->step_b + b;
    tile.c = (px_real *)g->c + index * g->step_c + row * g->ld_c + column;
    tile.m = g->m - row < rows ? g->m - row : rows;
    tile.n = g->n - column < columns ? g->n - column : columns;
    return tile;
}

px_status px_cpu_gemm(px_device *device, const px_gemm_args *g) {
    (void)device;
    if (g->m == 0 || g->n == 0 || g->batch == 0) return PX_OK;
    size_t rows = PX_TILE_ROWS, columns = PX_TILE_COLUMNS;
    const size_t batch = (size_t)g->batch;
    while (rows > PX_TILE_LEAST && batch * px_tiles(g->m, rows) * px_tiles(g->n, columns) < PX_TILES_ENOUGH) rows /= 2;
    const size_t down = px_tiles(g->m, rows), across = px_tiles(g->n, columns), tiles = batch * down * across;
#pragma omp parallel for schedule(dynamic) if (batch * g->m * g->n * g->k > PX_SERIAL_WORK)
    for (size_t tile = 0; tile < tiles; tile++) {
        const size_t in_problem = tile % (down * across);
        const px_gemm_args part = px_gemm_tile(g, (int)(tile / (down * across)), in_problem / across * rows, rows,
                                               in_problem % across * columns, columns);
        px_cpu_gemm_serial(&part);
    }
    return PX_OK;
}
