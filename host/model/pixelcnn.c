/* PixelCNN block: u + expand(relu(conv3x3(relu(reduce(relu(u)))))), every mask B.
 * van den Oord et al. 2016, section 3.3 and figure 5, left. */
#include "host/model/blocks.h"
#include <stdio.h>
#include <stdlib.h>

static px_status pixelcnn_create(px_model *model, int index, px_block **block) {
    px_pixelcnn *b = calloc(1, sizeof *b);
    if (!b) return px_fail(model->device->ctx, PX_ERR_MEMORY, "model: cannot allocate block %d", index);
    b->block.kind = &px_block_pixelcnn;
    *block = &b->block;
    const int h = model->spec.hidden;
    const px_taps one = px_taps_rectangle(1, 1, 0), top = px_taps_rectangle(2, 3, 1);
    char reduce[48], conv[48], expand[48];
    snprintf(reduce, sizeof reduce, "blocks.%d.reduce", index);
    snprintf(conv, sizeof conv, "blocks.%d.conv", index);
    snprintf(expand, sizeof expand, "blocks.%d.expand", index);
    px_linear_spec spec = {.mask = PX_MASK_B, .gates = 1, .gain = 2, .reads = PX_READS_RELU, .gives_relu = true};
    spec.name = reduce, spec.inputs = 2 * h, spec.outputs = h, spec.taps = one;
    PX_TRY(px_linear_create(model, &b->reduce, &spec));
    spec.name = conv, spec.inputs = h, spec.outputs = h, spec.taps = top, spec.reads = PX_READS_STORED_RELU;
    PX_TRY(px_linear_create(model, &b->conv, &spec));
    spec.name = expand, spec.inputs = h, spec.outputs = 2 * h, spec.taps = one, spec.gives_relu = false;
    return px_linear_create(model, &b->expand, &spec);
}

static void pixelcnn_lay_out(px_model *model, px_block *block, int images, px_arena *saved, px_arena *temporary) {
    px_pixelcnn *b = (px_pixelcnn *)block;
    b->reduced = px_pixel_tensor(model, saved, images, model->spec.hidden);
    b->convolved = px_pixel_tensor(model, saved, images, model->spec.hidden);
    if (model->purpose != PX_PURPOSE_TRAIN) return;
    for (int i = 0; i < 2; i++) b->gradient[i] = px_pixel_tensor(model, temporary, images, model->spec.hidden);
}

static px_status pixelcnn_forward(px_model *model, px_block *block, px_tensor u, px_tensor add, px_tensor y) {
    px_pixelcnn *b = (px_pixelcnn *)block;
    PX_TRY(px_linear_forward(model, &b->reduce, u, (px_tensor){0}, b->reduced));
    PX_TRY(px_linear_forward(model, &b->conv, b->reduced, (px_tensor){0}, b->convolved));
    return px_linear_forward(model, &b->expand, b->convolved, add, y);
}

static px_status pixelcnn_backward(px_model *model, px_block *block, px_tensor u, px_tensor add, px_tensor g) {
    px_pixelcnn *b = (px_pixelcnn *)block;
    px_tensor d_convolved = b->gradient[0], d_reduced = b->gradient[1];
    PX_TRY(px_linear_weight_gradient(model, &b->expand, b->convolved, g));
    PX_TRY(px_linear_input_gradient(model, &b->expand, g, b->convolved, (px_tensor){0}, d_convolved));
    PX_TRY(px_linear_weight_gradient(model, &b->conv, b->reduced, d_convolved));
    PX_TRY(px_linear_input_gradient(model, &b->conv, d_convolved, b->reduced, (px_tensor){0}, d_reduced));
    PX_TRY(px_linear_weight_gradient(model, &b->reduce, u, d_reduced));
    return px_linear_input_gradient(model, &b->reduce, d_reduced, u, add, g);
}

const px_block_kind px_block_pixelcnn = {pixelcnn_create, pixelcnn_lay_out, pixelcnn_forward, pixelcnn_backward, NULL};
