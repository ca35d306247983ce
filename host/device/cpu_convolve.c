/* Masked convolutions on the CPU: panels of pixels, gathered into columns that stay in the cache, times live taps only.
 *
 * Panels and chunks are cut by the shapes alone; see cpu_gemm.c for why. */
#include "host/device/cpu.h"
#include <string.h>

/* Rows of reals `columns` wide that fit `bytes`, between 1 and most. */
static size_t px_rows_that_fit(size_t bytes, size_t columns, size_t most) {
    const size_t rows = bytes / (columns * sizeof(px_real));
    return rows < 1 ? 1 : rows > most ? most : rows;
}

static bool px_taps_are_the_pixel(const px_taps *taps) {
    return taps->live == 1 && taps->at[0].row == 0 && taps->at[0].column == 0;
}

static px_map px_map_slice(px_map map, size_t first, size_t rows) {
    if (map.data) map.data = (char *)map.data + first * (size_t)map.columns * px_type_size(map.type);
    map.rows = rows;
    return map;
}

static px_map px_map_over(void *data, size_t rows, int columns) {
    return (px_map){.data = data, .rows = rows, .columns = columns, .type = PX_REAL};
}

/* y = add + bias, before the product is added. */
static void px_start_panel(px_map y, px_map add, const px_map *bias) {
    for (size_t r = 0; r < y.rows; r++) {
        px_real *to = (px_real *)y.data + r * (size_t)y.columns;
        const px_real *from = add.data ? (px_real *)add.data + r * (size_t)y.columns : NULL;
        const px_real *b = bias->data;
        for (int f = 0; f < y.columns; f++) to[f] = (from ? from[f] : 0) + (b ? b[f] : 0);
    }
}

enum { PX_PANEL_ROWS = 256 };

px_status px_cpu_convolve(px_device *device, const px_convolve_args *k) {
    const size_t in = (size_t)k->x.columns, columns = (size_t)k->taps.live * in;
    const size_t pixels = k->y.rows, step = px_rows_that_fit(PX_CPU_PANEL, columns, PX_PANEL_ROWS);
    const bool gathered = k->rectify || !px_taps_are_the_pixel(&k->taps);
#pragma omp parallel for schedule(dynamic)
    for (size_t first = 0; first < pixels; first += step) {
        const size_t rows = pixels - first < step ? pixels - first : step;
        px_map operand = px_map_slice(k->x, first, rows), y = px_map_slice(k->y, first, rows);
        if (gathered) {
            operand = px_map_over(px_cpu_panel(device), rows * (size_t)k->taps.live, k->x.columns);
            const px_gather_args gather = {k->grid, k->taps, k->rectify, false, first, k->x, operand};
            px_cpu_gather(device, &gather);
        }
        px_start_panel(y, px_map_slice(k->add, first, rows), &k->bias);
        px_cpu_gemm_serial(&(px_gemm_args){.transpose_b = true,
                                           .m = rows,
                                           .n = (size_t)y.columns,
                                           .k = columns,
                                           .a = operand.data,
                                           .ld_a = columns,
                                           .b = k->weight.data,
                                           .ld_b = (size_t)k->weight.columns,
                                           .c = y.data,
                                           .ld_c = (size_t)y.columns,
                                           .beta = 1});
    }
    return PX_OK;
}

/* sum += what tap `tap` brings back from dy to the panel's pixels; the first tap overwrites. */
static void px_return_tap(px_device *device, const px_convolve_input_gradient_args *k, int tap, size_t first,
                          px_map buffer, px_map sum, px_real beta) {
    const px_taps one = {.stored = 1, .live = 1, .at = {k->taps.at[tap]}};
    px_map dy = px_map_slice(k->dy, first, sum.rows);
    if (!px_taps_are_the_pixel(&one)) {
        const px_gather_args gather = {k->grid, one, false, true, first, k->dy, buffer};
        px_cpu_gather(device, &gather);
        dy = buffer;
    }
    const px_real *weight = (px_real *)k->weight.data + (size_t)tap * (size_t)sum.columns;
    px_cpu_gemm_serial(&(px_gemm_args){.m = sum.rows,
                                       .n = (size_t)sum.columns,
                                       .k = (size_t)dy.columns,
                                       .a = dy.data,
                                       .ld_a = (size_t)dy.columns,
                                       .b = weight,
                                       .ld_b = (size_t)k->weight.columns,
                                       .c = sum.data,
                                       .ld_c = (size_t)sum.columns,
                                       .beta = beta});
}

px_status px_cpu_convolve_input_gradient(px_device *device, const px_convolve_input_gradient_args *k) {
    const int in = k->dx.columns, out = k->dy.columns;
    const size_t pixels = k->dx.rows, step = px_rows_that_fit(PX_CPU_PANEL, (size_t)(in + out), PX_PANEL_ROWS);
#pragma omp parallel for schedule(dynamic)
    for (size_t first = 0; first < pixels; first += step) {
        const size_t rows = pixels - first < step ? pixels - first : step;
        px_real *panel = px_cpu_panel(device);
        const px_map buffer = px_map_over(panel, rows, out), sum = px_map_over(panel + rows * (size_t)out, rows, in);
        for (int tap = 0; tap < k->taps.live; tap++)
            px_return_tap(device, k, tap, first, buffer, sum, tap == 0 ? 0 : 1);
        const px_combine_args end = {.sum = sum,
                                     .add = px_map_slice(k->add, first, rows),
                                     .gate = k->rectify ? px_map_slice(k->x, first, rows) : (px_map){0},
                                     .y = px_map_slice(k->dx, first, rows)};
        px_cpu_combine(device, &end);
    }
    return PX_OK;
}

px_status px_cpu_convolve_weight_gradient(px_device *device, const px_convolve_weight_gradient_args *k) {
    const size_t out = (size_t)k->dy.columns, columns = (size_t)k->taps.live * (size_t)k->x.columns,
                 pixels = k->dy.rows;
    const bool gathered = k->rectify || !px_taps_are_the_pixel(&k->taps);
    const size_t step = gathered ? px_rows_that_fit(PX_CPU_CHUNK, columns, pixels) : pixels;
    px_gemm_args gemm = {.transpose_a = true,
                         .m = out,
                         .n = columns,
                         .ld_a = out,
                         .ld_b = columns,
                         .c = k->dweight.data,
                         .ld_c = (size_t)k->dweight.columns,
                         .batch = 1};
    for (size_t first = 0; first < pixels || first == 0; first += step ? step : 1) {
        gemm.k = pixels - first < step ? pixels - first : step;
        px_map operand = px_map_slice(k->x, first, gemm.k);
        if (gathered) {
            operand = px_map_over(((px_cpu *)device)->chunk, gemm.k * (size_t)k->taps.live, k->x.columns);
            PX_TRY(px_cpu_gather(device, &(px_gather_args){k->grid, k->taps, k->rectify, false, first, k->x, operand}));
        }
        gemm.a = px_map_slice(k->dy, first, gemm.k).data;
        gemm.b = operand.data;
        PX_TRY(px_cpu_gemm(device, &gemm));
        gemm.beta = 1;
    }
    if (!k->dbias.data) return PX_OK;
    return px_cpu_column_sum(device, &(px_column_sum_args){.x = k->dy, .y = k->dbias});
}
