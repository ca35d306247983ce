/* Curves in two panels as a PNG, drawn by PLplot, which is loaded where it is installed. */
#ifndef PIXELRNN_LOGGING_PLOT_H
#define PIXELRNN_LOGGING_PLOT_H

#include "pixelrnn/status.h"

enum { PX_PLOT_PANELS = 2 };

/* A curve with a marker at each of its `count` points; 0: it is in the legend alone. */
typedef struct px_plot_curve {
    const char *name;
    int count;
    const double *x[PX_PLOT_PANELS], *y;
} px_plot_curve;

/* Both panels show the same y against another x, which begins at 0. Labels contain the units. */
typedef struct px_plot {
    const char *x_label[PX_PLOT_PANELS], *y_label;
    const px_plot_curve *curves;
    int count;
} px_plot;

/* Checks that PLplot and its cairo driver can be loaded. PX_ERR_FILE with the names of the packages. */
px_status px_plot_check(px_context *ctx);

/* Writes the plot to a PNG file, which is complete or absent. At least one curve must have a point. */
px_status px_plot_write(px_context *ctx, const char *path, const px_plot *plot);

#endif
