/* Tapes on the CPU: a thread for each group of images. The operations' own loops stay on that thread. */
#include "host/device/cpu/cpu.h"
#include "kernels/command_buffer.h"
#include <string.h>

static px_status px_cpu_step(px_device *device, const px_tape_step *step) {
    switch (step->op) {
#define PX_RUN_STEP(name)                                                                                              \
    case PX_STEP_##name: return px_cpu_ops(device->activation)->name(device, &step->args.name);
        PX_TAPE_OPS(PX_RUN_STEP)
#undef PX_RUN_STEP
    case PX_STEP_clear: memset(step->args.clear.memory, 0, step->args.clear.bytes); return PX_OK;
    }
    return PX_OK;
}

px_status px_cpu_replay(px_device *device, const px_replay_args *k) {
    px_status worst = PX_OK;
#pragma omp parallel for schedule(dynamic) reduction(max : worst)
    for (int group = 0; group < k->groups; group++)
        for (int i = 0; i < k->count; i++) {
            const px_tape_step step = px_tape_step_of(k, group, i);
            const px_status status = px_cpu_step(device, &step);
            if (status > worst) worst = status;
        }
    return worst;
}
