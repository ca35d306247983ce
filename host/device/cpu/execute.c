/* Executes command buffers on the CPU: one thread a group. Loops within an operation stay on that thread. */
#include "host/device/cpu/cpu.h"
#include "kernels/command_buffer.h"
#include <string.h>

static px_status cpu_run_command(px_device *device, const px_device_command *step) {
    switch (step->op) {
#define PX_RUN_STEP(name)                                                                                              \
    case PX_COMMAND_##name: return px_cpu_ops(device->activation)->name(device, &step->args.name);
        PX_COMMAND_OPS(PX_RUN_STEP)
#undef PX_RUN_STEP
    case PX_COMMAND_clear: memset(step->args.clear.memory, 0, step->args.clear.bytes); return PX_OK;
    }
    return PX_OK;
}

px_status px_cpu_execute(px_device *device, const px_execute_args *k) {
    px_status worst = PX_OK;
#pragma omp parallel for schedule(dynamic) reduction(max : worst)
    for (int group = 0; group < k->groups; group++)
        for (int i = 0; i < k->count; i++) {
            const px_device_command step = px_command_for_group(k, group, i);
            const px_status status = cpu_run_command(device, &step);
            if (status > worst) worst = status;
        }
    return worst;
}
