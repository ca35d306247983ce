/* The commands of a command buffer, which are recorded for group 0, for any group of images: addresses within the
 * memory of group 0 become addresses within that group's memory. */
#ifndef PIXELRNN_KERNELS_COMMAND_BUFFER_H
#define PIXELRNN_KERNELS_COMMAND_BUFFER_H

#include "host/device/backend.h"

PX_HOST_DEVICE void *command_address(const px_execute_args *k, int group, const void *address) {
    const char *at = (const char *)address;
    const bool inside = at >= k->memory && at < k->memory + k->bytes;
    return (char *)at + (inside ? (size_t)group * k->bytes : 0);
}

PX_HOST_DEVICE px_tensor command_tensor(const px_execute_args *k, int group, px_tensor tensor) {
    tensor.data = command_address(k, group, tensor.data);
    return tensor;
}

/* Command `index` with the addresses and image numbers of a group. */
PX_HOST_DEVICE px_device_command px_command_for_group(const px_execute_args *k, int group, int index) {
    px_device_command command = k->steps[index];
    switch (command.op) {
    case PX_COMMAND_gemm: {
        px_gemm_args *a = &command.args.gemm;
        a->a = command_address(k, group, a->a);
        a->b = command_address(k, group, a->b);
        a->c = command_address(k, group, a->c);
        break;
    }
    case PX_COMMAND_normalize: {
        px_normalize_args *a = &command.args.normalize;
        a->image = command_tensor(k, group, a->image);
        a->values = command_tensor(k, group, a->values);
        break;
    }
    case PX_COMMAND_activate: {
        px_activate_args *a = &command.args.activate;
        px_tensor *const tensors[] = {&a->sum, &a->bias, &a->add, &a->y, &a->relu_out};
        for (int i = 0; i < 5; i++) *tensors[i] = command_tensor(k, group, *tensors[i]);
        break;
    }
    case PX_COMMAND_lstm_update: {
        px_lstm_update_args *a = &command.args.lstm_update;
        px_tensor *const tensors[] = {&a->pre, &a->bias, &a->c, &a->h, &a->add, &a->sum};
        for (int i = 0; i < 6; i++) *tensors[i] = command_tensor(k, group, *tensors[i]);
        break;
    }
    case PX_COMMAND_sample: {
        px_sample_args *a = &command.args.sample;
        a->logits = command_tensor(k, group, a->logits);
        a->image = command_tensor(k, group, a->image);
        a->nats = command_tensor(k, group, a->nats);
        a->first_image += (uint64_t)group * (uint64_t)k->images;
        break;
    }
    case PX_COMMAND_clear: command.args.clear.memory = command_address(k, group, command.args.clear.memory); break;
    }
    return command;
}

#endif
