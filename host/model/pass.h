/* A pass that is the same each time: run as it is at first, then recorded, then replayed as one. */
#ifndef PIXELRNN_MODEL_PASS_H
#define PIXELRNN_MODEL_PASS_H

#include "pixelrnn/device.h"

typedef struct px_pass {
    void *graph;
    int runs;       /* as it is: the first lets libraries choose and prepare */
    bool refused;   /* recording failed once: not tried again */
    uint64_t shape; /* what the recorded operations depend on, beside addresses that do not change */
} px_pass;

/* Runs body(context), or the graph that was made of it for the same shape. Without graphs on the device: just body. */
px_status px_pass_run(px_pass *pass, px_device *device, uint64_t shape, px_status (*body)(void *context),
                      void *context);

/* Forgets the graph: an address has changed. */
void px_pass_forget(px_pass *pass, px_device *device);

#endif
