/* Shared helpers of the mock: counts, environment variables, elements, memory. */
#include "tests/mock_cuda/mock.h"
#include "kernels/portable/bfloat16.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(name) +1
enum { COUNTS = MOCK_COUNTS(COUNT) };
#define NAME(name) #name,
static const char *const names[] = {MOCK_COUNTS(NAME)};
static long counts[COUNTS];

static void write_counts(void) {
    FILE *file = fopen(getenv("PX_MOCK_COUNTS"), "w");
    for (int i = 0; file && i < COUNTS; i++) fprintf(file, "%s %ld\n", names[i], counts[i]);
    if (file) fclose(file);
}

void mock_counted(mock_count what) {
    static bool begun;
    if (!begun && getenv("PX_MOCK_COUNTS")) atexit(write_counts);
    begun = true;
    counts[what]++;
}

static bool asked_for(const char *ends) {
    const char *asked = getenv("PX_MOCK_ENDS");
    return strcmp(asked ? asked : "all", ends) == 0;
}

bool mock_ends(int64_t features) { return asked_for("all") || (asked_for("even") && features % 2 == 0); }

bool mock_takes(int64_t images) { return !asked_for("even") || images != 2; }

bool mock_overlap(const void *a, size_t bytes_a, const void *b, size_t bytes_b) {
    return (uintptr_t)a < (uintptr_t)b + bytes_b && (uintptr_t)b < (uintptr_t)a + bytes_a;
}

void mock_spoil(void *memory, size_t bytes) {
    if (bytes) memset(memory, 0xff, bytes);
}

float mock_read(const void *data, int64_t index, bool narrow) {
    return narrow ? px_from_bfloat16(((const uint16_t *)data)[index]) : ((const float *)data)[index];
}

void mock_write(void *data, int64_t index, bool narrow, float value) {
    if (narrow)
        ((uint16_t *)data)[index] = px_to_bfloat16(value);
    else
        ((float *)data)[index] = value;
}

float mock_tf32(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits >> 23 & 0xff) != 0xff) bits = (bits + (1u << 12)) & ~((1u << 13) - 1);
    memcpy(&value, &bits, sizeof value);
    return value;
}

void *mock_memory(size_t bytes) {
    void *memory = malloc(bytes ? bytes : 1);
    counts[MOCK_left]++;
    if (memory) return memory;
    fprintf(stderr, "mock: cannot allocate %zu bytes\n", bytes);
    abort();
}

void mock_free(void *memory) {
    if (memory) counts[MOCK_left]--;
    free(memory);
}
