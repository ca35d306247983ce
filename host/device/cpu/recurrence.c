/* The fused recurrence on the CPU. A task is one direction of a group of images, and runs all steps on one thread, so
 * that the operand, the product and the states of a step stay in the cache of its core. Pixels are read and written in
 * image order, through the map of kernels/skew.h.
 *
 * Groups depend on the shapes alone, so that results do not depend on the number of threads. */
#include "host/device/recurrence.h"
#include "host/device/cpu/cpu.h"
#include "kernels/skew.h"

/* The temporary memory of a task, divided into tensors. The cell stores each h where the GEMM of the next step reads
 * it, once for each tap, so that a step is one GEMM and one cell kernel. Rows are ordered by position, then image.
 * `operand` has a guard position before the first one and after the last: nothing reads what forward writes there, and
 * backward finds zeros there. */
typedef struct fused {
    px_tensor operand; /* ((positions + 2) * images, taps * D) activation; backward: its gradient, PX_REAL */
    px_tensor product; /* (positions * images, 4 D) PX_REAL; backward: gradient of pre, activation */
    px_tensor grad_c;  /* (positions * images, D) */
    px_tensor zeros;   /* (1, D) */
} fused;

/* Lays out the temporary tensors and returns their bytes. Sizes are those of PX_REAL, which suffice for either type. */
static size_t fused_lay_out(const px_recurrence_args *s, bool backward, fused *space) {
    const size_t images = (size_t)s->grid.images, positions = (size_t)s->positions;
    space->operand = (px_tensor){NULL, images * (positions + 2), s->taps * s->hidden, PX_REAL};
    space->product = (px_tensor){NULL, images * positions, PX_GATES * s->hidden, PX_REAL};
    space->grad_c = (px_tensor){NULL, images * positions, s->hidden, PX_REAL};
    space->zeros = (px_tensor){NULL, 1, s->hidden, PX_REAL};
    px_tensor *tensors[] = {&space->operand, &space->product, &space->grad_c, &space->zeros};
    size_t used = 0;
    for (int i = 0; i < 4; i++) {
        if (s->temporary.data) tensors[i]->data = (char *)s->temporary.data + used;
        used += px_tensor_padded_bytes(tensors[i]);
    }
    *(backward ? &space->product.type : &space->operand.type) = s->direction[0].h.type;
    return used;
}

/* Forward multiplies the operand rows of the live positions by the weights; backward multiplies the gradients of their
 * pre-activations by the transposed weights. */
static px_gemm_args gemm_of(const px_recurrence_args *s, const fused *space, int step, bool backward) {
    const size_t images = (size_t)s->grid.images, rows = (size_t)px_skew_live(s, step) * images;
    const size_t wide = (size_t)space->operand.columns, gates = (size_t)space->product.columns;
    const px_tensor weight = s->direction[0].weight;
    void *operand = px_tensor_slice(space->operand, (size_t)(px_skew_first(s, step) + 1) * images, rows).data;
    void *product = space->product.data;
    px_gemm_args gemm = {.m = rows, .operands = weight.type, .b = weight.data, .ld_b = wide, .batch = 1};
    if (backward) {
        gemm.n = wide, gemm.k = gates;
        gemm.a = product, gemm.ld_a = gates;
        gemm.c = operand, gemm.ld_c = wide;
    } else {
        gemm.transpose_b = true, gemm.n = gates, gemm.k = wide;
        gemm.a = operand, gemm.ld_a = wide;
        gemm.c = product, gemm.ld_c = gates;
    }
    return gemm;
}

static px_lstm_cell_args cell_of(const px_recurrence_args *s, const fused *space, int step) {
    const px_recurrence_direction *d = &s->direction[0];
    const int images = s->grid.images, first = px_skew_first(s, step);
    const ptrdiff_t pixels = (ptrdiff_t)s->grid.height * s->grid.width;
    px_lstm_cell_args cell = {.directions = 1,
                              .positions = px_skew_live(s, step),
                              .images = images,
                              .hidden = s->hidden,
                              .continued = px_skew_continued(s, step),
                              .rows = {px_skew_pixel(s, 0, step, first, 0), 0, d->stride_position, pixels},
                              .before = {px_skew_pixel(s, 0, step - 1, first, 0), 0, d->stride_position, pixels},
                              .carried = {(ptrdiff_t)first * images, 0, images, 1},
                              .gates = d->gates,
                              .c = d->c,
                              .h = d->h,
                              .dh = d->dh,
                              .grad_c = space->grad_c,
                              .product = space->product,
                              .zeros = space->zeros};
    for (int k = 0; k < s->taps; k++) {
        const size_t row = (size_t)(first + 1 - s->first_tap - k) * (size_t)images;
        cell.tap[k] = px_tensor_slice(space->operand, row, (size_t)(cell.positions * images));
        cell.tap[k].data = px_element(cell.tap[k].data, space->operand.type, (ptrdiff_t)k * s->hidden);
    }
    return cell;
}

static px_status forward(px_device *device, const px_recurrence_args *s) {
    fused space;
    fused_lay_out(s, false, &space);
    PX_TRY(device->ops->clear(device, space.operand.data, px_tensor_bytes(&space.operand)));
    PX_TRY(device->ops->clear(device, space.zeros.data, px_tensor_bytes(&space.zeros)));
    for (int step = 0; step < s->steps; step++) {
        const px_gemm_args gemm = gemm_of(s, &space, step, false);
        const px_lstm_cell_args cell = cell_of(s, &space, step);
        PX_TRY(device->ops->gemm(device, &gemm));
        PX_TRY(device->ops->lstm_cell_forward(device, &cell));
    }
    return PX_OK;
}

static px_status backward(px_device *device, const px_recurrence_args *s) {
    fused space;
    fused_lay_out(s, true, &space);
    PX_TRY(device->ops->clear(device, space.operand.data, px_tensor_bytes(&space.operand)));
    PX_TRY(device->ops->clear(device, space.zeros.data, px_tensor_bytes(&space.zeros)));
    PX_TRY(device->ops->clear(device, space.grad_c.data, px_tensor_bytes(&space.grad_c)));
    for (int step = s->steps - 1; step >= 0; step--) {
        const px_lstm_cell_args cell = cell_of(s, &space, step);
        const px_gemm_args gemm = gemm_of(s, &space, step, true);
        PX_TRY(device->ops->lstm_cell_backward(device, &cell));
        if (step > 0) PX_TRY(device->ops->gemm(device, &gemm));
    }
    return PX_OK;
}

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
static size_t task_bytes(const px_recurrence_args *s) {
    const int max = group_max(s);
    const px_recurrence_args largest = part_of(s, 0, 0, max < s->grid.images ? max : s->grid.images);
    fused space;
    return fused_lay_out(&largest, false, &space);
}

size_t px_cpu_recurrence_bytes(const px_device *device, const px_recurrence_args *s) {
    if (px_recurrence_choose(device, s, false).strategy == PX_RECURRENCE_STEPWISE)
        return px_recurrence_bytes_stepwise(s);
    return s->grid.images > 0 ? (size_t)((const px_cpu *)device)->threads * task_bytes(s) : 0;
}

static px_status run_tasks(px_device *device, const px_recurrence_args *s,
                           px_status (*run)(px_device *device, const px_recurrence_args *part)) {
    if (s->grid.images == 0) return PX_OK;
    const int images = s->grid.images, groups = ceiling(images, group_max(s)); /* of about the same size */
    const size_t bytes = task_bytes(s);
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
    if (px_recurrence_choose(device, s, false).strategy == PX_RECURRENCE_STEPWISE)
        return px_recurrence_forward_stepwise(device, s);
    return run_tasks(device, s, forward);
}

px_status px_cpu_recurrence_backward(px_device *device, const px_recurrence_args *s) {
    if (px_recurrence_choose(device, s, true).strategy == PX_RECURRENCE_STEPWISE)
        return px_recurrence_backward_stepwise(device, s);
    return run_tasks(device, s, backward);
}
