/* An independent trainer, evaluator and sampler in double precision. It computes what a run of the program must
 * compute, step by step.
 *
 * The oracle follows the equations of the models and, for everything else, the definitions in include/pixelrnn. It
 * shares no code with the library and uses only px_config, its input. It is slow, and meant for images of a dozen
 * pixels.
 *
 * N images, H x W pixels, C channels, L levels; h is model.hidden, q is model.head. */
#ifndef PIXELRNN_TESTS_ORACLE_ORACLE_H
#define PIXELRNN_TESTS_ORACLE_ORACLE_H

#include "pixelrnn/config.h"
#include "tests/oracle/figures.h"
#include <stddef.h>

/* ---- Random numbers (random.h, loader.h), random.c ---- */

enum { ORACLE_WEIGHTS = 1, ORACLE_ORDER, ORACLE_SAMPLE, ORACLE_DATA, ORACLE_AUGMENT, ORACLE_SUBSET };

/* Writes the four 32-bit words of Philox for (seed, purpose, item, place). */
void oracle_random(uint64_t seed, int purpose, uint64_t item, uint64_t place, uint32_t word[4]);
/* A uniform number in (0, 1) of two words. */
double oracle_uniform(uint32_t high, uint32_t low);
/* The standard normal number of an initial weight. */
double oracle_normal(uint64_t seed, uint64_t tensor, uint64_t element);
/* The image at position `index` of an epoch. */
size_t oracle_permute(uint64_t seed, uint64_t epoch, size_t count, size_t index);
/* Chooses images by the seed and writes their indices in ascending order. Returns their number: limit, or count if
 * limit is 0 or above count. */
size_t oracle_choose(uint64_t seed, size_t count, size_t limit, size_t *indices);

/* ---- Files, files.c ---- */

/* Images [N, H, W, C] of 8-bit values. The owner frees pixels. */
typedef struct oracle_images {
    size_t count;
    int height, width, channels;
    uint8_t *pixels;
} oracle_images;

/* A file that cannot be read or written ends the process with a message that names it. */
oracle_images oracle_read_images(const char *path);
void oracle_write_images(const char *path, const oracle_images *images);
/* Reads a float64 npy file of shape [count]. The caller frees the result. */
double *oracle_read_doubles(const char *path, size_t *count);
/* Reads a whole file as text, which the caller frees. NULL if the file does not exist. */
char *oracle_read_text(const char *path);

/* Reads a safetensors file of F32 tensors. Calls visit for each tensor in the file's order, and metadata, unless it is
 * NULL, for each entry of __metadata__. */
typedef void (*oracle_tensor_visitor)(void *context, const char *name, const double *values, size_t count);
typedef void (*oracle_text_visitor)(void *context, const char *name, const char *text);
void oracle_read_safetensors(const char *path, oracle_tensor_visitor visit, oracle_text_visitor metadata,
                             void *context);

/* ---- A model, model.c ---- */

/* The offset of a tap of a convolution, relative to the pixel: rows down, columns to the right. */
typedef struct oracle_tap {
    int down, right;
} oracle_tap;

typedef struct oracle_tensor {
    char name[64];
    size_t count, offset;
    /* Of a weight [outputs, taps, inputs]. Only the first `live` taps are used; the last of them is the centre. Of a
     * bias, taps is 0. */
    int outputs, taps, live, inputs;
    oracle_tap tap[28];
    char mask;  /* 'A', 'B', or 0 for none */
    int period; /* the colour groups repeat after this many outputs */
    double gain;
    int ones_first, ones_count; /* of a bias: the range of elements with initial value 1 */
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
    double *weights; /* [elements]; a tensor begins at its offset. The owner frees them */
} oracle_model;

/* Creates the model of a config for images of this size, with the initial weights of the config's seed. */
oracle_model oracle_model_create(const px_config *config, const oracle_images *images);
/* Reads the weights of a model file, which must hold every tensor. */
void oracle_model_load(oracle_model *model, const char *path);
/* Whether the mask of a tensor keeps this element. */
bool oracle_live(const oracle_model *model, const oracle_tensor *tensor, size_t element);
/* Standard deviation of an element's initial value; 0 if the value is constant. */
double oracle_deviation(const oracle_model *model, const oracle_tensor *tensor, size_t element);

/* Writes -ln p of each value [H, W, C] of an image of levels, given the values before it, and returns the sum. nll may
 * be NULL. */
double oracle_nats(const oracle_model *model, const double *weights, const uint8_t *levels, double *nll);
/* Returns the mean nats of images. gradient[elements] receives the gradient of that mean divided by H W C. */
double oracle_gradient(const oracle_model *model, const double *weights, const uint8_t *levels, int images,
                       double *gradient);
/* Samples image number `image` of a seed. Pixels with keep[H, W] != 0 are not changed; keep may be NULL. */
void oracle_sample(const oracle_model *model, const double *weights, uint64_t seed, uint64_t image, double temperature,
                   const uint8_t *keep, uint8_t *levels);
/* The smallest distance of a uniform number from the boundary between two levels, in probability, since the last call.
 * If it is near the rounding error of float32, the program may sample another level without a fault. */
double oracle_sample_margin(void);

/* ---- Runs, run.c ---- */

typedef struct oracle_evaluation {
    size_t images;
    double nats, standard_error, bits;
} oracle_evaluation;

/* Mean nats, their standard error, and bits/dim for images of `values` values. */
oracle_evaluation oracle_summary(const double *nats, size_t images, size_t values);

typedef struct oracle_run {
    const px_config *config;
    oracle_images train, validation, test; /* count is 0 for a split that the config does not have */
    oracle_model model;
    double *gradient, *first, *second, *average;
    int64_t step; /* updates done */
    double nats, rate,
        norm; /* of the last update: mean NLL of the batch, learning rate, gradient norm before clipping */
} oracle_run;

/* init: a model file with the initial weights, or NULL for those of the seed. */
oracle_run oracle_run_create(const px_config *config, const char *init);
void oracle_run_destroy(oracle_run *run);
/* Does the next update. */
void oracle_run_step(oracle_run *run);
/* The weights that evaluation and sampling use. */
const double *oracle_run_weights(const oracle_run *run);
double oracle_learning_rate(const px_config *config, int64_t step);
/* Levels of image `index` in an evaluation. */
void oracle_levels(const px_config *config, const oracle_images *images, size_t index, uint8_t *levels);
/* Writes the NLL of each image: nats[images->count]. */
void oracle_evaluate(const px_config *config, const oracle_model *model, const double *weights,
                     const oracle_images *images, double *nats);
/* The 8-bit value of a level. */
int oracle_intensity(int level, int levels);

/* Adds everything that a whole run of this config reports and writes to its folder. */
void oracle_report(const px_config *config, const char *init, figures *report);

/* ---- Run folders of the program, observe.c ---- */

/* Adds the same entries as oracle_report, read from a run folder. */
void observe_folder(const px_config *config, const char *folder, figures *report);
/* A number of a step in metrics.jsonl; NAN if it is not found. */
double observe_metric(const char *folder, int step, const char *name);
/* Adds the pixels of a PNG with a grid of `count` images of this shape, `columns` a row (0: nearly square), as "samples
 * STEP: image I value V". */
void observe_image_grid(const oracle_images *shape, int count, int columns, const char *path, int step,
                        figures *report);

#endif
