/* MPI between CPU ranks, and the wires of all: libpixelrnn_mpi.so.
 *
 * One thread makes every call of MPI, from MPI_Init on. What is asked of it stands in a queue and is done in that
 * order, one at a time, so the order is the same on all ranks. It polls with short sleeps: a core that computes is
 * worth more than a reduction that starts some microseconds earlier. Between two requests it still looks after MPI now
 * and then, since what it sent last may need its help to arrive.
 *
 * A sum of one length over one number of ranks has one order: MPI_Iallreduce chooses its algorithm by these alone.
 * (Open MPI's does, and all ranks get the same bits; a test holds it to both.) */
#include "host/distributed/ranks.h"
#include "host/io/clock.h"
#include <limits.h>
#include <mpi.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef enum { PX_ASK_GATHER, PX_ASK_BROADCAST, PX_ASK_SUM, PX_ASK_END } px_ask_kind;

typedef struct px_ask {
    px_ask_kind kind;
    void *data;
    int count;                  /* bytes, or elements of a sum */
    const int *counts, *places; /* of a gather, in bytes */
} px_ask;

/* Sums of one step that wait in line: more than buckets there are blocks in a model, a sum may wait for room. */
enum { PX_ASKS = 64 };

typedef struct mpi_here {
    px_mpi base;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t asked, done;
    /* under the lock: */
    px_ask queue[PX_ASKS];
    unsigned long first, last; /* asked and done so far: queue holds first .. last - 1, by remainder */
    int error;                 /* the first of MPI's */
    double summing;            /* seconds spent on sums since they were last asked for */
    bool started;
} mpi_here;

/* --- In the thread ------------------------------------------------------------------------------------------------ */

static int ask_begin(const px_ask *ask, MPI_Request *request) {
    const MPI_Datatype real = sizeof(px_real) == sizeof(float) ? MPI_FLOAT : MPI_DOUBLE;
    switch (ask->kind) {
    case PX_ASK_GATHER:
        return MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, ask->data, ask->counts, ask->places, MPI_BYTE,
                               MPI_COMM_WORLD, request);
    case PX_ASK_BROADCAST: return MPI_Ibcast(ask->data, ask->count, MPI_BYTE, 0, MPI_COMM_WORLD, request);
    case PX_ASK_SUM: return MPI_Iallreduce(MPI_IN_PLACE, ask->data, ask->count, real, MPI_SUM, MPI_COMM_WORLD, request);
    case PX_ASK_END: break;
    }
    return MPI_SUCCESS;
}

static int ask_do(const px_ask *ask) {
    const struct timespec nap = {.tv_nsec = 20000};
    MPI_Request request = MPI_REQUEST_NULL;
    int error = ask_begin(ask, &request), done = 0;
    while (error == MPI_SUCCESS && (error = MPI_Test(&request, &done, MPI_STATUS_IGNORE)) == MPI_SUCCESS && !done)
        nanosleep(&nap, NULL);
    return error;
}

/* Waits until something is asked, and lets MPI finish what it has sent meanwhile. */
static void mpi_idle(mpi_here *mpi) {
    while (mpi->first == mpi->last) {
        struct timespec soon;
        int ignored;
        clock_gettime(CLOCK_REALTIME, &soon);
        soon.tv_nsec += 2000000;
        soon.tv_sec += soon.tv_nsec / 1000000000;
        soon.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&mpi->asked, &mpi->lock, &soon);
        if (mpi->first != mpi->last) return;
        pthread_mutex_unlock(&mpi->lock);
        MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &ignored, MPI_STATUS_IGNORE);
        pthread_mutex_lock(&mpi->lock);
    }
}

static int mpi_meet(mpi_here *mpi) {
    MPI_Comm host;
    int threads, error = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &threads);
    if (error != MPI_SUCCESS) return error;
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &mpi->base.rank);
    MPI_Comm_size(MPI_COMM_WORLD, &mpi->base.count);
    error = MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, mpi->base.rank, MPI_INFO_NULL, &host);
    if (error != MPI_SUCCESS) return error;
    MPI_Comm_rank(host, &mpi->base.local);
    MPI_Comm_size(host, &mpi->base.local_count);
    return MPI_Comm_free(&host);
}

static void *mpi_work(void *argument) {
    mpi_here *mpi = argument;
    const int met = mpi_meet(mpi);
    pthread_mutex_lock(&mpi->lock);
    mpi->error = met;
    mpi->started = true;
    pthread_cond_broadcast(&mpi->done);
    for (bool on = met == MPI_SUCCESS; on;) {
        mpi_idle(mpi);
        const px_ask ask = mpi->queue[mpi->first % PX_ASKS];
        const bool spoilt = mpi->error != MPI_SUCCESS; /* what follows a failure is not begun */
        pthread_mutex_unlock(&mpi->lock);
        const double begun = px_clock_seconds();
        const int error = spoilt ? MPI_SUCCESS : ask.kind == PX_ASK_END ? MPI_Finalize() : ask_do(&ask);
        pthread_mutex_lock(&mpi->lock);
        if (ask.kind == PX_ASK_SUM) mpi->summing += px_clock_seconds() - begun;
        if (!spoilt) mpi->error = error;
        mpi->first++;
        on = ask.kind != PX_ASK_END;
        pthread_cond_broadcast(&mpi->done);
    }
    pthread_mutex_unlock(&mpi->lock);
    return NULL;
}

/* --- In the caller's thread --------------------------------------------------------------------------------------- */

static px_status mpi_said(px_context *ctx, int error) {
    char text[MPI_MAX_ERROR_STRING] = "";
    int length;
    if (error == MPI_SUCCESS) return PX_OK;
    MPI_Error_string(error, text, &length);
    return px_fail(ctx, PX_ERR_DEVICE, "MPI: %.900s", text);
}

static void mpi_ask(mpi_here *mpi, const px_ask *ask) {
    pthread_mutex_lock(&mpi->lock);
    while (mpi->last - mpi->first == PX_ASKS) pthread_cond_wait(&mpi->done, &mpi->lock);
    mpi->queue[mpi->last++ % PX_ASKS] = *ask;
    pthread_cond_signal(&mpi->asked);
    pthread_mutex_unlock(&mpi->lock);
}

static px_status mpi_await(mpi_here *mpi, px_context *ctx) {
    pthread_mutex_lock(&mpi->lock);
    while (mpi->first != mpi->last) pthread_cond_wait(&mpi->done, &mpi->lock);
    const int error = mpi->error;
    pthread_mutex_unlock(&mpi->lock);
    return mpi_said(ctx, error);
}

static px_status mpi_gather(px_mpi *base, px_context *ctx, void *all, const size_t *offsets) {
    mpi_here *mpi = (mpi_here *)base;
    const size_t count = (size_t)base->count;
    if (offsets[count] > INT_MAX)
        return px_fail(ctx, PX_ERR_SHAPE, "ranks: cannot gather %zu bytes at once, %d at most", offsets[count],
                       INT_MAX);
    int *counts = malloc(2 * count * sizeof *counts), *places = counts + count;
    if (!counts) return px_fail(ctx, PX_ERR_MEMORY, "ranks: no memory for %zu counts", count);
    for (size_t r = 0; r < count; r++) {
        counts[r] = (int)(offsets[r + 1] - offsets[r]);
        places[r] = (int)offsets[r];
    }
    mpi_ask(mpi, &(px_ask){.kind = PX_ASK_GATHER, .data = all, .counts = counts, .places = places});
    const px_status status = mpi_await(mpi, ctx);
    free(counts);
    return status;
}

static px_status mpi_broadcast(px_mpi *base, px_context *ctx, void *data, size_t bytes) {
    mpi_here *mpi = (mpi_here *)base;
    const size_t most = 1 << 30;
    for (size_t done = 0; done < bytes; done += most) {
        const size_t part = bytes - done < most ? bytes - done : most;
        mpi_ask(mpi, &(px_ask){.kind = PX_ASK_BROADCAST, .data = (char *)data + done, .count = (int)part});
    }
    return mpi_await(mpi, ctx);
}

static px_status mpi_sum(px_mpi *base, px_context *ctx, px_real *values, size_t count) {
    if (count > INT_MAX) return px_fail(ctx, PX_ERR_SHAPE, "ranks: a bucket of %zu elements is too large", count);
    mpi_ask((mpi_here *)base, &(px_ask){.kind = PX_ASK_SUM, .data = values, .count = (int)count});
    return PX_OK;
}

static px_status mpi_finish(px_mpi *base, px_context *ctx, px_reduction_times *times) {
    mpi_here *mpi = (mpi_here *)base;
    const double begun = px_clock_seconds();
    PX_TRY(mpi_await(mpi, ctx));
    times->exposed += px_clock_seconds() - begun;
    times->reduce += mpi->summing; /* the thread rests */
    mpi->summing = 0;
    return PX_OK;
}

static void mpi_release(mpi_here *mpi) {
    pthread_cond_destroy(&mpi->done);
    pthread_cond_destroy(&mpi->asked);
    pthread_mutex_destroy(&mpi->lock);
    free(mpi);
}

static void mpi_close(px_mpi *base) {
    mpi_here *mpi = (mpi_here *)base;
    mpi_ask(mpi, &(px_ask){.kind = PX_ASK_END});
    pthread_join(mpi->thread, NULL);
    mpi_release(mpi);
}

static const px_mpi_ops mpi_here_ops = {
    .gather = mpi_gather, .broadcast = mpi_broadcast, .sum = mpi_sum, .finish = mpi_finish, .close = mpi_close};

px_status px_mpi_open_here(px_context *ctx, px_mpi **out) {
    sigset_t all, before;
    mpi_here *mpi = calloc(1, sizeof *mpi);
    *out = NULL;
    if (!mpi) return px_fail(ctx, PX_ERR_MEMORY, "ranks: no memory for MPI's thread");
    mpi->base.ops = &mpi_here_ops;
    pthread_mutex_init(&mpi->lock, NULL);
    pthread_cond_init(&mpi->asked, NULL);
    pthread_cond_init(&mpi->done, NULL);
    sigfillset(&all); /* signals are for the main thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&mpi->thread, NULL, mpi_work, mpi);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        mpi_release(mpi);
        return px_fail(ctx, PX_ERR_MEMORY, "ranks: no thread for MPI: %s", strerror(failed));
    }
    pthread_mutex_lock(&mpi->lock);
    while (!mpi->started) pthread_cond_wait(&mpi->done, &mpi->lock);
    const int error = mpi->error;
    pthread_mutex_unlock(&mpi->lock);
    if (error == MPI_SUCCESS) {
        *out = &mpi->base;
        return PX_OK;
    }
    const px_status status = mpi_said(ctx, error);
    pthread_join(mpi->thread, NULL);
    mpi_release(mpi);
    return status;
}
