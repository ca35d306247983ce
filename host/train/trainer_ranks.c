/* What makes the ranks of a run train one model: they compare what they were given, and begin with what rank 0 has. */
#include "host/train/trainer.h"
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

px_status px_trainer_same_work(px_trainer *t) {
    if (!t->ranks) return PX_OK;
    px_config *first = malloc(sizeof *first);
    if (!first) return px_fail(t->ctx, PX_ERR_MEMORY, "train: no memory for a config");
    *first = *t->config;
    px_status status = px_ranks_same_program(t->ranks);
    if (status == PX_OK) status = px_ranks_broadcast(t->ranks, first, sizeof *first);
    if (status == PX_OK) status = px_ranks_agree(t->ranks, px_config_check_ranks(t->ctx, first, t->config));
    free(first);
    return status;
}

/* --- Data --------------------------------------------------------------------------------------------------------- */

/* What is compared of a source: its shape, and the content of images all over it. A source as large as they come is not
 * read whole for this. */
enum { PX_COMPARED_IMAGES = 64 };
typedef struct px_source_digest {
    uint64_t images, height, width, channels, sum;
} px_source_digest;

static px_status px_source_digest_of(px_context *ctx, px_source *source, px_source_digest *digest) {
    const size_t bytes = (size_t)source->height * (size_t)source->width * (size_t)source->channels;
    const size_t steps = source->count < PX_COMPARED_IMAGES ? source->count : PX_COMPARED_IMAGES;
    *digest = (px_source_digest){source->count, (uint64_t)source->height, (uint64_t)source->width,
                                 (uint64_t)source->channels, crc32_z(0, NULL, 0)};
    uint8_t *pixels = malloc(bytes);
    px_status status = pixels ? PX_OK : px_fail(ctx, PX_ERR_MEMORY, "%s: no memory for an image", source->name);
    for (size_t i = 0; i < steps && status == PX_OK; i++) {
        status = source->read(source, ctx, steps > 1 ? i * (source->count - 1) / (steps - 1) : 0, pixels);
        if (status == PX_OK) digest->sum = crc32_z(digest->sum, pixels, bytes);
    }
    free(pixels);
    return status;
}

static px_status px_source_compare(px_context *ctx, const px_source *source, const px_source_digest *first,
                                   const px_source_digest *mine) {
    if (memcmp(first, mine, sizeof *first) == 0) return PX_OK;
    const unsigned long long f[] = {first->images, first->height, first->width, first->channels, first->sum};
    const unsigned long long m[] = {mine->images, mine->height, mine->width, mine->channels, mine->sum};
    return px_fail(ctx, PX_ERR_CONFIG,
                   "%s: found %llu images of %llu x %llu x %llu, checksum %08llx; expected %llu of %llu x %llu x %llu, "
                   "checksum %08llx, as on rank 0",
                   source->name, m[0], m[1], m[2], m[3], m[4], f[0], f[1], f[2], f[3], f[4]);
}

static px_status px_trainer_same_source(px_trainer *t, px_source *source) {
    px_source_digest first = {0}, mine;
    if (!source) return PX_OK;
    PX_TRY(px_ranks_agree(t->ranks, px_source_digest_of(t->ctx, source, &mine)));
    first = mine;
    PX_TRY(px_ranks_broadcast(t->ranks, &first, sizeof first));
    return px_ranks_agree(t->ranks, px_source_compare(t->ctx, source, &first, &mine));
}

px_status px_trainer_same_data(px_trainer *t) {
    if (!t->ranks) return PX_OK;
    PX_TRY(px_trainer_same_source(t, t->train));
    return px_trainer_same_source(t, t->test);
}

/* --- What rank 0 begins with --------------------------------------------------------------------------------------- */

static px_status px_trainer_spread_map(px_trainer *t, px_map map) {
    const size_t bytes = px_map_bytes(&map);
    void *host = malloc(bytes);
    px_status status = host ? PX_OK : px_fail(t->ctx, PX_ERR_MEMORY, "train: no memory to pass %zu bytes on", bytes);
    status = px_ranks_agree(t->ranks, status);
    if (status == PX_OK) status = t->device->ops->download(t->device, host, map.data, bytes);
    if (status == PX_OK) status = px_ranks_broadcast(t->ranks, host, bytes);
    if (status == PX_OK) status = t->device->ops->upload(t->device, map.data, host, bytes);
    if (status == PX_OK) status = t->device->ops->synchronize(t->device);
    free(host);
    return status;
}

px_status px_trainer_spread(px_trainer *t) {
    px_optimizer_state states[PX_OPTIMIZER_STATES];
    const int count = t->ranks ? px_optimizer_states(t->optimizer, states) : 0;
    if (t->ranks) PX_TRY(px_trainer_spread_map(t, px_model_weights(t->model)));
    PX_TRY(px_model_refresh(t->model));
    for (int i = 0; i < count; i++) PX_TRY(px_trainer_spread_map(t, states[i].map));
    PX_TRY(px_ranks_broadcast(t->ranks, &t->state, sizeof t->state));
    t->window_step = t->state.step;
    return PX_OK;
}
