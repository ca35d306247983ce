/* The decoder: the whole network on the current pixel, one colour group at a time. */
#include "host/sample/decode.h"
#include <stdio.h>
#include <stdlib.h>

enum { PX_STEM_ROWS = 4 }; /* rows of values that the stem reads, the current one included */

static const px_decode_kind *const decode_kinds[] = {
    [PX_MODEL_PIXELCNN] = &px_decode_pixelcnn,
    [PX_MODEL_ROW_LSTM] = &px_decode_recurrent,
    [PX_MODEL_DIAGONAL_BILSTM] = &px_decode_recurrent,
};

/* ---- Memory ---- */

/* The maximum number of features that px_decode_sum is asked for. */
static int max_features(const px_model_spec *s) {
    int widest = 2 * s->hidden;
    if (s->head > widest) widest = s->head;
    return s->channels * s->levels > widest ? s->channels * s->levels : widest;
}

static void decoder_lay_out(px_decoder *d, px_arena *arena) {
    const px_model_spec *s = &d->model->spec;
    const px_type type = d->model->device->activation;
    const int features = 2 * s->hidden, width = s->width;
    d->levels = px_arena_tensor(arena, (size_t)d->capacity, s->height * width * s->channels, PX_UINT8);
    d->nats = px_arena_tensor(arena, (size_t)d->capacity, 1, PX_FLOAT64);
    d->numbers = px_arena_tensor(arena, 1, PX_SAMPLE_NUMBERS, PX_FLOAT64);
    d->values = px_cache_lay_out(d, arena, type, 1, PX_STEM_ROWS * width, s->channels);
    d->stem_sum = px_cache_lay_out(d, arena, PX_REAL, 1, width, features);
    d->sum = px_arena_tensor(arena, (size_t)d->capacity, max_features(s), PX_REAL);
    d->u = px_cache_lay_out(d, arena, type, s->layers + 1, width, features);
    d->relu_out = px_cache_lay_out(d, arena, type, s->layers + 1, 1, features);
    if (s->skip) d->features = px_cache_lay_out(d, arena, PX_REAL, 1, 1, features);
    for (int i = 0; i < 2; i++) d->hidden[i] = px_cache_lay_out(d, arena, type, 1, 1, s->head);
    d->logits = px_cache_lay_out(d, arena, type, 1, 1, s->channels * s->levels);
    px_condition_lay_out_batch(d->model, &d->condition, d->capacity, arena);
    px_condition_lay_out(d->model, &d->condition, d->capacity, false, arena);
    if (s->condition.kind == PX_CONDITION_IMAGE) d->map = px_cache_lay_out(d, arena, type, 1, width, features);
    d->kind->lay_out(d, arena);
}

/* Creates a decoder without device memory; a dry run gives *bytes. */
static px_status decoder_dry_run(px_model *model, int images, px_decoder **out, size_t *bytes) {
    const px_model_spec *s = &model->spec;
    const px_decode_kind *kind = decode_kinds[s->kind];
    px_decoder *d = calloc(1, sizeof *d);
    void *blocks = calloc(1, kind->size);
    *out = d;
    if (!d || !blocks) {
        free(d);
        free(blocks);
        *out = NULL;
        return px_fail_memory(model->device->ctx, "decoder", sizeof *d + kind->size);
    }
    *d = (px_decoder){.model = model,
                      .device = model->device,
                      .capacity = images,
                      .condition = model->condition,
                      .kind = kind,
                      .blocks = blocks};
    d->stem = (px_stack){.first = &model->stem, .layers = 1, .gates = 1};
    if (s->skip) d->skip = px_stack_of(d, &model->skips[0], s->layers > 1 ? &model->skips[1] : NULL, 1);
    for (int i = 0; i < 3; i++) d->head[i] = (px_stack){.first = &model->head.layer[i], .layers = 1, .gates = 1};
    kind->create(d);
    px_arena plan = px_arena_plan();
    decoder_lay_out(d, &plan);
    *bytes = plan.peak;
    return PX_OK;
}

px_status px_decoder_plan(px_model *model, int images, size_t *bytes) {
    px_decoder *d;
    PX_TRY(decoder_dry_run(model, images, &d, bytes));
    px_decoder_destroy(d);
    return PX_OK;
}

px_status px_decoder_create(px_model *model, int images, px_decoder **out) {
    size_t bytes;
    char need[64];
    *out = NULL;
    PX_TRY(decoder_dry_run(model, images, out, &bytes));
    const px_status status = px_arena_allocate(&(*out)->arena, model->device, bytes);
    if (status == PX_OK) {
        decoder_lay_out(*out, &(*out)->arena);
        return PX_OK;
    }
    px_decoder_destroy(*out);
    *out = NULL;
    if (status != PX_ERR_MEMORY) return status;
    snprintf(need, sizeof need, "decoding %d images at a time needs", images);
    return px_arena_fail(model->device, need, bytes, "eval.batch_size, or train.samples in training");
}

void px_decoder_destroy(px_decoder *d) {
    if (!d) return;
    for (int i = 0; i < PX_ROW_GRAPHS; i++) px_graph_release(&d->graph[i], d->device);
    px_arena_free(&d->arena);
    free(d->blocks);
    free(d);
}

/* ---- Batches ---- */

/* Computes what the condition gives to all pixels. */
static px_status begin_condition(px_decoder *d, const uint8_t *conditions) {
    PX_TRY(px_condition_upload(d->model, &d->condition, d->images, conditions));
    PX_TRY(px_condition_forward(d->model, &d->condition, d->images));
    return d->kind->begin(d);
}

px_status px_decoder_begin(px_decoder *d, int images, const uint8_t *levels, const uint8_t *conditions) {
    const px_device_ops *ops = d->device->ops;
    d->images = images;
    d->row = 0;
    d->column = -1;
    PX_TRY(ops->clear(d->device, d->arena.base, d->arena.capacity)); /* features of the rows above the image are 0 */
    if (conditions) PX_TRY(begin_condition(d, conditions));
    if (levels) PX_TRY(ops->upload(d->device, d->levels.data, levels, (size_t)images * (size_t)d->levels.columns));
    return ops->synchronize(d->device); /* the caller may now change them */
}

px_status px_decoder_finish(px_decoder *d, uint8_t *levels, double *nats) {
    const px_device_ops *ops = d->device->ops;
    const size_t images = (size_t)d->images;
    PX_TRY(ops->download(d->device, levels, d->levels.data, images * (size_t)d->levels.columns));
    return nats ? ops->download(d->device, nats, d->nats.data, images * sizeof *nats) : PX_OK;
}

/* ---- Pixels ---- */

px_status px_sample_upload_scalars(px_device *device, px_tensor numbers, int row, double temperature, uint64_t seed,
                                   uint64_t first_image) {
    return px_run(device, upload_scalars, .y = numbers,
                  .value = {[PX_SAMPLE_ROW] = row,
                            [PX_SAMPLE_SEED_HIGH] = (double)(seed >> 32),
                            [PX_SAMPLE_SEED_LOW] = (double)(uint32_t)seed,
                            [PX_SAMPLE_FIRST_IMAGE] = (double)first_image,
                            [PX_SAMPLE_TEMPERATURE] = temperature});
}

/* Reads the current pixel's levels into the cache of values. */
static px_status read_values(const px_decoder *d) {
    const px_model_spec *s = &d->model->spec;
    return px_run(d->device, normalize, .image = px_tensor_first_rows(d->levels, (size_t)d->images),
                  .values = px_cache_current(d, &d->values, 0), .numbers = d->numbers, .levels = s->levels,
                  .row_values = s->width * s->channels, .first = d->column * s->channels);
}

/* Copies the current row of the conditioning map. */
static px_status begin_row_of_map(const px_decoder *d) {
    const px_model_spec *s = &d->model->spec;
    const px_grid grid = {d->images, s->height, s->width};
    if (s->condition.kind != PX_CONDITION_IMAGE) return PX_OK;
    return px_run(d->device, gather_row, .grid = grid,
                  .x = px_tensor_first_rows(d->condition.features, px_grid_pixels(&grid)), .numbers = d->numbers,
                  .y = px_cache_at(d, &d->map, 0, 0, 0, s->width));
}

/* Leaves the current pixel of a row, whose levels are now known, or the place before the row, for the next pixel. */
static px_status next_pixel(px_decoder *d) {
    if (d->column >= 0) {
        PX_TRY(read_values(d));
    } else {
        PX_TRY(begin_row_of_map(d));
        PX_TRY(px_cache_clear(d, &d->stem_sum));
        PX_TRY(px_stack_above(d, &d->stem, &d->values, &d->stem_sum));
        PX_TRY(d->kind->begin_row(d));
    }
    d->column++;
    PX_TRY(px_stack_beside(d, &d->stem, d->column, &d->values, &d->stem_sum));
    return d->kind->begin_pixel(d);
}

/* Leaves the last pixel of a row. Each row of values moves up, so that the caches are those before the next row. */
static px_status end_row(px_decoder *d) {
    const int width = d->model->spec.width;
    PX_TRY(read_values(d));
    for (int down = 1 - PX_STEM_ROWS; down < 0; down++) {
        const px_tensor from = px_cache_at(d, &d->values, 0, down + 1, 0, width);
        const px_tensor to = px_cache_at(d, &d->values, 0, down, 0, width);
        PX_TRY(d->device->ops->copy(d->device, to.data, from.data, px_tensor_bytes(&to)));
    }
    return d->kind->end_row ? d->kind->end_row(d) : PX_OK;
}

px_status px_decoder_next(px_decoder *d) {
    if (d->column == d->model->spec.width - 1) {
        PX_TRY(end_row(d));
        d->row++;
        d->column = -1;
    }
    if (d->column < 0) PX_TRY(px_sample_upload_scalars(d->device, d->numbers, d->row, 1, 0, 0));
    return next_pixel(d);
}

px_tensor px_decode_sum(const px_decoder *d, int features) {
    return px_tensor_of(d->sum.data, (size_t)d->images, features, PX_REAL);
}

px_status px_decode_expand(px_decoder *d, const px_stack *expand, int layer, px_colours colours, px_tensor x) {
    const px_tensor u = px_cache_current(d, &d->u, layer), next = px_cache_current(d, &d->u, layer + 1);
    const px_tensor sum = px_decode_sum(d, next.columns);
    PX_TRY(px_stack_centre(d, expand, layer, colours, x, sum, 0));
    return px_stack_activate(d, expand, layer, colours, sum, d->model->spec.residual ? u : (px_tensor){0}, next,
                             px_cache_current(d, &d->relu_out, layer + 1));
}

/* Adds the skip term of block `layer` to features. The last one also adds u, and stores the relu that the head reads.
 */
static px_status decode_skip(px_decoder *d, int layer, px_colours colours) {
    const int last = d->model->spec.layers - 1;
    const px_tensor none = {0}, features = px_cache_current(d, &d->features, 0),
                    u = px_cache_current(d, &d->u, layer + 1);
    PX_TRY(px_stack_centre(d, &d->skip, layer, colours, u, features, layer > 0));
    return px_stack_activate(d, &d->skip, layer, colours, features, layer == last ? u : none, none,
                             layer == last ? px_cache_current(d, &d->relu_out, last + 1) : none);
}

/* Runs the stem and all blocks on the current pixel, in these colours. */
static px_status decode_features(px_decoder *d, px_colours colours) {
    const px_tensor none = {0}, u = px_cache_current(d, &d->u, 0), sum = px_cache_current(d, &d->stem_sum, 0);
    PX_TRY(px_stack_centre(d, &d->stem, 0, colours, px_cache_current(d, &d->values, 0), sum, 1));
    PX_TRY(px_stack_activate(d, &d->stem, 0, colours, sum, none, u, px_cache_current(d, &d->relu_out, 0)));
    for (int layer = 0; layer < d->model->spec.layers; layer++) {
        PX_TRY(d->kind->forward(d, layer, colours));
        if (d->model->spec.skip) PX_TRY(decode_skip(d, layer, colours));
    }
    return PX_OK;
}

static px_status decode_head(px_decoder *d, px_colours colours) {
    const px_tensor none = {0}, logits = px_cache_current(d, &d->logits, 0);
    px_tensor x = px_cache_current(d, &d->relu_out, d->model->spec.layers);
    for (int i = 0; i < 2; i++) {
        const px_tensor hidden = px_cache_current(d, &d->hidden[i], 0), sum = px_decode_sum(d, hidden.columns);
        PX_TRY(px_stack_centre(d, &d->head[i], 0, colours, x, sum, 0));
        PX_TRY(px_stack_activate(d, &d->head[i], 0, colours, sum, none, none, hidden));
        x = hidden;
    }
    const px_tensor sum = px_decode_sum(d, logits.columns);
    PX_TRY(px_stack_centre(d, &d->head[2], 0, colours, x, sum, 0));
    return px_stack_activate(d, &d->head[2], 0, colours, sum, none, logits, none);
}

px_status px_decoder_logits(px_decoder *d, int channel, px_tensor *logits) {
    const px_colours colours = {channel, channel + 1};
    if (channel > 0) PX_TRY(read_values(d));
    PX_TRY(decode_features(d, colours));
    PX_TRY(decode_head(d, colours));
    *logits = px_cache_current(d, &d->logits, 0);
    return PX_OK;
}

px_status px_decoder_skip(px_decoder *d) {
    PX_TRY(read_values(d));
    return decode_features(d, (px_colours){0, d->model->spec.channels});
}

/* ---- Rows ---- */

static px_status sample_value(px_decoder *d, int channel) {
    const px_model_spec *s = &d->model->spec;
    px_tensor logits;
    PX_TRY(px_decoder_logits(d, channel, &logits));
    return px_run(d->device, sample, .logits = logits, .image = px_tensor_first_rows(d->levels, (size_t)d->images),
                  .nats = px_tensor_first_rows(d->nats, (size_t)d->images), .numbers = d->numbers,
                  .offset = (size_t)(channel * s->levels), .levels = s->levels, .row_values = s->width * s->channels,
                  .value = d->column * s->channels + channel, .key = px_sample_key(d->column, channel));
}

/* Issues the operations of the current row. On a device with graphs they do not depend on its number, which they read
 * from d->numbers. */
static px_status issue_row(px_decoder *d, const uint8_t *given) {
    const px_model_spec *s = &d->model->spec;
    d->column = -1;
    for (int column = 0; column < s->width; column++) {
        PX_TRY(next_pixel(d));
        if (given && given[column]) PX_TRY(px_decoder_skip(d));
        for (int channel = 0; channel < s->channels && !(given && given[column]); channel++)
            PX_TRY(sample_value(d, channel));
    }
    return px_decode_has_row(d, d->row + 1) ? end_row(d) : PX_OK;
}

/* Issues a row as a captured graph. Its operations depend on the key, the model and the capacity alone, and change
 * nothing but the arena. */
static px_status issue_captured_row(px_decoder *d, const uint8_t *given, px_row_graph graph) {
    const px_graph_key key = {{(uint64_t)d->images, (uintptr_t)d->model->compute_weights.data}};
    const px_tensor arena = px_tensor_of(d->arena.base, d->arena.capacity / PX_TENSOR_ALIGN, PX_TENSOR_ALIGN, PX_UINT8);
    const px_proof_state state = {.count = 1, .tensor = {arena}};
    px_status status = PX_OK;
    while (px_graph_issue(&d->graph[graph], d->device, &key, &state, &status)) status = issue_row(d, given);
    return status;
}

px_status px_decoder_sample_row(px_decoder *d, const uint8_t *given, double temperature, uint64_t seed,
                                uint64_t first_image) {
    const int width = d->model->spec.width;
    int count = 0; /* of the pixels that are given */
    for (int column = 0; column < width && given; column++) count += given[column] != 0;
    PX_TRY(px_sample_upload_scalars(d->device, d->numbers, d->row, temperature, seed, first_image));
    PX_TRY(count == 0       ? issue_captured_row(d, given, PX_ROW_SAMPLED)
           : count == width ? issue_captured_row(d, given, PX_ROW_GIVEN)
                            : issue_row(d, given));
    d->row++;
    return PX_OK;
}
