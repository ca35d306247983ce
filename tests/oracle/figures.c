/* Lists of named numbers. */
#include "tests/oracle/figures.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void figures_add(figures *r, double value, double tolerance, const char *format, ...) {
    if (r->count == r->capacity) {
        r->capacity = r->capacity ? 2 * r->capacity : 1024;
        r->entries = realloc(r->entries, r->capacity * sizeof *r->entries);
        if (!r->entries) abort();
    }
    figure *entry = &r->entries[r->count++];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(entry->name, sizeof entry->name, format, arguments);
    va_end(arguments);
    entry->value = value;
    entry->tolerance = tolerance;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const figure *)a)->name, ((const figure *)b)->name);
}

void figures_sort(figures *r) { qsort(r->entries, r->count, sizeof *r->entries, by_name); }

void figures_free(figures *r) {
    free(r->entries);
    *r = (figures){0};
}

static double distance(double found, const figure *expected) {
    const double difference = fabs(found - expected->value);
    if (difference == 0) return 0;
    return expected->tolerance > 0 && isfinite(difference) ? difference / expected->tolerance : INFINITY;
}

figure_difference figures_compare(const figures *found, const figures *expected) {
    figure_difference worst = {.name = "nothing"};
    size_t f = 0, e = 0;
    while (f < found->count || e < expected->count) {
        const figure *a = f < found->count ? &found->entries[f] : NULL;
        const figure *b = e < expected->count ? &expected->entries[e] : NULL;
        const int order = !a ? 1 : !b ? -1 : strcmp(a->name, b->name);
        figure_difference d = {.distance = INFINITY, .missing = order > 0, .unexpected = order < 0};
        d.name = order > 0 ? b->name : a->name;
        if (order <= 0) d.found = a->value, f++;
        if (order >= 0) d.expected = b->value, d.tolerance = b->tolerance, e++;
        if (order == 0) d.distance = distance(a->value, b);
        if (d.distance > worst.distance) worst = d;
    }
    return worst;
}

double figures_value(const figures *r, const char *name) {
    figure key = {.value = 0};
    snprintf(key.name, sizeof key.name, "%s", name);
    const figure *entry = bsearch(&key, r->entries, r->count, sizeof key, by_name);
    if (!entry) fprintf(stderr, "figures: found no entry %s\n", name), abort();
    return entry->value;
}
