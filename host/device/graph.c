/* Captured graphs: issue directly, then prove a capture, then launch. */
#include "host/device/graph.h"
#include <stdio.h>
#include <string.h>

void px_graph_release(px_graph *graph, px_device *device) {
    if (graph->captured) device->ops->graph_destroy(device, graph->captured);
    px_proof_end(&graph->proof);
    *graph = (px_graph){0};
}

/* Returns to the results of the direct run, and tries no capture again for this key. */
static px_status give_up(px_graph *graph, px_device *device) {
    if (graph->captured) device->ops->graph_destroy(device, graph->captured);
    graph->captured = NULL;
    graph->capture_failed = true;
    device->ctx->message[0] = '\0';
    const px_status status = px_proof_load(&graph->proof, device, PX_PROOF_PLAIN);
    px_proof_end(&graph->proof);
    return status;
}

/* Saves the state, so that the operations can run twice. False without memory: nothing has changed then. */
static bool begin_proof(px_graph *graph, px_device *device, const px_proof_state *state) {
    if (px_proof_begin(&graph->proof, device, state) == PX_OK) return true;
    graph->capture_failed = true;
    device->ctx->message[0] = '\0';
    return false;
}

/* After the direct run: keeps its results, restores the state before, and begins the capture. */
static px_status begin_capture(px_graph *graph, px_device *device, bool *capturing) {
    PX_TRY(px_proof_save(&graph->proof, device, PX_PROOF_PLAIN));
    PX_TRY(px_proof_load(&graph->proof, device, PX_PROOF_BEFORE));
    *capturing = device->ops->graph_begin(device) == PX_OK;
    return *capturing ? PX_OK : give_up(graph, device);
}

/* After the capture: launches the graph and compares its results with those of the direct run. */
static px_status end_capture(px_graph *graph, px_device *device, px_status body) {
    const px_status ended = device->ops->graph_end(device, &graph->captured);
    if (ended != PX_OK || body != PX_OK) return give_up(graph, device);
    PX_TRY(device->ops->graph_run(device, graph->captured));
    PX_TRY(px_proof_save(&graph->proof, device, PX_PROOF_FAST));
    if (!px_proof_is_equal(&graph->proof, PX_PROOF_FAST, PX_PROOF_PLAIN)) {
        snprintf(device->warning, sizeof device->warning,
                 "warning: a captured graph gives other results than its operations; graphs are not used");
        return give_up(graph, device);
    }
    px_proof_end(&graph->proof);
    return PX_OK;
}

bool px_graph_issue(px_graph *graph, px_device *device, const px_graph_key *key, const px_proof_state *state,
                    px_status *status) {
    const px_graph_phase phase = graph->phase;
    graph->phase = PX_GRAPH_IDLE;
    if (phase == PX_GRAPH_ISSUING) return false;
    if (phase == PX_GRAPH_CAPTURING) {
        *status = end_capture(graph, device, *status);
        return false;
    }
    if (phase == PX_GRAPH_PROVING) {
        bool capturing = false;
        if (*status == PX_OK) *status = begin_capture(graph, device, &capturing);
        graph->phase = capturing ? PX_GRAPH_CAPTURING : PX_GRAPH_IDLE;
        return capturing;
    }
    graph->phase = PX_GRAPH_ISSUING;
    if (!(device->paths & PX_PATH_GRAPHS)) return true;
    if (memcmp(&graph->key, key, sizeof *key) != 0) px_graph_release(graph, device);
    graph->key = *key;
    if (graph->captured) {
        graph->phase = PX_GRAPH_IDLE;
        *status = device->ops->graph_run(device, graph->captured);
        return false;
    }
    const bool proving = graph->seen && !graph->capture_failed && begin_proof(graph, device, state);
    graph->seen = true;
    graph->phase = proving ? PX_GRAPH_PROVING : PX_GRAPH_ISSUING;
    return true;
}
