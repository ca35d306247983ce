/* Declarations that are private to the CUDA backend.
 *
 * Products are float32, TF32 if px_device.tf32 is set, or bfloat16; sums are float32. There is one stream, no float
 * atomics, library workspaces of a fixed size, and only algorithms that sum in a fixed order. Therefore the same
 * command gives the same bits on the same GPU. */
#ifndef PIXELRNN_DEVICE_CUDA_H
#define PIXELRNN_DEVICE_CUDA_H

#include "kernels/portable/device_cuda.h"
#include "host/device/backend.h"
#include <cublasLt.h>
#include <cudnn.h>

#define PX_CUDNN_DESCRIBES 90800 /* the version of cuDNN from which on it can plan for a GPU that is only described */

_Static_assert(sizeof(px_real) == sizeof(float), "the double build is made without CUDA");

#define PX_DECLARE_CUDA(name)      px_status px_cuda_##name(px_device *device, const px_##name##_args *args);
#define PX_DECLARE_CUDA_BF16(name) px_status px_cuda_##name##_bf16(px_device *device, const px_##name##_args *args);
PX_DEVICE_OPS(PX_DECLARE_CUDA)
PX_ACTIVATION_OPS(PX_DECLARE_CUDA_BF16)
size_t px_cuda_recurrence_bytes(const px_device *device, const px_recurrence_args *recurrence);
#undef PX_DECLARE_CUDA
#undef PX_DECLARE_CUDA_BF16

/* The table of operations for activations of this type. */
const px_device_ops *px_cuda_ops(px_type activation);

/* px_device_ops.recurrence_bytes. */
size_t px_cuda_recurrence_bytes(const px_device *device, const px_recurrence_args *recurrence);

px_status px_cuda_graph_begin(px_device *device);
px_status px_cuda_graph_end(px_device *device, void **graph);
px_status px_cuda_graph_run(px_device *device, void *graph);
px_status px_cuda_graph_destroy(px_device *device, void *graph);

enum {
    PX_CUDA_LIBRARY_WORKSPACE = 128 << 20, /* bytes of workspace for cuBLASLt (32 MiB advised on Hopper) and cuDNN */
    PX_CUDA_WORKSPACE = 128 << 20,         /* bytes for im2col, relu(x) and partial sums */
    PX_CUDA_L2_BUDGET =
        24 << 20,        /* bytes of it in use at a time: half of an H200's L2 cache, so that they stay there */
    PX_CUDA_VECTOR = 16, /* bytes: the alignment of vectorised loads; views into a packed weight may have less */
};

/* A cache of plans by shape: an open-addressing hash table. Each entry is one allocation that starts with its key, a
 * struct of 8-byte members. */
enum { PX_CUDA_SLOTS = 4096 };
typedef struct px_cuda_cache {
    size_t key_size;
    void (*release)(void *entry); /* frees one entry */
    size_t used;
    void *slot[PX_CUDA_SLOTS];
} px_cuda_cache;

/* The entry of this key, or NULL. */
void *px_cuda_cache_find(const px_cuda_cache *cache, const void *key);
/* Adds an entry whose key is not in the cache, and takes ownership. A cache that is 3/4 full is cleared first. */
void px_cuda_cache_add(px_cuda_cache *cache, void *entry);
/* Releases every entry. */
void px_cuda_cache_clear(px_cuda_cache *cache);

typedef struct px_cuda {
    px_device base;
    cudaStream_t stream;
    cudaEvent_t event[PX_DEVICE_EVENTS];
    cublasLtHandle_t blas;
    cudnnHandle_t dnn; /* NULL until the first plan */
    cudnnBackendDescriptor_t
        described;                     /* in tests: plan for this described GPU instead of a real one; otherwise NULL */
    void *library_workspace;           /* PX_CUDA_LIBRARY_WORKSPACE bytes */
    char *workspace;                   /* PX_CUDA_WORKSPACE bytes */
    bool dnn_warned;                   /* base.warning has reported an error of cuDNN */
    px_cuda_cache gemms, convolutions; /* of gemm.c and cudnn.c */
    px_cuda_cache recurrences;         /* the shapes that recurrence.c has proven */
} px_cuda;

/* The empty px_cuda.recurrences. */
px_cuda_cache px_cuda_proven_recurrences(void);
/* Launches a recurrence by PX_RECURRENCE_FUSED or PX_RECURRENCE_CLUSTER. */
struct px_recurrence_choice;
px_status px_cuda_recurrence_launch(px_device *device, const px_recurrence_args *recurrence,
                                    const struct px_recurrence_choice *choice, bool backward);

/* Fills in px_device.clusters: how many clusters of each size the GPU runs at a time, with all of the shared memory and
 * the most threads that a recurrence may use. They stay 0 where the GPU has no such kernels. */
void px_cuda_count_clusters(px_cuda *cuda);

/* Returns PX_OK on success. Otherwise writes "cuda: DOING: CUDA's message" and returns PX_ERR_DEVICE, or PX_ERR_MEMORY
 * for a failed allocation. */
px_status px_cuda_check(px_device *device, cudaError_t error, const char *doing);

/* The epilogue of a GEMM: C = op(A) op(B) + add + bias, then relu. */
typedef struct px_gemm_epilogue {
    const void *add;  /* (m, n) of c's type, instead of beta c, or NULL; may be c. Problems are stride_c apart */
    const void *bias; /* (n) of c's type, or NULL. Problems are n apart */
    bool relu;
} px_gemm_epilogue;

/* A GEMM with a fused epilogue. *fused is false if cuBLASLt has no algorithm for the epilogue, or on
 * the plain path. In this case C is the result of px_cuda_gemm, and the caller applies the epilogue. */
px_status px_cuda_gemm_epilogue(px_cuda *cuda, const px_gemm_args *gemm, const px_gemm_epilogue *epilogue, bool *fused);

/* All properties of a GEMM that cuBLASLt's choice of an algorithm may depend on; see px_gemm_args. */
typedef struct px_gemm_shape {
    uint64_t m, n, k, batch;
    uint64_t ld_a, ld_b, ld_c;
    int64_t stride_a, stride_b, stride_c;
    uint64_t transpose_a, transpose_b;
    uint64_t operands, result;          /* px_type */
    uint64_t align_a, align_b, align_c; /* bytes: PX_CUDA_VECTOR or less */
    uint64_t epilogue;                  /* cublasLtEpilogue_t */
    uint64_t align_add, align_end;      /* of add (of c without one), and of bias */
} px_gemm_shape;

/* A convolution as cuDNN computes it: images of `in` and `out` channels, channels last, and a filter of rows x columns
 * taps. The output pixel is in the filter's last row and column `centre`. All tensors have one type and are aligned to
 * PX_CUDA_VECTOR bytes. */
typedef enum { PX_CUDNN_FORWARD, PX_CUDNN_INPUT_GRADIENT } px_cudnn_pass;
typedef enum { PX_CUDNN_BIAS, PX_CUDNN_RELU_MASK, PX_CUDNN_ADD, PX_CUDNN_RELU, PX_CUDNN_EPILOGUES } px_cudnn_epilogue;
typedef struct px_cudnn_shape {
    int64_t pass; /* px_cudnn_pass */
    int64_t type; /* px_type: PX_BF16, or PX_REAL to multiply in TF32 */
    int64_t images, height, width, in, out;
    int64_t rows, columns, centre;
    int64_t epilogues[PX_CUDNN_EPILOGUES]; /* 1: applied to the result, in the order of px_cudnn_epilogue */
} px_cudnn_shape;

typedef struct px_cudnn_plan px_cudnn_plan;

/* Finds the plan for this shape, or creates it on the first call. *plan is NULL if cuDNN has no deterministic engine
 * that accumulates exact products in float32 and fits the workspace, or fails: the first failure is reported in
 * px_device.warning. The cache owns the plan. */
px_status px_cudnn_plan_find(px_cuda *cuda, const px_cudnn_shape *shape, const px_cudnn_plan **plan);

/* x (P, in), weight (out, rows * columns * in), y (P, out). The forward pass writes y; the input gradient writes x.
 * bias (1, channels of the result), relu_mask and add (shape of the result) are read if the plan has these epilogues.
 * None may alias the result. */
typedef struct px_cudnn_tensors {
    void *x, *weight, *y, *bias, *relu_mask, *add;
} px_cudnn_tensors;
px_status px_cudnn_plan_run(px_cuda *cuda, const px_cudnn_plan *plan, const px_cudnn_tensors *tensors);

/* Frees a plan: px_cuda_cache.release. */
void px_cudnn_plan_release(void *plan);

#endif
