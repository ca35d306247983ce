/* Opens and closes the CPU backend: host memory, CBLAS, and the portable kernels under OpenMP. */
#include "host/io/limits.h"
#include "host/device/cpu/cpu.h"
#include "host/device/recurrence.h"
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* OpenBLAS's own threads are not used. GEMMs are split into tiles whose shapes do not depend on the number of threads,
 * and so results do not either. These symbols are absent in other CBLAS libraries. */
extern void openblas_set_num_threads(int threads) __attribute__((weak));
extern char *openblas_get_corename(void) __attribute__((weak));
extern void *blas_memory_alloc(int position) __attribute__((weak));
extern void blas_memory_free(void *memory) __attribute__((weak));

static px_status cpu_allocate(px_device *device, size_t bytes, void **memory) {
    *memory = aligned_alloc(256, (bytes + 255) / 256 * 256 + 256);
    if (!*memory) return px_fail_memory(device->ctx, "cpu", bytes);
    return PX_OK;
}

static px_status cpu_free(px_device *device, void *memory) {
    (void)device;
    free(memory);
    return PX_OK;
}

static px_status cpu_allocate_host(px_device *device, size_t bytes, void **memory) {
    return cpu_allocate(device, bytes, memory);
}

static px_status cpu_free_host(px_device *device, void *memory) { return cpu_free(device, memory); }

static px_status cpu_copy(px_device *device, void *to, const void *from, size_t bytes) {
    (void)device;
    if (bytes) memmove(to, from, bytes);
    return PX_OK;
}

static px_status cpu_upload(px_device *device, void *to, const void *from_host, size_t bytes) {
    return cpu_copy(device, to, from_host, bytes);
}

static px_status cpu_download(px_device *device, void *to_host, const void *from, size_t bytes) {
    return cpu_copy(device, to_host, from, bytes);
}

static px_status cpu_clear(px_device *device, void *memory, size_t bytes) {
    (void)device;
    if (bytes) memset(memory, 0, bytes);
    return PX_OK;
}

static px_status cpu_synchronize(px_device *device) {
    (void)device;
    return PX_OK;
}

static px_status cpu_close(px_device *device) {
    px_cpu *cpu = (px_cpu *)device;
    free(cpu->sums);
    free(cpu->workspaces);
    free(cpu);
    return PX_OK;
}

px_status px_cpu_recurrence_forward(px_device *device, const px_recurrence_args *recurrence) {
    return px_recurrence_forward_stepwise(device, recurrence);
}

px_status px_cpu_recurrence_backward(px_device *device, const px_recurrence_args *recurrence) {
    return px_recurrence_backward_stepwise(device, recurrence);
}

#define OP_ENTRY_OP(name)                .name = px_cpu_##name,
#define OP_ENTRY_BF16(name)              .name = px_cpu_##name##_bf16,
#define OP_ENTRY_MEMORY(name, signature) .name = cpu_##name,
static const px_device_ops cpu_real = {PX_DEVICE_OPS(OP_ENTRY_OP) PX_DEVICE_MEMORY(OP_ENTRY_MEMORY)};
static const px_device_ops cpu_bf16 = {PX_ACTIVATION_OPS(OP_ENTRY_BF16) PX_COMMON_OPS(OP_ENTRY_OP)
                                           PX_DEVICE_MEMORY(OP_ENTRY_MEMORY)};

const px_device_ops *px_cpu_ops(px_type activation) { return activation == PX_BF16 ? &cpu_bf16 : &cpu_real; }

void *px_cpu_workspace(px_device *device) {
    px_cpu *cpu = (px_cpu *)device;
    /* the thread of the outermost parallel region, which is that of px_cpu_execute */
    const int thread = omp_get_level() > 0 ? omp_get_ancestor_thread_num(1) : 0;
    return cpu->workspaces + (size_t)thread * cpu->workspace_stride;
}

px_real *px_cpu_float32(px_device *device) { return (px_real *)((char *)px_cpu_workspace(device) + PX_CPU_WORKSPACE); }

/* Writes a description such as "AMD EPYC 9654, 96 threads, OpenBLAS for Zen". */
static void cpu_describe(px_cpu *cpu) {
    char line[256], name[96] = "CPU";
    FILE *info = fopen("/proc/cpuinfo", "r");
    while (info && fgets(line, sizeof line, info))
        if (sscanf(line, "model name : %95[^\n]", name) == 1) break;
    if (info) fclose(info);
    snprintf(cpu->base.description, sizeof cpu->base.description, "%s, %d threads%s%s", name, cpu->threads,
             openblas_get_corename ? ", OpenBLAS for " : "", openblas_get_corename ? openblas_get_corename() : "");
}

/* Allocates and frees a BLAS buffer for each thread at the same time. The BLAS keeps them for later calls. */
static px_status cpu_map_buffers(px_context *ctx, int threads) {
    void **buffers = calloc((size_t)threads, sizeof *buffers);
    if (!buffers) return px_fail_memory(ctx, "cpu", (size_t)threads * sizeof *buffers);
    for (int i = 0; i < threads; i++) buffers[i] = blas_memory_alloc(0);
    for (int i = 0; i < threads; i++) blas_memory_free(buffers[i]);
    free(buffers);
    return PX_OK;
}

/* Under a limit on address space, starts all threads and allocates their buffers now, or fails. Later, OpenBLAS would
 * retry forever if it could not map a buffer, and OpenMP would exit the process if it could not start a thread. */
static px_status cpu_start_threads(px_context *ctx, int threads) {
    enum { BUFFER = 128 << 20, STACK = 8 << 20 }; /* bytes: OpenBLAS's BUFFER_SIZE, at most; the usual stack */
    const size_t bytes = (size_t)threads * (size_t)(blas_memory_alloc ? BUFFER + STACK : STACK);
    struct rlimit space;
    if (getrlimit(RLIMIT_AS, &space) != 0 || space.rlim_cur == RLIM_INFINITY) return PX_OK;
    void *probe = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (probe == MAP_FAILED) {
        const px_memory_limit left = px_limit_memory("");
        return px_fail(ctx, PX_ERR_MEMORY,
                       "out of memory: %d thread%s with the BLAS's buffers need%s %.2f GiB of address space, %s leaves "
                       "%.2f GiB; raise the limit, or set OMP_NUM_THREADS to fewer",
                       threads, threads > 1 ? "s" : "", threads > 1 ? "" : "s", (double)bytes / (1 << 30), left.name,
                       (double)left.bytes / (1 << 30));
    }
    munmap(probe, bytes);
#pragma omp parallel num_threads(threads)
    (void)omp_get_thread_num();
    return blas_memory_alloc ? cpu_map_buffers(ctx, threads) : PX_OK;
}

px_status px_cpu_open(px_context *ctx, px_type activation, px_device **device) {
    if (openblas_set_num_threads) openblas_set_num_threads(1);
    PX_TRY(cpu_start_threads(ctx, omp_get_max_threads()));
    px_cpu *cpu = calloc(1, sizeof *cpu);
    if (!cpu) return px_fail_memory(ctx, "cpu", sizeof *cpu);
    cpu->threads = omp_get_max_threads();
    cpu->workspace_stride = PX_CPU_WORKSPACE + (activation == PX_BF16 ? PX_CPU_FLOAT32 * sizeof(px_real) : 0);
    cpu->base = (px_device){.ops = px_cpu_ops(activation),
                            .ctx = ctx,
                            .activation = activation,
                            .kind = "cpu",
                            .workers = cpu->threads,
                            .recurrence = getenv("PX_RECURRENCE")};
    cpu->base.workspace = PX_CPU_SUMS + (size_t)cpu->threads * cpu->workspace_stride;
    const px_memory_limit limit = px_limit_memory("");
    cpu->base.memory = limit.bytes > PX_CPU_RESERVED ? limit.bytes - PX_CPU_RESERVED : 0;
    snprintf(cpu->base.limit, sizeof cpu->base.limit, "%s", limit.name);
    cpu->sums = aligned_alloc(256, PX_CPU_SUMS);
    cpu->workspaces = aligned_alloc(256, (size_t)cpu->threads * cpu->workspace_stride);
    cpu_describe(cpu);
    *device = &cpu->base;
    if (cpu->sums && cpu->workspaces) return PX_OK;
    px_fail_memory(ctx, "cpu: workspaces", cpu->base.workspace);
    cpu_close(*device);
    *device = NULL;
    return PX_ERR_MEMORY;
}
