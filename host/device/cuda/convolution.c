/* Masked convolutions on CUDA, in two ways; plans_find chooses.
 *
 * cuDNN computes bfloat16 and TF32 forward convolutions and input gradients if the taps fill a rectangle and all
 * tensors are aligned. Taps of its last row that are not live have zero weights, so that the whole rectangle may be
 * computed. Everything else uses im2col and a cuBLASLt GEMM over the live taps. A 1 x 1 convolution needs no im2col.
 *
 * Measured on an H200 (2026-11-26, 64 x 64 x 3, h 128, batch 16): in bfloat16, cuDNN takes 0.5 of the time of im2col
 * for the input gradient, and 0.8 forward. In float32 without TF32, cuDNN's forward engine takes 45 times as long as
 * im2col for the 1 x 2 taps of a Row LSTM, and 6.5 times as long for a PixelCNN's input gradient. TF32 has not been
 * measured.
 *
 * Epilogues (bias, add, relu, relu mask) are fused if the library has such a kernel; otherwise bias_add_relu follows.
 * Work is split into chunks whose im2col and results stay in the L2 cache until they are read. All splits depend on the
 * shapes alone. */
#include "host/device/cuda/cuda.h"

static const px_taps the_pixel = {.stored = 1, .live = 1, .rows = 1, .columns = 1};

static bool same(px_tensor a, px_tensor b) { return a.data && a.data == b.data; }

/* How many of `max` items of `bytes` bytes each, in up to three tensors, fit in the L2 budget: at least 1. */
static size_t l2_budget(size_t bytes, size_t max) {
    const size_t fit = bytes ? (PX_CUDA_L2_BUDGET - 2 * PX_TENSOR_ALIGN) / bytes : max;
    return fit < 1 ? 1 : fit < max ? fit : max;
}

/* The im2col rows of `pixels` pixels, written to the workspace; for 1 x 1 taps without relu, the rows of x itself. */
static px_status im2col_rows(px_cuda *cuda, px_im2col_args im2col, size_t pixels, const void **columns) {
    const px_tensor x = im2col.x;
    *columns = px_tensor_slice(x, im2col.first, pixels).data;
    if (!im2col.relu && px_taps_are_the_pixel(&im2col.taps)) return PX_OK;
    im2col.y = px_tensor_of(cuda->workspace, pixels * (size_t)im2col.taps.live, x.columns, x.type);
    *columns = im2col.y.data;
    return px_cuda_ops(x.type)->im2col(&cuda->base, &im2col);
}

/* Whether an epilogue does anything but copy sum to y. */
static bool has_epilogue(const px_bias_add_relu_args *epilogue) {
    return epilogue->bias.data || epilogue->add.data || epilogue->relu_mask.data || epilogue->relu;
}

/* Runs an epilogue, unless it would do nothing. */
static px_status run_epilogue(px_cuda *cuda, px_bias_add_relu_args epilogue) {
    if (!has_epilogue(&epilogue) && same(epilogue.sum, epilogue.y)) return PX_OK;
    return px_cuda_ops(epilogue.y.type)->bias_add_relu(&cuda->base, &epilogue);
}

/* A convolution as plans_find reads it. */
typedef struct cudnn_request {
    px_cudnn_pass pass;
    const px_grid *grid;
    const px_taps *taps;
    px_tensor x, weight, y;
    px_bias_add_relu_args epilogue; /* of the result; sum is not read. A bias of several rows is not fused */
    size_t reserved, workspace;     /* bytes of the workspace: a fixed part, and a part for each pixel */
} cudnn_request;

/* How a batch is split for cuDNN: a plan for chunks of `images` images, and one for the last, possibly smaller chunk.
 */
typedef struct cudnn_plans {
    int images;
    const px_cudnn_plan *chunk, *last; /* NULL: use im2col */
    bool fused;                        /* the plans include the epilogue */
} cudnn_plans;

/* Whether cuDNN is used for these tensors. With an alignment of 2 bytes, cuDNN 9.19 offers engines on an H200 that give
 * wrong sums or reject the pointers. */
static bool cudnn_supports(const px_cuda *cuda, const cudnn_request *r) {
    const uintptr_t addresses = (uintptr_t)r->x.data | (uintptr_t)r->weight.data | (uintptr_t)r->y.data |
                                (uintptr_t)r->epilogue.bias.data | (uintptr_t)r->epilogue.relu_mask.data |
                                (uintptr_t)r->epilogue.add.data;
    const int vector = PX_CUDA_VECTOR / (int)px_type_size(r->x.type);
    return cuda->base.paths & PX_PATH_LIBRARIES && (r->x.type == PX_BF16 || cuda->base.tf32) &&
           addresses % PX_CUDA_VECTOR == 0 && r->x.columns % vector == 0 && r->y.columns % vector == 0;
}

static px_cudnn_shape cudnn_shape_of(const cudnn_request *r) {
    return (px_cudnn_shape){.pass = r->pass,
                            .type = r->x.type,
                            .height = r->grid->height,
                            .width = r->grid->width,
                            .in = r->x.columns,
                            .out = r->y.columns,
                            .rows = r->taps->rows,
                            .columns = r->taps->columns,
                            .centre = r->taps->centre};
}

/* Finds the plans for a batch split into chunks of plans->images images: both or none. */
static px_status plans_make(px_cuda *cuda, px_cudnn_shape shape, int images, cudnn_plans *plans) {
    shape.images = plans->images;
    PX_TRY(px_cudnn_plan_find(cuda, &shape, &plans->chunk));
    shape.images = (images - 1) % plans->images + 1;
    PX_TRY(px_cudnn_plan_find(cuda, &shape, &plans->last));
    if (!plans->last) plans->chunk = NULL;
    return PX_OK;
}

/* Finds plans with fused epilogues. add must not be the result, as cuDNN does not document such aliasing. */
static px_status plans_with_epilogue(px_cuda *cuda, const cudnn_request *r, px_cudnn_shape shape, cudnn_plans *plans) {
    const int64_t epilogues[PX_CUDNN_EPILOGUES] = {[PX_CUDNN_BIAS] = r->epilogue.bias.data != NULL,
                                                   [PX_CUDNN_RELU_MASK] = r->epilogue.relu_mask.data != NULL,
                                                   [PX_CUDNN_ADD] = r->epilogue.add.data != NULL,
                                                   [PX_CUDNN_RELU] = r->epilogue.relu};
    if (!has_epilogue(&r->epilogue) || same(r->epilogue.add, r->epilogue.y) || r->epilogue.bias.rows > 1) return PX_OK;
    for (int e = 0; e < PX_CUDNN_EPILOGUES; e++) shape.epilogues[e] = epilogues[e];
    PX_TRY(plans_make(cuda, shape, r->grid->images, plans));
    plans->fused = plans->chunk != NULL;
    return PX_OK;
}

/* Chooses between cuDNN and im2col, and finds the plans. cuDNN needs supported tensors, taps that fill a rectangle, one
 * image that fits in the workspace, and an engine. A 1 x 1 convolution is a GEMM, unless it has a relu mask, which only
 * cuDNN can fuse. */
static px_status plans_find(px_cuda *cuda, const cudnn_request *r, cudnn_plans *plans) {
    *plans = (cudnn_plans){0};
    const size_t pixels = (size_t)r->grid->height * (size_t)r->grid->width, workspace = pixels * r->workspace;
    const bool is_1x1 = px_taps_are_the_pixel(r->taps), rectangle = r->taps->rows * r->taps->columns == r->taps->stored;
    if (!cudnn_supports(cuda, r) || !rectangle || (is_1x1 && !r->epilogue.relu_mask.data)) return PX_OK;
    if (px_grid_pixels(r->grid) == 0 || r->reserved + workspace > PX_CUDA_WORKSPACE) return PX_OK;
    const px_cudnn_shape shape = cudnn_shape_of(r);
    const size_t max_images = workspace ? (PX_CUDA_WORKSPACE - r->reserved) / workspace : (size_t)r->grid->images;
    plans->images = (int)l2_budget(workspace,
                                   max_images < (size_t)r->grid->images ? max_images : (size_t)r->grid->images);
    PX_TRY(plans_with_epilogue(cuda, r, shape, plans));
    if (plans->fused || is_1x1) return PX_OK;
    if (has_epilogue(&r->epilogue))
        plans->images = (int)l2_budget(workspace + px_tensor_bytes(&r->epilogue.y) / (size_t)r->grid->images,
                                       (size_t)plans->images);
    return plans_make(cuda, shape, r->grid->images, plans);
}

/* A chunk of a batch and its plan. */
typedef struct cudnn_chunk {
    px_grid grid;
    size_t first, pixels;
    const px_cudnn_plan *plan;
} cudnn_chunk;

static cudnn_chunk chunk_at(const cudnn_plans *plans, px_grid grid, int image) {
    const size_t pixels = (size_t)grid.height * (size_t)grid.width;
    const bool last = grid.images - image <= plans->images;
    grid.images = last ? grid.images - image : plans->images;
    return (cudnn_chunk){grid, (size_t)image * pixels, px_grid_pixels(&grid), last ? plans->last : plans->chunk};
}

/* The rows of x of a chunk; with relu, relu(x) written to workspace. */
static px_status chunk_input(px_cuda *cuda, const cudnn_chunk *chunk, px_tensor x, bool relu, void *workspace,
                             px_tensor *input) {
    *input = px_tensor_slice(x, chunk->first, chunk->pixels);
    if (!relu) return PX_OK;
    const px_im2col_args copy = {.grid = chunk->grid,
                                 .taps = the_pixel,
                                 .relu = true,
                                 .x = *input,
                                 .y = px_tensor_of(workspace, chunk->pixels, x.columns, x.type)};
    *input = copy.y;
    return px_cuda_ops(x.type)->im2col(&cuda->base, &copy);
}

/* The pixels that share a row of the bias. */
static size_t pixels_of_bias(const px_bias_add_relu_args *epilogue) {
    return epilogue->bias.rows > 1 ? epilogue->y.rows / epilogue->bias.rows : epilogue->y.rows;
}

/* The epilogue of one chunk. Its sum is y, or the workspace if add is y. With a bias for each image, a chunk is whole
 * images, or lies in one. */
static px_bias_add_relu_args chunk_epilogue(const px_cuda *cuda, px_bias_add_relu_args epilogue, size_t first,
                                            size_t pixels) {
    const size_t group = pixels_of_bias(&epilogue);
    epilogue.bias = px_tensor_slice(epilogue.bias, first / group, pixels > group ? pixels / group : 1);
    epilogue.y = epilogue.sum = px_tensor_slice(epilogue.y, first, pixels);
    epilogue.add = px_tensor_slice(epilogue.add, first, pixels);
    epilogue.relu_mask = px_tensor_slice(epilogue.relu_mask, first, pixels);
    if (same(epilogue.add, epilogue.y)) epilogue.sum.data = cuda->workspace;
    return epilogue;
}

static px_bias_add_relu_args convolve_epilogue(const px_convolve_args *k) {
    return (px_bias_add_relu_args){.relu = k->relu_y, .bias = k->bias, .add = k->add, .y = k->y};
}

static px_status convolve_by_cudnn(px_cuda *cuda, const px_convolve_args *k, const cudnn_plans *plans) {
    for (int image = 0; image < k->grid.images; image += plans->images) {
        const cudnn_chunk chunk = chunk_at(plans, k->grid, image);
        const px_bias_add_relu_args epilogue = chunk_epilogue(cuda, convolve_epilogue(k), chunk.first, chunk.pixels);
        px_tensor input;
        void *relu_x = same(epilogue.sum, epilogue.y) ? cuda->workspace
                                                      : cuda->workspace + px_tensor_padded_bytes(&epilogue.sum);
        PX_TRY(chunk_input(cuda, &chunk, k->x, k->relu, relu_x, &input));
        const px_cudnn_tensors operands = {.x = input.data,
                                           .weight = k->weight.data,
                                           .y = epilogue.sum.data,
                                           .bias = epilogue.bias.data,
                                           .add = epilogue.add.data};
        PX_TRY(px_cudnn_plan_run(cuda, chunk.plan, &operands));
        if (!plans->fused) PX_TRY(run_epilogue(cuda, epilogue));
    }
    return PX_OK;
}

static px_status convolve_by_im2col(px_cuda *cuda, const px_convolve_args *k) {
    const bool onto = same(k->add, k->y), gathered = k->relu || !px_taps_are_the_pixel(&k->taps);
    const size_t columns = (size_t)k->taps.live * (size_t)k->x.columns, out = (size_t)k->y.columns;
    const px_bias_add_relu_args whole = convolve_epilogue(k);
    const size_t group = pixels_of_bias(&whole);
    const size_t fit = l2_budget(gathered ? columns * px_type_size(k->x.type) : 0, k->y.rows);
    const size_t step = fit > group ? fit / group * group : fit;
    for (size_t first = 0, pixels; first < k->y.rows; first += pixels) {
        const size_t end = step < group ? (first / group + 1) * group : k->y.rows;
        pixels = end - first < step ? end - first : step;
        const size_t problems = pixels > group ? pixels / group : 1; /* of a batch, one for each row of the bias */
        px_bias_add_relu_args epilogue = chunk_epilogue(cuda, whole, first, pixels);
        const px_gemm_epilogue fused_epilogue = {
            .add = epilogue.add.data, .bias = epilogue.bias.data, .relu = epilogue.relu};
        epilogue.sum = epilogue.y; /* a GEMM may add to y itself */
        if (onto) epilogue.add = (px_tensor){0};
        px_gemm_args gemm = {.transpose_b = true,
                             .m = pixels / problems,
                             .n = out,
                             .k = columns,
                             .operands = k->x.type,
                             .result = k->y.type,
                             .ld_a = columns,
                             .b = k->weight.data,
                             .ld_b = (size_t)k->weight.columns,
                             .c = epilogue.y.data,
                             .ld_c = out,
                             .beta = onto ? 1 : 0,
                             .batch = (int)problems,
                             .stride_a = (ptrdiff_t)(pixels / problems * columns),
                             .stride_c = (ptrdiff_t)(pixels / problems * out)};
        const px_im2col_args im2col = {.grid = k->grid, .taps = k->taps, .relu = k->relu, .first = first, .x = k->x};
        bool fused;
        PX_TRY(im2col_rows(cuda, im2col, pixels, &gemm.a));
        PX_TRY(px_cuda_gemm_epilogue(cuda, &gemm, &fused_epilogue, &fused));
        if (!fused) PX_TRY(run_epilogue(cuda, epilogue));
    }
    return PX_OK;
}

px_status px_cuda_convolve(px_device *device, const px_convolve_args *k) {
    px_cuda *cuda = (px_cuda *)device;
    cudnn_plans plans;
    if (k->y.rows == 0) return PX_OK;
    const int columns = (k->relu ? k->x.columns : 0) + (same(k->add, k->y) ? k->y.columns : 0);
    const cudnn_request request = {.pass = PX_CUDNN_FORWARD,
                                   .grid = &k->grid,
                                   .taps = &k->taps,
                                   .x = k->x,
                                   .weight = k->weight,
                                   .y = k->y,
                                   .epilogue = convolve_epilogue(k),
                                   .reserved = PX_TENSOR_ALIGN,
                                   .workspace = (size_t)columns * px_type_size(k->x.type)};
    PX_TRY(plans_find(cuda, &request, &plans));
    return plans.chunk ? convolve_by_cudnn(cuda, k, &plans) : convolve_by_im2col(cuda, k);
}

static px_bias_add_relu_args input_gradient_epilogue(const px_convolve_input_gradient_args *k) {
    px_bias_add_relu_args epilogue = {.add = k->add, .y = k->dx};
    if (k->relu) epilogue.relu_mask = k->x;
    return epilogue;
}

static px_status input_gradient_by_cudnn(px_cuda *cuda, const px_convolve_input_gradient_args *k,
                                         const cudnn_plans *plans) {
    for (int image = 0; image < k->grid.images; image += plans->images) {
        const cudnn_chunk chunk = chunk_at(plans, k->grid, image);
        const px_bias_add_relu_args epilogue = chunk_epilogue(cuda, input_gradient_epilogue(k), chunk.first,
                                                              chunk.pixels);
        const px_cudnn_tensors operands = {.x = epilogue.sum.data,
                                           .weight = k->weight.data,
                                           .y = px_tensor_slice(k->dy, chunk.first, chunk.pixels).data,
                                           .relu_mask = epilogue.relu_mask.data,
                                           .add = epilogue.add.data};
        PX_TRY(px_cudnn_plan_run(cuda, chunk.plan, &operands));
        if (!plans->fused) PX_TRY(run_epilogue(cuda, epilogue));
    }
    return PX_OK;
}

/* sum = beta sum + W_t^T dy(pixel - offset_t), for tap t and the pixels from `first` on. */
static px_status input_gradient_tap(px_cuda *cuda, const px_convolve_input_gradient_args *k, int tap, size_t first,
                                    px_tensor sum, px_real beta) {
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
    PX_TRY(im2col_rows(cuda, (px_im2col_args){.grid = k->grid, .taps = one, .mirror = true, .first = first, .x = k->dy},
                       sum.rows, &gemm.a));
    return px_cuda_gemm(&cuda->base, &gemm);
}

/* Accumulates the taps in dx itself, or in the workspace if dx is also add and must be kept for the relu mask or the
 * cast. Several taps accumulate in float32. */
static px_status input_gradient_by_im2col(px_cuda *cuda, const px_convolve_input_gradient_args *k) {
    const bool aliased = same(k->add, k->dx), wide = k->dx.type != PX_REAL && k->taps.live > 1;
    const bool apart = aliased && (k->relu || wide), onto = aliased && !apart;
    const bool combined = k->relu || (k->add.data && !onto);
    const size_t size = px_type_size(k->dx.type), in = (size_t)k->dx.columns;
    const size_t gathered = px_taps_are_the_pixel(&k->taps) ? 0 : (size_t)k->dy.columns * size;
    const size_t step = l2_budget(gathered + (combined ? in * size : 0) + (wide ? in * sizeof(px_real) : 0),
                                  k->dx.rows);
    for (size_t first = 0; first < k->dx.rows; first += step) {
        const size_t pixels = k->dx.rows - first < step ? k->dx.rows - first : step;
        px_bias_add_relu_args epilogue = chunk_epilogue(cuda, input_gradient_epilogue(k), first, pixels);
        if (onto) epilogue.add = (px_tensor){0};
        const px_tensor columns = px_tensor_slice(k->dy, first, pixels);
        char *workspace = cuda->workspace + (gathered ? px_tensor_padded_bytes(&columns) : 0);
        epilogue.sum = epilogue.y;
        if (apart) epilogue.sum.data = workspace;
        const px_tensor total = wide ? px_tensor_of(workspace + px_tensor_padded_bytes(&epilogue.sum), pixels,
                                                    k->dx.columns, PX_REAL)
                                     : epilogue.sum;
        for (int tap = 0; tap < k->taps.live; tap++)
            PX_TRY(input_gradient_tap(cuda, k, tap, first, total, tap > 0 || onto ? 1 : 0));
        if (wide) PX_TRY(px_cuda_ops(k->dx.type)->cast(&cuda->base, &(px_cast_args){.x = total, .y = epilogue.sum}));
        PX_TRY(run_epilogue(cuda, epilogue));
    }
    return PX_OK;
}

px_status px_cuda_convolve_input_gradient(px_device *device, const px_convolve_input_gradient_args *k) {
    px_cuda *cuda = (px_cuda *)device;
    cudnn_plans plans;
    if (k->dx.rows == 0) return PX_OK;
    const cudnn_request request = {.pass = PX_CUDNN_INPUT_GRADIENT,
                                   .grid = &k->grid,
                                   .taps = &k->taps,
                                   .x = k->dx,
                                   .weight = k->weight,
                                   .y = k->dy,
                                   .epilogue = input_gradient_epilogue(k),
                                   .workspace = same(k->add, k->dx) ? (size_t)k->dx.columns * px_type_size(k->dx.type)
                                                                    : 0};
    PX_TRY(plans_find(cuda, &request, &plans));
    return plans.chunk ? input_gradient_by_cudnn(cuda, k, &plans) : input_gradient_by_im2col(cuda, k);
}

/* The number of segments into which the pixels of a weight gradient are split (split-K). Each segment gives a partial
 * sum, as one problem of a batched GEMM. The gradient has few tiles (5 for 128 channels and 5 taps), so that one GEMM
 * over all pixels would leave most multiprocessors idle. */
static size_t weight_gradient_segments(size_t pixels, size_t out, size_t columns) {
    enum { TILE = 128, TILES = 132, SHORTEST = 256 }; /* of a GEMM; that fill an H100; pixels of a segment */
    const size_t tiles = (out + TILE - 1) / TILE * ((columns + TILE - 1) / TILE);
    const size_t max = pixels / SHORTEST, wanted = tiles < TILES ? TILES / tiles : 1;
    const size_t count = wanted < max ? wanted : max;
    return count > 1 ? count : 1;
}

/* sums = beta sums + dy^T im2col(x), for `batch` segments of `length` pixels from `first` on. Segment i is problem i of
 * a batched GEMM. Its sum is row i of each group of `batch` rows of sums. */
static px_status weight_gradient_part(px_cuda *cuda, const px_convolve_weight_gradient_args *k, size_t first,
                                      size_t length, int batch, px_real beta, void *sums, size_t ld) {
    const size_t columns = (size_t)k->taps.live * (size_t)k->x.columns, out = (size_t)k->dy.columns;
    px_gemm_args gemm = {.transpose_a = true,
                         .m = out,
                         .n = columns,
                         .k = length,
                         .operands = k->x.type,
                         .a = px_tensor_slice(k->dy, first, length).data,
                         .ld_a = out,
                         .ld_b = columns,
                         .c = sums,
                         .ld_c = ld,
                         .beta = beta,
                         .batch = batch,
                         .stride_a = (ptrdiff_t)(length * out),
                         .stride_b = (ptrdiff_t)(length * columns),
                         .stride_c = (ptrdiff_t)columns};
    const px_im2col_args im2col = {.grid = k->grid, .taps = k->taps, .relu = k->relu, .first = first, .x = k->x};
    PX_TRY(im2col_rows(cuda, im2col, length * (size_t)batch, &gemm.b));
    return px_cuda_gemm(&cuda->base, &gemm);
}

/* dweight = the sum of the rows of each group of sums. Only the live taps of dweight are written. */
static px_status weight_gradient_total(px_cuda *cuda, const px_convolve_weight_gradient_args *k, px_tensor sums,
                                       void *workspace) {
    const px_tensor dense = px_tensor_of(workspace, k->dweight.rows, sums.columns, PX_REAL);
    const bool direct = dense.columns == k->dweight.columns;
    const px_sum_rows_args total = {.x = sums, .y = direct ? k->dweight : dense};
    PX_TRY(px_cuda_ops(PX_REAL)->sum_rows(&cuda->base, &total));
    if (direct) return PX_OK;
    const size_t bytes = (size_t)dense.columns * sizeof(px_real), pitch = (size_t)k->dweight.columns * sizeof(px_real);
    return px_cuda_check(&cuda->base,
                         cudaMemcpy2DAsync(k->dweight.data, pitch, workspace, bytes, bytes, dense.rows,
                                           cudaMemcpyDeviceToDevice, cuda->stream),
                         "copy a weight's gradient");
}

/* Each iteration handles as many pixels of every segment as fit in the L2 budget, and adds to the segments' sums. If
 * fewer pixels than segments remain, they go to the first segment. */
static px_status weight_gradient(px_cuda *cuda, const px_convolve_weight_gradient_args *k) {
    const bool gathered = k->relu || !px_taps_are_the_pixel(&k->taps);
    const size_t columns = (size_t)k->taps.live * (size_t)k->x.columns, pixels = k->dy.rows;
    const size_t at_once = l2_budget(gathered ? columns * px_type_size(k->x.type) : 0, pixels);
    const size_t segments = weight_gradient_segments(at_once, (size_t)k->dy.columns, columns);
    px_tensor sums = k->dweight;
    size_t ld = (size_t)k->dweight.columns, first = 0;
    if (segments > 1) {
        sums = px_tensor_of(cuda->workspace + PX_CUDA_WORKSPACE / 2, k->dweight.rows * segments, (int)columns, PX_REAL);
        ld = columns * segments;
    }
    do { /* also once for an empty batch, whose gradient is 0 */
        const size_t left = pixels - first, round = left < at_once ? left : at_once, length = round / segments;
        const size_t batch = length > 0 || pixels == 0 ? segments : 1, pixels_each = length > 0 ? length : left;
        PX_TRY(weight_gradient_part(cuda, k, first, pixels_each, (int)batch, first > 0 ? 1 : 0, sums.data, ld));
        first += pixels_each * batch;
    } while (first < pixels);
    return segments > 1 ? weight_gradient_total(cuda, k, sums, cuda->workspace) : PX_OK;
}

/* Sums the rows of dy that belong to each row of dbias, in several levels: each level sums segments of rows in
 * parallel, until few rows are left. A thread sums one column of a segment. Segments are short, so that there are
 * enough threads for all multiprocessors. */
static px_status bias_gradient(px_cuda *cuda, px_tensor dy, px_tensor dbias) {
    enum { SHORT = 64, MAX = 2048 };
    px_tensor sums = dy;
    char *workspace = cuda->workspace;
    while (sums.rows / dbias.rows > SHORT) {
        const size_t rows = sums.rows / dbias.rows, max = dbias.rows < MAX ? MAX / dbias.rows : 1;
        const size_t segments = (rows > SHORT * max ? max : (rows + SHORT - 1) / SHORT) * dbias.rows;
        const px_tensor next = px_tensor_of(workspace, segments, dy.columns, PX_REAL);
        PX_TRY(px_cuda_ops(sums.type)->sum_rows(&cuda->base, &(px_sum_rows_args){.x = sums, .y = next}));
        sums = next;
        workspace += px_tensor_padded_bytes(&next);
    }
    return px_cuda_ops(sums.type)->sum_rows(&cuda->base, &(px_sum_rows_args){.x = sums, .y = dbias});
}

px_status px_cuda_convolve_weight_gradient(px_device *device, const px_convolve_weight_gradient_args *k) {
    px_cuda *cuda = (px_cuda *)device;
    if (k->dweight.data) PX_TRY(weight_gradient(cuda, k));
    return k->dbias.data ? bias_gradient(cuda, k->dy, k->dbias) : PX_OK;
}
