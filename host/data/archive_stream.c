/* A compressed tar or a zip of images that is read in order, in constant memory.
 *
 * The archive is unpacked twice: once to count its images, once to read them. One thread reads a window of images, then
 * all threads decode it. A zip's checksums are compared as it is read. */
#include "host/data/image_set.h"
#include "host/data/image.h"
#include <stdlib.h>
#include <string.h>

enum { WINDOW = 64 };
static const size_t window_bytes = (size_t)64 << 20; /* maximum for decoded images, and for encoded ones */

typedef struct slot {
    px_encoded encoded;
    px_status status; /* of reading and decoding the image */
    px_context ctx;
} slot;

typedef struct archive_stream {
    px_image_set set;
    px_archive archive;
    size_t first, count; /* indices of the images in the window */
    size_t capacity;     /* maximum number of images in the window */
    slot *slots;
    uint8_t *pixels; /* of each */
    px_status failed;
    px_context failure; /* the message, if reading failed after the window */
} archive_stream;

/* Reads the current member to its end, where libarchive compares a zip's checksum. An image above PX_IMAGE_BYTES is
 * truncated, and then refused when it is decoded. */
static px_status read_member(px_context *ctx, px_archive *archive, const px_member *member, px_encoded *encoded) {
    const size_t bytes = 1 + (member->size <= PX_IMAGE_BYTES ? member->size : (size_t)PX_IMAGE_BYTES);
    px_archive_label(archive->path, member->name, encoded->name);
    encoded->owned = malloc(bytes);
    if (!encoded->owned) return px_fail_memory(ctx, encoded->name, bytes);
    encoded->bytes = encoded->owned;
    return px_archive_read(ctx, archive, encoded->owned, bytes, &encoded->size);
}

/* ---- Counting ---- */

typedef struct counted {
    size_t images, left_out[PX_FORMATS_LEFT_OUT];
    int height, width;  /* of the first image that can be decoded; 0: none, or not requested */
    px_context first;   /* the message, if the first image cannot be decoded */
    px_name_list names; /* with options->labels */
} counted;

/* Finds the size of the current image. An image that cannot be decoded leaves it 0 and is no failure. */
static px_status measure_image(px_context *ctx, px_archive *archive, const px_member *member, counted *c) {
    px_encoded encoded = {0};
    px_context why;
    px_status status = read_member(&why, archive, member, &encoded);
    const bool was_read = status == PX_OK;
    if (was_read) status = px_encoded_measure(&why, &encoded, &c->height, &c->width);
    px_encoded_free(&encoded);
    if (status == PX_OK) return PX_OK;
    if (c->images == 1) c->first = why;
    c->height = c->width = 0;
    return status == PX_ERR_FORMAT && (was_read || archive->format == PX_ARCHIVE_ZIP)
               ? PX_OK
               : px_fail(ctx, status, "%s", why.message);
}

static px_status count_images(px_context *ctx, px_archive *archive, const px_source_options *options, counted *c) {
    const bool measure = options->size == 0;
    for (;;) {
        px_member member;
        bool found;
        PX_TRY(px_archive_next(ctx, archive, &member, &found));
        if (!found) return PX_OK;
        px_image_count_left_out(member.name, c->left_out);
        if (!px_image_named(member.name)) continue;
        c->images++;
        if (options->labels) PX_TRY(px_name_list_add(ctx, archive->path, member.name, &c->names));
        if (measure && c->height == 0) PX_TRY(measure_image(ctx, archive, &member, c));
    }
}

static px_status examine(px_context *ctx, px_archive_format format, const char *path, const px_source_options *options,
                         counted *c) {
    px_archive archive;
    PX_TRY(px_archive_open(ctx, format, path, NULL, &archive));
    px_status status = count_images(ctx, &archive, options, c);
    px_archive_close(&archive);
    if (status == PX_OK && options->size == 0 && c->images > 0 && c->height == 0)
        return px_fail_none_readable(ctx, path, c->images, &c->first);
    return status;
}

/* ---- Reading ---- */

static void empty_window(archive_stream *self) {
    for (size_t i = 0; i < self->count; i++) px_encoded_free(&self->slots[i].encoded);
    self->first += self->count;
    self->count = 0;
}

/* Reads members until the window is full. A failure is stored, and returned for the images that cannot be read. A
 * member that a zip cannot unpack is one damaged image. */
static void read_window(archive_stream *self) {
    size_t bytes = 0;
    while (self->failed == PX_OK && self->count < self->capacity && bytes < window_bytes) {
        slot *s = &self->slots[self->count];
        px_member member;
        bool found;
        do self->failed = px_archive_next(&self->failure, &self->archive, &member, &found);
        while (self->failed == PX_OK && found && !px_image_named(member.name));
        if (self->failed != PX_OK) break;
        if (!found) {
            self->failed = px_fail(&self->failure, PX_ERR_FILE,
                                   "%s: found %zu images, expected %zu as when it was opened", self->set.base.name,
                                   self->first + self->count, self->set.base.count);
            break;
        }
        s->status = read_member(&s->ctx, &self->archive, &member, &s->encoded);
        if (s->status != PX_OK && (s->status != PX_ERR_FORMAT || self->archive.format != PX_ARCHIVE_ZIP))
            s->status = self->failed = px_fail(&self->failure, PX_ERR_FILE, "%s", s->ctx.message);
        self->count++; /* also after a failure, so that the slot is freed */
        bytes += s->encoded.size;
    }
    if (self->failed == PX_ERR_FORMAT) self->failed = PX_ERR_FILE; /* no further image can be read */
}

static void fill_window(archive_stream *self) {
    const size_t image = px_source_image_bytes(&self->set.base);
    empty_window(self);
    read_window(self);
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < self->count; i++) {
        slot *s = &self->slots[i];
        if (s->status == PX_OK)
            s->status = px_image_set_decode(&s->ctx, &self->set, &s->encoded, self->pixels + i * image);
    }
}

static px_status read_image(px_source *source, px_context *ctx, size_t index, uint8_t *pixels) {
    archive_stream *self = (archive_stream *)source;
    if (index < self->first)
        return px_fail(ctx, PX_ERR_FILE, "%s: image %zu was asked for after image %zu, expected ascending order",
                       source->name, index, self->first);
    while (index >= self->first + self->count) {
        if (self->failed != PX_OK) return px_fail(ctx, self->failed, "%s", self->failure.message);
        fill_window(self);
    }
    const slot *s = &self->slots[index - self->first];
    const size_t image = px_source_image_bytes(source);
    if (s->status != PX_OK) return px_fail(ctx, s->status, "%s", s->ctx.message);
    memcpy(pixels, self->pixels + (index - self->first) * image, image);
    return PX_OK;
}

static void close_source(px_source *source) {
    archive_stream *self = (archive_stream *)source;
    if (self->slots) empty_window(self);
    px_archive_close(&self->archive);
    free(self->slots);
    free(self->pixels);
    free(self);
}

static px_status allocate_window(px_context *ctx, px_archive_format format, archive_stream *self) {
    const size_t image = px_source_image_bytes(&self->set.base);
    self->capacity = image < window_bytes / WINDOW ? WINDOW : 1 + window_bytes / (image + 1);
    self->slots = calloc(self->capacity, sizeof *self->slots);
    self->pixels = malloc(self->capacity * image);
    if (!self->slots || !self->pixels)
        return px_fail_memory(ctx, self->set.base.name, self->capacity * (image + sizeof *self->slots));
    return px_archive_open(ctx, format, self->set.base.name, NULL, &self->archive);
}

static px_status open_counted(px_context *ctx, px_archive_format format, const char *path,
                              const px_source_options *options, const counted *c, px_source **source) {
    px_image_set *set;
    PX_TRY(px_image_set_create(ctx, sizeof(archive_stream), path, options, &set));
    set->base.count = c->images;
    memcpy(set->base.left_out, c->left_out, sizeof c->left_out);
    if (!set->resize) {
        set->base.height = c->height;
        set->base.width = c->width;
    }
    set->base.read = read_image;
    set->base.close = close_source;
    if (options->labels) px_labels_of_folders(&c->names, options->split, &set->base);
    return px_source_finish(allocate_window(ctx, format, (archive_stream *)set), &set->base, source);
}

px_status px_archive_stream_open(px_context *ctx, px_archive_format format, const char *path,
                                 const px_source_options *options, px_source **source) {
    counted c = {0};
    px_status status = examine(ctx, format, path, options, &c);
    if (status == PX_OK && c.images > 0) status = open_counted(ctx, format, path, options, &c, source);
    px_name_list_free(&c.names);
    return status;
}
