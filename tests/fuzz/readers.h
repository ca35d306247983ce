/* Every reader of files, as a function of a file's bytes: what fuzz.c feeds with noise, and test_corpus.c with the
 * files of tests/fuzz/corpus. */
#ifndef PIXELRNN_TESTS_FUZZ_READERS_H
#define PIXELRNN_TESTS_FUZZ_READERS_H

#include "pixelrnn/status.h"
#include <stddef.h>
#include <stdint.h>

typedef struct fuzz_reader {
    const char *name; /* also of its folder in the corpus */
    /* Reads a file of these bytes to its end, each image twice. The status is that of the first failure. Ends the
     * process with abort where a reader breaks what its header promises. */
    px_status (*read)(px_context *ctx, const uint8_t *bytes, size_t size);
} fuzz_reader;

enum { FUZZ_READERS = 10 };
extern const fuzz_reader fuzz_readers[FUZZ_READERS];

#endif
