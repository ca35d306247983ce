/* The order of an epoch: a permutation that is computed for each index on its own.
 *
 * A balanced Feistel network is a bijection of the numbers of 2 n bits for any round function. It is applied repeatedly
 * until the result is below count (cycle walking, Black and Rogaway 2002, "Ciphers with arbitrary finite domains").
 * That is a bijection of 0 to count - 1. With the smallest sufficient n it takes fewer than 4 applications on average.
 */
#include "pixelrnn/loader.h"
#include "kernels/portable/random.h"
#include <stdlib.h>

enum { ROUNDS = 8 };

static uint64_t encrypt(uint64_t seed, int purpose, uint64_t item, int half_bits, uint64_t value) {
    uint64_t mask = ((uint64_t)1 << half_bits) - 1;
    uint64_t left = value >> half_bits, right = value & mask;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint64_t noise = px_random(seed, purpose, item, round << 32 | right).word[0] & mask;
        uint64_t mixed = left ^ noise;
        left = right;
        right = mixed;
    }
    return left << half_bits | right;
}

static size_t permute(uint64_t seed, int purpose, uint64_t item, size_t count, size_t index) {
    int half_bits = 0;
    while (half_bits < 31 && (count - 1) >> (2 * half_bits) != 0) half_bits++;
    uint64_t value = index;
    do value = encrypt(seed, purpose, item, half_bits, value);
    while (value >= count);
    return (size_t)value;
}

size_t px_permute(uint64_t seed, uint64_t epoch, size_t count, size_t index) {
    return permute(seed, PX_RANDOM_ORDER, epoch, count, index);
}

static int compare_indices(const void *a, const void *b) {
    const size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return (x > y) - (x < y);
}

void px_choose(uint64_t seed, size_t count, size_t chosen, size_t *indices) {
    for (size_t i = 0; i < chosen; i++) indices[i] = permute(seed, PX_RANDOM_SUBSET, 0, count, i);
    qsort(indices, chosen, sizeof *indices, compare_indices);
}
