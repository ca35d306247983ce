/* The ranks of a job: meeting, shares, and what they tell each other. */
#include "host/distributed/ranks.h"
#include "host/device/backend.h"
#include <omp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

int px_ranks_rank(const px_ranks *ranks) {
    return ranks ? ranks->mpi->rank : 0;
}
int px_ranks_count(const px_ranks *ranks) {
    return ranks ? ranks->mpi->count : 1;
}
int px_ranks_local(const px_ranks *ranks) {
    return ranks ? ranks->mpi->local : 0;
}

void px_ranks_name(const px_ranks *ranks, int rank, char name[PX_RANK_NAME]) {
    snprintf(name, PX_RANK_NAME, "rank %d on %s", rank, ranks ? ranks->hosts[rank] : "this host");
}

/* --- Shares ------------------------------------------------------------------------------------------------------- */

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

/* --- Telling each other ------------------------------------------------------------------------------------------- */

px_status px_ranks_gather(px_ranks *ranks, void *all, size_t total, size_t unit, size_t size) {
    if (!ranks) return PX_OK;
    const int count = px_ranks_count(ranks);
    size_t *offsets = malloc(((size_t)count + 1) * sizeof *offsets);
    if (!offsets) return px_fail(ranks->ctx, PX_ERR_MEMORY, "ranks: no memory for %d offsets", count);
    for (int rank = 0; rank <= count; rank++) offsets[rank] = size * share_begin(total, unit, rank, count);
    px_heartbeat_count_collective(ranks->watch);
    px_stop_hold(ranks->stop); /* who waits for another rank is not late */
    const px_status status = ranks->mpi->ops->gather(ranks->mpi, ranks->ctx, all, offsets);
    px_stop_release(ranks->stop);
    free(offsets);
    return status;
}

px_status px_ranks_broadcast(px_ranks *ranks, void *data, size_t bytes) {
    if (!ranks) return PX_OK;
    px_heartbeat_count_collective(ranks->watch);
    px_stop_hold(ranks->stop);
    const px_status status = ranks->mpi->ops->broadcast(ranks->mpi, ranks->ctx, data, bytes);
    px_stop_release(ranks->stop);
    return status;
}

/* How a rank's work went. */
typedef struct outcome {
    px_status status;
    px_context said;
} outcome;

/* The first failure becomes everyone's. */
static px_status ranks_wait(px_ranks *ranks, const outcome *outcomes) {
    const int count = px_ranks_count(ranks);
    int first = 0;
    bool alike = true;
    while (first < count && outcomes[first].status == PX_OK) first++;
    if (first == count) return PX_OK;
    for (int r = 0; r < count; r++)
        alike = alike && strcmp(outcomes[r].said.message, outcomes[first].said.message) == 0;
    char name[PX_RANK_NAME];
    px_ranks_name(ranks, first, name);
    ranks->agreed = true;
    return px_fail(ranks->ctx, outcomes[first].status, "%s%s%s", alike ? "" : name, alike ? "" : ": ",
                   outcomes[first].said.message);
}

px_status px_ranks_agree(px_ranks *ranks, px_status status) {
    if (!ranks) return status;
    const size_t count = (size_t)px_ranks_count(ranks);
    outcome *outcomes = calloc(count, sizeof *outcomes);
    if (!outcomes) return px_fail(ranks->ctx, PX_ERR_MEMORY, "ranks: no memory for %zu outcomes", count);
    outcome *mine = &outcomes[px_ranks_rank(ranks)];
    mine->status = status;
    if (status != PX_OK) mine->said = *ranks->ctx;
    status = px_ranks_gather(ranks, outcomes, count, 1, sizeof *outcomes);
    if (status == PX_OK) status = ranks_wait(ranks, outcomes);
    free(outcomes);
    return status;
}

/* --- Being alike -------------------------------------------------------------------------------------------------- */

px_status px_ranks_same(px_ranks *ranks, const char *what, const void *mine, size_t bytes) {
    if (!ranks) return PX_OK;
    const uint64_t sum = crc32_z(crc32_z(0, NULL, 0), mine, bytes);
    uint64_t sums[2] = {sum, sum}; /* mine, rank 0's */
    char name[PX_RANK_NAME];
    PX_TRY(px_ranks_broadcast(ranks, &sums[1], sizeof sums[1]));
    px_ranks_name(ranks, 0, name);
    return px_ranks_agree(ranks,
                          sums[0] == sums[1]
                              ? PX_OK
                              : px_fail(ranks->ctx, PX_ERR_CONFIG, "%s: found checksum %08llx, expected %08llx as %s",
                                        what, (unsigned long long)sums[0], (unsigned long long)sums[1], name));
}

/* The program's file, whole: another build may round otherwise. */
static px_status ranks_read_program(px_ranks *ranks, uint64_t *sum) {
    static const char path[] = "/proc/self/exe";
    char buffer[1 << 14];
    size_t got;
    FILE *file = fopen(path, "rb");
    if (!file) return px_fail(ranks->ctx, PX_ERR_FILE, "%s: cannot be read", path);
    *sum = crc32_z(0, NULL, 0);
    while ((got = fread(buffer, 1, sizeof buffer, file)) > 0) *sum = crc32_z(*sum, (const unsigned char *)buffer, got);
    fclose(file);
    return PX_OK;
}

px_status px_ranks_same_program(px_ranks *ranks) {
    if (!ranks) return PX_OK;
    uint64_t sum = 0;
    PX_TRY(px_ranks_agree(ranks, ranks_read_program(ranks, &sum)));
    return px_ranks_same(ranks, "the program's file", &sum, sizeof sum);
}

/* What a rank computes on. */
typedef struct device_identity {
    char kind[16], identity[64];
} device_identity;

/* This rank's seat against those of the ranks before it. */
static px_status ranks_check_identity(px_ranks *ranks, const device_identity *seats) {
    const int rank = px_ranks_rank(ranks);
    const device_identity *mine = &seats[rank];
    char name[PX_RANK_NAME];
    for (int r = 0; r < rank; r++) {
        px_ranks_name(ranks, r, name);
        if (strcmp(seats[r].kind, mine->kind) != 0)
            return px_fail(ranks->ctx, PX_ERR_CONFIG, "device: found %s, expected %s as %s", mine->kind, seats[r].kind,
                           name);
        if (mine->identity[0] && strcmp(seats[r].identity, mine->identity) == 0)
            return px_fail(ranks->ctx, PX_ERR_CONFIG,
                           "device: found GPU %s, which %s has taken, expected one of its own", mine->identity, name);
    }
    return PX_OK;
}

px_status px_ranks_check_device(px_ranks *ranks, const px_device *device) {
    if (!ranks) return PX_OK;
    const size_t count = (size_t)px_ranks_count(ranks);
    device_identity *seats = calloc(count, sizeof *seats);
    if (!seats) return px_fail(ranks->ctx, PX_ERR_MEMORY, "ranks: no memory for %zu devices", count);
    device_identity *mine = &seats[px_ranks_rank(ranks)];
    snprintf(mine->kind, sizeof mine->kind, "%s", device->kind);
    snprintf(mine->identity, sizeof mine->identity, "%s", device->identity);
    px_status status = px_ranks_gather(ranks, seats, count, 1, sizeof *seats);
    if (status == PX_OK) status = px_ranks_agree(ranks, ranks_check_identity(ranks, seats));
    free(seats);
    return status;
}

/* --- Meeting and parting ------------------------------------------------------------------------------------------ */

/* A rank's share of the host's cores, where the launcher has not bound it to some. */
static void ranks_divide_cores(const px_ranks *ranks) {
    cpu_set_t mine;
    const int cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (getenv("OMP_NUM_THREADS") || sched_getaffinity(0, sizeof mine, &mine) != 0) return;
    if (CPU_COUNT(&mine) < cores) return; /* bound: OpenMP has counted these */
    const int threads = cores / ranks->mpi->local_count;
    omp_set_num_threads(threads > 0 ? threads : 1);
}

static px_status ranks_exchange_hosts(px_ranks *ranks) {
    const size_t count = (size_t)ranks->mpi->count;
    ranks->hosts = calloc(count, sizeof *ranks->hosts);
    if (!ranks->hosts) return px_fail(ranks->ctx, PX_ERR_MEMORY, "ranks: no memory for %zu names", count);
    gethostname(ranks->hosts[ranks->mpi->rank], sizeof *ranks->hosts - 1);
    return px_ranks_gather(ranks, ranks->hosts, count, 1, sizeof *ranks->hosts);
}

static void ranks_name_for_heartbeat(const void *names, int rank, char name[PX_RANK_NAME]) {
    px_ranks_name(names, rank, name);
}

static px_status ranks_begin(px_ranks *ranks, const px_ranks_end *end) {
    px_context *ctx = ranks->ctx;
    px_heartbeat_address place = {0};
    int door = -1;
    PX_TRY(px_mpi_open(ctx, &ranks->mpi));
    PX_TRY(ranks_exchange_hosts(ranks));
    ranks_divide_cores(ranks);
    const px_status listening = ranks->mpi->rank == 0 ? px_heartbeat_listen(ctx, &place, &door) : PX_OK;
    PX_TRY(px_ranks_agree(ranks, listening));
    PX_TRY(px_ranks_broadcast(ranks, &place, sizeof place));
    const px_heartbeat_options options = {.end = end,
                                          .rank = ranks->mpi->rank,
                                          .count = ranks->mpi->count,
                                          .name = ranks_name_for_heartbeat,
                                          .names = ranks};
    return px_ranks_agree(ranks, px_heartbeat_open(ctx, &options, &place, door, &ranks->watch));
}

px_status px_ranks_open(px_context *ctx, const px_ranks_end *end, px_ranks **out) {
    *out = NULL;
    const int launched = px_ranks_launched();
    if (launched == 0) return PX_OK;
    px_ranks *ranks = calloc(1, sizeof *ranks);
    if (!ranks) return px_fail(ctx, PX_ERR_MEMORY, "ranks: no memory for them");
    ranks->ctx = ctx;
    ranks->stop = end->stop;
    const px_status status = ranks_begin(ranks, end);
    if (status == PX_OK) {
        *out = ranks;
        return PX_OK;
    }
    const px_context why = *ctx;
    const bool speaks = !ranks->agreed || ranks->mpi->rank == 0;
    px_ranks_close(ranks, status);
    if (launched == 1) return PX_OK;
    if (speaks)
        *ctx = why;
    else
        usleep(300000); /* a launcher may end all as soon as one has failed: rank 0 is to have said why */
    return status;
}

void px_ranks_set_timeouts(px_ranks *ranks, double silence, double stall) {
    if (ranks) px_heartbeat_set_timeouts(ranks->watch, silence, stall);
}

void px_ranks_close(px_ranks *ranks, px_status status) {
    if (!ranks) return;
    const bool together = status == PX_OK || px_status_is_stop(status) || ranks->agreed;
    if (ranks->watch && !together) px_heartbeat_fail(ranks->watch, status, ranks->ctx->message);
    px_heartbeat_close(ranks->watch);
    ranks->ctx->message[0] = '\0';
    if (ranks->mpi && together) ranks->mpi->ops->close(ranks->mpi); /* else it would wait for the others */
    free(ranks->hosts);
    free(ranks);
}
