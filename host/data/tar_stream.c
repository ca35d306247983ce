/* Compressed tars of pictures, read in order in constant memory.
 *
 * The tar is unpacked twice: to count its pictures, and to read them. Pictures are taken from it one after the other,
 * and decoded side by side, a window of them at a time. */
#include "host/data/picture_set.h"
#include "pixelrnn/picture.h"
#include <stdlib.h>
#include <string.h>

enum { WINDOW = 64 };
static const size_t window_bytes = (size_t)64 << 20; /* of decoded pictures, and of encoded ones */

typedef struct slot {
    px_encoded encoded;
    px_status status; /* of decoding it */
    px_context ctx;
} slot;

typedef struct px_tar_stream {
    px_picture_set set;
    px_archive archive;
    size_t first, count; /* pictures in the window */
    size_t most;         /* that it has room for */
    slot *slots;
    uint8_t *pixels; /* of each */
    px_status failed;
    px_context failure; /* what stopped the reading after them */
} px_tar_stream;

/* Moves on to the next picture. */
static px_status next_picture(px_context *ctx, px_archive *archive, px_member *member, bool *found) {
    do PX_TRY(px_archive_next(ctx, archive, member, found));
    while (*found && !px_picture_named(member->name));
    return PX_OK;
}

/* Reads the picture that the archive stands at. One above PX_PICTURE_BYTES is cut there, and refused when decoded. */
static px_status take_picture(px_context *ctx, px_archive *archive, const px_member *member, px_encoded *encoded) {
    size_t bytes = member->size <= PX_PICTURE_BYTES ? member->size : (size_t)PX_PICTURE_BYTES + 1;
    px_archive_label(archive->path, member->name, encoded->name);
    encoded->owned = malloc(bytes + 1);
    if (!encoded->owned)
        return px_fail(ctx, PX_ERR_MEMORY, "%s: cannot hold %zu bytes in memory", encoded->name, bytes);
    encoded->bytes = encoded->owned;
    return px_archive_read(ctx, archive, encoded->owned, bytes, &encoded->size);
}

/* Counting -----------------------------------------------------------------------------------------------------------
 */

/* Counts the pictures; takes an open size of the set from the first that has one. */
static px_status count_pictures(px_context *ctx, px_archive *archive, bool measure, px_extent *extent) {
    for (;;) {
        px_member member;
        bool found;
        PX_TRY(next_picture(ctx, archive, &member, &found));
        if (!found) return PX_OK;
        extent->count++;
        if (!measure || extent->height > 0) continue;
        px_encoded encoded = {0};
        px_context ignored;
        int height, width;
        px_status status = take_picture(ctx, archive, &member, &encoded);
        if (status == PX_OK &&
            px_picture_measure(&ignored, encoded.name, encoded.bytes, encoded.size, &height, &width) == PX_OK) {
            extent->height = (size_t)height;
            extent->width = (size_t)width;
        }
        px_encoded_free(&encoded);
        PX_TRY(status);
    }
}

static px_status examine(px_context *ctx, const char *path, bool measure, px_extent *extent) {
    px_archive archive;
    *extent = (px_extent){0};
    PX_TRY(px_archive_open(ctx, PX_ARCHIVE_TAR, path, NULL, &archive));
    px_status status = count_pictures(ctx, &archive, measure, extent);
    px_archive_close(&archive);
    if (status == PX_OK && measure && extent->count > 0 && extent->height == 0)
        return px_fail(ctx, PX_ERR_FORMAT, "%s: found %zu pictures, none of them readable, expected PNG or JPEG", path,
                       extent->count);
    return status;
}

/* Reading ------------------------------------------------------------------------------------------------------------
 */

static void empty_window(px_tar_stream *self) {
    for (size_t i = 0; i < self->count; i++) px_encoded_free(&self->slots[i].encoded);
    self->first += self->count;
    self->count = 0;
}

/* Takes pictures until the window is full. What stops it is kept for the pictures that it stops. */
static void take_window(px_tar_stream *self) {
    size_t bytes = 0;
    while (self->failed == PX_OK && self->count < self->most && bytes < window_bytes) {
        slot *s = &self->slots[self->count];
        px_member member;
        bool found;
        self->failed = next_picture(&self->failure, &self->archive, &member, &found);
        if (self->failed != PX_OK) break;
        if (!found) {
            self->failed = px_fail(&self->failure, PX_ERR_FILE, "%s: found %zu pictures, expected the %zu of before",
                                   self->set.base.name, self->first + self->count, self->set.base.count);
            break;
        }
        self->failed = take_picture(&self->failure, &self->archive, &member, &s->encoded);
        self->count++; /* whole or not: it is freed with the others */
        bytes += s->encoded.size;
    }
    if (self->failed == PX_ERR_FORMAT) self->failed = PX_ERR_FILE; /* no picture can be read after it */
}

static void fill_window(px_tar_stream *self) {
    const size_t image = px_source_image_bytes(&self->set.base);
    empty_window(self);
    take_window(self);
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < self->count; i++) {
        slot *s = &self->slots[i];
        s->status = px_picture_set_decode(&s->ctx, &self->set, &s->encoded, self->pixels + i * image);
    }
}

static px_status read_image(px_source *source, px_context *ctx, size_t index, uint8_t *pixels) {
    px_tar_stream *self = (px_tar_stream *)source;
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
    px_tar_stream *self = (px_tar_stream *)source;
    if (self->slots) empty_window(self);
    px_archive_close(&self->archive);
    free(self->slots);
    free(self->pixels);
    free(self);
}

static px_status prepare(px_context *ctx, px_tar_stream *self) {
    const size_t image = px_source_image_bytes(&self->set.base);
    self->most = image < window_bytes / WINDOW ? WINDOW : 1 + window_bytes / (image + 1);
    self->slots = calloc(self->most, sizeof *self->slots);
    self->pixels = malloc(self->most * image);
    if (!self->slots || !self->pixels)
        return px_fail(ctx, PX_ERR_MEMORY, "%s: cannot hold %zu images in memory", self->set.base.name, self->most);
    return px_archive_open(ctx, PX_ARCHIVE_TAR, self->set.base.name, NULL, &self->archive);
}

px_status px_tar_stream_open(px_context *ctx, const char *path, const px_source_options *options, px_source **source) {
    px_extent extent;
    px_picture_set *set;
    PX_TRY(examine(ctx, path, options->size == 0, &extent));
    if (extent.count == 0) return PX_OK;
    PX_TRY(px_picture_set_create(ctx, sizeof(px_tar_stream), path, extent.count, options, &set));
    if (!set->resize) {
        set->base.height = (int)extent.height;
        set->base.width = (int)extent.width;
    }
    set->base.read = read_image;
    set->base.close = close_source;
    px_status status = prepare(ctx, (px_tar_stream *)set);
    if (status == PX_OK)
        *source = &set->base;
    else
        px_source_close(&set->base);
    return status;
}
