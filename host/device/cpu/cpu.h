/* Declarations that are private to the CPU backend. */
#ifndef PIXELRNN_DEVICE_CPU_H
#define PIXELRNN_DEVICE_CPU_H

#include "host/device/backend.h"

#define PX_DECLARE_CPU(name)      px_status px_cpu_##name(px_device *device, const px_##name##_args *args);
#define PX_DECLARE_CPU_BF16(name) px_status px_cpu_##name##_bf16(px_device *device, const px_##name##_args *args);
PX_DEVICE_OPS(PX_DECLARE_CPU)
PX_ACTIVATION_OPS(PX_DECLARE_CPU_BF16)
#undef PX_DECLARE_CPU
#undef PX_DECLARE_CPU_BF16

/* The table of operations for activations of this type. */
const px_device_ops *px_cpu_ops(px_type activation);

enum {
    PX_SERIAL_WORK = 1 << 16,   /* multiply-adds below which a loop runs on the calling thread alone */
    PX_CPU_WORKSPACE = 1 << 20, /* bytes a thread of im2col and sums: about the L2 cache of a core */
    PX_CPU_SCRATCH = 2 << 20,   /* bytes a thread in which a GEMM works */
    PX_CPU_RESERVED = 16 << 20, /* bytes left for memory outside arenas: the loader's thread, files, batches */
    PX_CPU_SUMS = 4 << 20,      /* bytes of a weight gradient's partial sums */
};

typedef struct px_onednn px_onednn; /* onednn.h */

/* The memory of one thread. */
typedef struct px_cpu_thread {
    char *workspace; /* PX_CPU_WORKSPACE bytes */
    char *scratch;   /* PX_CPU_SCRATCH bytes */
    int index;
    px_onednn *onednn; /* NULL: CBLAS computes the GEMMs */
} px_cpu_thread;

typedef struct px_cpu {
    px_device base;
    char *memory; /* sums, then the workspaces and scratch memory of all threads */
    char *sums;   /* PX_CPU_SUMS bytes */
    int threads;
    px_cpu_thread thread[];
} px_cpu;

/* px_device_ops.recurrence_bytes: memory for one task of each thread. */
size_t px_cpu_recurrence_bytes(const px_device *device, const px_recurrence_args *recurrence);

/* The memory of the calling thread. Parallel regions have at most px_cpu.threads threads. */
const px_cpu_thread *px_cpu_thread_of(px_device *device);
/* This thread's oneDNN, or NULL: then CBLAS computes. */
px_onednn *px_cpu_onednn(px_device *device);

/* The length of a part that begins at `first` and has at most `max` of `all` elements. */
static inline size_t px_extent(size_t all, size_t first, size_t max) { return all - first < max ? all - first : max; }

/* sum += the first `count` elements at x, which are PX_REAL or PX_BF16. */
void px_cpu_add(px_real *sum, const void *x, px_type type, size_t count);

/* The pointwise epilogue of a GEMM: C += bias + add. With one, the GEMM's beta is 0 or 1. */
typedef struct px_cpu_epilogue {
    const void *bias; /* (n) in the type of the operands, or NULL */
    const void *add;  /* (m, n) with this leading dimension and type, or NULL; must not overlap C */
    size_t ld_add;
    px_type add_type; /* PX_REAL, or the type of C */
} px_cpu_epilogue;

/* One GEMM on the calling thread: C = op(A) op(B) + beta C + bias + add, rounded once; batch and stride_* are not read.
 * Through oneDNN, or through CBLAS if oneDNN is missing or has no kernel for it. */
void px_cpu_gemm_serial(px_device *device, const px_gemm_args *gemm, const px_cpu_epilogue *epilogue);

/* The same through CBLAS. scratch: PX_CPU_SCRATCH bytes. */
void px_cblas_gemm(const px_gemm_args *gemm, const px_cpu_epilogue *epilogue, void *scratch);

#endif
