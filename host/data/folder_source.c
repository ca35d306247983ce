/* A folder of image files. Only their paths are kept in memory; each read opens a file. */
#include "host/data/image_set.h"
#include "host/data/image.h"
#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>

typedef struct folder_source {
    px_image_set set;
    px_name_list names;
} folder_source;

static int by_name(const FTSENT **a, const FTSENT **b) { return strcmp((*a)->fts_name, (*b)->fts_name); }

static px_status list_tree(px_context *ctx, const char *folder, FTS *tree, px_name_list *names,
                           size_t left_out[PX_FORMATS_LEFT_OUT]) {
    FTSENT *entry;
    while (errno = 0, (entry = fts_read(tree)) != NULL) {
        switch (entry->fts_info) {
        case FTS_F:
            px_image_count_left_out(entry->fts_name, left_out);
            if (px_image_named(entry->fts_name)) PX_TRY(px_name_list_add(ctx, folder, entry->fts_path, names));
            break;
        case FTS_D: /* hidden folders have thumbnails */
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

static px_status load(px_image_set *set, px_context *ctx, size_t index, px_encoded *encoded) {
    const char *path = px_name_list_at(&((folder_source *)set)->names, index);
    px_byte_source file;
    PX_TRY(px_byte_source_read(ctx, path, PX_IMAGE_BYTES, &file));
    *encoded = (px_encoded){.bytes = file.bytes, .size = file.size, .owned = file.bytes};
    px_archive_label(path, NULL, encoded->name);
    return PX_OK;
}

static void close_source(px_source *source) {
    px_name_list_free(&((folder_source *)source)->names);
    free(source);
}

px_status px_folder_open(px_context *ctx, const char *path, const px_source_options *options, px_source **source) {
    px_image_set *set;
    PX_TRY(px_image_set_create(ctx, sizeof(folder_source), path, options, &set));
    px_name_list *names = &((folder_source *)set)->names;
    set->load = load;
    set->base.close = close_source;
    char *root = strdup(path);
    FTS *tree = root ? fts_open((char *[]){root, NULL}, FTS_LOGICAL | FTS_NOCHDIR, by_name) : NULL;
    px_status status = tree ? list_tree(ctx, path, tree, names, set->base.left_out)
                            : px_fail(ctx, PX_ERR_FILE, "%s: cannot be read: %s", path, strerror(errno));
    if (tree) fts_close(tree);
    free(root);
    set->base.count = names->count;
    if (options->labels) px_labels_of_folders(names, options->split, &set->base);
    if (status == PX_OK) status = px_image_set_measure(ctx, set);
    return px_source_finish(status, &set->base, source);
}
