/* A list of names, in one piece of memory. Internal to host/data/. */
#ifndef PIXELRNN_DATA_NAME_LIST_H
#define PIXELRNN_DATA_NAME_LIST_H

#include "pixelrnn/status.h"
#include <stddef.h>

/* All zero: empty. */
typedef struct px_name_list {
    char *text; /* the names one after the other, each with its end */
    size_t used, text_capacity;
    size_t *start; /* of each name in text */
    size_t count, capacity;
} px_name_list;

/* Appends a copy of name. PX_ERR_MEMORY; owner names the list's owner in the message. */
px_status px_name_list_add(px_context *ctx, const char *owner, const char *name, px_name_list *names);
void px_name_list_free(px_name_list *names);

/* The name at `index` < count; valid until the next name is added. */
static inline const char *px_name_list_at(const px_name_list *names, size_t index) {
    return names->text + names->start[index];
}

#endif
