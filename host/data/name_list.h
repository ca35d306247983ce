/* A list of names, stored in two arrays so that millions of names need little memory. Internal to host/data/. */
#ifndef PIXELRNN_DATA_NAME_LIST_H
#define PIXELRNN_DATA_NAME_LIST_H

#include "pixelrnn/status.h"
#include <stddef.h>

/* All zero: an empty list. */
typedef struct px_name_list {
    char *text; /* the names, each terminated by a zero */
    size_t used, text_capacity;
    size_t *start; /* the offset of each name in text */
    size_t count, capacity;
} px_name_list;

/* Appends a copy of name. owner stands in the message of PX_ERR_MEMORY. */
px_status px_name_list_add(px_context *ctx, const char *owner, const char *name, px_name_list *names);
void px_name_list_free(px_name_list *names);

/* The name at `index` < count; valid until the next name is added. */
static inline const char *px_name_list_at(const px_name_list *names, size_t index) {
    return names->text + names->start[index];
}

#endif
