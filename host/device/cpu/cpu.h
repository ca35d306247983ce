/* The CPU backend of the device table, private to its files. */
#ifndef PIXELRNN_DEVICE_CPU_H
#define PIXELRNN_DEVICE_CPU_H

#include "host/device/backend.h"

#define PX_DECLARE_CPU(name)      px_status px_cpu_##name(px_device *device, const px_##name##_args *args);
#define PX_DECLARE_CPU_BF16(name) px_status px_cpu_##name##_bf16(px_device *device, const px_##name##_args *args);
PX_DEVICE_OPS(PX_DECLARE_CPU)
PX_ACTIVATION_OPS(PX_DECLARE_CPU_BF16)
#undef PX_DECLARE_CPU
#undef PX_DECLARE_CPU_BF16

/* The backend for activations of this type. */
const px_device_ops *px_cpu_ops(px_type activation);

enum {
    PX_SERIAL_WORK = 1 << 16,   /* multiplications below which waking the threads costs more than it brings */
    PX_CPU_WORKSPACE = 1 << 20, /* bytes of gathered columns: one panel a thread, about a core's second-level cache */
    PX_CPU_SPARE = 16 << 20,    /* bytes left to what no plan counts: the loader's thread, files, batches */
    PX_CPU_SUMS = 4 << 20,      /* bytes of partial sums of a weight gradient */
    PX_CPU_FLOAT32 = 1 << 17, /* reals that stand in for a product's bfloat16 operands and result, beside each panel */
};

typedef struct px_cpu {
    px_device base;
    char *sums;       /* PX_CPU_SUMS bytes */
    char *workspaces; /* for each thread PX_CPU_WORKSPACE bytes, and PX_CPU_FLOAT32 where activations are bfloat16 */
    size_t workspace_stride; /* bytes from one thread's to the next */
    int threads;
} px_cpu;

/* This thread's panel and reals; inside a parallel region of at most px_cpu.threads threads. */
void *px_cpu_workspace(px_device *device);
px_real *px_cpu_float32(px_device *device);

/* One product on the calling thread, through CBLAS: c = op(a) op(b) + beta c, row-major. batch and step_* are not read.
 */
void px_cpu_gemm_serial(px_device *device, const px_gemm_args *gemm);

#endif
