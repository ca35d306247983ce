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
    PX_CPU_WORKSPACE = 1 << 20, /* bytes of im2col workspace a thread: about the L2 cache of a core */
    PX_CPU_RESERVED = 16 << 20, /* bytes left for memory outside arenas: the loader's thread, files, batches */
    PX_CPU_SUMS = 4 << 20,      /* bytes of a weight gradient's partial sums */
    PX_CPU_FLOAT32 = 1 << 17,   /* elements a thread of float32 copies of a GEMM's bfloat16 blocks */
};

typedef struct px_cpu {
    px_device base;
    char *sums;              /* PX_CPU_SUMS bytes */
    char *workspaces;        /* a thread: PX_CPU_WORKSPACE bytes; with bfloat16, also PX_CPU_FLOAT32 elements */
    size_t workspace_stride; /* bytes a thread */
    int threads;
} px_cpu;

/* The calling thread's workspace, and its float32 elements. Parallel regions have at most px_cpu.threads threads. */
void *px_cpu_workspace(px_device *device);
px_real *px_cpu_float32(px_device *device);

/* One GEMM on the calling thread through CBLAS: c = op(a) op(b) + beta c. batch and stride_* are not read. */
void px_cpu_gemm_serial(px_device *device, const px_gemm_args *gemm);

#endif
