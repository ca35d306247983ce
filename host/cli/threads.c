/* The limit on OpenMP threads. */
#include "host/io/limits.h"
#include "host/cli/cli.h"
#include <omp.h>
#include <stdlib.h>

void px_cli_limit_threads(void) {
    const int asked = omp_get_max_threads(), quota = px_limit_processors("");
    const int usable = omp_get_num_procs() < quota ? omp_get_num_procs() : quota;
    if (asked <= usable) return;
    omp_set_num_threads(usable);
    /* Without the variable, OpenMP has counted processors that a quota keeps from this process: no line is needed. */
    if (getenv("OMP_NUM_THREADS") && px_ranks_launched_local() == 0)
        fprintf(stderr,
                "OMP_NUM_THREADS: found %d, which is more than the %d processors that this process may use; takes %d\n",
                asked, usable, usable);
}
