/* Digests that identify a set of images. */
#include "pixelrnn/source.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { DIGEST_IMAGES = 64 };

px_status px_source_digest_of(px_context *ctx, px_source *source, px_source_digest *digest) {
    const size_t bytes = (size_t)source->height * (size_t)source->width * (size_t)source->channels;
    const size_t images = source->count < DIGEST_IMAGES ? source->count : DIGEST_IMAGES;
    *digest = (px_source_digest){source->count, (uint64_t)source->height, (uint64_t)source->width,
                                 (uint64_t)source->channels, crc32_z(0, NULL, 0)};
    uint8_t *pixels = malloc(bytes);
    px_status status = pixels ? PX_OK : px_fail_memory(ctx, source->name, bytes);
    for (size_t i = 0; i < images && status == PX_OK; i++) {
        status = source->read(source, ctx, images > 1 ? i * (source->count - 1) / (images - 1) : 0, pixels);
        if (status == PX_OK) digest->checksum = crc32_z(digest->checksum, pixels, bytes);
    }
    if (status == PX_OK && source->labels) {
        const size_t bytes_of_labels = source->count * sizeof *source->labels;
        digest->checksum = crc32_z(digest->checksum, (const uint8_t *)source->labels, bytes_of_labels);
    }
    free(pixels);
    return status;
}

bool px_source_digest_same(const px_source_digest *a, const px_source_digest *b) {
    return memcmp(a, b, sizeof *a) == 0;
}

void px_source_digest_text(const px_source_digest *d, char text[PX_DIGEST_TEXT]) {
    snprintf(text, PX_DIGEST_TEXT, "%llu images of %llu x %llu x %llu, checksum %08llx", (unsigned long long)d->images,
             (unsigned long long)d->height, (unsigned long long)d->width, (unsigned long long)d->channels,
             (unsigned long long)d->checksum);
}
