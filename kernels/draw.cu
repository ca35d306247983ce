/* Draws one value of each image from its logits, by inversion of the cumulative distribution. */
#include "kernels/portable.h"

/* sum over levels of exp((logit - most) / temperature) */
PX_FUNCTION double px_draw_total(const px_store *logits, int levels, px_real most, px_real inverse) {
    double total = 0;
    for (int l = 0; l < levels; l++) total += (double)px_exp((logits[l] - most) * inverse);
    return total;
}

PX_ROW void draw(size_t row, int column, const px_draw_args *k) {
    (void)column;
    const px_store *logits = px_row(&k->logits, row) + k->offset;
    const px_random4 random = px_random(k->seed, PX_RANDOM_DRAW, k->first_image + row, k->place);
    const px_real inverse = 1 / k->temperature;

    px_real most = logits[0];
    for (int l = 1; l < k->levels; l++) most = logits[l] > most ? (px_real)logits[l] : most;
    const double total = px_draw_total(logits, k->levels, most, inverse);
    const double threshold = px_uniform(random.word[0], random.word[1]) * total;
    double below = 0;
    int level = 0;
    for (; level < k->levels - 1; level++) {
        below += (double)px_exp((logits[level] - most) * inverse);
        if (threshold < below) break;
    }
    px_row_bytes(&k->image, row)[k->column] = (uint8_t)level;
    if (!k->nats.data) return;
    const double plain = k->temperature == 1 ? total : px_draw_total(logits, k->levels, most, 1);
    px_row_double(&k->nats, row)[0] += log(plain) - (double)(logits[level] - most);
}
PX_ROW_KERNEL(draw, k->image.rows, 1)
