/* Named figures, and the comparison of two lists of them: what the oracle expects, and what the program reported. */
#ifndef PIXELRNN_TESTS_ORACLE_FIGURES_H
#define PIXELRNN_TESTS_ORACLE_FIGURES_H

#include <stdbool.h>
#include <stddef.h>

typedef struct figure {
    char name[112];
    double value;
    double tolerance; /* 0: the value must be the same */
} figure;

typedef struct figures {
    figure *entries; /* sorted by name once figures_sort was called */
    size_t count, capacity;
} figures;

void figures_add(figures *report, double value, double tolerance, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void figures_sort(figures *report);
void figures_free(figures *report);

/* The worst difference between two sorted reports. distance is in tolerances, which are those of `expected`: above
 * 1, the reports differ. An entry that only one of them has is at an infinite distance. */
typedef struct figure_difference {
    double distance;
    const char *name; /* "nothing" without a difference */
    double found, expected, tolerance;
    bool missing, unexpected; /* `expected` alone has the entry, or `found` alone */
} figure_difference;
figure_difference figures_compare(const figures *found, const figures *expected);

/* The entry of that name; it must be there. */
double figures_value(const figures *report, const char *name);

#endif
