/* Short recurrences, in place of host/check/cluster_trial.c: on emulated clusters, the others would take hours. */
#include "host/check/cluster_trial.h"

static const px_path_case cases[] = {{{1, 1, 1}, 16, PX_ROWS_DIAGONALS, false},
                                     {{3, 5, 3}, 16, PX_ROWS_DIAGONALS, false},
                                     {{2, 3, 4}, 48, PX_DIAGONALS, false}};

const px_path_trial px_cluster_trial = {
    .cases = cases, .count = sizeof cases / sizeof *cases, .repeats = 1, .timed = {{1, 2, 3}, 16, PX_DIAGONALS, false}};
