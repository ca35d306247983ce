/* Draws one value of each image from its logits, by inversion of the cumulative distribution: a row's lanes take the
 * levels in turn. Sums are in double, so that lanes or not hardly ever makes another picture. */
#include "kernels/portable/portable.h"

/* sum over levels of exp((logit - most) / temperature) */
PX_FUNCTION double px_sample_total(const px_store *logits, int levels, px_lane lane, px_real most, px_real inverse) {
    double total = 0;
    (void)lane;
    PX_LANE_LOOP(l, levels, reduction(+ : total)) total += (double)px_exp((logits[l] - most) * inverse);
    return px_lanes_sum_double(total);
}

/* The least level whose cumulative sum is above threshold. */
PX_FUNCTION int px_sample_level(const px_store *logits, int levels, px_lane lane, px_real most, px_real inverse,
                                double threshold) {
    double below = 0;
    for (int first = 0; first < levels - 1; first += lane.count) {
        const int l = first + lane.index;
        const double share = l < levels - 1 ? (double)px_exp((logits[l] - most) * inverse) : 0;
        const double before = px_lanes_before_double(share);
        const bool found = l < levels - 1 && threshold < below + before + share;
        const int least = px_lanes_min(found ? l : levels - 1);
        if (least < levels - 1) return least;
        below += px_lanes_sum_double(share);
    }
    return levels - 1;
}

PX_LANES void sample(size_t row, px_lane lane, const px_sample_args *k) {
    const px_store *logits = px_row(&k->logits, row) + k->offset;
    const px_random4 random = px_random(k->seed, PX_RANDOM_SAMPLE, k->first_image + row, k->place);
    const px_real inverse = 1 / k->temperature;

    px_real most = logits[0];
    PX_LANE_LOOP(l, k->levels, reduction(max : most)) most = logits[l] > most ? (px_real)logits[l] : most;
    most = px_lanes_max(most);

    const double total = px_sample_total(logits, k->levels, lane, most, inverse);
    const double threshold = px_uniform(random.word[0], random.word[1]) * total;
    const int level = px_sample_level(logits, k->levels, lane, most, inverse, threshold);
    const double plain = k->nats.data && k->temperature != 1 ? px_sample_total(logits, k->levels, lane, most, 1)
                                                             : total;
    if (lane.index > 0) return;
    px_row_bytes(&k->image, row)[k->column] = (uint8_t)level;
    if (k->nats.data) px_row_double(&k->nats, row)[0] += log(plain) - (double)(logits[level] - most);
}
PX_LANES_KERNEL(sample, k->image.rows)
