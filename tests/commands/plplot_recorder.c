/* A libplplot that draws nothing: it prints the texts, and the curves as points of data. */
#include <stdio.h>

void plgFileDevs(const char ***menu, const char ***device, int *count) {
    (*menu)[0] = (*device)[0] = "memcairo";
    *count = 1;
}

void c_plsdev(const char *device) { printf("device %s\n", device); }
void c_plsxax(int longest, int digits) { printf("x numbers of %d characters, %d\n", longest, digits); }
void c_plsyax(int longest, int digits) { printf("y numbers of %d characters, %d\n", longest, digits); }
void c_plmtex(const char *side, double offset, double at, double justify, const char *text) {
    (void)offset, (void)at, (void)justify;
    printf("label %s: %s\n", side, text);
}
void c_plptex(double x, double y, double dx, double dy, double justify, const char *text) {
    (void)x, (void)y, (void)dx, (void)dy, (void)justify;
    printf("legend: %s\n", text);
}
void c_plline(int count, const double *x, const double *y) {
    for (int i = 0; i < count; i++) printf("%.5g,%.5g%s", x[i], y[i], i + 1 < count ? " " : "\n");
}

void c_plsmem(int width, int height, void *rgb) { (void)width, (void)height, (void)rgb; }
void c_plscol0a(int color, int r, int g, int b, double alpha) { (void)color, (void)r, (void)g, (void)b, (void)alpha; }
void c_plscmap0n(int colors) { (void)colors; }
void c_plspause(int pause) { (void)pause; }
void c_plinit(void) {}
void c_plend(void) {}
void c_pladv(int page) { (void)page; }
void c_plvpor(double left, double right, double bottom, double top) {
    (void)left, (void)right, (void)bottom, (void)top;
}
void c_plwind(double left, double right, double bottom, double top) {
    (void)left, (void)right, (void)bottom, (void)top;
}
void c_plcol0(int color) { (void)color; }
void c_plwidth(double width) { (void)width; }
void c_plschr(double millimetres, double scale) { (void)millimetres, (void)scale; }
void c_plbox(const char *x, double x_tick, int x_sub, const char *y, double y_tick, int y_sub) {
    (void)x, (void)x_tick, (void)x_sub, (void)y, (void)y_tick, (void)y_sub;
}
void c_plstring(int count, const double *x, const double *y, const char *text) {
    (void)count, (void)x, (void)y, (void)text;
}
