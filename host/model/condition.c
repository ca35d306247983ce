/* Conditions: the upsampling network of an image condition, and layers that a condition biases. */
#include "host/model/condition.h"
#include <stdio.h>

static bool is_class(const px_model *model) { return model->spec.condition.kind == PX_CONDITION_CLASS; }
static bool is_image(const px_model *model) { return model->spec.condition.kind == PX_CONDITION_IMAGE; }

/* The images as pixels of 1 x 1, for products over their labels. */
static px_grid label_grid(const px_model *model) { return (px_grid){model->grid.images, 1, 1}; }

/* The grid of `images` images after `stage` stages of upsampling, and the share of its pixels in those of the image. */
static px_grid stage_grid(const px_model *model, int images, int stage) {
    const px_model_spec *s = &model->spec;
    return (px_grid){images, (s->height / s->condition.scale) << stage, (s->width / s->condition.scale) << stage};
}
static double stage_share(const px_model *model, int stage) {
    const double side = (double)(1 << stage) / model->spec.condition.scale;
    return side * side;
}

/* ---- Creation ---- */

/* A convolution with a whole kernel x kernel filter: NAME.weight [out, kernel, kernel, in] and NAME.bias [out]. */
static px_status create_upsampling(px_model *model, px_conv *conv, const char *name, int inputs, int kernel,
                                   int stage) {
    const int features = 2 * model->spec.hidden;
    px_conv_spec spec = {.name = name,
                         .inputs = inputs,
                         .outputs = features,
                         .kernel = kernel,
                         .taps = px_taps_rectangle(1, 1, 0),
                         .mask = PX_MASK_NONE,
                         .gates = 1,
                         .gain = 2,
                         .pixel_share = stage_share(model, stage),
                         .relu = PX_RELU_STORED,
                         .relu_y = true};
    if (kernel == 2) {
        spec.outputs = 4 * features; /* a 1 x 1 convolution, whose outputs become 2 x 2 pixels */
        spec.relu_y = false;
        return px_conv_create(model, conv, &spec);
    }
    px_tap around[9];
    for (int t = 0; t < 9; t++) around[t] = (px_tap){t / 3 - 1, t % 3 - 1};
    spec.taps = px_taps_list(9, around);
    return px_conv_create(model, conv, &spec);
}

px_status px_condition_create(px_model *model) {
    px_condition_network *n = &model->condition;
    if (!is_image(model)) return PX_OK;
    PX_TRY(create_upsampling(model, &n->stem, "upsample.stem", model->spec.channels, 3, 0));
    n->stem.relu = PX_RELU_NONE;
    model->parameters.items[n->stem.weight].reads_input = true;
    while (1 << n->stages < model->spec.condition.scale) n->stages++;
    for (int k = 0; k < n->stages; k++) {
        char name[48];
        snprintf(name, sizeof name, "upsample.%d.deconvolution", k);
        PX_TRY(create_upsampling(model, &n->stage[k].deconvolution, name, 2 * model->spec.hidden, 2, k));
        snprintf(name, sizeof name, "upsample.%d.convolution", k);
        PX_TRY(create_upsampling(model, &n->stage[k].convolution, name, 2 * model->spec.hidden, 3, k + 1));
    }
    return PX_OK;
}

px_status px_conditional_create(px_model *model, px_conditional *conditional, const px_conv_spec *spec,
                                const char *prefix) {
    const px_model_spec *s = &model->spec;
    char name[PX_PARAMETER_NAME];
    PX_TRY(px_conv_create(model, &conditional->layer, spec));
    if (s->condition.kind == PX_CONDITION_NONE) return PX_OK;
    snprintf(name, sizeof name, "%s.condition", prefix);
    return px_conv_create(model, &conditional->condition,
                          &(px_conv_spec){.name = name,
                                          .inputs = is_class(model) ? s->condition.classes : 2 * s->hidden,
                                          .outputs = spec->outputs,
                                          .taps = px_taps_rectangle(1, 1, 0),
                                          .mask = PX_MASK_NONE,
                                          .gates = 1,
                                          .gain = 0,
                                          .pixel_share = is_class(model) ? 1.0 / ((double)s->height * s->width) : 1,
                                          .reads_input = is_class(model),
                                          .relu = is_image(model) ? PX_RELU_STORED : PX_RELU_NONE,
                                          .no_bias = true});
}

/* ---- Memory ---- */

static px_tensor grid_tensor(const px_model *model, px_arena *arena, px_grid grid, int columns) {
    return px_arena_tensor(arena, px_grid_pixels(&grid), columns, model->device->activation);
}

/* The tensors of the largest stage come last, so that the map and its gradient are those of the whole image. */
static void lay_out_upsampling(const px_model *model, px_condition_network *n, int images, bool train,
                               px_arena *saved) {
    const int features = 2 * model->spec.hidden;
    const px_grid small = stage_grid(model, images, 0), before_last = stage_grid(model, images, n->stages - 1);
    n->values = grid_tensor(model, saved, small, model->spec.channels);
    n->s[0] = grid_tensor(model, saved, small, features);
    n->parts = grid_tensor(model, saved, before_last, 4 * features);
    if (train) n->grad[0] = grid_tensor(model, saved, small, features);
    for (int k = 0; k < n->stages; k++) {
        const px_grid grid = stage_grid(model, images, k + 1);
        n->stage[k].t = grid_tensor(model, saved, grid, features);
        n->s[k + 1] = grid_tensor(model, saved, grid, features);
        if (train) n->grad[k + 1] = grid_tensor(model, saved, grid, features);
    }
    if (train) n->grad_t = grid_tensor(model, saved, stage_grid(model, images, n->stages), features);
    n->features = n->s[n->stages];
}

void px_condition_lay_out_batch(const px_model *model, px_condition_network *n, int images, px_arena *saved) {
    const px_model_spec *s = &model->spec;
    const size_t bytes = px_condition_bytes(&s->condition, s->height, s->width, s->channels);
    if (bytes > 0) n->conditions = px_arena_tensor(saved, (size_t)images, (int)bytes, PX_UINT8);
}

void px_condition_lay_out(const px_model *model, px_condition_network *n, int images, bool train, px_arena *saved) {
    if (is_image(model)) lay_out_upsampling(model, n, images, train, saved);
    if (is_class(model))
        n->features = px_arena_tensor(saved, (size_t)images, model->spec.condition.classes, model->device->activation);
}

void px_conditional_lay_out(px_model *model, px_conditional *conditional, int images, int outputs, px_arena *saved,
                            px_arena *temporary) {
    if (!is_class(model)) return;
    conditional->bias = px_arena_tensor(saved, (size_t)images, outputs, model->device->activation);
    if (model->purpose != PX_PURPOSE_TRAIN) return;
    conditional->grad_sums = px_arena_tensor(temporary, (size_t)images, outputs, PX_REAL);
    conditional->grad_bias = px_arena_tensor(temporary, (size_t)images, outputs, model->device->activation);
}

/* ---- Forward ---- */

px_status px_condition_upload(const px_model *model, const px_condition_network *n, int images,
                              const uint8_t *conditions) {
    if (model->spec.condition.kind == PX_CONDITION_NONE) return PX_OK;
    const px_tensor batch = px_tensor_first_rows(n->conditions, (size_t)images);
    return model->device->ops->upload(model->device, batch.data, conditions, px_tensor_bytes(&batch));
}

static px_status upsampling_forward(px_model *model, const px_condition_network *n, int images) {
    const px_grid small = stage_grid(model, images, 0);
    const px_tensor none = {0};
    const px_tensor values = px_tensor_first_rows(n->values, px_grid_pixels(&small));
    PX_TRY(px_run(model->device, normalize, .image = {n->conditions.data, values.rows, values.columns, PX_UINT8},
                  .values = values, .levels = model->spec.levels));
    PX_TRY(px_conv_forward_on(model, &n->stem, small, n->values, px_conv_bias(model, &n->stem), none, n->s[0]));
    for (int k = 0; k < n->stages; k++) {
        const px_upsampling *stage = &n->stage[k];
        const px_grid from = stage_grid(model, images, k), to = stage_grid(model, images, k + 1);
        PX_TRY(px_conv_forward_on(model, &stage->deconvolution, from, n->s[k], none, none, n->parts));
        PX_TRY(px_run(model->device, pixel_shuffle, .grid = from,
                      .x = px_tensor_first_rows(n->parts, px_grid_pixels(&from)),
                      .bias = px_conv_bias(model, &stage->deconvolution),
                      .y = px_tensor_first_rows(stage->t, px_grid_pixels(&to))));
        PX_TRY(px_conv_forward_on(model, &stage->convolution, to, stage->t, px_conv_bias(model, &stage->convolution),
                                  none, n->s[k + 1]));
    }
    return PX_OK;
}

px_status px_condition_forward(px_model *model, const px_condition_network *n, int images) {
    if (is_image(model)) return upsampling_forward(model, n, images);
    if (!is_class(model)) return PX_OK;
    return px_run(model->device, one_hot, .labels = px_tensor_first_rows(n->conditions, (size_t)images),
                  .y = px_tensor_first_rows(n->features, (size_t)images));
}

px_status px_conditional_forward(px_model *model, const px_conditional *c, px_tensor x, px_tensor y) {
    const px_tensor none = {0}, features = model->condition.features;
    px_tensor bias = px_conv_bias(model, &c->layer), add = none;
    if (is_class(model)) {
        /* The bias of the layer, plus a column of the condition's weight for each image. */
        PX_TRY(px_conv_forward_on(model, &c->condition, label_grid(model), features, bias, none, c->bias));
        bias = px_tensor_first_rows(c->bias, (size_t)model->grid.images);
    } else if (is_image(model)) {
        PX_TRY(px_conv_forward(model, &c->condition, features, none, y));
        add = y;
    }
    return px_conv_forward_on(model, &c->layer, model->grid, x, bias, add, y);
}

/* ---- Backward ---- */

px_status px_conditional_weight_gradient(px_model *model, const px_conditional *c, px_tensor x, px_tensor dy) {
    const px_condition_network *n = &model->condition;
    const px_tensor none = {0}, dbias = px_conv_bias_gradient(model, &c->layer), map_gradient = n->grad[n->stages];
    if (!is_class(model)) PX_TRY(px_conv_weight_gradient(model, &c->layer, x, dy));
    if (is_image(model)) {
        PX_TRY(px_conv_weight_gradient(model, &c->condition, n->features, dy));
        return px_conv_input_gradient(model, &c->condition, dy, n->features, map_gradient, map_gradient);
    }
    if (!is_class(model)) return PX_OK;
    const size_t images = (size_t)model->grid.images;
    const px_tensor sums = px_tensor_first_rows(c->grad_sums, images),
                    grad = px_tensor_first_rows(c->grad_bias, images);
    PX_TRY(px_conv_weight_gradient_on(model, &c->layer, model->grid, x, dy, images > 0 ? sums : none));
    PX_TRY(px_run(model->device, cast, .x = sums, .y = grad));
    return px_conv_weight_gradient_on(model, &c->condition, label_grid(model), n->features, grad, dbias);
}

px_status px_condition_begin_backward(px_model *model) {
    if (!is_image(model)) return PX_OK;
    const px_tensor map_gradient = model->condition.grad[model->condition.stages];
    return model->device->ops->clear(model->device, map_gradient.data, px_tensor_bytes(&map_gradient));
}

/* On entry grad[stages] holds the gradient of the map before its relu. */
px_status px_condition_backward(px_model *model) {
    const px_condition_network *n = &model->condition;
    const px_tensor none = {0};
    if (!is_image(model)) return PX_OK;
    for (int k = n->stages - 1; k >= 0; k--) {
        const px_upsampling *stage = &n->stage[k];
        const px_grid from = stage_grid(model, model->grid.images, k),
                      to = stage_grid(model, model->grid.images, k + 1);
        const px_tensor grad_t = px_tensor_first_rows(n->grad_t, px_grid_pixels(&to));
        PX_TRY(px_conv_weight_gradient_on(model, &stage->convolution, to, stage->t, n->grad[k + 1],
                                          px_conv_bias_gradient(model, &stage->convolution)));
        PX_TRY(px_conv_input_gradient_on(model, &stage->convolution, to, n->grad[k + 1], stage->t, none, grad_t));
        PX_TRY(px_run(model->device, convolve_weight_gradient, .grid = to, .taps = px_taps_rectangle(1, 1, 0),
                      .x = grad_t, .dy = grad_t, .dbias = px_conv_bias_gradient(model, &stage->deconvolution)));
        PX_TRY(px_run(model->device, pixel_unshuffle, .grid = from, .y = grad_t,
                      .x = px_tensor_first_rows(n->parts, px_grid_pixels(&from))));
        PX_TRY(px_conv_weight_gradient_on(model, &stage->deconvolution, from, n->s[k], n->parts, none));
        PX_TRY(px_conv_input_gradient_on(model, &stage->deconvolution, from, n->parts, n->s[k], none, n->grad[k]));
    }
    return px_conv_weight_gradient_on(model, &n->stem, stage_grid(model, model->grid.images, 0), n->values, n->grad[0],
                                      px_conv_bias_gradient(model, &n->stem));
}
