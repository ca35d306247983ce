/* Finding the array files of a split in a folder: CIFAR's .bin, idx, .npz, .npy and .amat. */
#include "host/data/archive.h"
#include "host/data/formats.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The words in a file name that mean a split. A file without any of them has no split. */
enum { SPLITS = 3, NO_SPLIT = SPLITS };
static const char *const split_keywords[SPLITS][5] = {
    [PX_SPLIT_TRAIN] = {"train", "training", "data_batch"},
    [PX_SPLIT_TEST] = {"test", "testing", "t10k"},
    [PX_SPLIT_VALID] = {"val", "valid", "validation"},
};

/* Returns whether name has the word, in any case, with no letter before or after it. */
static bool has_word(const char *name, const char *word) {
    const size_t length = strlen(word);
    for (const char *at = name; (at = strcasestr(at, word)) != NULL; at++) {
        const bool begins = at == name || !((at[-1] | 0x20) >= 'a' && (at[-1] | 0x20) <= 'z');
        const bool ends = !((at[length] | 0x20) >= 'a' && (at[length] | 0x20) <= 'z');
        if (begins && ends) return true;
    }
    return false;
}

static int split_of(const char *name) {
    static const px_split order[SPLITS] = {PX_SPLIT_TEST, PX_SPLIT_VALID, PX_SPLIT_TRAIN};
    for (int i = 0; i < SPLITS; i++)
        for (const char *const *word = split_keywords[order[i]]; *word; word++)
            if (has_word(name, *word)) return (int)order[i];
    return NO_SPLIT;
}

static bool ends_with(const char *name, size_t length, const char *ending) {
    const size_t tail = strlen(ending);
    return length > tail && strncasecmp(name + length - tail, ending, tail) == 0;
}

/* The length of name without a final .gz. */
static size_t stem_length(const char *name) {
    const size_t length = strlen(name);
    return ends_with(name, length, ".gz") ? length - 3 : length;
}

/* Returns whether a file of this name may have images. Files whose names mean labels have none. */
static int is_array_file(const struct dirent *entry) {
    static const char *const endings[] = {".npy", ".npz", ".bin", ".amat", ".idx", "ubyte"};
    const char *name = entry->d_name;
    if (entry->d_type == DT_DIR || name[0] == '.') return 0;
    if (has_word(name, "label") || has_word(name, "labels") || strncasecmp(name, "y_", 2) == 0) return 0;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (ends_with(name, stem_length(name), endings[i])) return 1;
    return 0;
}

static int is_python(const struct dirent *entry) { return px_cifar_python_named(entry->d_name); }

static void free_entries(struct dirent **entries, int count) {
    for (int i = 0; i < count; i++) free(entries[i]);
    free(entries);
}

/* Returns whether the name is a compressed copy of another file in entries. */
static bool is_copy(struct dirent *const *entries, int count, const char *name) {
    const size_t length = stem_length(name);
    for (int i = 0; name[length] && i < count; i++)
        if (strlen(entries[i]->d_name) == length && strncmp(entries[i]->d_name, name, length) == 0) return true;
    return false;
}

/* Chooses the split whose files are read: the requested one or, if there are no test files, the validation split
 * instead of the test split. NO_SPLIT: all files, because no name has a split. -1: none. */
static int choose_split(struct dirent *const *entries, int count, px_split asked) {
    int files[SPLITS + 1] = {0};
    for (int i = 0; i < count; i++) files[split_of(entries[i]->d_name)]++;
    if (files[NO_SPLIT] == count) return NO_SPLIT;
    if (files[asked] > 0) return (int)asked;
    return asked == PX_SPLIT_TEST && files[PX_SPLIT_VALID] > 0 ? PX_SPLIT_VALID : -1;
}

static px_status check_names(px_context *ctx, const char *path, struct dirent *const *entries, int count, int split,
                             px_split asked) {
    static const char *const names[SPLITS] = {"training", "testing", "validation"};
    if (split < 0)
        return px_fail(
            ctx, PX_ERR_FORMAT,
            "%s: found %d array files (the first: %.200s), none named for %s, expected \"%s\" or \"%s\" in a name",
            path, count, entries[0]->d_name, names[asked], split_keywords[asked][0], split_keywords[asked][2]);
    for (int i = 0; i < count && split != NO_SPLIT; i++)
        if (split_of(entries[i]->d_name) == NO_SPLIT)
            return px_fail(ctx, PX_ERR_FORMAT,
                           "%s/%s: found no split in its name, expected train, test or val as the other files have it; "
                           "name the files that are meant one by one",
                           path, entries[i]->d_name);
    return PX_OK;
}

/* Appends the paths of the files of the requested split. */
static px_status add_files(px_context *ctx, const char *folder, struct dirent *const *entries, int count,
                           px_split asked, px_name_list *paths) {
    const int split = choose_split(entries, count, asked);
    PX_TRY(check_names(ctx, folder, entries, count, split, asked));
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        char path[PX_PATH];
        if ((split != NO_SPLIT && split_of(name) != split) || is_copy(entries, count, name)) continue;
        PX_TRY(px_file_path(ctx, path, "%s/%s", folder, name));
        PX_TRY(px_name_list_add(ctx, folder, path, paths));
    }
    return PX_OK;
}

px_status px_array_folder_list(px_context *ctx, const char *folder, px_split split, px_name_list *paths) {
    struct dirent **entries;
    int count = scandir(folder, &entries, is_array_file, versionsort);
    if (count < 0) return px_fail(ctx, PX_ERR_FILE, "%s: cannot be read: %s", folder, strerror(errno));
    px_status status = count > 0 ? add_files(ctx, folder, entries, count, split, paths) : PX_OK;
    free_entries(entries, count);
    if (count > 0) return status;
    const int pickles = scandir(folder, &entries, is_python, NULL);
    if (pickles >= 0) free_entries(entries, pickles);
    return pickles > 0 ? px_cifar_fail_python(ctx, folder) : PX_OK;
}
