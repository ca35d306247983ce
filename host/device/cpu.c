/* The CPU: memory of the host, CBLAS, and the portable kernels under OpenMP. */
#include "host/device/cpu.h"
#include "host/device/sweep.h"
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* OpenBLAS's own thread pool is not used: products are cut into tiles whose shape does not depend on the number of
 * threads, so that neither do the results. Absent in other CBLAS libraries. */
extern void openblas_set_num_threads(int threads) __attribute__((weak));
extern char *openblas_get_corename(void) __attribute__((weak));

static px_status px_cpu_allocate(px_device *device, size_t bytes, void **memory) {
    *memory = aligned_alloc(256, (bytes + 255) / 256 * 256 + 256);
    if (!*memory) return px_fail(device->ctx, PX_ERR_MEMORY, "cpu: cannot allocate %zu bytes", bytes);
    return PX_OK;
}

static px_status px_cpu_release(px_device *device, void *memory) {
    (void)device;
    free(memory);
    return PX_OK;
}

static px_status px_cpu_allocate_host(px_device *device, size_t bytes, void **memory) {
    return px_cpu_allocate(device, bytes, memory);
}

static px_status px_cpu_release_host(px_device *device, void *memory) {
    return px_cpu_release(device, memory);
}

static px_status px_cpu_copy(px_device *device, void *to, const void *from, size_t bytes) {
    (void)device;
    if (bytes) memmove(to, from, bytes);
    return PX_OK;
}

static px_status px_cpu_upload(px_device *device, void *to, const void *from_host, size_t bytes) {
    return px_cpu_copy(device, to, from_host, bytes);
}

static px_status px_cpu_download(px_device *device, void *to_host, const void *from, size_t bytes) {
    return px_cpu_copy(device, to_host, from, bytes);
}

static px_status px_cpu_clear(px_device *device, void *memory, size_t bytes) {
    (void)device;
    if (bytes) memset(memory, 0, bytes);
    return PX_OK;
}

static px_status px_cpu_synchronize(px_device *device) {
    (void)device;
    return PX_OK;
}

static px_status px_cpu_no_graphs(px_device *device) {
    return px_fail(device->ctx, PX_ERR_DEVICE, "cpu: has no graphs");
}
static px_status px_cpu_graph_begin(px_device *device) {
    return px_cpu_no_graphs(device);
}
static px_status px_cpu_graph_end(px_device *device, void **graph) {
    *graph = NULL;
    return px_cpu_no_graphs(device);
}
static px_status px_cpu_graph_run(px_device *device, void *graph) {
    (void)graph;
    return px_cpu_no_graphs(device);
}
static px_status px_cpu_graph_release(px_device *device, void *graph) {
    (void)graph;
    return px_cpu_no_graphs(device);
}

static px_status px_cpu_close(px_device *device) {
    px_cpu *cpu = (px_cpu *)device;
    free(cpu->sums);
    free(cpu->panels);
    free(cpu);
    return PX_OK;
}

px_status px_cpu_sweep_forward(px_device *device, const px_sweep_args *sweep) {
    return px_sweep_forward_launched(device, sweep);
}

px_status px_cpu_sweep_backward(px_device *device, const px_sweep_args *sweep) {
    return px_sweep_backward_launched(device, sweep);
}

#define PX_FILL_OP(name)                .name = px_cpu_##name,
#define PX_FILL_BF16(name)              .name = px_cpu_##name##_bf16,
#define PX_FILL_MEMORY(name, signature) .name = px_cpu_##name,
static const px_device_ops px_cpu_real = {PX_DEVICE_OPS(PX_FILL_OP) PX_DEVICE_MEMORY(PX_FILL_MEMORY)};
static const px_device_ops px_cpu_bf16 = {PX_ACTIVATION_OPS(PX_FILL_BF16) PX_COMMON_OPS(PX_FILL_OP)
                                              PX_DEVICE_MEMORY(PX_FILL_MEMORY)};

const px_device_ops *px_cpu_ops(px_type activation) {
    return activation == PX_BF16 ? &px_cpu_bf16 : &px_cpu_real;
}

void *px_cpu_panel(px_device *device) {
    px_cpu *cpu = (px_cpu *)device;
    const int thread = omp_get_level() > 0 ? omp_get_ancestor_thread_num(1) : 0; /* of the outermost region: a tape's */
    return cpu->panels + (size_t)thread * cpu->panel;
}

px_real *px_cpu_reals(px_device *device) {
    return (px_real *)((char *)px_cpu_panel(device) + PX_CPU_PANEL);
}

/* "AMD EPYC 9654, 96 threads, OpenBLAS for Zen", as far as the system tells. */
static void px_cpu_describe(px_cpu *cpu) {
    char line[256], name[96] = "CPU";
    FILE *info = fopen("/proc/cpuinfo", "r");
    while (info && fgets(line, sizeof line, info))
        if (sscanf(line, "model name : %95[^\n]", name) == 1) break;
    if (info) fclose(info);
    snprintf(cpu->base.description, sizeof cpu->base.description, "%s, %d threads%s%s", name, cpu->threads,
             openblas_get_corename ? ", OpenBLAS for " : "", openblas_get_corename ? openblas_get_corename() : "");
}

px_status px_cpu_open(px_context *ctx, px_type activation, px_device **device) {
    px_cpu *cpu = calloc(1, sizeof *cpu);
    if (!cpu) return px_fail(ctx, PX_ERR_MEMORY, "cpu: cannot allocate the device");
    if (openblas_set_num_threads) openblas_set_num_threads(1);
    cpu->threads = omp_get_max_threads();
    cpu->panel = PX_CPU_PANEL + (activation == PX_BF16 ? PX_CPU_REALS * sizeof(px_real) : 0);
    cpu->base = (px_device){
        .ops = px_cpu_ops(activation), .ctx = ctx, .activation = activation, .kind = "cpu", .workers = cpu->threads};
    cpu->base.workspace = PX_CPU_SUMS + (size_t)cpu->threads * cpu->panel;
    cpu->base.memory = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGE_SIZE);
    cpu->sums = aligned_alloc(256, PX_CPU_SUMS);
    cpu->panels = aligned_alloc(256, (size_t)cpu->threads * cpu->panel);
    px_cpu_describe(cpu);
    *device = &cpu->base;
    if (cpu->sums && cpu->panels) return PX_OK;
    px_fail(ctx, PX_ERR_MEMORY, "cpu: cannot allocate %zu bytes of workspace", cpu->base.workspace);
    px_cpu_close(*device);
    *device = NULL;
    return PX_ERR_MEMORY;
}
