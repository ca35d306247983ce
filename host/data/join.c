/* Several sources as one. */
#include "pixelrnn/source.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct joined_source {
    px_source source;
    int parts;
    px_source *part[];
} joined_source;

static px_status read_joined(px_source *source, px_context *ctx, size_t index, uint8_t *pixels) {
    joined_source *joined = (joined_source *)source;
    int part = 0;
    while (index >= joined->part[part]->count) index -= joined->part[part++]->count;
    return joined->part[part]->read(joined->part[part], ctx, index, pixels);
}

static void close_joined(px_source *source) {
    joined_source *joined = (joined_source *)source;
    for (int i = 0; i < joined->parts; i++) px_source_close(joined->part[i]);
    free(joined);
}

/* Gives the joined source the labels of its parts, or the reason of the first part without labels. */
static px_status join_labels(px_context *ctx, joined_source *joined) {
    px_source *base = &joined->source;
    int labelled = 0;
    base->labels = NULL;
    for (int i = 0; i < joined->parts; i++) labelled += joined->part[i]->labels != NULL;
    for (int i = 0; i < joined->parts && labelled < joined->parts; i++) {
        if (joined->part[i]->labels) continue;
        base->no_labels = joined->part[i]->no_labels;
        if (labelled > 0) base->no_labels.status = PX_ERR_FORMAT; /* a fault, since other parts have labels */
        return PX_OK;
    }
    base->labels = malloc(base->count * sizeof *base->labels);
    if (!base->labels) return px_fail_memory(ctx, base->name, base->count * sizeof *base->labels);
    size_t first = 0;
    for (int i = 0; i < joined->parts; i++) {
        const px_source *part = joined->part[i];
        memcpy(base->labels + first, part->labels, part->count * sizeof *part->labels);
        first += part->count;
        if (part->classes != base->classes) base->classes = 0;
    }
    return PX_OK;
}

px_status px_source_join(px_context *ctx, px_source **parts, int count, px_source **out) {
    if (count == 1) {
        *out = parts[0];
        return PX_OK;
    }
    joined_source *joined = calloc(1, sizeof *joined + (size_t)count * sizeof *joined->part);
    if (!joined) return px_fail_memory(ctx, parts[0]->name, sizeof *joined + (size_t)count * sizeof *joined->part);
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
    const px_status status = join_labels(ctx, joined);
    if (status == PX_OK)
        *out = &joined->source;
    else
        free(joined);
    return status;
}
