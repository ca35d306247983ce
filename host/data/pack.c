/* Packing: threads read a window of images in parallel, then one thread writes it in order. */
#include "host/data/pack.h"
#include "host/data/formats.h"
#include "host/io/file.h"
#include "host/data/npy.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum { WINDOW = 256 };                               /* maximum number of images in a window */
static const size_t window_bytes = (size_t)64 << 20; /* its approximate maximum size; a window has at least one image */

typedef struct slot {
    px_status status;
    px_context ctx;
} slot;

typedef struct packer {
    px_source *source;
    px_pack_range range;
    px_file_out out;
    const px_pack_callbacks *callbacks;
    px_packed *packed;
    size_t image_bytes;
    size_t window; /* number of images in a window */
    uint8_t *pixels;
    slot *slots;
    uLong crc32;    /* of the pixels */
    px_context why; /* message of the first image that was skipped */
} packer;

static px_status allocate(px_context *ctx, packer *p) {
    p->image_bytes = px_source_image_bytes(p->source);
    p->window = p->image_bytes < window_bytes / WINDOW ? WINDOW : 1 + window_bytes / (p->image_bytes + 1);
    p->pixels = malloc(p->window * p->image_bytes);
    p->slots = malloc(p->window * sizeof *p->slots);
    if (p->pixels && p->slots) return PX_OK;
    return px_fail_memory(ctx, p->source->name, p->window * (p->image_bytes + sizeof *p->slots));
}

/* first: of the window, counted from the range's first image. A source that is not concurrent is read by one thread, in
 * order. */
static void read_window(packer *p, size_t first, size_t count) {
#pragma omp parallel for schedule(dynamic) if (p->source->concurrent)
    for (size_t i = 0; i < count; i++) {
        slot *s = &p->slots[i];
        s->status = p->source->read(p->source, &s->ctx, p->range.first + first + i, p->pixels + i * p->image_bytes);
    }
}

static px_status write_window(px_context *ctx, packer *p, size_t first, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const slot *s = &p->slots[i];
        const uint8_t *image = p->pixels + i * p->image_bytes;
        if (s->status == PX_ERR_FORMAT) {
            if (p->packed->skipped++ == 0) snprintf(p->why.message, sizeof p->why.message, "%s", s->ctx.message);
            p->callbacks->skipped(p->callbacks->user, p->range.first + first + i, s->ctx.message);
            continue;
        }
        if (s->status != PX_OK) return px_fail(ctx, s->status, "%s", s->ctx.message);
        PX_TRY(px_file_write(ctx, &p->out, image, p->image_bytes));
        p->crc32 = crc32_z(p->crc32, image, p->image_bytes);
        p->packed->images++;
    }
    p->callbacks->done(p->callbacks->user, first + count);
    return PX_OK;
}

static px_status write_images(px_context *ctx, packer *p) {
    const size_t images = p->range.count;
    for (size_t first = 0, count; first < images; first += count) {
        count = images - first < p->window ? images - first : p->window;
        const px_status asked = px_stop_poll(p->callbacks->stop);
        if (asked != PX_OK)
            return px_fail(ctx, asked, "pack: stopped after %zu of %zu images; %s is as it was", first, images,
                           p->out.path);
        read_window(p, first, count);
        PX_TRY(write_window(ctx, p, first, count));
    }
    if (p->packed->images > 0) return PX_OK;
    return px_fail(ctx, PX_ERR_FORMAT, "%s: found no image that can be read among %zu; the first: %s", p->source->name,
                   images, p->why.message);
}

/* Writes the header of a file with `images` images. */
static px_status write_header(px_context *ctx, const packer *p, FILE *stream, size_t images) {
    const px_source *s = p->source;
    const size_t shape[] = {images, (size_t)s->height, (size_t)s->width, (size_t)s->channels};
    return px_npy_write_header(ctx, p->out.path, stream, "|u1", 4, shape);
}

/* Computes the checksum of the whole file. Rewrites the header if images were skipped. */
static px_status finish_header(px_context *ctx, packer *p) {
    uint8_t header[PX_NPY_HEADER + 1];
    FILE *memory = fmemopen(header, sizeof header, "wb");
    if (!memory) return px_fail_memory(ctx, p->out.path, sizeof header);
    px_status status = write_header(ctx, p, memory, p->packed->images);
    fclose(memory);
    PX_TRY(status);
    const size_t bytes = p->packed->images * p->image_bytes;
    p->packed->crc32 = (uint32_t)crc32_combine(crc32_z(0, header, PX_NPY_HEADER), p->crc32, (z_off_t)bytes);
    if (p->packed->skipped == 0) return PX_OK;
    if (fseek(p->out.stream, 0, SEEK_SET) != 0)
        return px_fail(ctx, PX_ERR_FILE, "%s: cannot go back to its header: %s", p->out.path, strerror(errno));
    return px_file_write(ctx, &p->out, header, PX_NPY_HEADER);
}

static px_status write_checksum(px_context *ctx, const char *name, uint32_t crc, px_file_out *out) {
    char path[PX_PATH], line[PX_PATH + 16];
    const int length = snprintf(line, sizeof line, "%s %08X\n", px_archive_basename(name), (unsigned)crc);
    PX_TRY(px_file_path(ctx, path, "%s.sfv", name));
    PX_TRY(px_file_create(ctx, path, out));
    PX_TRY(px_file_write(ctx, out, line, (size_t)length));
    return px_file_finish(ctx, out);
}

/* Writes both files under temporary names. */
static px_status write_all(px_context *ctx, packer *p, px_file_out *checksum) {
    PX_TRY(allocate(ctx, p));
    PX_TRY(write_header(ctx, p, p->out.stream, p->range.count));
    PX_TRY(write_images(ctx, p));
    PX_TRY(finish_header(ctx, p));
    px_stop_hold(p->callbacks->stop); /* a sync may take long, and is not a hang */
    px_status status = px_file_finish(ctx, &p->out);
    if (status == PX_OK) status = write_checksum(ctx, p->out.path, p->packed->crc32, checksum);
    px_stop_release(p->callbacks->stop);
    return status;
}

px_status px_pack(px_context *ctx, px_source *source, px_pack_range range, const char *path,
                  const px_pack_callbacks *callbacks, px_packed *packed) {
    px_file_out checksum = {0};
    packer p = {.source = source, .range = range, .callbacks = callbacks, .packed = packed};
    *packed = (px_packed){0};
    px_status status = px_file_create(ctx, path, &p.out);
    if (status == PX_OK) status = write_all(ctx, &p, &checksum);
    /* The old checksum is removed first, so that it never stands beside the new file. */
    if (status == PX_OK) unlink(checksum.path);
    if (status == PX_OK) status = px_file_commit(ctx, &p.out);
    if (status == PX_OK) status = px_file_commit(ctx, &checksum);
    px_file_abandon(&p.out);
    px_file_abandon(&checksum);
    free(p.pixels);
    free(p.slots);
    return status;
}
