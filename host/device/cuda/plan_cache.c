/* The cache of prepared products and convolutions: linear probing over pointers. */
#include "host/device/cuda/cuda.h"
#include <string.h>

/* FNV-1a over 8-byte words; the multiplication carries upwards, so the upper bits choose the slot. */
static size_t cuda_cache_slot(const px_cuda_cache *cache, const void *key) {
    uint64_t hash = 0xcbf29ce484222325u, word;
    for (size_t at = 0; at < cache->key_size; at += sizeof word) {
        memcpy(&word, (const char *)key + at, sizeof word);
        hash = (hash ^ word) * 0x100000001b3u;
    }
    return (size_t)(hash >> 32) % PX_CUDA_SLOTS;
}

void *px_cuda_cache_find(const px_cuda_cache *cache, const void *key) {
    size_t slot = cuda_cache_slot(cache, key);
    while (cache->slot[slot] && memcmp(cache->slot[slot], key, cache->key_size) != 0) slot = (slot + 1) % PX_CUDA_SLOTS;
    return cache->slot[slot];
}

void px_cuda_cache_add(px_cuda_cache *cache, void *entry) {
    if (cache->used >= PX_CUDA_SLOTS / 4 * 3) px_cuda_cache_clear(cache);
    size_t slot = cuda_cache_slot(cache, entry);
    while (cache->slot[slot]) slot = (slot + 1) % PX_CUDA_SLOTS;
    cache->slot[slot] = entry;
    cache->used++;
}

void px_cuda_cache_clear(px_cuda_cache *cache) {
    for (size_t slot = 0; slot < PX_CUDA_SLOTS; slot++) {
        if (cache->slot[slot]) cache->release(cache->slot[slot]);
        cache->slot[slot] = NULL;
    }
    cache->used = 0;
}
