/* pixelrnn sample: samples images from a model. */
#include "host/cli/sampling.h"

typedef struct sample_values {
    px_sampling sampling;
    int64_t images;
} sample_values;

static const px_option options[] = {
    {"-n", "IMAGES", PX_OPTION_INTEGER, offsetof(sample_values, images), .min = 1, .max = INT32_MAX / 2,
     .initial = "16", .help = "images to sample"},
    PX_SAMPLING_OPTIONS,
    {0},
};

static px_status read_grid(px_sampling *s, uint8_t *pixels) { return px_sampling_read(s, 0, s->count, pixels); }

static px_status sample_run(px_model_command *c) {
    sample_values *v = (sample_values *)c;
    px_sampling *s = &v->sampling;
    char what[64];
    s->count = (int)v->images;
    s->grid_images = s->count;
    s->read_grid = read_grid;
    snprintf(what, sizeof what, "%d image%s", s->count, px_plural(s->count));
    return px_sampling_run(s, what);
}

static px_status sample_distributed(px_context *ctx, px_ranks *ranks, int count, char **arguments) {
    sample_values v = {0};
    px_sampling_prepare(&v.sampling, ctx, ranks, &px_command_sample, sample_run);
    return px_cli_run_model(&v.sampling.base, count, arguments);
}

const px_command px_command_sample = {
    .name = "sample",
    .positionals = "MODEL",
    .summary = "samples images; image n of a seed is always the same image",
    .example = "sample runs/demo -n 64 --temperature 0.9 -o samples.png",
    .details = "An interrupted run keeps its images in OUT.journal, and the same command continues it.",
    .options = options,
    .run_distributed = sample_distributed,
};
