/* Executes command buffers in one kernel: a cluster of blocks for each group of images. Its reference is
 * host/device/cpu/execute.c. The pointwise commands call the functions of the portable kernels.
 *
 * The blocks of a cluster share each command. A cluster barrier between commands makes the writes of one block visible
 * to the others. Products have few rows (images) and many columns: a block stages 16 rows of A in shared memory. Eight
 * lanes share a column of the result and read its row of B together. So B is read from the L2 cache in whole lines,
 * once for 16 images. Sums run in one order. */
#define PX_FUNCTIONS_ONLY
#include "kernels/activate.cu"
#include "kernels/sample.cu"
#include "kernels/normalize.cu"
#include "kernels/lstm_update.cu"
#include "kernels/command_buffer.h"
#include <cooperative_groups.h>

namespace cg = cooperative_groups;

enum {
    PX_EXECUTE_WARPS = 8,                     /* of a block */
    PX_EXECUTE_ROWS = 16,                     /* of A at a time */
    PX_EXECUTE_LANES = 8,                     /* that share a column */
    PX_EXECUTE_STRIDE = 4 * PX_EXECUTE_LANES, /* of K: these lanes read 4 values each */
    PX_EXECUTE_SPAN = 1024,                   /* of K staged at a time */
};

/* The index of a thread among those that execute a command. */
typedef struct worker {
    int block, blocks; /* of the cluster */
    int warp, lane;
} worker;

/* Stages rows first .. first + PX_EXECUTE_ROWS - 1 and columns k0 .. k0 + span - 1 of A, padded with zeros. */
static __device__ void execute_stage(const px_gemm_args *g, const px_store *a, size_t first, size_t k0, int span,
                                     worker w, px_real *staged) {
    const int whole = (span + PX_EXECUTE_STRIDE - 1) / PX_EXECUTE_STRIDE * PX_EXECUTE_STRIDE;
    for (int row = w.warp; row < PX_EXECUTE_ROWS; row += PX_EXECUTE_WARPS)
        for (int k = w.lane; k < whole; k += 32)
            staged[row * PX_EXECUTE_SPAN + k] = first + row < g->m && k < span
                                                    ? (px_real)a[(first + row) * g->ld_a + k0 + k]
                                                    : 0;
}

/* Adds the part of a lane to one column's sums for the staged rows. The rows of B may be unaligned, so that their
 * values are loaded one by one. */
static __device__ void execute_column(const px_store *b, int span, int part, const px_real *staged,
                                      px_real sum[PX_EXECUTE_ROWS]) {
    for (int k = 4 * part; k < span; k += PX_EXECUTE_STRIDE) {
        px_real weight[4];
#pragma unroll
        for (int i = 0; i < 4; i++) weight[i] = k + i < span ? (px_real)b[k + i] : 0;
#pragma unroll
        for (int row = 0; row < PX_EXECUTE_ROWS; row++) {
            const float4 x = *(const float4 *)(staged + row * PX_EXECUTE_SPAN + k);
            sum[row] += x.x * weight[0] + x.y * weight[1] + x.z * weight[2] + x.w * weight[3];
        }
    }
}

/* c = a b^T + beta c for one problem of a batch. The sampler transposes only b, and its c is float32. All lanes of a
 * warp run the same iterations. */
static __device__ void execute_problem(const px_gemm_args *g, int problem, worker w, px_real *staged) {
    const px_store *a = (const px_store *)g->a + problem * g->stride_a;
    const px_store *b = (const px_store *)g->b + problem * g->stride_b;
    px_real *c = (px_real *)g->c + problem * g->stride_c;
    const int columns_a_warp = 32 / PX_EXECUTE_LANES, part = w.lane % PX_EXECUTE_LANES;
    const size_t stride = (size_t)w.blocks * PX_EXECUTE_WARPS * columns_a_warp;
    const size_t begin = ((size_t)w.block * PX_EXECUTE_WARPS + w.warp) * columns_a_warp;
    for (size_t first = 0; first < g->m; first += PX_EXECUTE_ROWS)
        for (size_t k0 = 0; k0 < g->k; k0 += PX_EXECUTE_SPAN) {
            const int span = (int)(g->k - k0 < PX_EXECUTE_SPAN ? g->k - k0 : PX_EXECUTE_SPAN);
            const px_real beta = k0 == 0 ? g->beta : 1;
            __syncthreads(); /* the rows staged before have been read */
            execute_stage(g, a, first, k0, span, w, staged);
            __syncthreads();
            for (size_t at = begin; at < g->n; at += stride) {
                const size_t column = at + w.lane / PX_EXECUTE_LANES;
                px_real sum[PX_EXECUTE_ROWS] = {0};
                if (column < g->n) execute_column(b + column * g->ld_b + k0, span, part, staged, sum);
#pragma unroll
                for (int row = 0; row < PX_EXECUTE_ROWS; row++) {
                    for (int distance = 1; distance < PX_EXECUTE_LANES; distance *= 2)
                        sum[row] += __shfl_xor_sync(0xffffffffu, sum[row], distance);
                    if (row % PX_EXECUTE_LANES != part || column >= g->n || first + row >= g->m) continue;
                    px_real *to = c + (first + row) * g->ld_c + column;
                    *to = sum[row] + (beta == 0 ? 0 : beta * *to);
                }
            }
        }
}

/* Distributes the rows and columns of a pointwise command over all threads of the cluster. */
#define PX_EXECUTE_EACH(rows, columns, ...)                                                                            \
    for (size_t row = (size_t)w.block * PX_EXECUTE_WARPS + w.warp; row < (size_t)(rows);                               \
         row += (size_t)w.blocks * PX_EXECUTE_WARPS)                                                                   \
        for (int column = w.lane; column < (columns); column += 32) __VA_ARGS__

static __device__ void execute_command(const px_device_command *command, worker w, px_real *staged) {
    switch (command->op) {
    case PX_COMMAND_gemm:
        for (int problem = 0; problem < command->args.gemm.batch; problem++)
            execute_problem(&command->args.gemm, problem, w, staged);
        break;
    case PX_COMMAND_normalize: {
        const px_normalize_args *k = &command->args.normalize;
        PX_EXECUTE_EACH(k->values.rows, k->values.columns, normalize(row, column, k));
        break;
    }
    case PX_COMMAND_activate: {
        const px_activate_args *k = &command->args.activate;
        PX_EXECUTE_EACH(k->sum.rows, k->count, activate(row, column, k));
        break;
    }
    case PX_COMMAND_lstm_update: {
        const px_lstm_update_args *k = &command->args.lstm_update;
        PX_EXECUTE_EACH(k->layers * k->pre.rows, k->count, lstm_update(update_row_at(row, k), column, k));
        break;
    }
    case PX_COMMAND_sample: {
        const px_sample_args *k = &command->args.sample;
        const px_lane lane = {w.lane, 32};
        for (size_t row = (size_t)w.block * PX_EXECUTE_WARPS + w.warp; row < k->image.rows;
             row += (size_t)w.blocks * PX_EXECUTE_WARPS)
            sample(row, lane, k);
        break;
    }
    case PX_COMMAND_clear: {
        const px_clear_args *k = &command->args.clear;
        const size_t threads = (size_t)w.blocks * PX_EXECUTE_WARPS * 32;
        for (size_t i = ((size_t)w.block * PX_EXECUTE_WARPS + w.warp) * 32 + w.lane; i < k->bytes / 4; i += threads)
            ((uint32_t *)k->memory)[i] = 0;
        break;
    }
    }
}

static __global__ void execute_kernel(const px_execute_args args) {
    extern __shared__ __align__(16) px_real staged[];
    __shared__ px_device_command command;
    cg::cluster_group cluster = cg::this_cluster();
    worker w;
    w.block = (int)cluster.block_rank(), w.blocks = (int)cluster.num_blocks();
    w.warp = (int)threadIdx.y, w.lane = (int)threadIdx.x;
    const int group = (int)(blockIdx.x / cluster.num_blocks());
    for (int i = 0; i < args.count; i++) {
        if (w.warp == 0 && w.lane == 0) command = px_command_for_group(&args, group, i);
        cluster.sync(); /* command i - 1 is done in every block, and `command` is written */
        execute_command(&command, w, staged);
        __syncthreads(); /* before `command` is overwritten */
    }
}

extern "C" px_status PX_OP(cuda, execute_cluster)(px_device *device, const px_execute_args *k) {
    const size_t shared = (size_t)PX_EXECUTE_ROWS * PX_EXECUTE_SPAN * sizeof(px_real);
    if (k->groups == 0 || k->count == 0) return PX_OK;
    cudaFuncSetAttribute(execute_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared);
    cudaLaunchConfig_t launch = {};
    cudaLaunchAttribute cluster = {};
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim.x = PX_EXECUTE_BLOCKS, cluster.val.clusterDim.y = 1, cluster.val.clusterDim.z = 1;
    launch.gridDim = dim3((unsigned)k->groups * PX_EXECUTE_BLOCKS);
    launch.blockDim = dim3(32, PX_EXECUTE_WARPS);
    launch.dynamicSmemBytes = shared;
    launch.stream = px_cuda_stream(device);
    launch.attrs = &cluster;
    launch.numAttrs = 1;
    cudaLaunchKernelEx(&launch, execute_kernel, *k);
    return px_cuda_launched(device, "execute");
}
