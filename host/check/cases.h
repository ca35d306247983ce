/* Cases for checks, tests and benches: the taps of the models' layers, and sizes that include odd and degenerate
 * ones. */
#ifndef PIXELRNN_CHECK_CASES_H
#define PIXELRNN_CHECK_CASES_H

#include "host/model/network.h"

#define PX_COUNT(array) (sizeof(array) / sizeof *(array))

typedef struct px_taps_case {
    const char *name;
    int rows, columns, centre; /* of px_taps_rectangle, if count is 0 */
    int count;                 /* of px_taps_list */
    px_tap at[3];
} px_taps_case;

static const px_taps_case px_taps_cases[] = {
    {.name = "the pixel", .rows = 1, .columns = 1, .centre = 0},
    {.name = "4 x 7, 25 live", .rows = 4, .columns = 7, .centre = 3},
    {.name = "2 x 3, 5 live", .rows = 2, .columns = 3, .centre = 1},
    {.name = "1 x 2", .rows = 1, .columns = 2, .centre = 1},
    {.name = "row above", .count = 3, .at = {{-1, -1}, {-1, 0}, {-1, 1}}},
    {.name = "above and left", .count = 2, .at = {{-1, 0}, {0, -1}}},
    {.name = "above and right", .count = 2, .at = {{-1, 0}, {0, 1}}},
};

static inline px_taps px_taps_of(const px_taps_case *c) {
    return c->count ? px_taps_list(c->count, c->at) : px_taps_rectangle(c->rows, c->columns, c->centre);
}

/* One pixel; one row; one column; H != W; no image. */
static const px_grid px_grid_cases[] = {{1, 1, 1}, {2, 1, 6}, {1, 6, 1}, {2, 3, 5}, {3, 8, 4}, {0, 3, 5}};

/* Features in and out: 1, odd, not divisible by 4, 16 bytes of bfloat16, more than a warp. */
typedef struct px_width_case {
    int in, out;
} px_width_case;
static const px_width_case px_width_cases[] = {{1, 1}, {3, 20}, {5, 7}, {7, 64}, {8, 16}, {64, 5}, {64, 128}};

/* The im2col matrix is so large that it is processed in several chunks, of which the last is smaller. */
static const px_grid px_large_grid = {70, 32, 32};
static const px_width_case px_large_width = {512, 8};

typedef struct px_gemm_case {
    size_t m, n, k;
    bool transpose_a, transpose_b;
    size_t pad; /* added to the smallest possible leading dimensions */
    int batch;
    bool backwards; /* the problems of a batch are stored in reverse order */
    px_real beta;
} px_gemm_case;

static const px_gemm_case px_gemm_cases[] = {
    {1, 1, 1, false, false, 0, 1, false, 0},     {1, 7, 5, false, true, 0, 1, false, 0},
    {5, 1, 7, true, false, 1, 1, false, 1},      {7, 5, 1, true, true, 3, 1, false, 0},
    {33, 65, 17, false, false, 0, 2, false, 1},  {64, 64, 64, false, false, 0, 1, false, 0},
    {64, 64, 64, true, false, 4, 2, true, 1},    {64, 64, 64, false, true, 0, 3, true, 0},
    {128, 256, 96, true, true, 8, 2, false, 1},  {16, 20, 10, false, true, 0, 2, false, 0},
    {20, 35, 4000, true, false, 0, 1, false, 0}, {300, 512, 256, false, true, 0, 2, false, 0},
    {0, 5, 7, false, false, 0, 1, false, 0},     {5, 0, 7, false, false, 0, 1, false, 0},
    {5, 7, 0, false, false, 2, 2, false, 0},     {5, 7, 0, true, false, 0, 1, false, 1},
    {5, 7, 3, false, false, 0, 0, false, 0},
};

/* Recurrences over a grid, with D hidden features. */
typedef struct px_recurrence_case {
    px_grid grid;
    int hidden;
} px_recurrence_case;
static const px_recurrence_case px_recurrence_cases[] = {
    {{1, 1, 1}, 1}, {{2, 1, 5}, 7}, {{2, 4, 1}, 5}, {{3, 5, 3}, 7}, {{2, 4, 6}, 64}, {{0, 3, 4}, 5},
};

/* Row LSTM: a step is a row; its positions are the columns, each with three taps in the row above. */
static inline px_recurrence_args px_row_recurrence(px_grid grid, int hidden) {
    return (px_recurrence_args){.grid = grid,
                                .steps = grid.height,
                                .positions = grid.width,
                                .length = grid.height,
                                .taps = 3,
                                .first_tap = -1,
                                .hidden = hidden,
                                .directions = 1,
                                .direction = {{.stride_step = grid.width, .stride_position = 1}}};
}

/* Diagonal BiLSTM: a step is a diagonal; its positions are the rows, and each row begins one step after the row above.
 * Direction 0 goes from left to right, direction 1 from right to left. */
static inline px_recurrence_args px_diagonal_recurrence(px_grid grid, int hidden) {
    return (px_recurrence_args){
        .grid = grid,
        .steps = grid.height + grid.width - 1,
        .positions = grid.height,
        .skew = 1,
        .length = grid.width,
        .taps = 2,
        .first_tap = -1,
        .hidden = hidden,
        .directions = 2,
        .direction = {{.stride_step = 1, .stride_position = grid.width - 1},
                      {.origin = grid.width - 1, .stride_step = -1, .stride_position = grid.width + 1}}};
}

/* Shapes for pointwise operations and operations on rows. */
typedef struct px_tensor_case {
    size_t rows;
    int columns;
} px_tensor_case;
static const px_tensor_case px_tensor_cases[] = {{1, 1},   {0, 5},    {7, 1},    {3, 5},
                                                 {1, 300}, {130, 64}, {5000, 7}, {9, 1000}};

#endif
