/* The recurrences that px_check_clusters tries. A file of its own, in place of which programs on the mock of CUDA are
 * linked with a shorter list (tests/mock_cuda/cluster_trial.c), since they emulate clusters. */
#ifndef PIXELRNN_CHECK_CLUSTER_TRIAL_H
#define PIXELRNN_CHECK_CLUSTER_TRIAL_H

#include "pixelrnn/tensor.h"
#include <stdbool.h>

enum { PX_ROWS = 1, PX_DIAGONALS = 2, PX_ROWS_DIAGONALS = PX_ROWS | PX_DIAGONALS };

/* A shape on which a path of recurrences is checked. */
typedef struct px_path_case {
    px_grid grid;
    int hidden, kinds;
    bool several; /* more than one image a cluster, on any device */
} px_path_case;

typedef struct px_path_trial {
    const px_path_case *cases;
    int count;
    int repeats;        /* runs of each case that must give the bits of the first one */
    px_path_case timed; /* by px_check_path_seconds, with diagonals */
} px_path_trial;

extern const px_path_trial px_cluster_trial;

#endif
