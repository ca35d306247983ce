/* Runs libFuzzer on one of the readers:
 *     fuzz --READER [options of libFuzzer] [FILE... | CORPUS...]
 * libFuzzer ignores options with two dashes. */
#include "tests/fuzz/readers.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Called by libFuzzer, which has no header that declares them. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const fuzz_reader *reader;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    for (int i = 1; i < *argc; i++) {
        const char *argument = (*argv)[i];
        for (int r = 0; strncmp(argument, "--", 2) == 0 && r < FUZZ_READERS; r++)
            if (strcmp(argument + 2, fuzz_readers[r].name) == 0) reader = &fuzz_readers[r];
    }
    if (reader) return 0;
    fprintf(stderr, "%s: expected a reader, one of", (*argv)[0]);
    for (int r = 0; r < FUZZ_READERS; r++) fprintf(stderr, " --%s", fuzz_readers[r].name);
    fprintf(stderr, "\n");
    exit(2);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    px_context ctx = {""};
    reader->read(&ctx, bytes, size);
    return 0;
}
