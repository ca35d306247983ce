/* Streams, events and graphs of the runtime: lists of work with its arguments, done when somebody waits, or each time
 * that the graph is launched. The newest stream runs first, so that one that should wait for an older one and does not
 * comes too early. */
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

/* Takes the first item off the list before it runs: it may run others of the list. */
static item *take_first(list *work) {
    item *first = work->first;
    work->first = first->next;
    if (!work->first) work->last = NULL;
    return first;
}

static void finish_first(list *work) {
    item *first = take_first(work);
    first->work(first->args);
    mock_free(first);
}

/* Empties the list, with or without doing what is on it. */
static void finish(list *work, bool done) {
    while (work->first) {
        if (done)
            finish_first(work);
        else
            mock_free(take_first(work));
    }
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

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
    if (flags & ~(unsigned)cudaStreamNonBlocking) return mock_error(cudaErrorInvalidValue);
    *stream = mock_memory(sizeof **stream);
    **stream = (struct CUstream_st){.next = streams};
    streams = *stream;
    return cudaSuccess;
}

/* Waiting for one stream waits for all. */
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

/* ---- Events --------------------------------------------------------------------------------------------------------
 */

struct CUevent_st {
    struct CUstream_st *stream; /* of the last record; NULL: never recorded */
    long records, done;         /* how often it was recorded, and how many of these the streams have reached */
};
typedef struct event_work {
    struct CUevent_st *event;
    long record;
} event_work;

static void run_record(const void *args) {
    const event_work *work = args;
    work->event->done = work->record;
}

/* Runs the work of the other stream until the event is recorded. */
static void run_wait(const void *args) {
    const event_work *work = args;
    list *other = &work->event->stream->work;
    while (work->event->done < work->record && other->first) finish_first(other);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
    const char *fails = getenv("PX_MOCK_NCCL"), *rank = getenv("OMPI_COMM_WORLD_RANK");
    if (flags & ~(unsigned)cudaEventDisableTiming) return mock_error(cudaErrorInvalidValue);
    if (flags == 0 && fails && rank && strncmp(fails, "open:", 5) == 0 && strcmp(fails + 5, rank) == 0)
        return mock_error(cudaErrorMemoryAllocation);
    *event = mock_memory(sizeof **event);
    **event = (struct CUevent_st){0};
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *event) { return cudaEventCreateWithFlags(event, 0); }

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    mock_free(event);
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    const event_work work = {event, ++event->records};
    event->stream = stream;
    return mock_give(stream, run_record, &work, sizeof work);
}

/* Does the work before the last record, and no more. */
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    const event_work work = {event, event->records};
    mock_counted(MOCK_event_waits);
    if (event->records) run_wait(&work);
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
    const event_work work = {event, event->records};
    if (flags) return mock_error(cudaErrorInvalidValue);
    return event->records ? mock_give(stream, run_wait, &work, sizeof work) : cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t begin, cudaEvent_t end) {
    if (!begin->records || !end->records) return mock_error(cudaErrorInvalidResourceHandle);
    if (begin->done < begin->records || end->done < end->records) return mock_error(cudaErrorNotReady);
    *ms = 0.001f;
    return cudaSuccess;
}

/* ---- Graphs --------------------------------------------------------------------------------------------------------
 */

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

/* PX_MOCK_GRAPHS is "wrong" on all ranks, or "wrong:RANK" on one. */
static bool graphs_are_wrong(void) {
    const char *asked = getenv("PX_MOCK_GRAPHS"), *rank = getenv("OMPI_COMM_WORLD_RANK");
    if (!asked || strncmp(asked, "wrong", 5) != 0) return false;
    return asked[5] == '\0' || (rank && strcmp(asked + 6, rank) == 0);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long flags) {
    if (!graph || flags) return mock_error(cudaErrorInvalidValue);
    list work = graph->work;
    if (graphs_are_wrong() && work.first) work.first = work.first->next;
    *executable = mock_memory(sizeof **executable);
    **executable = (struct CUgraphExec_st){{0}};
    append_all(&(*executable)->work, &work);
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
