/* Softmax and negative log-likelihood over the L levels of a value, and their gradient in place:
 *   nll = log sum exp(logits) - logits[target],   dlogits = (softmax - onehot(target)) * scale. */
#include "kernels/portable/portable.h"

PX_LANES void softmax_nll(size_t row, px_lane lane, const px_softmax_nll_args *k) {
    px_store *logits = px_row(&k->logits, row);
    const int levels = k->logits.columns, target = px_row_bytes(&k->target, row)[0];
    const px_real target_logit = logits[target];

    px_real max = logits[0];
    PX_LANE_LOOP(l, levels, reduction(max : max)) max = logits[l] > max ? (px_real)logits[l] : max;
    max = px_lanes_max(max);

    px_real sum = 0;
    PX_LANE_LOOP(l, levels, reduction(+ : sum)) sum += px_exp(logits[l] - max);
    sum = px_lanes_sum(sum);

    if (lane.index == 0) px_row_real(&k->nll, row)[0] = px_log(sum) + max - target_logit;
    if (!k->gradient) return;
    const px_real factor = k->scale / sum, scale = k->scale;
    PX_LANE_LOOP(l, levels) logits[l] = px_exp(logits[l] - max) * factor - (l == target ? scale : 0);
}
PX_LANES_KERNEL(softmax_nll, k->logits.rows)
