/* The readers of all file formats, as functions of a file's bytes. fuzz.c runs them on random files, test_corpus.c on
 * the files of tests/fuzz/corpus. */
#ifndef PIXELRNN_TESTS_FUZZ_READERS_H
#define PIXELRNN_TESTS_FUZZ_READERS_H

#include "pixelrnn/status.h"
#include <stddef.h>
#include <stdint.h>

typedef struct fuzz_reader {
    const char *name; /* also the name of its folder in the corpus */
    /* Reads a file of these bytes to its end, each image twice. Returns the status of the first failure. Aborts if the
     * program breaks a promise of its headers. */
    px_status (*read)(px_context *ctx, const uint8_t *bytes, size_t size);
} fuzz_reader;

enum { FUZZ_READERS = 11 };
extern const fuzz_reader fuzz_readers[FUZZ_READERS];

#endif
