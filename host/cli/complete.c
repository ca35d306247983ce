/* pixelrnn complete: draws the missing part of occluded images.
 *
 * Each row of the picture shows an image, what is left of it, and its completions. */
#include "host/cli/cli.h"
#include "host/cli/drawing.h"
#include "pixelrnn/evaluate.h"
#include "pixelrnn/loader.h"
#include "pixelrnn/picture.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PX_COMPLETE_BATCH = 64, PX_OCCLUDED_GREY = 128 };

typedef struct px_complete_words {
    px_words settings, data, plain;
    const char *keep, *out;
    int64_t completions, images, seed;
    double temperature;
} px_complete_words;

/* What is worked on: [images] originals, [images * completions] completions, all 8-bit. */
typedef struct px_occlusion {
    int images, completions;
    uint8_t *keep; /* [H, W], not 0: given */
    uint8_t *original, *given, *completed;
} px_occlusion;

static px_status px_keep_top(px_context *ctx, const char *text, const px_model_spec *spec, uint8_t *keep) {
    char *end;
    const double share = strtod(text, &end);
    if (end == text || *end || !(share >= 0 && share <= 1))
        return px_fail(ctx, PX_ERR_USAGE, "--keep: found top:%.40s, expected top: and a fraction from 0 to 1", text);
    const int rows = (int)lround(share * spec->height);
    memset(keep, 1, (size_t)rows * (size_t)spec->width);
    return PX_OK;
}

static px_status px_keep_mask(px_context *ctx, const char *path, const px_model_spec *spec, uint8_t *keep) {
    uint8_t *pixels;
    int height, width;
    PX_TRY(px_picture_read(ctx, path, 1, &pixels, &height, &width));
    const bool fits = height == spec->height && width == spec->width;
    if (fits) memcpy(keep, pixels, (size_t)height * (size_t)width);
    free(pixels);
    if (fits) return PX_OK;
    return px_fail(ctx, PX_ERR_CONFIG, "%s: found a mask of %d x %d, expected %d x %d as the model's images", path,
                   height, width, spec->height, spec->width);
}

static px_status px_occlusion_allocate(px_context *ctx, px_occlusion *o, const px_model_spec *spec) {
    const size_t bytes = px_image_bytes(spec), all = (size_t)o->images * (size_t)o->completions * bytes;
    o->keep = calloc((size_t)spec->height, (size_t)spec->width);
    o->original = malloc((size_t)o->images * bytes);
    o->given = malloc(all);
    o->completed = malloc(all);
    if (o->keep && o->original && o->given && o->completed) return PX_OK;
    return px_fail(ctx, PX_ERR_MEMORY, "out of memory: %d completions need %.2f GiB; lower -n or --images",
                   o->images * o->completions, 2 * (double)all / (1 << 30));
}

static void px_occlusion_free(px_occlusion *o) {
    free(o->keep);
    free(o->original);
    free(o->given);
    free(o->completed);
}

/* Reads the originals, and lays their levels out once for each completion. */
static px_status px_occlusion_read(px_context *ctx, px_occlusion *o, px_source *source, const px_model_spec *spec) {
    const size_t bytes = px_image_bytes(spec);
    for (int n = 0; n < o->images; n++) {
        uint8_t *original = o->original + (size_t)n * bytes;
        uint8_t *given = o->given + (size_t)n * (size_t)o->completions * bytes;
        PX_TRY(source->read(source, ctx, (size_t)n, original));
        for (size_t i = 0; i < bytes; i++) given[i] = px_quantise(original[i], spec->levels);
        for (int k = 1; k < o->completions; k++) memcpy(given + (size_t)k * bytes, given, bytes);
    }
    return PX_OK;
}

/* Given pixels come out as they came in, not as their level's 8-bit value. */
static void px_restore_given(const px_occlusion *o, const px_model_spec *spec) {
    const size_t bytes = px_image_bytes(spec), channels = (size_t)spec->channels;
    for (size_t i = 0; i < (size_t)o->images * (size_t)o->completions * bytes; i++) {
        const size_t image = i / bytes / (size_t)o->completions, value = i % bytes;
        if (o->keep[value / channels]) o->completed[i] = o->original[image * bytes + value];
    }
}

static px_status px_write_comparison(px_context *ctx, const char *path, const px_occlusion *o,
                                     const px_model_spec *spec) {
    const size_t bytes = px_image_bytes(spec), columns = (size_t)o->completions + 2;
    uint8_t *pixels = malloc((size_t)o->images * columns * bytes);
    if (!pixels) return px_fail(ctx, PX_ERR_MEMORY, "complete: no memory for the picture");
    for (size_t n = 0; n < (size_t)o->images; n++) {
        uint8_t *row = pixels + n * columns * bytes;
        const uint8_t *original = o->original + n * bytes;
        memcpy(row, original, bytes);
        for (size_t i = 0; i < bytes; i++)
            row[bytes + i] = o->keep[i / (size_t)spec->channels] ? original[i] : PX_OCCLUDED_GREY;
        memcpy(row + 2 * bytes, o->completed + n * (size_t)o->completions * bytes, (size_t)o->completions * bytes);
    }
    const px_status status = px_write_images(ctx, path, spec, pixels, o->images * (int)columns, (int)columns);
    free(pixels);
    return status;
}

static px_status px_complete_draw(px_context *ctx, const px_complete_words *w, const px_model_info *info,
                                  px_model *model, px_occlusion *o) {
    const px_model_spec *spec = &info->spec;
    const int count = o->images * o->completions, batch = count < PX_COMPLETE_BATCH ? count : PX_COMPLETE_BATCH;
    const px_sample_request request = {.seed = (uint64_t)(w->seed >= 0 ? w->seed : info->config.seed),
                                       .temperature = w->temperature,
                                       .given = o->given,
                                       .keep = o->keep};
    px_progress progress;
    px_progress_begin(&progress, stderr, "complete", 0,
                      (int64_t)((count + batch - 1) / batch) * spec->height * spec->width);
    px_status status = px_model_reserve(model, batch, PX_PURPOSE_EVALUATE);
    if (status == PX_OK) status = px_draw_images(model, &request, count, batch, o->completed, &progress);
    px_progress_clear(&progress);
    PX_TRY(status);
    px_restore_given(o, spec);
    if (px_cli_ends_with(w->out, ".npy")) return px_write_images(ctx, w->out, spec, o->completed, count, 0);
    return px_write_comparison(ctx, w->out, o, spec);
}

static px_status px_complete_source(px_context *ctx, const px_complete_words *w, const px_model_info *info,
                                    px_model *model, px_source *source) {
    const px_model_spec *spec = &info->spec;
    px_occlusion o = {.completions = (int)w->completions};
    PX_TRY(px_evaluate_check(ctx, spec, source));
    o.images = (int)(source->count < (size_t)w->images ? source->count : (size_t)w->images);
    px_status status = px_occlusion_allocate(ctx, &o, spec);
    if (status == PX_OK)
        status = strncmp(w->keep, "top:", 4) == 0 ? px_keep_top(ctx, w->keep + 4, spec, o.keep)
                                                  : px_keep_mask(ctx, w->keep, spec, o.keep);
    if (status == PX_OK) status = px_occlusion_read(ctx, &o, source, spec);
    if (status == PX_OK) status = px_complete_draw(ctx, w, info, model, &o);
    if (status == PX_OK) printf("%d completions of %d images in %s\n", o.images * o.completions, o.images, w->out);
    px_occlusion_free(&o);
    return status;
}

static px_status px_complete_run(px_context *ctx, int count, char **words) {
    px_complete_words w = {.completions = 4, .images = 8, .seed = -1, .temperature = 1};
    const px_option options[] = {{.name = "--data", .each = &w.data, .list = true, .required = true},
                                 {.name = "--keep", .text = &w.keep, .required = true},
                                 {.name = "-n", .integer = &w.completions, .least = 1},
                                 {.name = "--images", .integer = &w.images, .least = 1},
                                 {.name = "--seed", .integer = &w.seed},
                                 {.name = "--temperature", .number = &w.temperature},
                                 {.name = "-o", .text = &w.out, .required = true},
                                 {.name = "--set", .each = &w.settings}};
    px_model_info info;
    px_device *device;
    px_model *model;
    px_source *source;
    PX_TRY(px_cli_parse(ctx, &px_command_complete, count, words, options, 8, &w.plain, 1, 1));
    PX_TRY(px_check_image_path(ctx, w.out));
    if (w.completions * w.images > 1 << 20 || w.completions > 1 << 20)
        return px_fail(ctx, PX_ERR_USAGE, "-n: found %lld completions of %lld images, expected at most %d in all",
                       (long long)w.completions, (long long)w.images, 1 << 20);
    PX_TRY(px_cli_load_model(ctx, w.plain.word[0], &w.settings, &info, &device, &model));
    const px_source_options source_options = px_cli_pass(&info.config);
    px_status status = px_source_open_all(ctx, w.data.count, w.data.word, &source_options, &source);
    if (status == PX_OK) status = px_complete_source(ctx, &w, &info, model, source);
    px_source_close(source);
    px_model_destroy(model);
    px_device_close(device);
    return status;
}

const px_command px_command_complete = {
    "complete",
    "MODEL --data FILE... --keep top:FRACTION|MASK.png [-n COMPLETIONS] [--images IMAGES] [--seed S] "
    "[--temperature T] -o OUT.png|OUT.npy [--set key=value]...",
    "completes occluded images; black pixels of a mask are drawn", px_complete_run};
