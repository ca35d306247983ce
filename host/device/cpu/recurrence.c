/* Recurrences on the CPU. A task is one direction of a group of images, and runs all steps on one thread, so that the
 * operands and the product of a step stay in the cache of its core.
 *
 * Groups depend on the shapes alone, so that results do not depend on the number of threads. */
#include "host/device/recurrence.h"
#include "host/device/cpu/cpu.h"

/* The rows of a step's GEMM, on average: enough for its full rate, and few enough for the L2 cache. */
static int step_rows(const px_recurrence_args *s) {
    enum { MIN = 64, OPERAND = 4096 }; /* rows; elements */
    const int rows = OPERAND / (s->taps * s->hidden);
    return rows > MIN ? rows : MIN;
}

static int ceiling(int x, int divisor) { return (x + divisor - 1) / divisor; }

/* The maximum number of images of a group. */
static int group_max(const px_recurrence_args *s) {
    const int live = ceiling(s->positions * s->length, s->steps); /* positions of a step, on average */
    return ceiling(step_rows(s), live);
}

/* The images first .. end - 1 of one direction, without temporary memory. */
static px_recurrence_args part_of(const px_recurrence_args *s, int direction, int first, int end) {
    px_recurrence_args part = *s;
    px_recurrence_direction *d = &part.direction[0];
    const size_t pixels = (size_t)s->grid.height * (size_t)s->grid.width;
    *d = s->direction[direction];
    px_tensor *tensors[] = {&d->gates, &d->c, &d->h, &d->dh};
    for (int i = 0; i < 4; i++)
        *tensors[i] = px_tensor_slice(*tensors[i], (size_t)first * pixels, (size_t)(end - first) * pixels);
    part.directions = 1;
    part.grid.images = end - first;
    part.temporary.data = NULL;
    return part;
}

/* Bytes of the largest task of a batch of up to s->grid.images images. */
static size_t task_bytes(const px_device *device, const px_recurrence_args *s) {
    const int max = group_max(s);
    const px_recurrence_args largest = part_of(s, 0, 0, max < s->grid.images ? max : s->grid.images);
    return px_recurrence_bytes_stepwise(device, &largest);
}

size_t px_cpu_recurrence_bytes(const px_device *device, const px_recurrence_args *s) {
    return s->grid.images > 0 ? (size_t)((const px_cpu *)device)->threads * task_bytes(device, s) : 0;
}

static px_status run_tasks(px_device *device, const px_recurrence_args *s,
                           px_status (*run)(px_device *device, const px_recurrence_args *part)) {
    if (s->grid.images == 0) return PX_OK;
    const int images = s->grid.images, groups = ceiling(images, group_max(s)); /* of about the same size */
    const size_t bytes = task_bytes(device, s);
    px_status worst = PX_OK;
#pragma omp parallel for schedule(dynamic) reduction(max : worst)
    for (int task = 0; task < groups * s->directions; task++) {
        const int group = task / s->directions;
        px_recurrence_args part = part_of(s, task % s->directions, group * images / groups,
                                          (group + 1) * images / groups);
        part.temporary.data = (char *)s->temporary.data + (size_t)px_cpu_thread_of(device)->index * bytes;
        const px_status status = run(device, &part);
        if (status > worst) worst = status;
    }
    return worst;
}

px_status px_cpu_recurrence_forward(px_device *device, const px_recurrence_args *s) {
    return run_tasks(device, s, px_recurrence_forward_stepwise);
}

px_status px_cpu_recurrence_backward(px_device *device, const px_recurrence_args *s) {
    return run_tasks(device, s, px_recurrence_backward_stepwise);
}
