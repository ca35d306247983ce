/* The rest of the runtime: an invented card, its memory, copies, errors. */
#include "tests/mock_cuda/mock.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ALIGNMENT = 256,      /* of an allocation */
    SPOILT = 1 << 20,     /* bytes of a new allocation that are overwritten: all would take longer than the tests */
    ALLOCATIONS = 1 << 10 /* at a time */
};
static const size_t card_memory = (size_t)16 << 30;

static cudaError_t last_error;
static struct {
    char *memory;
    size_t bytes;
} allocations[ALLOCATIONS]; /* of the card's memory; NULL: free */

cudaError_t mock_error(cudaError_t error) {
    last_error = error;
    return error;
}

cudaError_t cudaGetLastError(void) {
    const cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

const char *cudaGetErrorString(cudaError_t error) {
    static char words[64];
    snprintf(words, sizeof words, "error %d of the mock", (int)error);
    return words;
}

/* ---- The card ------------------------------------------------------------------------------------------------------
 */

cudaError_t cudaGetDeviceCount(int *count) {
    *count = 1;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version) {
    *version = 12040;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int *device) {
    *device = 0;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : mock_error(cudaErrorInvalidDevice); }

/* Compute capability 9.9 does not exist: such a device has clusters, but code for 9.0 alone is not for it. */
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *card, int device) {
    const char *capability = getenv("PX_MOCK_CAPABILITY"), *rank = getenv("OMPI_COMM_WORLD_RANK");
    const int version = capability ? atoi(capability) : 99;
    if (device != 0) return mock_error(cudaErrorInvalidDevice);
    *card = (struct cudaDeviceProp){.name = "mock on the CPU",
                                    .uuid = {"a mock card"},
                                    .major = version / 10,
                                    .minor = version % 10,
                                    .multiProcessorCount = 16,
                                    .totalGlobalMem = card_memory,
                                    .sharedMemPerBlockOptin = 227 << 10};
    card->uuid.bytes[sizeof card->uuid.bytes - 1] = (char)(rank ? atoi(rank) : 0); /* each rank has a GPU of its own */
    return cudaSuccess;
}

/* The clusters of an H200 with all of its shared memory: at most 16 multiprocessors of each of 8 GPCs. */
cudaError_t cudaOccupancyMaxActiveClusters(int *clusters, const void *kernel, const cudaLaunchConfig_t *config) {
    if (!kernel || config->numAttrs != 1 || config->attrs[0].id != cudaLaunchAttributeClusterDimension)
        return mock_error(cudaErrorInvalidValue);
    *clusters = 128 / (int)config->attrs[0].val.clusterDim.x;
    return cudaSuccess;
}

/* ---- Memory --------------------------------------------------------------------------------------------------------
 */

static int allocation_of(const void *memory, size_t bytes) {
    const char *from = memory;
    for (int i = 0; i < ALLOCATIONS; i++)
        if (allocations[i].memory && from >= allocations[i].memory &&
            from + bytes <= allocations[i].memory + allocations[i].bytes)
            return i;
    return -1;
}

bool mock_on_card(const void *memory, size_t bytes) { return allocation_of(memory, bytes) >= 0; }

static void *aligned(size_t bytes) {
    void *memory = aligned_alloc(ALIGNMENT, (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
    if (!memory) return NULL;
    mock_spoil(memory, bytes < SPOILT ? bytes : SPOILT);
    mock_counted(MOCK_left);
    return memory;
}

/* What may wait for the card cannot be captured. */
cudaError_t cudaMalloc(void **memory, size_t bytes) {
    const cudaError_t error = mock_wait();
    size_t used = 0;
    int place = -1;
    *memory = NULL;
    if (error != cudaSuccess) return error;
    if (bytes == 0) return mock_error(cudaErrorInvalidValue); /* not documented */
    for (int i = 0; i < ALLOCATIONS; i++) {
        if (!allocations[i].memory) place = i;
        used += allocations[i].bytes;
    }
    if (place < 0 || bytes > card_memory - used) return mock_error(cudaErrorMemoryAllocation);
    *memory = aligned(bytes);
    if (!*memory) return mock_error(cudaErrorMemoryAllocation);
    allocations[place].memory = *memory;
    allocations[place].bytes = bytes;
    return cudaSuccess;
}

cudaError_t cudaFree(void *memory) {
    const cudaError_t error = mock_wait();
    const int place = allocation_of(memory, 0);
    if (error != cudaSuccess || !memory) return error;
    if (place < 0 || allocations[place].memory != memory) return mock_error(cudaErrorInvalidValue);
    mock_free(memory);
    allocations[place].memory = NULL;
    allocations[place].bytes = 0;
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **memory, size_t bytes) {
    *memory = aligned(bytes);
    return *memory ? cudaSuccess : mock_error(cudaErrorMemoryAllocation);
}

cudaError_t cudaFreeHost(void *memory) {
    const cudaError_t error = mock_wait();
    if (error == cudaSuccess) mock_free(memory);
    return error;
}

/* ---- Copies --------------------------------------------------------------------------------------------------------
 */

/* Rows of `width` bytes, so far apart; from NULL: `value` instead. */
typedef struct copy {
    char *to;
    const char *from;
    size_t to_pitch, from_pitch, width, rows;
    int value;
} copy;

static void run_copy(const void *args) {
    const copy *c = args;
    for (size_t row = 0; row < c->rows; row++) {
        if (c->from)
            memcpy(c->to + row * c->to_pitch, c->from + row * c->from_pitch, c->width);
        else
            memset(c->to + row * c->to_pitch, c->value, c->width);
    }
}

static size_t extent(size_t pitch, size_t width, size_t rows) { return rows ? (rows - 1) * pitch + width : 0; }

static cudaError_t give_copy(copy c, enum cudaMemcpyKind kind, cudaStream_t stream) {
    const size_t to = extent(c.to_pitch, c.width, c.rows), from = extent(c.from_pitch, c.width, c.rows);
    const bool to_card = kind != cudaMemcpyDeviceToHost, from_card = c.from && kind != cudaMemcpyHostToDevice;
    if (c.to_pitch < c.width || (c.from && c.from_pitch < c.width)) return mock_error(cudaErrorInvalidPitchValue);
    if (mock_on_card(c.to, to) != to_card || (c.from && mock_on_card(c.from, from) != from_card) ||
        (c.from && mock_overlap(c.to, to, c.from, from)))
        return mock_error(cudaErrorInvalidValue);
    return mock_give(stream, run_copy, &c, sizeof c);
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width, size_t rows,
                              enum cudaMemcpyKind kind, cudaStream_t stream) {
    return give_copy((copy){to, from, to_pitch, from_pitch, width, rows, 0}, kind, stream);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream) {
    return cudaMemcpy2DAsync(to, bytes, from, bytes, bytes, 1, kind, stream);
}

cudaError_t cudaMemset2DAsync(void *to, size_t pitch, int value, size_t width, size_t rows, cudaStream_t stream) {
    return give_copy((copy){to, NULL, pitch, 0, width, rows, value}, cudaMemcpyDeviceToDevice, stream);
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream) {
    return cudaMemset2DAsync(to, bytes, value, bytes, 1, stream);
}
