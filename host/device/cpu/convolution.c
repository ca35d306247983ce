/* Masked convolutions on the CPU: im2col of a chunk of pixels that fits in the L2 cache, then a GEMM over the live
 * taps.
 *
 * Chunks, segments and tiles depend on the shapes alone, so that results do not depend on the number of threads. */
#include "host/device/cpu/cpu.h"
#include "kernels/portable/bfloat16.h"
#include <string.h>

/* The number of rows of `row` bytes that fit in `bytes`, between 1 and max. */
static size_t rows_that_fit(size_t bytes, size_t row, size_t max) {
    const size_t rows = bytes / row;
    return rows < 1 ? 1 : rows > max ? max : rows;
}

/* sum += the first `count` elements at x, which are PX_REAL or PX_BF16. Compilers vectorise both loops. */
static void add_elements(px_real *sum, const void *x, px_type type, size_t count) {
    const px_real *reals = x;
    const uint16_t *bf16 = x;
    if (type == PX_BF16)
        for (size_t e = 0; e < count; e++) sum[e] += px_from_bfloat16(bf16[e]);
    else
        for (size_t e = 0; e < count; e++) sum[e] += reals[e];
}
static void add_tensor(px_real *sum, const px_tensor *tensor) {
    add_elements(sum, tensor->data, tensor->type, px_tensor_elements(tensor));
}

/* sum = 0 where relu_mask <= 0. */
static void apply_relu_mask(px_real *sum, const px_tensor *relu_mask) {
    const size_t count = px_tensor_elements(relu_mask);
    const px_real *reals = relu_mask->data;
    const uint16_t *bf16 = relu_mask->data;
    if (relu_mask->type == PX_BF16)
        for (size_t e = 0; e < count; e++) sum[e] = px_from_bfloat16(bf16[e]) > 0 ? sum[e] : 0;
    else
        for (size_t e = 0; e < count; e++) sum[e] = reals[e] > 0 ? sum[e] : 0;
}

static void relu_in_place(px_real *sum, size_t count) {
    for (size_t e = 0; e < count; e++) sum[e] = sum[e] < 0 ? 0 : sum[e];
}

/* sum = add + bias, to which the GEMM then adds. add may be sum. */
static void begin_chunk(px_tensor sum, px_tensor add, px_tensor bias) {
    if (add.data != sum.data) {
        memset(sum.data, 0, px_tensor_bytes(&sum));
        if (add.data) add_tensor(sum.data, &add);
    }
    for (size_t r = 0; bias.data && r < sum.rows; r++) add_tensor(px_tensor_slice(sum, r, 1).data, &bias);
}

/* y = (sum masked by relu_mask) + add. Overwrites sum. */
static void end_chunk(px_device *device, px_tensor y, px_tensor sum, px_tensor relu_mask, px_tensor add) {
    if (relu_mask.data) apply_relu_mask(sum.data, &relu_mask);
    if (add.data) add_tensor(sum.data, &add);
    if (y.data == sum.data) return;
    px_cpu_ops(y.type)->cast(device, &(px_cast_args){.x = sum, .y = y});
}

/* The im2col of `rows` pixels, in this thread's workspace; for 1 x 1 taps without relu, the rows of x itself. */
static px_tensor im2col_rows(px_device *device, px_im2col_args im2col, size_t rows) {
    if (!im2col.relu && px_taps_are_the_pixel(&im2col.taps)) return px_tensor_slice(im2col.x, im2col.first, rows);
    im2col.y = px_tensor_of(px_cpu_workspace(device), rows * (size_t)im2col.taps.live, im2col.x.columns, im2col.x.type);
    px_cpu_ops(im2col.x.type)->im2col(device, &im2col);
    return im2col.y;
}

enum { MAX_CHUNK_ROWS = 256 };

px_status px_cpu_convolve(px_device *device, const px_convolve_args *k) {
    const size_t columns = (size_t)k->taps.live * (size_t)k->x.columns, pixels = k->y.rows;
    const bool apart = k->y.type != PX_REAL; /* accumulate in float32 in the workspace, as y is bfloat16 */
    const size_t row = columns * px_type_size(k->x.type) + (apart ? (size_t)k->y.columns * sizeof(px_real) : 0);
    const size_t step = rows_that_fit(PX_CPU_WORKSPACE - PX_TENSOR_ALIGN, row, MAX_CHUNK_ROWS);
#pragma omp parallel for schedule(dynamic) if (pixels * columns * (size_t)k->y.columns > PX_SERIAL_WORK)
    for (size_t first = 0; first < pixels; first += step) {
        const size_t rows = pixels - first < step ? pixels - first : step;
        const px_im2col_args im2col = {.grid = k->grid, .taps = k->taps, .relu = k->relu, .first = first, .x = k->x};
        const px_tensor y = px_tensor_slice(k->y, first, rows), operand = im2col_rows(device, im2col, rows);
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
        begin_chunk(sum, px_tensor_slice(k->add, first, rows), k->bias);
        px_cpu_gemm_serial(device, &gemm);
        if (k->relu_y) relu_in_place(sum.data, px_tensor_elements(&sum));
        if (apart) end_chunk(device, y, sum, (px_tensor){0}, (px_tensor){0});
    }
    return PX_OK;
}

/* sum = beta sum + W_t^T dy(pixel - offset_t), for tap t and the pixels from `first` on. */
static void input_gradient_tap(px_device *device, const px_convolve_input_gradient_args *k, int tap, size_t first,
                               px_tensor sum, px_real beta) {
    const px_taps one = {.stored = 1, .live = 1, .at = {k->taps.at[tap]}};
    const px_im2col_args im2col = {.grid = k->grid, .taps = one, .mirror = true, .first = first, .x = k->dy};
    const px_gemm_args gemm = {.m = sum.rows,
                               .n = (size_t)sum.columns,
                               .k = (size_t)k->dy.columns,
                               .operands = k->dy.type,
                               .a = im2col_rows(device, im2col, sum.rows).data,
                               .ld_a = (size_t)k->dy.columns,
                               .b = px_element(k->weight.data, k->weight.type, (ptrdiff_t)tap * sum.columns),
                               .ld_b = (size_t)k->weight.columns,
                               .c = sum.data,
                               .ld_c = (size_t)sum.columns,
                               .beta = beta};
    px_cpu_gemm_serial(device, &gemm);
}

/* The input gradient of one chunk. Taps accumulate in dx itself, or in the workspace if dx is bfloat16 or add must be
 * kept for after the relu mask. */
static void input_gradient_chunk(px_device *device, const px_convolve_input_gradient_args *k, size_t first,
                                 size_t rows) {
    const px_tensor none = {0}, dx = px_tensor_slice(k->dx, first, rows), dy = px_tensor_slice(k->dy, first, rows);
    const px_tensor add = px_tensor_slice(k->add, first, rows),
                    relu_mask = k->relu ? px_tensor_slice(k->x, first, rows) : none;
    const bool apart = dx.type != PX_REAL || (relu_mask.data && add.data), onto = add.data && !apart;
    px_tensor sum = dx;
    if (apart)
        sum = px_tensor_of((char *)px_cpu_workspace(device) + px_tensor_padded_bytes(&dy), rows, dx.columns, PX_REAL);
    if (onto && add.data != dx.data) memcpy(dx.data, add.data, px_tensor_bytes(&dx));
    for (int tap = 0; tap < k->taps.live; tap++)
        input_gradient_tap(device, k, tap, first, sum, onto || tap > 0 ? 1 : 0);
    end_chunk(device, dx, sum, relu_mask, onto ? none : add);
}

px_status px_cpu_convolve_input_gradient(px_device *device, const px_convolve_input_gradient_args *k) {
    const size_t size = px_type_size(k->dx.type), pixels = k->dx.rows;
    const size_t row = (size_t)k->dx.columns * sizeof(px_real) + (size_t)k->dy.columns * size;
    const size_t step = rows_that_fit(PX_CPU_WORKSPACE - PX_TENSOR_ALIGN, row, MAX_CHUNK_ROWS);
#pragma omp parallel for schedule(dynamic) if (pixels * (size_t)k->dx.columns * (size_t)k->dy.columns > PX_SERIAL_WORK)
    for (size_t first = 0; first < pixels; first += step)
        input_gradient_chunk(device, k, first, pixels - first < step ? pixels - first : step);
    return PX_OK;
}

/* How a weight gradient is split into tasks. Pixels are split into segments, each with its own partial sums, which are
 * added in the order of the segments. If memory allows too few segments, outputs are split into tiles as well. */
typedef struct weight_split {
    size_t outputs, columns, pixels;
    size_t segments, tile; /* tile: outputs per tile */
    size_t partial;        /* elements a segment: (outputs, columns) of dweight, then (outputs) of dbias */
    px_real *sums, *bias;  /* of segment 0 */
    size_t ld;             /* leading dimension of the sums */
} weight_split;

enum { MAX_SEGMENTS = 16, MIN_TASKS = 8, MIN_TILE = 64 };

static weight_split split_weight(px_device *device, const px_convolve_weight_gradient_args *k) {
    weight_split cut = {
        .outputs = (size_t)k->dy.columns, .columns = (size_t)k->taps.live * (size_t)k->x.columns, .pixels = k->dy.rows};
    cut.partial = cut.outputs * (cut.columns + 1);
    cut.segments = rows_that_fit(PX_CPU_SUMS, cut.partial * sizeof(px_real), MAX_SEGMENTS);
    const size_t chunks = (cut.pixels + MAX_CHUNK_ROWS - 1) / MAX_CHUNK_ROWS;
    if (cut.segments > chunks) cut.segments = chunks > 0 ? chunks : 1;
    cut.tile = cut.outputs;
    while (cut.tile > MIN_TILE && cut.segments * (cut.outputs / cut.tile) < MIN_TASKS) cut.tile /= 2;
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

/* bias += the sum of the rows of dy, in ascending order, for `outputs` columns from `output` on. */
static void add_rows(px_real *bias, size_t outputs, px_tensor dy, size_t output) {
    for (size_t r = 0; r < dy.rows; r++)
        add_elements(bias, px_element(dy.data, dy.type, (ptrdiff_t)(r * (size_t)dy.columns + output)), dy.type,
                     outputs);
}

/* The sums of one segment for the outputs from `output` on. */
static void sum_segment(px_device *device, const px_convolve_weight_gradient_args *k, const weight_split *cut,
                        size_t segment, size_t output) {
    const size_t step = rows_that_fit(PX_CPU_WORKSPACE, cut->columns * px_type_size(k->x.type), MAX_CHUNK_ROWS);
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
        gemm.b = im2col_rows(device, im2col, gemm.k).data;
        px_cpu_gemm_serial(device, &gemm);
        if (bias) add_rows(bias, outputs, dy, output);
        gemm.beta = 1;
        first += gemm.k;
    } while (first < last);
}

/* to = the sum over segments, in ascending order. from points to the first segment's elements. */
static void add_segments(px_real *to, const px_real *from, size_t count, const weight_split *cut) {
    memcpy(to, from, count * sizeof *to);
    for (size_t segment = 1; segment < cut->segments; segment++)
        for (size_t i = 0; i < count; i++) to[i] += from[segment * cut->partial + i];
}

px_status px_cpu_convolve_weight_gradient(px_device *device, const px_convolve_weight_gradient_args *k) {
    const weight_split cut = split_weight(device, k);
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
