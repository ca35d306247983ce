/* Labels of images in sub-folders: the index of an image's folder in the order of names. */
#include "host/data/formats.h"
#include <stdlib.h>
#include <string.h>

/* The name of a class, without a part that all have: a part of an image's path. */
typedef struct class_name {
    const char *text;
    size_t length;
} class_name;

/* The classes found so far, in ascending order. */
typedef struct class_list {
    class_name *name;
    size_t count, capacity;
} class_list;

/* The length of the text that all paths and the folder of the first one begin with. It may end within the names of the
 * classes, which does not change their order. */
static size_t shared_length(const px_name_list *paths) {
    const char *first = px_name_list_at(paths, 0);
    size_t length = (size_t)(px_archive_basename(first) - first);
    for (size_t n = 1; n < paths->count; n++) {
        const char *path = px_name_list_at(paths, n);
        size_t same = 0;
        while (same < length && path[same] == first[same]) same++;
        length = same;
    }
    return length;
}

static int compare(class_name a, class_name b) {
    const int order = memcmp(a.text, b.text, a.length < b.length ? a.length : b.length);
    return order ? order : (a.length > b.length) - (a.length < b.length);
}

/* The index of the first class that is not before `name`. */
static size_t find(const class_list *classes, class_name name) {
    size_t first = 0, end = classes->count;
    while (first < end) {
        const size_t middle = (first + end) / 2;
        if (compare(classes->name[middle], name) < 0)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

static px_status add(px_context *ctx, const char *owner, class_name name, class_list *classes) {
    const size_t at = find(classes, name);
    if (at < classes->count && compare(classes->name[at], name) == 0) return PX_OK;
    if (classes->count == PX_MAX_CLASSES)
        return px_fail(ctx, PX_ERR_FORMAT, "%s: found more than %d sub-folders, expected one for each class", owner,
                       PX_MAX_CLASSES);
    PX_TRY(px_grow(ctx, owner, classes->count + 1, sizeof name, &classes->capacity, &classes->name));
    memmove(&classes->name[at + 1], &classes->name[at], (classes->count - at) * sizeof name);
    classes->name[at] = name;
    classes->count++;
    return PX_OK;
}

static class_name class_of(const char *path, size_t shared) {
    return (class_name){path + shared, strcspn(path + shared, "/")};
}

static px_status list_classes(px_context *ctx, const char *owner, const px_name_list *paths, size_t shared,
                              px_split split, class_list *classes) {
    char label[PX_LABEL];
    for (size_t n = 0; n < paths->count; n++) {
        const char *path = px_name_list_at(paths, n);
        const class_name name = class_of(path, shared);
        if (!name.text[name.length])
            return px_fail(ctx, PX_ERR_CONFIG,
                           "%s: found no labels: %s is in no sub-folder, expected one for each class; data.%s_labels "
                           "names files of labels",
                           owner, px_archive_label(path, NULL, label), px_split_name(split));
        PX_TRY(add(ctx, owner, name, classes));
    }
    return PX_OK;
}

static px_status index_folders(px_context *ctx, const char *owner, const px_name_list *paths, px_split split,
                               px_labels *labels, int *classes) {
    const size_t shared = shared_length(paths);
    class_list list = {0};
    px_status status = list_classes(ctx, owner, paths, shared, split, &list);
    if (status == PX_OK) {
        *labels = (px_labels){malloc(paths->count * sizeof *labels->values), paths->count};
        if (!labels->values) status = px_fail_memory(ctx, owner, paths->count * sizeof *labels->values);
    }
    for (size_t n = 0; n < paths->count && status == PX_OK; n++)
        labels->values[n] = (uint16_t)find(&list, class_of(px_name_list_at(paths, n), shared));
    *classes = (int)list.count;
    free(list.name);
    return status;
}

void px_labels_of_folders(const px_name_list *paths, px_split split, px_source *source) {
    px_context why;
    px_labels labels = {0};
    if (paths->count == 0) return;
    const px_status status = index_folders(&why, source->name, paths, split, &labels, &source->classes);
    px_source_set_labels(source, status, &why, source->name, labels);
}
