/* An emulated cluster of thread blocks. Its threads are fibers, which run warp by warp in a random order, some blocks
 * more often than others. A fiber yields where a thread would wait. A wait that never ends is detected when no fiber
 * can continue. */
#include "tests/support/emulated_cuda.h"
#include "kernels/portable/random.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

enum {
    STACK_BYTES = 128 << 10, /* of a fiber */
    WARP = 32,
    MAX_BLOCKS = 8, /* of a cluster */
};

px_index threadIdx, blockIdx, blockDim;

struct fiber {
    ucontext_t context;
    char *stack;
    int block, thread;
    bool done;
    long synced; /* arrivals at the block's barrier */
    bool (*is_ready)(const void *what, long number);
    const void *what;
    long number;
};

static struct {
    ucontext_t scheduler;
    fiber *fibers, *now;
    char *shared[MAX_BLOCKS];
    long synced[MAX_BLOCKS]; /* arrivals so far */
    const px_emulated_launch *launch;
    int count; /* of fibers */
    uint64_t random_count;
    long progress; /* counts events that may let a fiber continue */
    char fault[200];
} emu;

/* ---- The running fiber ---- */

void px_emulated_yield() { swapcontext(&emu.now->context, &emu.scheduler); }

void px_emulated_fault(const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (!emu.fault[0]) vsnprintf(emu.fault, sizeof emu.fault, format, args);
    va_end(args);
    for (;;) px_emulated_yield();
}

int px_emulated_block() { return emu.now->block; }
int px_emulated_fiber() { return (int)(emu.now - emu.fibers); }
void px_emulated_progress() { emu.progress++; }

int px_emulated_random(int count) {
    const px_random4 word = px_random(emu.launch->seed, PX_RANDOM_DATA, 0, emu.random_count++);
    return (int)(px_uniform(word.word[0], word.word[1]) * count);
}

/* The scheduler does not resume a fiber that is waiting. */
static bool is_waiting(const fiber *f) { return f->is_ready && !f->is_ready(f->what, f->number); }

void px_emulated_wait(bool (*is_ready)(const void *what, long number), const void *what, long number) {
    fiber *f = emu.now;
    f->is_ready = is_ready, f->what = what, f->number = number;
    if (is_waiting(f)) px_emulated_yield();
    f->is_ready = NULL;
}

static bool has_reached(const void *count, long all) { return *(const long *)count >= all; }
void __syncthreads() {
    fiber *f = emu.now;
    const long all = ++f->synced * emu.launch->threads;
    emu.synced[f->block]++, emu.progress++;
    px_emulated_wait(has_reached, &emu.synced[f->block], all);
}

char *px_emulated_shared_of(int block, uint32_t address, uint32_t bytes, uint32_t align) {
    const uint32_t at = address - PX_EMULATED_BASE;
    if (block >= emu.launch->blocks || address < PX_EMULATED_BASE || at + bytes > emu.launch->shared_bytes ||
        at % align != 0)
        px_emulated_fault("shared memory: %u bytes at %u of %u in block %d", bytes, at, emu.launch->shared_bytes,
                          block);
    return emu.shared[block] + at;
}
char *px_emulated_shared(uint32_t address, uint32_t bytes, uint32_t align) {
    if (address >= PX_EMULATED_REMOTE)
        px_emulated_fault("found an address of another block, expected one of this block");
    return px_emulated_shared_of(emu.now->block, address, bytes, align);
}

/* ---- Launches ---- */

static void run_thread() {
    emu.launch->kernel();
    emu.now->done = true;
    emu.progress++;
    for (;;) px_emulated_yield();
}

static void switch_to(fiber *f, unsigned cluster) {
    const unsigned *grid = emu.launch->grid, first = cluster * (unsigned)emu.launch->blocks;
    emu.now = f;
    threadIdx.x = (unsigned)f->thread, blockDim.x = (unsigned)emu.launch->threads;
    blockIdx.x = first % grid[0] + (unsigned)f->block;
    blockIdx.y = first / grid[0] % grid[1], blockIdx.z = first / grid[0] / grid[1];
    swapcontext(&emu.scheduler, &f->context);
}

static void start_fiber(fiber *f, int index) {
    char *stack = f->stack;
    memset(f, 0, sizeof *f);
    f->stack = stack, f->block = index / emu.launch->threads, f->thread = index % emu.launch->threads;
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = stack, f->context.uc_stack.ss_size = STACK_BYTES;
    makecontext(&f->context, run_thread, 0);
}

static void start_cluster() {
    for (int i = 0; i < emu.count; i++) start_fiber(&emu.fibers[i], i);
    for (int i = 0; i < emu.launch->blocks; i++) {
        memset(emu.shared[i], 0xff, emu.launch->shared_bytes); /* bfloat16 and float NaN */
        emu.synced[i] = 0;
    }
    if (emu.launch->start) emu.launch->start();
}

/* Runs one cluster of the launch from start to end. */
static void run_cluster(unsigned cluster) {
    const int warps = emu.count / WARP, warps_of_block = emu.launch->threads / WARP;
    const int slow = emu.launch->blocks > 1 ? px_emulated_random(emu.launch->blocks + 1) : -1;
    int done = 0, idle = 0;
    start_cluster();
    while (done < emu.count && !emu.fault[0]) {
        const long before = emu.progress;
        const int warp = px_emulated_random(warps);
        if (emu.launch->event && emu.launch->event()) emu.progress++;
        if (warp / warps_of_block != slow || px_emulated_random(10) == 0)
            for (int lane = 0; lane < WARP && !emu.fault[0]; lane++) {
                fiber *f = &emu.fibers[warp * WARP + lane];
                if (f->done || is_waiting(f)) continue;
                switch_to(f, cluster);
                done += f->done;
            }
        idle = emu.progress == before ? idle + 1 : 0;
        if (idle > 2000 * warps) snprintf(emu.fault, sizeof emu.fault, "deadlock: every thread waits");
    }
    const char *fault = !emu.fault[0] && emu.launch->end ? emu.launch->end() : NULL;
    if (fault) snprintf(emu.fault, sizeof emu.fault, "%s", fault);
}

const char *px_emulate(const px_emulated_launch *launch) {
    const unsigned clusters = launch->grid[0] * launch->grid[1] * launch->grid[2] / (unsigned)launch->blocks;
    emu.launch = launch, emu.count = launch->blocks * launch->threads, emu.random_count = 0, emu.fault[0] = 0;
    emu.fibers = (fiber *)calloc((size_t)emu.count, sizeof(fiber));
    for (int i = 0; i < emu.count; i++) emu.fibers[i].stack = (char *)malloc(STACK_BYTES);
    for (int i = 0; i < launch->blocks; i++) emu.shared[i] = (char *)malloc(launch->shared_bytes);
    for (unsigned i = 0; i < clusters && !emu.fault[0]; i++) run_cluster(i);
    for (int i = 0; i < emu.count; i++) free(emu.fibers[i].stack);
    for (int i = 0; i < launch->blocks; i++) free(emu.shared[i]);
    free(emu.fibers);
    return emu.fault[0] ? emu.fault : NULL;
}
