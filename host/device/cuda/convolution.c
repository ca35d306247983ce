/* Masked convolutions on CUDA, two ways.
 *
 * By cuDNN: bfloat16, forward and the gradient of the input, where the taps fill a rectangle and all tensors are
 * aligned. The few taps of its last row that are not live hold 0 in the weight, so the whole rectangle may be computed.
 * By columns (im2col): gathered pixels times live taps, a panel at a time, through cuBLASLt; a single tap on the pixel
 * itself needs no gathering. plans_find decides.
 *
 * Measured on an H200 (2026-11-26, 64 x 64 x 3, h 128, batch 16): in bfloat16 cuDNN takes half the time of columns for
 * the gradient of the input, and 0.8 of it forward. In float32, where tensor cores would mean TF32, its forward engine
 * for a Row LSTM's 1 x 2 taps takes 45 times as long as columns, and its gradient of a PixelCNN's input 6.5 times.
 *
 * How a convolution ends (bias, what is added, relu, the gate of a gradient) is done by the same kernel where the
 * library has one that does; where not, `combine` follows. What is gathered or to be combined goes by chunks that are
 * still in the second-level cache when they are read again. All cuts depend on the shapes alone. */
#include "host/device/cuda/cuda.h"

static const px_taps the_pixel = {.stored = 1, .live = 1, .rows = 1, .columns = 1};

static bool same(px_tensor a, px_tensor b) {
    return a.data && a.data == b.data;
}

/* How many of `most` things of `bytes` bytes, in up to three tensors, are near at a time: one at least. */
static size_t l2_budget(size_t bytes, size_t most) {
    const size_t fit = bytes ? (PX_CUDA_L2_BUDGET - 2 * PX_TENSOR_ALIGN) / bytes : most;
    return fit < 1 ? 1 : fit < most ? fit : most;
}

/* The rows `first`.. of x that a product reads: columns gathered into the panel, or x itself where they are the same.
 */
static px_status px_columns(px_cuda *cuda, px_im2col_args im2col, size_t pixels, const void **columns) {
    const px_tensor x = im2col.x;
    *columns = px_tensor_slice(x, im2col.first, pixels).data;
    if (!im2col.relu && px_taps_are_the_pixel(&im2col.taps)) return PX_OK;
    im2col.y = px_tensor_of(cuda->workspace, pixels * (size_t)im2col.taps.live, x.columns, x.type);
    *columns = im2col.y.data;
    return px_cuda_ops(x.type)->im2col(&cuda->base, &im2col);
}

/* Whether anything is left to do with a sum that lies where it belongs. */
static bool px_ends(const px_bias_add_relu_args *end) {
    return end->bias.data || end->add.data || end->relu_mask.data || end->relu;
}

/* y = sum + bias + add, sum counting only where gate > 0, rectified, unless sum is that already. */
static px_status finish(px_cuda *cuda, px_bias_add_relu_args end) {
    if (!px_ends(&end) && same(end.sum, end.y)) return PX_OK;
    return px_cuda_ops(end.y.type)->bias_add_relu(&cuda->base, &end);
}

/* What a convolution wants of cuDNN: a pass, the three tensors, and how the result ends. */
typedef struct px_request {
    px_cudnn_pass pass;
    const px_grid *grid;
    const px_taps *taps;
    px_tensor x, weight, y;
    px_bias_add_relu_args end;  /* of the result; sum is not read */
    size_t reserved, workspace; /* bytes of the panel: in all, and for a pixel */
} px_request;

/* How a batch is cut for cuDNN: plans for chunks of `images` images, and for the last, which may be smaller. */
typedef struct px_plans {
    int images;
    const px_cudnn_plan *chunk, *last; /* NULL: this shape goes by columns */
    bool ended;                        /* the plans leave nothing to combine */
} px_plans;

/* Whether cuDNN's engines take these tensors. With an alignment of 2 bytes they are offered, but gave wrong sums or
 * refused the pointers (cuDNN 9.19, H200). */
static bool cudnn_takes(const px_request *r) {
    const uintptr_t addresses = (uintptr_t)r->x.data | (uintptr_t)r->weight.data | (uintptr_t)r->y.data |
                                (uintptr_t)r->end.bias.data | (uintptr_t)r->end.relu_mask.data |
                                (uintptr_t)r->end.add.data;
    const int vector = PX_CUDA_VECTOR / (int)px_type_size(PX_BF16);
    return r->x.type == PX_BF16 && addresses % PX_CUDA_VECTOR == 0 && r->x.columns % vector == 0 &&
           r->y.columns % vector == 0;
}

static px_cudnn_shape cudnn_shape_of(const px_request *r) {
    return (px_cudnn_shape){.pass = r->pass,
                            .height = r->grid->height,
                            .width = r->grid->width,
                            .in = r->x.columns,
                            .out = r->y.columns,
                            .rows = r->taps->rows,
                            .columns = r->taps->columns,
                            .centre = r->taps->centre};
}

/* The plans for a batch cut in chunks of plans->images; both or none. */
static px_status plans_make(px_cuda *cuda, px_cudnn_shape shape, int images, px_plans *plans) {
    shape.images = plans->images;
    PX_TRY(px_cudnn_plan_find(cuda, &shape, &plans->chunk));
    shape.images = (images - 1) % plans->images + 1;
    PX_TRY(px_cudnn_plan_find(cuda, &shape, &plans->last));
    if (!plans->last) plans->chunk = NULL;
    return PX_OK;
}

/* Plans that end the pass themselves. What is added may not be the result: cuDNN promises nothing of that. */
static px_status plans_with_end(px_cuda *cuda, const px_request *r, px_cudnn_shape shape, px_plans *plans) {
    const int64_t ends[PX_CUDNN_EPILOGUES] = {[PX_CUDNN_BIAS] = r->end.bias.data != NULL,
                                              [PX_CUDNN_RELU_MASK] = r->end.relu_mask.data != NULL,
                                              [PX_CUDNN_ADD] = r->end.add.data != NULL,
                                              [PX_CUDNN_RELU] = r->end.relu};
    if (!cuda->epilogues || !px_ends(&r->end) || same(r->end.add, r->end.y)) return PX_OK;
    for (int end = 0; end < PX_CUDNN_EPILOGUES; end++) shape.ends[end] = ends[end];
    PX_TRY(plans_make(cuda, shape, r->grid->images, plans));
    plans->ended = plans->chunk != NULL;
    return PX_OK;
}

/* Decides which way a shape goes, and plans it: by cuDNN where it takes the tensors, the taps fill a rectangle, an
 * image's share of the panel fits, and cuDNN has engines for it. A single tap is a product, unless cuDNN can gate it,
 * which products cannot. */
static px_status plans_find(px_cuda *cuda, const px_request *r, px_plans *plans) {
    *plans = (px_plans){0};
    const size_t pixels = (size_t)r->grid->height * (size_t)r->grid->width, workspace = pixels * r->workspace;
    const bool pixel = px_taps_are_the_pixel(r->taps), rectangle = r->taps->rows * r->taps->columns == r->taps->stored;
    if (!cudnn_takes(r) || !rectangle || (pixel && !r->end.relu_mask.data)) return PX_OK;
    if (px_grid_pixels(r->grid) == 0 || r->reserved + workspace > PX_CUDA_WORKSPACE) return PX_OK;
    const px_cudnn_shape shape = cudnn_shape_of(r);
    const size_t room = workspace ? (PX_CUDA_WORKSPACE - r->reserved) / workspace : (size_t)r->grid->images;
    plans->images = (int)l2_budget(workspace, room < (size_t)r->grid->images ? room : (size_t)r->grid->images);
    PX_TRY(plans_with_end(cuda, r, shape, plans));
    if (plans->ended || pixel) return PX_OK;
    if (px_ends(&r->end))
        plans->images = (int)l2_budget(workspace + px_tensor_bytes(&r->end.y) / (size_t)r->grid->images,
                                       (size_t)plans->images);
    return plans_make(cuda, shape, r->grid->images, plans);
}

/* A chunk of a batch: its pixels, and the plan for them. */
typedef struct px_chunk {
    px_grid grid;
    size_t first, pixels;
    const px_cudnn_plan *plan;
} px_chunk;

static px_chunk chunk_at(const px_plans *plans, px_grid grid, int image) {
    const size_t pixels = (size_t)grid.height * (size_t)grid.width;
    const bool last = grid.images - image <= plans->images;
    grid.images = last ? grid.images - image : plans->images;
    return (px_chunk){grid, (size_t)image * pixels, px_grid_pixels(&grid), last ? plans->last : plans->chunk};
}

/* A chunk of x as cuDNN reads it: where it lies, or rectified at `panel`. */
static px_status chunk_input(px_cuda *cuda, const px_chunk *chunk, px_tensor x, bool relu, void *workspace,
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

/* The part of an end that is a chunk's; the sum lies in y, or in the panel where y holds what is added. */
static px_bias_add_relu_args chunk_end(const px_cuda *cuda, px_bias_add_relu_args end, size_t first, size_t pixels) {
    end.y = end.sum = px_tensor_slice(end.y, first, pixels);
    end.add = px_tensor_slice(end.add, first, pixels);
    end.relu_mask = px_tensor_slice(end.relu_mask, first, pixels);
    if (same(end.add, end.y)) end.sum.data = cuda->workspace;
    return end;
}

static px_bias_add_relu_args convolve_epilogue(const px_convolve_args *k) {
    return (px_bias_add_relu_args){.relu = k->relu_y, .bias = k->bias, .add = k->add, .y = k->y};
}

static px_status convolve_by_cudnn(px_cuda *cuda, const px_convolve_args *k, const px_plans *plans) {
    for (int image = 0; image < k->grid.images; image += plans->images) {
        const px_chunk chunk = chunk_at(plans, k->grid, image);
        const px_bias_add_relu_args end = chunk_end(cuda, convolve_epilogue(k), chunk.first, chunk.pixels);
        px_tensor input;
        void *rest = same(end.sum, end.y) ? cuda->workspace : cuda->workspace + px_tensor_padded_bytes(&end.sum);
        PX_TRY(chunk_input(cuda, &chunk, k->x, k->relu, rest, &input));
        const px_cudnn_tensors operands = {
            .x = input.data, .weight = k->weight.data, .y = end.sum.data, .bias = end.bias.data, .add = end.add.data};
        PX_TRY(px_cudnn_plan_run(cuda, chunk.plan, &operands));
        if (!plans->ended) PX_TRY(finish(cuda, end));
    }
    return PX_OK;
}

static px_status convolve_by_columns(px_cuda *cuda, const px_convolve_args *k) {
    const bool onto = same(k->add, k->y), gathered = k->relu || !px_taps_are_the_pixel(&k->taps);
    const size_t columns = (size_t)k->taps.live * (size_t)k->x.columns, out = (size_t)k->y.columns;
    const size_t step = l2_budget(gathered ? columns * px_type_size(k->x.type) : 0, k->y.rows);
    for (size_t first = 0; first < k->y.rows; first += step) {
        const size_t pixels = k->y.rows - first < step ? k->y.rows - first : step;
        px_bias_add_relu_args end = chunk_end(cuda, convolve_epilogue(k), first, pixels);
        const px_gemm_epilogue product_end = {.add = end.add.data, .bias = end.bias.data, .relu = end.relu};
        end.sum = end.y; /* a product may add to y itself */
        if (onto) end.add = (px_tensor){0};
        px_gemm_args gemm = {.transpose_b = true,
                             .m = pixels,
                             .n = out,
                             .k = columns,
                             .operands = k->x.type,
                             .result = k->y.type,
                             .ld_a = columns,
                             .b = k->weight.data,
                             .ld_b = (size_t)k->weight.columns,
                             .c = end.y.data,
                             .ld_c = out,
                             .beta = onto ? 1 : 0,
                             .batch = 1};
        const px_im2col_args im2col = {.grid = k->grid, .taps = k->taps, .relu = k->relu, .first = first, .x = k->x};
        bool ended;
        PX_TRY(px_columns(cuda, im2col, gemm.m, &gemm.a));
        PX_TRY(px_cuda_gemm_epilogue(cuda, &gemm, &product_end, &ended));
        if (!ended) PX_TRY(finish(cuda, end));
    }
    return PX_OK;
}

px_status px_cuda_convolve(px_device *device, const px_convolve_args *k) {
    px_cuda *cuda = (px_cuda *)device;
    px_plans plans;
    if (k->y.rows == 0) return PX_OK;
    const int columns = (k->relu ? k->x.columns : 0) + (same(k->add, k->y) ? k->y.columns : 0);
    const px_request request = {.pass = PX_CUDNN_FORWARD,
                                .grid = &k->grid,
                                .taps = &k->taps,
                                .x = k->x,
                                .weight = k->weight,
                                .y = k->y,
                                .end = convolve_epilogue(k),
                                .reserved = PX_TENSOR_ALIGN,
                                .workspace = (size_t)columns * px_type_size(k->x.type)};
    PX_TRY(plans_find(cuda, &request, &plans));
    return plans.chunk ? convolve_by_cudnn(cuda, k, &plans) : convolve_by_columns(cuda, k);
}

static px_bias_add_relu_args input_gradient_end(const px_convolve_input_gradient_args *k) {
    px_bias_add_relu_args end = {.add = k->add, .y = k->dx};
    if (k->relu) end.relu_mask = k->x;
    return end;
}

static px_status input_gradient_by_cudnn(px_cuda *cuda, const px_convolve_input_gradient_args *k,
                                         const px_plans *plans) {
    for (int image = 0; image < k->grid.images; image += plans->images) {
        const px_chunk chunk = chunk_at(plans, k->grid, image);
        const px_bias_add_relu_args end = chunk_end(cuda, input_gradient_end(k), chunk.first, chunk.pixels);
        const px_cudnn_tensors operands = {.x = end.sum.data,
                                           .weight = k->weight.data,
                                           .y = px_tensor_slice(k->dy, chunk.first, chunk.pixels).data,
                                           .relu_mask = end.relu_mask.data,
                                           .add = end.add.data};
        PX_TRY(px_cudnn_plan_run(cuda, chunk.plan, &operands));
        if (!plans->ended) PX_TRY(finish(cuda, end));
    }
    return PX_OK;
}

/* sum = beta sum + W_t^T dy(pixel - offset_t), for tap t and the rows `first`.. */
static px_status return_tap(px_cuda *cuda, const px_convolve_input_gradient_args *k, int tap, size_t first,
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
    PX_TRY(px_columns(cuda, (px_im2col_args){.grid = k->grid, .taps = one, .mirror = true, .first = first, .x = k->dy},
                      sum.rows, &gemm.a));
    return px_cuda_gemm(&cuda->base, &gemm);
}

/* The taps add up in dx itself; apart from it where what is added is dx and must wait, for the gate or for a sum that
 * is wider than dx: several taps add up as reals. */
static px_status input_gradient_by_columns(px_cuda *cuda, const px_convolve_input_gradient_args *k) {
    const bool aliased = same(k->add, k->dx), wide = k->dx.type != PX_REAL && k->taps.live > 1;
    const bool apart = aliased && (k->relu || wide), onto = aliased && !apart;
    const bool combined = k->relu || (k->add.data && !onto);
    const size_t size = px_type_size(k->dx.type), in = (size_t)k->dx.columns;
    const size_t gathered = px_taps_are_the_pixel(&k->taps) ? 0 : (size_t)k->dy.columns * size;
    const size_t step = l2_budget(gathered + (combined ? in * size : 0) + (wide ? in * sizeof(px_real) : 0),
                                  k->dx.rows);
    for (size_t first = 0; first < k->dx.rows; first += step) {
        const size_t pixels = k->dx.rows - first < step ? k->dx.rows - first : step;
        px_bias_add_relu_args end = chunk_end(cuda, input_gradient_end(k), first, pixels);
        if (onto) end.add = (px_tensor){0};
        const px_tensor columns = px_tensor_slice(k->dy, first, pixels);
        char *workspace = cuda->workspace + (gathered ? px_tensor_padded_bytes(&columns) : 0);
        end.sum = end.y;
        if (apart) end.sum.data = workspace;
        const px_tensor total =
            wide ? px_tensor_of(workspace + px_tensor_padded_bytes(&end.sum), pixels, k->dx.columns, PX_REAL) : end.sum;
        for (int tap = 0; tap < k->taps.live; tap++)
            PX_TRY(return_tap(cuda, k, tap, first, total, tap > 0 || onto ? 1 : 0));
        if (wide) PX_TRY(px_cuda_ops(k->dx.type)->cast(&cuda->base, &(px_cast_args){.x = total, .y = end.sum}));
        PX_TRY(finish(cuda, end));
    }
    return PX_OK;
}

px_status px_cuda_convolve_input_gradient(px_device *device, const px_convolve_input_gradient_args *k) {
    px_cuda *cuda = (px_cuda *)device;
    px_plans plans;
    if (k->dx.rows == 0) return PX_OK;
    const px_request request = {.pass = PX_CUDNN_INPUT_GRADIENT,
                                .grid = &k->grid,
                                .taps = &k->taps,
                                .x = k->dx,
                                .weight = k->weight,
                                .y = k->dy,
                                .end = input_gradient_end(k),
                                .workspace = same(k->add, k->dx) ? (size_t)k->dx.columns * px_type_size(k->dx.type)
                                                                 : 0};
    PX_TRY(plans_find(cuda, &request, &plans));
    return plans.chunk ? input_gradient_by_cudnn(cuda, k, &plans) : input_gradient_by_columns(cuda, k);
}

/* The number of segments into which the pixels of a weight's gradient are cut: each gives a partial sum, as one problem
 * of a batched product. The gradient itself has few tiles (5 for 128 features and 5 taps), so that a product over all
 * pixels would leave most multiprocessors without work. Cuts depend on the shapes alone. */
static size_t weight_gradient_segments(size_t pixels, size_t out, size_t columns) {
    enum { TILE = 128, TILES = 132, SHORTEST = 256 }; /* of a product; that fill an H100; pixels of a segment */
    const size_t tiles = (out + TILE - 1) / TILE * ((columns + TILE - 1) / TILE);
    const size_t most = pixels / SHORTEST, wanted = tiles < TILES ? TILES / tiles : 1;
    const size_t count = wanted < most ? wanted : most;
    return count > 1 ? count : 1;
}

/* sums += dy^T columns(x) over the pixels first .. first + length * batch - 1: problem i of the batch takes `length` of
 * them, and its sum lies at row i of each group of rows of sums. */
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
    PX_TRY(px_columns(cuda, im2col, length * (size_t)batch, &gemm.b));
    return px_cuda_gemm(&cuda->base, &gemm);
}

/* dweight = the sum of each group of `count` rows of sums. Only the live taps of dweight are written. */
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

/* Each round gathers the columns of as many pixels of every segment as stay in the cache, and adds their products to
 * the segments' sums. Pixels that are fewer than there are segments go to the first segment. */
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
    do { /* once for an empty batch too: its gradient is 0 */
        const size_t left = pixels - first, round = left < at_once ? left : at_once, length = round / segments;
        const size_t batch = length > 0 || pixels == 0 ? segments : 1, taken = length > 0 ? length : left;
        PX_TRY(weight_gradient_part(cuda, k, first, taken, (int)batch, first > 0 ? 1 : 0, sums.data, ld));
        first += taken * batch;
    } while (first < pixels);
    return segments > 1 ? weight_gradient_total(cuda, k, sums, cuda->workspace) : PX_OK;
}

/* Column sums, level by level: of segments of rows, side by side, until few are left. A thread adds up a column of a
 * segment: segments are short, so that threads are many, and of a number that keeps all multiprocessors at work. */
static px_status bias_gradient(px_cuda *cuda, px_tensor dy, px_tensor dbias) {
    enum { SHORT = 64, MOST = 2048 };
    px_tensor sums = dy;
    char *workspace = cuda->workspace;
    while (sums.rows > SHORT) {
        const size_t segments = sums.rows > SHORT * MOST ? MOST : (sums.rows + SHORT - 1) / SHORT;
        const px_tensor next = px_tensor_of(workspace, segments, dy.columns, PX_REAL);
        PX_TRY(px_cuda_ops(sums.type)->sum_rows(&cuda->base, &(px_sum_rows_args){.x = sums, .y = next}));
        sums = next;
        workspace += px_tensor_padded_bytes(&next);
    }
    return px_cuda_ops(sums.type)->sum_rows(&cuda->base, &(px_sum_rows_args){.x = sums, .y = dbias});
}

px_status px_cuda_convolve_weight_gradient(px_device *device, const px_convolve_weight_gradient_args *k) {
    px_cuda *cuda = (px_cuda *)device;
    PX_TRY(weight_gradient(cuda, k));
    return k->dbias.data ? bias_gradient(cuda, k->dy, k->dbias) : PX_OK;
}
