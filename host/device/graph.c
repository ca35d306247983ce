/* Captured graphs: issue directly, then capture, then launch. */
#include "host/device/graph.h"
#include <string.h>

void px_graph_release(px_graph *graph, px_device *device) {
    if (graph->captured) device->ops->graph_destroy(device, graph->captured);
    *graph = (px_graph){0};
}

/* Records that the capture failed. The operations are then issued directly, so this is not an error of the step. */
static void give_up_capture(px_graph *graph, px_device *device) {
    if (graph->captured) device->ops->graph_destroy(device, graph->captured);
    graph->captured = NULL;
    graph->capture_failed = true;
    device->ctx->message[0] = '\0';
}

/* Ends the capture after the body and launches the graph. *status: the body's status, then that of the launch. Returns
 * false if there is no graph to launch. */
static bool end_capture(px_graph *graph, px_device *device, px_status *status) {
    const px_status ended = device->ops->graph_end(device, &graph->captured);
    const bool captured = ended == PX_OK && *status == PX_OK;
    if (!captured) give_up_capture(graph, device);
    *status = captured ? device->ops->graph_run(device, graph->captured) : PX_OK;
    return captured;
}

/* Starts a capture if the key was seen before. */
static bool begin_capture(px_graph *graph, px_device *device) {
    const bool wanted = graph->seen && !graph->capture_failed;
    graph->seen = true;
    if (!wanted) return false;
    if (device->ops->graph_begin(device) == PX_OK) return true;
    give_up_capture(graph, device);
    return false;
}

bool px_graph_issue(px_graph *graph, px_device *device, const px_graph_key *key, px_status *status) {
    const px_graph_phase phase = graph->phase;
    graph->phase = PX_GRAPH_IDLE;
    if (phase == PX_GRAPH_ISSUING) return false;
    if (phase == PX_GRAPH_CAPTURING && end_capture(graph, device, status)) return false;
    if (phase == PX_GRAPH_IDLE && device->graphs) {
        if (memcmp(&graph->key, key, sizeof *key) != 0) px_graph_release(graph, device);
        graph->key = *key;
        if (graph->captured) {
            *status = device->ops->graph_run(device, graph->captured);
            return false;
        }
        if (begin_capture(graph, device)) {
            graph->phase = PX_GRAPH_CAPTURING;
            return true;
        }
    }
    graph->phase = PX_GRAPH_ISSUING;
    return true;
}
