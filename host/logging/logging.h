/* What a person and their tools see of a run: a progress line, metrics.jsonl, TensorBoard events, pictures.
 *
 * All output about progress goes to standard error; results belong to the commands. */
#ifndef PIXELRNN_REPORT_H
#define PIXELRNN_REPORT_H

#include "pixelrnn/status.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* --- Progress: one line redrawn in place on a terminal (fits the terminal's width, follows its resizing), plain lines
 * at most every few seconds elsewhere. */
typedef struct px_progress {
    FILE *out;
    bool terminal, utf8;
    char label[64];
    int64_t start, done, total; /* units: steps or images */
    double started, drawn;      /* seconds of the monotonic clock */
    double busy; /* seconds that went into units: the rate is of these, the time left of all; 0: all did */
} px_progress;

void px_progress_begin(px_progress *progress, FILE *out, const char *label, int64_t start, int64_t total);
/* detail: what to show besides bar, share, rate and time left, e.g. "79.3 nats  412 images/s". Cheap to call often. */
void px_progress_update(px_progress *progress, int64_t done, const char *detail);
/* Clears the bar so that a full line can be printed to the same stream; the next update draws it again. */
void px_progress_clear(px_progress *progress);
/* Prints a line of its own above the bar. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
void px_progress_line(px_progress *progress, const char *format, ...);
/* Draws what was last updated once more, and ends the line. */
void px_progress_end(px_progress *progress, const char *detail);

/* --- Metrics: one JSON object a line, appended, and the same figures as TensorBoard scalars. */
typedef struct px_metric {
    const char *name; /* with its unit, e.g. "train/nats_per_image", "step_ms" */
    double value;
} px_metric;

typedef struct px_metrics px_metrics;

/* Opens folder/metrics.jsonl to append and a new folder/events.out.tfevents.*. When resuming at `step` the lines past
 * it, and a torn last line, are cut off first. The lines with a step then read as those of an uninterrupted run;
 * records of starts all stay. TensorBoard is told to forget what older event files say past it. */
px_status px_metrics_open(px_context *ctx, const char *folder, int64_t step, px_metrics **metrics);
/* Removes from folder/metrics.jsonl what it says of `name` at `step`, which is to be found anew. Call it before
 * px_metrics_open. */
px_status px_metrics_forget(px_context *ctx, const char *folder, int64_t step, const char *name);
/* {"step": 12, "name": value, ...}; flushed. A value that is not finite is written as null. */
px_status px_metrics_write(px_metrics *metrics, int64_t step, const px_metric *values, int count);
/* The record of a start: a JSON object with a number named "start", on one line. Flushed. */
px_status px_metrics_record(px_metrics *metrics, const char *json);
/* A picture for TensorBoard, PNG bytes. */
px_status px_metrics_image(px_metrics *metrics, int64_t step, const char *tag, const void *png, size_t bytes,
                           int height, int width, int channels);
void px_metrics_close(px_metrics *metrics);

/* --- Pictures. */
typedef struct px_grid_layout {
    int images, height, width, channels;
    int columns; /* images a row of the grid; 0: ceil(sqrt(images * height / width)), at most images */
    int scale;   /* each pixel becomes scale x scale; 0: (64 + side / 2) / side of the longer side, at least 1 */
} px_grid_layout;

/* A PNG of images uint8 [images, height, width, channels], channels 1 or 3, in a grid with a one-pixel margin. The
 * bytes are to be freed; grid_height and grid_width are pixels. PX_ERR_SHAPE if there is nothing to draw or the picture
 * is above 1 GiB. */
px_status px_png_grid(px_context *ctx, const uint8_t *pixels, const px_grid_layout *layout, void **png, size_t *bytes,
                      int *grid_height, int *grid_width);
/* The same into a file that appears whole or not at all. */
px_status px_png_grid_write(px_context *ctx, const char *path, const uint8_t *pixels, const px_grid_layout *layout);
/* PX_ERR_SHAPE, as above, without drawing. */
px_status px_png_grid_check(px_context *ctx, const px_grid_layout *layout);

#endif
