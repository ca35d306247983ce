/* The progress line: redrawn on a terminal, printed at intervals elsewhere. */
#include "host/logging/logging.h"
#include "host/io/clock.h"
#include <stdarg.h>
#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define REDRAW_SECONDS 0.1
#define PLAIN_SECONDS  5.0
#define CLEAR_LINE     "\r\033[K"

enum { BAR_MIN = 8, BAR_MAX = 40, EDGES = 2, GAP = 2, PART_BYTES = 192, LINE_BYTES = 1536 };

/* The parts of a line, in the order of output; "" is left out. */
enum { LABEL, BAR, SHARE, COUNT, RATE, DETAIL, TIME, PARTS };
typedef char line_parts[PARTS][PART_BYTES];

/* Reads the locale of the environment. The locale of the process is not set, which is the right of its main. */
static bool locale_is_utf8(void) {
    locale_t locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
    if (!locale) return false;
    bool utf8 = strcmp(nl_langinfo_l(CODESET, locale), "UTF-8") == 0;
    freelocale(locale);
    return utf8;
}

/* ---- The parts of a line ---- */

static void format_time(char *text, size_t size, double seconds) {
    long long s = (long long)(seconds + 0.5);
    if (s < 3600)
        snprintf(text, size, "%lld:%02lld", s / 60, s % 60);
    else
        snprintf(text, size, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
}

static void describe_count(const px_progress *progress, char part[PART_BYTES]) {
    const double scale = progress->count_images ? progress->images : 1;
    /* Images are counted as parts of a batch: the small term makes up for rounding in the product. */
    const long long done = (long long)((double)progress->done * scale + 1e-6);
    const long long total = (long long)((double)progress->total * scale + 0.5);
    snprintf(part, PART_BYTES, "%lld/%lld%s", done, total, progress->count_images ? " images" : "");
}

static void describe_rate(const px_progress *progress, double elapsed, char part[PART_BYTES]) {
    const double units = (double)(progress->done - progress->start);
    const double rate = units / (progress->busy > 0 ? progress->busy : elapsed);
    const double shown = progress->images > 0 ? rate * progress->images : rate;
    snprintf(part, PART_BYTES, "%.*f%s/s",
             shown < 10    ? 2
             : shown < 100 ? 1
                           : 0,
             shown, progress->images > 0 ? " images" : "");
}

static void describe(const px_progress *progress, const char *detail, double now, line_parts parts) {
    const int64_t done = progress->done, total = progress->total, fresh = done - progress->start;
    double elapsed = now - progress->started;
    char passed[32], left[32];
    memset(parts, 0, sizeof(line_parts));

    snprintf(parts[LABEL], PART_BYTES, "%s", progress->label);
    snprintf(parts[SHARE], PART_BYTES, "%3d%%", total > 0 ? (int)(100.0 * (double)done / (double)total) : 100);
    describe_count(progress, parts[COUNT]);
    snprintf(parts[DETAIL], PART_BYTES, "%s", detail ? detail : "");
    format_time(passed, sizeof passed, elapsed);
    snprintf(parts[TIME], PART_BYTES, "%s", passed);
    if (fresh <= 0 || elapsed <= 0) return;

    describe_rate(progress, elapsed, parts[RATE]);
    if (done >= total) return;
    format_time(left, sizeof left, (double)(total - done) * elapsed / (double)fresh);
    snprintf(parts[TIME], PART_BYTES, "%s, %s left", passed, left);
}

/* The columns of a part: its characters, because none is wide. */
static int part_cells(const char *part, bool utf8) {
    int total = 0;
    for (const char *c = part; *c; c++) total += !utf8 || ((unsigned char)*c & 0xc0) != 0x80;
    return total;
}

/* The columns of a line: its parts, and the gaps between them. */
static int line_cells(line_parts parts, bool utf8) {
    int total = 0;
    for (int i = 0; i < PARTS; i++) {
        if (parts[i][0] && total) total += GAP;
        total += part_cells(parts[i], utf8);
    }
    return total;
}

static void append(char *text, const char *piece, int times) {
    size_t length = strlen(piece);
    for (text += strlen(text); times > 0; times--, text += length) memcpy(text, piece, length + 1);
}

/* Draws ▕███████▍    ▏ to an eighth of a cell, or [#######     ]. */
static void draw_bar(char *text, int width, double share, bool utf8) {
    static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    int filled = (int)(share * width * 8), full = filled / 8;
    const char *tip = utf8 ? eighths[filled % 8] : "";
    text[0] = 0;
    append(text, utf8 ? "▕" : "[", 1);
    append(text, utf8 ? "█" : "#", full);
    append(text, tip, 1);
    append(text, " ", width - full - (*tip != 0));
    append(text, utf8 ? "▏" : "]", 1);
}

/* Removes parts that do not fit the terminal, the least important first. The bar fills the remaining width, which is
 * one column less than the terminal has, because some terminals wrap after the last one. */
static void fit_width(const px_progress *progress, line_parts parts) {
    struct winsize size;
    const bool known = ioctl(fileno(progress->out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    const int width = (known ? size.ws_col : 80) - 1;
    static const int removable[] = {RATE, COUNT, LABEL, TIME};
    enum { REMOVABLE = sizeof removable / sizeof *removable };
    for (int i = 0; i < REMOVABLE && line_cells(parts, progress->utf8) + GAP + EDGES + BAR_MIN > width; i++)
        parts[removable[i]][0] = 0;
    const bool detail_fits = part_cells(parts[DETAIL], progress->utf8) <= width;
    if (line_cells(parts, progress->utf8) > width) parts[detail_fits ? SHARE : DETAIL][0] = 0;
    if (line_cells(parts, progress->utf8) > width) parts[SHARE][0] = 0;
    int left = width - line_cells(parts, progress->utf8) - GAP - EDGES;
    if (left < 1) return;
    double share = progress->total > 0 ? (double)progress->done / (double)progress->total : 1;
    share = share < 0 ? 0 : share > 1 ? 1 : share;
    draw_bar(parts[BAR], left < BAR_MAX ? left : BAR_MAX, share, progress->utf8);
}

/* ---- Drawing ---- */

static void draw(px_progress *progress, const char *detail, double now) {
    line_parts parts;
    describe(progress, detail, now, parts);
    if (progress->terminal) fit_width(progress, parts);

    /* A line that is written in pieces flickers. */
    char line[LINE_BYTES] = "";
    append(line, progress->terminal ? CLEAR_LINE : "", 1);
    bool first = true;
    for (int i = 0; i < PARTS; i++) {
        if (!parts[i][0]) continue;
        append(line, " ", first ? 0 : GAP);
        append(line, parts[i], 1);
        first = false;
    }
    append(line, progress->terminal ? "" : "\n", 1);
    fputs(line, progress->out);
    fflush(progress->out);
    progress->drawn = now;
}

void px_progress_begin(px_progress *progress, FILE *out, const char *label, int64_t start, int64_t total) {
    double now = px_clock_seconds();
    const char *kind = getenv("TERM");
    *progress = (px_progress){.out = out,
                              .terminal = isatty(fileno(out)) && !(kind && strcmp(kind, "dumb") == 0),
                              .utf8 = locale_is_utf8(),
                              .start = start,
                              .done = start,
                              .total = total,
                              .started = now,
                              .drawn = now};
    snprintf(progress->label, sizeof progress->label, "%s", label);
    if (progress->terminal) draw(progress, "", now);
}

void px_progress_update(px_progress *progress, int64_t done, const char *detail) {
    progress->done = done;
    double now = px_clock_seconds();
    if (now - progress->drawn >= (progress->terminal ? REDRAW_SECONDS : PLAIN_SECONDS)) draw(progress, detail, now);
}

void px_progress_clear(px_progress *progress) {
    if (!progress->terminal) return;
    fputs(CLEAR_LINE, progress->out);
    fflush(progress->out);
    progress->drawn = 0;
}

void px_progress_line(px_progress *progress, const char *format, ...) {
    va_list arguments;
    px_progress_clear(progress);
    va_start(arguments, format);
    vfprintf(progress->out, format, arguments);
    va_end(arguments);
    fputc('\n', progress->out);
    fflush(progress->out);
}
