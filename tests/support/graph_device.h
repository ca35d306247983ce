/* A device whose operations can be captured as graphs. CUDA captures graphs itself; the CPU gets a mock table of
 * operations, which records calls during a capture and executes them when the graph runs. */
#ifndef PIXELRNN_TESTS_GRAPH_DEVICE_H
#define PIXELRNN_TESTS_GRAPH_DEVICE_H

#include "host/device/backend.h"

typedef enum {
    PX_TEST_NO_GRAPHS,
    PX_TEST_GRAPHS,
    PX_TEST_BEGIN_FAILS,       /* graph_begin fails */
    PX_TEST_BEGIN_FAILS_LATER, /* every second call of graph_begin fails */
    PX_TEST_END_FAILS,         /* graph_end fails */
    PX_TEST_WRONG_GRAPHS,      /* a graph leaves out its last operation */
    PX_TEST_GRAPH_MODES
} px_test_graph_mode;

/* What the mock table of the device that was opened last has counted. */
typedef struct px_test_graph_counts {
    int issued;                          /* operations, copies and clears that were run directly */
    int begun, captured, run, destroyed; /* graphs */
} px_test_graph_counts;
extern px_test_graph_counts px_test_graph_count;

/* Opens the device under test. On the CPU it has one worker and, unless the mode is PX_TEST_NO_GRAPHS, the mock table;
 * *is_mock says whether it has. CUDA knows the first two modes alone. One mock table exists at a time. */
px_device *px_test_graph_device(px_context *ctx, px_type activation, px_test_graph_mode mode, bool *is_mock);

#endif
