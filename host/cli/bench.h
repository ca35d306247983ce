/* The result of measuring a config, and the table of several. */
#ifndef PIXELRNN_CLI_BENCH_H
#define PIXELRNN_CLI_BENCH_H

#include "host/bench/bench.h"
#include "host/cli/cli.h"

/* It lies in memory that the measuring process shares with its parent. */
typedef struct px_bench_report {
    px_status status;
    px_context ctx;
    px_config config;
    px_image_size size;
    char kind[16], description[128]; /* of the device */
    px_bench_result result;
} px_bench_report;

/* The word for the precision of this build: float64 if it is double. */
const char *px_bench_precision(const px_config *config);

/* Prints a row for each config: model, layers, hidden features, batch, precision, image size, and the images/s of each
 * phase, also as multiples of the first config's. The text is aligned, or a Markdown table. PX_ERR_MEMORY.
 */
px_status px_bench_print_table(px_context *ctx, const px_bench_report *reports, int count, bool markdown);

#endif
