/* Passes as graphs. */
#include "host/train/pass.h"

void px_pass_forget(px_pass *pass, px_device *device) {
    if (pass->graph) device->ops->graph_destroy(device, pass->graph);
    *pass = (px_pass){0};
}

/* What cannot be recorded is run as it is from then on: a graph is faster, not better. */
static px_status pass_record(px_pass *pass, px_device *device, px_status (*body)(void *context), void *context) {
    px_status status = device->ops->graph_begin(device);
    if (status == PX_OK) {
        const px_status recorded = body(context);
        status = device->ops->graph_end(device, &pass->graph);
        if (status == PX_OK) status = recorded;
    }
    pass->refused = status != PX_OK;
    if (!pass->refused) return device->ops->graph_run(device, pass->graph);
    if (pass->graph) device->ops->graph_destroy(device, pass->graph);
    pass->graph = NULL;
    device->ctx->message[0] = '\0';
    return body(context);
}

px_status px_pass_run(px_pass *pass, px_device *device, px_work_shape shape, px_status (*body)(void *context),
                      void *context) {
    if (!device->graphs) return body(context);
    if (!px_work_shape_same(&pass->shape, &shape)) px_pass_forget(pass, device);
    pass->shape = shape;
    if (pass->graph) return device->ops->graph_run(device, pass->graph);
    if (pass->runs++ == 0 || pass->refused) return body(context);
    return pass_record(pass, device, body, context);
}
