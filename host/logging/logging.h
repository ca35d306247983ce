/* Logging of a run: progress line, metrics.jsonl, TensorBoard events, grids of images.
 *
 * Commands print progress on standard error, and results on standard output. */
#ifndef PIXELRNN_LOGGING_H
#define PIXELRNN_LOGGING_H

#include "pixelrnn/config.h"
#include "pixelrnn/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* ---- Progress ---- */

/* Progress of a loop. On a terminal, one line is redrawn in place and fits the current width. Elsewhere, a line is
 * printed every few seconds at most. */
typedef struct px_progress {
    FILE *out;
    bool terminal, utf8;
    char label[64];
    int64_t start, done, total; /* units: steps, images or pixels */
    double started, drawn;      /* monotonic clock, seconds */
    double busy;       /* seconds spent on units, which give the rate; the time left includes all others; 0: all */
    double images;     /* images in a unit: the rate is in images/s. 0: it is in units/s */
    bool count_images; /* the count is in images, too */
} px_progress;

void px_progress_begin(px_progress *progress, FILE *out, const char *label, int64_t start, int64_t total);
/* Draws the line if it is due; cheap otherwise. detail: shown besides bar, percentage, rate and time left, such as the
 * loss; on a narrow terminal it is left out last. */
void px_progress_update(px_progress *progress, int64_t done, const char *detail);
/* Clears the bar so that a full line can be printed to the same stream; the next update draws it again. */
void px_progress_clear(px_progress *progress);
/* Prints a separate line above the bar. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
void px_progress_line(px_progress *progress, const char *format, ...);

/* ---- Metrics: metrics.jsonl and TensorBoard ---- */

typedef struct px_metric {
    const char *name; /* includes the unit: "train/nats_per_image", "step_ms" */
    double value;
} px_metric;

typedef struct px_metrics px_metrics;

/* Opens folder/metrics.jsonl for appending, and a new folder/events.out.tfevents.*. epochs: passes over the training
 * images in a step.
 *
 * Lines of later steps than `step`, and an incomplete last line, are removed first, so that the lines of a resumed run
 * equal those of an uninterrupted run. Records of starts are kept. TensorBoard discards events of later steps in older
 * files. */
px_status px_metrics_open(px_context *ctx, const char *folder, int64_t step, double epochs, px_metrics **metrics);
/* Removes the lines of `step` that contain `name` from folder/metrics.jsonl, because they will be written again. Call
 * it before px_metrics_open. */
px_status px_metrics_forget(px_context *ctx, const char *folder, int64_t step, const char *name);
/* Appends {"step": 12, "name": value, ..., "epoch": 0.5, "time": "2026-11-27T02:14:03Z"}, writes the values as
 * TensorBoard scalars, and flushes both. A value that is not finite is written as null. */
px_status px_metrics_write(px_metrics *metrics, int64_t step, const px_metric *values, int count);
/* The present time in UTC, as "2026-11-27T02:14:03Z". */
enum { PX_TIME_TEXT = 32 };
void px_time_text(char text[PX_TIME_TEXT]);
/* Appends the record of a start, a JSON object with a number "start" on one line, and flushes. */
px_status px_metrics_record(px_metrics *metrics, const char *json);
/* Writes an image for TensorBoard. png: the bytes of a PNG file. */
px_status px_metrics_image(px_metrics *metrics, int64_t step, const char *tag, const void *png, size_t bytes,
                           int height, int width, int channels);
/* Writes the config for TensorBoard: as a text, and as a row of the HPARAMS table. */
px_status px_metrics_config(px_metrics *metrics, int64_t step, const px_config *config);
void px_metrics_close(px_metrics *metrics);
/* CRC-32C (Castagnoli), the checksum of TensorBoard records: polynomial 0x1edc6f41, reflected. */
uint32_t px_crc32c(const void *data, size_t bytes);

/* ---- Grids of images ---- */

typedef struct px_grid_layout {
    int images, height, width, channels;
    int columns; /* images in a row of the grid; 0: ceil(sqrt(images * height / width)), at most images */
    int rows;  /* not 0: so many rows, and image n is in row n % rows, as classes are. 0: image n is in row n / columns
                */
    int scale; /* a pixel becomes scale x scale pixels; 0: (64 + side / 2) / side of the longer side, at least 1 */
} px_grid_layout;

/* Encodes images uint8 [images, height, width, channels], channels 1 or 3, as a PNG of a grid with one-pixel margins.
 * The caller frees *png. grid_height and grid_width are in pixels. PX_ERR_SHAPE if there is no image or the grid is
 * larger than 1 GiB. */
px_status px_png_grid(px_context *ctx, const uint8_t *pixels, const px_grid_layout *layout, void **png, size_t *bytes,
                      int *grid_height, int *grid_width);
/* Writes the PNG to a file, which is complete or absent. */
px_status px_png_grid_write(px_context *ctx, const char *path, const uint8_t *pixels, const px_grid_layout *layout);
/* Checks the layout alone: PX_ERR_SHAPE as above. */
px_status px_png_grid_check(px_context *ctx, const px_grid_layout *layout);

#endif
