/* Masked convolutions on the CPU: image by image with oneDNN's convolution primitives, where they are faster; otherwise
 * im2col of a chunk of pixels that fits in the L2 cache, then a GEMM over the live taps.
 *
 * Chunks, segments and tiles depend on the shapes alone, so that results do not depend on the number of threads. */
#include "host/device/cpu/onednn.h"
#include "kernels/portable/bfloat16.h"
#include <string.h>

/* The number of rows of `row` bytes that fit in `bytes`, between 1 and max. */
static size_t rows_that_fit(size_t bytes, size_t row, size_t max) {
    const size_t rows = bytes / row;
    return rows < 1 ? 1 : rows > max ? max : rows;
}

/* The pixels of a chunk, for a GEMM with `weights` weights and `row` bytes of workspace a pixel. A chunk takes about
 * 2^22 multiply-adds, and the number of chunks is a multiple of CHUNKS, so that threads get equal shares. */
static size_t chunk_rows(size_t pixels, size_t weights, size_t row) {
    enum { MIN = 256, MAX = 1024, CHUNKS = 8 };
    const size_t rows = rows_that_fit((size_t)1 << 22, weights, MAX);
    const size_t most = rows_that_fit(PX_CPU_WORKSPACE - PX_TENSOR_ALIGN, row, rows > MIN ? rows : MIN);
    const size_t chunks = pixels > most ? (pixels + CHUNKS * most - 1) / (CHUNKS * most) * CHUNKS : 1;
    return pixels > 0 ? (pixels + chunks - 1) / chunks : 1;
}

/* y = 0 where mask <= 0; with mask = y, the relu of y. Both have one type, or y is PX_REAL. A NaN in the mask keeps y.
 */
static void apply_relu_mask(px_tensor y, px_tensor mask) {
    const size_t count = px_tensor_elements(&y);
    const px_real *reals = mask.data;
    const int16_t *bits = mask.data;
    px_real *wide = y.data;
    int16_t *bf16 = y.data;
    if (mask.type != PX_BF16)
        for (size_t e = 0; e < count; e++) wide[e] = reals[e] <= 0 ? 0 : wide[e];
    else if (y.type != PX_BF16)
        for (size_t e = 0; e < count; e++) wide[e] = px_from_bfloat16((uint16_t)bits[e]) <= 0 ? 0 : wide[e];
    else
        for (size_t e = 0; e < count; e++) bf16[e] = px_from_bfloat16((uint16_t)bits[e]) <= 0 ? 0 : bf16[e];
}

/* The im2col of `rows` pixels, in this thread's workspace; for 1 x 1 taps without relu, the rows of x itself. */
static px_tensor im2col_rows(px_device *device, px_im2col_args im2col, size_t rows) {
    if (!im2col.relu && px_taps_are_the_pixel(&im2col.taps)) return px_tensor_slice(im2col.x, im2col.first, rows);
    im2col.y = px_tensor_of(px_cpu_thread_of(device)->workspace, rows * (size_t)im2col.taps.live, im2col.x.columns,
                            im2col.x.type);
    px_cpu_ops(im2col.x.type)->im2col(device, &im2col);
    return im2col.y;
}

/* ---- Convolution primitives ---- */

/* Whether a primitive is faster than im2col with a GEMM: several taps in a rectangle, and enough pixels in an image.
 * One thread of an EPYC (Zen 4), bfloat16, mask B of 3 x 3 on 8 images: 2.8 times as fast forward with 16 features of
 * 28 x 28, 1.4 with 64 of 32 x 32, 1.05 with 128; the same for input gradients, but 5 with 16. Not for weight
 * gradients, which are as fast as GEMMs with 64 features. */
static bool suits_primitive(const px_grid *grid, const px_taps *taps) {
    enum { MIN_PIXELS = 256 };
    return taps->rows > 1 && taps->live > 1 && grid->height * grid->width >= MIN_PIXELS;
}

static px_onednn_shape shape_of(const px_grid *grid, const px_taps *taps, px_tensor x, px_tensor y) {
    return (px_onednn_shape){.height = (uint64_t)grid->height,
                             .width = (uint64_t)grid->width,
                             .in = (uint64_t)x.columns,
                             .out = (uint64_t)y.columns,
                             .rows = (uint64_t)taps->rows,
                             .columns = (uint64_t)taps->columns,
                             .centre = (uint64_t)taps->centre,
                             .type = x.type};
}

/* Convolves all images. Each thread has its own primitive and its own reordered weight, in its workspace. False if
 * oneDNN has no kernel; the result is then undefined. */
static bool convolve_images(px_device *device, const px_onednn_shape *shape, int images, px_tensor x, px_tensor weight,
                            px_tensor bias, px_tensor y) {
    const size_t pixels = (size_t)(shape->height * shape->width);
    bool failed = false;
#pragma omp parallel reduction(|| : failed) if (images > 1)
    {
        px_onednn *onednn = px_cpu_onednn(device);
        char *workspace = px_cpu_thread_of(device)->workspace;
        px_onednn_convolution *c = px_onednn_convolution_find(onednn, shape, PX_CPU_WORKSPACE);
        failed = !c || !px_onednn_reorder(onednn, c, weight.data, workspace);
#pragma omp for schedule(static)
        for (int i = 0; i < images; i++) {
            const px_tensor from = px_tensor_slice(x, (size_t)i * pixels, pixels),
                            to = px_tensor_slice(y, (size_t)i * pixels, pixels);
            const px_tensor of_image = px_tensor_slice(bias, bias.rows > 1 ? (size_t)i : 0, 1);
            if (!failed) failed = !px_onednn_convolve(onednn, c, from.data, workspace, of_image.data, to.data);
        }
    }
    return !failed;
}

/* ---- Blocks of a weight ---- */

/* A rectangle of a weight: outputs x inputs, from `output` and `input` on. */
typedef struct weight_block {
    size_t output, outputs, input, inputs;
} weight_block;

/* With narrower blocks a GEMM would lose more than the skipped products save. */
enum { MIN_COLOUR_OUTPUTS = 128 };

/* The number of blocks that hold the unmasked elements of a weight: one for each colour group, or the whole. */
static int colour_blocks(const px_taps *taps, int colours, size_t outputs) {
    const bool is_split = colours > 1 && px_taps_are_the_pixel(taps) && outputs / (size_t)colours >= MIN_COLOUR_OUTPUTS;
    return is_split ? colours : 1;
}

/* Blocks begin and end at multiples of this, where GEMMs are fastest. They therefore hold some masked elements. */
enum { BLOCK_ALIGN = 32 };

static size_t round_down(size_t x) { return x / BLOCK_ALIGN * BLOCK_ALIGN; }
static size_t round_up(size_t x, size_t max) {
    const size_t up = (x + BLOCK_ALIGN - 1) / BLOCK_ALIGN * BLOCK_ALIGN;
    return up < max ? up : max;
}

/* Block `colour` of `blocks`: the outputs of a colour group, and the inputs that they read. */
static weight_block outputs_of_colour(int blocks, int colour, size_t outputs, size_t inputs) {
    const size_t first = round_down(px_colour_first(outputs, blocks, colour));
    const size_t end = colour + 1 == blocks ? outputs : round_down(px_colour_first(outputs, blocks, colour + 1));
    return (weight_block){first, end - first, 0, round_up(px_colour_first(inputs, blocks, colour + 1), inputs)};
}

/* The inputs of a colour group, and the outputs that read them. */
static weight_block inputs_of_colour(int blocks, int colour, size_t outputs, size_t inputs) {
    const size_t first = round_up(px_colour_first(inputs, blocks, colour), inputs);
    const size_t end = round_up(px_colour_first(inputs, blocks, colour + 1), inputs);
    const size_t output = round_down(px_colour_first(outputs, blocks, colour));
    return (weight_block){output, outputs - output, first, end - first};
}

/* y = x W^T + bias + add for one chunk of pixels and one block of the weight. bias: (1, out), or absent. */
static void convolve_block(px_device *device, const px_convolve_args *k, px_tensor x, px_tensor y, px_tensor bias,
                           px_tensor add, weight_block b) {
    const ptrdiff_t output = (ptrdiff_t)b.output;
    const bool onto = add.data && add.data == y.data;
    const px_gemm_args gemm = {.transpose_b = true,
                               .m = y.rows,
                               .n = b.outputs,
                               .k = b.inputs,
                               .operands = x.type,
                               .result = y.type,
                               .a = px_element(x.data, x.type, (ptrdiff_t)b.input),
                               .ld_a = (size_t)x.columns,
                               .b = px_element(k->weight.data, k->weight.type, output * k->weight.columns),
                               .ld_b = (size_t)k->weight.columns,
                               .c = px_element(y.data, y.type, output),
                               .ld_c = (size_t)y.columns,
                               .beta = onto ? 1 : 0};
    const px_cpu_epilogue epilogue = {.bias = bias.data ? px_element(bias.data, bias.type, output) : NULL,
                                      .add = add.data && !onto ? px_element(add.data, add.type, output) : NULL,
                                      .ld_add = (size_t)add.columns,
                                      .add_type = add.type};
    px_cpu_gemm_serial(device, &gemm, &epilogue);
}

static bool convolve_by_primitive(px_device *device, const px_convolve_args *k) {
    px_onednn_shape shape = shape_of(&k->grid, &k->taps, k->x, k->y);
    shape.has_bias = k->bias.data != NULL;
    shape.onto = k->add.data != NULL;
    shape.relu_y = k->relu_y;
    return suits_primitive(&k->grid, &k->taps) && !k->relu && (!k->add.data || k->add.data == k->y.data) &&
           convolve_images(device, &shape, k->grid.images, k->x, k->weight, k->bias, k->y);
}

px_status px_cpu_convolve(px_device *device, const px_convolve_args *k) {
    if (convolve_by_primitive(device, k)) return PX_OK;
    const size_t columns = (size_t)k->taps.live * (size_t)k->x.columns, outputs = (size_t)k->y.columns;
    const size_t pixels = k->y.rows, groups = k->bias.rows > 1 ? k->bias.rows : 1; /* with a row of the bias each */
    const size_t group = pixels / groups;
    const size_t step = chunk_rows(group, columns * outputs, columns * px_type_size(k->x.type));
    const size_t chunks = (group + step - 1) / step;
    const int blocks = colour_blocks(&k->taps, k->colours, outputs);
#pragma omp parallel for schedule(dynamic) if (pixels * columns * outputs > PX_SERIAL_WORK)
    for (size_t chunk = 0; chunk < groups * chunks; chunk++) {
        const size_t in_group = chunk % chunks * step, first = chunk / chunks * group + in_group;
        const size_t rows = px_extent(group, in_group, step);
        const px_tensor bias = px_tensor_slice(k->bias, chunk / chunks, 1);
        const px_im2col_args im2col = {.grid = k->grid, .taps = k->taps, .relu = k->relu, .first = first, .x = k->x};
        const px_tensor y = px_tensor_slice(k->y, first, rows);
        px_tensor x = im2col_rows(device, im2col, rows);
        x = (px_tensor){x.data, rows, (int)columns, x.type};
        for (int colour = 0; colour < blocks; colour++)
            convolve_block(device, k, x, y, bias, px_tensor_slice(k->add, first, rows),
                           outputs_of_colour(blocks, colour, outputs, columns));
        if (k->relu_y) apply_relu_mask(y, y);
    }
    return PX_OK;
}

/* sum = beta sum + W_t^T dy(pixel - offset_t) + add, for tap t, the pixels from `first` on, and one block of W_t. */
static void input_gradient_tap(px_device *device, const px_convolve_input_gradient_args *k, int tap, size_t first,
                               px_tensor sum, px_real beta, px_tensor add, weight_block b) {
    const px_taps one = {.stored = 1, .live = 1, .at = {k->taps.at[tap]}};
    const px_im2col_args im2col = {.grid = k->grid, .taps = one, .mirror = true, .first = first, .x = k->dy};
    const size_t in = (size_t)sum.columns, row = (size_t)k->weight.columns;
    const px_tensor dy = im2col_rows(device, im2col, sum.rows);
    const px_gemm_args gemm = {
        .m = sum.rows,
        .n = b.inputs,
        .k = b.outputs,
        .operands = dy.type,
        .result = sum.type,
        .a = px_element(dy.data, dy.type, (ptrdiff_t)b.output),
        .ld_a = (size_t)dy.columns,
        .b = px_element(k->weight.data, k->weight.type, (ptrdiff_t)(b.output * row + (size_t)tap * in + b.input)),
        .ld_b = row,
        .c = px_element(sum.data, sum.type, (ptrdiff_t)b.input),
        .ld_c = in,
        .beta = beta};
    const px_cpu_epilogue epilogue = {.add = add.data ? px_element(add.data, add.type, (ptrdiff_t)b.input) : NULL,
                                      .ld_add = in,
                                      .add_type = add.type};
    px_cpu_gemm_serial(device, &gemm, &epilogue);
}

/* The input gradient of one chunk. Taps accumulate in dx itself, or in float32 in the workspace if more than one
 * rounding to dx would be needed, or if add must be kept for after the relu mask. */
static void input_gradient_chunk(px_device *device, const px_convolve_input_gradient_args *k, size_t first,
                                 size_t rows) {
    const px_tensor none = {0}, dx = px_tensor_slice(k->dx, first, rows), dy = px_tensor_slice(k->dy, first, rows);
    const px_tensor add = px_tensor_slice(k->add, first, rows),
                    relu_mask = k->relu ? px_tensor_slice(k->x, first, rows) : none;
    const bool add_last = k->relu && add.data, apart = add_last || (dx.type != PX_REAL && k->taps.live > 1);
    const bool onto = !apart && add.data && add.data == dx.data;
    const int blocks = colour_blocks(&k->taps, k->colours, (size_t)k->dy.columns);
    px_tensor sum = dx;
    if (apart)
        sum = px_tensor_of(px_cpu_thread_of(device)->workspace + px_tensor_padded_bytes(&dy), rows, dx.columns,
                           PX_REAL);
    for (int tap = 0; tap < k->taps.live; tap++)
        for (int colour = 0; colour < blocks; colour++)
            input_gradient_tap(device, k, tap, first, sum, tap > 0 || onto ? 1 : 0,
                               tap > 0 || onto || apart ? none : add,
                               inputs_of_colour(blocks, colour, (size_t)k->dy.columns, (size_t)dx.columns));
    if (relu_mask.data) apply_relu_mask(sum, relu_mask);
    if (apart && add.data) px_cpu_add(sum.data, add.data, add.type, px_tensor_elements(&add));
    if (apart) px_cpu_ops(dx.type)->cast(device, &(px_cast_args){.x = sum, .y = dx});
}

/* The relu mask is applied afterwards: to what is 0, or to what is kept as it is. */
static bool input_gradient_by_primitive(px_device *device, const px_convolve_input_gradient_args *k) {
    px_onednn_shape shape = shape_of(&k->grid, &k->taps, k->dx, k->dy);
    const size_t pixels = (size_t)k->grid.height * (size_t)k->grid.width;
    shape.gradient = 1;
    if (!suits_primitive(&k->grid, &k->taps) || k->add.data ||
        !convolve_images(device, &shape, k->grid.images, k->dx, k->weight, (px_tensor){0}, k->dy))
        return false;
#pragma omp parallel for schedule(static) if (k->dx.rows * (size_t)k->dx.columns > PX_SERIAL_WORK)
    for (int i = 0; i < (k->relu ? k->grid.images : 0); i++)
        apply_relu_mask(px_tensor_slice(k->dx, (size_t)i * pixels, pixels),
                        px_tensor_slice(k->x, (size_t)i * pixels, pixels));
    return true;
}

px_status px_cpu_convolve_input_gradient(px_device *device, const px_convolve_input_gradient_args *k) {
    if (input_gradient_by_primitive(device, k)) return PX_OK;
    const size_t size = px_type_size(k->dx.type), pixels = k->dx.rows;
    const size_t row = (size_t)k->dx.columns * sizeof(px_real) + (size_t)k->dy.columns * size;
    const size_t weights = (size_t)k->dx.columns * (size_t)k->dy.columns;
    const size_t step = chunk_rows(pixels, weights, row);
#pragma omp parallel for schedule(dynamic) if (pixels * weights > PX_SERIAL_WORK)
    for (size_t first = 0; first < pixels; first += step)
        input_gradient_chunk(device, k, first, pixels - first < step ? pixels - first : step);
    return PX_OK;
}

/* How a weight gradient is split into tasks. Pixels are split into segments, each with its own partial sums, which are
 * added in the order of the segments. If memory allows too few segments, outputs are split into tiles as well. */
typedef struct weight_split {
    size_t outputs, columns, pixels;
    size_t group;          /* pixels that share a row of dbias */
    size_t unit;           /* the pixels of a segment are a multiple of it: an image that has a dbias of its own */
    size_t segments, tile; /* tile: outputs per tile */
    size_t partial;        /* elements a segment: (outputs, columns) of dweight, then (outputs) of dbias */
    px_real *sums, *bias;  /* of segment 0 */
    bool partial_bias;     /* bias points to partial sums, as sums does with several segments */
    size_t ld;             /* leading dimension of the sums */
    int blocks;            /* colour_blocks */
} weight_split;

enum { MAX_SEGMENTS = 16, MIN_TASKS = 8, MIN_SEGMENT = 256, MIN_TILE = 64, WIDE_CHUNK_ROWS = 1024 };

static weight_split split_weight(px_device *device, const px_convolve_weight_gradient_args *k) {
    weight_split cut = {.outputs = (size_t)k->dy.columns,
                        .columns = k->dweight.data ? (size_t)k->taps.live * (size_t)k->x.columns : 0,
                        .pixels = k->dy.rows,
                        .group = k->dy.rows > 0 ? k->dy.rows : 1};
    const bool is_by_image = k->dbias.rows > 1;
    if (is_by_image) cut.group = cut.pixels / k->dbias.rows;
    cut.partial = cut.outputs * (cut.columns + 1);
    cut.blocks = colour_blocks(&k->taps, k->colours, cut.outputs);
    cut.segments = rows_that_fit(PX_CPU_SUMS, cut.partial * sizeof(px_real), MAX_SEGMENTS);
    const size_t chunks = (cut.pixels + MIN_SEGMENT - 1) / MIN_SEGMENT;
    if (cut.segments > chunks) cut.segments = chunks > 0 ? chunks : 1;
    if (is_by_image && cut.segments > k->dbias.rows) cut.segments = k->dbias.rows;
    cut.unit = is_by_image ? cut.group : 1;
    cut.tile = cut.outputs;
    while (cut.tile > MIN_TILE && cut.segments * (cut.outputs / cut.tile) < MIN_TASKS) cut.tile /= 2;
    cut.sums = k->dweight.data;
    cut.ld = (size_t)k->dweight.columns;
    cut.bias = k->dbias.data;
    if (cut.segments == 1) return cut;
    cut.sums = (px_real *)(void *)((px_cpu *)device)->sums;
    cut.ld = cut.columns;
    cut.partial_bias = !is_by_image;
    if (cut.partial_bias) cut.bias = cut.sums + cut.outputs * cut.columns;
    return cut;
}

/* The inputs that the outputs up to `end` read. */
static size_t columns_up_to(const weight_split *cut, size_t end) {
    int colour = 0;
    while (px_colour_first(cut->outputs, cut->blocks, colour + 1) < end) colour++;
    return round_up(px_colour_first(cut->columns, cut->blocks, colour + 1), cut->columns);
}

/* The sums of one segment for the outputs from `output` on. */
static void sum_segment(px_device *device, const px_convolve_weight_gradient_args *k, const weight_split *cut,
                        size_t segment, size_t output) {
    const size_t units = cut->pixels / cut->unit;
    const size_t last = (segment + 1) * units / cut->segments * cut->unit;
    size_t first = segment * units / cut->segments * cut->unit;
    const size_t step = (px_taps_are_the_pixel(&k->taps) && !k->relu) || cut->columns == 0
                            ? WIDE_CHUNK_ROWS /* without im2col */
                            : chunk_rows(last - first, cut->columns * cut->outputs,
                                         cut->columns * px_type_size(k->x.type));
    const size_t outputs = cut->outputs - output < cut->tile ? cut->outputs - output : cut->tile;
    const size_t columns = columns_up_to(cut, output + outputs);
    px_real *bias = k->dbias.data ? cut->bias + (cut->partial_bias ? segment * cut->partial : 0) + output : NULL;
    px_gemm_args gemm = {.transpose_a = true,
                         .m = outputs,
                         .n = columns,
                         .operands = k->x.type,
                         .ld_a = cut->outputs,
                         .ld_b = cut->columns,
                         .c = cut->sums + segment * cut->partial + output * cut->ld,
                         .ld_c = cut->ld};
    for (size_t g = first / cut->group; bias && (g * cut->group < last || g == first / cut->group); g++)
        memset(bias + g * cut->outputs, 0, outputs * sizeof *bias);
    do {
        gemm.k = last - first < step ? last - first : step;
        const px_im2col_args im2col = {.grid = k->grid, .taps = k->taps, .relu = k->relu, .first = first, .x = k->x};
        const px_tensor dy = px_tensor_slice(k->dy, first, gemm.k);
        gemm.a = px_element(dy.data, dy.type, (ptrdiff_t)output);
        if (columns > 0) gemm.b = im2col_rows(device, im2col, gemm.k).data;
        px_cpu_gemm_serial(device, &gemm, &(px_cpu_epilogue){0});
        for (size_t r = 0; bias && r < gemm.k; r++)
            px_cpu_add(bias + (first + r) / cut->group * cut->outputs,
                       px_element(gemm.a, dy.type, (ptrdiff_t)(r * cut->outputs)), dy.type, outputs);
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
    for (size_t output = 0; output < (cut.columns > 0 ? cut.outputs : 0); output++)
        add_segments((px_real *)k->dweight.data + output * (size_t)k->dweight.columns, cut.sums + output * cut.ld,
                     cut.columns, &cut);
    if (cut.partial_bias && k->dbias.data) add_segments(k->dbias.data, cut.bias, cut.outputs, &cut);
    return PX_OK;
}
