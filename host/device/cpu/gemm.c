/* GEMM on the CPU: tiles of a fixed shape, each computed by one thread.
 *
 * Tiles depend on the problem's shape alone, so that results are bitwise equal for any number of threads. */
#include "host/device/cpu/onednn.h"
#include "kernels/portable/bfloat16.h"

enum {
    PX_TILE_ROWS = 512,
    PX_TILE_COLUMNS = 512,
    PX_TILE_MIN = 256, /* rows of a tile that is not divided */
    MIN_TILES = 8,     /* tiles that keep a few threads busy */
    SMALL = 1 << 14, /* elements of op(B) below which a call of oneDNN takes longer than one of OpenBLAS, in float32 */
};

void px_cpu_add(px_real *sum, const void *x, px_type type, size_t count) {
    const px_real *reals = x;
    const uint16_t *bf16 = x;
    if (type == PX_BF16)
        for (size_t e = 0; e < count; e++) sum[e] += px_from_bfloat16(bf16[e]);
    else
        for (size_t e = 0; e < count; e++) sum[e] += reals[e];
}

void px_cpu_gemm_serial(px_device *device, const px_gemm_args *g, const px_cpu_epilogue *epilogue) {
    if (g->m == 0 || g->n == 0) return;
    if (g->k > 0 && px_onednn_gemm(px_cpu_onednn(device), g, epilogue)) return;
    px_cblas_gemm(g, epilogue, px_cpu_thread_of(device)->scratch);
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
    tile.m = px_extent(g->m, row, rows);
    tile.n = px_extent(g->n, column, columns);
    return tile;
}

px_status px_cpu_gemm(px_device *device, const px_gemm_args *g) {
    if (g->m == 0 || g->n == 0 || g->batch == 0) return PX_OK;
    size_t rows = PX_TILE_ROWS, columns = PX_TILE_COLUMNS;
    const size_t batch = (size_t)g->batch;
    const px_cpu_epilogue none = {0};
    /* The number of rows does not count: the images of a sample must not depend on the batch size. */
    const bool is_small = g->operands == PX_REAL && g->n * g->k < SMALL;
    while (rows > PX_TILE_MIN && batch * tile_count(g->m, rows) * tile_count(g->n, columns) < MIN_TILES) rows /= 2;
    const size_t down = tile_count(g->m, rows), across = tile_count(g->n, columns), tiles = batch * down * across;
#pragma omp parallel for schedule(dynamic) if (batch * g->m * g->n * g->k > PX_SERIAL_WORK)
    for (size_t tile = 0; tile < tiles; tile++) {
        const size_t in_problem = tile % (down * across);
        const px_gemm_args part = gemm_tile(g, (int)(tile / (down * across)), in_problem / across * rows, rows,
                                            in_problem % across * columns, columns);
        if (is_small)
            px_cblas_gemm(&part, &none, NULL);
        else
            px_cpu_gemm_serial(device, &part, &none);
    }
    return PX_OK;
}
