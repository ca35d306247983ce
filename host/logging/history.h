/* Reading a run's metrics.jsonl, also while the run writes it. */
#ifndef PIXELRNN_LOGGING_HISTORY_H
#define PIXELRNN_LOGGING_HISTORY_H

#include "pixelrnn/status.h"
#include <cjson/cJSON.h>
#include <stdint.h>

/* The result of an evaluation. NAN: the row has none. */
typedef struct px_history_nll {
    double nats_per_image, bits_per_dim, standard_error;
} px_history_nll;

/* A line of metrics. */
typedef struct px_history_row {
    int64_t step;
    double seconds;           /* since the run began, without the time between its starts; to the second */
    double images_per_second; /* NAN: the row has none */
    px_history_nll validation, test;
} px_history_row;

typedef struct px_history {
    cJSON *start;         /* the record of the last start */
    int starts;           /* the number of records */
    px_history_row *rows; /* in the order of steps */
    size_t count;
} px_history;

/* Reads run/metrics.jsonl. The record of a resumed start removes the rows of later steps, which are repeated after it;
 * their time is not counted. An incomplete last line is ignored. PX_ERR_FILE if there is no such file; PX_ERR_FORMAT
 * with the number of a line that is no record. On failure there is nothing to free. */
px_status px_history_read(px_context *ctx, const char *run, px_history *history);
void px_history_free(px_history *history);

#endif
