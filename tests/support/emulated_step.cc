/* The fused recurrence step on an emulated block: cp.async, and launches. */
#include "tests/support/emulated_step.h"
#include "tests/support/emulated_tensor_core.h"
#include "kernels/sm80/recurrence_step.cu"

enum { MAX_COPIES = 1024 };

struct step_copy {
    uint32_t to;
    const void *from; /* NULL: zeros */
    int group;
};
struct copying_thread {
    step_copy waiting[MAX_COPIES];
    int count, group; /* group: of copies that are not yet committed */
};

static struct {
    copying_thread threads[PX_STEP_THREADS];
    const px_recurrence_args *recurrence;
    int step;
    void (*kernel)(px_recurrence_args, int);
} emu;

static void execute(const step_copy &copy) {
    char *to = px_emulated_shared(copy.to, PX_CHUNK_BYTES, PX_CHUNK_BYTES);
    if (copy.from)
        memcpy(to, copy.from, PX_CHUNK_BYTES);
    else
        memset(to, 0, PX_CHUNK_BYTES);
}

void px_copy_chunk(uint32_t to, const void *from, bool is_present) {
    copying_thread &own = emu.threads[px_emulated_fiber()];
    const step_copy copy = {to, is_present ? from : NULL, own.group};
    if ((uintptr_t)from % PX_CHUNK_BYTES != 0) px_emulated_fault("a copy that is not aligned");
    if (own.count == MAX_COPIES) px_emulated_fault("too many copies");
    if (px_emulated_random(2))
        execute(copy);
    else
        own.waiting[own.count++] = copy;
}
void px_copy_commit() { emu.threads[px_emulated_fiber()].group++; }
void px_copy_wait_for(int pending) {
    copying_thread &own = emu.threads[px_emulated_fiber()];
    int kept = 0;
    for (int i = 0; i < own.count; i++) {
        if (own.waiting[i].group < own.group - pending)
            execute(own.waiting[i]);
        else
            own.waiting[kept++] = own.waiting[i];
    }
    own.count = kept;
}

static void run_thread() {
    emu.kernel(*emu.recurrence, emu.step);
    if (emu.threads[px_emulated_fiber()].count > 0) px_emulated_fault("a thread does not wait for its copies");
}
static void start_block() { memset(emu.threads, 0, sizeof emu.threads); }

const char *px_step_emulated(const void *kernel, const px_step_launch *launch, const px_recurrence_args *recurrence,
                             int step, uint64_t seed) {
    const px_emulated_launch emulated = {run_thread,
                                         start_block,
                                         NULL,
                                         NULL,
                                         {launch->blocks[0], launch->blocks[1], launch->blocks[2]},
                                         1,
                                         PX_STEP_THREADS,
                                         (uint32_t)launch->shared,
                                         seed};
    emu.recurrence = recurrence, emu.step = step;
    emu.kernel = (void (*)(px_recurrence_args, int))(uintptr_t)kernel;
    return px_emulate(&emulated);
}
