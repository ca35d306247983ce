/* The configuration of a run, read from and written as YAML.
 *
 * One table (host/config/keys.c) defines name, type, default, range, unit and help of every key; `pixelrnn keys` prints
 * it. An unknown key, a wrong type or a value out of range is PX_ERR_CONFIG with one line that names file, line, key,
 * the value found and the values expected. The config is then unchanged. */
#ifndef PIXELRNN_CONFIG_H
#define PIXELRNN_CONFIG_H

#include "pixelrnn/condition.h"
#include "pixelrnn/device.h"
#include "pixelrnn/status.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { PX_CONFIG_STRING = 4096 }; /* bytes of the longest string or list, its terminating 0 included */

typedef enum { PX_PRECISION_FLOAT32, PX_PRECISION_TF32, PX_PRECISION_BFLOAT16 } px_precision;
typedef enum { PX_PATHS_AUTO, PX_PATHS_PLAIN } px_paths;
typedef enum { PX_MODEL_PIXELCNN, PX_MODEL_ROW_LSTM, PX_MODEL_DIAGONAL_BILSTM } px_model_kind;
typedef enum { PX_OPTIMIZER_SGD, PX_OPTIMIZER_RMSPROP, PX_OPTIMIZER_ADAM } px_optimizer_kind;
typedef enum { PX_SCHEDULE_CONSTANT, PX_SCHEDULE_STEP, PX_SCHEDULE_COSINE } px_schedule_kind;

typedef struct px_config {
    char name[PX_CONFIG_STRING];
    int64_t seed;
    int device;    /* px_device_kind */
    int precision; /* px_precision */
    int paths;     /* px_paths */
    struct {
        int kind; /* px_model_kind */
        int64_t layers, hidden, head;
        bool residual, skip;
        int condition;   /* px_condition_kind */
        int64_t classes; /* K, of a class condition */
        int64_t scale;   /* f, of an image condition: the smaller image has H / f x W / f pixels */
    } model;
    struct {
        /* Tab-separated lists of sources (px_source_open_list). `validation` is evaluated during training, and `test`
         * once, at the end. Without validation, test takes its place; without both, nothing is evaluated. */
        char train[PX_CONFIG_STRING], validation[PX_CONFIG_STRING], test[PX_CONFIG_STRING];
        /* Likewise, files of their labels; "": the labels that come with the sources. */
        char train_labels[PX_CONFIG_STRING], validation_labels[PX_CONFIG_STRING], test_labels[PX_CONFIG_STRING];
        int64_t levels;
        int values;       /* px_values */
        int64_t size;     /* side in pixels that images are brought to; 0: as stored */
        int64_t channels; /* 1 or 3; 0: as stored */
        bool shuffle;
        bool flip;     /* mirror training images at random */
        bool binarize; /* sample levels 0 and 1 from 8-bit values */
    } data;
    struct {
        int64_t steps, batch_size;
        int optimizer; /* px_optimizer_kind */
        double learning_rate;
        double rho;          /* RMSProp */
        double beta1, beta2; /* Adam */
        double epsilon;
        double clip_norm; /* 0: off */
        double ema_decay; /* 0: off */
        int schedule;     /* px_schedule_kind */
        int64_t warmup_steps;
        int64_t decay_every; /* schedule step: steps between two drops */
        double decay_factor; /* schedule step: factor of the rate at each drop */
        double final_rate;   /* schedule cosine: fraction of learning_rate left at the last step */
        int64_t log_every, evaluate_every, sample_every, checkpoint_every; /* steps; 0: only at the end */
        int64_t evaluate_images;  /* images of an evaluation during training; 0: all */
        int64_t accumulate;       /* micro-batches a step: batch_size / accumulate images each; 1: off */
        int64_t samples;          /* images sampled every sample_every steps */
        int64_t keep_checkpoints; /* newest checkpoints kept besides the best; 0: all */
    } train;
    struct {
        int64_t batch_size; /* images of a forward pass; 0: train.batch_size */
    } eval;
    struct {
        double bucket_mib;         /* MiB of gradients in one all-reduce bucket */
        double silence_s, stall_s; /* seconds: see px_ranks_set_timeouts */
    } parallel;
} px_config;

/* Sets every key to its default. */
void px_config_default(px_config *config);

/* Reads a YAML file of at most 1 MiB. Keys that the file does not contain keep their value. A key of a section may also
 * be written in full at the top level, as in "model.layers: 7". PX_ERR_FILE if the file cannot be read.
 *
 * The first key may be `base`: the path, relative to the folder of this file, of a config whose keys are read first. A
 * base may have a base, 16 in a chain; a cycle is PX_ERR_CONFIG. Messages name the file that contains the fault. */
px_status px_config_load(px_context *ctx, const char *path, px_config *config);

/* The same for YAML text in memory, such as the config inside a model file, which can have no base. `where` names it in
 * messages. */
px_status px_config_parse(px_context *ctx, const char *where, const char *text, px_config *config);

/* Sets one key from "key=value" (--set). Commas separate the values of a list. PX_ERR_USAGE without an equals sign. */
px_status px_config_set(px_context *ctx, const char *assignment, px_config *config);

/* Checks for contradictions between keys. Call it after the last px_config_load and px_config_set. */
px_status px_config_check(px_context *ctx, const char *where, const px_config *config);

/* PX_ERR_CONFIG if a key that a resumed run must not change (seed, model, levels, batch size, optimiser) differs
 * between the config that the run was started with and the one given now. */
px_status px_config_check_resume(px_context *ctx, const char *where, const px_config *started, const px_config *given);

/* The condition of the config's model. */
static inline px_condition px_condition_of(const px_config *config) {
    return (px_condition){.kind = (px_condition_kind)config->model.condition,
                          .classes = (int)config->model.classes,
                          .scale = (int)config->model.scale};
}

/* Calls visit for each key whose values differ, with both values as text. */
typedef void (*px_config_visitor)(void *context, const char *key, const char *before, const char *now);
void px_config_changes(const px_config *before, const px_config *now, px_config_visitor visit, void *context);

/* PX_ERR_CONFIG unless this rank's config equals that of rank 0, `first`. The paths of data may differ. */
px_status px_config_check_ranks(px_context *ctx, const px_config *first, const px_config *mine);

/* Returns the config as YAML text, which px_config_parse reads back to the same values (doubles round-trip exactly).
 * The caller frees it. NULL if out of memory. */
char *px_config_text(const px_config *config);

/* The word for a value of an enumerated key, such as "diagonal_bilstm" for model.kind. NULL if there is none. */
const char *px_config_word(const char *key, int value);

#endif
