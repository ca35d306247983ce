/* pixelrnn complete: draws the missing part of occluded images.
 *
 * Each row of the picture shows an image, what is left of it, and its completions. */
#include "host/cli/cli.h"
#include "host/cli/sampling.h"
#include "pixelrnn/evaluate.h"
#include "pixelrnn/loader.h"
#include "host/data/image.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PX_OCCLUDED_GREY = 128, PX_MASK_NOISE = 64 };

typedef struct complete_arguments {
    px_ranks *ranks;
    px_arguments settings, data, plain;
    const char *keep, *out;
    int64_t completions, images, seed;
    double temperature;
} complete_arguments;

/* What is completed: drawing `index` begins with chosen image index / completions. */
typedef struct occlusion {
    px_context *ctx;
    px_source *source;
    int images, completions;
    size_t *chosen; /* [images], indices of the source */
    uint8_t *keep;  /* [H, W], not 0: given */
} occlusion;

static px_status occlusion_given(void *context, int index, uint8_t *pixels) {
    occlusion *o = context;
    return o->source->read(o->source, o->ctx, o->chosen[index / o->completions], pixels);
}

/* --keep SIDE:FRACTION keeps that share of the rows (from the top) or columns (from the left). */
static px_status keep_share(px_context *ctx, const char *text, const px_model_spec *spec, uint8_t *keep) {
    const bool top = strncmp(text, "top:", 4) == 0;
    const char *number = strchr(text, ':') + 1;
    char *end;
    const double share = strtod(number, &end);
    if (end == number || *end || !(share >= 0 && share <= 1))
        return px_fail(ctx, PX_ERR_USAGE, "--keep: found %.40s, expected top: or left: and a fraction from 0 to 1",
                       text);
    const long rows = top ? lround(share * spec->height) : spec->height;
    const long columns = top ? spec->width : lround(share * spec->width);
    for (long i = 0; i < rows; i++) memset(keep + i * spec->width, 1, (size_t)columns);
    return PX_OK;
}

/* Black and white of a mask: a JPEG's values lie near them. Writes 1 where it is white. */
static px_status mask_threshold(px_context *ctx, const char *path, const px_model_spec *spec, const uint8_t *pixels,
                                uint8_t *keep) {
    for (int i = 0; i < spec->height * spec->width; i++) {
        if (pixels[i] > PX_MASK_NOISE && pixels[i] < 255 - PX_MASK_NOISE)
            return px_fail(ctx, PX_ERR_CONFIG,
                           "%s: found the value %d at row %d, column %d, expected black (0 to %d) or white (%d to 255)",
                           path, pixels[i], i / spec->width, i % spec->width, PX_MASK_NOISE, 255 - PX_MASK_NOISE);
        keep[i] = pixels[i] >= 128;
    }
    return PX_OK;
}

static px_status keep_mask(px_context *ctx, const char *path, const px_model_spec *spec, uint8_t *keep) {
    uint8_t *pixels;
    int height, width;
    PX_TRY(px_image_read(ctx, path, 1, &pixels, &height, &width));
    const bool fits = height == spec->height && width == spec->width;
    const px_status status = fits ? mask_threshold(ctx, path, spec, pixels, keep)
                                  : px_fail(ctx, PX_ERR_CONFIG,
                                            "%s: found a mask of %d x %d, expected %d x %d as the model's images", path,
                                            height, width, spec->height, spec->width);
    free(pixels);
    return status;
}

static px_status px_keep(px_context *ctx, const char *text, const px_model_spec *spec, uint8_t *keep) {
    const bool share = strncmp(text, "top:", 4) == 0 || strncmp(text, "left:", 5) == 0;
    return share ? keep_share(ctx, text, spec, keep) : keep_mask(ctx, text, spec, keep);
}

static px_grid_layout comparison_layout(const occlusion *o, const px_model_spec *spec) {
    const int columns = o->completions + 2;
    return (px_grid_layout){.images = o->images * columns,
                            .height = spec->height,
                            .width = spec->width,
                            .channels = spec->channels,
                            .columns = columns};
}

/* One row of the picture: the image, what is given of it, its completions. */
static px_status comparison_row(px_sampling *d, occlusion *o, int image, uint8_t *row) {
    const px_model_spec *spec = px_model_spec_of(d->model);
    const size_t bytes = px_image_bytes(spec);
    PX_TRY(occlusion_given(o, image * o->completions, row));
    for (size_t i = 0; i < bytes; i++) row[bytes + i] = o->keep[i / (size_t)spec->channels] ? row[i] : PX_OCCLUDED_GREY;
    return px_sampling_read(d, image * o->completions, o->completions, row + 2 * bytes);
}

static px_status write_comparison(px_sampling *d, occlusion *o) {
    const px_model_spec *spec = px_model_spec_of(d->model);
    const px_grid_layout layout = comparison_layout(o, spec);
    const size_t row = (size_t)layout.columns * px_image_bytes(spec);
    uint8_t *pixels = malloc((size_t)o->images * row);
    if (!pixels) return px_fail(d->ctx, PX_ERR_MEMORY, "complete: no memory for the picture");
    px_status status = PX_OK;
    for (int n = 0; n < o->images && status == PX_OK; n++) status = comparison_row(d, o, n, pixels + (size_t)n * row);
    if (status == PX_OK) status = px_png_grid_write(d->ctx, d->out, pixels, &layout);
    free(pixels);
    return status;
}

static px_status complete_write(px_sampling *d, occlusion *o) {
    char what[64];
    snprintf(what, sizeof what, "%d completions of %d images", d->count, o->images);
    PX_TRY(px_cli_ends_with(d->out, ".npy") ? px_sampling_write_npy(d) : write_comparison(d, o));
    return px_sampling_finish(d, what);
}

static px_status complete_to_file(px_sampling *d, occlusion *o) {
    const px_grid_layout layout = comparison_layout(o, px_model_spec_of(d->model));
    if (!px_cli_ends_with(d->out, ".npy")) PX_TRY(px_png_grid_check(d->ctx, &layout));
    PX_TRY(px_sampling_run(d));
    return px_ranks_agree(d->ranks, d->journal ? complete_write(d, o) : PX_OK);
}

static px_status complete_source(px_context *ctx, const complete_arguments *w, const px_model_info *info,
                                 px_model *model, px_source *source) {
    const px_model_spec *spec = &info->spec;
    occlusion o = {.ctx = ctx, .source = source, .completions = (int)w->completions};
    const uint64_t seed = (uint64_t)(w->seed >= 0 ? w->seed : info->config.seed);
    char name[PX_PATH + 64];
    o.images = (int)(source->count < (size_t)w->images ? source->count : (size_t)w->images);
    o.keep = calloc((size_t)spec->height, (size_t)spec->width);
    o.chosen = malloc((size_t)o.images * sizeof *o.chosen);
    px_status status = o.keep && o.chosen ? PX_OK
                                          : px_fail(ctx, PX_ERR_MEMORY, "complete: no memory for %d images", o.images);
    if (status == PX_OK) px_choose(seed, source->count, (size_t)o.images, o.chosen);
    snprintf(name, sizeof name, "%s, %d chosen of %zu images, %d times", source->name, o.images, source->count,
             o.completions);
    px_sampling drawing = {.ctx = ctx,
                           .model = model,
                           .ranks = w->ranks,
                           .command = "complete",
                           .out = w->out,
                           .count = o.images * o.completions,
                           .batch = px_cli_sampling_batch(&info->config),
                           .seed = seed,
                           .temperature = w->temperature,
                           .keep = o.keep,
                           .given = occlusion_given,
                           .context = &o,
                           .given_name = name};
    if (status == PX_OK) status = px_keep(ctx, w->keep, spec, o.keep);
    status = px_ranks_agree(w->ranks, status);
    if (status == PX_OK) status = complete_to_file(&drawing, &o);
    px_sampling_close(&drawing);
    free(o.chosen);
    free(o.keep);
    return status;
}

static px_status complete_parse(px_context *ctx, complete_arguments *w, int count, char **words) {
    const px_option options[] = {{.name = "--data", .each = &w->data, .list = true, .required = true},
                                 {.name = "--keep", .text = &w->keep, .required = true},
                                 {.name = "-n", .integer = &w->completions, .least = 1},
                                 {.name = "--images", .integer = &w->images, .least = 1},
                                 {.name = "--seed", .integer = &w->seed},
                                 {.name = "--temperature", .number = &w->temperature},
                                 {.name = "-o", .text = &w->out, .required = true},
                                 {.name = "--set", .each = &w->settings}};
    PX_TRY(px_cli_parse(ctx, &px_command_complete, count, words, options, 8, &w->plain, 1, 1));
    PX_TRY(px_sampling_check_path(ctx, w->out));
    if (w->completions <= 1 << 20 && w->images <= 1 << 20 && w->completions * w->images <= 1 << 20) return PX_OK;
    return px_fail(ctx, PX_ERR_USAGE, "-n: found %lld completions of %lld images, expected at most %d in all",
                   (long long)w->completions, (long long)w->images, 1 << 20);
}

static px_status complete_data(px_context *ctx, const complete_arguments *w, const px_model_info *info,
                               px_model *model) {
    px_source_options options = px_cli_pass(&info->config);
    options.access = PX_ACCESS_ANY; /* the picture shows each image once more, after its completions */
    px_source *source = NULL;
    px_status status = px_cli_open_data(ctx, w->ranks, w->data.count, w->data.word, &options, info->spec.levels,
                                        &source);
    if (status == PX_OK) status = px_evaluate_check(ctx, &info->spec, source);
    status = px_ranks_agree(w->ranks, status);
    if (status == PX_OK) status = complete_source(ctx, w, info, model, source);
    px_source_close(source);
    return status;
}

static px_status complete_distributed(px_context *ctx, px_ranks *ranks, int count, char **words) {
    complete_arguments w = {.ranks = ranks, .completions = 4, .images = 8, .seed = -1, .temperature = 1};
    px_model_info info;
    px_device *device;
    px_model *model;
    const px_status parsed = complete_parse(ctx, &w, count, words);
    PX_TRY(px_cli_check_output(ctx, ranks, parsed, w.out));
    PX_TRY(px_cli_load_model_on(ctx, ranks, w.plain.word[0], &w.settings, &info, &device, &model));
    px_ranks_set_timeouts(ranks, info.config.parallel.silence_s, info.config.parallel.stall_s);
    const px_status status = complete_data(ctx, &w, &info, model);
    px_model_destroy(model);
    px_device_close(device);
    return status;
}

const px_command px_command_complete = {
    "complete",
    "MODEL --data FILE... --keep top:FRACTION|left:FRACTION|MASK.png [-n COMPLETIONS] [--images IMAGES] [--seed S] "
    "[--temperature T] -o OUT.png|OUT.npy [--set key=value]...",
    "completes occluded images; black pixels of a mask are drawn", .together = complete_distributed};
