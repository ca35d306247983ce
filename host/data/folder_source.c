/* Folders of pictures: every read opens a file. What is held is the list of their names. */
#include "host/data/picture_set.h"
#include "pixelrnn/picture.h"
#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>

/* Names one after the other, each with its end. */
typedef struct name_list {
    char *text;
    size_t used, room;
    size_t *start; /* of each name in text */
    size_t count, slots;
} name_list;

typedef struct px_folder_source {
    px_picture_set set;
    name_list names;
} px_folder_source;

static void free_names(name_list *names) {
    free(names->text);
    free(names->start);
}

static px_status add_name(px_context *ctx, const char *folder, const char *name, name_list *names) {
    size_t length = strlen(name) + 1;
    if (names->used + length > names->room) {
        size_t room = 2 * (names->room + length);
        char *text = realloc(names->text, room);
        if (!text) return px_fail(ctx, PX_ERR_MEMORY, "%s: no memory for the names of its files", folder);
        names->text = text;
        names->room = room;
    }
    if (names->count == names->slots) {
        size_t slots = 2 * names->slots + 64;
        size_t *start = realloc(names->start, slots * sizeof *start);
        if (!start) return px_fail(ctx, PX_ERR_MEMORY, "%s: no memory for the names of its files", folder);
        names->start = start;
        names->slots = slots;
    }
    memcpy(names->text + names->used, name, length);
    names->start[names->count++] = names->used;
    names->used += length;
    return PX_OK;
}

static int by_name(const FTSENT **a, const FTSENT **b) {
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static px_status list(px_context *ctx, const char *folder, FTS *tree, name_list *names) {
    FTSENT *entry;
    while (errno = 0, (entry = fts_read(tree)) != NULL) {
        switch (entry->fts_info) {
        case FTS_F:
            if (px_picture_named(entry->fts_name)) PX_TRY(add_name(ctx, folder, entry->fts_path, names));
            break;
        case FTS_D: /* hidden folders hold thumbnails and the like */
            if (entry->fts_level > 0 && entry->fts_name[0] == '.') fts_set(tree, entry, FTS_SKIP);
            break;
        case FTS_DNR:
        case FTS_ERR:
        case FTS_NS:
            return px_fail(ctx, PX_ERR_FILE, "%s: cannot be read: %s", entry->fts_path, strerror(entry->fts_errno));
        }
    }
    return errno ? px_fail(ctx, PX_ERR_FILE, "%s: cannot be read: %s", folder, strerror(errno)) : PX_OK;
}

static px_status list_folder(px_context *ctx, const char *folder, name_list *names) {
    char *root = strdup(folder);
    FTS *tree = root ? fts_open((char *[]){root, NULL}, FTS_LOGICAL | FTS_NOCHDIR, by_name) : NULL;
    px_status status = tree ? list(ctx, folder, tree, names)
                            : px_fail(ctx, PX_ERR_FILE, "%s: cannot be read: %s", folder, strerror(errno));
    if (tree) fts_close(tree);
    free(root);
    return status;
}

static px_status load(px_picture_set *set, px_context *ctx, size_t index, px_encoded *encoded) {
    const name_list *names = &((px_folder_source *)set)->names;
    const char *path = names->text + names->start[index];
    px_contents file;
    PX_TRY(px_contents_read(ctx, path, PX_PICTURE_BYTES, &file));
    *encoded = (px_encoded){.bytes = file.bytes, .size = file.size, .owned = file.bytes};
    px_archive_label(path, NULL, encoded->name);
    return PX_OK;
}

static void close_source(px_source *source) {
    free_names(&((px_folder_source *)source)->names);
    free(source);
}

px_status px_folder_open(px_context *ctx, const char *path, const px_source_options *options, px_source **source) {
    name_list names = {0};
    px_picture_set *set = NULL;
    px_status status = list_folder(ctx, path, &names);
    if (status == PX_OK)
        status = px_picture_set_create(ctx, sizeof(px_folder_source), path, names.count, options, &set);
    if (status != PX_OK) {
        free_names(&names);
        return status;
    }
    ((px_folder_source *)set)->names = names;
    set->load = load;
    set->base.close = close_source;
    status = px_picture_set_measure(ctx, set);
    if (status == PX_OK)
        *source = &set->base;
    else
        px_source_close(&set->base);
    return status;
}
