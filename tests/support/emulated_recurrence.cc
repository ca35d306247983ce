/* An emulated thread-block cluster. Its threads are fibers, which run warp by warp in a random order, some blocks more
 * often than others. A fiber yields where a thread would wait. Copies, stores and arrivals between blocks are delayed
 * and reordered. mbarriers have phases, arrivals and bytes. wgmma follows the PTX manual, on the bytes of the emulated
 * shared memory.
 *
 * A wrong address, or a buffer that is overwritten too early, therefore gives a wrong result, or an operand that
 * changes while wgmma reads it. A missing fence is detected when wgmma or a copy reads a plain store. A wait that never
 * ends is detected when no fiber can continue. */
#include "tests/support/emulated_recurrence.h"
#include "tests/support/emulated_sm90.h"
#include "kernels/sm90/recurrence_forward_cluster.cu"
#include "kernels/sm90/recurrence_backward_cluster.cu"
#include "kernels/portable/random.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

enum {
    BASE = 1024,             /* the first address of shared memory: not 0, as on the device */
    REMOTE = 1 << 24,        /* address of another block's shared memory: REMOTE * (rank + 1) + address */
    STACK_BYTES = 128 << 10, /* of a fiber */
    WARP = 32,
    MAX_PRODUCTS = 256,
    MAX_STORES = 1024,
    MAX_PREFETCHES = 64,
    MAX_MESSAGES = 1 << 16,
    MAX_BARRIERS = 2 * PX_CLUSTER_MAX_BLOCKS,
};

px_index threadIdx, blockIdx, blockDim;
char memory[1];

struct fiber {
    ucontext_t context;
    char *stack;
    int block, thread;
    bool done;
    long synced, clustered; /* arrivals at the block's and at the cluster's barrier */
    const unsigned *phase;  /* it waits until the parity of this phase is not `parity`, or until *count is `all` */
    uint32_t parity;
    const long *count;
    long all;
    struct {
        uint64_t a, b;
    } product[MAX_PRODUCTS]; /* since the last px_wgmma_wait */
    int products;
    float before[128];          /* the sums before them */
    uint32_t store[MAX_STORES]; /* plain stores to shared memory since the last fence */
    int stores;
    const void *prefetched[MAX_PREFETCHES]; /* and not yet read */
    int prefetches;
};

struct barrier {
    uint32_t expected;
    int64_t pending, bytes;
    unsigned phase;
};

struct block {
    char *shared;
    uint16_t *stored; /* for every 16 bytes: thread + 1 of a plain store that no fence has made visible, or 0 */
    barrier barriers[MAX_BARRIERS];
};

/* A copy, store or arrival on its way to a block. */
struct message {
    int to, barrier;
    const char *from; /* the source of a copy, read on arrival; NULL for a store (data) or an arrival (no bytes) */
    float data[4];
    uint32_t at, bytes;
};

static struct {
    ucontext_t scheduler;
    fiber *fibers, *now;
    block blocks[PX_CLUSTER_MAX_BLOCKS];
    message *messages;
    int count, threads, messages_waiting;
    long synced[PX_CLUSTER_MAX_BLOCKS], clustered; /* arrivals so far */
    uint32_t bytes, barriers;
    uint64_t seed, random_count;
    long progress; /* counts events that may let a fiber continue */
    px_recurrence_args recurrence;
    px_cluster cluster;
    void (*kernel)(px_recurrence_args, px_cluster);
    char fault[200];
} emu;

static void yield() { swapcontext(&emu.now->context, &emu.scheduler); }
/* Records the first fault, which ends the run. It does not return. */
__attribute__((format(printf, 1, 2))) static void fault(const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (!emu.fault[0]) vsnprintf(emu.fault, sizeof emu.fault, format, args);
    va_end(args);
    for (;;) yield();
}

/* The scheduler does not resume a fiber that is waiting. */
static bool is_waiting(const fiber *f) {
    return (f->phase && *f->phase % 2 == f->parity) || (f->count && *f->count < f->all);
}
static void wait_for(const unsigned *phase, uint32_t parity, const long *count, long all) {
    fiber *f = emu.now;
    f->phase = phase, f->parity = parity, f->count = count, f->all = all;
    if (is_waiting(f)) yield();
    f->phase = NULL, f->count = NULL;
}

static int random_below(int count) {
    const px_random4 word = px_random(emu.seed, PX_RANDOM_DATA, 0, emu.random_count++);
    return (int)(px_uniform(word.word[0], word.word[1]) * count);
}

/* ---- Memory ---- */

/* The host address of a shared address, of this block or of the block that the address names. */
static char *shared_at(uint32_t address, uint32_t bytes, uint32_t align, int *block) {
    *block = address >= REMOTE ? (int)(address / REMOTE) - 1 : emu.now->block;
    const uint32_t at = address % REMOTE - BASE;
    if (*block >= emu.cluster.blocks || address % REMOTE < BASE || at + bytes > emu.bytes || at % align != 0)
        fault("shared memory: %u bytes at %u of %u in block %d", bytes, at, emu.bytes, *block);
    return emu.blocks[*block].shared + at;
}
static char *own_shared_at(uint32_t address, uint32_t bytes, uint32_t align) {
    int block;
    if (address >= REMOTE) fault("found an address of another block, expected one of this block");
    return shared_at(address, bytes, align, &block);
}

uint32_t px_shared_address(const void *) { return BASE; }
int px_block_rank() { return emu.now->block; }
uint32_t px_map_shared(uint32_t address, int rank) { return address + (uint32_t)(rank + 1) * REMOTE; }

void px_prefetch(const void *from) {
    fiber *f = emu.now;
    if (f->prefetches == MAX_PREFETCHES) fault("more than %d prefetches have not been read", MAX_PREFETCHES);
    f->prefetched[f->prefetches++] = from;
}
static void global_read(const void *from) {
    fiber *f = emu.now;
    if ((uintptr_t)from % sizeof(px_bf16x8) != 0) fault("a load of 16 bytes that is not aligned");
    for (int i = 0; i < f->prefetches; i++)
        if (f->prefetched[i] == from) f->prefetched[i--] = f->prefetched[--f->prefetches];
}
px_bf16x8 px_load_global(const void *from) {
    global_read(from);
    return *(const px_bf16x8 *)from;
}
void px_store_global(void *to, const px_bf16x8 &x) {
    if ((uintptr_t)to % sizeof(px_bf16x8) != 0) fault("a store of 16 bytes that is not aligned");
    *(px_bf16x8 *)to = x;
}
px_float8 px_load_float8(const float *from) {
    global_read(from);
    return *(const px_float8 *)from;
}
void px_store_global(float *to, const px_float8 &x) {
    if ((uintptr_t)to % sizeof(px_bf16x8) != 0) fault("a store of 16 bytes that is not aligned");
    *(px_float8 *)to = x;
}
void px_store_shared(uint32_t to, const px_bf16x8 &x) {
    fiber *f = emu.now;
    memcpy(own_shared_at(to, sizeof x, sizeof x), &x, sizeof x);
    if (f->stores == MAX_STORES) fault("too many stores");
    f->store[f->stores++] = (to - BASE) / 16;
    emu.blocks[f->block].stored[(to - BASE) / 16] = (uint16_t)(f->thread + 1);
}
float4 px_load_shared(uint32_t from) {
    float4 x;
    memcpy(&x, own_shared_at(from, sizeof x, sizeof x), sizeof x);
    return x;
}

/* wgmma and copies see a plain store after its thread has executed the fence. */
void px_fence_proxy_async() {
    fiber *f = emu.now;
    for (; f->stores > 0; f->stores--) {
        uint16_t *stored = &emu.blocks[f->block].stored[f->store[f->stores - 1]];
        if (*stored == f->thread + 1) *stored = 0;
    }
}
static const char *fenced_at(uint32_t address, uint32_t bytes) {
    const char *at = own_shared_at(address, bytes, 16);
    for (uint32_t i = 0; i < bytes / 16; i++)
        if (emu.blocks[emu.now->block].stored[(address - BASE) / 16 + i])
            fault("wgmma or a copy reads a plain store that no fence made visible");
    return at;
}

/* ---- Barriers ---- */

static int barrier_number(uint32_t address, int *block) {
    shared_at(address, sizeof(uint64_t), sizeof(uint64_t), block);
    const uint32_t at = address % REMOTE - BASE;
    if (at < emu.barriers || at >= emu.barriers + MAX_BARRIERS * sizeof(uint64_t)) fault("no barrier at %u", at);
    return (int)((at - emu.barriers) / sizeof(uint64_t));
}
static void complete_phase(barrier &b) {
    emu.progress++;
    if (b.pending > 0 || b.bytes != 0) return;
    b.pending = b.expected;
    b.phase++;
}
static void arrive(barrier &b, uint32_t expect) {
    b.bytes += expect;
    if (b.pending-- == 0) fault("an arrival too many");
    complete_phase(b);
}

void px_mbarrier_init(uint32_t address, uint32_t arrivals) {
    int block;
    const int number = barrier_number(address, &block);
    emu.blocks[block].barriers[number] = barrier{arrivals, arrivals, 0, 0};
}
void px_fence_mbarrier_init() {}
void px_mbarrier_expect(uint32_t address, uint32_t bytes) {
    int block;
    const int number = barrier_number(address, &block);
    arrive(emu.blocks[block].barriers[number], bytes);
}
void px_mbarrier_wait(uint32_t address, uint32_t parity) {
    int block;
    const int number = barrier_number(address, &block);
    wait_for(&emu.blocks[block].barriers[number].phase, parity, NULL, 0);
}

static void post(const message &sent) {
    if (emu.messages_waiting == MAX_MESSAGES) fault("too many messages");
    emu.messages[emu.messages_waiting++] = sent;
}
void px_mbarrier_arrive_remote(uint32_t address) {
    message sent = {};
    sent.barrier = barrier_number(address, &sent.to);
    post(sent);
}
void px_copy_async(uint32_t remote, uint32_t from, uint32_t bytes, uint32_t address) {
    message sent = {};
    int block;
    sent.barrier = barrier_number(address, &sent.to);
    shared_at(remote, bytes, 16, &block);
    if (block != sent.to) fault("a copy whose barrier lies in another block");
    sent.from = fenced_at(from, bytes), sent.at = remote % REMOTE - BASE, sent.bytes = bytes;
    post(sent);
}
void px_store_async(uint32_t remote, float a, float b, float c, float d, uint32_t address) {
    message sent = {};
    int block;
    sent.barrier = barrier_number(address, &sent.to);
    shared_at(remote, 16, 16, &block);
    if (block != sent.to) fault("a store whose barrier lies in another block");
    sent.data[0] = a, sent.data[1] = b, sent.data[2] = c, sent.data[3] = d;
    sent.at = remote % REMOTE - BASE, sent.bytes = 16;
    post(sent);
}
static void deliver(int index) {
    const message arrived = emu.messages[index];
    emu.messages[index] = emu.messages[--emu.messages_waiting];
    barrier &b = emu.blocks[arrived.to].barriers[arrived.barrier];
    if (arrived.bytes == 0) {
        arrive(b, 0);
        return;
    }
    memcpy(emu.blocks[arrived.to].shared + arrived.at, arrived.from ? arrived.from : (const char *)arrived.data,
           arrived.bytes);
    b.bytes -= arrived.bytes;
    complete_phase(b);
}

void __syncthreads() {
    const long all = ++emu.now->synced * emu.threads;
    emu.synced[emu.now->block]++, emu.progress++;
    wait_for(NULL, 0, &emu.synced[emu.now->block], all);
}
void px_cluster_sync() {
    const long all = ++emu.now->clustered * emu.count;
    emu.clustered++, emu.progress++;
    wait_for(NULL, 0, &emu.clustered, all);
}

/* ---- wgmma, with A and B given by descriptors ---- */

static void operand_row(uint64_t descriptor, int row, float *value) {
    const uint32_t start = (uint32_t)(descriptor & 0x3fff) << 4, leading = (uint32_t)(descriptor >> 16 & 0x3fff) << 4;
    const uint32_t stride = (uint32_t)(descriptor >> 32 & 0x3fff) << 4;
    if (descriptor >> 46) fault("a descriptor that asks for swizzle or an offset");
    for (int half = 0; half < 2; half++) {
        px_bf16x8 eight;
        memcpy(
            &eight,
            fenced_at(start + (uint32_t)(row / 8) * stride + (uint32_t)(row % 8) * 16 + (uint32_t)half * leading, 16),
            sizeof eight);
        for (int u = 0; u < 8; u++) value[8 * half + u] = px_bf16x8_get(&eight, u);
    }
}
static void multiply(float *sums, int count, uint64_t a, uint64_t b) {
    const int thread = emu.now->thread % PX_WARPGROUP_THREADS;
    float left[2][16], right[16];
    for (int second = 0; second < 2; second++) operand_row(a, px_wgmma_row(thread, 2 * second), left[second]);
    for (int pair = 0; pair < count / 4; pair++)
        for (int e = 0; e < 2; e++) {
            operand_row(b, px_wgmma_column(thread, 4 * pair + e), right);
            for (int second = 0; second < 2; second++) {
                float sum = 0;
                for (int k = 0; k < 16; k++) sum += left[second][k] * right[k];
                sums[4 * pair + 2 * second + e] += sum;
            }
        }
}
void px_wgmma_add(float *sums, int count, uint64_t a, uint64_t b) {
    fiber *f = emu.now;
    if (f->products == 0) memcpy(f->before, sums, (size_t)count * sizeof *sums);
    if (f->products == MAX_PRODUCTS) fault("too many products");
    f->product[f->products].a = a, f->product[f->products++].b = b;
    multiply(sums, count, a, b);
}
void px_wgmma_check(const float *sums, int count) {
    fiber *f = emu.now;
    yield(); /* other fibers run while the tensor cores compute */
    for (int i = 0; i < f->products; i++) multiply(f->before, count, f->product[i].a, f->product[i].b);
    f->products = 0;
    if (memcmp(f->before, sums, (size_t)count * sizeof *sums) != 0)
        fault("block %d, thread %d: an operand of wgmma changed before the wait", f->block, f->thread);
}

/* ---- Runs ---- */

static void run_thread() {
    emu.kernel(emu.recurrence, emu.cluster);
    if (emu.now->prefetches > 0) fault("a thread prefetched memory that it never read");
    emu.now->done = true;
    emu.progress++;
    for (;;) yield();
}

static void switch_to(fiber *f, int number) {
    emu.now = f;
    threadIdx.x = (unsigned)f->thread, blockDim.x = (unsigned)emu.threads;
    blockIdx.x = (unsigned)(number * emu.cluster.blocks + f->block);
    swapcontext(&emu.scheduler, &f->context);
}

/* Runs one cluster of the launch from start to end. */
static void run_cluster(int number) {
    const int warps = emu.count / WARP, warps_of_block = emu.threads / WARP,
              slow = random_below(emu.cluster.blocks + 1);
    int done = 0, idle = 0;
    for (int i = 0; i < emu.count; i++) {
        fiber *f = &emu.fibers[i];
        char *stack = f->stack;
        memset(f, 0, sizeof *f);
        f->stack = stack, f->block = i / emu.threads, f->thread = i % emu.threads;
        getcontext(&f->context);
        f->context.uc_stack.ss_sp = stack, f->context.uc_stack.ss_size = STACK_BYTES;
        makecontext(&f->context, run_thread, 0);
    }
    for (int i = 0; i < emu.cluster.blocks; i++) {
        memset(emu.blocks[i].shared, 0xff, emu.bytes); /* bfloat16 and float NaN */
        memset(emu.blocks[i].stored, 0, emu.bytes / 16 * sizeof(uint16_t));
        emu.synced[i] = 0;
    }
    emu.clustered = 0, emu.messages_waiting = 0;
    while (done < emu.count && !emu.fault[0]) {
        const long before = emu.progress;
        const int warp = random_below(warps);
        for (int n = random_below(4); n > 0 && emu.messages_waiting > 0; n--)
            deliver(random_below(emu.messages_waiting));
        if (warp / warps_of_block != slow || random_below(10) == 0)
            for (int lane = 0; lane < WARP && !emu.fault[0]; lane++) {
                fiber *f = &emu.fibers[warp * WARP + lane];
                if (f->done || is_waiting(f)) continue;
                switch_to(f, number);
                done += f->done;
            }
        idle = emu.progress == before ? idle + 1 : 0;
        if (idle > 2000 * warps) snprintf(emu.fault, sizeof emu.fault, "deadlock: every thread waits");
    }
    if (!emu.fault[0] && emu.messages_waiting > 0)
        snprintf(emu.fault, sizeof emu.fault, "a message arrived after the end of the kernel");
}

const char *px_recurrence_emulated(const px_recurrence_args *recurrence, const px_cluster *cluster, bool backward,
                                   uint64_t seed) {
    const px_cluster_shared shared = backward ? px_backward_shared(cluster) : px_forward_shared(cluster);
    emu.recurrence = *recurrence, emu.cluster = *cluster, emu.seed = seed, emu.random_count = 0, emu.fault[0] = 0;
    emu.bytes = shared.bytes, emu.barriers = shared.barriers;
    emu.threads = cluster->warpgroups * PX_WARPGROUP_THREADS, emu.count = emu.threads * cluster->blocks;
    emu.kernel = (void (*)(px_recurrence_args, px_cluster))(
        uintptr_t)(backward ? px_recurrence_backward_cluster_sm90(cluster->blocks)
                            : px_recurrence_forward_cluster_sm90());
    emu.fibers = (fiber *)calloc((size_t)emu.count, sizeof(fiber));
    emu.messages = (message *)calloc(MAX_MESSAGES, sizeof(message));
    for (int i = 0; i < emu.count; i++) emu.fibers[i].stack = (char *)malloc(STACK_BYTES);
    for (int i = 0; i < cluster->blocks; i++) {
        emu.blocks[i].shared = (char *)malloc(emu.bytes);
        emu.blocks[i].stored = (uint16_t *)malloc(emu.bytes / 16 * sizeof(uint16_t));
    }
    for (int number = 0; number < px_cluster_count(recurrence, cluster) && !emu.fault[0]; number++) run_cluster(number);
    for (int i = 0; i < emu.count; i++) free(emu.fibers[i].stack);
    for (int i = 0; i < cluster->blocks; i++) free(emu.blocks[i].shared), free(emu.blocks[i].stored);
    free(emu.fibers);
    free(emu.messages);
    return emu.fault[0] ? emu.fault : NULL;
}
