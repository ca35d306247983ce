/* Caches of the features that later pixels read. */
#include "host/sample/decode.h"

px_cache px_cache_lay_out(const px_decoder *d, px_arena *arena, px_type type, int layers, int pixels, int features) {
    const size_t rows = (size_t)layers * (size_t)pixels * (size_t)d->capacity;
    return (px_cache){px_arena_tensor(arena, rows, features, type), pixels};
}

size_t px_cache_stride(const px_decoder *d, const px_cache *cache) { return (size_t)cache->pixels * (size_t)d->images; }

px_tensor px_cache_at(const px_decoder *d, const px_cache *cache, int layer, int down, int column, int pixels) {
    const size_t pixel = (size_t)((cache->pixels + down * d->model->spec.width + column) % cache->pixels);
    const size_t images = (size_t)d->images;
    return px_tensor_slice(cache->tensor, (size_t)layer * px_cache_stride(d, cache) + pixel * images,
                           (size_t)pixels * images);
}

px_tensor px_cache_current(const px_decoder *d, const px_cache *cache, int layer) {
    return px_cache_at(d, cache, layer, 0, d->column, 1);
}

px_status px_cache_clear(const px_decoder *d, const px_cache *cache) {
    return d->device->ops->clear(d->device, cache->tensor.data, px_tensor_bytes(&cache->tensor));
}
