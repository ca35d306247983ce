/* The part that sample and complete share: sampling batch by batch into a resume file, then writing the output files.
 *
 * A chain is several models, smallest first. A batch is sampled from all of them: image n of a model is the condition
 * of image n of the next one. Each rank samples its share of a round. Rank 0 alone has the resume file and writes the
 * output. */
#ifndef PIXELRNN_CLI_SAMPLING_H
#define PIXELRNN_CLI_SAMPLING_H

#include "host/cli/cli.h"
#include "host/io/resume_file.h"

enum { PX_MAX_SCALES = 8 }; /* models of a chain */

/* The first member of the structs of values of both commands. */
typedef struct px_sampling {
    px_model_command base;

    /* Values of options. */
    int64_t seed; /* negative: the seed of the config */
    double temperature;

    /* Set by the command before px_sampling_run. */
    int count;                        /* images to sample */
    int scales;                       /* models; px_sampling_prepare sets 1 */
    px_model *smaller[PX_MAX_SCALES]; /* the scales - 1 models before base.model, smallest first */
    bool all_scales;                  /* write the images of each model, too: OUT.1.png for OUT.png, ... */
    int grid_images;                  /* of a .png output */
    int grid_columns, grid_rows;      /* as of px_grid_layout; both 0: nearly square */
    /* Writes the images of a .png of model `scale` to pixels [grid_images, H, W, C]. */
    px_status (*read_grid)(struct px_sampling *s, int scale, uint8_t *pixels);
    /* Of completions, otherwise NULL: the mask of given pixels [H, W], and a function that reads the 8-bit image that
     * sample `index` completes. */
    const uint8_t *keep;
    px_status (*read_given)(struct px_sampling *s, int index, uint8_t *pixels);
    /* Writes the condition of sample `index` for the smallest model (condition.h); NULL if that has none. */
    px_status (*read_condition)(struct px_sampling *s, int index, uint8_t *condition);
    const char *depends_on; /* names everything else that given pixels and conditions depend on; NULL: nothing */

    /* Of rank 0, private to sampling.c. */
    px_lock lock; /* of the output file */
    px_resume_file *resume;
} px_sampling;

/* The options of both commands, whose structs of values begin with a px_sampling. */
#define PX_SAMPLING_OPTIONS                                                                                            \
    {"--seed",      "S", PX_OPTION_INTEGER, offsetof(px_sampling, seed), .otherwise = "the seed of the model",         \
     .help = "seed"},                                                                                                  \
        {"--temperature",  "T",                                                                                        \
         PX_OPTION_NUMBER, offsetof(px_sampling, temperature),                                                         \
         .initial = "1",   .help = "divisor of the logits"},                                                           \
        {"-o",                                                                                                         \
         "OUT.png|OUT.npy",                                                                                            \
         PX_OPTION_PATH,                                                                                               \
         offsetof(px_sampling, base.out),                                                                              \
         .required = true,                                                                                             \
         .help = "output: a grid of images, or an array uint8 [N, H, W, C]"},                                          \
        PX_OPTION_SET(px_sampling, base.settings)

/* Fills *s for the command, with the defaults of the options and px_sampling_check. */
void px_sampling_prepare(px_sampling *s, px_context *ctx, px_ranks *ranks, const px_command *command,
                         px_status (*run)(px_model_command *));

/* PX_ERR_USAGE unless the output ends with .png or .npy. */
px_status px_sampling_check(px_model_command *c);

/* Samples the images that the resume file lacks, writes the output files, and prints `what` and the NLL. A stop request
 * leaves the finished batches in the resume file; the message says so. */
px_status px_sampling_run(px_sampling *s, const char *what);

/* Reads the 8-bit pixels of images first .. first + count - 1 of model `scale`, on rank 0, for read_grid. */
px_status px_sampling_read(px_sampling *s, int scale, int first, int count, uint8_t *pixels);

/* The model `scale` of the chain, 0 .. scales - 1. */
static inline px_model *px_sampling_model(const px_sampling *s, int scale) {
    return scale < s->scales - 1 ? s->smaller[scale] : s->base.model;
}

/* Bytes of an image, one per value. */
static inline size_t px_image_bytes(const px_model_spec *spec) {
    return (size_t)spec->height * (size_t)spec->width * (size_t)spec->channels;
}

#endif
