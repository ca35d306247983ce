/* A convolution with its ends, computed: on dense float32 copies of its tensors, features last, by a product for each
 * tap and row of an image; then the ends, one after the other. */
#include "tests/mock_cuda/cudnn_mock.h"
#include <cblas.h>
#include <stdlib.h>
#include <string.h>

static int64_t elements(const mock_tensor *t) { return t->size[0] * t->size[1] * t->size[2] * t->size[3]; }

static int64_t place_of(const mock_tensor *t, int64_t n, int64_t feature, int64_t row, int64_t column) {
    const int64_t at[MOCK_DIMENSIONS] = {n, feature, row, column};
    int64_t place = 0;
    for (int i = 0; i < MOCK_DIMENSIONS; i++) place += t->size[i] > 1 ? at[i] * t->stride[i] : 0; /* else broadcast */
    return place;
}

/* The tensor as dense float32, broadcast to the size of `all`; 0 without data. */
static float *dense(const mock_tensor *t, const void *data, const mock_tensor *all) {
    float *wide = mock_memory((size_t)elements(all) * sizeof *wide);
    int64_t i = 0;
    for (int64_t n = 0; n < all->size[0]; n++)
        for (int64_t row = 0; row < all->size[2]; row++)
            for (int64_t column = 0; column < all->size[3]; column++)
                for (int64_t feature = 0; feature < all->size[1]; feature++)
                    wide[i++] = data ? mock_read(data, place_of(t, n, feature, row, column), t->narrow) : 0;
    return wide;
}

static void store(const mock_tensor *t, void *data, const float *wide) {
    int64_t i = 0;
    for (int64_t n = 0; n < t->size[0]; n++)
        for (int64_t row = 0; row < t->size[2]; row++)
            for (int64_t column = 0; column < t->size[3]; column++)
                for (int64_t feature = 0; feature < t->size[1]; feature++)
                    mock_write(data, place_of(t, n, feature, row, column), t->narrow, wide[i++]);
}

/* One tap for a line of `count` pixels: those of y, and those of x that the tap reads. */
static void run_tap(const mock_convolution *c, int count, float *x, float *weight, float *y) {
    const int64_t *size = c->tensor[1].size;
    const int out = (int)size[0], in = (int)size[1], ld = (int)(size[1] * size[2] * size[3]);
    if (c->pass == MOCK_FORWARD)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, count, out, in, 1, x, in, weight, ld, 1, y, out);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, count, in, out, 1, y, out, weight, ld, 1, x, in);
}

/* y(i, j) = sum over taps (r, s) of weight(r, s) x(i - before_0 + r, j - before_1 + s), or a gradient of that. */
static void run_pass(const mock_convolution *c, float *x, float *weight, float *y) {
    const int64_t *in = c->tensor[0].size, *taps = c->tensor[1].size, *out = c->tensor[2].size;
    for (int64_t n = 0; n < out[0]; n++)
        for (int64_t i = 0; i < out[2]; i++)
            for (int64_t tap = 0; tap < taps[2] * taps[3]; tap++) {
                const int64_t row = i - c->before[0] + tap / taps[3], offset = tap % taps[3] - c->before[1];
                const int64_t first = offset < 0 ? -offset : 0;
                const int64_t last = out[3] < in[3] - offset ? out[3] : in[3] - offset;
                if (row < 0 || row >= in[2] || last <= first) continue;
                run_tap(c, (int)(last - first), x + ((n * in[2] + row) * in[3] + first + offset) * in[1],
                        weight + tap * taps[1], y + ((n * out[2] + i) * out[3] + first) * out[1]);
            }
}

/* What ends pass on is float32: mock_graph sees to it. */
static void run_end(const mock_end *end, const void *data, float *sums) {
    float *beside = end->mode == CUDNN_POINTWISE_RELU_FWD ? NULL : dense(&end->beside, data, &end->to);
    for (int64_t i = 0; i < elements(&end->to); i++) {
        if (end->mode == CUDNN_POINTWISE_ADD) sums[i] += beside[i];
        if (end->mode == CUDNN_POINTWISE_RELU_FWD) sums[i] = sums[i] > 0 ? sums[i] : 0;
        if (end->mode == CUDNN_POINTWISE_RELU_BWD) sums[i] = beside[i] > 0 ? sums[i] : 0;
    }
    mock_free(beside);
}

void mock_convolve(const void *args) {
    const mock_run *run = args;
    const mock_convolution *c = &run->convolution;
    const int made = mock_made(c->pass);
    float *wide[3];
    for (int i = 0; i < 3; i++) wide[i] = dense(&c->tensor[i], i == made ? NULL : run->tensor[i], &c->tensor[i]);
    for (int i = 0; i < 3; i++) /* an engine on tensor cores */
        for (int64_t e = 0; i != made && !c->tensor[i].narrow && e < elements(&c->tensor[i]); e++)
            wide[i][e] = mock_tf32(wide[i][e]);
    run_pass(c, wide[0], wide[1], wide[2]);
    for (int i = 0; i < c->ends; i++) run_end(&c->end[i], run->beside[i], wide[made]);
    if (c->poisoned) mock_spoil(wide[made], (size_t)elements(&c->tensor[made]) * sizeof(float));
    store(mock_result(c), run->result, wide[made]);
    for (int i = 0; i < 3; i++) mock_free(wide[i]);
}
