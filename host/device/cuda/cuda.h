/* The CUDA backend of the device table, private to its files.
 *
 * float32 without TF32, or bfloat16 through tensor cores with float32 sums; one stream; no atomics; libraries work in
 * workspaces of a fixed size and only by algorithms whose sums have one order. So the same command gives the same bits
 * on the same card. */
#ifndef PIXELRNN_DEVICE_CUDA_H
#define PIXELRNN_DEVICE_CUDA_H

#include "kernels/portable/device_cuda.h"
#include "host/device/backend.h"
#include <cublasLt.h>
#include <cudnn.h>

_Static_assert(sizeof(px_real) == sizeof(float), "the double build is made without CUDA");

#define PX_DECLARE_CUDA(name)      px_status px_cuda_##name(px_device *device, const px_##name##_args *args);
#define PX_DECLARE_CUDA_BF16(name) px_status px_cuda_##name##_bf16(px_device *device, const px_##name##_args *args);
PX_DEVICE_OPS(PX_DECLARE_CUDA)
PX_ACTIVATION_OPS(PX_DECLARE_CUDA_BF16)
#undef PX_DECLARE_CUDA
#undef PX_DECLARE_CUDA_BF16

/* The backend for activations of this type. */
const px_device_ops *px_cuda_ops(px_type activation);

px_status px_cuda_graph_begin(px_device *device);
px_status px_cuda_graph_end(px_device *device, void **graph);
px_status px_cuda_graph_run(px_device *device, void *graph);
px_status px_cuda_graph_destroy(px_device *device, void *graph);

enum {
    PX_CUDA_LIBRARY_WORKSPACE = 128 << 20, /* bytes of workspace for cuBLASLt (32 MiB advised on Hopper) and cuDNN */
    PX_CUDA_WORKSPACE = 128 << 20,         /* bytes for gathered columns, rectified inputs and partial sums */
    PX_CUDA_L2_BUDGET = 24 << 20, /* of them in use at a time: half of an H200's second-level cache, where they stay */
    PX_CUDA_VECTOR = 16, /* bytes: the alignment that vectorised loads want; tensors in a packed weight have less */
};

/* What a library prepared for a shape, found again by that shape: an open hash table of entries. Each entry is one
 * allocation and starts with its key, a struct of 8-byte members. */
enum { PX_CUDA_SLOTS = 4096 };
typedef struct px_cuda_cache {
    size_t key_size;
    void (*release)(void *entry); /* frees one entry */
    size_t used;
    void *slot[PX_CUDA_SLOTS];
} px_cuda_cache;

/* The entry of this key, or NULL. */
void *px_cuda_cache_find(const px_cuda_cache *cache, const void *key);
/* Adds an entry whose key is not there yet, and owns it from then on. A cache nearly full starts afresh. */
void px_cuda_cache_add(px_cuda_cache *cache, void *entry);
/* Releases every entry. */
void px_cuda_cache_clear(px_cuda_cache *cache);

typedef struct px_cuda {
    px_device base;
    cudaStream_t stream;
    cublasLtHandle_t blas;
    cudnnHandle_t dnn;                  /* NULL until the first plan */
    cudnnBackendDescriptor_t described; /* a test's: plans are for this card, which need not be there. Else NULL */
    void *library_workspace;            /* PX_CUDA_LIBRARY_WORKSPACE bytes */
    char *workspace;                    /* PX_CUDA_WORKSPACE bytes */
    bool epilogues;                     /* libraries fuse epilogues into their kernels, where they can */
    px_cuda_cache gemms, convolutions;  /* of cuda_gemm.c and cuda_cudnn.c */
} px_cuda;

/* PX_OK, or PX_ERR_DEVICE (PX_ERR_MEMORY when memory is what lacks) and a line with CUDA's own words. */
px_status px_cuda_check(px_device *device, cudaError_t error, const char *doing);

/* How a product ends: C = op(A) op(B) + add + bias, rectified. */
typedef struct px_gemm_epilogue {
    const void *add;  /* (m, n) as c, in the place of beta c, or NULL. May be c */
    const void *bias; /* (n) of c's type, or NULL */
    bool relu;
} px_gemm_epilogue;

/* One product, of a batch of 1, with its end in the same kernel. *ended is false if cuBLASLt has none for it, or ends
 * are not wanted: then C is what px_cuda_gemm gives, and the end is the caller's. */
px_status px_cuda_gemm_epilogue(px_cuda *cuda, const px_gemm_args *gemm, const px_gemm_epilogue *end, bool *ended);

/* A product as cuBLASLt's choice of algorithm may depend on it; see px_gemm_args. */
typedef struct px_gemm_shape {
    uint64_t m, n, k, batch;
    uint64_t ld_a, ld_b, ld_c;
    int64_t stride_a, stride_b, stride_c;
    uint64_t transpose_a, transpose_b;
    uint64_t operands, result;          /* px_type */
    uint64_t align_a, align_b, align_c; /* bytes: PX_CUDA_VECTOR or less */
    uint64_t epilogue;                  /* cublasLtEpilogue_t */
    uint64_t align_add, align_end;      /* of what is added, c itself where nothing is, and of bias */
} px_gemm_shape;

/* A convolution as cuDNN sees it: images of `in` and `out` features, channels last; a filter of rows x columns taps
 * whose last row is the pixel's own, the pixel in column `centre`; every tap counts. All tensors are bfloat16 and
 * aligned to PX_CUDA_VECTOR bytes. */
typedef enum { PX_CUDNN_FORWARD, PX_CUDNN_INPUT_GRADIENT } px_cudnn_pass;
typedef enum { PX_CUDNN_BIAS, PX_CUDNN_RELU_MASK, PX_CUDNN_ADD, PX_CUDNN_RELU, PX_CUDNN_EPILOGUES } px_cudnn_epilogue;
typedef struct px_cudnn_shape {
    int64_t pass; /* px_cudnn_pass */
    int64_t images, height, width, in, out;
    int64_t rows, columns, centre;
    int64_t ends[PX_CUDNN_EPILOGUES]; /* 1: what the pass gives ends so, one after the other */
} px_cudnn_shape;

typedef struct px_cudnn_plan px_cudnn_plan;

/* The plan for this shape, made on the first call; *plan is NULL if cuDNN has no engine that sums exact products in
 * float32, is deterministic and content with the workspace. */
px_status px_cudnn_plan_find(px_cuda *cuda, const px_cudnn_shape *shape, const px_cudnn_plan **plan);

/* x (pixels, in), weight (out, rows * columns * in) and y (pixels, out). The forward pass overwrites y, the gradient of
 * the input x. bias (1, result's features), gate and add (as the result) are read where the plan ends with them; none
 * may be the result. */
typedef struct px_cudnn_tensors {
    void *x, *weight, *y, *bias, *relu_mask, *add;
} px_cudnn_tensors;
px_status px_cudnn_plan_run(px_cuda *cuda, const px_cudnn_plan *plan, const px_cudnn_tensors *operands);

/* Release one entry of the caches. */
void px_cudnn_plan_release(void *plan);

#endif
