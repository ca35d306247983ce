/* pixelrnn sample: samples images from a model, or from a multi-scale chain of models. */
#include "host/cli/sampling.h"
#include "pixelrnn/loader.h"
#include <stdlib.h>
#include <string.h>

typedef struct sample_values {
    px_sampling sampling;
    int64_t images;
    int64_t class;          /* negative: image n has class n mod K */
    px_arguments condition; /* sources of smaller images */

    px_source *smaller;    /* opened by --condition, or NULL */
    uint8_t *pixels;       /* [H, W, C] of one image of it */
    char depends_on[2048]; /* names the conditions */
} sample_values;

static const px_option options[] = {
    {"-n", "IMAGES", PX_OPTION_INTEGER, offsetof(sample_values, images), .min = 1, .max = INT32_MAX / 2,
     .initial = "16", .help = "images to sample"},
    {"--class", "K", PX_OPTION_INTEGER, offsetof(sample_values, class), .min = 0,
     .otherwise = "image n has class n mod model.classes, and a .png has a class a row if IMAGES is a multiple of "
                  "model.classes",
     .help = "sample images of class K of a class-conditional model"},
    {"--condition", "FILE", PX_OPTION_PATHS, offsetof(sample_values, condition),
     .otherwise = "none; an image-conditional model needs it unless another model is before it",
     .help = "sources of the smaller images: image n is sampled for image n mod N of the N images of FILE"},
    {"--all-scales", NULL, PX_OPTION_FLAG, offsetof(sample_values, sampling.all_scales),
     .help = "of several models, also write the images of each: for OUT.png, OUT.1.png has those of the first MODEL "
             "(the smallest) and so on; those of the last one are in OUT.png as well"},
    PX_SAMPLING_OPTIONS,
    {0},
};

/* ---- Conditions ---- */

static px_status read_class(px_sampling *s, int index, uint8_t *condition) {
    const sample_values *v = (sample_values *)s;
    const px_condition *c = &px_model_spec_of(px_sampling_model(s, 0))->condition;
    px_condition_set_label(condition, v->class >= 0 ? (int)v->class : index % c->classes);
    return PX_OK;
}

static px_status read_smaller(px_sampling *s, int index, uint8_t *condition) {
    const sample_values *v = (sample_values *)s;
    const px_model_spec *spec = px_model_spec_of(px_sampling_model(s, 0));
    const size_t bytes = px_condition_bytes(&spec->condition, spec->height, spec->width, spec->channels);
    PX_TRY(v->smaller->read(v->smaller, s->base.ctx, (size_t)index % v->smaller->count, v->pixels));
    for (size_t i = 0; i < bytes; i++) condition[i] = px_quantise(v->pixels[i], spec->levels);
    return PX_OK;
}

static px_status use_class(sample_values *v, const px_model_spec *spec) {
    px_sampling *s = &v->sampling;
    const int classes = spec->condition.classes;
    if (v->class >= classes)
        return px_fail(s->base.ctx, PX_ERR_USAGE, "--class: found %lld, expected 0 to %d, a class of %s",
                       (long long)v->class, classes - 1, s->base.models.value[0]);
    if (v->class < 0 && s->count % classes == 0) s->grid_rows = classes;
    snprintf(v->depends_on, sizeof v->depends_on, "class %lld", (long long)v->class);
    s->depends_on = v->depends_on;
    s->read_condition = read_class;
    return PX_OK;
}

/* Opens the smaller images of --condition as they are stored. */
static px_status use_images(sample_values *v, const px_model_spec *spec) {
    px_sampling *s = &v->sampling;
    px_model_command *c = &s->base;
    const int height = spec->height / spec->condition.scale, width = spec->width / spec->condition.scale;
    px_source_options how = px_source_options_of(&c->info.config, PX_SPLIT_TEST, PX_ACCESS_ANY);
    how.size = 0;
    if (v->condition.count == 0)
        return px_fail(c->ctx, PX_ERR_USAGE,
                       "%s: found no smaller images, expected --condition FILE with images of %d x %d x %d, or a model "
                       "of such images before this one",
                       c->models.value[0], height, width, spec->channels);
    PX_TRY(px_cli_open_data(c->ctx, c->ranks, &v->condition, "", &how, spec->levels, &v->smaller));
    const px_source *found = v->smaller;
    if (found->height != height || found->width != width || found->channels != spec->channels)
        return px_fail(c->ctx, PX_ERR_CONFIG,
                       "--condition: %s: found images of %d x %d x %d, expected %d x %d x %d, from which %s makes "
                       "images of %d x %d",
                       found->name, found->height, found->width, found->channels, height, width, spec->channels,
                       c->models.value[0], spec->height, spec->width);
    v->pixels = malloc((size_t)height * (size_t)width * (size_t)spec->channels);
    if (!v->pixels) return px_fail_memory(c->ctx, "sample", px_image_bytes(spec));
    px_source_digest digest;
    char text[PX_DIGEST_TEXT];
    PX_TRY(px_source_digest_of(c->ctx, v->smaller, &digest));
    px_source_digest_text(&digest, text);
    snprintf(v->depends_on, sizeof v->depends_on, "%s: %s", found->name, text);
    s->depends_on = v->depends_on;
    s->read_condition = read_smaller;
    return PX_OK;
}

/* Prepares the conditions of the first model. */
static px_status use_conditions(sample_values *v) {
    px_sampling *s = &v->sampling;
    const px_model_spec *spec = px_model_spec_of(px_sampling_model(s, 0));
    const char *name = s->base.models.value[0],
               *condition = px_config_word("model.condition", (int)spec->condition.kind);
    if (v->class >= 0 && spec->condition.kind != PX_CONDITION_CLASS)
        return px_fail(s->base.ctx, PX_ERR_USAGE, "--class: found %s with model.condition %s, expected class", name,
                       condition);
    if (v->condition.count > 0 && spec->condition.kind != PX_CONDITION_IMAGE)
        return px_fail(s->base.ctx, PX_ERR_USAGE, "--condition: found %s with model.condition %s, expected image", name,
                       condition);
    if (spec->condition.kind == PX_CONDITION_CLASS) return use_class(v, spec);
    return spec->condition.kind == PX_CONDITION_IMAGE ? use_images(v, spec) : PX_OK;
}

/* ---- The chain ---- */

/* PX_ERR_USAGE unless model `scale` enlarges the images of the model before it. */
static px_status check_scale(const px_sampling *s, int scale) {
    const px_model_spec *from = px_model_spec_of(px_sampling_model(s, scale - 1)),
                        *to = px_model_spec_of(px_sampling_model(s, scale));
    const char *name = s->base.models.value[scale], *before = s->base.models.value[scale - 1];
    const int by = to->condition.scale;
    if (to->condition.kind != PX_CONDITION_IMAGE)
        return px_fail(s->base.ctx, PX_ERR_USAGE,
                       "%s: found model.condition %s, expected image, since it samples from the images of %s", name,
                       px_config_word("model.condition", (int)to->condition.kind), before);
    if (to->height == by * from->height && to->width == by * from->width && to->channels == from->channels &&
        to->levels == from->levels)
        return PX_OK;
    return px_fail(s->base.ctx, PX_ERR_USAGE,
                   "%s: found a model that samples from images of %d x %d x %d, %d levels, expected %d x %d x %d, %d "
                   "levels, as %s makes",
                   name, to->height / by, to->width / by, to->channels, to->levels, from->height, from->width,
                   from->channels, from->levels, before);
}

/* Loads the models before the last one, which is loaded, onto its device. */
static px_status load_chain(sample_values *v) {
    px_sampling *s = &v->sampling;
    const int models = s->base.models.count;
    char path[PX_PATH];
    if (models > PX_MAX_SCALES)
        return px_fail(s->base.ctx, PX_ERR_USAGE, "sample: found %d models, expected at most %d", models,
                       PX_MAX_SCALES);
    if (s->all_scales && models == 1)
        return px_fail(s->base.ctx, PX_ERR_USAGE, "--all-scales: found one model, expected several, smallest first");
    s->scales = models;
    px_model_info *info = malloc(sizeof *info);
    px_status status = info ? PX_OK : px_fail_memory(s->base.ctx, "sample", sizeof *info);
    for (int k = 0; k < models - 1 && status == PX_OK; k++)
        status = px_cli_load_model(&s->base, s->base.models.value[k], path, info, &s->smaller[k]);
    free(info);
    for (int k = 1; k < models && status == PX_OK; k++) status = check_scale(s, k);
    return status == PX_OK ? use_conditions(v) : status;
}

/* ---- The command ---- */

static px_status read_grid(px_sampling *s, int scale, uint8_t *pixels) {
    return px_sampling_read(s, scale, 0, s->count, pixels);
}

static px_status sample_run(px_model_command *c) {
    sample_values *v = (sample_values *)c;
    px_sampling *s = &v->sampling;
    char what[64];
    s->count = (int)v->images;
    s->grid_images = s->count;
    s->read_grid = read_grid;
    snprintf(what, sizeof what, "%d image%s", s->count, px_plural(s->count));
    px_status status = px_ranks_agree(c->ranks, load_chain(v));
    if (status == PX_OK) status = px_sampling_run(s, what);
    for (int k = 0; k < PX_MAX_SCALES; k++) px_model_destroy(s->smaller[k]);
    px_source_close(v->smaller);
    free(v->pixels);
    return status;
}

static px_status sample_distributed(px_context *ctx, px_ranks *ranks, int count, char **arguments) {
    sample_values v = {.class = -1};
    px_sampling_prepare(&v.sampling, ctx, ranks, &px_command_sample, sample_run);
    return px_cli_run_model(&v.sampling.base, count, arguments);
}

const px_command px_command_sample = {
    .name = "sample",
    .positionals = "MODEL...",
    .summary = "samples images; image n of a seed is always the same image",
    .example = "sample runs/demo -n 64 --temperature 0.9 -o samples.png",
    .details =
        "Several models are a multi-scale chain, smallest first: image n of a model is sampled for image n of the "
        "model before it. Device, precision and the default seed are those of the last model. An interrupted "
        "run keeps its images in OUT.journal, and the same command continues it.",
    .options = options,
    .run_distributed = sample_distributed,
};
