/* Several sources as one, and what a user means by a list of specs. */
#include "pixelrnn/source.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct px_joined {
    px_source source;
    int parts;
    px_source *part[];
} px_joined;

static px_status read_joined(px_source *source, px_context *ctx, size_t index, uint8_t *pixels) {
    px_joined *joined = (px_joined *)source;
    int part = 0;
    while (index >= joined->part[part]->count) index -= joined->part[part++]->count;
    return joined->part[part]->read(joined->part[part], ctx, index, pixels);
}

static void close_joined(px_source *source) {
    px_joined *joined = (px_joined *)source;
    for (int i = 0; i < joined->parts; i++) px_source_close(joined->part[i]);
    free(joined);
}

px_status px_source_join(px_context *ctx, px_source **parts, int count, px_source **out) {
    *out = parts[0];
    if (count == 1) return PX_OK;
    px_joined *joined = calloc(1, sizeof *joined + (size_t)count * sizeof *joined->part);
    if (!joined) return px_fail(ctx, PX_ERR_MEMORY, "%s: cannot join %d sources", parts[0]->name, count);
    joined->source = *parts[0];
    joined->source.count = 0;
    joined->source.read = read_joined;
    joined->source.close = close_joined;
    joined->parts = count;
    for (int i = 0; i < count; i++) {
        const px_source *first = parts[0], *part = parts[i];
        joined->part[i] = parts[i];
        joined->source.count += part->count;
        for (int f = 0; i > 0 && f < PX_FORMATS_LEFT_OUT; f++) joined->source.left_out[f] += part->left_out[f];
        joined->source.concurrent &= part->concurrent;
        joined->source.stored.varies |= part->stored.varies;
        if (part->height == first->height && part->width == first->width && part->channels == first->channels) continue;
        free(joined);
        return px_fail(ctx, PX_ERR_CONFIG, "%s: found images of %d x %d x %d, expected %d x %d x %d as in %s",
                       part->name, part->height, part->width, part->channels, first->height, first->width,
                       first->channels, first->name);
    }
    snprintf(joined->source.name, sizeof joined->source.name, "%.960s and %d more", parts[0]->name, count - 1);
    *out = &joined->source;
    return PX_OK;
}

/* Opens each spec; on failure closes what was opened. */
static px_status open_parts(px_context *ctx, int count, const char *const *specs, const px_source_options *options,
                            px_source **parts) {
    for (int i = 0; i < count; i++) {
        px_status status = px_source_open(ctx, specs[i], options, &parts[i]);
        if (status == PX_OK) continue;
        while (i > 0) px_source_close(parts[--i]);
        return status;
    }
    return PX_OK;
}

px_status px_source_open_all(px_context *ctx, int count, const char *const *specs, const px_source_options *options,
                             px_source **source) {
    px_source **parts = calloc((size_t)count, sizeof *parts), *joined = NULL;
    *source = NULL;
    if (!parts) return px_fail(ctx, PX_ERR_MEMORY, "%s: cannot join %d sources", specs[0], count);
    px_status status = open_parts(ctx, count, specs, options, parts);
    if (status == PX_OK) {
        status = px_source_join(ctx, parts, count, &joined);
        for (int i = 0; status != PX_OK && i < count; i++) px_source_close(parts[i]);
    }
    free(parts);
    PX_TRY(status);
    status = px_source_convert(ctx, joined, options->size, options->channels, source);
    if (status != PX_OK) px_source_close(joined);
    return status;
}

px_status px_source_open_list(px_context *ctx, const char *list, const px_source_options *options, px_source **source) {
    char *copy = strdup(list), *rest = copy;
    int count = 1;
    for (const char *c = list; *c; c++) count += *c == '\t';
    const char **specs = calloc((size_t)count, sizeof *specs);
    px_status status = PX_OK;
    *source = NULL;
    if (!copy || !specs) status = px_fail(ctx, PX_ERR_MEMORY, "%.80s: not enough memory to open it", list);
    for (int i = 0; i < count && status == PX_OK; i++) specs[i] = strsep(&rest, "\t");
    if (status == PX_OK) status = px_source_open_all(ctx, count, specs, options, source);
    free(specs);
    free(copy);
    return status;
}
