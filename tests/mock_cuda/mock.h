/* A mock for the CUDA runtime, cuBLASLt and cuDNN's graph interface, for machines without a GPU: test programs are
 * linked with it and with the objects of host/device/cuda*.c as they are.
 *
 * It does on the CPU what the documentation of these libraries says they do, as late as it allows: what a stream is
 * given runs when somebody waits for it. It refuses what they refuse (types, sizes, leading dimensions, alignment other
 * than was promised, memory that is not the card's), and some things that they would take and spoil (operands that
 * overlap a result). What must not be chosen (inexact engines, sums rounded part by part) can be chosen, and gives NaN.
 *
 * So it shows that the host asks for the right thing. It says nothing of a GPU's results, of its kernels or their
 * speed: kernels are the CPU backend's, and those that it lacks, recurrences on clusters, do not run.
 *
 *   PX_MOCK_ENDS     all (the default), none, or even: what cuBLASLt and cuDNN end as they are asked to, by the number
 * of a result's features. With even, cuDNN has no engine at all for two images, such as those that a batch's last chunk
 * may have PX_MOCK_PRODUCTS none: cuBLASLt has no algorithm for any product PX_MOCK_CAPABILITY the compute capability
 * of the device, 99 for 9.9 (the default) PX_MOCK_COUNTS   a file that the counts below are written to when the program
 * ends */
#ifndef PIXELRNN_TESTS_MOCK_H
#define PIXELRNN_TESTS_MOCK_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What was asked for and done, so that a test can see that it tests. "with" counts what the libraries end themselves,
 * "refused" what they were asked for and would not do, "left" the objects and allocations that were never destroyed or
 * freed. */
#define MOCK_COUNTS(X)                                                                                                 \
    X(products)                                                                                                        \
    X(products_with_add)                                                                                               \
    X(products_with_bias)                                                                                              \
    X(products_with_relu)                                                                                              \
    X(products_refused)                                                                                                \
    X(convolutions)                                                                                                    \
    X(convolutions_with_bias)                                                                                          \
    X(convolutions_with_relu_mask)                                                                                     \
    X(convolutions_with_add)                                                                                           \
    X(convolutions_with_relu)                                                                                          \
    X(convolutions_refused)                                                                                            \
    X(epilogues)                                                                                                       \
    X(executed)                                                                                                        \
    X(graphs)                                                                                                          \
    X(left)
typedef enum {
#define MOCK_COUNT(name) MOCK_##name,
    MOCK_COUNTS(MOCK_COUNT)
#undef MOCK_COUNT
} mock_count;
void mock_counted(mock_count what);

/* Whether the libraries end a result of so many features themselves; and whether cuDNN takes so many images. */
bool mock_ends(int64_t features);
bool mock_takes(int64_t images);

/* Gives the stream work to do later, with a copy of its arguments; or adds it to the graph that is being captured. */
typedef void (*mock_work)(const void *args);
cudaError_t mock_give(cudaStream_t stream, mock_work work, const void *args, size_t bytes);

/* Does what every stream was given. An error if one is being captured, which is then spoilt. */
cudaError_t mock_wait(void);

/* Keeps the error for cudaGetLastError, and returns it. */
cudaError_t mock_error(cudaError_t error);

/* Whether these bytes lie in one allocation of the card's memory. */
bool mock_on_card(const void *memory, size_t bytes);
/* Whether two stretches of memory share a byte. */
bool mock_overlap(const void *a, size_t bytes_a, const void *b, size_t bytes_b);
/* Overwrites what no one may rely on: 0xff bytes are NaN in every type. */
void mock_spoil(void *memory, size_t bytes);

/* Element `index` of bfloat16 if narrow, else of float32. */
float mock_read(const void *data, int64_t index, bool narrow);
void mock_write(void *data, int64_t index, bool narrow, float value);
/* malloc for what cannot fail in a test: ends the program. */
void *mock_memory(size_t bytes);
void mock_free(void *memory); /* NULL is allowed */

#endif
