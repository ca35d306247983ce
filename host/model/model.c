/* A model: its parameters, the layout of its memory, and its forward and backward passes. */
#include "host/model/condition.h"
#include "host/model/internal.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static const px_block_kind *const block_kinds[] = {
    [PX_MODEL_PIXELCNN] = &px_block_pixelcnn,
    [PX_MODEL_ROW_LSTM] = &px_block_row_lstm,
    [PX_MODEL_DIAGONAL_BILSTM] = &px_block_diagonal_bilstm,
};

/* ---- Parameters ---- */

static px_status condition_check(px_context *ctx, const px_model_spec *s) {
    const px_condition *c = &s->condition;
    if (c->kind == PX_CONDITION_CLASS && (c->classes < 1 || c->classes > PX_MAX_CLASSES))
        return px_fail(ctx, PX_ERR_CONFIG, "model.classes: found %d, expected 1 to %d", c->classes, PX_MAX_CLASSES);
    if (c->kind != PX_CONDITION_IMAGE) return PX_OK;
    if (c->scale < 2 || c->scale > 1 << PX_MAX_STAGES || c->scale & (c->scale - 1))
        return px_fail(ctx, PX_ERR_CONFIG, "model.scale: found %d, expected a power of two from 2 to %d", c->scale,
                       1 << PX_MAX_STAGES);
    if (s->height % c->scale != 0 || s->width % c->scale != 0)
        return px_fail(ctx, PX_ERR_CONFIG, "model.scale: found %d, expected a divisor of the image's sides, %d x %d",
                       c->scale, s->height, s->width);
    return PX_OK;
}

static px_status model_check(px_context *ctx, const px_model_spec *s) {
    if (s->channels != 1 && s->channels != 3)
        return px_fail(ctx, PX_ERR_CONFIG, "images have %d channels, expected 1 or 3", s->channels);
    if (s->levels < 2 || s->levels > 256)
        return px_fail(ctx, PX_ERR_CONFIG, "data.levels: found %d, expected 2 to 256", s->levels);
    if (s->height < 1 || s->width < 1 || s->height > 65535 || s->width > 65535)
        return px_fail(ctx, PX_ERR_CONFIG, "images are %d x %d, expected 1 to 65535 a side", s->height, s->width);
    if (s->layers < 1 || s->hidden < 1 || s->head < 1)
        return px_fail(ctx, PX_ERR_CONFIG, "model: found %d layers, hidden %d, head %d, expected 1 or more of each",
                       s->layers, s->hidden, s->head);
    return condition_check(ctx, s);
}

static px_status model_create_layers(px_model *model) {
    const px_model_spec *s = &model->spec;
    const int features = 2 * s->hidden;
    PX_TRY(px_condition_create(model));
    PX_TRY(px_conv_create(model, &model->stem,
                          &(px_conv_spec){.name = "stem",
                                          .inputs = s->channels,
                                          .outputs = features,
                                          .gates = 1,
                                          .taps = px_taps_rectangle(4, 7, 3),
                                          .mask = PX_MASK_A,
                                          .gain = 1,
                                          .reads_input = true}));
    for (int l = 0; l < s->layers; l++) {
        const int first = model->parameters.count;
        PX_TRY(block_kinds[s->kind]->create(model, l, &model->blocks[l]));
        model->blocks[l]->kind = block_kinds[s->kind];
        model->blocks[l]->first = first;
        if (!s->skip) continue;
        char name[32];
        snprintf(name, sizeof name, "skip.%d", l);
        PX_TRY(px_conv_create_1x1(model, &model->skips[l], name, features, features));
    }
    return px_head_create(model, &model->head);
}

static void model_lay_out_weights(px_model *model, px_arena *arena) {
    const size_t rows = px_parameters_rows(&model->parameters);
    const px_type type = model->device->activation;
    model->own_weights = model->weights = px_arena_tensor(arena, rows, PX_FLAT_COLUMNS, PX_REAL);
    model->compute_weights = type == PX_REAL ? model->weights : px_arena_tensor(arena, rows, PX_FLAT_COLUMNS, type);
}

static px_status model_allocate_weights(px_model *model) {
    px_arena plan = px_arena_plan();
    model_lay_out_weights(model, &plan);
    const px_status status = px_arena_allocate(&model->weight_arena, model->device, plan.peak);
    if (status == PX_ERR_MEMORY)
        return px_arena_fail(model->device, "the model needs", plan.peak, "model.hidden, model.head or model.layers");
    PX_TRY(status);
    model_lay_out_weights(model, &model->weight_arena);
    return PX_OK;
}

px_status px_model_create(px_device *device, const px_model_spec *spec, px_model **out) {
    *out = NULL;
    PX_TRY(model_check(device->ctx, spec));
    px_model *model = calloc(1, sizeof *model);
    if (!model) return px_fail_memory(device->ctx, "model", sizeof *model);
    model->device = device;
    model->spec = *spec;
    model->parameters.colours = spec->channels;
    model->blocks = calloc((size_t)spec->layers, sizeof(px_block *));
    model->skips = calloc((size_t)spec->layers, sizeof *model->skips);
    model->u = calloc((size_t)spec->layers + 1, sizeof *model->u);
    px_status status = model->blocks && model->skips && model->u ? model_create_layers(model)
                                                                 : px_fail_memory(device->ctx, "model", 0);
    if (status == PX_OK) status = model_allocate_weights(model);
    if (status != PX_OK) {
        px_model_destroy(model);
        return status;
    }
    *out = model;
    return PX_OK;
}

static void model_free_buffers(px_model *model) {
    model->reservation++;
    px_arena_free(&model->saved);
    px_arena_free(&model->temporary);
    model->reserved = 0;
}

void px_model_destroy(px_model *model) {
    if (!model) return;
    for (int l = 0; model->blocks && l < model->spec.layers; l++) free(model->blocks[l]);
    model_free_buffers(model);
    px_arena_free(&model->weight_arena);
    px_arena_free(&model->gradient_arena);
    px_parameters_free(&model->parameters);
    free(model->blocks);
    free(model->skips);
    free(model->u);
    free(model);
}

px_status px_model_initialise(px_model *model, uint64_t seed) {
    const size_t bytes = model->parameters.elements * sizeof(px_real);
    px_real *weights = malloc(bytes);
    if (!weights) return px_fail_memory(model->device->ctx, "model", bytes);
    px_parameters_initialise(&model->parameters, seed, weights);
    px_status status = model->device->ops->upload(model->device, model->own_weights.data, weights, bytes);
    if (status == PX_OK) status = model->device->ops->synchronize(model->device);
    free(weights);
    return status == PX_OK ? px_model_cast_weights(model) : status;
}

const px_model_spec *px_model_spec_of(const px_model *model) { return &model->spec; }
const px_parameters *px_model_parameters(const px_model *model) { return &model->parameters; }
px_device *px_model_device(const px_model *model) { return model->device; }
px_tensor px_model_weights(const px_model *model) { return model->own_weights; }
px_tensor px_model_gradients(const px_model *model) { return model->gradients; }
px_tensor px_model_images(px_model *model) { return model->images; }

px_status px_model_use_weights(px_model *model, px_tensor weights) {
    model->weights = weights.data ? weights : model->own_weights;
    if (model->compute_weights.type == PX_REAL) model->compute_weights = model->weights;
    return px_model_cast_weights(model);
}

px_status px_model_cast_weights(px_model *model) {
    if (model->compute_weights.type == PX_REAL) return PX_OK;
    return px_run(model->device, cast, .x = model->weights, .y = model->compute_weights);
}

void px_model_set_global_batch(px_model *model, int images) { model->global_batch = images; }

void px_model_set_gradient_hook(px_model *model, px_gradient_hook hook, void *context) {
    model->hook = hook;
    model->hook_context = context;
}

/* ---- Memory ---- */

/* Assigns all activations. In training every block has tensors of its own, which backward reads. In evaluation all
 * blocks share the same memory. */
static void model_lay_out(px_model *model, int images) {
    const px_model_spec *s = &model->spec;
    const bool train = model->purpose == PX_PURPOSE_TRAIN;
    px_arena *saved = &model->saved, *temporary = &model->temporary;
    const int features = 2 * s->hidden, values = s->height * s->width * s->channels;
    model->images = px_arena_tensor(saved, (size_t)images, values, PX_UINT8);
    px_condition_lay_out_batch(model, &model->condition, images, saved);
    model->values = px_pixel_tensor(model, saved, images, s->channels); /* from here on computed, not uploaded */
    px_condition_lay_out(model, &model->condition, images, train, saved);
    model->nll = px_arena_tensor(saved, (size_t)images * (size_t)values, 1, PX_REAL);
    model->nats = px_arena_tensor(saved, (size_t)images, 1, PX_FLOAT64);
    for (int l = 0; l <= s->layers; l++)
        model->u[l] = l == 0 || train ? px_pixel_tensor(model, saved, images, features) : model->u[0];
    model->features = s->skip ? px_pixel_tensor(model, saved, images, features) : model->u[s->layers];
    if (train) {
        model->grad = px_pixel_tensor(model, saved, images, features);
        model->grad_features = s->skip ? px_pixel_tensor(model, saved, images, features) : model->grad;
    }
    for (int l = 0; l < s->layers; l++) {
        const size_t mark = saved->used;
        model->blocks[l]->kind->lay_out(model, model->blocks[l], images, saved, temporary);
        px_arena_rewind(temporary, 0);
        if (!train && l < s->layers - 1) px_arena_rewind(saved, mark);
    }
    px_head_lay_out(model, &model->head, images, model->purpose, saved);
}

/* Assigns all activations from the given arenas: those of a dry run, or allocated ones. */
static void model_lay_out_over(px_model *model, px_arena saved, px_arena temporary, int images, px_purpose purpose) {
    model->purpose = purpose;
    model->saved = saved;
    model->temporary = temporary;
    model_lay_out(model, images);
}

/* The arenas and the purpose that a dry run replaces until model_end_dry_run. */
typedef struct buffers {
    px_arena saved, temporary;
    px_purpose purpose;
} buffers;

static buffers model_begin_dry_run(px_model *model, int images, px_purpose purpose) {
    const buffers allocated = {model->saved, model->temporary, model->purpose};
    model_lay_out_over(model, px_arena_plan(), px_arena_plan(), images, purpose);
    return allocated;
}

static void model_end_dry_run(px_model *model, buffers allocated) {
    allocated.saved.used = allocated.temporary.used = 0;
    model_lay_out_over(model, allocated.saved, allocated.temporary, model->reserved, allocated.purpose);
}

px_memory_plan px_model_plan(px_model *model, int images, px_purpose purpose) {
    const buffers allocated = model_begin_dry_run(model, images, purpose);
    const px_memory_plan plan = {.weights = model->weight_arena.used,
                                 .gradients = purpose == PX_PURPOSE_TRAIN ? px_tensor_bytes(&model->own_weights) : 0,
                                 .activations = model->saved.peak + model->temporary.peak,
                                 .workspace = model->device->workspace};
    model_end_dry_run(model, allocated);
    return plan;
}

bool px_model_recurrence(px_model *model, int images, px_recurrence_args *recurrence) {
    const px_block *block = model->blocks[0];
    if (!block->kind->recurrence) return false;
    const buffers allocated = model_begin_dry_run(model, images, PX_PURPOSE_TRAIN);
    *recurrence = block->kind->recurrence(model, block, (px_grid){images, model->spec.height, model->spec.width});
    model_end_dry_run(model, allocated);
    return true;
}

static px_status model_allocate(px_model *model, int images, px_purpose purpose) {
    px_device *device = model->device;
    model_lay_out_over(model, px_arena_plan(), px_arena_plan(), images, purpose);
    const size_t saved_bytes = model->saved.peak, temporary_bytes = model->temporary.peak;
    px_arena saved = {0}, temporary = {0};
    px_status status = px_arena_allocate(&saved, device, saved_bytes);
    if (status == PX_OK) status = px_arena_allocate(&temporary, device, temporary_bytes);
    model_lay_out_over(model, saved, temporary, status == PX_OK ? images : 0, purpose);
    PX_TRY(status);
    model->reserved = images;
    if (purpose != PX_PURPOSE_TRAIN || model->gradient_arena.base) return PX_OK;
    PX_TRY(px_arena_allocate(&model->gradient_arena, device, px_tensor_bytes(&model->own_weights)));
    model->gradients = px_arena_tensor(&model->gradient_arena, model->own_weights.rows, model->own_weights.columns,
                                       PX_REAL);
    return device->ops->clear(device, model->gradients.data, px_tensor_bytes(&model->gradients));
}

px_status px_model_reserve(px_model *model, int images, px_purpose purpose) {
    if (model->reserved >= images && model->purpose == purpose) return PX_OK;
    const px_memory_plan plan = px_model_plan(model, images, purpose);
    px_device *device = model->device;
    const bool train = purpose == PX_PURPOSE_TRAIN;
    const size_t more = plan.activations + (train && !model->gradient_arena.base ? plan.gradients : 0);
    char need[64];
    model_free_buffers(model);
    const px_status status = px_arena_fits(device, more) ? model_allocate(model, images, purpose) : PX_ERR_MEMORY;
    if (status != PX_ERR_MEMORY) return status;
    snprintf(need, sizeof need, "%d images need", images);
    return px_arena_fail(device, need, more,
                         train ? "train.batch_size, model.hidden or model.layers"
                               : "eval.batch_size, model.hidden or model.layers");
}

/* ---- Forward and backward ---- */

/* Computes the logits of the current batch. The skip terms add up in features, and the last u is added to them. */
static px_status model_logits(px_model *model) {
    const px_model_spec *s = &model->spec;
    const px_tensor none = {0};
    PX_TRY(px_run(model->device, normalize,
                  .image = {model->images.data, px_grid_pixels(&model->grid), s->channels, PX_UINT8},
                  .values = px_current(model, model->values), .levels = s->levels));
    PX_TRY(px_condition_forward(model, &model->condition, model->grid.images));
    PX_TRY(px_conv_forward(model, &model->stem, model->values, none, model->u[0]));
    for (int l = 0; l < s->layers; l++) {
        px_block *block = model->blocks[l];
        PX_TRY(block->kind->forward(model, block, model->u[l], s->residual ? model->u[l] : none, model->u[l + 1]));
        if (s->skip)
            PX_TRY(px_conv_forward(model, &model->skips[l], model->u[l + 1], l > 0 ? model->features : none,
                                   model->features));
    }
    if (s->skip)
        PX_TRY(px_run(model->device, bias_add_relu, .sum = px_current(model, model->features),
                      .add = px_current(model, model->u[s->layers]), .y = px_current(model, model->features)));
    return px_head_forward(model, &model->head, model->features);
}

px_status px_model_logits(px_model *model, int images, px_tensor *logits) {
    model->grid = (px_grid){images, model->spec.height, model->spec.width};
    PX_TRY(model_logits(model));
    *logits = px_current(model, model->head.logits);
    return PX_OK;
}

px_status px_model_upload_conditions(px_model *model, const uint8_t *conditions, int images) {
    model->grid = (px_grid){images, model->spec.height, model->spec.width};
    return px_condition_upload(model, &model->condition, images, conditions);
}

px_status px_model_upload_batch(px_model *model, const uint8_t *levels, const uint8_t *conditions, int images) {
    const px_tensor batch = px_tensor_first_rows(model->images, (size_t)images);
    PX_TRY(px_model_upload_conditions(model, conditions, images));
    return model->device->ops->upload(model->device, batch.data, levels, px_tensor_bytes(&batch));
}

px_status px_model_loss(px_model *model, bool gradient) {
    const px_model_spec *s = &model->spec;
    const size_t values = (size_t)s->height * (size_t)s->width * (size_t)s->channels;
    const size_t images = (size_t)model->grid.images, all = values * images;
    const size_t mean_over = model->global_batch > 0 ? values * (size_t)model->global_batch : all;
    PX_TRY(model_logits(model));
    PX_TRY(px_run(model->device, softmax_nll,
                  .logits = {model->head.logits.data, all, s->levels, model->head.logits.type},
                  .target = {model->images.data, all, 1, PX_UINT8}, .nll = px_tensor_first_rows(model->nll, all),
                  .gradient = gradient, .scale = (px_real)(1.0 / (double)(mean_over > 0 ? mean_over : 1))));
    return px_run(model->device, sum_columns, .x = {model->nll.data, images, (int)values, PX_REAL},
                  .sum = px_tensor_first_rows(model->nats, images));
}

px_status px_model_forward(px_model *model, const uint8_t *levels, const uint8_t *conditions, int images,
                           bool gradient) {
    PX_TRY(px_model_upload_batch(model, levels, conditions, images));
    return px_model_loss(model, gradient);
}

static void add_temporary(px_proof_state *state, const px_arena *arena, size_t first) {
    const size_t rows = (arena->capacity - first) / PX_TENSOR_ALIGN;
    if (rows > 0)
        state->temporary[state->temporaries++] = px_tensor_of(arena->base + first, rows, PX_TENSOR_ALIGN, PX_UINT8);
}

void px_model_add_temporaries(const px_model *model, px_proof_state *state) {
    add_temporary(state, &model->saved, (size_t)((char *)model->values.data - model->saved.base));
    add_temporary(state, &model->temporary, 0);
    add_temporary(state, &model->gradient_arena, 0);
}

px_graph_key px_model_graph_key(const px_model *model) {
    return (px_graph_key){{model->reservation, (uintptr_t)model->weights.data, (uint64_t)model->grid.images,
                           (uint64_t)model->global_batch}};
}

/* Calls the hook for all parameters from `first` on. Parameters are listed in the order of the forward pass, and
 * backward computes their gradients from the end of the list. */
static px_status call_hook(px_model *model, int first) {
    return model->hook ? model->hook(model->hook_context, model->parameters.items[first].offset) : PX_OK;
}

px_status px_model_backward(px_model *model) {
    const px_model_spec *s = &model->spec;
    const px_tensor none = {0};
    PX_TRY(px_head_backward(model, &model->head, model->features, model->grad_features));
    PX_TRY(call_hook(model, model->head.layer[0].weight));
    PX_TRY(px_condition_begin_backward(model));
    for (int l = s->layers - 1; l >= 0; l--) {
        px_block *block = model->blocks[l];
        if (s->skip) {
            PX_TRY(px_conv_weight_gradient(model, &model->skips[l], model->u[l + 1], model->grad_features));
            PX_TRY(px_conv_input_gradient(model, &model->skips[l], model->grad_features, model->u[l + 1],
                                          l == s->layers - 1 ? model->grad_features : model->grad, model->grad));
        }
        PX_TRY(block->kind->backward(model, block, model->u[l], s->residual ? model->grad : none, model->grad));
        PX_TRY(call_hook(model, block->first));
    }
    PX_TRY(px_conv_weight_gradient(model, &model->stem, model->values, model->grad));
    PX_TRY(px_condition_backward(model));
    return call_hook(model, 0);
}

px_tensor px_model_compute_weights(const px_model *model) { return model->compute_weights; }

px_tensor px_model_nats_tensor(const px_model *model) {
    return px_tensor_first_rows(model->nats, (size_t)model->grid.images);
}

px_status px_model_nats(px_model *model, double *nats) {
    const px_tensor from = px_model_nats_tensor(model);
    return model->device->ops->download(model->device, nats, from.data, px_tensor_bytes(&from));
}

/* ---- Properties ---- */

double px_model_flops(const px_model *model, px_purpose purpose) {
    const double pixels = (double)model->spec.height * model->spec.width;
    double multiplications = 0;
    for (int i = 0; i < model->parameters.count; i++) {
        const px_parameter *p = &model->parameters.items[i];
        const int passes = purpose != PX_PURPOSE_TRAIN ? 1 : p->reads_input ? 2 : 3;
        if (p->rank > 1)
            multiplications += (double)px_parameter_live_count(&model->parameters, p) * p->pixel_share * passes;
    }
    return 2 * multiplications * pixels;
}

px_receptive_field px_model_receptive_field(const px_model_spec *spec) {
    if (spec->kind == PX_MODEL_PIXELCNN)
        return (px_receptive_field){3 + spec->layers, 3 + spec->layers, 3 + spec->layers};
    return (px_receptive_field){INT_MAX, INT_MAX, INT_MAX};
}
