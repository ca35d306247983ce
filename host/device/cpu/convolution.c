/* Masked convolutions on the CPU: panels of pixels, gathered into columns that stay in the cache, times live taps only.
 *
 * Panels, segments and tiles are cut by the shapes alone; see cpu_gemm.c for why. */
#include "host/device/cpu/cpu.h"
#include "kernels/portable/bfloat16.h"
#include <string.h>

/* Rows of so many bytes that fit `bytes`, between 1 and most. */
static size_t rows_that_fit(size_t bytes, size_t row, size_t most) {
    const size_t rows = bytes / row;
    return rows < 1 ? 1 : rows > most ? most : rows;
}

/* Sums are reals, what is done to them is done in plain loops that compilers make vectors of: for each of the two types
 * that a map of activations has. */

/* sum += the first `count` elements at x. */
static void px_add(px_real *sum, const void *x, px_type type, size_t count) {
    const px_real *reals = x;
    const uint16_t *halves = x;
    if (type == PX_BF16)
        for (size_t e = 0; e < count; e++) sum[e] += px_from_bfloat16(halves[e]);
    else
        for (size_t e = 0; e < count; e++) sum[e] += reals[e];
}
static void add_tensor(px_real *sum, const px_tensor *tensor) {
    px_add(sum, tensor->data, tensor->type, px_tensor_elements(tensor));
}

/* sum = 0 where gate is not above 0. */
static void px_close(px_real *sum, const px_tensor *gate) {
    const size_t count = px_tensor_elements(gate);
    const px_real *reals = gate->data;
    const uint16_t *halves = gate->data;
    if (gate->type == PX_BF16)
        for (size_t e = 0; e < count; e++) sum[e] = px_from_bfloat16(halves[e]) > 0 ? sum[e] : 0;
    else
        for (size_t e = 0; e < count; e++) sum[e] = reals[e] > 0 ? sum[e] : 0;
}

static void px_relu(px_real *sum, size_t count) {
    for (size_t e = 0; e < count; e++) sum[e] = sum[e] < 0 ? 0 : sum[e];
}

/* sum = add + bias, before the product is added. add may be sum. */
static void start_panel(px_tensor sum, px_tensor add, px_tensor bias) {
    if (add.data != sum.data) {
        memset(sum.data, 0, px_tensor_bytes(&sum));
        if (add.data) add_tensor(sum.data, &add);
    }
    for (size_t r = 0; bias.data && r < sum.rows; r++) add_tensor(px_tensor_slice(sum, r, 1).data, &bias);
}

/* y = sum, gated, + add. Gates and adds in place of sum. */
static void end_panel(px_device *device, px_tensor y, px_tensor sum, px_tensor gate, px_tensor add) {
    if (gate.data) px_close(sum.data, &gate);
    if (add.data) add_tensor(sum.data, &add);
    if (y.data == sum.data) return;
    px_cpu_ops(y.type)->cast(device, &(px_cast_args){.x = sum, .y = y});
}

/* The rows `first` .. of a convolution's columns: gathered into this thread's panel, or x itself where they are the
 * same.
 */
static px_tensor px_columns(px_device *device, px_im2col_args im2col, size_t rows) {
    if (!im2col.relu && px_taps_are_the_pixel(&im2col.taps)) return px_tensor_slice(im2col.x, im2col.first, rows);
    im2col.y = px_tensor_of(px_cpu_workspace(device), rows * (size_t)im2col.taps.live, im2col.x.columns, im2col.x.type);
    px_cpu_ops(im2col.x.type)->im2col(device, &im2col);
    return im2col.y;
}

enum { PX_PANEL_ROWS = 256 };

px_status px_cpu_convolve(px_device *device, const px_convolve_args *k) {
    const size_t columns = (size_t)k->taps.live * (size_t)k->x.columns, pixels = k->y.rows;
    const bool apart = k->y.type != PX_REAL; /* the sum is wider than y */
    const size_t row = columns * px_type_size(k->x.type) + (apart ? (size_t)k->y.columns * sizeof(px_real) : 0);
    const size_t step = rows_that_fit(PX_CPU_WORKSPACE - PX_TENSOR_ALIGN, row, PX_PANEL_ROWS);
#pragma omp parallel for schedule(dynamic) if (pixels * columns * (size_t)k->y.columns > PX_SERIAL_WORK)
    for (size_t first = 0; first < pixels; first += step) {
        const size_t rows = pixels - first < step ? pixels - first : step;
        const px_im2col_args im2col = {.grid = k->grid, .taps = k->taps, .relu = k->relu, .first = first, .x = k->x};
        const px_tensor y = px_tensor_slice(k->y, first, rows), operand = px_columns(device, im2col, rows);
        px_tensor sum = y;
        if (apart)
            sum = px_tensor_of((char *)px_cpu_workspace(device) + px_tensor_padded_bytes(&operand), rows, y.columns,
                               PX_REAL);
        const px_gemm_args gemm = {.transpose_b = true,
                                   .m = rows,
                                   .n = (size_t)y.columns,
                                   .k = columns,
                                   .operands = operand.type,
                                   .a = operand.data,
                                   .ld_a = columns,
                                   .b = k->weight.data,
                                   .ld_b = (size_t)k->weight.columns,
                                   .c = sum.data,
                                   .ld_c = (size_t)y.columns,
                                   .beta = 1};
        start_panel(sum, px_tensor_slice(k->add, first, rows), k->bias);
        px_cpu_gemm_serial(device, &gemm);
        if (k->relu_y) px_relu(sum.data, px_tensor_elements(&sum));
        if (apart) end_panel(device, y, sum, (px_tensor){0}, (px_tensor){0});
    }
    return PX_OK;
}

/* sum = beta sum + what tap `tap` brings back from dy to the panel's pixels, the first of which is `first`. */
static void return_tap(px_device *device, const px_convolve_input_gradient_args *k, int tap, size_t first,
                       px_tensor sum, px_real beta) {
    const px_taps one = {.stored = 1, .live = 1, .at = {k->taps.at[tap]}};
    const px_im2col_args im2col = {.grid = k->grid, .taps = one, .mirror = true, .first = first, .x = k->dy};
    const px_gemm_args gemm = {.m = sum.rows,
                               .n = (size_t)sum.columns,
                               .k = (size_t)k->dy.columns,
                               .operands = k->dy.type,
                               .a = px_columns(device, im2col, sum.rows).data,
                               .ld_a = (size_t)k->dy.columns,
                               .b = px_element(k->weight.data, k->weight.type, (ptrdiff_t)tap * sum.columns),
                               .ld_b = (size_t)k->weight.columns,
                               .c = sum.data,
                               .ld_c = (size_t)sum.columns,
                               .beta = beta};
    px_cpu_gemm_serial(device, &gemm);
}

/* One panel. The taps' products add up in dx itself; apart from it where they must be wider, or what is added wait for
 * the gate. */
static void return_panel(px_device *device, const px_convolve_input_gradient_args *k, size_t first, size_t rows) {
    const px_tensor none = {0}, dx = px_tensor_slice(k->dx, first, rows), dy = px_tensor_slice(k->dy, first, rows);
    const px_tensor add = px_tensor_slice(k->add, first, rows),
                    gate = k->relu ? px_tensor_slice(k->x, first, rows) : none;
    const bool apart = dx.type != PX_REAL || (gate.data && add.data), onto = add.data && !apart;
    px_tensor sum = dx;
    if (apart)
        sum = px_tensor_of((char *)px_cpu_workspace(device) + px_tensor_padded_bytes(&dy), rows, dx.columns, PX_REAL);
    if (onto && add.data != dx.data) memcpy(dx.data, add.data, px_tensor_bytes(&dx));
    for (int tap = 0; tap < k->taps.live; tap++) return_tap(device, k, tap, first, sum, onto || tap > 0 ? 1 : 0);
    end_panel(device, dx, sum, gate, onto ? none : add);
}

px_status px_cpu_convolve_input_gradient(px_device *device, const px_convolve_input_gradient_args *k) {
    const size_t size = px_type_size(k->dx.type), pixels = k->dx.rows;
    const size_t row = (size_t)k->dx.columns * sizeof(px_real) + (size_t)k->dy.columns * size;
    const size_t step = rows_that_fit(PX_CPU_WORKSPACE - PX_TENSOR_ALIGN, row, PX_PANEL_ROWS);
#pragma omp parallel for schedule(dynamic) if (pixels * (size_t)k->dx.columns * (size_t)k->dy.columns > PX_SERIAL_WORK)
    for (size_t first = 0; first < pixels; first += step)
        return_panel(device, k, first, pixels - first < step ? pixels - first : step);
    return PX_OK;
}

/* How a weight gradient is cut into tasks. It sums over all pixels into few elements, so pixels are cut into segments,
 * each with partial sums of its own, which are added in the order of the segments; outputs are cut into tiles where
 * segments alone are too few, for want of room. */
typedef struct weight_cut {
    size_t outputs, columns, pixels;
    size_t segments, tile; /* a tile is that many outputs */
    size_t partial;        /* reals from one segment's sums to the next: (outputs, columns), then (outputs) of dbias */
    px_real *sums, *bias;  /* of segment 0 */
    size_t ld;             /* from one output's sums to the next */
} weight_cut;

enum { PX_SEGMENTS = 16, PX_TASKS_ENOUGH = 8, PX_TILE_MIN = 64 };

static weight_cut cut_weight(px_device *device, const px_convolve_weight_gradient_args *k) {
    weight_cut cut = {
        .outputs = (size_t)k->dy.columns, .columns = (size_t)k->taps.live * (size_t)k->x.columns, .pixels = k->dy.rows};
    cut.partial = cut.outputs * (cut.columns + 1);
    cut.segments = rows_that_fit(PX_CPU_SUMS, cut.partial * sizeof(px_real), PX_SEGMENTS);
    const size_t workspaces = (cut.pixels + PX_PANEL_ROWS - 1) / PX_PANEL_ROWS;
    if (cut.segments > workspaces) cut.segments = workspaces > 0 ? workspaces : 1;
    cut.tile = cut.outputs;
    while (cut.tile > PX_TILE_MIN && cut.segments * (cut.outputs / cut.tile) < PX_TASKS_ENOUGH) cut.tile /= 2;
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

/* bias += the sum of the rows of dy, in their order, from column `output` on. */
static void add_rows(px_real *bias, size_t outputs, px_tensor dy, size_t output) {
    for (size_t r = 0; r < dy.rows; r++)
        px_add(bias, px_element(dy.data, dy.type, (ptrdiff_t)(r * (size_t)dy.columns + output)), dy.type, outputs);
}

/* The sums of one segment for the outputs from `output` on. */
static void sum_segment(px_device *device, const px_convolve_weight_gradient_args *k, const weight_cut *cut,
                        size_t segment, size_t output) {
    const size_t step = rows_that_fit(PX_CPU_WORKSPACE, cut->columns * px_type_size(k->x.type), PX_PANEL_ROWS);
    const size_t last = (segment + 1) * cut->pixels / cut->segments;
    size_t first = segment * cut->pixels / cut->segments;
    const size_t outputs = cut->outputs - output < cut->tile ? cut->outputs - output : cut->tile;
    px_real *bias = k->dbias.data ? cut->bias + segment * cut->partial + output : NULL;
    px_gemm_args gemm = {.transpose_a = true,
                         .m = outputs,
                         .n = cut->columns,
                         .operands = k->x.type,
                         .ld_a = cut->outputs,
                         .ld_b = cut->columns,
                         .c = cut->sums + segment * cut->partial + output * cut->ld,
                         .ld_c = cut->ld};
    if (bias) memset(bias, 0, outputs * sizeof *bias);
    do {
        gemm.k = last - first < step ? last - first : step;
        const px_im2col_args im2col = {.grid = k->grid, .taps = k->taps, .relu = k->relu, .first = first, .x = k->x};
        const px_tensor dy = px_tensor_slice(k->dy, first, gemm.k);
        gemm.a = px_element(dy.data, dy.type, (ptrdiff_t)output);
        gemm.b = px_columns(device, im2col, gemm.k).data;
        px_cpu_gemm_serial(device, &gemm);
        if (bias) add_rows(bias, outputs, dy, output);
        gemm.beta = 1;
        first += gemm.k;
    } while (first < last);
}

/* to = the sum over segments of what `from` points at in the first, in their order. */
static void add_segments(px_real *to, const px_real *from, size_t count, const weight_cut *cut) {
    memcpy(to, from, count * sizeof *to);
    for (size_t segment = 1; segment < cut->segments; segment++)
        for (size_t i = 0; i < count; i++) to[i] += from[segment * cut->partial + i];
}

px_status px_cpu_convolve_weight_gradient(px_device *device, const px_convolve_weight_gradient_args *k) {
    const weight_cut cut = cut_weight(device, k);
    const size_t tiles = (cut.outputs + cut.tile - 1) / cut.tile;
#pragma omp parallel for schedule(dynamic) if (cut.pixels * cut.outputs * cut.columns > PX_SERIAL_WORK)
    for (size_t task = 0; task < cut.segments * tiles; task++)
        sum_segment(device, k, &cut, task / tiles, task % tiles * cut.tile);
    if (cut.segments == 1) return PX_OK;
#pragma omp parallel for schedule(static) if (cut.segments * cut.partial > PX_SERIAL_WORK)
    for (size_t output = 0; output < cut.outputs; output++)
        add_segments((px_real *)k->dweight.data + output * (size_t)k->dweight.columns, cut.sums + output * cut.ld,
                     cut.columns, &cut);
    if (k->dbias.data) add_segments(k->dbias.data, cut.bias, cut.outputs, &cut);
    return PX_OK;
}
