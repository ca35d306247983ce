/* Features that are kept while pixels come one by one. */
#include "host/sample/decode.h"

static px_cache cache_lay_out_type(const px_decoder *d, px_arena *arena, int layers, int slots, int features,
                                   px_type type) {
    const size_t rows = (size_t)layers * (size_t)slots * (size_t)d->group;
    return (px_cache){px_arena_tensor(arena, rows, features, type), slots};
}

px_cache px_cache_lay_out(const px_decoder *d, px_arena *arena, int layers, int slots, int features) {
    return cache_lay_out_type(d, arena, layers, slots, features, d->model->device->activation);
}

px_cache px_cache_lay_out_real(const px_decoder *d, px_arena *arena, int layers, int slots, int features) {
    return cache_lay_out_type(d, arena, layers, slots, features, PX_REAL);
}

size_t px_cache_step(const px_decoder *d, const px_cache *cache) {
    return (size_t)cache->slots * (size_t)d->images;
}

px_tensor px_cache_at(const px_decoder *d, const px_cache *cache, int layer, int row, int column, int pixels) {
    const int slot = (row * d->model->spec.width + column) % cache->slots;
    const size_t images = (size_t)d->images;
    return px_tensor_slice(cache->tensor, (size_t)layer * px_cache_step(d, cache) + (size_t)slot * images,
                           (size_t)pixels * images);
}

px_tensor px_cache_here(const px_decoder *d, const px_cache *cache, int layer) {
    return px_cache_at(d, cache, layer, d->row, d->column, 1);
}

px_status px_cache_clear(const px_decoder *d, const px_cache *cache) {
    return d->device->ops->clear(d->device, cache->tensor.data, px_tensor_bytes(&cache->tensor));
}
