/* Samples one value of each image from its logits, by inversion of the cumulative distribution. The lanes of a row
 * share the levels. Sums are in double, so that one lane or 32 almost never give different samples. */
#include "kernels/portable/portable.h"

/* The sum over levels of exp((logit - max) / temperature); inverse is 1 / temperature. */
PX_FUNCTION double sample_total(const px_store *logits, int levels, px_lane lane, px_real max, px_real inverse) {
    double total = 0;
    (void)lane;
    PX_LANE_LOOP(l, levels, reduction(+ : total)) total += (double)px_exp((logits[l] - max) * inverse);
    return px_lanes_sum_double(total);
}

/* The smallest level whose cumulative sum is above threshold. */
PX_FUNCTION int sample_level(const px_store *logits, int levels, px_lane lane, px_real max, px_real inverse,
                             double threshold) {
    double below = 0;
    for (int first = 0; first < levels - 1; first += lane.count) {
        const int l = first + lane.index;
        const double mass = l < levels - 1 ? (double)px_exp((logits[l] - max) * inverse) : 0;
        const double before = px_lanes_exclusive_sum_double(mass);
        const bool found = l < levels - 1 && threshold < below + before + mass;
        const int level = px_lanes_min(found ? l : levels - 1);
        if (level < levels - 1) return level;
        below += px_lanes_sum_double(mass);
    }
    return levels - 1;
}

PX_LANES void sample(size_t image, px_lane lane, const px_sample_args *k) {
    const px_store *logits = px_row(&k->logits, image) + k->offset;
    const double *numbers = px_row_double(&k->numbers, 0);
    const uint64_t seed = (uint64_t)numbers[PX_SAMPLE_SEED_HIGH] << 32 | (uint64_t)numbers[PX_SAMPLE_SEED_LOW];
    const uint64_t row = (uint64_t)numbers[PX_SAMPLE_ROW], first = (uint64_t)numbers[PX_SAMPLE_FIRST_IMAGE];
    const px_random4 random = px_random(seed, PX_RANDOM_SAMPLE, first + image, row << 32 | k->key);
    const px_real temperature = (px_real)numbers[PX_SAMPLE_TEMPERATURE], inverse = 1 / temperature;

    px_real max = logits[0];
    PX_LANE_LOOP(l, k->levels, reduction(max : max)) max = logits[l] > max ? (px_real)logits[l] : max;
    max = px_lanes_max(max);

    const double total = sample_total(logits, k->levels, lane, max, inverse);
    const double threshold = px_uniform(random.word[0], random.word[1]) * total;
    const int level = sample_level(logits, k->levels, lane, max, inverse, threshold);
    const double at_one = k->nats.data && temperature != 1 ? sample_total(logits, k->levels, lane, max, 1) : total;
    if (lane.index > 0) return;
    px_row_bytes(&k->image, image)[row * (uint64_t)k->row_values + (uint64_t)k->value] = (uint8_t)level;
    if (k->nats.data) px_row_double(&k->nats, image)[0] += log(at_one) - (double)(logits[level] - max);
}
PX_LANES_KERNEL(sample, k->image.rows)
