/* Detection of the launcher that started this process, by its environment variables. */
#include "host/distributed/ranks.h"
#include <stdlib.h>

int px_launcher_ranks(const char **launcher) {
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
    return px_launcher_ranks(&launcher);
}

int px_ranks_launched_local(void) {
    static const char *const variables[] = {"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"};
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        if (getenv(variables[i])) return atoi(getenv(variables[i]));
    return 0;
}
