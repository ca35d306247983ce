/* Run folders and their checkpoints.
 *
 *     RUN/config.yaml                 the config of the last start that completed a step, with all defaults written out
 *     RUN/metrics.jsonl, events.out.* metrics; metrics.jsonl also has a record of each start
 *     RUN/samples/STEP.png            samples
 *     RUN/checkpoints/STEP/           STEP in nine digits; the folder appears complete or not at all
 *         model.safetensors           the weights for eval and sample: their average if there is one
 *         optimizer.safetensors       moments; also the training weights if model.safetensors holds the average
 *         state.json                  px_train_state
 *     RUN/checkpoints/STEP.rejected   a damaged checkpoint, or one whose weights gave an NLL that is not finite
 *     RUN/checkpoints/best, newest    symbolic links to a STEP for users; text files if links cannot be made
 *
 * The program finds checkpoints by the folders' names alone: state.json of the newest complete one names the best step.
 * It never reads the links. */
#ifndef PIXELRNN_CHECKPOINT_H
#define PIXELRNN_CHECKPOINT_H

#include "pixelrnn/config.h"
#include "host/io/file.h"
#include "host/train/optimizer.h"
#include "pixelrnn/source.h"
#include "pixelrnn/train.h"

/* The state of training besides weights and optimiser state. */
typedef struct px_train_state {
    int64_t step;       /* updates done */
    double window_nats; /* sum of the training nats per image since the last line of metrics, and its steps */
    int64_t window_steps;
    bool evaluation_due, samples_due; /* at this step, and not done yet */
    bool clusters;                    /* recurrences may run on clusters (px_device.paths) */
    px_train_figures figures;
    px_source_digest data[PX_SPLITS]; /* of the images of the run; images is 0 if there are none or they are unknown */
} px_train_state;

/* Saves the checkpoint of state->step and points newest at it. If the checkpoint exists, only its state is replaced. */
px_status px_checkpoint_save(const char *run, px_model *model, const px_optimizer *optimizer, const px_config *config,
                             const px_train_state *state);

/* Sizes in bytes of the files of a checkpoint whose content does not depend on the training. */
typedef struct px_checkpoint_sizes {
    size_t model, optimizer; /* model.safetensors, optimizer.safetensors */
} px_checkpoint_sizes;
/* Computes the sizes that a run of this config writes at a step. PX_ERR_MEMORY. */
px_status px_checkpoint_bytes(const px_model *model, const px_config *config, int64_t step, px_checkpoint_sizes *sizes);

/* Points the link `name`, best or newest, at the checkpoint of a step by one rename. A folder of that name, left by a
 * copy that followed links, is removed if it is a copy of an existing checkpoint, else renamed. If links cannot be
 * made, a text file with the step is written. */
px_status px_checkpoint_mark(px_context *ctx, const char *run, const char *name, int64_t step);
/* PX_ERR_FILE, with the operating system's reason, unless symbolic links can be made in RUN/checkpoints. */
px_status px_checkpoint_try_link(px_context *ctx, const char *run);

/* Loads the checkpoint of a step into model, optimizer and state. config becomes the one it was saved with.
 * PX_ERR_FILE, PX_ERR_FORMAT: a file is missing or damaged, or a number is not finite; model and optimizer may have
 * been changed. PX_ERR_CONFIG: its model is for images of another size. */
px_status px_checkpoint_load(const char *run, int64_t step, px_model *model, const px_optimizer *optimizer,
                             px_train_state *state, px_config *config);

/* The step of the newest checkpoint before `before`, complete or damaged; -1: none. INT64_MAX: of all. */
int64_t px_checkpoint_newest(const char *run, int64_t before);
/* Reads the state of the newest complete checkpoint, and returns its step; -1: there is none. */
int64_t px_checkpoint_newest_state(const char *run, px_train_state *state);
bool px_checkpoint_exists(const char *run, int64_t step);

/* Renames the checkpoint of a step to STEP.rejected (STEP.rejected.2 and so on if that exists), so that it is not used
 * as a checkpoint again. name: the new path. */
px_status px_checkpoint_reject(px_context *ctx, const char *run, int64_t step, char name[PX_PATH]);

/* path becomes the model file that MODEL stands for: a .safetensors file; a checkpoint folder; or a run folder, whose
 * best checkpoint is taken, or the newest if there was no evaluation. PX_ERR_FILE: not found. */
px_status px_checkpoint_find_model(px_context *ctx, const char *model, char path[PX_PATH]);

/* Removes incomplete checkpoints, and all complete ones but the `keep` newest and the best (keep 0: removes none). */
px_status px_checkpoint_prune(px_context *ctx, const char *run, int64_t keep, int64_t best_step);

/* RUN/checkpoints/STEP, followed by the suffix. */
px_status px_checkpoint_path(px_context *ctx, const char *run, int64_t step, const char *suffix, char path[PX_PATH]);

#endif
