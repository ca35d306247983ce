/* Opening a source: which kind is it? */
#include "pixelrnn/source.h"
#include "host/data/formats.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SIDE = 32768, HEAD = 16 };

/* The most that is read, or unpacked, into memory; larger sets are mapped from .npy. */
static const size_t content_limit = (size_t)4 << 30;

static const char builtin_prefix[] = "builtin:";

static const struct {
    const char *spec;
    px_status (*open)(px_context *, const char *, const px_source_options *, px_source **);
} builtins[] = {{"builtin:digits", px_digits_open}, {"builtin:ising", px_ising_open}};

/* Formats that are read into memory, plain or in gzip. */
typedef struct px_format {
    bool (*recognise)(const uint8_t *, size_t);
    px_status (*open)(px_context *, const char *, px_contents, px_source **);
} px_format;
static const px_format formats[] = {{px_idx_recognise, px_idx_open}, {px_amat_recognise, px_amat_open}};

static const px_format *find_format(const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (formats[i].recognise(bytes, size)) return &formats[i];
    return NULL;
}

static px_status fail_unknown(px_context *ctx, const char *path, const char *where, const uint8_t *bytes, size_t size) {
    char found[3 * 8 + 1] = "";
    for (size_t i = 0; i < size && i < 8; i++) snprintf(found + 3 * i, 4, " %02x", bytes[i]);
    return px_fail(ctx, PX_ERR_FORMAT, "%s: found%s%s%s, expected .npy, idx images or .amat text (.gz of the last two)",
                   path, size ? " the first bytes" : " nothing", found, where);
}

/* Reads the first HEAD bytes of path, or fewer if it is shorter. */
static px_status read_head(px_context *ctx, const char *path, uint8_t *head, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file) return px_fail(ctx, PX_ERR_FILE, "%s: cannot be opened: %s", path, strerror(errno));
    *size = fread(head, 1, HEAD, file);
    int error = ferror(file) ? errno : 0;
    fclose(file);
    if (error) return px_fail(ctx, PX_ERR_FILE, "%s: cannot be read: %s", path, strerror(error));
    return PX_OK;
}

static px_status open_file(px_context *ctx, const char *path, px_source **source) {
    uint8_t head[HEAD];
    size_t size = 0;
    PX_TRY(read_head(ctx, path, head, &size));
    if (px_npy_recognise(head, size)) return px_npy_source_open(ctx, path, source);
    bool gzip = px_gzip_recognise(head, size);
    if (!gzip && !find_format(head, size)) return fail_unknown(ctx, path, "", head, size);

    px_contents contents;
    PX_TRY(px_decompress(ctx, path, content_limit, &contents));
    const px_format *format = find_format(contents.bytes, contents.size);
    if (format) return format->open(ctx, path, contents, source);
    px_status status = fail_unknown(ctx, path, gzip ? " inside gzip" : "", contents.bytes, contents.size);
    free(contents.bytes);
    return status;
}

static px_status open_builtin(px_context *ctx, const char *spec, const px_source_options *options, px_source **source) {
    for (size_t i = 0; i < sizeof builtins / sizeof *builtins; i++)
        if (strcmp(spec, builtins[i].spec) == 0) return builtins[i].open(ctx, spec, options, source);
    return px_fail(ctx, PX_ERR_CONFIG, "%s: no such set, expected builtin:digits or builtin:ising", spec);
}

px_status px_source_open(px_context *ctx, const char *spec, const px_source_options *options, px_source **source) {
    *source = NULL;
    bool builtin = strncmp(spec, builtin_prefix, sizeof builtin_prefix - 1) == 0;
    return builtin ? open_builtin(ctx, spec, options, source) : open_file(ctx, spec, source);
}

void px_source_close(px_source *source) {
    if (source) source->close(source);
}

px_status px_source_create(px_context *ctx, size_t bytes, const char *name, px_extent extent, px_source **source) {
    if (extent.height > MAX_SIDE || extent.width > MAX_SIDE || (extent.channels != 1 && extent.channels != 3))
        return px_fail(ctx, PX_ERR_FORMAT,
                       "%s: found images of %zu x %zu x %zu, expected sides up to %d and 1 or 3 channels", name,
                       extent.height, extent.width, extent.channels, MAX_SIDE);
    px_source *made = calloc(1, bytes);
    if (!made) return px_fail(ctx, PX_ERR_MEMORY, "%s: not enough memory to open it", name);
    snprintf(made->name, sizeof made->name, "%s", name);
    made->count = extent.count;
    made->height = (int)extent.height;
    made->width = (int)extent.width;
    made->channels = (int)extent.channels;
    *source = made;
    return PX_OK;
}
