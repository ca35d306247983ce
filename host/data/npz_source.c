/* .npz files, zips of .npy arrays: the one that holds the images, read where it lies if it is stored; deflated it is
 * unpacked into memory, or image by image if they are read in order. */
#include "host/data/archive.h"
#include "host/data/npy_header.h"
#include <stdlib.h>
#include <string.h>

/* Names that images go by, the best first; then any array that can be images. */
static const char *const names[][3] = {
    [PX_SPLIT_TRAIN] = {"data.npy", "images.npy", "x_train.npy"},
    [PX_SPLIT_TEST] = {"data.npy", "images.npy", "x_test.npy"},
};
enum { NAMES = 3, OTHER = NAMES, NONE };

/* A member that may hold the images. */
typedef struct candidate {
    int rank;      /* in names, or OTHER, or NONE */
    int equals;    /* members of that rank */
    size_t number; /* of the first of them */
    char name[PX_LABEL];
} candidate;

/* The source of a deflated array read in order. */
typedef struct px_npz_stream {
    px_source base;
    px_contents zip;
    px_archive archive;
    px_array array;
    size_t next; /* image the archive stands at */
    px_status failed;
    px_context failure; /* what stopped the reading: libarchive would go on after a wrong checksum */
    uint8_t image[];
} px_npz_stream;

bool px_zip_recognise(const uint8_t *bytes, size_t size) {
    return size >= 4 && bytes[0] == 'P' && bytes[1] == 'K' &&
           ((bytes[2] == 3 && bytes[3] == 4) || (bytes[2] == 5 && bytes[3] == 6)); /* the latter: without members */
}

/* Arrays as images ---------------------------------------------------------------------------------------------------
 */

/* As .npy has them, or [N, 3 * S * S] in planes R, G, B, or [N, S * S]. */
static px_status find_images(px_context *ctx, const char *name, const px_npy_header *h, size_t size, px_array *array) {
    px_npy_header spread = *h;
    size_t columns = h->shape[1];
    size_t grey = h->dimensions == 2 ? px_square_side(columns) : 0;
    size_t colour = h->dimensions == 2 && columns % 3 == 0 ? px_square_side(columns / 3) : 0;
    if (grey || colour) {
        size_t shape[4] = {h->shape[0], colour ? colour : grey, colour ? colour : grey, colour ? 3 : 1};
        memcpy(spread.shape, shape, sizeof shape);
        spread.dimensions = 4;
    }
    if (h->elements > size)
        return px_fail(ctx, PX_ERR_FORMAT, "%s: npy: found %zu bytes, expected a header of %zu", name, size,
                       h->elements);
    PX_TRY(px_npy_header_images(ctx, name, &spread, size));
    *array = px_array_plain(spread.dimensions, spread.shape, h->elements);
    array->planes = colour > 0;
    return PX_OK;
}

/* Reads the header at the beginning of the member that the archive stands at. */
static px_status read_header(px_context *ctx, px_archive *archive, const char *name, px_npy_header *h) {
    uint8_t *head = malloc(PX_NPY_HEADER_MOST);
    size_t got;
    if (!head) return px_fail(ctx, PX_ERR_MEMORY, "%s: not enough memory to read it", name);
    px_status status = px_archive_read(ctx, archive, head, PX_NPY_HEADER_MOST, &got);
    if (status == PX_OK) status = px_npy_header_parse(ctx, name, head, got, h);
    free(head);
    return status;
}

/* Choosing a member --------------------------------------------------------------------------------------------------
 */

static int rank_of(px_archive *archive, const px_member *member, px_split split) {
    const char *base = px_archive_basename(member->name);
    size_t length = strlen(base);
    if (length < 4 || strcmp(base + length - 4, ".npy") != 0) return NONE;
    for (int i = 0; i < NAMES; i++)
        if (strcmp(base, names[split][i]) == 0) return i;
    px_context ignored;
    px_npy_header h;
    px_array array;
    bool images = read_header(&ignored, archive, member->name, &h) == PX_OK &&
                  find_images(&ignored, member->name, &h, member->size, &array) == PX_OK;
    return images ? OTHER : NONE;
}

static px_status choose(px_context *ctx, px_archive *archive, px_split split, candidate *best, size_t *members) {
    *best = (candidate){.rank = NONE};
    for (*members = 0;; ++*members) {
        px_member member;
        bool found;
        PX_TRY(px_archive_next(ctx, archive, &member, &found));
        if (!found) return PX_OK;
        int rank = rank_of(archive, &member, split);
        if (rank == best->rank) best->equals++;
        if (rank >= best->rank) continue;
        *best = (candidate){.rank = rank, .equals = 1, .number = *members};
        px_archive_label(archive->path, member.name, best->name);
    }
}

static px_status find_member(px_context *ctx, const char *path, const px_contents *zip, px_split split,
                             candidate *best) {
    px_archive archive;
    size_t members = 0;
    PX_TRY(px_archive_open(ctx, PX_ARCHIVE_ZIP_UNCHECKED, path, zip, &archive));
    px_status status = choose(ctx, &archive, split, best, &members);
    px_archive_close(&archive);
    PX_TRY(status);
    if (best->rank == NONE)
        return px_fail(
            ctx, PX_ERR_FORMAT,
            "%s: zip: found no array of images among %zu files, expected %s, %s, %s or a uint8 array, or PNG "
            "and JPEG pictures",
            path, members, names[split][0], names[split][1], names[split][2]);
    if (best->equals > 1)
        return px_fail(ctx, PX_ERR_FORMAT, "%s: zip: found %d arrays of images, this and others%s, expected one",
                       best->name, best->equals, best->rank < OTHER ? " of its name" : "");
    return PX_OK;
}

/* Opens the zip at the member, of which `skip` bytes are passed over. */
static px_status open_member(px_context *ctx, px_archive_format format, const char *path, const px_contents *zip,
                             const candidate *best, size_t skip, px_archive *archive, px_member *member) {
    uint8_t passed[256];
    bool found = true;
    PX_TRY(px_archive_open(ctx, format, path, zip, archive));
    px_status status = PX_OK;
    for (size_t i = 0; i <= best->number && status == PX_OK; i++)
        status = px_archive_next(ctx, archive, member, &found);
    for (size_t got; skip > 0 && status == PX_OK; skip -= got) {
        status = px_archive_read(ctx, archive, passed, skip < sizeof passed ? skip : sizeof passed, &got);
        if (status == PX_OK && got == 0)
            status = px_fail(ctx, PX_ERR_FORMAT, "%s: found less than its header, expected all of it", best->name);
    }
    if (status != PX_OK) px_archive_close(archive);
    return status;
}

/* Where the member begins in the file, if it is stored as it is. */
static px_status find_in_place(px_context *ctx, const char *path, const px_contents *zip, const candidate *best,
                               px_array *array, size_t *size, size_t *offset, bool *in_place) {
    px_archive archive;
    px_member member;
    px_npy_header h;
    PX_TRY(open_member(ctx, PX_ARCHIVE_ZIP_UNCHECKED, path, zip, best, 0, &archive, &member));
    *size = member.size;
    px_status status = read_header(ctx, &archive, best->name, &h);
    px_archive_close(&archive);
    PX_TRY(status);
    PX_TRY(find_images(ctx, best->name, &h, *size, array));
    PX_TRY(open_member(ctx, PX_ARCHIVE_ZIP_UNCHECKED, path, zip, best, 0, &archive, &member));
    status = px_archive_in_place(ctx, &archive, &member, offset, in_place);
    px_archive_close(&archive);
    return status;
}

/* Unpacking one ------------------------------------------------------------------------------------------------------
 */

static px_status fail_short(px_context *ctx, const char *name, size_t found, size_t expected) {
    return px_fail(ctx, PX_ERR_FORMAT, "%s: found %zu bytes, expected %zu", name, found, expected);
}

/* All of it into memory; its end is read too, where libarchive compares its checksum. */
static px_status unpack(px_context *ctx, const char *path, const px_contents *zip, const candidate *best, size_t size,
                        px_contents *unpacked) {
    px_archive archive;
    px_member member;
    if (size > px_memory_limit)
        return px_fail(ctx, PX_ERR_FORMAT,
                       "%s: found %zu bytes of content, expected at most %zu: pixelrnn pack it first", best->name, size,
                       px_memory_limit);
    PX_TRY(open_member(ctx, PX_ARCHIVE_ZIP, path, zip, best, 0, &archive, &member));
    unpacked->bytes = malloc(size + 1);
    px_status status = PX_OK;
    if (!unpacked->bytes) status = px_fail(ctx, PX_ERR_MEMORY, "%s: cannot hold %zu bytes in memory", best->name, size);
    if (status == PX_OK) status = px_archive_read(ctx, &archive, unpacked->bytes, size + 1, &unpacked->size);
    px_archive_close(&archive);
    if (status == PX_OK && unpacked->size != size) status = fail_short(ctx, best->name, unpacked->size, size);
    if (status != PX_OK) px_contents_free(unpacked);
    return status;
}

static px_status read_next(px_context *ctx, px_npz_stream *self) {
    size_t got;
    PX_TRY(px_archive_read(ctx, &self->archive, self->image, self->array.stride, &got));
    if (got < self->array.stride) return fail_short(ctx, self->base.name, got, self->array.stride);
    uint8_t more; /* after the last image none: this is where libarchive compares the checksum */
    if (self->next + 1 == self->base.count) PX_TRY(px_archive_read(ctx, &self->archive, &more, 1, &got));
    self->next++;
    return PX_OK;
}

static px_status read_image(px_source *source, px_context *ctx, size_t index, uint8_t *pixels) {
    px_npz_stream *self = (px_npz_stream *)source;
    if (index + 1 < self->next)
        return px_fail(ctx, PX_ERR_FILE, "%s: image %zu was asked for after image %zu, expected ascending order",
                       source->name, index, self->next - 1);
    while (index >= self->next) {
        if (self->failed == PX_OK) self->failed = read_next(&self->failure, self);
        if (self->failed == PX_ERR_FORMAT) self->failed = PX_ERR_FILE; /* no image can be read after it */
        if (self->failed != PX_OK) return px_fail(ctx, self->failed, "%s", self->failure.message);
    }
    if (self->array.planes)
        px_array_interleave(&self->array.extent, self->image, pixels);
    else
        memcpy(pixels, self->image, self->array.stride);
    return PX_OK;
}

static void close_source(px_source *source) {
    px_npz_stream *self = (px_npz_stream *)source;
    px_archive_close(&self->archive);
    px_contents_free(&self->zip);
    free(self);
}

static px_status open_stream(px_context *ctx, const char *path, px_contents zip, const candidate *best,
                             const px_array *array, px_source **source) {
    px_member member;
    px_source *made;
    PX_TRY(px_source_create(ctx, sizeof(px_npz_stream) + array->stride, path, array->extent, &made));
    px_npz_stream *self = (px_npz_stream *)made;
    self->array = *array;
    self->base.read = read_image;
    self->base.close = close_source;
    self->zip = zip;
    px_status status = open_member(ctx, PX_ARCHIVE_ZIP, self->base.name, &self->zip, best, array->offset,
                                   &self->archive, &member);
    if (status != PX_OK) {
        free(self);
        return status;
    }
    *source = made;
    return PX_OK;
}

/* zip stays the caller's after a failure, and where it was unpacked (*source then does not need it). */
static px_status open_array(px_context *ctx, const char *path, px_contents *zip, const px_source_options *options,
                            px_source **source) {
    candidate best;
    px_array array;
    size_t size, offset;
    bool in_place;
    PX_TRY(find_member(ctx, path, zip, options->split, &best));
    PX_TRY(find_in_place(ctx, path, zip, &best, &array, &size, &offset, &in_place));
    px_contents taken = *zip;
    if (in_place && options->access != PX_ACCESS_IN_ORDER) { /* in order, its checksum is compared */
        array.offset += offset;
        *zip = (px_contents){0};
        return px_array_open(ctx, path, taken, &array, source);
    }
    if (options->access == PX_ACCESS_IN_ORDER) {
        px_status status = open_stream(ctx, path, taken, &best, &array, source);
        if (status == PX_OK) *zip = (px_contents){0};
        return status;
    }
    px_contents unpacked = {0};
    PX_TRY(unpack(ctx, path, zip, &best, size, &unpacked));
    return px_array_open(ctx, path, unpacked, &array, source);
}

px_status px_npz_open(px_context *ctx, const char *path, px_contents contents, const px_source_options *options,
                      px_source **source) {
    px_status status = open_array(ctx, path, &contents, options, source);
    px_contents_free(&contents);
    return status;
}
