/* Checks of GEMM and of the three convolutions. */
#include "host/check/cases.h"
#include "host/check/sides.h"

void px_check_gemm(px_sides *sides) {
    for (size_t i = 0; i < 2 * PX_COUNT(px_gemm_cases); i++) {
        const px_gemm_case *g = &px_gemm_cases[i / 2];
        px_sides_case(sides, "%zu x %zu x %zu, transposed %d %d, padded %zu, batch %d%s, beta %g, %s", g->m, g->n, g->k,
                      g->transpose_a, g->transpose_b, g->pad, g->batch, g->backwards ? " backwards" : "",
                      (double)g->beta, i % 2 ? "to float32" : "to activations");
        const size_t rows_a = g->transpose_a ? g->k : g->m, ld_a = (g->transpose_a ? g->m : g->k) + g->pad;
        const size_t rows_b = g->transpose_b ? g->n : g->k, ld_b = (g->transpose_b ? g->k : g->n) + g->pad;
        const size_t ld_c = g->n + g->pad, batch = (size_t)g->batch;
        const px_pair a = px_sides_activations(sides, batch * rows_a, (int)ld_a, PX_RANDOM),
                      b = px_sides_activations(sides, batch * rows_b, (int)ld_b, PX_RANDOM);
        const px_pair c = (i % 2 ? px_sides_reals : px_sides_activations)(sides, batch * g->m, (int)ld_c, PX_RANDOM);
        const size_t start = g->backwards ? (batch - 1) * rows_b : 0;
        const ptrdiff_t stride_b = (ptrdiff_t)(rows_b * ld_b);
        PX_BOTH(sides, gemm, .transpose_a = g->transpose_a, .transpose_b = g->transpose_b, .m = g->m, .n = g->n,
                .k = g->k, .operands = a.on[side].type, .result = c.on[side].type, .a = a.on[side].data,
                .b = px_tensor_slice(b.on[side], start, rows_b).data, .c = c.on[side].data, .ld_a = ld_a ? ld_a : 1,
                .ld_b = ld_b ? ld_b : 1, .ld_c = ld_c ? ld_c : 1, .beta = g->beta, .batch = g->batch,
                .stride_a = (ptrdiff_t)(rows_a * ld_a), .stride_b = g->backwards ? -stride_b : stride_b,
                .stride_c = (ptrdiff_t)(g->m * ld_c));
        PX_EXPECT(sides, gemm, c);
    }
}

typedef enum { NO_ADD, ADD, ADD_TO_ITSELF, ADDS } addend;

/* A case: the arguments of the three convolutions. */
typedef struct convolution {
    px_grid grid;
    px_taps taps;
    px_width_case width;
    bool relu, relu_y;
    addend add;
} convolution;

/* Runs check on all combinations, and on a few large ones that need several chunks. If brief, on every third
 * combination, and on smaller large ones. */
static void each_convolution(px_sides *sides, void (*check)(px_sides *sides, const convolution *)) {
    static const char *const adds[] = {"nothing", "a tensor", "the result"};
    for (size_t t = 0; t < PX_COUNT(px_taps_cases); t++)
        for (size_t size = 0; size <= PX_COUNT(px_grid_cases) * PX_COUNT(px_width_cases); size++)
            for (int variant = 0; variant < 4 * ADDS; variant++) {
                const bool large = size == PX_COUNT(px_grid_cases) * PX_COUNT(px_width_cases);
                convolution c = {.grid = large ? px_large_grid : px_grid_cases[size / PX_COUNT(px_width_cases)],
                                 .width = large ? px_large_width : px_width_cases[size % PX_COUNT(px_width_cases)],
                                 .taps = px_taps_of(&px_taps_cases[t]),
                                 .relu = variant % 2,
                                 .relu_y = variant / 2 % 2,
                                 .add = (addend)(variant / 4)};
                if (large && sides->brief) c.grid.images = 24; /* two chunks and a little, or one and a little */
                if (large && sides->device[1]->capability == 0) c.grid.images = 2; /* the CPU's chunks are smaller */
                if (!large && sides->brief && (t + size + (size_t)variant) % 3 != 0) continue;
                if (large && (c.taps.live > 5 || c.add != ADD_TO_ITSELF || !c.relu)) continue;
                px_sides_case(sides, "%s, %d images of %d x %d, %d to %d features, x %srelu, y %srelu, added to %s",
                              px_taps_cases[t].name, c.grid.images, c.grid.height, c.grid.width, c.width.in,
                              c.width.out, c.relu ? "" : "no ", c.relu_y ? "" : "no ", adds[c.add]);
                check(sides, &c);
            }
}

/* Half of the cases have a bias for each image. */
static size_t rows_of_bias(const convolution *c) {
    return c->relu == (c->add == NO_ADD) && c->grid.images > 0 ? (size_t)c->grid.images : 1;
}

static void check_one_convolve(px_sides *sides, const convolution *c) {
    const size_t pixels = px_grid_pixels(&c->grid);
    const px_pair x = px_sides_activations(sides, pixels, c->width.in, PX_RANDOM),
                  weight = px_sides_weight(sides, c->width.out, c->width.in, &c->taps);
    const px_pair bias = c->add == ADD && c->relu
                             ? px_pair_absent
                             : px_sides_activations(sides, rows_of_bias(c), c->width.out, PX_RANDOM);
    const px_pair y = px_sides_activations(sides, pixels, c->width.out,
                                           c->add == ADD_TO_ITSELF ? PX_RANDOM : PX_POISONED);
    const px_pair add = c->add == NO_ADD ? px_pair_absent
                        : c->add == ADD  ? px_sides_activations(sides, pixels, c->width.out, PX_RANDOM)
                                         : y;
    PX_BOTH(sides, convolve, .grid = c->grid, .taps = c->taps, .relu = c->relu, .relu_y = c->relu_y, .x = x.on[side],
            .weight = weight.on[side], .bias = bias.on[side], .add = add.on[side], .y = y.on[side]);
    PX_EXPECT(sides, convolve, y);
}

void px_check_convolve(px_sides *sides) { each_convolution(sides, check_one_convolve); }

static void check_one_input_gradient(px_sides *sides, const convolution *c) {
    if (c->relu_y) return; /* relu_y is differentiated by the operation that reads y */
    const size_t pixels = px_grid_pixels(&c->grid);
    const px_pair dy = px_sides_activations(sides, pixels, c->width.out, PX_RANDOM),
                  weight = px_sides_weight(sides, c->width.out, c->width.in, &c->taps);
    const px_pair x = c->relu ? px_sides_activations(sides, pixels, c->width.in, PX_RANDOM) : px_pair_absent;
    const px_pair dx = px_sides_activations(sides, pixels, c->width.in,
                                            c->add == ADD_TO_ITSELF ? PX_RANDOM : PX_POISONED);
    const px_pair add = c->add == NO_ADD ? px_pair_absent
                        : c->add == ADD  ? px_sides_activations(sides, pixels, c->width.in, PX_RANDOM)
                                         : dx;
    PX_BOTH(sides, convolve_input_gradient, .grid = c->grid, .taps = c->taps, .relu = c->relu, .dy = dy.on[side],
            .weight = weight.on[side], .x = x.on[side], .add = add.on[side], .dx = dx.on[side]);
    PX_EXPECT(sides, convolve_input_gradient, dx);
}

void px_check_convolve_input_gradient(px_sides *sides) { each_convolution(sides, check_one_input_gradient); }

static void check_one_weight_gradient(px_sides *sides, const convolution *c) {
    enum { LARGE = 1000 };                  /* pixels whose sums are split into segments */
    if (c->relu_y || c->add == ADD) return; /* no add here; ADD_TO_ITSELF has no dbias */
    const size_t pixels = px_grid_pixels(&c->grid);
    const px_pair x = px_sides_activations(sides, pixels, c->width.in, PX_RANDOM),
                  dy = px_sides_activations(sides, pixels, c->width.out, PX_RANDOM);
    const bool weighted = !c->relu || c->add != NO_ADD || c->width.in != c->width.out; /* else dbias alone */
    const px_pair dweight = weighted
                                ? px_sides_reals(sides, (size_t)c->width.out, c->taps.stored * c->width.in, PX_RANDOM)
                                : px_pair_absent;
    const bool biased = c->add == NO_ADD || pixels >= LARGE;
    const px_pair dbias = biased ? px_sides_reals(sides, rows_of_bias(c), c->width.out, PX_POISONED) : px_pair_absent;
    PX_BOTH(sides, convolve_weight_gradient, .grid = c->grid, .taps = c->taps, .relu = c->relu, .x = x.on[side],
            .dy = dy.on[side], .dweight = dweight.on[side], .dbias = dbias.on[side]);
    if (weighted) PX_EXPECT(sides, convolve_weight_gradient, dweight);
    if (dbias.on[0].data) PX_EXPECT(sides, convolve_weight_gradient, dbias);
}

void px_check_convolve_weight_gradient(px_sides *sides) { each_convolution(sides, check_one_weight_gradient); }
