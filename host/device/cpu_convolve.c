/* Masked convolutions on the CPU: panels of pixels, gathered into columns that stay in the cache, times live taps only.
 *
 * Panels, segments and tiles are cut by the shapes alone; see cpu_gemm.c for why. */
#include "host/device/cpu.h"
#include <string.h>

/* Rows of reals `columns` wide that fit `bytes`, between 1 and most. */
static size_t px_rows_that_fit(size_t bytes, size_t columns, size_t most) {
    const size_t rows = bytes / (columns * sizeof(px_real));
    return rows < 1 ? 1 : rows > most ? most : rows;
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
#pragma omp parallel for schedule(dynamic) if (pixels * columns * (size_t)k->y.columns > PX_SERIAL_WORK)
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

/* sum = beta sum + what tap `tap` brings back from dy to the panel's pixels, the first of which is `first`. */
static void px_return_tap(px_device *device, const px_convolve_input_gradient_args *k, int tap, size_t first,
                          px_map sum, px_real beta) {
    const px_taps one = {.stored = 1, .live = 1, .at = {k->taps.at[tap]}};
    px_map dy = px_map_slice(k->dy, first, sum.rows);
    if (!px_taps_are_the_pixel(&one)) {
        dy.data = px_cpu_panel(device);
        const px_gather_args gather = {k->grid, one, false, true, first, k->dy, dy};
        px_cpu_gather(device, &gather);
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

/* One panel. The products add up in dx itself, unless what is added must wait for the gate. */
static void px_return_panel(px_device *device, const px_convolve_input_gradient_args *k, size_t first, size_t rows) {
    const px_map dx = px_map_slice(k->dx, first, rows), add = px_map_slice(k->add, first, rows);
    const bool late = k->rectify && add.data, early = !k->rectify && add.data;
    px_map sum = dx;
    if (late) sum.data = (px_real *)px_cpu_panel(device) + rows * (size_t)k->dy.columns;
    if (early && add.data != dx.data) memcpy(dx.data, add.data, px_map_bytes(&dx));
    for (int tap = 0; tap < k->taps.live; tap++) px_return_tap(device, k, tap, first, sum, early || tap > 0 ? 1 : 0);
    if (!k->rectify) return;
    px_cpu_combine(device,
                   &(px_combine_args){.sum = sum, .add = add, .gate = px_map_slice(k->x, first, rows), .y = dx});
}

px_status px_cpu_convolve_input_gradient(px_device *device, const px_convolve_input_gradient_args *k) {
    const size_t columns = (size_t)k->dx.columns + (size_t)k->dy.columns, pixels = k->dx.rows;
    const size_t step = px_rows_that_fit(PX_CPU_PANEL, columns, PX_PANEL_ROWS);
#pragma omp parallel for schedule(dynamic) if (pixels * (size_t)k->dx.columns * (size_t)k->dy.columns > PX_SERIAL_WORK)
    for (size_t first = 0; first < pixels; first += step)
        px_return_panel(device, k, first, pixels - first < step ? pixels - first : step);
    return PX_OK;
}

/* How a weight gradient is cut into tasks. It sums over all pixels into few elements, so pixels are cut into segments,
 * each with partial sums of its own, which are added in the order of the segments; outputs are cut into tiles where
 * segments alone are too few, for want of room. */
typedef struct px_weight_cut {
    size_t outputs, columns, pixels;
    size_t segments, tile; /* a tile is that many outputs */
    size_t partial;        /* reals from one segment's sums to the next: (outputs, columns), then (outputs) of dbias */
    px_real *sums, *bias;  /* of segment 0 */
    size_t ld;             /* from one output's sums to the next */
} px_weight_cut;

enum { PX_SEGMENTS = 16, PX_TASKS_ENOUGH = 8, PX_TILE_LEAST = 64 };

static px_weight_cut px_cut_weight(px_device *device, const px_convolve_weight_gradient_args *k) {
    px_weight_cut cut = {
        .outputs = (size_t)k->dy.columns, .columns = (size_t)k->taps.live * (size_t)k->x.columns, .pixels = k->dy.rows};
    cut.partial = cut.outputs * (cut.columns + 1);
    cut.segments = px_rows_that_fit(PX_CPU_SUMS, cut.partial, PX_SEGMENTS);
    const size_t panels = (cut.pixels + PX_PANEL_ROWS - 1) / PX_PANEL_ROWS;
    if (cut.segments > panels) cut.segments = panels > 0 ? panels : 1;
    cut.tile = cut.outputs;
    while (cut.tile > PX_TILE_LEAST && cut.segments * (cut.outputs / cut.tile) < PX_TASKS_ENOUGH) cut.tile /= 2;
    if (cut.segments > 1) {
        cut.sums = (px_real *)((px_cpu *)device)->sums;
        cut.bias = cut.sums + cut.outputs * cut.columns;
        cut.ld = cut.columns;
    } else {
        cut.sums = k->dweight.data;
        cut.bias = k->dbias.data;
        cut.ld = (size_t)k->dweight.columns;
    }
    return cut;
}

/* bias += the sum of the rows of dy, whose rows are `stride` apart, in their order. */
static void px_add_rows(px_real *bias, size_t outputs, const px_real *dy, size_t rows, size_t stride) {
    for (size_t r = 0; r < rows; r++)
        for (size_t f = 0; f < outputs; f++) bias[f] += dy[r * stride + f];
}

/* The sums of one segment for the outputs from `output` on. */
static void px_sum_segment(px_device *device, const px_convolve_weight_gradient_args *k, const px_weight_cut *cut,
                           size_t segment, size_t output) {
    const bool gathered = k->rectify || !px_taps_are_the_pixel(&k->taps);
    const size_t step = px_rows_that_fit(PX_CPU_PANEL, cut->columns, PX_PANEL_ROWS);
    const size_t last = (segment + 1) * cut->pixels / cut->segments;
    size_t first = segment * cut->pixels / cut->segments;
    const size_t outputs = cut->outputs - output < cut->tile ? cut->outputs - output : cut->tile;
    px_real *bias = k->dbias.data ? cut->bias + segment * cut->partial + output : NULL;
    px_gemm_args gemm = {.transpose_a = true,
                         .m = outputs,
                         .n = cut->columns,
                         .ld_a = cut->outputs,
                         .ld_b = cut->columns,
                         .c = cut->sums + segment * cut->partial + output * cut->ld,
                         .ld_c = cut->ld};
    if (bias) memset(bias, 0, outputs * sizeof *bias);
    do {
        gemm.k = last - first < step ? last - first : step;
        px_map operand = px_map_slice(k->x, first, gemm.k);
        if (gathered) {
            operand = px_map_over(px_cpu_panel(device), gemm.k * (size_t)k->taps.live, k->x.columns);
            px_cpu_gather(device, &(px_gather_args){k->grid, k->taps, k->rectify, false, first, k->x, operand});
        }
        const px_real *dy = (px_real *)px_map_slice(k->dy, first, gemm.k).data + output;
        gemm.a = dy;
        gemm.b = operand.data;
        px_cpu_gemm_serial(&gemm);
        if (bias) px_add_rows(bias, outputs, dy, gemm.k, cut->outputs);
        gemm.beta = 1;
        first += gemm.k;
    } while (first < last);
}

/* to = the sum over segments of what `from` points at in the first, in their order. */
static void px_add_segments(px_real *to, const px_real *from, size_t count, const px_weight_cut *cut) {
    memcpy(to, from, count * sizeof *to);
    for (size_t segment = 1; segment < cut->segments; segment++)
        for (size_t i = 0; i < count; i++) to[i] += from[segment * cut->partial + i];
}

px_status px_cpu_convolve_weight_gradient(px_device *device, const px_convolve_weight_gradient_args *k) {
    const px_weight_cut cut = px_cut_weight(device, k);
    const size_t tiles = (cut.outputs + cut.tile - 1) / cut.tile;
#pragma omp parallel for schedule(dynamic) if (cut.pixels * cut.outputs * cut.columns > PX_SERIAL_WORK)
    for (size_t task = 0; task < cut.segments * tiles; task++)
        px_sum_segment(device, k, &cut, task / tiles, task % tiles * cut.tile);
    if (cut.segments == 1) return PX_OK;
#pragma omp parallel for schedule(static) if (cut.segments * cut.partial > PX_SERIAL_WORK)
    for (size_t output = 0; output < cut.outputs; output++)
        px_add_segments((px_real *)k->dweight.data + output * (size_t)k->dweight.columns, cut.sums + output * cut.ld,
                        cut.columns, &cut);
    if (k->dbias.data) px_add_segments(k->dbias.data, cut.bias, cut.outputs, &cut);
    return PX_OK;
}
