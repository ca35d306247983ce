/* PixelCNN block: add + expand(relu(conv3x3(relu(reduce(relu(u)))))), every mask B.
 * van den Oord et al. 2016, section 3.3 and figure 5, left. */
#include "host/model/blocks.h"
#include <stdio.h>
#include <stdlib.h>

static px_status pixelcnn_create(px_model *model, int index, px_block **block) {
    px_pixelcnn *b = calloc(1, sizeof *b);
    if (!b) return px_fail_memory(model->device->ctx, "model", sizeof *b);
    *block = &b->block;
    const int h = model->spec.hidden;
    const px_taps one = px_taps_rectangle(1, 1, 0), top = px_taps_rectangle(2, 3, 1);
    char name[48], prefix[32];
    px_conv_spec spec = {.name = name, .mask = PX_MASK_B, .gates = 1, .gain = 2};
    snprintf(name, sizeof name, "blocks.%d.reduce", index);
    spec.inputs = 2 * h, spec.outputs = h, spec.taps = one, spec.relu = PX_RELU_APPLY, spec.relu_y = true;
    PX_TRY(px_conv_create(model, &b->reduce, &spec));
    snprintf(name, sizeof name, "blocks.%d.conv", index);
    spec.inputs = h, spec.taps = top, spec.relu = PX_RELU_STORED;
    snprintf(prefix, sizeof prefix, "blocks.%d", index);
    PX_TRY(px_conditional_create(model, &b->conv, &spec, prefix));
    snprintf(name, sizeof name, "blocks.%d.expand", index);
    spec.outputs = 2 * h, spec.taps = one, spec.relu_y = false;
    return px_conv_create(model, &b->expand, &spec);
}

static void pixelcnn_lay_out(px_model *model, px_block *block, int images, px_arena *saved, px_arena *temporary) {
    px_pixelcnn *b = (px_pixelcnn *)block;
    b->reduced = px_pixel_tensor(model, saved, images, model->spec.hidden);
    b->convolved = px_pixel_tensor(model, saved, images, model->spec.hidden);
    px_conditional_lay_out(model, &b->conv, images, model->spec.hidden, saved, temporary);
    if (model->purpose != PX_PURPOSE_TRAIN) return;
    for (int i = 0; i < 2; i++) b->gradient[i] = px_pixel_tensor(model, temporary, images, model->spec.hidden);
}

static px_status pixelcnn_forward(px_model *model, px_block *block, px_tensor u, px_tensor add, px_tensor y) {
    px_pixelcnn *b = (px_pixelcnn *)block;
    PX_TRY(px_conv_forward(model, &b->reduce, u, (px_tensor){0}, b->reduced));
    PX_TRY(px_conditional_forward(model, &b->conv, b->reduced, b->convolved));
    return px_conv_forward(model, &b->expand, b->convolved, add, y);
}

static px_status pixelcnn_backward(px_model *model, px_block *block, px_tensor u, px_tensor add, px_tensor grad) {
    px_pixelcnn *b = (px_pixelcnn *)block;
    px_tensor grad_convolved = b->gradient[0], grad_reduced = b->gradient[1];
    PX_TRY(px_conv_weight_gradient(model, &b->expand, b->convolved, grad));
    PX_TRY(px_conv_input_gradient(model, &b->expand, grad, b->convolved, (px_tensor){0}, grad_convolved));
    PX_TRY(px_conditional_weight_gradient(model, &b->conv, b->reduced, grad_convolved));
    PX_TRY(px_conv_input_gradient(model, &b->conv.layer, grad_convolved, b->reduced, (px_tensor){0}, grad_reduced));
    PX_TRY(px_conv_weight_gradient(model, &b->reduce, u, grad_reduced));
    return px_conv_input_gradient(model, &b->reduce, grad_reduced, u, add, grad);
}

const px_block_kind px_block_pixelcnn = {pixelcnn_create, pixelcnn_lay_out, pixelcnn_forward, pixelcnn_backward, NULL};
