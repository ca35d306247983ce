/* Gradient accumulation over the micro-batches of a step. */
#include "host/train/accumulation.h"
#include "host/device/backend.h"
#include "host/device/graph.h"
#include "host/io/arena.h"
#include <stdlib.h>

struct px_accumulation {
    px_model *model;
    int parts, images;
    size_t pending; /* the sum is still to be added to rows 0 .. pending - 1 of the gradients */
    px_arena arena;
    px_tensor sum;  /* flat like the gradients */
    px_tensor nats; /* (parts * images, 1) PX_FLOAT64 */
    px_graph graph; /* of px_accumulation_add */
};

static void lay_out(px_accumulation *a, px_arena *arena) {
    const px_tensor flat = px_model_weights(a->model);
    a->sum = px_arena_tensor(arena, flat.rows, flat.columns, PX_REAL);
    a->nats = px_arena_tensor(arena, (size_t)(a->parts * a->images), 1, PX_FLOAT64);
}

size_t px_accumulation_bytes(const px_model *model, int parts, int images) {
    px_accumulation dry = {.model = (px_model *)model, .parts = parts, .images = images};
    px_arena plan = px_arena_plan();
    lay_out(&dry, &plan);
    return plan.peak;
}

px_status px_accumulation_create(px_model *model, int parts, int images, px_accumulation **out) {
    px_device *device = px_model_device(model);
    px_accumulation *a = calloc(1, sizeof *a);
    *out = NULL;
    if (!a) return px_fail_memory(device->ctx, "train", sizeof *a);
    *a = (px_accumulation){.model = model, .parts = parts, .images = images};
    const size_t bytes = px_accumulation_bytes(model, parts, images);
    px_status status = px_arena_allocate(&a->arena, device, bytes);
    if (status == PX_ERR_MEMORY) status = px_arena_fail(device, "the sum of gradients needs", bytes, "model.hidden");
    if (status != PX_OK) {
        px_accumulation_destroy(a);
        return status;
    }
    lay_out(a, &a->arena);
    *out = a;
    return PX_OK;
}

void px_accumulation_destroy(px_accumulation *a) {
    if (!a) return;
    px_graph_release(&a->graph, px_model_device(a->model));
    px_arena_free(&a->arena);
    free(a);
}

int px_accumulation_parts(const px_accumulation *a) { return a ? a->parts : 1; }

px_tensor px_accumulation_nats(const px_accumulation *a) { return a->nats; }

px_status px_accumulation_keep_nats(px_accumulation *a, int part) {
    if (!a) return PX_OK;
    px_device *device = px_model_device(a->model);
    const px_tensor from = px_model_nats_tensor(a->model);
    const px_tensor to = px_tensor_slice(a->nats, (size_t)(part * a->images), from.rows);
    return device->ops->copy(device, to.data, from.data, px_tensor_bytes(&from));
}

static px_status run_pass(px_accumulation *a) {
    PX_TRY(px_model_loss(a->model, true)); /* forward: nats of each image, and the gradient of the logits */
    PX_TRY(px_model_backward(a->model));
    return px_run(px_model_device(a->model), add_gradients, .x = px_model_gradients(a->model), .sum = a->sum);
}

px_status px_accumulation_add(px_accumulation *a, int part, const uint8_t *levels, const uint8_t *conditions) {
    px_device *device = px_model_device(a->model);
    px_status status = PX_OK;
    px_model_set_gradient_hook(a->model, NULL, NULL);
    if (part == 0) PX_TRY(device->ops->clear(device, a->sum.data, px_tensor_bytes(&a->sum)));
    PX_TRY(px_model_upload_batch(a->model, levels, conditions, a->images));
    const px_graph_key key = px_model_graph_key(a->model);
    px_proof_state state = {.count = 2, .tensor = {px_model_nats_tensor(a->model), a->sum}};
    px_model_add_temporaries(a->model, &state);
    while (px_graph_issue(&a->graph, device, &key, &state, &status)) status = run_pass(a);
    PX_TRY(status);
    return px_accumulation_keep_nats(a, part);
}

void px_accumulation_begin(px_accumulation *a) {
    if (a) a->pending = a->sum.rows;
}

px_status px_accumulation_finish(px_accumulation *a, size_t first) {
    if (!a) return PX_OK;
    const size_t columns = (size_t)a->sum.columns, row = (first + columns - 1) / columns;
    if (row >= a->pending) return PX_OK;
    const size_t rows = a->pending - row;
    a->pending = row;
    return px_run(px_model_device(a->model), add_gradients, .x = px_tensor_slice(a->sum, row, rows),
                  .sum = px_tensor_slice(px_model_gradients(a->model), row, rows));
}
