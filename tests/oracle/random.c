/* Philox 4x32-10 (Salmon et al. 2011), and the random choices that the headers define by it. */
#include "tests/oracle/oracle.h"
#include <math.h>

/* Applies one round with the key k to the counter x. */
static void philox_round(uint32_t x[4], const uint32_t k[2]) {
    const uint64_t a = (uint64_t)0xD2511F53 * x[0], b = (uint64_t)0xCD9E8D57 * x[2];
    const uint32_t next[4] = {(uint32_t)(b >> 32) ^ x[1] ^ k[0], (uint32_t)b, (uint32_t)(a >> 32) ^ x[3] ^ k[1],
                              (uint32_t)a};
    for (int i = 0; i < 4; i++) x[i] = next[i];
}

void oracle_random(uint64_t seed, int purpose, uint64_t item, uint64_t place, uint32_t word[4]) {
    const uint64_t high = item | (uint64_t)purpose << 56;
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    word[0] = (uint32_t)place;
    word[1] = (uint32_t)(place >> 32);
    word[2] = (uint32_t)high;
    word[3] = (uint32_t)(high >> 32);
    for (int round = 0; round < 10; round++) {
        philox_round(word, key);
        key[0] += 0x9E3779B9;
        key[1] += 0xBB67AE85;
    }
}

double oracle_uniform(uint32_t high, uint32_t low) {
    const uint64_t bits = ((uint64_t)high << 32 | low) >> 12; /* 52 bits */
    return ldexp((double)bits + 0.5, -52);
}

double oracle_normal(uint64_t seed, uint64_t tensor, uint64_t element) {
    uint32_t w[4];
    oracle_random(seed, ORACLE_WEIGHTS, tensor, element, w);
    return sqrt(-2 * log(oracle_uniform(w[0], w[1]))) * cos(2 * acos(-1) * oracle_uniform(w[2], w[3]));
}

/* Applies eight rounds of a Feistel network to two halves of `bits` bits. */
static uint64_t feistel(uint64_t seed, int purpose, uint64_t epoch, int bits, uint64_t value) {
    const uint64_t mask = ((uint64_t)1 << bits) - 1;
    uint64_t left = value >> bits, right = value & mask;
    for (uint64_t round = 0; round < 8; round++) {
        uint32_t word[4];
        oracle_random(seed, purpose, epoch, round << 32 | right, word);
        const uint64_t next = left ^ (word[0] & mask);
        left = right;
        right = next;
    }
    return left << bits | right;
}

static size_t permute(uint64_t seed, int purpose, uint64_t epoch, size_t count, size_t index) {
    int bits = 0;
    while ((uint64_t)1 << (2 * bits) < count) bits++;
    uint64_t value = index;
    do {
        value = feistel(seed, purpose, epoch, bits, value);
    } while (value >= count);
    return (size_t)value;
}

size_t oracle_permute(uint64_t seed, uint64_t epoch, size_t count, size_t index) {
    return permute(seed, ORACLE_ORDER, epoch, count, index);
}

size_t oracle_choose(uint64_t seed, size_t count, size_t limit, size_t *indices) {
    const size_t chosen = limit > 0 && limit < count ? limit : count;
    for (size_t i = 0; i < chosen; i++) {
        const size_t image = chosen < count ? permute(seed, ORACLE_SUBSET, 0, count, i) : i;
        size_t at = i; /* insertion sort, ascending */
        for (; at > 0 && indices[at - 1] > image; at--) indices[at] = indices[at - 1];
        indices[at] = image;
    }
    return chosen;
}
