/* Detection of the launcher that started this process, by its environment variables, and loading of libpixelrnn_mpi.so
 * and libpixelrnn_nccl.so, which lie beside the program.
 *
 * They are separate libraries so that a single process starts fast and runs on machines without MPI and NCCL. If a
 * launcher started several processes, MPI is required: as many single processes would train in the same run folder. */
#include "host/distributed/ranks.h"
#include <dlfcn.h>
#include <stdlib.h>

/* The number of ranks that a launcher started and the launcher's command; 0 without a launcher. */
static int launcher_ranks(const char **launcher) {
    /* mpirun is Open MPI's, mpiexec that of MPICH and Intel MPI. SLURM sets its variable in each step of srun, not in a
     * batch script; a step of one task may be an interactive shell, so it does not count. */
    static const struct {
        const char *variable, *launcher;
        int min_ranks;
    } known[] = {
        {"OMPI_COMM_WORLD_SIZE", "mpirun", 1}, {"PMI_SIZE", "mpiexec", 1}, {"SLURM_STEP_NUM_TASKS", "srun", 2}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const char *ranks = getenv(known[i].variable);
        *launcher = known[i].launcher;
        if (ranks && atoi(ranks) >= known[i].min_ranks) return atoi(ranks);
    }
    return 0;
}

int px_ranks_launched(void) {
    const char *launcher;
    return launcher_ranks(&launcher);
}

int px_ranks_launched_local(void) {
    static const char *const variables[] = {"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"};
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        if (getenv(variables[i])) return atoi(getenv(variables[i]));
    return 0;
}

/* Finds a function in a library. The library stays loaded, because MPI and NCCL do not unload cleanly. */
static px_status load(px_context *ctx, const char *library, const char *symbol, void *function) {
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (handle) *(void **)function = dlsym(handle, symbol);
    return handle && *(void **)function ? PX_OK : px_fail(ctx, PX_ERR_DEVICE, "%s", dlerror());
}

px_status px_mpi_open(px_context *ctx, px_mpi **mpi) {
    const char *launcher;
    const int launched = launcher_ranks(&launcher);
    px_status (*open)(px_context *, px_mpi **) = NULL;
    px_context reason;
    *mpi = NULL;
    if (load(&reason, "libpixelrnn_mpi.so", "px_mpi_library_open", &open) != PX_OK)
        return px_fail(ctx, PX_ERR_DEVICE, "%s started %d ranks, but MPI cannot be loaded, or is not built in: %.800s",
                       launcher, launched, reason.message);
    PX_TRY(open(ctx, mpi));
    if ((*mpi)->count == launched) return PX_OK;
    return px_fail(
        ctx, PX_ERR_DEVICE,
        "%s started %d ranks, but MPI found %d; use the launcher of the MPI that the program is built with%s", launcher,
        launched, (*mpi)->count, launcher[0] == 's' ? " (Open MPI: srun --mpi=pmix)" : "");
}

px_status px_nccl_open(px_ranks *ranks, px_device *device, px_nccl **nccl) {
    static const char library[] = "libpixelrnn_nccl.so";
    px_status (*make_id)(px_context *, unsigned char[PX_NCCL_ID]) = NULL;
    px_status (*open)(px_context *, px_device *, px_nccl **) = NULL;
    unsigned char id[PX_NCCL_ID] = {0};
    px_context *ctx = ranks->ctx, reason;
    const int rank = px_ranks_rank(ranks);
    *nccl = NULL;
    px_status status = load(&reason, library, "px_nccl_library_make_id", &make_id);
    if (status == PX_OK) status = load(&reason, library, "px_nccl_library_open", &open);
    if (status != PX_OK)
        px_fail(ctx, status, "ranks on CUDA need NCCL, which cannot be loaded, or is not built in: %.800s",
                reason.message);
    if (status == PX_OK) status = open(ctx, device, nccl);
    if (status == PX_OK && rank == 0) status = make_id(ctx, id);
    status = px_ranks_agree(ranks, status); /* no rank joins unless all can */
    if (status == PX_OK) status = px_ranks_broadcast(ranks, id, sizeof id);
    if (status == PX_OK) status = (*nccl)->ops->join(*nccl, ctx, rank, px_ranks_count(ranks), id);
    if (status == PX_OK) return PX_OK;
    if (*nccl) (*nccl)->ops->close(*nccl);
    *nccl = NULL;
    return status;
}
