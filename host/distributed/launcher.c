/* How a launcher makes itself known, and MPI as a library of its own: libpixelrnn_mpi.so, beside the program.
 *
 * So the program starts at once and alone on machines without MPI. Where a launcher started several processes, nothing
 * but MPI will do: as many that each believe to be alone would train in one folder. */
#include "host/distributed/ranks.h"
#include <dlfcn.h>
#include <stdlib.h>

/* How many processes, and by which launcher; 0: there is none. */
static int launched_by(const char **launcher) {
    /* Open MPI's mpirun; MPICH's and Intel's; SLURM's srun (its batch script has no step). A step of one task may be a
     * shell, in which MPI would not start. */
    static const struct {
        const char *size, *launcher;
        int least;
    } known[] = {
        {"OMPI_COMM_WORLD_SIZE", "mpirun", 1}, {"PMI_SIZE", "mpiexec", 1}, {"SLURM_STEP_NUM_TASKS", "srun", 2}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const char *size = getenv(known[i].size);
        *launcher = known[i].launcher;
        if (size && atoi(size) >= known[i].least) return atoi(size);
    }
    return 0;
}

int px_ranks_launched(void) {
    const char *launcher;
    return launched_by(&launcher);
}

int px_ranks_launched_local(void) {
    static const char *const places[] = {"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (getenv(places[i])) return atoi(getenv(places[i]));
    return 0;
}

typedef px_status (*mpi_open_function)(px_context *ctx, px_mpi **mpi);

static px_status mpi_load(px_context *ctx, mpi_open_function *open) {
    void *library = dlopen("libpixelrnn_mpi.so", RTLD_NOW | RTLD_LOCAL); /* stays: MPI does not unload cleanly */
    if (!library) return px_fail(ctx, PX_ERR_DEVICE, "%s", dlerror());
    *(void **)open = dlsym(library, "px_mpi_open_here");
    return *open ? PX_OK : px_fail(ctx, PX_ERR_DEVICE, "libpixelrnn_mpi.so: %s", dlerror());
}

px_status px_mpi_open(px_context *ctx, px_mpi **mpi) {
    const char *launcher;
    const int launched = launched_by(&launcher);
    mpi_open_function open = NULL;
    *mpi = NULL;
    if (mpi_load(ctx, &open) != PX_OK) {
        const px_context why = *ctx;
        return px_fail(ctx, PX_ERR_DEVICE, "%s started %d ranks, but MPI cannot be loaded, or is not built in: %.800s",
                       launcher, launched, why.message);
    }
    PX_TRY(open(ctx, mpi));
    if ((*mpi)->count == launched) return PX_OK;
    return px_fail(ctx, PX_ERR_DEVICE, "%s started %d ranks, but MPI sees %d: they are of different makes%s", launcher,
                   launched, (*mpi)->count, launcher[0] == 's' ? " (srun --mpi=pmix is for Open MPI)" : "");
}
