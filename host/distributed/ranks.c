/* The ranks of a job: opening and closing, division of work, collective calls and consistency checks. */
#include "host/distributed/ranks.h"
#include "host/device/backend.h"
#include <omp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

int px_ranks_rank(const px_ranks *ranks) { return ranks ? ranks->mpi->rank : 0; }
int px_ranks_count(const px_ranks *ranks) { return ranks ? ranks->mpi->count : 1; }
int px_ranks_local(const px_ranks *ranks) { return ranks ? ranks->mpi->local : 0; }

void px_ranks_name(const px_ranks *ranks, int rank, char name[PX_RANK_NAME]) {
    snprintf(name, PX_RANK_NAME, "rank %d on %s", rank, ranks ? ranks->hosts[rank] : "this host");
}

/* ---- Division of work ---- */

static size_t share_begin(size_t total, size_t unit, int rank, int count) {
    const size_t groups = (total + unit - 1) / unit;
    const size_t first = unit * (groups * (size_t)rank / (size_t)count);
    return first < total ? first : total;
}

px_share px_ranks_share(const px_ranks *ranks, size_t total, size_t unit) {
    const int rank = px_ranks_rank(ranks), count = px_ranks_count(ranks);
    const size_t first = share_begin(total, unit, rank, count);
    return (px_share){first, share_begin(total, unit, rank + 1, count) - first};
}

/* ---- Collective calls ---- */

px_status px_ranks_gather(px_ranks *ranks, void *all, size_t total, size_t unit, size_t size) {
    if (!ranks) return PX_OK;
    const int count = px_ranks_count(ranks);
    size_t *offsets = malloc(((size_t)count + 1) * sizeof *offsets);
    if (!offsets) return px_fail_memory(ranks->ctx, "ranks", ((size_t)count + 1) * sizeof *offsets);
    for (int rank = 0; rank <= count; rank++) offsets[rank] = size * share_begin(total, unit, rank, count);
    px_heartbeat_count_collective(ranks->heartbeat);
    px_stop_hold(ranks->stop); /* the time that this rank waits for others must not make its stop overdue */
    const px_status status = ranks->mpi->ops->gather(ranks->mpi, ranks->ctx, all, offsets);
    px_stop_release(ranks->stop);
    free(offsets);
    return status;
}

px_status px_ranks_broadcast(px_ranks *ranks, void *data, size_t bytes) {
    if (!ranks) return PX_OK;
    px_heartbeat_count_collective(ranks->heartbeat);
    px_stop_hold(ranks->stop);
    const px_status status = ranks->mpi->ops->broadcast(ranks->mpi, ranks->ctx, data, bytes);
    px_stop_release(ranks->stop);
    return status;
}

/* The status of a rank's work; the context holds its message if it failed. */
typedef struct outcome {
    px_status status;
    px_context context;
} outcome;

/* Returns the failure of the lowest rank that failed. */
static px_status first_failure(px_ranks *ranks, const outcome *outcomes) {
    const int count = px_ranks_count(ranks);
    int first = 0;
    bool same = true;
    while (first < count && outcomes[first].status == PX_OK) first++;
    if (first == count) return PX_OK;
    const char *message = outcomes[first].context.message;
    for (int r = 0; r < count; r++) same = same && strcmp(outcomes[r].context.message, message) == 0;
    char name[PX_RANK_NAME];
    px_ranks_name(ranks, first, name);
    ranks->failure_agreed = true;
    return px_fail(ranks->ctx, outcomes[first].status, "%s%s%s", same ? "" : name, same ? "" : ": ", message);
}

px_status px_ranks_agree(px_ranks *ranks, px_status status) {
    if (!ranks) return status;
    const size_t count = (size_t)px_ranks_count(ranks);
    outcome *outcomes = calloc(count, sizeof *outcomes);
    if (!outcomes) return px_fail_memory(ranks->ctx, "ranks", count * sizeof *outcomes);
    outcome *own = &outcomes[px_ranks_rank(ranks)];
    own->status = status;
    if (status != PX_OK) own->context = *ranks->ctx;
    status = px_ranks_gather(ranks, outcomes, count, 1, sizeof *outcomes);
    if (status == PX_OK) status = first_failure(ranks, outcomes);
    free(outcomes);
    return status;
}

/* ---- Consistency checks ---- */

px_status px_ranks_same(px_ranks *ranks, const char *what, const void *mine, size_t bytes) {
    if (!ranks) return PX_OK;
    const unsigned long own = crc32_z(crc32_z(0, NULL, 0), mine, bytes);
    unsigned long expected = own;
    char name[PX_RANK_NAME];
    PX_TRY(px_ranks_broadcast(ranks, &expected, sizeof expected));
    px_ranks_name(ranks, 0, name);
    px_status status = PX_OK;
    if (own != expected)
        status = px_fail(ranks->ctx, PX_ERR_CONFIG, "%s: found checksum %08lx, expected %08lx as %s", what, own,
                         expected, name);
    return px_ranks_agree(ranks, status);
}

/* Computes the checksum of the program file: another build may round differently. */
static px_status program_checksum(px_ranks *ranks, unsigned long *checksum) {
    static const char path[] = "/proc/self/exe";
    unsigned char buffer[1 << 14];
    size_t got;
    FILE *file = fopen(path, "rb");
    if (!file) return px_fail(ranks->ctx, PX_ERR_FILE, "%s: cannot be read", path);
    *checksum = crc32_z(0, NULL, 0);
    while ((got = fread(buffer, 1, sizeof buffer, file)) > 0) *checksum = crc32_z(*checksum, buffer, got);
    fclose(file);
    return PX_OK;
}

px_status px_ranks_same_program(px_ranks *ranks) {
    if (!ranks) return PX_OK;
    unsigned long checksum = 0;
    PX_TRY(px_ranks_agree(ranks, program_checksum(ranks, &checksum)));
    return px_ranks_same(ranks, "the program's file", &checksum, sizeof checksum);
}

/* The kind of a rank's device, the GPU's unique identifier ("" for a CPU), and the paths that it may take (px_path). */
typedef struct device_identity {
    char kind[16], identity[64];
    unsigned paths;
} device_identity;

/* Compares this rank's device with those of the lower ranks. warning: of opening it, which may say why it differs. */
static px_status compare_devices(px_ranks *ranks, const device_identity *devices, const char *warning) {
    const int rank = px_ranks_rank(ranks);
    const device_identity *own = &devices[rank];
    char name[PX_RANK_NAME];
    for (int r = 0; r < rank; r++) {
        px_ranks_name(ranks, r, name);
        if (strcmp(devices[r].kind, own->kind) != 0)
            return px_fail(ranks->ctx, PX_ERR_CONFIG, "device: found %s, expected %s as %s%s%.800s", own->kind,
                           devices[r].kind, name, warning[0] ? "; " : "", warning);
        if (own->identity[0] && strcmp(devices[r].identity, own->identity) == 0)
            return px_fail(ranks->ctx, PX_ERR_CONFIG,
                           "device: found GPU %s, which %s uses, expected a GPU for each rank; start as many ranks on "
                           "a host as it has GPUs",
                           own->identity, name);
    }
    return PX_OK;
}

px_status px_ranks_check_device(px_ranks *ranks, px_device *device) {
    if (!ranks) return PX_OK;
    const size_t count = (size_t)px_ranks_count(ranks);
    device_identity *devices = calloc(count, sizeof *devices);
    if (!devices) return px_fail_memory(ranks->ctx, "ranks", count * sizeof *devices);
    device_identity *own = &devices[px_ranks_rank(ranks)];
    snprintf(own->kind, sizeof own->kind, "%s", device->kind);
    snprintf(own->identity, sizeof own->identity, "%s", device->identity);
    own->paths = device->paths;
    px_status status = px_ranks_gather(ranks, devices, count, 1, sizeof *devices);
    if (status == PX_OK) status = px_ranks_agree(ranks, compare_devices(ranks, devices, device->warning));
    for (size_t r = 0; r < count && status == PX_OK; r++) device->paths &= devices[r].paths;
    free(devices);
    return status;
}

/* ---- Opening and closing ---- */

/* On rank 0: warns if Open MPI has bound it to a single core (two processors if the core runs two threads), although
 * its part of the host is larger. Open MPI does so by default for one or two ranks. */
static void warn_of_binding(const px_ranks *ranks, const px_ranks_callbacks *callbacks, int bound, int share) {
    char line[256];
    if (ranks->mpi->rank != 0 || !getenv("OMPI_COMM_WORLD_SIZE") || bound > 2 || bound >= share) return;
    snprintf(line, sizeof line,
             "warning: found each rank bound to %d of this host's processors, expected %d; start mpirun with --bind-to "
             "none",
             bound, share);
    callbacks->log(line);
}

/* Sets the number of OpenMP threads to this rank's part of the host's cores, unless the launcher has bound the rank to
 * some of them: OpenMP counts only those. */
static void divide_cores(const px_ranks *ranks, const px_ranks_callbacks *callbacks) {
    cpu_set_t allowed;
    const int cores = (int)sysconf(_SC_NPROCESSORS_ONLN), share = cores / ranks->mpi->local_count;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
    warn_of_binding(ranks, callbacks, CPU_COUNT(&allowed), share);
    if (getenv("OMP_NUM_THREADS") || CPU_COUNT(&allowed) < cores) return;
    omp_set_num_threads(share > 0 ? share : 1);
}

static void name_for_heartbeat(const void *ranks, int rank, char name[PX_RANK_NAME]) {
    px_ranks_name(ranks, rank, name);
}

static px_status connect_ranks(px_ranks *ranks, const px_ranks_callbacks *callbacks) {
    px_context *ctx = ranks->ctx;
    px_heartbeat_address address = {0};
    int listener = -1;
    PX_TRY(px_mpi_open(ctx, &ranks->mpi));
    const size_t count = (size_t)ranks->mpi->count;
    ranks->hosts = calloc(count, sizeof *ranks->hosts);
    if (!ranks->hosts) return px_fail_memory(ctx, "ranks", count * sizeof *ranks->hosts);
    gethostname(ranks->hosts[ranks->mpi->rank], sizeof *ranks->hosts - 1);
    PX_TRY(px_ranks_gather(ranks, ranks->hosts, count, 1, sizeof *ranks->hosts));
    divide_cores(ranks, callbacks);
    px_status status = ranks->mpi->rank == 0 ? px_heartbeat_listen(ctx, &address, &listener) : PX_OK;
    PX_TRY(px_ranks_agree(ranks, status));
    PX_TRY(px_ranks_broadcast(ranks, &address, sizeof address));
    const px_heartbeat_options options = {.callbacks = callbacks,
                                          .rank = ranks->mpi->rank,
                                          .count = ranks->mpi->count,
                                          .name = name_for_heartbeat,
                                          .context = ranks};
    return px_ranks_agree(ranks, px_heartbeat_open(ctx, &options, &address, listener, &ranks->heartbeat));
}

px_status px_ranks_open(px_context *ctx, const px_ranks_callbacks *callbacks, px_ranks **out) {
    *out = NULL;
    const int launched = px_ranks_launched();
    if (launched == 0) return PX_OK;
    px_ranks *ranks = calloc(1, sizeof *ranks);
    if (!ranks) return px_fail_memory(ctx, "ranks", sizeof *ranks);
    ranks->ctx = ctx;
    ranks->stop = callbacks->stop;
    const px_status status = connect_ranks(ranks, callbacks);
    if (status == PX_OK) {
        *out = ranks;
        return PX_OK;
    }
    const px_context reason = *ctx;
    const bool prints = !ranks->failure_agreed || ranks->mpi->rank == 0;
    px_ranks_close(ranks, status);
    if (launched == 1) return PX_OK;
    if (prints)
        *ctx = reason;
    else
        usleep(300000); /* a launcher may end all ranks as soon as one has failed: let rank 0 print first */
    return status;
}

void px_ranks_set_timeouts(px_ranks *ranks, double silence, double stall) {
    if (ranks) px_heartbeat_set_timeouts(ranks->heartbeat, silence, stall);
}

void px_ranks_close(px_ranks *ranks, px_status status) {
    if (!ranks) return;
    const bool agreed = status == PX_OK || px_status_is_stop(status) || ranks->failure_agreed;
    if (ranks->heartbeat && !agreed) px_heartbeat_fail(ranks->heartbeat, status, ranks->ctx->message);
    px_heartbeat_close(ranks->heartbeat);
    ranks->ctx->message[0] = '\0';
    if (ranks->mpi && agreed) ranks->mpi->ops->close(ranks->mpi); /* otherwise it would wait for the other ranks */
    free(ranks->hosts);
    free(ranks);
}
