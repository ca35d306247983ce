/* Lists of named numbers, and their comparison. One list holds what the oracle expects, the other what the program
 * reported. */
#ifndef PIXELRNN_TESTS_ORACLE_FIGURES_H
#define PIXELRNN_TESTS_ORACLE_FIGURES_H

#include <stdbool.h>
#include <stddef.h>

typedef struct figure {
    char name[112];
    double value;
    double tolerance; /* absolute; 0: the value must be equal */
} figure;

typedef struct figures {
    figure *entries; /* sorted by name after figures_sort */
    size_t count, capacity;
} figures;

void figures_add(figures *report, double value, double tolerance, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void figures_sort(figures *report);
void figures_free(figures *report);

/* The largest difference between two sorted reports, in units of the tolerance of the expected entry. The reports
 * differ if distance is above 1. An entry that only one report has is at an infinite distance. */
typedef struct figure_difference {
    double distance;
    const char *name; /* "nothing" if there is no difference */
    double found, expected, tolerance;
    bool missing, unexpected; /* only `expected`, or only `found`, has the entry */
} figure_difference;
figure_difference figures_compare(const figures *found, const figures *expected);

/* The value of the entry of this name. A name that is not in the report ends the process. */
double figures_value(const figures *report, const char *name);

#endif
