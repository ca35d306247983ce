/* pixelrnn complete: samples the missing part of occluded images.
 *
 * Each row of the output image shows an original, the given part of it, and its completions. */
#include "host/cli/sampling.h"
#include "host/data/image.h"
#include "pixelrnn/loader.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { OCCLUDED_GREY = 128, MASK_NOISE = 64, MAX_COMPLETIONS = 1 << 20 };

/* Sample `index` completes original index / completions. */
typedef struct complete_values {
    px_sampling sampling;
    const char *keep_option;
    int64_t completions, images, first; /* first: of the images; negative: they are chosen by the seed */

    size_t *chosen;  /* [images], indices of the originals in the source */
    uint8_t *keep;   /* [H, W], 1: the pixel is given */
    uint8_t *pixels; /* [H, W, C] of one image, for its condition */
} complete_values;

static const px_option options[] = {
    {"--data", "FILE", PX_OPTION_PATHS, offsetof(complete_values, sampling.base.data), .required = true,
     .help = "sources of the images to complete"},
    {"--keep", "top:FRACTION|left:FRACTION|MASK.png", PX_OPTION_TEXT, offsetof(complete_values, keep_option),
     .required = true,
     .help = "the given pixels: a fraction of the rows or columns, or the white pixels of a mask; the black ones are "
             "sampled"},
    {"-n", "IMAGES", PX_OPTION_INTEGER, offsetof(complete_values, images), .min = 1, .initial = "8",
     .help = "images to complete"},
    {"--first", "I", PX_OPTION_INTEGER, offsetof(complete_values, first), .otherwise = "images chosen by the seed",
     .help = "complete images I, I + 1, ... of the data, counted from 0"},
    {"--completions", "C", PX_OPTION_INTEGER, offsetof(complete_values, completions), .min = 1, .initial = "4",
     .help = "completions of each image"},
    PX_SAMPLING_OPTIONS,
    {0},
};

/* ---- The given pixels ---- */

static px_status read_original(px_sampling *s, int index, uint8_t *pixels) {
    const complete_values *v = (complete_values *)s;
    px_source *source = s->base.source;
    return source->read(source, s->base.ctx, v->chosen[index / v->completions], pixels);
}

/* Writes the condition of the original that sample `index` completes, as an evaluation of the original has it. */
static px_status read_condition(px_sampling *s, int index, uint8_t *condition) {
    const complete_values *v = (complete_values *)s;
    const px_model_info *info = &s->base.info;
    const px_loader_options as_evaluated = {.levels = info->spec.levels,
                                            .seed = (uint64_t)info->config.seed,
                                            .binarize = info->config.data.binarize,
                                            .condition = info->spec.condition};
    PX_TRY(read_original(s, index, v->pixels));
    px_loader_prepare(s->base.source, &as_evaluated, 0, v->chosen[index / v->completions], v->pixels, condition);
    return PX_OK;
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

/* Writes 1 for the white pixels of a mask and 0 for the black ones. A JPEG has values near black and white. */
static px_status mask_threshold(px_context *ctx, const char *path, const px_model_spec *spec, const uint8_t *pixels,
                                uint8_t *keep) {
    for (int i = 0; i < spec->height * spec->width; i++) {
        if (pixels[i] > MASK_NOISE && pixels[i] < 255 - MASK_NOISE)
            return px_fail(ctx, PX_ERR_CONFIG,
                           "%s: found the value %d at row %d, column %d, expected black (0 to %d) or white (%d to 255)",
                           path, pixels[i], i / spec->width, i % spec->width, MASK_NOISE, 255 - MASK_NOISE);
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

/* ---- The command ---- */

/* Writes a row of the grid for each image: the original, its given pixels, and its completions. */
static px_status read_grid(px_sampling *s, int scale, uint8_t *pixels) {
    const complete_values *v = (complete_values *)s;
    const px_model_spec *spec = px_model_spec_of(s->base.model);
    const size_t bytes = px_image_bytes(spec);
    uint8_t *row = pixels;
    for (int n = 0; n < (int)v->images; n++, row += (size_t)s->grid_columns * bytes) {
        const int first = n * (int)v->completions;
        PX_TRY(s->read_given(s, first, row));
        for (size_t i = 0; i < bytes; i++)
            row[bytes + i] = v->keep[i / (size_t)spec->channels] ? row[i] : OCCLUDED_GREY;
        PX_TRY(px_sampling_read(s, scale, first, (int)v->completions, row + 2 * bytes));
    }
    return PX_OK;
}

/* Chooses the images and reads the mask. */
static px_status choose_pixels(complete_values *v) {
    const px_model_command *c = &v->sampling.base;
    const px_model_spec *spec = &c->info.spec;
    const size_t count = (size_t)v->images, pixels = (size_t)spec->height * (size_t)spec->width;
    v->keep = calloc(pixels, 1);
    v->pixels = malloc(px_image_bytes(spec));
    v->chosen = malloc(count * sizeof *v->chosen);
    if (!v->keep || !v->pixels || !v->chosen)
        return px_fail_memory(c->ctx, "complete", pixels + count * sizeof *v->chosen);
    const int64_t seed = v->sampling.seed >= 0 ? v->sampling.seed : c->info.config.seed;
    if (v->first < 0) px_choose((uint64_t)seed, c->source->count, count, v->chosen);
    for (size_t i = 0; i < count && v->first >= 0; i++) v->chosen[i] = (size_t)v->first + i;
    const char *keep = v->keep_option;
    if (strncmp(keep, "top:", 4) == 0 || strncmp(keep, "left:", 5) == 0) return keep_share(c->ctx, keep, spec, v->keep);
    if (strchr(keep, ':') && !px_file_exists(keep))
        return px_fail(
            c->ctx, PX_ERR_USAGE,
            "--keep: found %.40s, expected top:FRACTION, left:FRACTION or an image whose white pixels are given", keep);
    return keep_mask(c->ctx, keep, spec, v->keep);
}

static px_status complete_run(px_model_command *c) {
    complete_values *v = (complete_values *)c;
    px_sampling *s = &v->sampling;
    char name[PX_PATH + 128], what[64];
    const int64_t left = (int64_t)c->source->count - (v->first > 0 ? v->first : 0);
    if (left < 1)
        return px_fail(c->ctx, PX_ERR_USAGE, "--first: found %lld, expected an image of the %zu of %s",
                       (long long)v->first, c->source->count, c->source->name);
    if (left < v->images) v->images = left;
    snprintf(name, sizeof name, "%s, %d of %zu images from %lld, %d times", c->source->name, (int)v->images,
             c->source->count, (long long)v->first, (int)v->completions);
    px_status status = px_ranks_agree(c->ranks, choose_pixels(v));
    s->count = (int)(v->images * v->completions);
    s->grid_images = s->count + 2 * (int)v->images;
    s->grid_columns = (int)v->completions + 2;
    s->read_grid = read_grid;
    s->keep = v->keep;
    s->read_given = read_original;
    if (c->info.spec.condition.kind != PX_CONDITION_NONE) s->read_condition = read_condition;
    s->depends_on = name;
    snprintf(what, sizeof what, "%d completion%s of %d image%s", s->count, px_plural(s->count), (int)v->images,
             px_plural(v->images));
    if (status == PX_OK) status = px_sampling_run(s, what);
    free(v->chosen);
    free(v->keep);
    free(v->pixels);
    return status;
}

static px_status complete_check(px_model_command *c) {
    const complete_values *v = (complete_values *)c;
    PX_TRY(px_sampling_check(c));
    if (v->completions <= MAX_COMPLETIONS && v->images <= MAX_COMPLETIONS / v->completions) return PX_OK;
    return px_fail(c->ctx, PX_ERR_USAGE,
                   "--completions: found %lld for each of %lld images, expected at most %d in all",
                   (long long)v->completions, (long long)v->images, MAX_COMPLETIONS);
}

static px_status complete_distributed(px_context *ctx, px_ranks *ranks, int count, char **arguments) {
    complete_values v = {.first = -1};
    px_sampling_prepare(&v.sampling, ctx, ranks, &px_command_complete, complete_run);
    v.sampling.base.check = complete_check;
    v.sampling.base.reads_data = true;
    v.sampling.base.access = PX_ACCESS_ANY; /* each image is read again for the output image */
    return px_cli_run_model(&v.sampling.base, count, arguments);
}

const px_command px_command_complete = {
    .name = "complete",
    .positionals = "MODEL",
    .summary = "completes occluded images; black pixels of a mask are sampled",
    .example = "complete runs/demo --data builtin:digits --keep top:0.5 -n 6 -o completed.png",
    .details =
        "A conditional model completes an image given its class, or given the smaller image of it. An interrupted "
        "run keeps its images in OUT.journal, and the same command continues it.",
    .options = options,
    .run_distributed = complete_distributed,
};
