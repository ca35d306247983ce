/* Ensures that all ranks of a run train the same model: compares their configs and images, broadcasts rank 0's state.
 */
#include "host/train/trainer.h"
#include "host/device/backend.h"
#include "host/model/internal.h"
#include <stdlib.h>

px_status px_trainer_compare_configs(px_trainer *t) {
    if (!t->ranks) return PX_OK;
    px_config *first = malloc(sizeof *first);
    if (!first) return px_fail_memory(t->ctx, "train", sizeof *first);
    *first = *t->config;
    px_status status = px_ranks_same_program(t->ranks);
    if (status == PX_OK) status = px_ranks_broadcast(t->ranks, first, sizeof *first);
    if (status == PX_OK) status = px_ranks_agree(t->ranks, px_config_check_ranks(t->ctx, first, t->config));
    free(first);
    return status;
}

/* ---- Data ---- */

/* first: the digest of rank 0. */
static px_status compare_digests(px_context *ctx, const px_source *source, const px_source_digest *first,
                                 const px_source_digest *mine) {
    char found[PX_DIGEST_TEXT], expected[PX_DIGEST_TEXT];
    if (px_source_digest_same(first, mine)) return PX_OK;
    px_source_digest_text(mine, found);
    px_source_digest_text(first, expected);
    return px_fail(ctx, PX_ERR_CONFIG, "%s: found %s; expected %s, as on rank 0", source->name, found, expected);
}

static px_status compare_source(px_trainer *t, px_source *source, px_source_digest *mine) {
    if (!source) return PX_OK;
    PX_TRY(px_ranks_agree(t->ranks, px_source_digest_of(t->ctx, source, mine)));
    px_source_digest first = *mine;
    PX_TRY(px_ranks_broadcast(t->ranks, &first, sizeof first));
    return px_ranks_agree(t->ranks, compare_digests(t->ctx, source, &first, mine));
}

px_status px_trainer_compare_data(px_trainer *t) {
    PX_TRY(compare_source(t, t->train, &t->train_digest));
    return compare_source(t, t->test, &t->test_digest);
}

/* ---- State ---- */

static px_status broadcast_tensor(px_trainer *t, px_tensor tensor) {
    const size_t bytes = px_tensor_bytes(&tensor);
    void *host = malloc(bytes);
    px_status status = px_ranks_agree(t->ranks, host ? PX_OK : px_fail_memory(t->ctx, "train", bytes));
    if (status == PX_OK) status = t->device->ops->download(t->device, host, tensor.data, bytes);
    if (status == PX_OK) status = px_ranks_broadcast(t->ranks, host, bytes);
    if (status == PX_OK) status = t->device->ops->upload(t->device, tensor.data, host, bytes);
    if (status == PX_OK) status = t->device->ops->synchronize(t->device);
    free(host);
    return status;
}

px_status px_trainer_broadcast(px_trainer *t) {
    px_optimizer_state states[PX_OPTIMIZER_STATES];
    const int count = t->ranks ? px_optimizer_states(t->optimizer, states) : 0;
    if (t->ranks) PX_TRY(broadcast_tensor(t, px_model_weights(t->model)));
    PX_TRY(px_model_cast_weights(t->model));
    for (int i = 0; i < count; i++) PX_TRY(broadcast_tensor(t, states[i].tensor));
    PX_TRY(px_ranks_broadcast(t->ranks, &t->state, sizeof t->state));
    t->window_step = t->state.step;
    return PX_OK;
}
