/* The instructions of sm_90a on an emulated cluster (emulated_cuda.h). Copies, stores and arrivals between blocks are
 * delayed and reordered. mbarriers have phases, arrivals and bytes. wgmma follows the PTX manual, on the bytes of the
 * emulated shared memory.
 *
 * A wrong address, or a buffer that is overwritten too early, therefore gives a wrong result, or an operand that
 * changes while wgmma reads it. A missing fence is detected when wgmma or a copy reads a plain store. */
#include "tests/support/emulated_recurrence.h"
#include "tests/support/emulated_sm90.h"
#include "kernels/sm90/recurrence_forward_cluster.cu"
#include "kernels/sm90/recurrence_backward_cluster.cu"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BASE = PX_EMULATED_BASE,
    REMOTE = PX_EMULATED_REMOTE,
    MAX_PRODUCTS = 256,
    MAX_GROUPS = 2,
    MAX_SUMS = 112,
    MAX_STORES = 1024,
    MAX_PREFETCHES = 64,
    MAX_MESSAGES = 1 << 16,
    MAX_BARRIERS = 2 * PX_CLUSTER_MAX_BLOCKS,
};

char memory[1];

/* Products that add to the same sums. */
struct product_group {
    struct {
        uint64_t a, b;
    } product[MAX_PRODUCTS];
    int products;
    float before[MAX_SUMS]; /* the sums before them */
};

struct thread_state {
    long clustered;                  /* arrivals at the cluster's barrier */
    product_group group[MAX_GROUPS]; /* not yet waited for; the last one may be open */
    int groups;                      /* complete ones */
    uint32_t store[MAX_STORES];      /* plain stores to shared memory since the last fence */
    int stores;
    const void *prefetched[MAX_PREFETCHES]; /* and not yet read */
    int prefetches;
};

struct barrier {
    uint32_t expected;
    int64_t pending, bytes;
    unsigned phase;
};

struct block_state {
    uint16_t *stored; /* for every 16 bytes: thread + 1 of a plain store that no fence has made visible, or 0 */
    barrier barriers[MAX_BARRIERS];
};

/* A copy, store or arrival on its way to a block. */
struct message {
    int to, barrier;
    const char *from; /* the source of a copy, read on arrival; NULL for a store (data) or an arrival (no bytes) */
    px_bf16x8 data;
    uint32_t at, bytes;
};

static struct {
    thread_state *threads;
    block_state blocks[PX_CLUSTER_MAX_BLOCKS];
    message *messages;
    int count, messages_waiting; /* threads of the cluster; messages */
    long clustered;              /* arrivals at the cluster's barrier so far */
    uint32_t bytes, barriers;
    px_recurrence_args recurrence;
    px_cluster cluster;
    void (*kernel)(px_recurrence_args, px_cluster);
} emu;

static thread_state *own() { return &emu.threads[px_emulated_fiber()]; }

/* ---- Memory ---- */

/* The host address of a shared address, of this block or of the block that the address names. */
static char *shared_at(uint32_t address, uint32_t bytes, uint32_t align, int *block) {
    *block = address >= REMOTE ? (int)(address / REMOTE) - 1 : px_emulated_block();
    return px_emulated_shared_of(*block, address % REMOTE, bytes, align);
}

uint32_t px_shared_address(const void *) { return BASE; }
int px_block_rank() { return px_emulated_block(); }
uint32_t px_map_shared(uint32_t address, int rank) { return address + (uint32_t)(rank + 1) * REMOTE; }

void px_prefetch(const void *from) {
    thread_state *f = own();
    if (f->prefetches == MAX_PREFETCHES)
        px_emulated_fault("more than %d prefetches have not been read", MAX_PREFETCHES);
    f->prefetched[f->prefetches++] = from;
}
static void global_read(const void *from) {
    thread_state *f = own();
    if ((uintptr_t)from % sizeof(px_bf16x8) != 0) px_emulated_fault("a load of 16 bytes that is not aligned");
    for (int i = 0; i < f->prefetches; i++)
        if (f->prefetched[i] == from) f->prefetched[i--] = f->prefetched[--f->prefetches];
}
px_bf16x8 px_load_global(const void *from) {
    global_read(from);
    return *(const px_bf16x8 *)from;
}
void px_store_global(void *to, const px_bf16x8 &x) {
    if ((uintptr_t)to % sizeof(px_bf16x8) != 0) px_emulated_fault("a store of 16 bytes that is not aligned");
    *(px_bf16x8 *)to = x;
}
px_float8 px_load_float8(const float *from) {
    global_read(from);
    return *(const px_float8 *)from;
}
void px_store_global(float *to, const px_float8 &x) {
    if ((uintptr_t)to % sizeof(px_bf16x8) != 0) px_emulated_fault("a store of 16 bytes that is not aligned");
    *(px_float8 *)to = x;
}
void px_store_shared(uint32_t to, const px_bf16x8 &x) {
    thread_state *f = own();
    memcpy(px_emulated_shared(to, sizeof x, sizeof x), &x, sizeof x);
    if (f->stores == MAX_STORES) px_emulated_fault("too many stores");
    f->store[f->stores++] = (to - BASE) / 16;
    emu.blocks[px_emulated_block()].stored[(to - BASE) / 16] = (uint16_t)((int)threadIdx.x + 1);
}
px_bf16x8 px_load_shared(uint32_t from) {
    px_bf16x8 x;
    memcpy(&x, px_emulated_shared(from, sizeof x, sizeof x), sizeof x);
    return x;
}

/* wgmma and copies see a plain store after its thread has executed the fence. */
void px_fence_proxy_async() {
    thread_state *f = own();
    for (; f->stores > 0; f->stores--) {
        uint16_t *stored = &emu.blocks[px_emulated_block()].stored[f->store[f->stores - 1]];
        if (*stored == (int)threadIdx.x + 1) *stored = 0;
    }
}
static const char *fenced_at(uint32_t address, uint32_t bytes) {
    const char *at = px_emulated_shared(address, bytes, 16);
    for (uint32_t i = 0; i < bytes / 16; i++)
        if (emu.blocks[px_emulated_block()].stored[(address - BASE) / 16 + i])
            px_emulated_fault("wgmma or a copy reads a plain store that no fence made visible");
    return at;
}

/* ---- Barriers ---- */

static int barrier_number(uint32_t address, int *block) {
    shared_at(address, sizeof(uint64_t), sizeof(uint64_t), block);
    const uint32_t at = address % REMOTE - BASE;
    if (at < emu.barriers || at >= emu.barriers + MAX_BARRIERS * sizeof(uint64_t))
        px_emulated_fault("no barrier at %u", at);
    return (int)((at - emu.barriers) / sizeof(uint64_t));
}
static void complete_phase(barrier &b) {
    px_emulated_progress();
    if (b.pending > 0 || b.bytes != 0) return;
    b.pending = b.expected;
    b.phase++;
}
static void arrive(barrier &b, uint32_t expect) {
    b.bytes += expect;
    if (b.pending-- == 0) px_emulated_fault("an arrival too many");
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
static bool has_passed(const void *phase, long parity) { return *(const unsigned *)phase % 2 != parity; }
void px_mbarrier_wait(uint32_t address, uint32_t parity) {
    int block;
    const int number = barrier_number(address, &block);
    px_emulated_wait(has_passed, &emu.blocks[block].barriers[number].phase, (long)parity);
}

static void post(const message &sent) {
    if (emu.messages_waiting == MAX_MESSAGES) px_emulated_fault("too many messages");
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
    if (block != sent.to) px_emulated_fault("a copy whose barrier lies in another block");
    sent.from = fenced_at(from, bytes), sent.at = remote % REMOTE - BASE, sent.bytes = bytes;
    post(sent);
}
void px_store_async(uint32_t remote, const px_bf16x8 &x, uint32_t address) {
    message sent = {};
    int block;
    sent.barrier = barrier_number(address, &sent.to);
    shared_at(remote, 16, 16, &block);
    if (block != sent.to) px_emulated_fault("a store whose barrier lies in another block");
    sent.data = x;
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
    memcpy(px_emulated_shared_of(arrived.to, arrived.at + BASE, arrived.bytes, 16),
           arrived.from ? arrived.from : (const char *)&arrived.data, arrived.bytes);
    b.bytes -= arrived.bytes;
    complete_phase(b);
}

static bool has_reached(const void *count, long all) { return *(const long *)count >= all; }
void px_cluster_sync() {
    const long all = ++own()->clustered * emu.count;
    emu.clustered++, px_emulated_progress();
    px_emulated_wait(has_reached, &emu.clustered, all);
}

/* ---- wgmma, with A and B given by descriptors ---- */

static void operand_row(uint64_t descriptor, int row, float *value) {
    const uint32_t start = (uint32_t)(descriptor & 0x3fff) << 4, leading = (uint32_t)(descriptor >> 16 & 0x3fff) << 4;
    const uint32_t stride = (uint32_t)(descriptor >> 32 & 0x3fff) << 4;
    if (descriptor >> 46) px_emulated_fault("a descriptor that asks for swizzle or an offset");
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
    const int thread = (int)threadIdx.x % PX_WARPGROUP_THREADS;
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
    thread_state *f = own();
    if (f->groups == MAX_GROUPS || count > MAX_SUMS) px_emulated_fault("too many groups of products, or sums");
    product_group &g = f->group[f->groups];
    if (g.products == 0) memcpy(g.before, sums, (size_t)count * sizeof *sums);
    if (g.products == MAX_PRODUCTS) px_emulated_fault("too many products");
    g.product[g.products].a = a, g.product[g.products++].b = b;
    multiply(sums, count, a, b);
}
void px_wgmma_commit() { own()->groups++; }
void px_wgmma_check(const float *sums, int count, int left) {
    thread_state *f = own();
    px_emulated_yield(); /* other fibers run while the tensor cores compute */
    if (f->groups != left + 1) px_emulated_fault("a wait for more than one group of products");
    product_group &g = f->group[0];
    for (int i = 0; i < g.products; i++) multiply(g.before, count, g.product[i].a, g.product[i].b);
    if (memcmp(g.before, sums, (size_t)count * sizeof *sums) != 0)
        px_emulated_fault("block %d, thread %d: an operand of wgmma changed before the wait", px_emulated_block(),
                          (int)threadIdx.x);
    for (int i = 1; i < MAX_GROUPS; i++) f->group[i - 1] = f->group[i];
    f->group[MAX_GROUPS - 1].products = 0;
    f->groups--;
}

/* ---- Launches ---- */

static void run_thread() {
    emu.kernel(emu.recurrence, emu.cluster);
    if (own()->prefetches > 0) px_emulated_fault("a thread prefetched memory that it never read");
}

static void start_cluster() {
    memset(emu.threads, 0, (size_t)emu.count * sizeof *emu.threads);
    for (int i = 0; i < emu.cluster.blocks; i++) memset(emu.blocks[i].stored, 0, emu.bytes / 16 * sizeof(uint16_t));
    emu.clustered = 0, emu.messages_waiting = 0;
}

static const char *end_cluster() {
    return emu.messages_waiting > 0 ? "a message arrived after the end of the kernel" : NULL;
}

static bool deliver_some() {
    bool any = false;
    for (int n = px_emulated_random(4); n > 0 && emu.messages_waiting > 0; n--, any = true)
        deliver(px_emulated_random(emu.messages_waiting));
    return any;
}

const char *px_recurrence_emulated(const px_recurrence_args *recurrence, const px_cluster *cluster, bool backward,
                                   uint64_t seed) {
    const px_cluster_shared shared = backward ? px_backward_shared(cluster) : px_forward_shared(cluster);
    const int threads = cluster->warpgroups * PX_WARPGROUP_THREADS;
    const px_emulated_launch launch = {run_thread,
                                       start_cluster,
                                       end_cluster,
                                       deliver_some,
                                       {(unsigned)(px_cluster_count(recurrence, cluster) * cluster->blocks), 1, 1},
                                       cluster->blocks,
                                       threads,
                                       shared.bytes,
                                       seed};
    emu.recurrence = *recurrence, emu.cluster = *cluster;
    emu.bytes = shared.bytes, emu.barriers = shared.barriers, emu.count = threads * cluster->blocks;
    emu.kernel = (void (*)(px_recurrence_args, px_cluster))(
        uintptr_t)(backward ? px_recurrence_backward_cluster_sm90(cluster->blocks)
                            : px_recurrence_forward_cluster_sm90());
    emu.threads = (thread_state *)calloc((size_t)emu.count, sizeof(thread_state));
    emu.messages = (message *)calloc(MAX_MESSAGES, sizeof(message));
    for (int i = 0; i < cluster->blocks; i++)
        emu.blocks[i].stored = (uint16_t *)malloc(emu.bytes / 16 * sizeof(uint16_t));
    const char *fault = px_emulate(&launch);
    for (int i = 0; i < cluster->blocks; i++) free(emu.blocks[i].stored);
    free(emu.threads);
    free(emu.messages);
    return fault;
}
