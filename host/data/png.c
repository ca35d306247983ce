/* Verifying the checksums of a PNG (ISO/IEC 15948). After a signature of 8 bytes come chunks: a length, a type of four
 * letters, the data, and the CRC-32 of type and data. The concatenated data of the IDAT chunks are a zlib stream, which
 * ends with the Adler-32 of the unpacked data. */
#include "host/data/image_format.h"
#include "host/data/byte_source.h"
#include <stdbool.h>
#include <string.h>
#include <zlib.h>

enum { SIGNATURE = 8, LENGTH = 4, TYPE = 4, CRC = 4, UNPACKED = 1 << 15, MAX_PIXEL_BYTES = 1 << 30 };

typedef struct chunk {
    const uint8_t *type, *data;
    size_t length;
} chunk;

/* Parses the chunk at *at, compares its checksum, and advances *at past it. */
static px_status next_chunk(px_context *ctx, const char *name, const uint8_t *bytes, size_t size, size_t *at,
                            chunk *c) {
    const size_t left = size - *at;
    if (left >= LENGTH + TYPE)
        *c = (chunk){bytes + *at + LENGTH, bytes + *at + LENGTH + TYPE, px_big_endian(bytes + *at)};
    if (left < LENGTH + TYPE + CRC || left - LENGTH - TYPE - CRC < c->length)
        return px_fail(ctx, PX_ERR_FORMAT, "%s: found a PNG that ends after %zu bytes, expected it whole", name, size);
    const size_t crc = crc32_z(crc32_z(0, NULL, 0), c->type, TYPE + c->length),
                 stated = px_big_endian(c->data + c->length);
    if (crc != stated)
        return px_fail(ctx, PX_ERR_FORMAT,
                       "%s: found damaged data in the PNG's chunk %.4s, whose CRC-32 is %08zX, expected %08zX", name,
                       (const char *)c->type, crc, stated);
    *at += LENGTH + TYPE + c->length + CRC;
    return PX_OK;
}

/* Unpacks a chunk's data and discards them. *code is zlib's status. */
static void unpack(z_stream *stream, const chunk *c, int *code) {
    uint8_t unpacked[UNPACKED];
    stream->next_in = (Bytef *)(uintptr_t)c->data;
    stream->avail_in = (uInt)c->length;
    do {
        stream->next_out = unpacked;
        stream->avail_out = sizeof unpacked;
        *code = inflate(stream, Z_NO_FLUSH);
    } while (*code == Z_OK && stream->total_out <= MAX_PIXEL_BYTES && (stream->avail_in > 0 || stream->avail_out == 0));
    if (*code == Z_BUF_ERROR) *code = Z_OK; /* all input was used; the stream continues in the next chunk */
    if (stream->total_out > MAX_PIXEL_BYTES) *code = Z_DATA_ERROR;
}

/* Reports the final state of the zlib stream. */
static px_status check_stream(px_context *ctx, const char *name, const z_stream *stream, int code) {
    if (code == Z_STREAM_END) return PX_OK;
    if (code == Z_MEM_ERROR) return px_fail_memory(ctx, name, 0);
    if (code == Z_OK)
        return px_fail(ctx, PX_ERR_FORMAT, "%s: found pixel data that end too early, expected them whole", name);
    if (stream->total_out > MAX_PIXEL_BYTES)
        return px_fail(ctx, PX_ERR_FORMAT, "%s: found more than %d bytes of pixel data, expected at most that", name,
                       MAX_PIXEL_BYTES);
    const bool checksum = stream->msg && strstr(stream->msg, "data check");
    return px_fail(ctx, PX_ERR_FORMAT, "%s: found pixel data %s, expected them whole", name,
                   checksum ? "that differ from their Adler-32" : "that cannot be unpacked");
}

/* Checks all chunks. Apple's variant of PNG, which has a CgBI chunk, has neither zlib header nor Adler-32. */
static px_status check_chunks(px_context *ctx, const char *name, const uint8_t *bytes, size_t size, z_stream *stream) {
    chunk c = {0};
    int code = Z_OK;
    bool apple = false;
    for (size_t at = SIGNATURE;;) {
        PX_TRY(next_chunk(ctx, name, bytes, size, &at, &c));
        if (memcmp(c.type, "IEND", TYPE) == 0) return apple ? PX_OK : check_stream(ctx, name, stream, code);
        apple |= memcmp(c.type, "CgBI", TYPE) == 0;
        if (!apple && code == Z_OK && memcmp(c.type, "IDAT", TYPE) == 0) unpack(stream, &c, &code);
    }
}

px_status px_png_check(px_context *ctx, const char *name, const uint8_t *bytes, size_t size) {
    z_stream stream = {0};
    if (inflateInit(&stream) != Z_OK) return px_fail_memory(ctx, name, 0);
    const px_status status = check_chunks(ctx, name, bytes, size, &stream);
    inflateEnd(&stream);
    return status;
}
