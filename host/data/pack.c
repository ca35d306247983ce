/* Packing: threads read a window of images in parallel, then one thread writes it in order. Labels follow at the end.
 */
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
    uint16_t *labels; /* of the images that were written; NULL: the source has none */
    uLong crc32;      /* of the pixels */
    px_context why;   /* message of the first image that was skipped */
} packer;

/* The files beside OUT.npy. */
typedef struct outputs {
    px_file_out labels, checksum;
} outputs;

static px_status allocate(px_context *ctx, packer *p) {
    p->image_bytes = px_source_image_bytes(p->source);
    p->window = p->image_bytes < window_bytes / WINDOW ? WINDOW : 1 + window_bytes / (p->image_bytes + 1);
    p->pixels = malloc(p->window * p->image_bytes);
    p->slots = malloc(p->window * sizeof *p->slots);
    if (!p->pixels || !p->slots)
        return px_fail_memory(ctx, p->source->name, p->window * (p->image_bytes + sizeof *p->slots));
    if (!p->source->labels) return PX_OK;
    p->labels = malloc(p->range.count * sizeof *p->labels);
    return p->labels ? PX_OK : px_fail_memory(ctx, p->source->name, p->range.count * sizeof *p->labels);
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
        if (p->labels) p->labels[p->packed->images] = p->source->labels[p->range.first + first + i];
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

/* Writes OUT.labels.npy, uint16 [N] in little-endian order, which is that of the processors that this runs on. */
static px_status write_labels(px_context *ctx, const packer *p, px_file_out *out, uint32_t *crc) {
    const size_t images = p->packed->images, bytes = images * sizeof *p->labels;
    uint8_t *file = malloc(PX_NPY_HEADER + bytes + 1);
    FILE *memory = file ? fmemopen(file, PX_NPY_HEADER + 1, "wb") : NULL;
    px_status status = memory ? px_npy_write_header(ctx, out->path, memory, "<u2", 1, &images)
                              : px_fail_memory(ctx, out->path, bytes);
    if (memory) fclose(memory);
    if (status == PX_OK) {
        memcpy(file + PX_NPY_HEADER, p->labels, bytes);
        *crc = (uint32_t)crc32_z(0, file, PX_NPY_HEADER + bytes);
        status = px_file_write(ctx, out, file, PX_NPY_HEADER + bytes);
    }
    free(file);
    return status == PX_OK ? px_file_finish(ctx, out) : status;
}

static px_status write_checksum(px_context *ctx, const char *name, uint32_t crc, px_file_out *out) {
    char line[PX_PATH + 16];
    const int length = snprintf(line, sizeof line, "%s %08X\n", px_archive_basename(name), (unsigned)crc);
    return px_file_write(ctx, out, line, (size_t)length);
}

/* Writes labels, and the checksums of both files. */
static px_status write_beside(px_context *ctx, packer *p, outputs *o) {
    char path[PX_PATH];
    uint32_t crc = 0;
    PX_TRY(px_file_path(ctx, path, "%s.sfv", p->out.path));
    PX_TRY(px_file_create(ctx, path, &o->checksum));
    PX_TRY(write_checksum(ctx, p->out.path, p->packed->crc32, &o->checksum));
    if (p->labels) {
        PX_TRY(px_labels_path(ctx, p->out.path, path));
        PX_TRY(px_file_create(ctx, path, &o->labels));
        PX_TRY(write_labels(ctx, p, &o->labels, &crc));
        PX_TRY(write_checksum(ctx, path, crc, &o->checksum));
    }
    return px_file_finish(ctx, &o->checksum);
}

/* Writes all files under temporary names. */
static px_status write_all(px_context *ctx, packer *p, outputs *o) {
    PX_TRY(allocate(ctx, p));
    PX_TRY(write_header(ctx, p, p->out.stream, p->range.count));
    PX_TRY(write_images(ctx, p));
    PX_TRY(finish_header(ctx, p));
    px_stop_hold(p->callbacks->stop); /* a sync may take long, and is not a hang */
    px_status status = px_file_finish(ctx, &p->out);
    if (status == PX_OK) status = write_beside(ctx, p, o);
    px_stop_release(p->callbacks->stop);
    return status;
}

/* Gives the files their names. The old checksums and labels are removed first, so that they never stand beside the new
 * images. */
static px_status commit(px_context *ctx, packer *p, outputs *o) {
    unlink(o->checksum.path);
    if (p->labels) unlink(o->labels.path);
    PX_TRY(px_file_commit(ctx, &p->out));
    if (p->labels) PX_TRY(px_file_commit(ctx, &o->labels));
    return px_file_commit(ctx, &o->checksum);
}

/* Labels of other images must not stay beside the new ones. */
static px_status check_labels(px_context *ctx, const px_source *source, const char *out) {
    char path[PX_PATH];
    PX_TRY(px_labels_path(ctx, out, path));
    if (source->labels) return px_file_check_output(ctx, path);
    if (!px_file_exists(path)) return PX_OK;
    return px_fail(ctx, PX_ERR_FILE,
                   "%.300s: found labels, expected none beside images of %.300s, which have none: remove it", path,
                   source->name);
}

px_status px_pack(px_context *ctx, px_source *source, px_pack_range range, const char *path,
                  const px_pack_callbacks *callbacks, px_packed *packed) {
    outputs o = {0};
    packer p = {.source = source, .range = range, .callbacks = callbacks, .packed = packed};
    *packed = (px_packed){0};
    px_status status = check_labels(ctx, source, path);
    if (status == PX_OK) status = px_file_create(ctx, path, &p.out);
    if (status == PX_OK) status = write_all(ctx, &p, &o);
    if (status == PX_OK) status = commit(ctx, &p, &o);
    px_file_abandon(&p.out);
    px_file_abandon(&o.labels);
    px_file_abandon(&o.checksum);
    free(p.pixels);
    free(p.slots);
    free(p.labels);
    return status;
}
