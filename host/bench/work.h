/* The minimum work of each device operation. */
#ifndef PIXELRNN_BENCH_WORK_H
#define PIXELRNN_BENCH_WORK_H

#include "host/device/backend.h"

/* The operations of the device table, numbered: PX_OP_gemm, ... */
enum {
#define PX_COUNT_OP(name) PX_OP_##name,
    PX_DEVICE_OPS(PX_COUNT_OP)
#undef PX_COUNT_OP
        PX_OPS
};
extern const char *const px_op_names[PX_OPS];

/* Floating-point operations (a multiplication and an addition are two), and bytes of the operation's tensors, each read
 * or written once for each time that its descriptor lists it. */
typedef struct px_work {
    double flops, bytes;
} px_work;

/* Returns the minimum work of a call. op: PX_OP_name; args: its px_name_args. */
px_work px_work_of(int op, const void *args);

#endif
