/* A list of names. */
#include "host/data/name_list.h"
#include <stdlib.h>
#include <string.h>

static px_status fail_memory(px_context *ctx, const char *owner) {
    return px_fail(ctx, PX_ERR_MEMORY, "%s: no memory for the names of its files", owner);
}

px_status px_name_list_add(px_context *ctx, const char *owner, const char *name, px_name_list *names) {
    const size_t length = strlen(name) + 1;
    if (names->used + length > names->room) {
        const size_t room = 2 * (names->room + length);
        char *text = realloc(names->text, room);
        if (!text) return fail_memory(ctx, owner);
        names->text = text;
        names->room = room;
    }
    if (names->count == names->slots) {
        const size_t slots = 2 * names->slots + 64;
        size_t *start = realloc(names->start, slots * sizeof *start);
        if (!start) return fail_memory(ctx, owner);
        names->start = start;
        names->slots = slots;
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
