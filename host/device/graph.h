/* Runs a sequence of operations that is the same each time as captured graphs, once these have proven themselves.
 *
 *     px_status status = PX_OK;
 *     while (px_graph_issue(&graph, device, &key, &state, &status)) status = issue_operations(...);
 *
 * The loop body issues the operations on the device and sets status; it must not leave the loop in another way.
 * - The first time that a key is seen, the body runs once and issues the operations directly. Libraries choose and
 *   prepare their algorithms then, which cannot be done during a capture.
 * - The second time, the body runs twice: directly, and, after the state has been restored, during a capture. The graph
 *   is launched, and its results are compared with those of the direct run, bit for bit. Then the state is restored
 *   once more, and the graph is launched for good. If the results differ, or if the capture fails, the body runs for
 *   good instead, and no further capture is tried for this key. Different results leave a warning with the device
 *   (px_device_warning).
 * - From then on the body does not run: the captured graph is launched.
 * - Another key releases the graph and starts over.
 * On a device without graphs (px_device.paths) the body runs once each time.
 *
 * Calls between operations, which are to happen on the host each time, are passed to px_graph_call. They divide the
 * operations into parts, each of which is one graph. They are left out while the graphs are compared, so that a
 * collective call happens once a time on every rank, whether its graphs were captured or not.
 *
 * The body must not allocate, upload, download or synchronize (see the graph functions in backend.h). Its other effects
 * on the host happen only when it runs, once or several times. */
#ifndef PIXELRNN_DEVICE_GRAPH_H
#define PIXELRNN_DEVICE_GRAPH_H

#include "host/device/proof.h"

/* Everything that the operations, their addresses and their numbers depend on. Equal keys mean equal operations. */
typedef struct px_graph_key {
    uint64_t value[4];
} px_graph_key;

/* A call on the host about elements first .. first + count - 1 of an object. */
typedef px_status (*px_graph_function)(void *object, size_t first, size_t count);

/* Operations, and the call that follows them. */
typedef struct px_graph_part {
    void *captured;             /* the device's graph */
    px_graph_function function; /* NULL after the last part */
    void *object;
    size_t first, count;
} px_graph_part;

typedef enum { PX_GRAPH_IDLE, PX_GRAPH_ISSUING, PX_GRAPH_PROVING, PX_GRAPH_CAPTURING } px_graph_phase;

/* Zero-initialise. */
typedef struct px_graph {
    px_graph_key key;
    px_graph_part *parts; /* what was captured */
    int count;            /* of parts; 0 before the capture */
    bool seen;            /* the operations of this key were issued directly once */
    bool capture_failed;  /* for this key */
    bool capturing;       /* a capture has begun on the device and has not ended */
    px_graph_phase phase;
    px_proof proof;
} px_graph;

/* Whether the caller must issue the operations: directly, or during a capture. `state` holds the results of the
 * operations, and all that they both read and change. *status is the body's status, PX_OK before the first call;
 * afterwards it also holds the status of the launch. While the body runs, px_device.graph is this graph. */
bool px_graph_issue(px_graph *graph, px_device *device, const px_graph_key *key, const px_proof_state *state,
                    px_status *status);

/* Calls function(object, first, count) at this place between the device's operations. Within the body of px_graph_issue
 * that is each time that the operations run for good; elsewhere it is now. What the call issues is not captured. */
px_status px_graph_call(px_device *device, px_graph_function function, void *object, size_t first, size_t count);

/* Destroys the captured graphs. The px_graph may be used again. */
void px_graph_release(px_graph *graph, px_device *device);

#endif
