/* The MPI communicator of a job: libpixelrnn_mpi.so.
 *
 * Thread: one thread makes all calls of MPI, from MPI_Init_thread to MPI_Finalize. Callers append operations to a
 * queue, and the thread executes them one after the other, so the order is the same on all ranks. It polls for
 * completion with short sleeps: a core that computes is worth more than a reduction that starts a few microseconds
 * earlier. Between operations it still calls MPI now and then, because data sent last may need that to make progress.
 *
 * Order of additions: MPI_Iallreduce must choose its algorithm by the length and the number of ranks alone, and give
 * all ranks the same bits. Open MPI does so, and tests/unit/test_ranks.c checks both. */
#include "host/distributed/ranks.h"
#include "host/io/clock.h"
#include <limits.h>
#include <mpi.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef enum { OP_ALLGATHER, OP_BROADCAST, OP_ALLREDUCE, OP_FINALIZE } operation_kind;

typedef struct operation {
    operation_kind kind;
    void *data;                  /* in place */
    int count;                   /* bytes; elements of an allreduce */
    const int *counts, *offsets; /* of an allgather: of each rank, in bytes */
} operation;

/* The length of the queue: the buckets of a step usually fit. If they do not, the caller waits. */
enum { QUEUE_LENGTH = 64 };

typedef struct communicator {
    px_mpi base;
    pthread_t thread;
    pthread_mutex_t lock;                /* protects all that follows */
    pthread_cond_t submitted, completed; /* signalled after a change of `last`; of `first` or `started` */
    operation queue[QUEUE_LENGTH];       /* operation i is at i % QUEUE_LENGTH */
    unsigned long first, last;           /* pending operations are first .. last - 1; operation `first` is executing */
    int error;                           /* the first error of MPI; later operations are skipped */
    double allreduce_seconds;            /* since mpi_finish read them last */
    bool started;
} communicator;

/* ---- MPI's thread ---- */

static int start_operation(const operation *op, MPI_Request *request) {
    const MPI_Datatype real = sizeof(px_real) == sizeof(float) ? MPI_FLOAT : MPI_DOUBLE;
    switch (op->kind) {
    case OP_ALLGATHER:
        return MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, op->data, op->counts, op->offsets, MPI_BYTE,
                               MPI_COMM_WORLD, request);
    case OP_BROADCAST: return MPI_Ibcast(op->data, op->count, MPI_BYTE, 0, MPI_COMM_WORLD, request);
    case OP_ALLREDUCE: return MPI_Iallreduce(MPI_IN_PLACE, op->data, op->count, real, MPI_SUM, MPI_COMM_WORLD, request);
    case OP_FINALIZE: break;
    }
    return MPI_SUCCESS;
}

static int execute(const operation *op) {
    const struct timespec pause = {.tv_nsec = 20000};
    MPI_Request request = MPI_REQUEST_NULL;
    int done = 0;
    if (op->kind == OP_FINALIZE) return MPI_Finalize();
    int error = start_operation(op, &request);
    while (error == MPI_SUCCESS && (error = MPI_Test(&request, &done, MPI_STATUS_IGNORE)) == MPI_SUCCESS && !done)
        nanosleep(&pause, NULL);
    return error;
}

/* Waits until the queue is not empty, and calls MPI every 2 ms so that it can make progress. Call with the lock. */
static void wait_for_operation(communicator *comm) {
    while (comm->first == comm->last) {
        struct timespec deadline;
        int ignored;
        clock_gettime(CLOCK_REALTIME, &deadline);
        deadline.tv_nsec += 2000000;
        deadline.tv_sec += deadline.tv_nsec / 1000000000;
        deadline.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&comm->submitted, &comm->lock, &deadline);
        if (comm->first != comm->last) return;
        pthread_mutex_unlock(&comm->lock);
        MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &ignored, MPI_STATUS_IGNORE);
        pthread_mutex_lock(&comm->lock);
    }
}

static int initialise(px_mpi *base) {
    MPI_Comm host;
    int provided, error = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided);
    if (error != MPI_SUCCESS) return error;
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &base->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &base->count);
    error = MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, base->rank, MPI_INFO_NULL, &host);
    if (error != MPI_SUCCESS) return error;
    MPI_Comm_rank(host, &base->local);
    MPI_Comm_size(host, &base->local_count);
    return MPI_Comm_free(&host);
}

static void *run(void *argument) {
    communicator *comm = argument;
    const int error = initialise(&comm->base);
    pthread_mutex_lock(&comm->lock);
    comm->error = error;
    comm->started = true;
    pthread_cond_broadcast(&comm->completed);
    for (bool open = error == MPI_SUCCESS; open;) {
        wait_for_operation(comm);
        const operation op = comm->queue[comm->first % QUEUE_LENGTH];
        if (comm->error == MPI_SUCCESS) {
            pthread_mutex_unlock(&comm->lock);
            const double begin = px_clock_seconds();
            const int result = execute(&op);
            const double seconds = px_clock_seconds() - begin;
            pthread_mutex_lock(&comm->lock);
            comm->error = result;
            if (op.kind == OP_ALLREDUCE) comm->allreduce_seconds += seconds;
        }
        comm->first++;
        open = op.kind != OP_FINALIZE;
        pthread_cond_broadcast(&comm->completed);
    }
    pthread_mutex_unlock(&comm->lock);
    return NULL;
}

/* ---- The caller's thread ---- */

static px_status check(px_context *ctx, int error) {
    char text[MPI_MAX_ERROR_STRING] = "";
    int length;
    if (error == MPI_SUCCESS) return PX_OK;
    MPI_Error_string(error, text, &length);
    return px_fail(ctx, PX_ERR_DEVICE, "MPI: %.900s", text);
}

static void submit(communicator *comm, operation op) {
    pthread_mutex_lock(&comm->lock);
    while (comm->last - comm->first == QUEUE_LENGTH) pthread_cond_wait(&comm->completed, &comm->lock);
    comm->queue[comm->last++ % QUEUE_LENGTH] = op;
    pthread_cond_signal(&comm->submitted);
    pthread_mutex_unlock(&comm->lock);
}

/* Waits until the queue is empty. */
static px_status wait_all(communicator *comm, px_context *ctx) {
    pthread_mutex_lock(&comm->lock);
    while (comm->first != comm->last) pthread_cond_wait(&comm->completed, &comm->lock);
    const int error = comm->error;
    pthread_mutex_unlock(&comm->lock);
    return check(ctx, error);
}

static px_status mpi_gather(px_mpi *base, px_context *ctx, void *all, const size_t *offsets) {
    communicator *comm = (communicator *)base;
    const size_t ranks = (size_t)base->count;
    if (offsets[ranks] > INT_MAX)
        return px_fail(ctx, PX_ERR_SHAPE, "MPI: found an allgather of %zu bytes, expected at most %d", offsets[ranks],
                       INT_MAX);
    int *counts = malloc(2 * ranks * sizeof *counts);
    if (!counts) return px_fail_memory(ctx, "MPI", 2 * ranks * sizeof *counts);
    int *int_offsets = counts + ranks;
    for (size_t r = 0; r < ranks; r++) {
        counts[r] = (int)(offsets[r + 1] - offsets[r]);
        int_offsets[r] = (int)offsets[r];
    }
    submit(comm, (operation){.kind = OP_ALLGATHER, .data = all, .counts = counts, .offsets = int_offsets});
    const px_status status = wait_all(comm, ctx);
    free(counts);
    return status;
}

static px_status mpi_broadcast(px_mpi *base, px_context *ctx, void *data, size_t bytes) {
    communicator *comm = (communicator *)base;
    const size_t max = 1 << 30; /* bytes a call, whose count is an int */
    for (size_t done = 0; done < bytes; done += max) {
        const size_t part = bytes - done < max ? bytes - done : max;
        submit(comm, (operation){.kind = OP_BROADCAST, .data = (char *)data + done, .count = (int)part});
    }
    return wait_all(comm, ctx);
}

static px_status mpi_sum(px_mpi *base, px_context *ctx, px_real *values, size_t count) {
    if (count > INT_MAX)
        return px_fail(ctx, PX_ERR_SHAPE,
                       "MPI: found a bucket of %zu elements, expected at most %d; lower parallel.bucket_mib", count,
                       INT_MAX);
    submit((communicator *)base, (operation){.kind = OP_ALLREDUCE, .data = values, .count = (int)count});
    return PX_OK;
}

static px_status mpi_finish(px_mpi *base, px_context *ctx, px_reduction_times *times) {
    communicator *comm = (communicator *)base;
    const double begin = px_clock_seconds();
    PX_TRY(wait_all(comm, ctx));
    times->exposed += px_clock_seconds() - begin;
    times->reduce += comm->allreduce_seconds; /* without the lock: the queue is empty */
    comm->allreduce_seconds = 0;
    return PX_OK;
}

static void destroy(communicator *comm) {
    pthread_cond_destroy(&comm->completed);
    pthread_cond_destroy(&comm->submitted);
    pthread_mutex_destroy(&comm->lock);
    free(comm);
}

static void mpi_close(px_mpi *base) {
    communicator *comm = (communicator *)base;
    submit(comm, (operation){.kind = OP_FINALIZE});
    pthread_join(comm->thread, NULL);
    destroy(comm);
}

static px_status start_thread(communicator *comm, px_context *ctx) {
    sigset_t all, before;
    sigfillset(&all); /* the main thread handles signals */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = pthread_create(&comm->thread, NULL, run, comm);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) return px_fail(ctx, PX_ERR_MEMORY, "MPI: cannot create a thread: %s", strerror(error));
    pthread_mutex_lock(&comm->lock);
    while (!comm->started) pthread_cond_wait(&comm->completed, &comm->lock);
    const int failed = comm->error;
    pthread_mutex_unlock(&comm->lock);
    if (failed != MPI_SUCCESS) pthread_join(comm->thread, NULL);
    return check(ctx, failed);
}

px_status px_mpi_library_open(px_context *ctx, px_mpi **out) {
    static const px_mpi_ops ops = {
        .gather = mpi_gather, .broadcast = mpi_broadcast, .sum = mpi_sum, .finish = mpi_finish, .close = mpi_close};
    communicator *comm = calloc(1, sizeof *comm);
    *out = NULL;
    if (!comm) return px_fail_memory(ctx, "MPI", sizeof *comm);
    comm->base.ops = &ops;
    pthread_mutex_init(&comm->lock, NULL);
    pthread_cond_init(&comm->submitted, NULL);
    pthread_cond_init(&comm->completed, NULL);
    const px_status status = start_thread(comm, ctx);
    if (status == PX_OK)
        *out = &comm->base;
    else
        destroy(comm);
    return status;
}
