/* A mock of NCCL, for ranks on one host that use the mock of CUDA: they exchange files in a temporary folder, whose
 * name is the unique id. An allreduce is work of its stream, and waits there for the other ranks.
 *
 * Environment variable PX_MOCK_NCCL, STEP:RANK: what fails on this rank.
 *   open   the creation of events (tests/mock_cuda/stream.c)
 *   join   ncclCommInitRankConfig
 *   error  an asynchronous error is reported, and no allreduce ends */
#include "tests/mock_cuda/mock.h"
#include <nccl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH = 256 };

/* Only the main thread uses the members other than `fails`, which does not change. */
struct ncclComm {
    char folder[sizeof(ncclUniqueId)];
    int rank, count;
    bool fails; /* by an asynchronous error */
    long calls;
};

const char *ncclGetErrorString(ncclResult_t result) {
    return result == ncclSystemError   ? "system error (mock)"
           : result == ncclRemoteError ? "remote error (mock)"
                                       : "error (mock)";
}

static bool is_to_fail(const char *step, int rank) {
    char expected[32];
    const char *asked = getenv("PX_MOCK_NCCL");
    snprintf(expected, sizeof expected, "%s:%d", step, rank);
    return asked && strcmp(asked, expected) == 0;
}

/* The file of a rank in a call; call 0 is the start. */
static void path_of(const struct ncclComm *comm, long call, int rank, char path[PATH]) {
    snprintf(path, PATH, "%.120s/%ld.%d", comm->folder, call, rank);
}

/* Publishes the values of this rank in a call. */
static void publish(const struct ncclComm *comm, long call, const float *values, size_t count) {
    char path[PATH], partial[PATH + 8];
    path_of(comm, call, comm->rank, path);
    snprintf(partial, sizeof partial, "%s.partial", path);
    FILE *file = fopen(partial, "w");
    if (!file || fwrite(values, sizeof *values, count, file) != count || fclose(file) != 0 ||
        rename(partial, path) != 0)
        abort();
}

/* Opens the file of a rank in a call, once it exists. */
static FILE *wait_for(const struct ncclComm *comm, long call, int rank) {
    char path[PATH];
    FILE *file;
    path_of(comm, call, rank, path);
    while (!(file = fopen(path, "r"))) usleep(200);
    return file;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *id) {
    const char *folder = getenv("TMPDIR");
    memset(id, 0, sizeof *id);
    snprintf(id->internal, sizeof id->internal, "%.80s/pixelrnn_mock_nccl_XXXXXX", folder ? folder : "/tmp");
    return mkdtemp(id->internal) ? ncclSuccess : ncclSystemError;
}

/* The mock has no non-blocking communicators. */
ncclResult_t ncclCommInitRankConfig(ncclComm_t *made, int count, ncclUniqueId id, int rank, ncclConfig_t *config) {
    *made = NULL;
    if (is_to_fail("join", rank)) return ncclSystemError;
    if (config->blocking != 1) return ncclInProgress;
    *made = mock_memory(sizeof **made);
    **made = (struct ncclComm){.rank = rank, .count = count, .fails = is_to_fail("error", rank)};
    memcpy((*made)->folder, id.internal, sizeof(*made)->folder);
    publish(*made, 0, &(float){0}, 1);
    for (int r = 0; r < count; r++) fclose(wait_for(*made, 0, r));
    return ncclSuccess;
}

typedef struct sum {
    struct ncclComm *comm;
    long call;
    float *values;
    size_t count;
} sum;

/* Adds the values of all ranks in their order. All have read the files of the call before once they have written those
 * of this call. */
static void run_sum(const void *args) {
    const sum *s = args;
    char path[PATH];
    float *part = mock_memory(s->count * sizeof *part);
    while (s->comm->fails) usleep(1000);
    publish(s->comm, s->call, s->values, s->count);
    for (int r = 0; r < s->comm->count; r++) {
        FILE *file = wait_for(s->comm, s->call, r);
        if (fread(part, sizeof *part, s->count, file) != s->count) abort();
        fclose(file);
        for (size_t i = 0; i < s->count; i++) s->values[i] = r ? s->values[i] + part[i] : part[i];
    }
    mock_free(part);
    path_of(s->comm, s->call - 1, s->comm->rank, path);
    unlink(path);
}

ncclResult_t ncclAllReduce(const void *from, void *to, size_t count, ncclDataType_t type, ncclRedOp_t op,
                           ncclComm_t comm, cudaStream_t stream) {
    const sum work = {comm, ++comm->calls, to, count};
    if (from != to || type != ncclFloat || op != ncclSum || !mock_on_card(to, count * sizeof(float)))
        return ncclInvalidArgument;
    return mock_give(stream, run_sum, &work, sizeof work) == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *error) {
    *error = comm->fails ? ncclRemoteError : ncclSuccess;
    return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
    char path[PATH];
    path_of(comm, comm->calls, comm->rank, path);
    unlink(path);
    rmdir(comm->folder); /* by the last rank */
    mock_free(comm);
    return ncclSuccess;
}
