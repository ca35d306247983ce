/* builtin:ising: sampling the causal lattice of ising.h, and computing its exact statistics. */
#include "host/data/ising.h"
#include "host/data/formats.h"
#include "kernels/portable/random.h"
#include <math.h>
#include <stdlib.h>

static const double coupling_near = 0.5, coupling_diagonal = 0.25; /* J, K */
static const size_t images[] = {[PX_SPLIT_TRAIN] = 50000, [PX_SPLIT_TEST] = 5000, [PX_SPLIT_VALID] = 5000};

/* The conditional distribution of one pixel. */
typedef struct conditional {
    double white;   /* probability of +1 */
    double entropy; /* nats */
} conditional;

/* The conditional distribution for each spin -1, 0 (outside) or +1 to the left, above, and above to the right. */
typedef struct rule {
    conditional at[3][3][3];
} rule;

static rule create_rule(void) {
    rule r;
    for (int left = -1; left <= 1; left++)
        for (int above = -1; above <= 1; above++)
            for (int diagonal = -1; diagonal <= 1; diagonal++) {
                double field = coupling_near * (left + above) + coupling_diagonal * diagonal;
                double white = 1 / (1 + exp(-2 * field)), black = 1 / (1 + exp(2 * field));
                conditional o = {white, -white * log(white) - black * log(black)};
                r.at[left + 1][above + 1][diagonal + 1] = o;
            }
    return r;
}

static conditional look_up(const rule *r, int left, int above, int diagonal) {
    return r->at[left + 1][above + 1][diagonal + 1];
}

/* ---- Statistics ---- */

static int spin(size_t state, int column) { return (state >> column & 1) ? 1 : -1; }

/* Updates the distribution over states by one pixel, and adds the pixel's entropy and pair products to sums. Bit k of a
 * state is the last sampled pixel of column k. */
static void advance(const rule *r, int size, int row, int column, double *probability, px_ising *sums) {
    size_t bit = (size_t)1 << column, states = (size_t)1 << size;
    for (size_t state = 0; state < states; state++) {
        if (state & bit) continue; /* handled with the state whose bit is clear */
        int left = column > 0 ? spin(state, column - 1) : 0;
        int diagonal = row > 0 && column + 1 < size ? spin(state, column + 1) : 0;
        double white = 0, both = 0;
        for (int above = -1; above <= 1; above += 2) {
            double p = probability[above > 0 ? state | bit : state];
            conditional o = look_up(r, left, row > 0 ? above : 0, diagonal);
            double mean = 2 * o.white - 1; /* of the new spin */
            sums->entropy += p * o.entropy;
            sums->horizontal += p * left * mean;
            sums->vertical += row > 0 ? p * above * mean : 0;
            white += p * o.white;
            both += p;
        }
        probability[state | bit] = white;
        probability[state] = both - white;
    }
}

px_status px_ising_statistics(px_context *ctx, int size, px_ising *statistics) {
    if (size < PX_ISING_MIN_SIZE || size > PX_ISING_MAX_SIZE)
        return px_fail(ctx, PX_ERR_CONFIG, "builtin:ising: size is %d, expected %d to %d", size, PX_ISING_MIN_SIZE,
                       PX_ISING_MAX_SIZE);
    double *probability = calloc((size_t)1 << size, sizeof *probability);
    if (!probability) return px_fail_memory(ctx, "builtin:ising", sizeof *probability << size);
    probability[0] = 1; /* any state would do: the first row does not depend on it */
    rule r = create_rule();
    px_ising sums = {0};
    for (int row = 0; row < size; row++)
        for (int column = 0; column < size; column++) advance(&r, size, row, column, probability, &sums);
    free(probability);
    double pairs = size * (size - 1);
    *statistics = (px_ising){sums.entropy, sums.horizontal / pairs, sums.vertical / pairs};
    return PX_OK;
}

/* ---- Sampling ---- */

typedef struct ising_source {
    px_source base;
    px_split split;
    uint64_t seed;
    rule rule;
} ising_source;

/* Samples one lattice in raster order. Pixel n uses the first or second half of the random words with counter n / 2. */
static px_status read_image(px_source *source, px_context *ctx, size_t index, uint8_t *pixels) {
    (void)ctx;
    const ising_source *self = (const ising_source *)source;
    uint64_t item = px_source_item(self->split, index);
    int size = source->width;
    /* Spins of the row above, overwritten from the left; the last is outside, 0. */
    int8_t above_row[PX_ISING_MAX_SIZE + 1] = {0};
    px_random4 random = {{0}};
    for (int n = 0; n < size * size; n++) {
        int column = n % size;
        if (n % 2 == 0) random = px_random(self->seed, PX_RANDOM_DATA, item, (uint64_t)n / 2);
        double u = px_uniform(random.word[n % 2 * 2], random.word[n % 2 * 2 + 1]);
        int left = column > 0 ? above_row[column - 1] : 0;
        bool is_white = u < look_up(&self->rule, left, above_row[column], above_row[column + 1]).white;
        above_row[column] = is_white ? 1 : -1;
        pixels[n] = is_white ? 255 : 0;
    }
    return PX_OK;
}

px_status px_ising_open(px_context *ctx, const char *spec, const px_source_options *options, px_source **source) {
    enum { DEFAULT_SIZE = 8 };
    px_ising statistics;
    int size = options->size ? options->size : DEFAULT_SIZE;
    PX_TRY(px_ising_statistics(ctx, size, &statistics));
    size_t side = (size_t)size;
    px_extent extent = {images[options->split], side, side, 1};
    PX_TRY(px_source_create(ctx, sizeof(ising_source), spec, extent, source));
    ising_source *self = (ising_source *)*source;
    self->split = options->split;
    self->seed = options->seed;
    self->rule = create_rule();
    self->base.entropy = statistics.entropy;
    self->base.stored.levels = 2;
    self->base.concurrent = true;
    self->base.read = read_image;
    return PX_OK;
}
