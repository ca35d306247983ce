/* Captured graphs: issue directly, then prove a capture, then launch. */
#include "host/device/graph.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void release_parts(px_graph *graph, px_device *device) {
    for (int i = 0; i < graph->count; i++) device->ops->graph_destroy(device, graph->parts[i].captured);
    free(graph->parts);
    graph->parts = NULL;
    graph->count = 0;
}

void px_graph_release(px_graph *graph, px_device *device) {
    release_parts(graph, device);
    px_proof_end(&graph->proof);
    *graph = (px_graph){0};
}

/* ---- Parts ---- */

/* Ends the capture of a part, whose call is given. */
static px_status end_part(px_graph *graph, px_device *device, px_graph_part part) {
    const size_t bytes = ((size_t)graph->count + 1) * sizeof part;
    graph->capturing = false;
    PX_TRY(device->ops->graph_end(device, &part.captured));
    px_graph_part *parts = realloc(graph->parts, bytes);
    if (!parts) {
        device->ops->graph_destroy(device, part.captured);
        return px_fail_memory(device->ctx, "graph", bytes);
    }
    graph->parts = parts;
    graph->parts[graph->count++] = part;
    return PX_OK;
}

static px_status begin_part(px_graph *graph, px_device *device) {
    PX_TRY(device->ops->graph_begin(device));
    graph->capturing = true;
    return PX_OK;
}

static px_status run_parts(const px_graph *graph, px_device *device, bool with_calls) {
    for (int i = 0; i < graph->count; i++) {
        const px_graph_part *part = &graph->parts[i];
        PX_TRY(device->ops->graph_run(device, part->captured));
        if (part->function && with_calls) PX_TRY(part->function(part->object, part->first, part->count));
    }
    return PX_OK;
}

px_status px_graph_call(px_device *device, px_graph_function function, void *object, size_t first, size_t count) {
    px_graph *graph = device->graph;
    const px_graph_phase phase = graph ? graph->phase : PX_GRAPH_IDLE;
    if (phase == PX_GRAPH_PROVING) return PX_OK;
    if (phase != PX_GRAPH_CAPTURING) return function(object, first, count);
    PX_TRY(end_part(graph, device, (px_graph_part){NULL, function, object, first, count}));
    return begin_part(graph, device);
}

/* ---- The proof ---- */

/* Tries no capture again for this key. */
static void give_up(px_graph *graph, px_device *device) {
    release_parts(graph, device);
    px_proof_end(&graph->proof);
    graph->capture_failed = true;
    device->ctx->message[0] = '\0';
}

/* Saves the state, so that the operations can run several times. False without memory: nothing has changed then. */
static bool begin_proof(px_graph *graph, px_device *device, const px_proof_state *state) {
    if (px_proof_begin(&graph->proof, device, state, PX_PROOF_FAST) == PX_OK) return true;
    give_up(graph, device);
    return false;
}

/* After the direct run: keeps its results, restores the state before, and begins the capture. */
static px_status begin_capture(px_graph *graph, px_device *device) {
    PX_TRY(px_proof_save(&graph->proof, device, PX_PROOF_PLAIN));
    PX_TRY(px_proof_load(&graph->proof, device, PX_PROOF_BEFORE));
    if (begin_part(graph, device) != PX_OK) give_up(graph, device);
    return PX_OK;
}

/* After the capture, whose status is `body`: runs the graphs and compares their results with those of the direct run.
 * Restores the state before. */
static px_status end_capture(px_graph *graph, px_device *device, px_status body) {
    const px_status ended = graph->capturing ? end_part(graph, device, (px_graph_part){0}) : PX_OK;
    if (ended != PX_OK || body != PX_OK) {
        give_up(graph, device);
        return PX_OK;
    }
    PX_TRY(run_parts(graph, device, false));
    PX_TRY(px_proof_save(&graph->proof, device, PX_PROOF_FAST));
    PX_TRY(px_proof_load(&graph->proof, device, PX_PROOF_BEFORE));
    if (!px_proof_is_equal(&graph->proof, PX_PROOF_FAST, PX_PROOF_PLAIN)) {
        snprintf(device->warning, sizeof device->warning,
                 "warning: a captured graph gives other results than its operations; graphs are not used");
        give_up(graph, device);
    }
    px_proof_end(&graph->proof);
    return PX_OK;
}

/* The phase of the first run of the body; IDLE if the graphs run instead. */
static px_graph_phase begin(px_graph *graph, px_device *device, const px_graph_key *key, const px_proof_state *state) {
    const bool enabled = device->paths & PX_PATH_GRAPHS;
    if (!enabled || memcmp(&graph->key, key, sizeof *key) != 0) px_graph_release(graph, device);
    graph->key = *key;
    if (graph->count > 0) return PX_GRAPH_IDLE;
    const bool proving = enabled && graph->seen && !graph->capture_failed && begin_proof(graph, device, state);
    graph->seen = true;
    return proving ? PX_GRAPH_PROVING : PX_GRAPH_ISSUING;
}

/* The phase after a run of the body. */
static px_graph_phase advance(px_graph *graph, px_device *device, px_status *status) {
    if (graph->phase == PX_GRAPH_PROVING && *status == PX_OK) {
        *status = begin_capture(graph, device);
        return graph->capture_failed ? PX_GRAPH_ISSUING : PX_GRAPH_CAPTURING;
    }
    if (graph->phase != PX_GRAPH_CAPTURING) return PX_GRAPH_IDLE;
    *status = end_capture(graph, device, *status);
    return graph->capture_failed ? PX_GRAPH_ISSUING : PX_GRAPH_IDLE;
}

bool px_graph_issue(px_graph *graph, px_device *device, const px_graph_key *key, const px_proof_state *state,
                    px_status *status) {
    graph->phase = graph->phase == PX_GRAPH_IDLE ? begin(graph, device, key, state) : advance(graph, device, status);
    if (*status != PX_OK) graph->phase = PX_GRAPH_IDLE;
    device->graph = graph->phase == PX_GRAPH_IDLE ? NULL : graph;
    if (device->graph) return true;
    if (*status == PX_OK) *status = run_parts(graph, device, true); /* none if the body has run for good */
    return false;
}
