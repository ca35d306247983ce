/* Lists of names. */
#include "host/data/name_list.h"
#include <stdlib.h>
#include <string.h>

px_status px_name_list_add(px_context *ctx, const char *owner, const char *name, px_name_list *names) {
    const size_t length = strlen(name) + 1;
    if (names->used + length > names->text_capacity) {
        const size_t text_capacity = 2 * (names->text_capacity + length);
        char *text = realloc(names->text, text_capacity);
        if (!text) return px_fail_memory(ctx, owner, text_capacity);
        names->text = text;
        names->text_capacity = text_capacity;
    }
    if (names->count == names->capacity) {
        const size_t capacity = 2 * names->capacity + 64;
        size_t *start = realloc(names->start, capacity * sizeof *start);
        if (!start) return px_fail_memory(ctx, owner, capacity * sizeof *start);
        names->start = start;
        names->capacity = capacity;
    }
    memcpy(names->text + names->used, name, length);
    names->start[names->count++] = names->used;
    names->used += length;
    return PX_OK;
}

void px_name_list_free(px_name_list *names) {
    free(names->text);
    free(names->start);
    *names = (px_name_list){0};
}
