/* An independent trainer, evaluator and sampler: what a run of the program must compute, step by step, in double.
 *
 * It follows the mathematics of the models and, for everything else, the definitions in include/pixelrnn. It shares
 * no code with the library: of the library's headers it uses px_config alone, which is its only input. It is slow and
 * meant for images of a dozen pixels.
 *
 * N images, H x W pixels, C channels, L levels; h is model.hidden, q is model.head. */
#ifndef PIXELRNN_TESTS_ORACLE_ORACLE_H
#define PIXELRNN_TESTS_ORACLE_ORACLE_H

#include "pixelrnn/config.h"
#include "tests/oracle/figures.h"
#include <stddef.h>

/* --- Random numbers (random.h, loader.h), random.c ---------------------------------------------------------------- */

enum { ORACLE_WEIGHTS = 1, ORACLE_ORDER, ORACLE_DRAW, ORACLE_DATA, ORACLE_AUGMENT, ORACLE_SUBSET };

/* The four words of (seed, purpose, item, place). */
void oracle_random(uint64_t seed, int purpose, uint64_t item, uint64_t place, uint32_t word[4]);
/* Uniform in (0, 1), from two words. */
double oracle_uniform(uint32_t high, uint32_t low);
/* The standard normal number behind an initial weight. */
double oracle_normal(uint64_t seed, uint64_t tensor, uint64_t element);
/* Which image has position `index` of an epoch. */
size_t oracle_permute(uint64_t seed, uint64_t epoch, size_t count, size_t index);
/* The images that are chosen by the seed, ascending; their number is limit, or count if that is less or limit is 0. */
size_t oracle_choose(uint64_t seed, size_t count, size_t limit, size_t *indices);

/* --- Files, files.c ----------------------------------------------------------------------------------------------- */

/* Images [N, H, W, C], eight bits a value; pixels are to be freed. */
typedef struct oracle_images {
    size_t count;
    int height, width, channels;
    uint8_t *pixels;
} oracle_images;

/* What cannot be read or written ends the process, naming the file. */
oracle_images oracle_read_images(const char *path);
void oracle_write_images(const char *path, const oracle_images *images);
/* An npy file of float64 [count]; to be freed. */
double *oracle_read_doubles(const char *path, size_t *count);
/* A whole file as text; to be freed. NULL if there is none. */
char *oracle_read_text(const char *path);

/* Tensors of a safetensors file, F32, as doubles: `visit` is called for each in the file's own order. metadata,
 * which may be NULL, is called for each entry of __metadata__. */
typedef void (*oracle_tensor_visitor)(void *context, const char *name, const double *values, size_t count);
typedef void (*oracle_text_visitor)(void *context, const char *name, const char *text);
void oracle_read_safetensors(const char *path, oracle_tensor_visitor visit, oracle_text_visitor metadata,
                             void *context);

/* --- A model, model.c --------------------------------------------------------------------------------------------- */

/* Where a tap of a kernel reads: rows down and columns to the right of the pixel. */
typedef struct oracle_tap {
    int down, right;
} oracle_tap;

typedef struct oracle_tensor {
    char name[64];
    size_t count, offset;
    /* A weight [outputs, taps, inputs]. The first `live` taps exist, the last of them is the centre. A bias has no
     * taps. */
    int outputs, taps, live, inputs;
    oracle_tap tap[28];
    char mask;  /* 'A', 'B', or 0 without a mask */
    int period; /* outputs are put into colour groups anew every so many */
    double gain;
    int ones_first, ones_count; /* of a bias: elements that start at 1 */
} oracle_tensor;

enum { ORACLE_TENSORS = 64 };
typedef struct oracle_model {
    px_model_kind kind;
    int layers, hidden, head;
    bool residual, skip;
    int height, width, channels, levels;
    int count;
    oracle_tensor tensor[ORACLE_TENSORS];
    size_t elements;
    double *weights; /* [elements], a tensor's at its offset; to be freed */
} oracle_model;

/* The model of a config for images of this size, with the initial weights of the config's seed. */
oracle_model oracle_model_create(const px_config *config, const oracle_images *images);
/* Reads the weights of a model file; every tensor must be there. */
void oracle_model_load(oracle_model *model, const char *path);
/* Is this element of a tensor kept by its mask? */
bool oracle_live(const oracle_model *model, const oracle_tensor *tensor, size_t element);
/* Standard deviation of an element's initial value; 0 of what is constant. */
double oracle_deviation(const oracle_model *model, const oracle_tensor *tensor, size_t element);

/* -ln p of each value [H, W, C] of an image of levels, given those before it; the sum is returned. nll may be NULL. */
double oracle_nats(const oracle_model *model, const double *weights, const uint8_t *levels, double *nll);
/* Mean over images of nats; gradient[elements] is of the mean divided by H W C. */
double oracle_gradient(const oracle_model *model, const double *weights, const uint8_t *levels, int images,
                       double *gradient);
/* Image number `image` of a seed. Pixels with keep[H, W] not 0 stay as they are; keep may be NULL. */
void oracle_sample(const oracle_model *model, const double *weights, uint64_t seed, uint64_t image, double temperature,
                   const uint8_t *keep, uint8_t *levels);
/* The smallest distance, as a share of all probability, of a uniform number from the edge between two levels, since the
 * last call. Where it is not far above the rounding of float32, another level may be drawn for no fault. */
double oracle_sample_margin(void);

/* --- Runs, run.c -------------------------------------------------------------------------------------------------- */

typedef struct oracle_evaluation {
    size_t images;
    double nats, standard_error, bits;
} oracle_evaluation;

/* Mean, its standard error, bits/dim of `values` values an image. */
oracle_evaluation oracle_summary(const double *nats, size_t images, size_t values);

typedef struct oracle_run {
    const px_config *config;
    oracle_images train, test; /* test.count is 0 without data.test */
    oracle_model model;
    double *gradient, *first, *second, *average;
    int64_t step;            /* updates done */
    double nats, rate, norm; /* of the last update: mean NLL of its batch before it, its rate, norm before clipping */
} oracle_run;

/* init: the model file whose weights the run begins with, or NULL for those of its seed. */
oracle_run oracle_run_create(const px_config *config, const char *init);
void oracle_run_destroy(oracle_run *run);
/* The next update. */
void oracle_run_step(oracle_run *run);
/* The weights that evaluations and samples use. */
const double *oracle_run_weights(const oracle_run *run);
double oracle_learning_rate(const px_config *config, int64_t step);
/* Levels of image `index` as a pass over a set sees them. */
void oracle_levels(const px_config *config, const oracle_images *images, size_t index, uint8_t *levels);
/* NLL of each image of a set; nats[images->count]. */
void oracle_evaluate(const px_config *config, const oracle_model *model, const double *weights,
                     const oracle_images *images, double *nats);
/* The 8-bit value of a level. */
int oracle_intensity(int level, int levels);

/* Everything that a whole run of this config reports and leaves in its folder. */
void oracle_report(const px_config *config, const char *init, figures *report);

/* --- What a run of the program left, observe.c -------------------------------------------------------------------- */

/* The same, read from a run folder. */
void observe_folder(const px_config *config, const char *folder, figures *report);
/* One number of a step in metrics.jsonl; NAN if it is not there. */
double observe_metric(const char *folder, int step, const char *name);
/* The pixels of a picture of `count` images of this shape, `columns` a row (0: nearly square), as "samples STEP: image
 * I value V". */
void observe_picture(const oracle_images *shape, int count, int columns, const char *path, int step, figures *report);

#endif
