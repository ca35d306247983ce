/* Captured graphs: issue directly, then prove a capture, then launch. */
#include "host/device/graph.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void px_graph_release(px_graph *graph, px_device *device) {
    if (graph->captured) device->ops->graph_destroy(device, graph->captured);
    free(graph->proof);
    *graph = (px_graph){0};
}

/* ---- Host copies of the state ---- */

static size_t state_bytes(const px_graph_state *state) {
    size_t bytes = 0;
    for (int i = 0; i < state->count; i++) bytes += px_tensor_bytes(&state->tensor[i]);
    return bytes;
}

static px_status download_state(px_device *device, const px_graph_state *state, char *to) {
    for (int i = 0; i < state->count; i++) {
        const size_t bytes = px_tensor_bytes(&state->tensor[i]);
        PX_TRY(device->ops->download(device, to, state->tensor[i].data, bytes));
        to += bytes;
    }
    return PX_OK;
}

static px_status upload_state(px_device *device, const px_graph_state *state, const char *from) {
    for (int i = 0; i < state->count; i++) {
        const size_t bytes = px_tensor_bytes(&state->tensor[i]);
        PX_TRY(device->ops->upload(device, state->tensor[i].data, from, bytes));
        from += bytes;
    }
    return device->ops->synchronize(device); /* the host copy may be freed then */
}

/* ---- A proof ---- */

enum { BEFORE, DIRECT, GRAPH, COPIES };

static char *copy_of(const px_graph *graph, const px_graph_state *state, int which) {
    return graph->proof + (size_t)which * state_bytes(state);
}

static void end_proof(px_graph *graph) {
    free(graph->proof);
    graph->proof = NULL;
}

/* Returns to the results of the direct run, and tries no capture again for this key. */
static px_status give_up(px_graph *graph, px_device *device, const px_graph_state *state) {
    if (graph->captured) device->ops->graph_destroy(device, graph->captured);
    graph->captured = NULL;
    graph->capture_failed = true;
    device->ctx->message[0] = '\0';
    const px_status status = upload_state(device, state, copy_of(graph, state, DIRECT));
    end_proof(graph);
    return status;
}

/* Saves the state, so that the operations can run twice. False without memory: nothing has changed then. */
static bool begin_proof(px_graph *graph, px_device *device, const px_graph_state *state) {
    graph->proof = malloc(COPIES * state_bytes(state));
    if (graph->proof && download_state(device, state, copy_of(graph, state, BEFORE)) == PX_OK) return true;
    end_proof(graph);
    graph->capture_failed = true;
    device->ctx->message[0] = '\0';
    return false;
}

/* After the direct run: keeps its results, restores the state before, and begins the capture. */
static px_status begin_capture(px_graph *graph, px_device *device, const px_graph_state *state, bool *capturing) {
    PX_TRY(download_state(device, state, copy_of(graph, state, DIRECT)));
    PX_TRY(upload_state(device, state, copy_of(graph, state, BEFORE)));
    *capturing = device->ops->graph_begin(device) == PX_OK;
    return *capturing ? PX_OK : give_up(graph, device, state);
}

/* After the capture: launches the graph and compares its results with those of the direct run. */
static px_status end_capture(px_graph *graph, px_device *device, const px_graph_state *state, px_status body) {
    const px_status ended = device->ops->graph_end(device, &graph->captured);
    if (ended != PX_OK || body != PX_OK) return give_up(graph, device, state);
    PX_TRY(device->ops->graph_run(device, graph->captured));
    PX_TRY(download_state(device, state, copy_of(graph, state, GRAPH)));
    if (memcmp(copy_of(graph, state, GRAPH), copy_of(graph, state, DIRECT), state_bytes(state)) != 0) {
        snprintf(device->warning, sizeof device->warning,
                 "warning: a captured graph gives other results than its operations; graphs are not used");
        return give_up(graph, device, state);
    }
    end_proof(graph);
    return PX_OK;
}

bool px_graph_issue(px_graph *graph, px_device *device, const px_graph_key *key, const px_graph_state *state,
                    px_status *status) {
    const px_graph_phase phase = graph->phase;
    graph->phase = PX_GRAPH_IDLE;
    if (phase == PX_GRAPH_ISSUING) return false;
    if (phase == PX_GRAPH_CAPTURING) {
        *status = end_capture(graph, device, state, *status);
        return false;
    }
    if (phase == PX_GRAPH_PROVING) {
        bool capturing = false;
        if (*status == PX_OK) *status = begin_capture(graph, device, state, &capturing);
        graph->phase = capturing ? PX_GRAPH_CAPTURING : PX_GRAPH_IDLE;
        return capturing;
    }
    graph->phase = PX_GRAPH_ISSUING;
    if (!device->graphs) return true;
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
