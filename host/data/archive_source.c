/* A tar or a zip of images that can be read in any order, and the batches of CIFAR in a tar.
 *
 * Opening reads the whole archive once and records the location of each image. Images that are stored uncompressed (in
 * a plain tar, or stored in a zip) are later read from the file with pread. Others (in a compressed tar, or deflated in
 * a zip) are kept in memory as encoded PNG or JPEG files, up to 4 GiB in all. An image takes 24 bytes and its name. */
#include "host/data/image_set.h"
#include "host/data/image.h"
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 512, CHECKSUM = 148, CHECKSUM_BYTES = 8 };

typedef enum { IN_FILE, IN_MEMORY, DAMAGED } storage;

/* Where the encoded bytes of an image are: offset in the file or in memory. */
typedef struct location {
    size_t offset, size;
    storage storage;
} location;

typedef struct archive_source {
    px_image_set set;
    px_byte_source file; /* empty for a compressed tar */
    px_name_list names;  /* of the images */
    location *images;
    size_t images_capacity;
    px_byte_source memory; /* the encoded images that are not stored as they are */
    size_t memory_capacity;
    px_cifar_batches batches; /* found among the members, their bytes in memory */
} archive_source;

/* ---- Finding members ---- */

/* A tar is recognised by the checksum of its first header: the sum of its bytes, with the checksum's own bytes counted
 * as blanks. */
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

/* Reads the current member into memory, at most max_bytes + 1 bytes. */
static px_status read_into_memory(px_context *ctx, px_archive *archive, size_t max_bytes, archive_source *self,
                                  location *at) {
    px_byte_source *memory = &self->memory;
    const size_t begin = memory->size, left = px_memory_limit - begin;
    const px_status status = px_archive_append(ctx, archive, max_bytes < left ? max_bytes : left, memory,
                                               &self->memory_capacity);
    if (status != PX_OK) memory->size = begin;
    *at = (location){begin, memory->size - begin, IN_MEMORY};
    return status;
}

/* Adds the current member to the images. An image above PX_IMAGE_BYTES is refused later, when it is decoded. A member
 * that a zip cannot unpack is one damaged image; in a tar no member could be found after it, so it fails. */
static px_status add_image(px_context *ctx, px_archive *archive, const px_member *member, archive_source *self) {
    location at = {0, member->size, IN_FILE};
    bool in_place = false;
    px_status status = PX_OK;
    PX_TRY(px_grow(ctx, archive->path, self->set.base.count + 1, sizeof at, &self->images_capacity, &self->images));
    PX_TRY(px_name_list_add(ctx, archive->path, member->name, &self->names));
    if (archive->input) status = px_archive_in_place(ctx, archive, member, &at.offset, &in_place);
    if (status == PX_OK && !in_place) status = read_into_memory(ctx, archive, PX_IMAGE_BYTES, self, &at);
    if (status == PX_ERR_FORMAT && archive->format == PX_ARCHIVE_ZIP)
        at.storage = DAMAGED;
    else
        PX_TRY(status);
    self->images[self->set.base.count++] = at;
    return PX_OK;
}

/* Finds all members that are images or, in a tar, batches of CIFAR. */
static px_status find_members(px_context *ctx, px_archive *archive, px_split split, archive_source *self) {
    px_member member;
    location at;
    bool found;
    for (;;) {
        PX_TRY(px_archive_next(ctx, archive, &member, &found));
        if (!found) return PX_OK;
        px_image_count_left_out(member.name, self->set.base.left_out);
        self->batches.python |= px_cifar_python_named(member.name);
        if (px_image_named(member.name)) {
            PX_TRY(add_image(ctx, archive, &member, self));
        } else if (archive->format == PX_ARCHIVE_TAR && px_cifar_batch_named(member.name)) {
            PX_TRY(read_into_memory(ctx, archive, px_memory_limit, self, &at));
            px_cifar_batch_add(&self->batches, split, member.name, at.offset, at.size);
        }
        if (self->memory.size > px_memory_limit)
            return px_fail(
                ctx, PX_ERR_FORMAT,
                "%s: found more than %zu bytes to hold in memory, expected at most that: pixelrnn pack it first",
                archive->path, px_memory_limit);
    }
}

px_status px_zip_holds_images(px_context *ctx, const char *path, const px_byte_source *zip, bool *has_images) {
    px_archive archive;
    px_member member;
    bool found;
    *has_images = false;
    PX_TRY(px_archive_open(ctx, PX_ARCHIVE_ZIP_UNCHECKED, path, zip, &archive));
    px_status status;
    while ((status = px_archive_next(ctx, &archive, &member, &found)) == PX_OK && found) {
        const char *dot = strrchr(member.name, '.');
        *has_images |= px_image_format_of_name(member.name) != PX_IMAGE_UNKNOWN;
        if (!dot || strcmp(dot, ".npy") != 0) continue;
        *has_images = false;
        break;
    }
    px_archive_close(&archive);
    return status;
}

/* ---- Reading ---- */

static px_status load(px_image_set *set, px_context *ctx, size_t index, px_encoded *encoded) {
    const archive_source *self = (const archive_source *)set;
    const char *path = set->base.name;
    location at = self->images[index];
    if (at.size > PX_IMAGE_BYTES) at.size = (size_t)PX_IMAGE_BYTES + 1; /* refused when it is decoded */
    *encoded = (px_encoded){.size = at.size};
    px_archive_label(path, px_name_list_at(&self->names, index), encoded->name);
    if (at.storage == DAMAGED)
        return px_fail(ctx, PX_ERR_FORMAT,
                       "%s: found damaged content (its checksum differs, or it cannot be unpacked), expected it whole",
                       encoded->name);
    if (at.storage == IN_MEMORY) {
        encoded->bytes = self->memory.bytes + at.offset;
        return PX_OK;
    }
    encoded->bytes = encoded->owned = malloc(at.size + 1);
    if (!encoded->owned) return px_fail_memory(ctx, encoded->name, at.size + 1);
    return px_byte_source_copy(ctx, path, &self->file, at.offset, at.size, encoded->owned);
}

static void close_source(px_source *source) {
    archive_source *self = (archive_source *)source;
    px_byte_source_free(&self->file);
    px_byte_source_free(&self->memory);
    px_name_list_free(&self->names);
    free(self->images);
    free(self);
}

px_status px_archive_source_open(px_context *ctx, px_archive_format format, const char *path, px_byte_source *file,
                                 const px_source_options *options, px_source **source) {
    px_image_set *set;
    px_archive archive;
    PX_TRY(px_image_set_create(ctx, sizeof(archive_source), path, options, &set));
    archive_source *self = (archive_source *)set;
    set->load = load;
    set->base.close = close_source;
    px_status status = px_archive_open(ctx, format, path, file->size > 0 ? file : NULL, &archive);
    if (status == PX_OK) status = find_members(ctx, &archive, options->split, self);
    px_archive_close(&archive);
    if (status == PX_OK && self->batches.python && set->base.count == 0) status = px_cifar_fail_python(ctx, path);
    if (status == PX_OK && self->batches.found) {
        status = px_cifar_tar_open(ctx, path, &self->memory, &self->batches, options, source);
        px_source_close(&set->base);
        return status;
    }
    if (status == PX_OK) {
        self->file = px_byte_source_take(file);
        if (options->labels) px_labels_of_folders(&self->names, options->split, &set->base);
        status = px_image_set_measure(ctx, set);
    }
    return px_source_finish(status, &set->base, source);
}
