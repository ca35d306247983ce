/* Work on a device that is the same each time: run as it is at first, then recorded, then replayed as one. */
#ifndef PIXELRNN_TRAIN_PASS_H
#define PIXELRNN_TRAIN_PASS_H

#include "pixelrnn/model.h"
#include "host/model/internal.h"

typedef struct px_pass {
    void *graph;
    int runs;            /* as it is: the first lets libraries choose and prepare */
    bool refused;        /* recording failed once: not tried again */
    px_work_shape shape; /* what the recorded operations depend on */
} px_pass;

/* Runs body(context), or the graph that was made of it for the same shape. Without graphs on the device: just body.
 * What body does but give work to the device happens only where it runs itself. */
px_status px_pass_run(px_pass *pass, px_device *device, px_work_shape shape, px_status (*body)(void *context),
                      void *context);

/* Forgets the graph. */
void px_pass_forget(px_pass *pass, px_device *device);

#endif
