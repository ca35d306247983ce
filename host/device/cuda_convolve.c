/* Masked convolutions on CUDA, two ways.
 *
 * By cuDNN: where the taps fill a rectangle. The few taps of its last row that are not live hold 0 in the weight, so
 * the whole rectangle may be computed. By columns: gathered pixels times live taps, a panel at a time, through
 * cuBLASLt; a single tap on the pixel itself needs no gathering. px_plans_find decides. Both cut the batch by the
 * shapes alone. */
#include "host/device/cuda.h"
#include <assert.h>

static const px_taps px_the_pixel = {.stored = 1, .live = 1, .rows = 1, .columns = 1};

static bool px_same(px_map a, px_map b) {
    return a.data && a.data == b.data;
}

/* Rows of `bytes` bytes, in up to three maps, that fit the panel, `most` at most. */
static size_t px_panel_rows(size_t bytes, size_t most) {
    const size_t rows = bytes ? (PX_CUDA_PANEL - 2 * PX_MAP_ALIGN) / bytes : most;
    return rows < most ? rows : most;
}

/* The rows `first`.. of x that a product reads: columns gathered into the panel, or x itself where they are the same.
 */
static px_status px_columns(px_cuda *cuda, px_gather_args gather, size_t pixels, const void **columns) {
    const px_map x = gather.x;
    *columns = px_map_slice(x, gather.first, pixels).data;
    if (!gather.rectify && px_taps_are_the_pixel(&gather.taps)) return PX_OK;
    gather.y = px_map_over(cuda->panel, pixels * (size_t)gather.taps.live, x.columns, x.type);
    *columns = gather.y.data;
    return px_cuda_ops(x.type)->gather(&cuda->base, &gather);
}

/* y = sum + bias + add, sum counting only where gate > 0, unless sum is that already. */
static px_status px_finish(px_cuda *cuda, px_combine_args end) {
    if (!end.bias.data && !end.add.data && !end.gate.data && px_same(end.sum, end.y)) return PX_OK;
    return px_cuda_ops(end.y.type)->combine(&cuda->base, &end);
}

/* How a batch is cut for cuDNN: plans for chunks of `images` images, and for the last, which may be smaller. */
typedef struct px_plans {
    int images;
    const px_cudnn_plan *chunk, *last; /* NULL: this shape goes by columns */
} px_plans;

/* Decides which way a shape goes, and plans it: by cuDNN where the taps fill a rectangle, an image's share of the panel
 * fits beside `reserved` bytes, and cuDNN has engines for it. `panel` is what a pixel needs of the panel, in bytes. */
static px_status px_plans_find(px_cuda *cuda, px_cudnn_pass pass, const px_grid *grid, const px_taps *taps, px_map x,
                               px_map weight, px_map y, size_t reserved, size_t panel, px_plans *plans) {
    *plans = (px_plans){0};
    const size_t image = (size_t)grid->height * (size_t)grid->width * panel;
    if (px_taps_are_the_pixel(taps) || taps->rows * taps->columns != taps->stored) return PX_OK;
    if (px_grid_pixels(grid) == 0 || reserved + image > PX_CUDA_PANEL) return PX_OK;
    const size_t fit = image ? (PX_CUDA_PANEL - reserved) / image : (size_t)grid->images;
    plans->images = fit < (size_t)grid->images ? (int)fit : grid->images;

    const uintptr_t addresses = (uintptr_t)x.data | (uintptr_t)weight.data | (uintptr_t)y.data;
    const int vector = PX_CUDA_VECTOR / (int)px_type_size(x.type);
    const bool aligned = addresses % PX_CUDA_VECTOR == 0 && x.columns % vector == 0 && y.columns % vector == 0;
    px_cudnn_shape shape = {.pass = pass,
                            .type = x.type,
                            .images = plans->images,
                            .height = grid->height,
                            .width = grid->width,
                            .in = x.columns,
                            .out = y.columns,
                            .rows = taps->rows,
                            .columns = taps->columns,
                            .centre = taps->centre,
                            .alignment = aligned ? PX_CUDA_VECTOR : (int64_t)px_type_size(x.type)};
    PX_TRY(px_cudnn_plan_find(cuda, &shape, &plans->chunk));
    shape.images = (grid->images - 1) % plans->images + 1;
    PX_TRY(px_cudnn_plan_find(cuda, &shape, &plans->last));
    if (!plans->last) plans->chunk = NULL;
    return PX_OK;
}

/* A chunk of a batch: its pixels, and the plan for them. */
typedef struct px_chunk {
    px_grid grid;
    size_t first, pixels;
    const px_cudnn_plan *plan;
} px_chunk;

static px_chunk px_chunk_at(const px_plans *plans, px_grid grid, int image) {
    const size_t pixels = (size_t)grid.height * (size_t)grid.width;
    const bool last = grid.images - image <= plans->images;
    grid.images = last ? grid.images - image : plans->images;
    return (px_chunk){grid, (size_t)image * pixels, px_grid_pixels(&grid), last ? plans->last : plans->chunk};
}

/* A chunk of x as cuDNN reads it: where it lies, or rectified at `panel`. */
static px_status px_chunk_input(px_cuda *cuda, const px_chunk *chunk, px_map x, bool rectify, void *panel,
                                px_map *input) {
    *input = px_map_slice(x, chunk->first, chunk->pixels);
    if (!rectify) return PX_OK;
    const px_gather_args relu = {.grid = chunk->grid,
                                 .taps = px_the_pixel,
                                 .rectify = true,
                                 .x = *input,
                                 .y = px_map_over(panel, chunk->pixels, x.columns, x.type)};
    *input = relu.y;
    return px_cuda_ops(x.type)->gather(&cuda->base, &relu);
}

static px_status px_convolve_by_cudnn(px_cuda *cuda, const px_convolve_args *k, const px_plans *plans) {
    const bool apart = px_same(k->add, k->y);
    for (int image = 0; image < k->grid.images; image += plans->images) {
        const px_chunk chunk = px_chunk_at(plans, k->grid, image);
        const px_map y = px_map_slice(k->y, chunk.first, chunk.pixels);
        px_map input, sum = y;
        if (apart) sum.data = cuda->panel;
        void *rest = apart ? cuda->panel + px_map_bytes(&sum) : cuda->panel;
        PX_TRY(px_chunk_input(cuda, &chunk, k->x, k->rectify, rest, &input));
        PX_TRY(px_cudnn_plan_run(cuda, chunk.plan, input.data, k->weight.data, sum.data));
        PX_TRY(px_finish(
            cuda, (px_combine_args){
                      .sum = sum, .bias = k->bias, .y = y, .add = px_map_slice(k->add, chunk.first, chunk.pixels)}));
    }
    return PX_OK;
}

static px_status px_convolve_by_columns(px_cuda *cuda, const px_convolve_args *k) {
    const bool onto = px_same(k->add, k->y), gathered = k->rectify || !px_taps_are_the_pixel(&k->taps);
    const size_t columns = (size_t)k->taps.live * (size_t)k->x.columns, out = (size_t)k->y.columns;
    const size_t step = px_panel_rows(gathered ? columns * px_type_size(k->x.type) : 0, k->y.rows);
    assert(step > 0);
    for (size_t first = 0; first < k->y.rows; first += step) {
        px_gemm_args gemm = {.transpose_b = true,
                             .m = k->y.rows - first < step ? k->y.rows - first : step,
                             .n = out,
                             .k = columns,
                             .operands = k->x.type,
                             .result = k->y.type,
                             .ld_a = columns,
                             .b = k->weight.data,
                             .ld_b = (size_t)k->weight.columns,
                             .c = px_element(k->y.data, k->y.type, (ptrdiff_t)(first * out)),
                             .ld_c = out,
                             .beta = onto ? 1 : 0,
                             .batch = 1};
        const px_gather_args gather = {
            .grid = k->grid, .taps = k->taps, .rectify = k->rectify, .first = first, .x = k->x};
        PX_TRY(px_columns(cuda, gather, gemm.m, &gemm.a));
        PX_TRY(px_cuda_gemm(&cuda->base, &gemm));
    }
    const px_map absent = {0};
    return px_finish(cuda, (px_combine_args){.sum = k->y, .bias = k->bias, .add = onto ? absent : k->add, .y = k->y});
}

px_status px_cuda_convolve(px_device *device, const px_convolve_args *k) {
    px_cuda *cuda = (px_cuda *)device;
    px_plans plans;
    if (k->y.rows == 0) return PX_OK;
    const size_t reals = (size_t)((k->rectify ? k->x.columns : 0) + (px_same(k->add, k->y) ? k->y.columns : 0));
    PX_TRY(px_plans_find(cuda, PX_CUDNN_FORWARD, &k->grid, &k->taps, k->x, k->weight, k->y, 0,
                         reals * px_type_size(k->x.type), &plans));
    return plans.chunk ? px_convolve_by_cudnn(cuda, k, &plans) : px_convolve_by_columns(cuda, k);
}

static px_status px_input_gradient_by_cudnn(px_cuda *cuda, const px_convolve_input_gradient_args *k,
                                            const px_plans *plans) {
    for (int image = 0; image < k->grid.images; image += plans->images) {
        const px_chunk chunk = px_chunk_at(plans, k->grid, image);
        px_combine_args end = {.add = px_map_slice(k->add, chunk.first, chunk.pixels),
                               .y = px_map_slice(k->dx, chunk.first, chunk.pixels)};
        end.sum = end.y;
        if (px_same(k->add, k->dx)) end.sum.data = cuda->panel;
        if (k->rectify) end.gate = px_map_slice(k->x, chunk.first, chunk.pixels);
        void *dy = px_map_slice(k->dy, chunk.first, chunk.pixels).data;
        PX_TRY(px_cudnn_plan_run(cuda, chunk.plan, end.sum.data, k->weight.data, dy));
        PX_TRY(px_finish(cuda, end));
    }
    return PX_OK;
}

/* sum = beta sum + W_t^T dy(pixel - offset_t), for tap t and the rows `first`.. */
static px_status px_return_tap(px_cuda *cuda, const px_convolve_input_gradient_args *k, int tap, size_t first,
                               px_map sum, px_real beta) {
    const px_taps one = {.stored = 1, .live = 1, .at = {k->taps.at[tap]}};
    const size_t in = (size_t)sum.columns, out = (size_t)k->dy.columns;
    px_gemm_args gemm = {.m = sum.rows,
                         .n = in,
                         .k = out,
                         .operands = k->dy.type,
                         .result = sum.type,
                         .ld_a = out,
                         .ld_b = (size_t)k->weight.columns,
                         .b = px_element(k->weight.data, k->weight.type, tap * sum.columns),
                         .c = sum.data,
                         .ld_c = in,
                         .beta = beta,
                         .batch = 1};
    PX_TRY(px_columns(cuda, (px_gather_args){.grid = k->grid, .taps = one, .mirror = true, .first = first, .x = k->dy},
                      sum.rows, &gemm.a));
    return px_cuda_gemm(&cuda->base, &gemm);
}

/* The taps add up in dx itself; apart from it where what is added is dx and must wait, for the gate or for a sum that is
 * wider than dx: several taps add up as reals. */
static px_status px_input_gradient_by_columns(px_cuda *cuda, const px_convolve_input_gradient_args *k) {
    const px_map absent = {0};
    const bool aliased = px_same(k->add, k->dx), wide = k->dx.type != PX_REAL && k->taps.live > 1;
    const bool apart = aliased && (k->rectify || wide), onto = aliased && !apart;
    const size_t size = px_type_size(k->dx.type), in = (size_t)k->dx.columns;
    const size_t gathered = px_taps_are_the_pixel(&k->taps) ? 0 : (size_t)k->dy.columns * size;
    const size_t step = px_panel_rows(gathered + (apart ? in * size : 0) + (wide ? in * sizeof(px_real) : 0),
                                      k->dx.rows);
    assert(step > 0);
    for (size_t first = 0; first < k->dx.rows; first += step) {
        const size_t pixels = k->dx.rows - first < step ? k->dx.rows - first : step;
        px_combine_args end = {.add = onto ? absent : px_map_slice(k->add, first, pixels),
                               .gate = k->rectify ? px_map_slice(k->x, first, pixels) : absent,
                               .y = px_map_slice(k->dx, first, pixels)};
        const px_map columns = px_map_slice(k->dy, first, pixels);
        char *panel = cuda->panel + (gathered ? px_map_room(&columns) : 0);
        end.sum = end.y;
        if (apart) end.sum.data = panel;
        const px_map total = wide ? px_map_over(panel + px_map_room(&end.sum), pixels, k->dx.columns, PX_REAL)
                                  : end.sum;
        for (int tap = 0; tap < k->taps.live; tap++)
            PX_TRY(px_return_tap(cuda, k, tap, first, total, tap > 0 || onto ? 1 : 0));
        if (wide) PX_TRY(px_cuda_ops(k->dx.type)->convert(&cuda->base, &(px_convert_args){.x = total, .y = end.sum}));
        PX_TRY(px_finish(cuda, end));
    }
    return PX_OK;
}

px_status px_cuda_convolve_input_gradient(px_device *device, const px_convolve_input_gradient_args *k) {
    px_cuda *cuda = (px_cuda *)device;
    px_plans plans;
    if (k->dx.rows == 0) return PX_OK;
    const size_t panel = px_same(k->add, k->dx) ? (size_t)k->dx.columns * px_type_size(k->dx.type) : 0;
    PX_TRY(px_plans_find(cuda, PX_CUDNN_INPUT_GRADIENT, &k->grid, &k->taps, k->dx, k->weight, k->dy, 0, panel, &plans));
    return plans.chunk ? px_input_gradient_by_cudnn(cuda, k, &plans) : px_input_gradient_by_columns(cuda, k);
}

/* Chunks are summed in the panel, over the whole rectangle; the live taps of the total are what dweight gets. */
static px_status px_weight_gradient_by_cudnn(px_cuda *cuda, const px_convolve_weight_gradient_args *k,
                                             const px_plans *plans) {
    const size_t room = px_map_room(&k->dweight), width = (size_t)k->dweight.columns * sizeof(px_real);
    px_map total = k->dweight, part = k->dweight;
    total.data = cuda->panel;
    part.data = cuda->panel + room;
    for (int image = 0; image < k->grid.images; image += plans->images) {
        const px_chunk chunk = px_chunk_at(plans, k->grid, image);
        px_map input;
        PX_TRY(px_chunk_input(cuda, &chunk, k->x, k->rectify, cuda->panel + 2 * room, &input));
        void *dy = px_map_slice(k->dy, chunk.first, chunk.pixels).data;
        PX_TRY(px_cudnn_plan_run(cuda, chunk.plan, input.data, image == 0 ? total.data : part.data, dy));
        if (image > 0) PX_TRY(px_finish(cuda, (px_combine_args){.sum = part, .add = total, .y = total}));
    }
    const size_t live = (size_t)k->taps.live * (size_t)k->x.columns * sizeof(px_real);
    return px_cuda_check(&cuda->base,
                         cudaMemcpy2DAsync(k->dweight.data, width, total.data, width, live, k->dweight.rows,
                                           cudaMemcpyDeviceToDevice, cuda->stream),
                         "copy a weight's gradient");
}

static px_status px_weight_gradient_by_columns(px_cuda *cuda, const px_convolve_weight_gradient_args *k) {
    const bool gathered = k->rectify || !px_taps_are_the_pixel(&k->taps);
    const size_t columns = (size_t)k->taps.live * (size_t)k->x.columns, out = (size_t)k->dy.columns;
    const size_t step = px_panel_rows(gathered ? columns * px_type_size(k->x.type) : 0, k->dy.rows);
    assert(step > 0 || k->dy.rows == 0);
    px_gemm_args gemm = {.transpose_a = true,
                         .m = out,
                         .n = columns,
                         .operands = k->x.type,
                         .ld_a = out,
                         .ld_b = columns,
                         .c = k->dweight.data,
                         .ld_c = (size_t)k->dweight.columns,
                         .batch = 1};
    size_t first = 0;
    do { /* once for an empty batch too: its gradient is 0 */
        gemm.k = k->dy.rows - first < step ? k->dy.rows - first : step;
        gemm.a = px_map_slice(k->dy, first, gemm.k).data;
        const px_gather_args gather = {
            .grid = k->grid, .taps = k->taps, .rectify = k->rectify, .first = first, .x = k->x};
        PX_TRY(px_columns(cuda, gather, gemm.k, &gemm.b));
        PX_TRY(px_cuda_gemm(&cuda->base, &gemm));
        gemm.beta = 1;
        first += step;
    } while (first < k->dy.rows);
    return PX_OK;
}

/* Column sums in two launches: of segments of rows, side by side, then of the segments' sums. */
static px_status px_bias_gradient(px_cuda *cuda, px_map dy, px_map dbias) {
    enum { SEGMENTS = 256 };
    px_map sums = dy;
    if (dy.rows > SEGMENTS) {
        sums = px_map_over(cuda->panel, SEGMENTS, dy.columns, PX_REAL);
        PX_TRY(px_cuda_ops(dy.type)->column_sum(&cuda->base, &(px_column_sum_args){.x = dy, .y = sums}));
    }
    return px_cuda_ops(sums.type)->column_sum(&cuda->base, &(px_column_sum_args){.x = sums, .y = dbias});
}

px_status px_cuda_convolve_weight_gradient(px_device *device, const px_convolve_weight_gradient_args *k) {
    px_cuda *cuda = (px_cuda *)device;
    px_plans plans;
    PX_TRY(px_plans_find(cuda, PX_CUDNN_WEIGHT_GRADIENT, &k->grid, &k->taps, k->x, k->dweight, k->dy,
                         2 * px_map_room(&k->dweight), k->rectify ? (size_t)k->x.columns * px_type_size(k->x.type) : 0,
                         &plans));
    if (plans.chunk)
        PX_TRY(px_weight_gradient_by_cudnn(cuda, k, &plans));
    else
        PX_TRY(px_weight_gradient_by_columns(cuda, k));
    return k->dbias.data ? px_bias_gradient(cuda, k->dy, k->dbias) : PX_OK;
}
