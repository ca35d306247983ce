/* Opens and closes the CPU backend: host memory, CBLAS, and the portable kernels under OpenMP. */
#include "host/io/limits.h"
#include "host/io/plural.h"
#include "host/device/cpu/onednn.h"
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

/* Large allocations ask for huge pages, because the steps of a recurrence visit pixels that are far apart. */
static px_status cpu_allocate(px_device *device, size_t bytes, void **memory) {
    enum { HUGE_PAGE = 2 << 20 };
    const size_t align = bytes < HUGE_PAGE ? 256 : HUGE_PAGE, whole = (bytes + 2 * 256 - 1) / 256 * 256;
    *memory = aligned_alloc(align, (whole + align - 1) / align * align);
    if (!*memory) return px_fail_memory(device->ctx, "cpu", bytes);
    if (align == HUGE_PAGE) (void)madvise(*memory, whole, MADV_HUGEPAGE); /* advice: the kernel may ignore it */
    return PX_OK;
}

static px_status cpu_free(px_device *device, void *memory) {
    (void)device;
    free(memory);
    return PX_OK;
}

static px_status cpu_copy(px_device *device, void *to, const void *from, size_t bytes) {
    (void)device;
    if (bytes) memmove(to, from, bytes);
    return PX_OK;
}

/* The memory of the device is that of the host. */
#define cpu_allocate_host cpu_allocate
#define cpu_free_host     cpu_free
#define cpu_upload        cpu_copy
#define cpu_download      cpu_copy

/* Work is done when it is issued. */
#define cpu_download_async cpu_copy

static px_status cpu_event_record(px_device *device, int event) {
    (void)device, (void)event;
    return PX_OK;
}

#define cpu_event_wait cpu_event_record

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
    for (int i = 0; i < cpu->threads; i++) px_onednn_destroy(cpu->thread[i].onednn);
    free(cpu->memory);
    free(cpu);
    return PX_OK;
}

#define OP_ENTRY_OP(name)                .name = px_cpu_##name,
#define OP_ENTRY_BF16(name)              .name = px_cpu_##name##_bf16,
#define OP_ENTRY_MEMORY(name, signature) .name = cpu_##name,
static const px_device_ops cpu_real = {
    PX_DEVICE_OPS(OP_ENTRY_OP) PX_DEVICE_MEMORY(OP_ENTRY_MEMORY).recurrence_bytes = px_cpu_recurrence_bytes};
static const px_device_ops cpu_bf16 = {
    PX_ACTIVATION_OPS(OP_ENTRY_BF16) PX_COMMON_OPS(OP_ENTRY_OP) PX_DEVICE_MEMORY(OP_ENTRY_MEMORY).recurrence_bytes =
        px_cpu_recurrence_bytes};

const px_device_ops *px_cpu_ops(px_type activation) { return activation == PX_BF16 ? &cpu_bf16 : &cpu_real; }

const px_cpu_thread *px_cpu_thread_of(px_device *device) {
    /* Parallel regions may be nested, but only one of them has more than one thread. */
    int level = omp_get_level();
    while (level > 0 && omp_get_team_size(level) == 1) level--;
    return &((px_cpu *)device)->thread[level > 0 ? omp_get_ancestor_thread_num(level) : 0];
}

px_onednn *px_cpu_onednn(px_device *device) {
    return device->paths & PX_PATH_LIBRARIES ? px_cpu_thread_of(device)->onednn : NULL;
}

/* Writes a description such as "AMD EPYC 9654, 96 threads, OpenBLAS for Zen". */
static void cpu_describe(px_cpu *cpu) {
    char line[256], name[96] = "CPU";
    FILE *info = fopen("/proc/cpuinfo", "r");
    while (info && fgets(line, sizeof line, info))
        if (sscanf(line, "model name : %95[^\n]", name) == 1) break;
    if (info) fclose(info);
    const bool onednn = cpu->thread[0].onednn, openblas = !onednn && openblas_get_corename;
    snprintf(cpu->base.description, sizeof cpu->base.description, "%s, %d thread%s, %s%s", name, cpu->threads,
             px_plural(cpu->threads),
             onednn     ? "oneDNN"
             : openblas ? "OpenBLAS for "
                        : "CBLAS",
             openblas ? openblas_get_corename() : "");
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
    const int threads = omp_get_max_threads();
    const size_t bytes = sizeof(px_cpu) + (size_t)threads * sizeof(px_cpu_thread);
    *device = NULL;
    PX_TRY(cpu_start_threads(ctx, threads));
    px_cpu *cpu = calloc(1, bytes);
    if (!cpu) return px_fail_memory(ctx, "cpu", bytes);
    cpu->base = (px_device){.ops = px_cpu_ops(activation),
                            .ctx = ctx,
                            .activation = activation,
                            .kind = "cpu",
                            .paths = PX_PATH_CPU,
                            .workers = threads};
    cpu->threads = threads;
    cpu->base.workspace = PX_CPU_SUMS + (size_t)threads * (PX_CPU_WORKSPACE + PX_CPU_SCRATCH);
    const px_memory_limit limit = px_limit_memory("");
    cpu->base.memory = limit.bytes > PX_CPU_RESERVED ? limit.bytes - PX_CPU_RESERVED : 0;
    snprintf(cpu->base.limit, sizeof cpu->base.limit, "%s", limit.name);
    cpu->memory = aligned_alloc(256, cpu->base.workspace);
    if (!cpu->memory) {
        px_fail_memory(ctx, "cpu: workspaces", cpu->base.workspace);
        cpu_close(&cpu->base);
        return PX_ERR_MEMORY;
    }
    cpu->sums = cpu->memory;
    for (int i = 0; i < threads; i++) {
        px_cpu_thread *thread = &cpu->thread[i];
        thread->index = i;
        thread->workspace = cpu->memory + PX_CPU_SUMS + (size_t)i * (PX_CPU_WORKSPACE + PX_CPU_SCRATCH);
        thread->scratch = thread->workspace + PX_CPU_WORKSPACE;
        thread->onednn = px_onednn_create(activation, thread->scratch, PX_CPU_SCRATCH);
    }
    cpu_describe(cpu);
    *device = &cpu->base;
    return PX_OK;
}
