/* A run that pixelrnn compare has read, and the table of several. */
#ifndef PIXELRNN_CLI_COMPARE_H
#define PIXELRNN_CLI_COMPARE_H

#include "host/cli/cli.h"
#include "host/config/keys.h"
#include "host/logging/history.h"

typedef struct px_compared_run {
    char path[PX_PATH];
    const char *label; /* the part of the path that tells the runs apart */
    px_config config;  /* of the last start */
    px_history history;
    px_split evaluated;         /* the images that are evaluated during training */
    int64_t step;               /* the last one */
    double images_per_second;   /* the median; NAN: not known */
    double parameters;          /* NAN: the run is of a version that did not record them */
    const px_history_row *best; /* the evaluation with the lowest NLL, or NULL */
    const px_history_row *test; /* the final evaluation of data.test, or NULL */
} px_compared_run;

/* The result of a row on the images that are evaluated during training. */
static inline px_history_nll px_compared_nll(const px_compared_run *run, const px_history_row *row) {
    return run->evaluated == PX_SPLIT_TEST ? row->test : row->validation;
}

/* A text of the record of the last start, or "-". */
const char *px_compared_text(const px_compared_run *run, const char *name);

/* Prints a column for each run, in blocks of as many runs as fit into the terminal. differs: one truth for each key of
 * the table of config keys. PX_ERR_MEMORY. */
px_status px_compare_print_table(px_context *ctx, const px_compared_run *runs, int count, const bool *differs);

#endif
