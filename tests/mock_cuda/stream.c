/* Streams and graphs of the runtime: lists of work with its arguments, done when somebody waits, or each time that the
 * graph is launched. */
#include "tests/mock_cuda/mock.h"
#include <stdlib.h>
#include <string.h>

typedef struct item {
    struct item *next;
    mock_work work;
    size_t bytes;
    max_align_t args[];
} item;
typedef struct list {
    item *first, *last;
} list;

struct CUevent_st {
    cudaStream_t stream; /* of the last record */
    int pending;         /* records that the stream has not reached */
};
struct CUgraph_st {
    list work;
};
struct CUgraphExec_st {
    list work;
};
struct CUstream_st {
    struct CUstream_st *next;
    list work;
    struct CUgraph_st *captured; /* NULL: not capturing */
    bool spoilt;                 /* the capture was given what cannot be captured */
};
static struct CUstream_st *streams;

static void append(list *to, mock_work work, const void *args, size_t bytes) {
    item *added = mock_memory(sizeof *added + bytes);
    added->next = NULL, added->work = work, added->bytes = bytes;
    memcpy(added->args, args, bytes);
    if (to->last)
        to->last->next = added;
    else
        to->first = added;
    to->last = added;
}

static void append_all(list *to, const list *from) {
    for (const item *i = from->first; i; i = i->next) append(to, i->work, i->args, i->bytes);
}

/* Empties the list, with or without doing what is on it. */
static void finish(list *work, bool done) {
    while (work->first) {
        item *first = work->first;
        if (done) first->work(first->args);
        work->first = first->next;
        mock_free(first);
    }
    work->last = NULL;
}

cudaError_t mock_give(cudaStream_t stream, mock_work work, const void *args, size_t bytes) {
    if (!stream) return mock_error(cudaErrorInvalidResourceHandle);
    if (stream->captured && stream->spoilt) return mock_error(cudaErrorStreamCaptureInvalidated);
    if (!stream->captured) mock_counted(MOCK_launches);
    append(stream->captured ? &stream->captured->work : &stream->work, work, args, bytes);
    return cudaSuccess;
}

cudaError_t mock_wait(void) {
    for (struct CUstream_st *s = streams; s; s = s->next) {
        s->spoilt = s->captured != NULL;
        if (s->spoilt) return mock_error(cudaErrorStreamCaptureUnsupported);
    }
    for (struct CUstream_st *s = streams; s; s = s->next) finish(&s->work, true);
    return cudaSuccess;
}

/* Does the first work of a list. */
static void do_first(list *work) {
    item *first = work->first;
    work->first = first->next;
    if (!work->first) work->last = NULL;
    first->work(first->args);
    mock_free(first);
}

static void reach(const void *args) { (*(cudaEvent_t const *)args)->pending--; }

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
    if (flags != cudaEventDisableTiming) return mock_error(cudaErrorInvalidValue);
    *event = mock_memory(sizeof **event);
    **event = (struct CUevent_st){0};
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    if (!event || event->pending > 0) return mock_error(cudaErrorInvalidResourceHandle);
    mock_free(event);
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    if (!event || stream->captured) return mock_error(cudaErrorInvalidResourceHandle);
    event->stream = stream;
    event->pending++;
    return mock_give(stream, reach, &event, sizeof event);
}

/* Does the work before the last record, and no more. */
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    if (!event) return mock_error(cudaErrorInvalidResourceHandle);
    mock_counted(MOCK_event_waits);
    while (event->pending > 0) do_first(&event->stream->work);
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
    if (flags & ~(unsigned)cudaStreamNonBlocking) return mock_error(cudaErrorInvalidValue);
    *stream = mock_memory(sizeof **stream);
    **stream = (struct CUstream_st){.next = streams};
    streams = *stream;
    return cudaSuccess;
}

/* Waiting for one stream waits for all: the program has no more than one on a device. */
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    mock_counted(MOCK_synchronizations);
    return stream ? mock_wait() : mock_error(cudaErrorInvalidResourceHandle);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    struct CUstream_st **at = &streams;
    while (*at && *at != stream) at = &(*at)->next;
    if (!*at) return mock_error(cudaErrorInvalidResourceHandle);
    *at = stream->next;
    finish(&stream->work, true);
    mock_free(stream);
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode) {
    if (stream->captured || mode != cudaStreamCaptureModeThreadLocal) return mock_error(cudaErrorIllegalState);
    stream->captured = mock_memory(sizeof *stream->captured);
    *stream->captured = (struct CUgraph_st){{0}};
    stream->spoilt = false;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
    *graph = stream->captured;
    stream->captured = NULL;
    if (!*graph) return mock_error(cudaErrorIllegalState);
    if (!stream->spoilt) return cudaSuccess;
    cudaGraphDestroy(*graph);
    *graph = NULL;
    return mock_error(cudaErrorStreamCaptureInvalidated);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    if (!graph) return mock_error(cudaErrorInvalidValue);
    finish(&graph->work, false);
    mock_free(graph);
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long flags) {
    if (!graph || flags) return mock_error(cudaErrorInvalidValue);
    *executable = mock_memory(sizeof **executable);
    **executable = (struct CUgraphExec_st){{0}};
    append_all(&(*executable)->work, &graph->work);
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
    if (!executable || stream->captured) return mock_error(cudaErrorInvalidValue);
    append_all(&stream->work, &executable->work);
    mock_counted(MOCK_graphs);
    mock_counted(MOCK_launches);
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
    if (!executable) return mock_error(cudaErrorInvalidValue);
    finish(&executable->work, false);
    mock_free(executable);
    return cudaSuccess;
}
