/* .npz files: zips of .npy arrays, of which one has the images, and one may have their labels. A stored array is read
 * in place. A deflated one is unpacked into memory or, if images are read in order, image by image. */
#include "host/data/archive.h"
#include "host/data/npy_header.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The usual names of arrays of images, in any case, in order of preference. Without a test array, the validation images
 * are the test split. Names without a split (X, arr_0) are for training alone. For the other splits, such an array must
 * be the only one that can be images. */
static const char *const names[][20] = {
    [PX_SPLIT_TRAIN] = {"data", "images", "x_train", "train_images", "train_data", "train", "x", "arr_0"},
    [PX_SPLIT_TEST] = {"data", "images", "x_test", "test_images", "test_data", "test", "x_val", "x_valid", "val_images",
                       "valid_images", "val_data", "valid_data", "val", "valid"},
    [PX_SPLIT_VALID] = {"data", "images", "x_val", "x_valid", "val_images", "valid_images", "val_data", "valid_data",
                        "val", "valid"},
};
enum { OTHER = 20, NONE }; /* ranks of an array of another name, and of none */

/* The best array found so far. */
typedef struct candidate {
    int rank;      /* index in names, or OTHER, or NONE */
    int equals;    /* number of members of that rank */
    size_t number; /* index of the first of them in the zip */
    size_t size;   /* of its content */
    char name[PX_LABEL];
    char member[PX_LABEL]; /* its name in the zip */
} candidate;

enum { LIST = 400 }; /* bytes of a list of arrays in a message */

/* The members of a zip: the best array, and lists for messages. */
typedef struct arrays {
    candidate best;
    size_t files;
    int images;        /* number of arrays that can be images */
    char usable[LIST]; /* list of the arrays that can be images */
    char other[LIST];  /* list of the other arrays */
    bool torch;        /* a member was found that PyTorch's files have */
} arrays;

/* The source of a deflated array read in order. */
typedef struct npz_stream {
    px_source base;
    px_byte_source zip;
    px_archive archive;
    px_array array;
    size_t next; /* index of the next image in the archive */
    px_status failed;
    px_context failure; /* message of the first failure, kept as libarchive continues after a wrong checksum */
    uint8_t image[];
} npz_stream;

bool px_zip_recognise(const uint8_t *bytes, size_t size) {
    return size >= 4 && (memcmp(bytes, "PK\3\4", 4) == 0 || memcmp(bytes, "PK\5\6", 4) == 0); /* 5, 6: no members */
}

/* ---- Choosing an array ---- */

/* Reads the first bytes of the current member, and parses its header. */
static px_status read_head(px_context *ctx, px_archive *archive, const char *name, uint8_t *head, size_t *got,
                           px_npy_header *h) {
    PX_TRY(px_archive_read(ctx, archive, head, PX_NPY_HEADER_MAX, got));
    return px_npy_header_parse(ctx, name, head, *got, h);
}

/* The member's name without folders and .npy. Returns false if it is not an array. */
static bool array_name(const px_member *member, char name[PX_LABEL]) {
    const char *base = px_archive_basename(member->name);
    const size_t length = strlen(base);
    if (length < 4 || length >= PX_LABEL || strcmp(base + length - 4, ".npy") != 0) return false;
    px_archive_label(base, NULL, name);
    name[strlen(name) - 4] = 0;
    return true;
}

static int rank_of(const px_member *member, const char *name, const px_source_options *options) {
    const char *wanted = options->array;
    if (wanted) return strcmp(name, wanted) == 0 || strcmp(member->name, wanted) == 0 ? 0 : NONE;
    for (int i = 0; names[options->split][i]; i++)
        if (strcasecmp(name, names[options->split][i]) == 0) return i;
    return OTHER;
}

/* Appends "NAME (SHAPE) 'TYPE'" to a list, or three dots if it is full. */
static void add_to_list(char list[LIST], const char *name, const px_npy_header *h) {
    static const char dots[] = ", ...";
    char text[PX_NPY_TEXT];
    const size_t used = strlen(list), room = LIST - sizeof dots - used;
    if (used > 0 && list[used - 1] == '.') return;
    const int more = snprintf(list + used, room, "%s%.80s %s", used ? ", " : "", name, px_npy_text(h, text));
    if (more >= (int)room) strcpy(list + used, dots);
}

/* Examines the current member. If it is an array, updates the best array and the lists. */
static px_status rank_member(px_context *ctx, px_archive *archive, const px_member *member,
                             const px_source_options *options, uint8_t *head, arrays *a) {
    char name[PX_LABEL];
    px_npy_header h;
    px_array array;
    px_context ignored;
    size_t got = 0;
    if (!array_name(member, name)) {
        a->torch |= strcmp(px_archive_basename(member->name), "data.pkl") == 0;
        return PX_OK;
    }
    int rank = rank_of(member, name, options);
    px_status status = read_head(&ignored, archive, name, head, &got, &h);
    if (status == PX_ERR_FILE || status == PX_ERR_MEMORY) return px_fail(ctx, status, "%s", ignored.message);
    const bool parsed = status == PX_OK, labels = parsed && px_npy_labels(&h, head, got);
    const bool images = parsed && !labels && px_npy_images(&ignored, name, &h, member->size, &array) == PX_OK;
    if (parsed) add_to_list(images ? a->usable : a->other, name, &h);
    a->images += images;
    if (!options->array && (labels || (!images && rank == OTHER))) rank = NONE;
    if (rank == a->best.rank) a->best.equals++;
    if (rank >= a->best.rank) return PX_OK;
    a->best = (candidate){.rank = rank, .equals = 1, .number = a->files, .size = member->size};
    px_archive_label(archive->path, member->name, a->best.name);
    snprintf(a->best.member, sizeof a->best.member, "%s", member->name);
    return PX_OK;
}

/* Writes the message if no array, or more than one, can be chosen. */
static px_status fail_choice(px_context *ctx, const char *path, const px_source_options *options, const arrays *a) {
    const candidate *best = &a->best;
    const char *comma = *a->usable && *a->other ? ", " : "", *none = *a->usable || *a->other ? "" : "none";
    if (best->equals > 1 && best->rank < OTHER)
        return px_fail(ctx, PX_ERR_FORMAT,
                       "%s: zip: found %d arrays of its name, expected one; FILE:FOLDER/NAME.npy picks one", best->name,
                       best->equals);
    if (best->rank != NONE)
        return px_fail(ctx, PX_ERR_FORMAT,
                       "%s: zip: found %d arrays that can be images (%s), expected one; FILE:NAME picks one", path,
                       a->images, a->usable);
    if (a->torch)
        return px_fail(ctx, PX_ERR_FORMAT, "%s: zip: found a PyTorch file (data.pkl), expected an .npz of arrays",
                       path);
    if (options->array)
        return px_fail(ctx, PX_ERR_FORMAT, "%s:%.80s: zip: found no array of this name, expected one of %s%s%s%s", path,
                       options->array, a->usable, comma, a->other, none);
    return px_fail(ctx, PX_ERR_FORMAT,
                   "%s: zip: found no array of images among %zu files (arrays: %s%s), expected uint8 [N, H, W, C], "
                   "[N, H, W], [N, S S] or [N, 3 S S], or PNG and JPEG images",
                   path, a->files, a->other, *a->other ? "" : "none");
}

static px_status examine_members(px_context *ctx, const char *path, const px_byte_source *zip,
                                 const px_source_options *options, arrays *a) {
    px_archive archive;
    px_member member;
    bool found = true;
    *a = (arrays){.best = {.rank = NONE}};
    uint8_t *head = malloc(PX_NPY_HEADER_MAX);
    if (!head) return px_fail_memory(ctx, path, PX_NPY_HEADER_MAX);
    px_status status = px_archive_open(ctx, PX_ARCHIVE_ZIP_UNCHECKED, path, zip, &archive);
    for (; status == PX_OK; a->files++) {
        status = px_archive_next(ctx, &archive, &member, &found);
        if (status != PX_OK || !found) break;
        status = rank_member(ctx, &archive, &member, options, head, a);
    }
    px_archive_close(&archive);
    free(head);
    return status;
}

static px_status find_member(px_context *ctx, const char *path, const px_byte_source *zip,
                             const px_source_options *options, candidate *best) {
    arrays a;
    PX_TRY(examine_members(ctx, path, zip, options, &a));
    *best = a.best;
    return best->rank != NONE && best->equals == 1 ? PX_OK : fail_choice(ctx, path, options, &a);
}

/* Opens the zip, moves to the chosen member and skips its first `skip` bytes. */
static px_status open_member(px_context *ctx, px_archive_format format, const char *path, const px_byte_source *zip,
                             const candidate *best, size_t skip, px_archive *archive, px_member *member) {
    uint8_t skipped[256];
    bool found = true;
    PX_TRY(px_archive_open(ctx, format, path, zip, archive));
    px_status status = PX_OK;
    for (size_t i = 0; i <= best->number && status == PX_OK; i++)
        status = px_archive_next(ctx, archive, member, &found);
    for (size_t got; skip > 0 && status == PX_OK; skip -= got) {
        status = px_archive_read(ctx, archive, skipped, skip < sizeof skipped ? skip : sizeof skipped, &got);
        if (status == PX_OK && got == 0)
            status = px_fail(ctx, PX_ERR_FORMAT, "%s: found less than its header, expected all of it", best->name);
    }
    if (status != PX_OK) px_archive_close(archive);
    return status;
}

/* Describes the images of the member, and finds its offset in the file if it is stored uncompressed. */
static px_status find_in_place(px_context *ctx, const char *path, const px_byte_source *zip, const candidate *best,
                               px_array *array, size_t *offset, bool *in_place) {
    px_archive archive;
    px_member member;
    px_npy_header h;
    size_t got;
    uint8_t *head = malloc(PX_NPY_HEADER_MAX);
    if (!head) return px_fail_memory(ctx, path, PX_NPY_HEADER_MAX);
    px_status status = open_member(ctx, PX_ARCHIVE_ZIP_UNCHECKED, path, zip, best, 0, &archive, &member);
    if (status == PX_OK) status = px_archive_in_place(ctx, &archive, &member, offset, in_place);
    if (status == PX_OK) status = read_head(ctx, &archive, best->name, head, &got, &h);
    px_archive_close(&archive);
    free(head);
    PX_TRY(status);
    return px_npy_images(ctx, best->name, &h, best->size, array);
}

/* ---- Unpacking an array ---- */

static px_status fail_short(px_context *ctx, const char *name, size_t found, size_t expected) {
    return px_fail(ctx, PX_ERR_FORMAT, "%s: found %zu bytes, expected %zu", name, found, expected);
}

/* Unpacks the whole member into memory, which the caller frees, also after a failure. Reads up to its end, where
 * libarchive compares its checksum. */
static px_status unpack(px_context *ctx, const char *path, const px_byte_source *zip, const candidate *best,
                        px_byte_source *unpacked) {
    const size_t size = best->size;
    size_t capacity = 0;
    px_archive archive;
    px_member member;
    if (size > px_memory_limit)
        return px_fail(ctx, PX_ERR_FORMAT,
                       "%s: found %zu bytes of content, expected at most %zu: pixelrnn pack it first", best->name, size,
                       px_memory_limit);
    PX_TRY(open_member(ctx, PX_ARCHIVE_ZIP, path, zip, best, 0, &archive, &member));
    const px_status status = px_archive_append(ctx, &archive, size, unpacked, &capacity);
    px_archive_close(&archive);
    PX_TRY(status);
    return unpacked->size == size ? PX_OK : fail_short(ctx, best->name, unpacked->size, size);
}

static px_status read_next(px_context *ctx, npz_stream *self) {
    size_t got;
    PX_TRY(px_archive_read(ctx, &self->archive, self->image, self->array.stride, &got));
    if (got < self->array.stride) return fail_short(ctx, self->base.name, got, self->array.stride);
    uint8_t more; /* reading past the last image makes libarchive compare the checksum */
    if (self->next + 1 == self->base.count) PX_TRY(px_archive_read(ctx, &self->archive, &more, 1, &got));
    self->next++;
    return PX_OK;
}

static px_status read_image(px_source *source, px_context *ctx, size_t index, uint8_t *pixels) {
    npz_stream *self = (npz_stream *)source;
    if (index + 1 < self->next)
        return px_fail(ctx, PX_ERR_FILE, "%s: image %zu was asked for after image %zu, expected ascending order",
                       source->name, index, self->next - 1);
    while (index >= self->next) {
        if (self->failed == PX_OK) self->failed = read_next(&self->failure, self);
        if (self->failed == PX_ERR_FORMAT) self->failed = PX_ERR_FILE; /* no further image can be read */
        if (self->failed != PX_OK) return px_fail(ctx, self->failed, "%s", self->failure.message);
    }
    px_array_decode(&self->array, self->image, pixels);
    return PX_OK;
}

static void close_source(px_source *source) {
    npz_stream *self = (npz_stream *)source;
    px_archive_close(&self->archive);
    px_byte_source_free(&self->zip);
    free(self);
}

static px_status open_stream(px_context *ctx, const char *path, px_byte_source *zip, const candidate *best,
                             const px_array *array, px_source **source) {
    px_member member;
    px_source *created;
    PX_TRY(px_source_create(ctx, sizeof(npz_stream) + array->stride, path, array->extent, &created));
    npz_stream *self = (npz_stream *)created;
    self->array = *array;
    self->base.intensities = array->binary;
    if (array->binary) self->base.stored.levels = 2;
    self->base.read = read_image;
    self->base.close = close_source;
    self->zip = px_byte_source_take(zip);
    return px_source_finish(
        open_member(ctx, PX_ARCHIVE_ZIP, self->base.name, &self->zip, best, array->offset, &self->archive, &member),
        created, source);
}

/* ---- Labels ---- */

/* Writes the name of the member that has the labels of the images in `member`. Returns the number that means label 0 in
 * it. */
static int labels_member(const char *member, char name[PX_LABEL]) {
    const char *base = px_archive_basename(member);
    const int folder = (int)(base - member), length = (int)strlen(base) - 4, images = length - 7, data = length - 5;
    const bool x = (base[0] | 0x20) == 'x' && (length == 1 || base[1] == '_');
    const int stem = images > 0 && strncasecmp(base + images, "_images", 7) == 0 ? images
                     : data > 0 && strncasecmp(base + data, "_data", 5) == 0     ? data
                                                                                 : 0;
    if (x)
        snprintf(name, PX_LABEL, "%.*sy%s", folder, member, base + 1);
    else if (stem > 0)
        snprintf(name, PX_LABEL, "%.*s_labels.npy", folder + stem, member);
    else
        snprintf(name, PX_LABEL, "%.*slabels.npy", folder, member);
    return x || stem > 0 ? 0 : 1;
}

/* Reads the labels of the images in `best`, and writes the name of their member. PX_ERR_CONFIG if there are none. */
static px_status read_labels(px_context *ctx, const char *path, const px_byte_source *zip,
                             const px_source_options *options, const candidate *best, char name[PX_LABEL],
                             px_labels *labels) {
    const int first = labels_member(best->member, name);
    px_source_options named = *options;
    px_byte_source unpacked = {0};
    arrays a;
    named.array = name;
    PX_TRY(examine_members(ctx, path, zip, &named, &a));
    if (a.best.rank == NONE)
        return px_fail(ctx, PX_ERR_CONFIG, "%s: found no labels, expected %s beside it; data.%s_labels names files",
                       best->name, name, px_split_name(options->split));
    strcpy(name, a.best.name);
    px_status status = unpack(ctx, path, zip, &a.best, &unpacked);
    if (status == PX_OK) status = px_labels_of_npy(ctx, a.best.name, unpacked.bytes, unpacked.size, first, labels);
    px_byte_source_free(&unpacked);
    return status;
}

/* ---- Opening ---- */

static px_status open_images(px_context *ctx, const char *path, px_byte_source *zip, const px_source_options *options,
                             const candidate *best, px_source **source) {
    px_array array;
    size_t offset = 0;
    bool in_place;
    PX_TRY(find_in_place(ctx, path, zip, best, &array, &offset, &in_place));
    if (in_place && options->access != PX_ACCESS_IN_ORDER) { /* reading in order compares the checksum instead */
        array.offset += offset;
        return px_array_open(ctx, path, zip, &array, source);
    }
    if (options->access == PX_ACCESS_IN_ORDER && !array.fortran)
        return open_stream(ctx, path, zip, best, &array, source);
    px_byte_source unpacked = {0};
    px_status status = unpack(ctx, path, zip, best, &unpacked);
    if (status == PX_OK) status = px_array_open(ctx, path, &unpacked, &array, source);
    px_byte_source_free(&unpacked);
    return status;
}

px_status px_npz_open(px_context *ctx, const char *path, px_byte_source *zip, const px_source_options *options,
                      px_source **source) {
    candidate best;
    char name[PX_LABEL];
    px_context why;
    px_labels labels = {0};
    px_status labelled = PX_OK;
    PX_TRY(find_member(ctx, path, zip, options, &best));
    if (options->labels) labelled = read_labels(&why, path, zip, options, &best, name, &labels);
    const px_status status = open_images(ctx, path, zip, options, &best, source);
    if (options->labels && status == PX_OK)
        px_source_set_labels(*source, labelled, &why, name, labels);
    else
        free(labels.values);
    return status;
}
