/* An emulated cluster. Its threads are fibres that run in an order drawn at random, warp by warp, some blocks more
 * often than others; they yield where they would wait. Copies, stores and arrivals between blocks come late, in any
 * order. Barriers have phases, arrivals and bytes; wgmma is what PTX defines, on the bytes of the emulated shared
 * memory.
 *
 * So a wrong address or a buffer overwritten too early shows as a wrong result, or as an operand that changed
 * between the beginning and the end of a wgmma; a missing fence as a plain store that wgmma or a copy reads; a wait
 * for what never comes as fibres none of which can go on. */
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
    BASE = 1024,       /* where shared memory begins: not at 0, as on the device */
    REMOTE = 1 << 24,  /* a block's shared memory in the cluster's window: REMOTE * (rank + 1) + address */
    STACK = 128 << 10, /* bytes of a fibre's stack */
    WARP = 32,
    MOST_PRODUCTS = 256,
    MOST_STORES = 1024,
    MOST_ASKED = 64,
    MOST_MESSAGES = 1 << 16,
    MOST_BARRIERS = 2 * PX_CLUSTER_MAX,
};

px_index threadIdx, blockIdx, blockDim;
char memory[1];

struct fibre {
    ucontext_t context;
    char *stack;
    int block, thread;
    bool done;
    long synced, clustered; /* how often it came to the block's and to the cluster's barrier */
    const unsigned *phase;  /* it waits until this phase's parity is not parity any more, or until count is all */
    uint32_t parity;
    const long *count;
    long all;
    struct {
        uint64_t a, b;
    } product[MOST_PRODUCTS]; /* since the last px_wgmma_end */
    int products;
    float before[128];           /* sums when they began */
    uint32_t store[MOST_STORES]; /* plain stores to shared memory since the last fence */
    int stores;
    const void *asked[MOST_ASKED]; /* prefetched and not yet read */
    int asks;
};

struct barrier {
    uint32_t expected;
    int64_t pending, bytes;
    unsigned phase;
};

struct block {
    char *shared;
    uint16_t *stored; /* for every 16 bytes: the thread + 1 whose plain store no fence has made seen */
    barrier barriers[MOST_BARRIERS];
};

/* On its way to a block. */
struct message {
    int to, barrier;
    const char *from; /* another block's memory, read on arrival; NULL: data, or an arrival and no bytes */
    float data[4];
    uint32_t at, bytes;
};

static struct {
    ucontext_t scheduler;
    fibre *fibres, *now;
    block blocks[PX_CLUSTER_MAX];
    message *messages;
    int count, threads, messages_waiting;
    long synced[PX_CLUSTER_MAX], clustered; /* arrivals so far */
    uint32_t bytes, barriers;
    uint64_t seed, draws;
    long moves; /* whatever lets somebody go on */
    px_recurrence_args recurrence;
    px_cluster cluster;
    void (*kernel)(px_recurrence_args, px_cluster);
    char fault[200];
} the;

/* The first fault ends the run: its fibre never comes back. */
static void yield() {
    swapcontext(&the.now->context, &the.scheduler);
}
__attribute__((format(printf, 1, 2))) static void fault(const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (!the.fault[0]) vsnprintf(the.fault, sizeof the.fault, format, args);
    va_end(args);
    for (;;) yield();
}

/* A wait is left to the scheduler, which need not wake who cannot go on. */
static bool waits(const fibre *f) {
    return (f->phase && *f->phase % 2 == f->parity) || (f->count && *f->count < f->all);
}
static void wait_for(const unsigned *phase, uint32_t parity, const long *count, long all) {
    fibre *f = the.now;
    f->phase = phase, f->parity = parity, f->count = count, f->all = all;
    if (waits(f)) yield();
    f->phase = NULL, f->count = NULL;
}

static int draw(int count) {
    const px_random4 word = px_random(the.seed, PX_RANDOM_DATA, 0, the.draws++);
    return (int)(px_uniform(word.word[0], word.word[1]) * count);
}

/* --- Memory ------------------------------------------------------------------------------------------------------- */

/* A place in shared memory of this block, or where the address says of another. */
static char *place(uint32_t address, uint32_t bytes, uint32_t align, int *block) {
    *block = address >= REMOTE ? (int)(address / REMOTE) - 1 : the.now->block;
    const uint32_t at = address % REMOTE - BASE;
    if (*block >= the.cluster.blocks || address % REMOTE < BASE || at + bytes > the.bytes || at % align != 0)
        fault("shared memory: %u bytes at %u of %u in block %d", bytes, at, the.bytes, *block);
    return the.blocks[*block].shared + at;
}
static char *here(uint32_t address, uint32_t bytes, uint32_t align) {
    int block;
    if (address >= REMOTE) fault("an address of another block where one of this is wanted");
    return place(address, bytes, align, &block);
}

uint32_t px_shared(const void *) {
    return BASE;
}
int px_block_rank() {
    return the.now->block;
}
uint32_t px_shared_of(uint32_t address, int rank) {
    return address + (uint32_t)(rank + 1) * REMOTE;
}

void px_prefetch(const void *from) {
    fibre *f = the.now;
    if (f->asks == MOST_ASKED) fault("too much is asked for and not read");
    f->asked[f->asks++] = from;
}
static void read(const void *from) {
    fibre *f = the.now;
    if ((uintptr_t)from % sizeof(px_eight) != 0) fault("a load of 16 bytes that is not aligned");
    for (int i = 0; i < f->asks; i++)
        if (f->asked[i] == from) f->asked[i--] = f->asked[--f->asks];
}
px_eight px_load(const void *from) {
    read(from);
    return *(const px_eight *)from;
}
void px_put(void *to, const px_eight &x) {
    if ((uintptr_t)to % sizeof(px_eight) != 0) fault("a store of 16 bytes that is not aligned");
    *(px_eight *)to = x;
}
px_eight_floats px_load_floats(const float *from) {
    read(from);
    return *(const px_eight_floats *)from;
}
void px_put(float *to, const px_eight_floats &x) {
    if ((uintptr_t)to % sizeof(px_eight) != 0) fault("a store of 16 bytes that is not aligned");
    *(px_eight_floats *)to = x;
}
void px_store_shared(uint32_t to, const px_eight &x) {
    fibre *f = the.now;
    memcpy(here(to, sizeof x, sizeof x), &x, sizeof x);
    if (f->stores == MOST_STORES) fault("too many stores");
    f->store[f->stores++] = (to - BASE) / 16;
    the.blocks[f->block].stored[(to - BASE) / 16] = (uint16_t)(f->thread + 1);
}
float4 px_load_shared(uint32_t from) {
    float4 x;
    memcpy(&x, here(from, sizeof x, sizeof x), sizeof x);
    return x;
}

/* Plain stores are not seen by wgmma and copies until the thread that made them has fenced. */
void px_fence_async() {
    fibre *f = the.now;
    for (; f->stores > 0; f->stores--) {
        uint16_t *stored = &the.blocks[f->block].stored[f->store[f->stores - 1]];
        if (*stored == f->thread + 1) *stored = 0;
    }
}
static const char *seen(uint32_t address, uint32_t bytes) {
    const char *at = here(address, bytes, 16);
    for (uint32_t i = 0; i < bytes / 16; i++)
        if (the.blocks[the.now->block].stored[(address - BASE) / 16 + i])
            fault("a plain store that no fence made seen");
    return at;
}

/* --- Barriers ----------------------------------------------------------------------------------------------------- */

static int barrier_number(uint32_t address, int *block) {
    place(address, sizeof(uint64_t), sizeof(uint64_t), block);
    const uint32_t at = address % REMOTE - BASE;
    if (at < the.barriers || at >= the.barriers + MOST_BARRIERS * sizeof(uint64_t)) fault("no barrier at %u", at);
    return (int)((at - the.barriers) / sizeof(uint64_t));
}
static void settle(barrier &b) {
    the.moves++;
    if (b.pending > 0 || b.bytes != 0) return;
    b.pending = b.expected;
    b.phase++;
}
static void arrive(barrier &b, uint32_t expect) {
    b.bytes += expect;
    if (b.pending-- == 0) fault("an arrival too many");
    settle(b);
}

void px_barrier_init(uint32_t address, uint32_t arrivals) {
    int block;
    const int number = barrier_number(address, &block);
    the.blocks[block].barriers[number] = barrier{arrivals, arrivals, 0, 0};
}
void px_barrier_init_done() {}
void px_barrier_expect(uint32_t address, uint32_t bytes) {
    int block;
    const int number = barrier_number(address, &block);
    arrive(the.blocks[block].barriers[number], bytes);
}
void px_barrier_wait(uint32_t address, uint32_t parity) {
    int block;
    const int number = barrier_number(address, &block);
    wait_for(&the.blocks[block].barriers[number].phase, parity, NULL, 0);
}

static void post(const message &mail) {
    if (the.messages_waiting == MOST_MESSAGES) fault("too many messages");
    the.messages[the.messages_waiting++] = mail;
}
void px_barrier_arrive_at(uint32_t address) {
    message mail = {};
    mail.barrier = barrier_number(address, &mail.to);
    post(mail);
}
void px_copy_to(uint32_t remote, uint32_t from, uint32_t bytes, uint32_t address) {
    message mail = {};
    int block;
    mail.barrier = barrier_number(address, &mail.to);
    place(remote, bytes, 16, &block);
    if (block != mail.to) fault("a copy whose barrier lies in another block");
    mail.from = seen(from, bytes), mail.at = remote % REMOTE - BASE, mail.bytes = bytes;
    post(mail);
}
void px_store_to(uint32_t remote, float a, float b, float c, float d, uint32_t address) {
    message mail = {};
    int block;
    mail.barrier = barrier_number(address, &mail.to);
    place(remote, 16, 16, &block);
    if (block != mail.to) fault("a store whose barrier lies in another block");
    mail.data[0] = a, mail.data[1] = b, mail.data[2] = c, mail.data[3] = d;
    mail.at = remote % REMOTE - BASE, mail.bytes = 16;
    post(mail);
}
static void deliver(int which) {
    const message mail = the.messages[which];
    the.messages[which] = the.messages[--the.messages_waiting];
    barrier &b = the.blocks[mail.to].barriers[mail.barrier];
    if (mail.bytes == 0) {
        arrive(b, 0);
        return;
    }
    memcpy(the.blocks[mail.to].shared + mail.at, mail.from ? mail.from : (const char *)mail.data, mail.bytes);
    b.bytes -= mail.bytes;
    settle(b);
}

void __syncthreads() {
    const long all = ++the.now->synced * the.threads;
    the.synced[the.now->block]++, the.moves++;
    wait_for(NULL, 0, &the.synced[the.now->block], all);
}
void px_cluster_sync() {
    const long all = ++the.now->clustered * the.count;
    the.clustered++, the.moves++;
    wait_for(NULL, 0, &the.clustered, all);
}

/* --- wgmma: A and B as their descriptors say ---------------------------------------------------------------------- */

static void operand_row(uint64_t descriptor, int row, float *value) {
    const uint32_t start = (uint32_t)(descriptor & 0x3fff) << 4, leading = (uint32_t)(descriptor >> 16 & 0x3fff) << 4;
    const uint32_t stride = (uint32_t)(descriptor >> 32 & 0x3fff) << 4;
    if (descriptor >> 46) fault("a descriptor that asks for swizzle or an offset");
    for (int half = 0; half < 2; half++) {
        px_eight eight;
        memcpy(&eight,
               seen(start + (uint32_t)(row / 8) * stride + (uint32_t)(row % 8) * 16 + (uint32_t)half * leading, 16),
               sizeof eight);
        for (int u = 0; u < 8; u++) value[8 * half + u] = px_eight_get(&eight, u);
    }
}
static void multiply(float *sums, int count, uint64_t a, uint64_t b) {
    const int thread = the.now->thread % PX_CLUSTER_GROUP;
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
void px_wgmma_some(float *sums, int count, uint64_t a, uint64_t b) {
    fibre *f = the.now;
    if (f->products == 0) memcpy(f->before, sums, (size_t)count * sizeof *sums);
    if (f->products == MOST_PRODUCTS) fault("too many products");
    f->product[f->products].a = a, f->product[f->products++].b = b;
    multiply(sums, count, a, b);
}
void px_wgmma_finish(const float *sums, int count) {
    fibre *f = the.now;
    yield(); /* others run while the tensor cores do */
    for (int i = 0; i < f->products; i++) multiply(f->before, count, f->product[i].a, f->product[i].b);
    f->products = 0;
    if (memcmp(f->before, sums, (size_t)count * sizeof *sums) != 0)
        fault("block %d, thread %d: an operand of wgmma changed while it was read", f->block, f->thread);
}

/* --- Runs --------------------------------------------------------------------------------------------------------- */

static void run_thread() {
    the.kernel(the.recurrence, the.cluster);
    if (the.now->asks > 0) fault("a thread asked for memory that it never read");
    the.now->done = true;
    the.moves++;
    for (;;) yield();
}

static void switch_to(fibre *f, int number) {
    the.now = f;
    threadIdx.x = (unsigned)f->thread, blockDim.x = (unsigned)the.threads;
    blockIdx.x = (unsigned)(number * the.cluster.blocks + f->block);
    swapcontext(&the.scheduler, &f->context);
}

/* One cluster of the launch, from start to end. */
static void run_cluster(int number) {
    const int warps = the.count / WARP, warps_of_block = the.threads / WARP, slow = draw(the.cluster.blocks + 1);
    int done = 0, idle = 0;
    for (int i = 0; i < the.count; i++) {
        fibre *f = &the.fibres[i];
        char *stack = f->stack;
        memset(f, 0, sizeof *f);
        f->stack = stack, f->block = i / the.threads, f->thread = i % the.threads;
        getcontext(&f->context);
        f->context.uc_stack.ss_sp = stack, f->context.uc_stack.ss_size = STACK;
        makecontext(&f->context, run_thread, 0);
    }
    for (int i = 0; i < the.cluster.blocks; i++) {
        memset(the.blocks[i].shared, 0xff, the.bytes); /* bfloat16 and float NaN */
        memset(the.blocks[i].stored, 0, the.bytes / 16 * sizeof(uint16_t));
        the.synced[i] = 0;
    }
    the.clustered = 0, the.messages_waiting = 0;
    while (done < the.count && !the.fault[0]) {
        const long before = the.moves;
        const int warp = draw(warps);
        for (int n = draw(4); n > 0 && the.messages_waiting > 0; n--) deliver(draw(the.messages_waiting));
        if (warp / warps_of_block != slow || draw(10) == 0)
            for (int lane = 0; lane < WARP && !the.fault[0]; lane++) {
                fibre *f = &the.fibres[warp * WARP + lane];
                if (f->done || waits(f)) continue;
                switch_to(f, number);
                done += f->done;
            }
        idle = the.moves == before ? idle + 1 : 0;
        if (idle > 2000 * warps) snprintf(the.fault, sizeof the.fault, "every thread waits");
    }
    if (!the.fault[0] && the.messages_waiting > 0)
        snprintf(the.fault, sizeof the.fault, "a message came after the end");
}

const char *px_recurrence_emulated(const px_recurrence_args *recurrence, const px_cluster *cluster, bool backward,
                                   uint64_t seed) {
    const px_cluster_shared shared = backward ? px_backward_shared(cluster) : px_forward_shared(cluster);
    the.recurrence = *recurrence, the.cluster = *cluster, the.seed = seed, the.draws = 0, the.fault[0] = 0;
    the.bytes = shared.bytes, the.barriers = shared.barriers;
    the.threads = cluster->groups * PX_CLUSTER_GROUP, the.count = the.threads * cluster->blocks;
    the.kernel = (void (*)(px_recurrence_args, px_cluster))(
        uintptr_t)(backward ? px_recurrence_backward_cluster_sm90(cluster->blocks)
                            : px_recurrence_forward_cluster_sm90());
    the.fibres = (fibre *)calloc((size_t)the.count, sizeof(fibre));
    the.messages = (message *)calloc(MOST_MESSAGES, sizeof(message));
    for (int i = 0; i < the.count; i++) the.fibres[i].stack = (char *)malloc(STACK);
    for (int i = 0; i < cluster->blocks; i++) {
        the.blocks[i].shared = (char *)malloc(the.bytes);
        the.blocks[i].stored = (uint16_t *)malloc(the.bytes / 16 * sizeof(uint16_t));
    }
    for (int number = 0; number < px_cluster_count(recurrence, cluster) && !the.fault[0]; number++) run_cluster(number);
    for (int i = 0; i < the.count; i++) free(the.fibres[i].stack);
    for (int i = 0; i < cluster->blocks; i++) free(the.blocks[i].shared), free(the.blocks[i].stored);
    free(the.fibres);
    free(the.messages);
    return the.fault[0] ? the.fault : NULL;
}
