/* A tape's step, moved from the first group's memory to another's: the one place that knows which fields are addresses.
 */
#ifndef PIXELRNN_KERNELS_TAPE_H
#define PIXELRNN_KERNELS_TAPE_H

#include "host/device/backend.h"

PX_HOST_DEVICE void *px_command_moved(const px_execute_args *k, int group, const void *address) {
    const char *at = (const char *)address;
    const bool inside = at >= k->memory && at < k->memory + k->bytes;
    return (char *)at + (inside ? (size_t)group * k->bytes : 0);
}

PX_HOST_DEVICE px_tensor px_command_tensor(const px_execute_args *k, int group, px_tensor tensor) {
    tensor.data = px_command_moved(k, group, tensor.data);
    return tensor;
}

PX_HOST_DEVICE px_device_command px_command_of(const px_execute_args *k, int group, int index) {
    px_device_command step = k->steps[index];
    switch (step.op) {
    case PX_COMMAND_gemm: {
        px_gemm_args *a = &step.args.gemm;
        a->a = px_command_moved(k, group, a->a);
        a->b = px_command_moved(k, group, a->b);
        a->c = px_command_moved(k, group, a->c);
        break;
    }
    case PX_COMMAND_normalize: {
        px_normalize_args *a = &step.args.normalize;
        a->image = px_command_tensor(k, group, a->image);
        a->values = px_command_tensor(k, group, a->values);
        break;
    }
    case PX_COMMAND_activate: {
        px_activate_args *a = &step.args.activate;
        px_tensor *const tensors[] = {&a->sum, &a->bias, &a->add, &a->y, &a->relu_out};
        for (int i = 0; i < 5; i++) *tensors[i] = px_command_tensor(k, group, *tensors[i]);
        break;
    }
    case PX_COMMAND_lstm_update: {
        px_lstm_update_args *a = &step.args.lstm_update;
        px_tensor *const tensors[] = {&a->pre, &a->bias, &a->c, &a->h, &a->add, &a->sum};
        for (int i = 0; i < 6; i++) *tensors[i] = px_command_tensor(k, group, *tensors[i]);
        break;
    }
    case PX_COMMAND_sample: {
        px_sample_args *a = &step.args.sample;
        a->logits = px_command_tensor(k, group, a->logits);
        a->image = px_command_tensor(k, group, a->image);
        a->nats = px_command_tensor(k, group, a->nats);
        a->first_image += (uint64_t)group * (uint64_t)k->images;
        break;
    }
    case PX_COMMAND_clear: step.args.clear.memory = px_command_moved(k, group, step.args.clear.memory); break;
    }
    return step;
}

#endif
