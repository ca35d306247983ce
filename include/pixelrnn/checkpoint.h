/* Run folders and their checkpoints.
 *
 *     RUN/config.yaml                 the resolved config
 *     RUN/metrics.jsonl, events.out.* figures of every so many steps
 *     RUN/samples/STEP.png            pictures
 *     RUN/checkpoints/STEP/           STEP in nine digits; appears whole or not at all
 *         model.safetensors           the weights that eval and sample use (their average, where that is on)
 *         optimizer.safetensors       moments; the weights in training, where model.safetensors holds their average
 *         state.json                  step, best figure so far, running means, what is still due at this step
 *     RUN/checkpoints/best, newest    symbolic links to a STEP
 */
#ifndef PIXELRNN_CHECKPOINT_H
#define PIXELRNN_CHECKPOINT_H

#include "pixelrnn/config.h"
#include "pixelrnn/file.h"
#include "pixelrnn/optimizer.h"

/* What training carries from step to step besides weights and moments. */
typedef struct px_train_state {
    int64_t step;               /* updates done */
    double best_nats_per_image; /* best evaluation so far; infinite: none yet */
    int64_t best_step;
    double window_nats; /* sum of the training nats per image since the last line of metrics */
    int64_t window_steps;
    bool evaluation_due, samples_due; /* of this step, and not made yet */
} px_train_state;

/* Saves a checkpoint of state->step and points newest at it. Of a complete checkpoint of that step only the state is
 * written anew. */
px_status px_checkpoint_save(const char *run, px_model *model, const px_optimizer *optimizer, const px_config *config,
                             const px_train_state *state);

/* Points best at the checkpoint of a step. */
px_status px_checkpoint_mark_best(px_context *ctx, const char *run, int64_t step);

/* Removes the checkpoint of a step, if it is the newest, and points newest at the one before: its evaluation failed. */
px_status px_checkpoint_withdraw(px_context *ctx, const char *run, int64_t step);

/* Loads the newest whole checkpoint into model and optimizer. PX_ERR_FILE if there is none. */
px_status px_checkpoint_resume(const char *run, px_model *model, const px_optimizer *optimizer, px_train_state *state);

/* The step of the newest whole checkpoint, or -1. */
int64_t px_checkpoint_newest(const char *run);
/* The step of the newest one before `step`, or -1. */
int64_t px_checkpoint_newest_before(const char *run, int64_t step);

/* The model file behind MODEL: a .safetensors file, a checkpoint folder, or a run folder (its best checkpoint, else its
 * newest). PX_ERR_FILE names what was looked for. */
px_status px_checkpoint_find_model(px_context *ctx, const char *model, char path[PX_PATH]);

/* Removes what an interruption left half-written, and all but the `keep` newest checkpoints and the best (keep 0: none
 * of them). */
px_status px_checkpoint_prune(px_context *ctx, const char *run, int64_t keep, int64_t best_step);

/* RUN/checkpoints/STEP. */
px_status px_checkpoint_path(px_context *ctx, const char *run, int64_t step, char path[PX_PATH]);

#endif
