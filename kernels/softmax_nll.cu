/* Softmax and negative log-likelihood over the L levels of a value, and their gradient in place:
 *   nll = log sum exp(logits) - logits[target],   dlogits = (softmax - onehot(target)) * scale. */
#include "kernels/portable/portable.h"

PX_LANES void softmax_nll(size_t row, px_lane lane, const px_softmax_nll_args *k) {
    px_store *logits = px_row(&k->logits, row);
    const int levels = k->logits.columns, target = px_row_bytes(&k->target, row)[0];
    const px_real of_target = logits[target];

    px_real most = logits[0];
    PX_LANE_LOOP(l, levels, reduction(max : most)) most = logits[l] > most ? (px_real)logits[l] : most;
    most = px_lanes_max(most);

    px_real sum = 0;
    PX_LANE_LOOP(l, levels, reduction(+ : sum)) sum += px_exp(logits[l] - most);
    sum = px_lanes_sum(sum);

    if (lane.index == 0) px_row_real(&k->nll, row)[0] = px_log(sum) + most - of_target;
    if (!k->gradient) return;
    const px_real share = k->scale / sum, scale = k->scale;
    PX_LANE_LOOP(l, levels) logits[l] = px_exp(logits[l] - most) * share - (l == target ? scale : 0);
}
PX_LANES_KERNEL(softmax_nll, k->logits.rows)
