/* The cache of prepared products and convolutions (host/device/cuda/plan_cache.c): more entries than it has slots. */
#include "host/device/cuda/cuda.h"
#include "tests/support/support.h"
#include <stdlib.h>

typedef struct entry {
    uint64_t key[2];
} entry;

static size_t released;
static void release(void *memory) {
    released++;
    free(memory);
}

static entry *find(const px_cuda_cache *cache, uint64_t number) {
    const uint64_t key[2] = {number, number * number};
    return px_cuda_cache_find(cache, key);
}

static void add(px_cuda_cache *cache, uint64_t number) {
    entry *made = malloc(sizeof *made);
    assert_non_null(made);
    *made = (entry){{number, number * number}};
    px_cuda_cache_add(cache, made);
}

/* A full cache is emptied and goes on; an entry is found until then, whatever lies in the slots before it; nothing
 * leaks. */
static void test_more_entries_than_slots(void **state) {
    (void)state;
    enum { ENTRIES = 2 * PX_CUDA_SLOTS, ROOM = PX_CUDA_SLOTS / 4 * 3 };
    static px_cuda_cache cache;
    cache = (px_cuda_cache){.key_size = sizeof(uint64_t[2]), .release = release};
    released = 0;
    assert_null(find(&cache, 0));
    for (uint64_t i = 0; i < ENTRIES; i++) {
        add(&cache, i);
        const uint64_t first = i / ROOM * ROOM; /* since the cache was last emptied */
        for (uint64_t j = first; j <= i; j += j + 97 < i ? 97 : 1) {
            const entry *found = find(&cache, j);
            if (!found || found->key[0] != j) fail_msg("entry %zu of %zu is not found", (size_t)j, (size_t)i + 1);
        }
        if (first > 0) assert_null(find(&cache, first - 1));
        assert_int_equal(released, first);
    }
    px_cuda_cache_clear(&cache);
    assert_int_equal(released, ENTRIES);
    assert_null(find(&cache, ENTRIES - 1));
    assert_int_equal(cache.used, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_more_entries_than_slots)};
    return cmocka_run_group_tests_name("the cache of plans", tests, NULL, NULL);
}
