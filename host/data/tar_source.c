/* Tars, in a file or in memory: of pictures, of which a list of places is held, or CIFAR-10's. */
#include "host/data/cifar.h"
#include "host/data/picture_set.h"
#include "pixelrnn/picture.h"
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 512, CHECKSUM = 148, CHECKSUM_BYTES = 8, NAME_BYTES = 100, PREFIX = 345, PREFIX_BYTES = 155 };

/* Where a picture lies in the tar. */
typedef struct place {
    size_t offset, size;
} place;

typedef struct place_list {
    place *place;
    size_t count, slots;
} place_list;

typedef struct px_tar_source {
    px_picture_set set;
    px_contents tar;
    place_list pictures;
} px_tar_source;

/* The first header's checksum: the sum of its bytes, those of the checksum taken as blanks. */
bool px_tar_recognise(const uint8_t *bytes, size_t size) {
    if (size < BLOCK) return false;
    unsigned long sum = 0, stated = 0;
    for (size_t i = 0; i < BLOCK; i++) sum += i - CHECKSUM < CHECKSUM_BYTES ? ' ' : bytes[i];
    size_t digits = 0;
    for (const uint8_t *c = bytes + CHECKSUM; c < bytes + CHECKSUM + CHECKSUM_BYTES; c++) {
        if (*c >= '0' && *c <= '7') {
            stated = stated * 8 + (unsigned long)(*c - '0');
            digits++;
        } else if (digits > 0) {
            break;
        }
    }
    return digits > 0 && stated == sum;
}

static px_status add_place(px_context *ctx, const char *path, place at, place_list *list) {
    if (list->count == list->slots) {
        size_t slots = 2 * list->slots + 64;
        place *grown = realloc(list->place, slots * sizeof *grown);
        if (!grown) return px_fail(ctx, PX_ERR_MEMORY, "%s: no memory for the list of its pictures", path);
        list->place = grown;
        list->slots = slots;
    }
    list->place[list->count++] = at;
    return PX_OK;
}

/* Finds all members that are pictures or CIFAR-10's batches. */
static px_status walk(px_context *ctx, px_archive *archive, px_split split, place_list *pictures,
                      px_cifar_batches *batches) {
    char label[PX_LABEL];
    px_member member;
    bool found;
    for (;;) {
        PX_TRY(px_archive_next(ctx, archive, &member, &found));
        if (!found) return PX_OK;
        bool picture = px_picture_named(member.name);
        batches->python |= px_cifar_python_named(member.name);
        if (!picture && !px_cifar_batch_named(member.name)) continue;
        place at = {member.header + BLOCK, member.size};
        bool whole = true;
        px_archive_label(archive->path, member.name, label);
        if (at.size > 0) PX_TRY(px_archive_in_place(ctx, archive, &member, &at.offset, &whole));
        if (!whole)
            return px_fail(ctx, PX_ERR_FORMAT, "%s: found less than its %zu bytes in one piece, expected all", label,
                           at.size);
        if (picture)
            PX_TRY(add_place(ctx, archive->path, at, pictures));
        else
            px_cifar_batch_add(batches, split, member.name, at.offset, at.size);
    }
}

/* A picture's name stands in the header before it; one that is longer than the header holds is cut. */
static void label_picture(const px_source *base, const char *header, char label[PX_LABEL]) {
    char name[PREFIX_BYTES + 1 + NAME_BYTES + 1];
    size_t prefix = strnlen(header + PREFIX, PREFIX_BYTES), length = strnlen(header, NAME_BYTES);
    memcpy(name, header + PREFIX, prefix);
    if (prefix > 0) name[prefix++] = '/';
    memcpy(name + prefix, header, length);
    name[prefix + length] = 0;
    px_archive_label(base->name, name, label);
}

static px_status load(px_picture_set *set, px_context *ctx, size_t index, px_encoded *encoded) {
    const px_tar_source *self = (const px_tar_source *)set;
    const char *path = set->base.name;
    place at = self->pictures.place[index];
    /* one above PX_PICTURE_BYTES is cut there, and refused when it is decoded */
    size_t size = at.size <= PX_PICTURE_BYTES ? at.size : (size_t)PX_PICTURE_BYTES + 1;
    uint8_t *bytes = malloc(BLOCK + size);
    if (!bytes) return px_fail(ctx, PX_ERR_MEMORY, "%s: cannot hold a picture of %zu bytes in memory", path, size);
    *encoded = (px_encoded){.bytes = bytes + BLOCK, .size = size, .owned = bytes};
    PX_TRY(px_contents_copy(ctx, path, &self->tar, at.offset - BLOCK, BLOCK + size, bytes));
    label_picture(&set->base, (const char *)bytes, encoded->name);
    return PX_OK;
}

static void close_source(px_source *source) {
    px_tar_source *self = (px_tar_source *)source;
    px_contents_free(&self->tar);
    free(self->pictures.place);
    free(self);
}

static px_status open_pictures(px_context *ctx, const char *path, px_contents tar, place_list pictures,
                               const px_source_options *options, px_source **source) {
    px_picture_set *set;
    px_status status = px_picture_set_create(ctx, sizeof(px_tar_source), path, pictures.count, options, &set);
    if (status != PX_OK) {
        px_contents_free(&tar);
        free(pictures.place);
        return status;
    }
    ((px_tar_source *)set)->tar = tar;
    ((px_tar_source *)set)->pictures = pictures;
    set->load = load;
    set->base.close = close_source;
    status = px_picture_set_measure(ctx, set);
    if (status == PX_OK)
        *source = &set->base;
    else
        px_source_close(&set->base);
    return status;
}

px_status px_tar_open(px_context *ctx, const char *path, px_contents contents, const px_source_options *options,
                      px_source **source) {
    place_list pictures = {0};
    px_cifar_batches batches = {0};
    px_archive archive;
    px_status status = px_archive_open(ctx, PX_ARCHIVE_TAR, path, &contents, &archive);
    if (status == PX_OK) status = walk(ctx, &archive, options->split, &pictures, &batches);
    px_archive_close(&archive);
    if (status == PX_OK && batches.python && pictures.count == 0) status = px_cifar_fail_python(ctx, path);
    if (status == PX_OK && !batches.found) return open_pictures(ctx, path, contents, pictures, options, source);
    free(pictures.place);
    if (status == PX_OK) return px_cifar_tar_open(ctx, path, contents, &batches, options, source);
    px_contents_free(&contents);
    return status;
}
