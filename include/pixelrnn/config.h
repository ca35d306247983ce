/* A run's configuration: YAML in, YAML out, one table of keys behind both, behind --set and behind the documentation.
 *
 * The table (host/config/keys.c) holds each key's name, type, default, range, unit and help; the fields below are where
 * its values land. Unknown keys, wrong types and impossible values are PX_ERR_CONFIG with one line that names file,
 * line and key, what was found and what was expected; config then stays as it was. */
#ifndef PIXELRNN_CONFIG_H
#define PIXELRNN_CONFIG_H

#include "pixelrnn/device.h"
#include "pixelrnn/status.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { PX_CONFIG_STRING = 4096 }; /* longest string value, with its end; of a list the whole of it */

typedef enum { PX_PRECISION_FLOAT32, PX_PRECISION_BFLOAT16 } px_precision;
typedef enum { PX_MODEL_PIXELCNN, PX_MODEL_ROW_LSTM, PX_MODEL_DIAGONAL_BILSTM } px_model_kind;
typedef enum { PX_OPTIMIZER_SGD, PX_OPTIMIZER_RMSPROP, PX_OPTIMIZER_ADAM } px_optimizer_kind;
typedef enum { PX_SCHEDULE_CONSTANT, PX_SCHEDULE_STEP, PX_SCHEDULE_COSINE } px_schedule_kind;

typedef struct px_config {
    char name[PX_CONFIG_STRING];
    int64_t seed;
    int device;    /* px_device_kind */
    int precision; /* px_precision */
    struct {
        int kind; /* px_model_kind */
        int64_t layers, hidden, head;
        bool residual, skip;
    } model;
    struct {
        /* Lists: sources with tabs between them (px_source_open_list). test may be empty: no evaluation. */
        char train[PX_CONFIG_STRING], test[PX_CONFIG_STRING];
        int64_t levels;
        int values;       /* px_values */
        int64_t size;     /* side in pixels that images are brought to; 0: as stored */
        int64_t channels; /* 1 or 3; 0: as stored */
        bool shuffle;
        bool flip;     /* mirror training images at random */
        bool binarize; /* draw levels 0 and 1 from 8-bit values */
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
        double decay_factor; /* schedule step: what a drop multiplies the rate with */
        double final_rate;   /* schedule cosine: fraction of learning_rate left at the last step */
        int64_t log_every, evaluate_every, sample_every, checkpoint_every; /* steps; 0: only at the end */
        int64_t evaluate_images;  /* of data.test in an evaluation in training; 0: all */
        int64_t samples;          /* images drawn at each sample_every */
        int64_t keep_checkpoints; /* newest checkpoints kept besides the best; 0: all */
    } train;
    struct {
        int64_t batch_size; /* images a pass; 0: train.batch_size */
    } eval;
    struct {
        double bucket_mib;         /* gradients that leave together */
        double silence_s, stall_s; /* px_ranks_set_timeouts */
    } parallel;
} px_config;

/* Fills every key with its default. */
void px_config_default(px_config *config);

/* Reads a YAML file of at most 1 MiB over what config holds. Keys it does not name stay. A section's keys may also be
 * spelt as for --set, "model.layers: 7". PX_ERR_FILE if it cannot be read. */
px_status px_config_load(px_context *ctx, const char *path, px_config *config);

/* The same from text, `where` naming it in messages (the config inside a model file). */
px_status px_config_parse(px_context *ctx, const char *where, const char *text, px_config *config);

/* One override, "key=value" (--set); commas separate the values of a list. PX_ERR_USAGE without the equals sign. */
px_status px_config_set(px_context *ctx, const char *assignment, px_config *config);

/* What no single key can show wrong: contradictions between keys. Call after the last load and set. */
px_status px_config_check(px_context *ctx, const char *where, const px_config *config);

/* What a run cannot change when it is resumed (seed, model, levels, batch size, optimiser) must be the same in the
 * config it was begun with, `held`, and in the one given now. */
px_status px_config_check_resume(px_context *ctx, const char *where, const px_config *held, const px_config *given);

/* Calls visit for each key whose values differ, with both as a config spells them. */
typedef void (*px_config_visitor)(void *context, const char *key, const char *before, const char *now);
void px_config_changes(const px_config *before, const px_config *now, px_config_visitor visit, void *context);

/* All ranks of a job must have one config, but for where their data lies: `first` is rank 0's. */
px_status px_config_check_ranks(px_context *ctx, const px_config *first, const px_config *mine);

/* Writes the resolved config as YAML that px_config_parse reads back to the same values (doubles round-trip exactly).
 * Returns a string to be freed, or NULL without memory. */
char *px_config_text(const px_config *config);

/* Prints the table of the keys whose names begin with prefix ("": all) as Markdown: key, type, default, range, help.
 * PX_ERR_USAGE, and prints nothing, if there are none. */
px_status px_config_print_keys(px_context *ctx, const char *prefix, FILE *out);

/* The word that a config spells an enum value with, e.g. "diagonal_bilstm" for model.kind; NULL if
 * the key has no words, or none for that value. */
const char *px_config_word(const char *key, int value);

#endif
