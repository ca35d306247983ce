#include "host/check/cluster_trial.h"

/* Every size of cluster with every number of slots that it can have; one lane, 64 lanes, H != W, one step; one image
 * and several a cluster, with one or some left over for the last. Row LSTM's weights do not fit where only diagonals
 * are named. */
static const px_path_case cases[] = {
    {{1, 1, 1}, 16, PX_ROWS_DIAGONALS, false},   {{3, 5, 3}, 16, PX_ROWS_DIAGONALS, false},
    {{1, 64, 3}, 32, PX_ROWS_DIAGONALS, false},  {{1, 3, 64}, 80, PX_ROWS_DIAGONALS, false},
    {{1, 7, 4}, 48, PX_ROWS_DIAGONALS, false},   {{70, 4, 5}, 48, PX_ROWS_DIAGONALS, false},
    {{3, 4, 9}, 64, PX_ROWS_DIAGONALS, false},   {{1, 9, 4}, 128, PX_ROWS_DIAGONALS, false},
    {{20, 6, 9}, 128, PX_DIAGONALS, false},      {{3, 64, 64}, 128, PX_ROWS_DIAGONALS, false},
    {{40, 5, 9}, 128, PX_ROWS_DIAGONALS, false}, {{3, 8, 5}, 144, PX_DIAGONALS, false},
    {{1, 5, 8}, 256, PX_DIAGONALS, false},       {{151, 4, 5}, 16, PX_ROWS_DIAGONALS, true},
    {{151, 5, 1}, 48, PX_ROWS_DIAGONALS, true},  {{307, 1, 6}, 64, PX_ROWS_DIAGONALS, true},
    {{83, 64, 2}, 96, PX_ROWS_DIAGONALS, true},  {{97, 7, 4}, 128, PX_ROWS_DIAGONALS, true},
    {{43, 4, 3}, 256, PX_DIAGONALS, true},
};

const px_path_trial px_cluster_trial = {.cases = cases,
                                        .count = sizeof cases / sizeof *cases,
                                        .repeats = 100,
                                        .timed = {{16, 64, 64}, 128, PX_DIAGONALS, false}};
