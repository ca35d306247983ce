/* Runs a sequence of operations that is the same each time as one captured graph, once the graph has proven itself.
 *
 *     px_status status = PX_OK;
 *     while (px_graph_issue(&graph, device, &key, &state, &status)) status = issue_operations(...);
 *
 * The loop body issues the operations on the device and sets status; it must not leave the loop in another way.
 * - The first time that a key is seen, the body runs once and issues the operations directly. Libraries choose and
 *   prepare their algorithms then, which cannot be done during a capture.
 * - The second time, the body runs twice: directly, and, after the state has been restored, during a capture. The graph
 *   is launched, and its results are compared with those of the direct run, bit for bit. If they differ, or if the
 *   capture fails, the results of the direct run are put back, and no further capture is tried for this key. Different
 *   results leave a warning with the device (px_device_warning).
 * - From then on the body does not run: the captured graph is launched.
 * - Another key releases the graph and starts over.
 * On a device without graphs (px_device.paths) the body runs once each time.
 *
 * The body must not allocate, upload, download or synchronize (see the graph functions in backend.h). Its effects on
 * the host happen only when it runs. */
#ifndef PIXELRNN_DEVICE_GRAPH_H
#define PIXELRNN_DEVICE_GRAPH_H

#include "host/device/proof.h"

/* Everything that the operations, their addresses and their numbers depend on. Equal keys mean equal operations. */
typedef struct px_graph_key {
    uint64_t value[4];
} px_graph_key;

typedef enum { PX_GRAPH_IDLE, PX_GRAPH_ISSUING, PX_GRAPH_PROVING, PX_GRAPH_CAPTURING } px_graph_phase;

/* Zero-initialise. */
typedef struct px_graph {
    px_graph_key key;
    void *captured;      /* the device's graph; NULL before the capture */
    bool seen;           /* the operations of this key were issued directly once */
    bool capture_failed; /* for this key */
    px_graph_phase phase;
    px_proof proof;
} px_graph;

/* Whether the caller must issue the operations, for the first time or once more during a capture. `state` holds the
 * results of the operations, and all that they both read and change. *status is the body's
 * status, PX_OK before the first call; afterwards it also holds the status of the launch. */
bool px_graph_issue(px_graph *graph, px_device *device, const px_graph_key *key, const px_proof_state *state,
                    px_status *status);

/* Destroys the captured graph. The px_graph may be used again. */
void px_graph_release(px_graph *graph, px_device *device);

#endif
