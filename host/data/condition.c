/* Conditions of images: labels, and images made smaller by averages. */
#include "pixelrnn/condition.h"
#include "pixelrnn/loader.h"
#include "pixelrnn/source.h"

/* The mean of scale x scale values, rounded half up. first: the value of the upper left pixel; step and row are the
 * distances to the next pixel and the next row. */
static uint8_t mean(const uint8_t *first, int scale, size_t step, size_t row) {
    const unsigned area = (unsigned)(scale * scale);
    unsigned sum = 0;
    for (int i = 0; i < scale; i++)
        for (int j = 0; j < scale; j++) sum += first[(size_t)i * row + (size_t)j * step];
    return (uint8_t)((2 * sum + area) / (2 * area));
}

void px_condition_from_image(const uint8_t *pixels, int height, int width, int channels, int scale, int levels,
                             uint8_t *smaller) {
    const size_t step = (size_t)channels, row = (size_t)width * step;
    for (int i = 0; i < height / scale; i++)
        for (int j = 0; j < width / scale; j++) {
            const uint8_t *first = pixels + ((size_t)i * row + (size_t)j * step) * (size_t)scale;
            for (int c = 0; c < channels; c++) *smaller++ = px_quantise(mean(first + c, scale, step, row), levels);
        }
}

/* ---- Conditions of a source's images ---- */

static px_status check_labels(px_context *ctx, const px_source *source, int classes) {
    static const char key[] = "model.condition is class";
    if (source->no_labels.status != PX_OK)
        return px_fail(ctx, source->no_labels.status, "%s: %s", key, source->no_labels.ctx.message);
    if (!source->labels)
        return px_fail(ctx, PX_ERR_CONFIG, "%s: %s: found no labels, expected one for each image", key, source->name);
    if (source->classes > 0 && source->classes != classes)
        return px_fail(ctx, PX_ERR_CONFIG, "%s: found %d sub-folders, expected model.classes, %d", source->name,
                       source->classes, classes);
    for (size_t n = 0; n < source->count; n++)
        if (source->labels[n] >= classes)
            return px_fail(ctx, PX_ERR_CONFIG, "%s: found label %d of image %zu, expected 0 to %d (model.classes: %d)",
                           source->name, source->labels[n], n, classes - 1, classes);
    return PX_OK;
}

px_status px_source_check_condition(px_context *ctx, const px_source *source, const px_condition *condition) {
    if (condition->kind == PX_CONDITION_CLASS) return check_labels(ctx, source, condition->classes);
    if (condition->kind == PX_CONDITION_NONE) return PX_OK;
    if (source->height % condition->scale == 0 && source->width % condition->scale == 0) return PX_OK;
    return px_fail(ctx, PX_ERR_CONFIG, "%s: found images of %d x %d, expected multiples of model.scale, %d",
                   source->name, source->height, source->width, condition->scale);
}

void px_source_condition(const px_source *source, size_t index, const uint8_t *pixels, const px_condition *condition,
                         int levels, uint8_t *written) {
    if (condition->kind == PX_CONDITION_CLASS) px_condition_set_label(written, source->labels[index]);
    if (condition->kind == PX_CONDITION_IMAGE)
        px_condition_from_image(pixels, source->height, source->width, source->channels, condition->scale, levels,
                                written);
}
