/* Byte sources: files, and bytes in memory. */
#include "host/data/byte_source.h"
#include <stdlib.h>
#include <string.h>

px_status px_byte_source_open(px_context *ctx, const char *path, px_byte_source *input) {
    px_file_in file;
    *input = (px_byte_source){0};
    PX_TRY(px_file_open(ctx, path, &file));
    if (file.size > 0)
        *input = (px_byte_source){.size = file.size, .file = file};
    else
        px_file_close(&file);
    return PX_OK;
}

px_status px_byte_source_load(px_context *ctx, const char *path, size_t limit, px_byte_source *input) {
    const size_t size = input->size;
    if (!px_byte_source_in_file(input)) return PX_OK;
    if (size > limit)
        return px_fail(ctx, PX_ERR_FORMAT, "%s: found %zu bytes, expected at most %zu", path, size, limit);
    px_byte_source loaded = {.bytes = malloc(size), .size = size};
    if (!loaded.bytes) return px_fail_memory(ctx, path, size);
    const px_status status = px_file_read_at(ctx, path, &input->file, 0, size, loaded.bytes);
    px_byte_source_free(status == PX_OK ? input : &loaded);
    if (status == PX_OK) *input = loaded;
    return status;
}

px_status px_byte_source_read(px_context *ctx, const char *path, size_t limit, px_byte_source *input) {
    PX_TRY(px_byte_source_open(ctx, path, input));
    px_status status = px_byte_source_load(ctx, path, limit, input);
    if (status != PX_OK) px_byte_source_free(input);
    return status;
}

px_status px_grow(px_context *ctx, const char *owner, size_t wanted, size_t item_bytes, size_t *capacity, void *array) {
    void *memory;
    if (wanted <= *capacity) return PX_OK;
    if (wanted < 2 * *capacity) wanted = 2 * *capacity;
    memcpy(&memory, array, sizeof memory);
    memory = realloc(memory, wanted * item_bytes);
    if (!memory) return px_fail_memory(ctx, owner, wanted * item_bytes);
    memcpy(array, &memory, sizeof memory);
    *capacity = wanted;
    return PX_OK;
}

px_status px_byte_source_copy(px_context *ctx, const char *path, const px_byte_source *input, size_t offset,
                              size_t bytes, void *to) {
    if (px_byte_source_in_file(input)) return px_file_read_at(ctx, path, &input->file, offset, bytes, to);
    if (bytes > 0) memcpy(to, input->bytes + offset, bytes);
    return PX_OK;
}

void px_byte_source_free(px_byte_source *input) {
    if (px_byte_source_in_file(input)) px_file_close(&input->file);
    free(input->bytes);
    *input = (px_byte_source){0};
}
