/* The table of `pixelrnn bench`: configs side by side. */
#include "host/cli/bench.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DESCRIBED = 7, COLUMNS = DESCRIBED + PX_BENCH_PHASES, CELL = 64, LEFT = 2 /* columns that are aligned left */ };

typedef struct row {
    int count;
    char cell[COLUMNS][CELL];
} row;

const char *px_bench_precision(const px_config *config) {
    return sizeof(px_real) == sizeof(float) ? px_config_word("precision", config->precision) : "float64";
}

__attribute__((format(printf, 2, 3))) static void add_cell(row *r, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(r->cell[r->count++], CELL, format, arguments);
    va_end(arguments);
}

static void fill_heading(row *r, const px_bench_report *first) {
    static const char *const names[DESCRIBED] = {"config", "model", "layers", "h", "batch", "precision", "size"};
    for (int i = 0; i < DESCRIBED; i++) add_cell(r, "%s", names[i]);
    for (int phase = 0; phase < PX_BENCH_PHASES; phase++)
        if (first->result.phase[phase].count) add_cell(r, "%s", px_bench_phase_names[phase]);
}

static void fill_row(row *r, const px_bench_report *report, const px_bench_report *first) {
    const px_config *c = &report->config;
    const px_image_size *size = &report->size;
    add_cell(r, "%.40s", c->name);
    add_cell(r, "%s", px_config_word("model.kind", c->model.kind));
    add_cell(r, "%lld", (long long)c->model.layers);
    add_cell(r, "%lld", (long long)c->model.hidden);
    add_cell(r, "%lld", (long long)c->train.batch_size);
    add_cell(r, "%s", px_bench_precision(c));
    add_cell(r, "%lld x %lld x %lld", (long long)size->height, (long long)size->width, (long long)size->channels);
    for (int phase = 0; phase < PX_BENCH_PHASES; phase++) {
        if (!report->result.phase[phase].count) continue;
        const double rate = px_bench_images_per_second(&report->result, (px_bench_phase)phase);
        const double base = px_bench_images_per_second(&first->result, (px_bench_phase)phase);
        const int digits = rate < 10 ? 2 : rate < 100 ? 1 : 0;
        if (report == first)
            add_cell(r, "%.*f", digits, rate);
        else
            add_cell(r, "%.*f (%.2f x)", digits, rate, rate / base);
    }
}

/* Prints a cell. A vertical bar in it would end the cell. */
static void print_cell(const char *text) {
    fputs("| ", stdout);
    for (; *text; text++) {
        if (*text == '|') fputc('\\', stdout);
        fputc(*text, stdout);
    }
    fputc(' ', stdout);
}

static void print_markdown(const row *rows, int count) {
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < rows->count; j++) print_cell(rows[i].cell[j]);
        printf("|\n");
        for (int j = 0; i == 0 && j < rows->count; j++) printf(j < LEFT ? "| --- " : "| ---: ");
        if (i == 0) printf("|\n");
    }
}

static void print_aligned(const row *rows, int count) {
    int width[COLUMNS] = {0};
    for (int i = 0; i < count; i++)
        for (int j = 0; j < rows->count; j++)
            if ((int)strlen(rows[i].cell[j]) > width[j]) width[j] = (int)strlen(rows[i].cell[j]);
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < rows->count; j++)
            printf("%s%*s", j ? "  " : "", j < LEFT ? -width[j] : width[j], rows[i].cell[j]);
        printf("\n");
    }
}

px_status px_bench_print_table(px_context *ctx, const px_bench_report *reports, int count, bool markdown) {
    const time_t now = time(NULL);
    char date[16];
    row *rows = calloc((size_t)count + 1, sizeof *rows);
    if (!rows) return px_fail_memory(ctx, "bench", (size_t)(count + 1) * sizeof *rows);
    fill_heading(&rows[0], reports);
    for (int i = 0; i < count; i++) fill_row(&rows[i + 1], &reports[i], reports);
    strftime(date, sizeof date, "%Y-%m-%d", gmtime(&now));
    printf("%simages/s on %s: %s (%s)%s\n%s", markdown ? "" : "\n", reports->kind, reports->description, date,
           count > 1 ? "; in parentheses, multiples of the first config" : "", markdown ? "\n" : "");
    (markdown ? print_markdown : print_aligned)(rows, count + 1);
    free(rows);
    return PX_OK;
}
