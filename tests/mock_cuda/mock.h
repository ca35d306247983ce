/* A mock of the CUDA runtime, cuBLASLt and cuDNN's graph API, for machines without a GPU. Test programs are linked with
 * it and with the unchanged objects of host/device/cuda/.
 *
 * The mock does on the CPU what the documentation of these libraries says, as late as they may: work on a stream runs
 * when the host waits for it. It rejects calls that the libraries reject: wrong types, sizes, leading dimensions and
 * alignments, and memory that is not device memory. It also rejects calls that they accept but that give wrong results,
 * such as operands that overlap a result. Engines that must not be chosen (inexact ones) exist and produce NaN.
 *
 * The mock shows that the host makes correct calls. It shows nothing about a GPU's results, kernels or speed: kernels
 * are those of the CPU backend, and fused recurrences on emulated blocks and clusters.
 *
 * Environment variables:
 *   PX_MOCK_ENDS        which epilogues cuBLASLt and cuDNN support: all (default), none, or even, for an even number of
 *                       channels. With even, cuDNN has no engine for two images
 *   PX_MOCK_PRODUCTS    none: cuBLASLt has no algorithm for any GEMM
 *   PX_MOCK_PLANS       fail: cuDNN fails to plan, for another reason than lack of support
 *   PX_MOCK_GRAPHS      wrong: a graph leaves out the work that was captured first; wrong:RANK: on this rank alone
 *   PX_MOCK_STEP        wrong: the fused recurrence step writes two wrong values; fail: it cannot be launched; slow: it
 *                       takes 20 ms more
 *   PX_MOCK_CLUSTERS    hang, crash or wrong: what a recurrence on clusters does; slow: it takes 50 ms more
 *   PX_MOCK_CAPABILITY  the device's compute capability, 99 for 9.9 (default)
 *   PX_MOCK_NCCL        STEP:RANK: this step of NCCL fails on this rank (mock_nccl/nccl.c)
 *   PX_MOCK_COUNTS      a file to which the counts below are written at exit */
#ifndef PIXELRNN_TESTS_MOCK_H
#define PIXELRNN_TESTS_MOCK_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Counts of calls, with which a test shows that it exercises a path. "with" counts fused epilogues, "refused" requests
 * that were not supported, "launches" the work that the host gave to a stream, where a graph is one, and "left" objects
 * and allocations that were not destroyed or freed. */
#define MOCK_COUNTS(X)                                                                                                 \
    X(products)                                                                                                        \
    X(products_with_add)                                                                                               \
    X(products_with_bias)                                                                                              \
    X(products_with_relu)                                                                                              \
    X(products_refused)                                                                                                \
    X(products_in_tf32)                                                                                                \
    X(convolutions)                                                                                                    \
    X(convolutions_with_bias)                                                                                          \
    X(convolutions_with_relu_mask)                                                                                     \
    X(convolutions_with_add)                                                                                           \
    X(convolutions_with_relu)                                                                                          \
    X(convolutions_refused)                                                                                            \
    X(convolutions_in_tf32)                                                                                            \
    X(epilogues)                                                                                                       \
    X(launches)                                                                                                        \
    X(graphs)                                                                                                          \
    X(clusters)                                                                                                        \
    X(steps)                                                                                                           \
    X(synchronizations)                                                                                                \
    X(event_waits)                                                                                                     \
    X(left)
typedef enum {
#define MOCK_COUNT(name) MOCK_##name,
    MOCK_COUNTS(MOCK_COUNT)
#undef MOCK_COUNT
} mock_count;
void mock_counted(mock_count what);

/* Whether the libraries fuse epilogues of a result with this many channels; whether cuDNN accepts this many images. */
bool mock_ends(int64_t features);
bool mock_takes(int64_t images);

/* Adds work to the stream, with a copy of its arguments, or to the graph that is being captured. */
typedef void (*mock_work)(const void *args);
cudaError_t mock_give(cudaStream_t stream, mock_work work, const void *args, size_t bytes);

/* Runs the work of all streams. An error during a capture, which it invalidates. */
cudaError_t mock_wait(void);

/* Sets the error of cudaGetLastError and returns it. */
cudaError_t mock_error(cudaError_t error);

/* Whether these bytes are in one allocation of device memory. */
bool mock_on_card(const void *memory, size_t bytes);
/* Whether two memory ranges overlap. */
bool mock_overlap(const void *a, size_t bytes_a, const void *b, size_t bytes_b);
/* Overwrites memory with undefined contents by 0xff bytes, which are NaN in every type. */
void mock_spoil(void *memory, size_t bytes);

/* Element `index` of bfloat16 if narrow, else of float32. */
float mock_read(const void *data, int64_t index, bool narrow);
void mock_write(void *data, int64_t index, bool narrow, float value);
/* Rounds to TF32, half away from zero, as tensor cores do with operands: 10 bits of mantissa. */
float mock_tf32(float value);
/* malloc that aborts the program on failure. */
void *mock_memory(size_t bytes);
void mock_free(void *memory); /* NULL is allowed */

#endif
