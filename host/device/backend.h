/* The backend interface: a table of operations on tensors, with one backend for the CPU and one for CUDA.
 *
 * Models, optimisers and samplers call this table alone. Each operation takes a device and one descriptor,
 * px_NAME_args. Operations run in order on the device's stream and may return before the work is done; download and
 * synchronize wait. Operations allocate nothing. They return PX_ERR_DEVICE with a message if a library call or a launch
 * fails. Callers must pass valid sizes and types; they are not checked again. Outputs must not alias inputs unless the
 * descriptor says so.
 *
 * The descriptors and the conventions for shapes and types are in host/device/operations.h.
 *
 * How to add an operation NAME:
 * 1. Add NAME to PX_ACTIVATION_OPS if a kernel reads or writes activations, otherwise to PX_COMMON_OPS. PX_DEVICE_OPS
 *    joins them. Both backends, the parity test and the benchmark are generated from it, so that an omission does not
 *    compile or link.
 * 2. Write its descriptor px_NAME_args in operations.h: equation, shapes, types, aliasing.
 * 3. Write the kernel once in kernels/NAME.cu (kernels/portable/portable.h explains how); nvcc and cc both compile it.
 *    An operation that calls libraries instead defines px_cpu_NAME in host/device/cpu/ and px_cuda_NAME in
 *    host/device/cuda/.
 * 4. Write px_check_NAME in host/check/, which compares two devices on the cases of host/check/cases.h.
 * 5. Write work_NAME, its minimum FLOPs and bytes, in host/bench/work.c. */
#ifndef PIXELRNN_DEVICE_BACKEND_H
#define PIXELRNN_DEVICE_BACKEND_H

#include "host/device/operations.h"
#include "pixelrnn/device.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The table ---- */

/* The operations with a descriptor. Kernels that read or write activations exist once for each activation type
 * (kernels/portable/portable.h). The others do not depend on the precision, or read the types of their tensors. */
#define PX_ACTIVATION_OPS(X)                                                                                           \
    X(lstm_cell_forward)                                                                                               \
    X(lstm_cell_backward)                                                                                              \
    X(lstm_update)                                                                                                     \
    X(im2col)                                                                                                          \
    X(bias_add_relu)                                                                                                   \
    X(cast)                                                                                                            \
    X(sum_rows)                                                                                                        \
    X(shift_rows)                                                                                                      \
    X(normalize)                                                                                                       \
    X(one_hot)                                                                                                         \
    X(pixel_shuffle)                                                                                                   \
    X(pixel_unshuffle)                                                                                                 \
    X(gather_row)                                                                                                      \
    X(activate)                                                                                                        \
    X(softmax_nll)                                                                                                     \
    X(sample)
#define PX_COMMON_OPS(X)                                                                                               \
    X(gemm)                                                                                                            \
    X(convolve)                                                                                                        \
    X(convolve_input_gradient)                                                                                         \
    X(convolve_weight_gradient)                                                                                        \
    X(recurrence_forward)                                                                                              \
    X(recurrence_backward)                                                                                             \
    X(skew)                                                                                                            \
    X(unskew)                                                                                                          \
    X(mask)                                                                                                            \
    X(sum_columns)                                                                                                     \
    X(add_gradients)                                                                                                   \
    X(sum_squares)                                                                                                     \
    X(clip)                                                                                                            \
    X(upload_scalars)                                                                                                  \
    X(sgd)                                                                                                             \
    X(rmsprop)                                                                                                         \
    X(adam)                                                                                                            \
    X(ema)
#define PX_DEVICE_OPS(X)                                                                                               \
    PX_ACTIVATION_OPS(X)                                                                                               \
    PX_COMMON_OPS(X)

/* The operations of the device table, numbered: PX_OP_gemm, ... */
enum {
#define PX_COUNT_OP(name) PX_OP_##name,
    PX_DEVICE_OPS(PX_COUNT_OP)
#undef PX_COUNT_OP
        PX_OPS
};
extern const char *const px_op_names[PX_OPS];

/* Memory: device memory, aligned to 64 bytes at least; host memory that is fast to copy from (page-locked on CUDA);
 * copies in stream order. download and synchronize return when all earlier work is done. Until then, the source of an
 * upload must not change. download_async returns at once; its result, in memory of allocate_host, is there when all
 * work up to it is done. event_record marks a place in the stream, and event_wait returns when all work before the last
 * record of this event, 0 to PX_DEVICE_EVENTS - 1, is done. */
enum { PX_DEVICE_EVENTS = 2 };
#define PX_DEVICE_MEMORY(X)                                                                                            \
    X(allocate, (px_device * device, size_t bytes, void **memory))                                                     \
    X(free, (px_device * device, void *memory))                                                                        \
    X(allocate_host, (px_device * device, size_t bytes, void **memory))                                                \
    X(free_host, (px_device * device, void *memory))                                                                   \
    X(upload, (px_device * device, void *to, const void *from_host, size_t bytes))                                     \
    X(download, (px_device * device, void *to_host, const void *from, size_t bytes))                                   \
    X(download_async, (px_device * device, void *to_host, const void *from, size_t bytes))                             \
    X(event_record, (px_device * device, int event))                                                                   \
    X(event_wait, (px_device * device, int event))                                                                     \
    X(copy, (px_device * device, void *to, const void *from, size_t bytes))                                            \
    X(clear, (px_device * device, void *memory, size_t bytes))                                                         \
    X(synchronize, (px_device * device))                                                                               \
    X(close, (px_device * device))

/* Graphs, used by host/device/graph.h if px_device.paths has PX_PATH_GRAPHS, else NULL: operations issued between
 * graph_begin and graph_end are captured instead of run, with their addresses and numbers. graph_run runs all of them
 * at the cost of one launch, and may be called any number of times. The caller owns the graph, and frees it with
 * graph_destroy. Allocations, uploads, downloads and synchronisation cannot be captured. If an operation failed during
 * the capture, graph_end fails, *graph is NULL, and the device is as it was before graph_begin. */
#define PX_DEVICE_GRAPHS(X)                                                                                            \
    X(graph_begin, (px_device * device))                                                                               \
    X(graph_end, (px_device * device, void **graph))                                                                   \
    X(graph_run, (px_device * device, void *graph))                                                                    \
    X(graph_destroy, (px_device * device, void *graph))

typedef struct px_device_ops {
#define PX_DECLARE_OP(name)                px_status (*name)(px_device * device, const px_##name##_args *args);
#define PX_DECLARE_MEMORY(name, signature) px_status(*name) signature;
    PX_DEVICE_OPS(PX_DECLARE_OP)
    PX_DEVICE_MEMORY(PX_DECLARE_MEMORY)
    PX_DEVICE_GRAPHS(PX_DECLARE_MEMORY)
#undef PX_DECLARE_OP
#undef PX_DECLARE_MEMORY
    /* The bytes of temporary memory that a recurrence of these sizes needs. */
    size_t (*recurrence_bytes)(const px_device *device, const px_recurrence_args *recurrence);
} px_device_ops;

/* The paths that are faster than the plain ones. Without any, recurrences are stepwise, every operation is issued by
 * itself, and products and convolutions are plain calls of cuBLASLt (CUDA) or CBLAS (CPU). */
typedef enum px_path {
    PX_PATH_CLUSTER = 1,   /* CUDA: recurrences on clusters, allowed by a verdict of `pixelrnn check` alone */
    PX_PATH_FUSED = 2,     /* recurrences: one kernel a step (CUDA), or all steps of a task on one thread (CPU) */
    PX_PATH_GRAPHS = 4,    /* CUDA: captured graphs (host/device/graph.h) */
    PX_PATH_LIBRARIES = 8, /* cuDNN and the epilogues of cuBLASLt (CUDA); oneDNN (CPU) */
    PX_PATH_CPU = PX_PATH_FUSED | PX_PATH_LIBRARIES,
    PX_PATH_CUDA = PX_PATH_FUSED | PX_PATH_GRAPHS | PX_PATH_LIBRARIES,
} px_path;

enum { PX_LIMIT_NAME = 256 };

struct px_device {
    const px_device_ops *ops;
    px_context *ctx;
    px_type activation;     /* PX_REAL or PX_BF16 */
    const char *kind;       /* "cpu" or "cuda" */
    char description[128];  /* the processor or GPU, e.g. "NVIDIA H200, 132 multiprocessors, 139.8 GiB" */
    char versions[96];      /* CUDA: of driver, runtime, cuBLASLt and cuDNN; "" on the CPU */
    char identity[64];      /* the GPU's UUID in hexadecimal, equal in all processes; "" if processes may share */
    size_t memory;          /* bytes that may be allocated: the GPU's memory, or the limit when the device opened */
    size_t held;            /* bytes that arenas have allocated */
    bool tf32;              /* CUDA may multiply float32 operands in TF32; set before the first operation */
    unsigned paths;         /* px_path: the paths besides the plain ones that it may take */
    int workers;            /* threads that can run operations in parallel, each on its own tensors; 1 on CUDA */
    size_t workspace;       /* bytes that the device allocates for itself: workspaces of libraries and of im2col */
    int capability;         /* CUDA: compute capability, 90 for 9.0; 0 on the CPU */
    int multiprocessors;    /* CUDA */
    size_t shared;          /* CUDA: maximum bytes of shared memory a block */
    int clusters[4];        /* compute capability 9.0: how many clusters of 1, 2, 4 and 8 blocks run at a time */
    struct px_graph *graph; /* the one whose operations are issued now (host/device/graph.h), or NULL */
    char warning[PX_DEVICE_WARNING]; /* of px_device_warning */
    char limit[PX_LIMIT_NAME]; /* the limit that `memory` comes from, e.g. "this machine's memory"; "": the GPU's own */
};

/* Runs one operation with a descriptor written in place: px_run(device, OP, .field = value, ...). */
#define px_run(device, op, ...) ((device)->ops->op((device), &(px_##op##_args){__VA_ARGS__}))

/* Open the backends; close with px_device_close. px_cuda_open opens the GPU with this ordinal, or the CUDA runtime's
 * current one if it is -1. It returns PX_ERR_DEVICE in a build without CUDA, and where no usable GPU is found. */
px_status px_cpu_open(px_context *ctx, px_type activation, px_device **device);
bool px_cuda_has_driver(void); /* this machine has libcuda.so.1 */
px_status px_cuda_open(px_context *ctx, px_type activation, int ordinal, px_device **device);

#ifdef __cplusplus
}
#endif
#endif
