/* The table of pixelrnn compare: properties of the runs, one a line, and a column for each run. */
#include "host/cli/compare.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    CELL = 44,                   /* bytes of a cell; longer texts are cut */
    MAX_LINES = PX_MAX_KEYS + 32 /* of the table */
};

/* Cells line by line: cells[line * (count + 1)] is the name of the line, and those of the runs follow. */
typedef struct table {
    const px_compared_run *runs;
    int count, lines;
    char (*cells)[CELL];
    bool once[MAX_LINES]; /* the line is printed below the table */
} table;

/* Writes a text into a cell, with commas in place of the tabs of a list. */
static void put(char cell[CELL], const char *text) {
    const size_t length = strlen(text);
    snprintf(cell, CELL, "%.*s%s", CELL - 4, text, length > CELL - 4 ? "..." : "");
    for (char *c = cell; *c; c++)
        if (*c == '\t') *c = ',';
    if (length == 0) strcpy(cell, "-");
}

static void put_number(char cell[CELL], int decimals, double value) {
    if (isfinite(value))
        snprintf(cell, CELL, "%.*f", decimals, value);
    else
        strcpy(cell, "-");
}

/* ---- The properties ---- */

static void write_step(const px_compared_run *run, char cell[CELL]) {
    snprintf(cell, CELL, "%lld of %lld", (long long)run->step, (long long)run->config.train.steps);
}
static void write_images(const px_compared_run *run, char cell[CELL]) {
    put_number(cell, 0, (double)run->step * (double)run->config.train.batch_size);
}
static void write_parameters(const px_compared_run *run, char cell[CELL]) { put_number(cell, 0, run->parameters); }
static void write_evaluated(const px_compared_run *run, char cell[CELL]) {
    put(cell, run->best ? px_split_name(run->evaluated) : "");
}
static void write_nats(const px_compared_run *run, char cell[CELL]) {
    put_number(cell, 3, run->best ? px_compared_nll(run, run->best).nats_per_image : NAN);
}
static void write_bits(const px_compared_run *run, char cell[CELL]) {
    put_number(cell, 4, run->best ? px_compared_nll(run, run->best).bits_per_dim : NAN);
}
static void write_error(const px_compared_run *run, char cell[CELL]) {
    put_number(cell, 3, run->best ? px_compared_nll(run, run->best).standard_error : NAN);
}
static void write_best_step(const px_compared_run *run, char cell[CELL]) {
    put_number(cell, 0, run->best ? (double)run->best->step : NAN);
}
static void write_test_nats(const px_compared_run *run, char cell[CELL]) {
    put_number(cell, 3, run->test ? run->test->test.nats_per_image : NAN);
}
static void write_test_bits(const px_compared_run *run, char cell[CELL]) {
    put_number(cell, 4, run->test ? run->test->test.bits_per_dim : NAN);
}
static void write_rate(const px_compared_run *run, char cell[CELL]) {
    put_number(cell, run->images_per_second < 100 ? 2 : 0, run->images_per_second);
}
static void write_hours(const px_compared_run *run, char cell[CELL]) {
    const px_history *h = &run->history;
    put_number(cell, 3, h->count > 0 ? h->rows[h->count - 1].seconds / 3600 : 0);
}
static void write_device(const px_compared_run *run, char cell[CELL]) {
    const cJSON *ranks = cJSON_GetObjectItemCaseSensitive(run->history.start, "ranks");
    char text[256];
    snprintf(text, sizeof text, "%d x %s", cJSON_IsNumber(ranks) ? ranks->valueint : 1,
             px_compared_text(run, "description"));
    put(cell, text);
}
static void write_version(const px_compared_run *run, char cell[CELL]) { put(cell, px_compared_text(run, "version")); }

static const struct {
    const char *name;
    void (*write)(const px_compared_run *run, char cell[CELL]);
} properties[] = {
    {"parameters", write_parameters},
    {"step", write_step},
    {"images seen", write_images},
    {"evaluated images", write_evaluated},
    {"best NLL, nats/image", write_nats},
    {"  bits/dim", write_bits},
    {"  standard error, nats", write_error},
    {"  at step", write_best_step},
    {"final test NLL, nats/image", write_test_nats},
    {"  bits/dim", write_test_bits},
    {"images/s", write_rate},
    {"hours", write_hours},
    {"ranks x device", write_device},
    {"version", write_version},
};
/* The last two are printed once below the table if they are the same in all of several runs. */
enum { PROPERTIES = sizeof properties / sizeof *properties, ONCE = PROPERTIES - 2 };

/* ---- Cells ---- */

/* The cells of the next line, whose first one is filled. */
static char (*add_line(table *t, const char *name))[CELL] {
    char(*line)[CELL] = t->cells + t->lines++ * (t->count + 1);
    snprintf(line[0], CELL, "%s", name);
    return line;
}

static bool all_equal(char (*cells)[CELL], int count) {
    for (int i = 1; i < count; i++)
        if (strcmp(cells[0], cells[i]) != 0) return false;
    return true;
}

static void fill(table *t, const bool *differs) {
    char text[PX_CONFIG_STRING];
    char(*line)[CELL] = add_line(t, "run");
    for (int i = 0; i < t->count; i++) put(line[i + 1], t->runs[i].label);
    for (const px_key *key = px_keys; key->name; key++) {
        if (!differs[key - px_keys]) continue;
        line = add_line(t, key->name);
        for (int i = 0; i < t->count; i++) {
            px_key_write(key, &t->runs[i].config, text);
            put(line[i + 1], text);
        }
    }
    for (int p = 0; p < PROPERTIES; p++) {
        line = add_line(t, properties[p].name);
        for (int i = 0; i < t->count; i++) properties[p].write(&t->runs[i], line[i + 1]);
        t->once[t->lines - 1] = p >= ONCE && t->count > 1 && all_equal(line + 1, t->count);
    }
}

/* ---- Printing ---- */

static int width_of(const table *t, int column) {
    int width = 0;
    for (int line = 0; line < t->lines; line++) {
        const int length = (int)strlen(t->cells[line * (t->count + 1) + column]);
        if (length > width && (column == 0 || !t->once[line])) width = length;
    }
    return width;
}

/* Prints the names of the lines, and the columns first .. end - 1. */
static void print_block(const table *t, int first, int end) {
    for (int line = 0; line < t->lines; line++) {
        char(*cells)[CELL] = t->cells + line * (t->count + 1);
        if (t->once[line]) continue;
        printf("%-*s", width_of(t, 0), cells[0]);
        for (int column = first; column < end; column++)
            printf("  %-*s", column + 1 < end ? width_of(t, column) : 0, cells[column]);
        putchar('\n');
    }
}

static void print(const table *t) {
    const int columns = px_cli_columns(stdout, PX_FULL_LINES);
    for (int first = 1, end; first <= t->count; first = end) {
        int used = width_of(t, 0);
        for (end = first; end <= t->count && (end == first || used + 2 + width_of(t, end) <= columns); end++)
            used += 2 + width_of(t, end);
        if (first > 1) putchar('\n');
        print_block(t, first, end);
    }
    for (int line = 0; line < t->lines; line++) {
        char(*cells)[CELL] = t->cells + line * (t->count + 1);
        if (t->once[line]) printf("%-*s  %s in all runs\n", width_of(t, 0), cells[0], cells[1]);
    }
}

px_status px_compare_print_table(px_context *ctx, const px_compared_run *runs, int count, const bool *differs) {
    static_assert(1 + PX_MAX_KEYS + PROPERTIES <= MAX_LINES, "MAX_LINES is too small");
    const size_t cells = (size_t)MAX_LINES * (size_t)(count + 1);
    table t = {.runs = runs, .count = count, .cells = calloc(cells, CELL)};
    if (!t.cells) return px_fail_memory(ctx, "compare", cells * CELL);
    fill(&t, differs);
    print(&t);
    free(t.cells);
    return PX_OK;
}
