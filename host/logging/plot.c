/* Plots by PLplot's driver memcairo, which draws into memory. The library is loaded at run time, so that a build and a
 * machine without it lack nothing but plots. Its functions are declared here, as in version 5.15. */
#include "host/logging/plot.h"
#include "host/logging/logging.h"
#include <dlfcn.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The functions in use: type, name, parameters. Reals are double and integers int. */
#define FUNCTIONS(F)                                                                                                   \
    F(plgFileDevs, (const char ***menu, const char ***device, int *count))                                             \
    F(c_plsdev, (const char *device))                                                                                  \
    F(c_plsmem, (int width, int height, void *rgb))                                                                    \
    F(c_plscol0a, (int color, int r, int g, int b, double alpha))                                                      \
    F(c_plscmap0n, (int colors))                                                                                       \
    F(c_plspause, (int pause))                                                                                         \
    F(c_plinit, (void))                                                                                                \
    F(c_plend, (void))                                                                                                 \
    F(c_pladv, (int page))                                                                                             \
    F(c_plvpor, (double left, double right, double bottom, double top))                                                \
    F(c_plwind, (double left, double right, double bottom, double top))                                                \
    F(c_plcol0, (int color))                                                                                           \
    F(c_plwidth, (double width))                                                                                       \
    F(c_plschr, (double millimetres, double scale))                                                                    \
    F(c_plsxax, (int longest, int digits))                                                                             \
    F(c_plsyax, (int longest, int digits))                                                                             \
    F(c_plbox, (const char *x, double x_tick, int x_sub, const char *y, double y_tick, int y_sub))                     \
    F(c_plmtex, (const char *side, double offset, double at, double justify, const char *text))                        \
    F(c_plptex, (double x, double y, double dx, double dy, double justify, const char *text))                          \
    F(c_plline, (int count, const double *x, const double *y))                                                         \
    F(c_plstring, (int count, const double *x, const double *y, const char *text))

#define FIELD(name, parameters) void(*name) parameters;
typedef struct plplot {
    FUNCTIONS(FIELD)
} plplot;

/* ---- Loading ---- */

static bool find_functions(void *library, plplot *p) {
#define FIND(name, parameters)                                                                                         \
    if (!(*(void **)&p->name = dlsym(library, #name))) return false;
    FUNCTIONS(FIND)
    return true;
}

/* Whether the driver is installed, too. */
static bool has_memcairo(const plplot *p) {
    enum { MOST = 256 };
    const char *titles[MOST], *devices[MOST], **title = titles, **device = devices;
    int count = MOST;
    p->plgFileDevs(&title, &device, &count);
    for (int i = 0; i < count; i++)
        if (strcmp(devices[i], "memcairo") == 0) return true;
    return false;
}

static px_status load(px_context *ctx, plplot *p) {
    static const char *const names[] = {"libplplot.so.17", "libplplot.so"};
    void *library = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && !library; i++) library = dlopen(names[i], RTLD_NOW);
    if (library && find_functions(library, p) && has_memcairo(p)) return PX_OK;
    return px_fail(ctx, PX_ERR_FILE,
                   "plot: found no %s, expected PLplot and its cairo driver (Debian, Ubuntu: apt-get install "
                   "libplplot-dev plplot-driver-cairo)",
                   library ? "driver memcairo of PLplot" : "libplplot.so.17");
}

px_status px_plot_check(px_context *ctx) {
    plplot p;
    return load(ctx, &p);
}

/* ---- Drawing ---- */

/* Sizes in pixels, if nothing else is said. */
enum {
    NUMBER = 9,   /* characters of a number at an axis; PLplot would divide longer ones by a power of 10 */
    PANEL = 500,  /* the width of one, without its labels */
    LABELS = 130, /* of the y axis, on the left of a panel */
    HEIGHT = 620,
    LEGEND_ROW = 26,
    LEGEND_ROWS = 20,  /* that fit into HEIGHT */
    LEGEND_LINE = 50,  /* before a name */
    CHARACTER = 11,    /* of a name, at most */
    NAME = 48,         /* characters of a name; of a longer one the end is drawn */
    TEXT_SCALE = 1050, /* the size of text, times the page's width */
};

/* The page, which is as wide and high as the legend needs. */
typedef struct page_size {
    int width, height;
} page_size;

/* Colours: page, text, grid, and those of curves, which differ in lightness, too (Okabe and Ito). */
static const unsigned char colors[][3] = {{255, 255, 255}, {30, 30, 30},  {215, 215, 215}, {0, 114, 178},
                                          {213, 94, 0},    {0, 158, 115}, {204, 121, 167}, {230, 159, 0},
                                          {86, 180, 233},  {90, 60, 30},  {120, 120, 120}};
enum { TEXT = 1, GRID, CURVES, COLORS = sizeof colors / sizeof *colors };

/* Markers, which change when all colours have been used. */
static const char *const markers[] = {"•", "▲", "■", "◆", "✕"};
enum { MARKERS = sizeof markers / sizeof *markers };

static int color_of(int curve) { return CURVES + curve % (COLORS - CURVES); }
static const char *marker_of(int curve) { return markers[curve / (COLORS - CURVES) % MARKERS]; }

typedef struct range {
    double min, max;
} range;

static void extend(range *r, const double *values, int count) {
    for (int i = 0; i < count; i++) {
        r->min = fmin(r->min, values[i]);
        r->max = fmax(r->max, values[i]);
    }
}

static range range_of_y(const px_plot *plot) {
    range r = {INFINITY, -INFINITY};
    for (int i = 0; i < plot->count; i++) extend(&r, plot->curves[i].y, plot->curves[i].count);
    const double margin = r.max > r.min ? 0.05 * (r.max - r.min) : fmax(0.05 * fabs(r.max), 1e-3);
    return (range){r.min - margin, r.max + margin};
}

static range range_of_x(const px_plot *plot, int panel) {
    range r = {0, 0};
    for (int i = 0; i < plot->count; i++) extend(&r, plot->curves[i].x[panel], plot->curves[i].count);
    return (range){0, r.max > 0 ? 1.04 * r.max : 1};
}

/* Prepares a marker or text of PLplot, in which # begins a command. */
enum { LABEL = 2 * NAME + 64 };
static const char *escape(const char *text, char label[LABEL]) {
    size_t length = 0;
    for (; *text && length < LABEL - 3; text++) {
        label[length++] = *text;
        if (*text == '#') label[length++] = '#';
    }
    label[length] = '\0';
    return label;
}

static void draw_panel(const plplot *p, const px_plot *plot, const page_size *page, int panel) {
    const double left = LABELS + panel * (PANEL + LABELS);
    const range x = range_of_x(plot, panel), y = range_of_y(plot);
    char label[LABEL];
    p->c_plvpor(left / page->width, (left + PANEL) / page->width, 80.0 / page->height, 1 - 25.0 / page->height);
    p->c_plwind(x.min, x.max, y.min, y.max);
    p->c_plcol0(GRID);
    p->c_plbox("g", 0, 0, "g", 0, 0);
    p->c_plcol0(TEXT);
    p->c_plbox("bcnst", 0, 0, "bcnstv", 0, 0);
    p->c_plmtex("b", 3.2, 0.5, 0.5, escape(plot->x_label[panel], label));
    p->c_plmtex("l", 5.2, 0.5, 0.5, escape(plot->y_label, label));
    for (int i = 0; i < plot->count; i++) {
        const px_plot_curve *c = &plot->curves[i];
        p->c_plcol0(color_of(i));
        if (c->count > 1) p->c_plline(c->count, c->x[panel], c->y);
        if (c->count > 0) p->c_plstring(c->count, c->x[panel], c->y, marker_of(i));
    }
}

/* The part of a curve's name that is drawn. */
static const char *name_of(const px_plot_curve *curve) {
    const size_t length = strlen(curve->name);
    return curve->name + (length > NAME ? length - NAME : 0);
}

/* Draws a row for each curve to the right of the panels, in pixels from the top. */
static void draw_legend(const plplot *p, const px_plot *plot, const page_size *page) {
    const double left = PX_PLOT_PANELS * (LABELS + PANEL) + 20;
    char label[LABEL];
    p->c_plvpor(0, 1, 0, 1);
    p->c_plwind(0, page->width, page->height, 0);
    for (int i = 0; i < plot->count; i++) {
        const double row = 25 + LEGEND_ROW * (i + 0.5), x[] = {left, left + LEGEND_LINE - 12}, y[] = {row, row};
        const double middle = (x[0] + x[1]) / 2;
        p->c_plcol0(color_of(i));
        p->c_plline(2, x, y);
        p->c_plstring(1, &middle, y, marker_of(i));
        p->c_plcol0(TEXT);
        p->c_plptex(left + LEGEND_LINE, row, 1, 0, 0, escape(name_of(&plot->curves[i]), label));
    }
}

static void draw(const plplot *p, const px_plot *plot, const page_size *page, uint8_t *rgb) {
    p->c_plsdev("memcairo");
    p->c_plsmem(page->width, page->height, rgb);
    p->c_plspause(0);
    p->c_plscmap0n(COLORS);
    for (int i = 0; i < COLORS; i++) p->c_plscol0a(i, colors[i][0], colors[i][1], colors[i][2], 1);
    p->c_plinit();
    p->c_pladv(0);
    p->c_plschr(0, (double)TEXT_SCALE / page->width); /* the default size is a part of the page's width */
    p->c_plwidth(1.5);
    p->c_plsxax(NUMBER, 0);
    p->c_plsyax(NUMBER, 0);
    for (int panel = 0; panel < PX_PLOT_PANELS; panel++) draw_panel(p, plot, page, panel);
    draw_legend(p, plot, page);
    p->c_plend();
}

static page_size page_of(const px_plot *plot) {
    int longest = 0;
    for (int i = 0; i < plot->count; i++) {
        const int length = (int)strlen(name_of(&plot->curves[i]));
        if (length > longest) longest = length;
    }
    const int more = plot->count > LEGEND_ROWS ? plot->count - LEGEND_ROWS : 0;
    return (page_size){.width = PX_PLOT_PANELS * (LABELS + PANEL) + 20 + LEGEND_LINE + longest * CHARACTER + 20,
                       .height = HEIGHT + more * LEGEND_ROW};
}

px_status px_plot_write(px_context *ctx, const char *path, const px_plot *plot) {
    const page_size page = page_of(plot);
    const size_t bytes = (size_t)page.width * (size_t)page.height * 3;
    plplot p;
    PX_TRY(load(ctx, &p));
    uint8_t *rgb = malloc(bytes);
    if (!rgb) return px_fail_memory(ctx, path, bytes);
    memset(rgb, 255, bytes);
    draw(&p, plot, &page, rgb);
    const px_grid_layout grid = {
        .images = 1, .height = page.height, .width = page.width, .channels = 3, .columns = 1, .scale = 1};
    const px_status status = px_png_grid_write(ctx, path, rgb, &grid);
    free(rgb);
    return status;
}
