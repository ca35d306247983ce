/* The head: three 1 x 1 layers of mask B, with a relu before each. The outputs of the first two are stored after the
 * next layer's relu. */
#include "host/model/network.h"
#include <stdio.h>

px_status px_head_create(px_model *model, px_head *head) {
    const px_model_spec *s = &model->spec;
    const int widths[] = {2 * s->hidden, s->head, s->head, s->channels * s->levels};
    for (int i = 0; i < 3; i++) {
        char name[32];
        snprintf(name, sizeof name, "head.%d", i);
        PX_TRY(px_conv_create(model, &head->layer[i],
                              &(px_conv_spec){.name = name,
                                              .inputs = widths[i],
                                              .outputs = widths[i + 1],
                                              .gates = 1,
                                              .taps = px_taps_rectangle(1, 1, 0),
                                              .mask = PX_MASK_B,
                                              .gain = i < 2 ? 2 : 0.1,
                                              .relu = i == 0 ? PX_RELU_APPLY : PX_RELU_STORED,
                                              .relu_y = i < 2}));
    }
    return PX_OK;
}

void px_head_lay_out(px_model *model, px_head *head, int images, px_purpose purpose, px_arena *saved) {
    const px_model_spec *s = &model->spec;
    for (int i = 0; i < 2; i++) head->hidden[i] = px_pixel_tensor(model, saved, images, s->head);
    head->logits = px_pixel_tensor(model, saved, images, s->channels * s->levels);
    if (purpose != PX_PURPOSE_TRAIN) return;
    for (int i = 0; i < 2; i++) head->grad_hidden[i] = px_pixel_tensor(model, saved, images, s->head);
}

px_status px_head_forward(px_model *model, px_head *head, px_tensor u) {
    PX_TRY(px_conv_forward(model, &head->layer[0], u, (px_tensor){0}, head->hidden[0]));
    PX_TRY(px_conv_forward(model, &head->layer[1], head->hidden[0], (px_tensor){0}, head->hidden[1]));
    return px_conv_forward(model, &head->layer[2], head->hidden[1], (px_tensor){0}, head->logits);
}

px_status px_head_backward(px_model *model, px_head *head, px_tensor u, px_tensor grad) {
    px_tensor x[] = {u, head->hidden[0], head->hidden[1]};
    px_tensor dx[] = {grad, head->grad_hidden[0], head->grad_hidden[1]};
    px_tensor dy[] = {dx[1], dx[2], head->logits};
    for (int i = 2; i >= 0; i--) {
        PX_TRY(px_conv_weight_gradient(model, &head->layer[i], x[i], dy[i]));
        PX_TRY(px_conv_input_gradient(model, &head->layer[i], dy[i], x[i], (px_tensor){0}, dx[i]));
    }
    return PX_OK;
}
